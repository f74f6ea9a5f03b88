"""Protection of private files: the secrets from other users of the machine, all private files from the network."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from signalpost.config.datafile import data_files
from signalpost.config.model import EndpointConfig, PrivatePaths, RouteConfig
from signalpost.existence import is_file, is_folder, is_same, is_there
from signalpost.words import printable
from signalpost.yaml.includes import SECRETS_FILE
from signalpost.yaml.report import Report

RECORDS_FOLDER = ".signalpost"
"""Where `signalpost run` writes its files, beside routes.yaml."""

_YAML = (".yaml", ".yml")


def exposure_notes(report: Report, folder: Path) -> Iterator[str]:
    """Yield notes if other users of this machine may read the secrets, or change what is read here."""
    yield from _writable_notes(report, folder)
    secrets = folder / SECRETS_FILE
    mode = secrets.stat().st_mode if secrets in report.files and is_there(secrets) else 0
    if mode & stat.S_IROTH:
        name = report.source.shown(SECRETS_FILE)
        yield f"other users of this machine can read {name} (its mode is {mode & 0o777:o}): chmod 600 {name}"


def _writable_notes(report: Report, folder: Path) -> Iterator[str]:
    """Yield notes if other users may write routes.yaml or what it includes, which decide what code runs."""
    for file in report.files:
        if file.suffix not in _YAML or not is_file(file):
            continue
        mode = file.stat().st_mode & 0o777
        if mode & stat.S_IWOTH:
            name = report.source.shown(os.path.relpath(file, folder))
            yield f"{name} may be changed by every user of this machine (its mode is {mode:o}): chmod o-w {name}"


def private_paths(
    report: Report, composed: Iterable[Path], endpoints: Sequence[EndpointConfig], plugins: Path, folder: Path
) -> PrivatePaths:
    """List what no route may show, but for what the server writes, which `with_data` adds.

    Args:
        report: names the file.
        composed: of which files, and folders of files, the configuration is made; those with keys of tokens, too.
        endpoints: whose certificates and keys are among it.
        plugins: the folder of plugins.
        folder: of routes.yaml.
    """
    keys = [path for each in endpoints if each.tls for path in (each.tls.key, each.tls.certificate) if path]
    whole = [folder / SECRETS_FILE, folder / Path(report.source.file).name, *composed, *keys]
    folders = [path for path in whole if is_folder(path)]
    files = dict.fromkeys(path for path in whole if path not in folders)
    return PrivatePaths(tuple(files), (plugins, *folders, folder / RECORDS_FOLDER), folder)


def with_data(private: PrivatePaths, *files: Path | None) -> PrivatePaths:
    """Add the files that the server itself writes, and SQLite's files beside them."""
    written = [each for file in files if file is not None for each in data_files(file)]
    return replace(private, files=(*private.files, *written)) if written else private


def check_served(report: Report, routes: Sequence[RouteConfig], private: PrivatePaths) -> None:
    """Report routes that would serve private files to everyone, once each: with the first such file."""
    there = [path for path in (*private.files, *private.folders) if is_there(path)]
    for route in routes:
        for key, path in (("file", route.file), ("view", route.view), ("static", route.static)):
            shown = None if path is None else next((each for each in there if _shows(path, each)), None)
            if shown is not None:
                text = (
                    f"this would show {_named(shown, private)} to everyone: keep served files in a folder of their own"
                )
                report.add((*route.keys, key), text)


def _shows(served: Path, private: Path) -> bool:
    """Return whether a path is the other one, or inside it, with all links followed."""
    ours, theirs = Path(os.path.realpath(served)), Path(os.path.realpath(private))
    inside = theirs.is_relative_to(ours) or (is_folder(private) and ours.is_relative_to(theirs))
    return inside or (is_file(served) and is_file(private) and is_same(served, private))


def _named(path: Path, private: PrivatePaths) -> str:
    home = private.home
    return printable(os.path.relpath(path, home) if home is not None and path.is_relative_to(home) else str(path))
