"""Whether files are kept from others: from the users of the machine, and from everyone on the network."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from signalpost.config.includes import SECRETS_FILE
from signalpost.config.model import RouteConfig
from signalpost.config.report import Report

_YAML = (".yaml", ".yml")


def exposure_notes(report: Report, folder: Path) -> Iterator[str]:
    """Yield what is to be noted if other users of this machine may read the secrets, or change what is read here."""
    yield from _writable_notes(report, folder)
    secrets = folder / SECRETS_FILE
    mode = secrets.stat().st_mode if secrets in report.files and secrets.exists() else 0
    if mode & stat.S_IROTH:
        name = report.source.shown(SECRETS_FILE)
        yield f"{name} is not kept from other users of this machine (its mode is {mode & 0o777:o}): chmod 600 {name}"


def _writable_notes(report: Report, folder: Path) -> Iterator[str]:
    """Yield what is to be noted if other users may write routes.yaml or what it includes: it says which code is run."""
    for file in report.files:
        if file.suffix not in _YAML or not file.is_file():
            continue
        mode = file.stat().st_mode & 0o777
        if mode & stat.S_IWOTH:
            name = report.source.shown(os.path.relpath(file, folder))
            yield f"{name} may be changed by every user of this machine (its mode is {mode:o}): chmod o-w {name}"


def check_served(report: Report, routes: Sequence[RouteConfig], folder: Path) -> None:
    """Report routes that would show the secrets to everyone, whether or not one was asked for."""
    secrets = folder / SECRETS_FILE
    if not secrets.is_file():
        return
    real = Path(os.path.realpath(secrets))
    for route in routes:
        for key, path in (("file", route.file), ("view", route.view), ("static", route.static)):
            if path is not None and real.is_relative_to(os.path.realpath(path)):
                text = f"this would show {SECRETS_FILE} to everyone: keep what is served in a folder of its own"
                report.add((*route.keys, key), text)
