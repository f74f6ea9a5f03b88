"""``signalpost new --deploy``: the files by which Docker, systemd and nginx run an app.

`signalpost.cli.deployfiles` says what is in them. Files that are there already are not touched.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from signalpost.cli.deployedapp import DeployedApp
from signalpost.cli.deployfiles import REQUIREMENTS, Files, docker, nginx, systemd
from signalpost.cli.loading import load
from signalpost.errors import OperatorError


class Kind(StrEnum):
    """What runs the app."""

    DOCKER = "docker"
    SYSTEMD = "systemd"
    NGINX = "nginx"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was written for a deployment.

    Attributes:
        made: files, relative to the app's folder.
        kept: files that were there already, and are as they were.
        notes: what the operator has to do besides.
    """

    made: Sequence[Path]
    kept: Sequence[Path]
    notes: Sequence[str]


def write_deployment(folder: Path, kinds: Iterable[Kind]) -> Deployment:
    """Write the files for some kinds of deployment into an app's folder; files that are there are left as they are.

    Raises:
        ConfigError: the app has mistakes.
        OperatorError: the app cannot be deployed so, or a file cannot be written.
    """
    app = DeployedApp(load(str(folder / "routes.yaml")), folder)
    if not app.ports:
        raise OperatorError(
            "every endpoint leaves its port to the system (port: 0), so nobody can find it: give it one"
        )
    files = [_FILES[kind](app) for kind in dict.fromkeys(kinds)]
    contents = {name: text for each in files for name, text in each.contents.items()}
    made: list[Path] = []
    kept: list[Path] = []
    for name, text in contents.items():
        (made if _write(folder / name, text) else kept).append(name)
    notes = [note for each in files for note in each.notes]
    if REQUIREMENTS in kept and "signalpost" not in (folder / REQUIREMENTS).read_text(
        encoding="utf-8", errors="replace"
    ):
        notes.append(f"{REQUIREMENTS} does not name signalpost: add {app.requirements.splitlines()[0]}")
    return Deployment(made, kept, notes)


_FILES: Mapping[Kind, Callable[[DeployedApp], Files]] = {
    Kind.DOCKER: docker,
    Kind.SYSTEMD: systemd,
    Kind.NGINX: nginx,
}


def _write(path: Path, text: str) -> bool:
    """Write a new file; return False if there is one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from None
    return True
