"""Data files: SQLite files that the server itself writes, named by a key of routes.yaml."""

import os
from collections.abc import Sequence
from pathlib import Path

from signalpost.config.model import RouteConfig
from signalpost.config.section import Section
from signalpost.words import quoted


def read_data_file(section: Section, folder: Path, routes: Sequence[RouteConfig], example: str) -> Path | None:
    """Read the key ``file`` of a section: an SQLite file that the server writes.

    Args:
        section: that has the key.
        folder: base of relative paths.
        routes: of the same file: none may serve it.
        example: a name that one might choose.
    """
    text = section.text("file")
    if text is None:
        return None
    path = Path(os.path.normpath(folder / text))
    fault = _fault(text, path, folder, example) or _shown_by(path, routes)
    if fault:
        section.problem("file", fault)
        return None
    return path


def _fault(text: str, path: Path, folder: Path, example: str) -> str:
    """Return why a file cannot be written by SQLite; empty if it can.

    It is not opened: that would release the lock of a server in this process (`signalpost.database`). Its contents
    are checked when a server starts.
    """
    if "\0" in text:
        return "a file's name has no null characters"
    if not Path(text).is_absolute() and not path.is_relative_to(folder):
        return f"{quoted(text)} is outside the folder of routes.yaml; if you mean it, write the absolute path: {path}"
    parent = path.parent
    try:
        if path.is_symlink():
            return f"{quoted(text)} is a symbolic link, which is not followed: name the file itself"
        if path.is_dir():
            return f"{quoted(text)} is a folder; a file is meant here, as in {text.rstrip('/')}/{example}"
        if not parent.is_dir():
            return f"no folder {quoted(str(parent))} to keep it in: make it first"
        if not os.access(parent, os.W_OK | os.X_OK):
            return f"this user may not write to the folder {quoted(str(parent))}, but SQLite must"
        if path.exists() and not path.is_file():
            return f"{quoted(text)} is not a file"
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            return f"this user may not read and write the file {quoted(text)}"
    except OSError as error:
        return f"the file {quoted(text)} cannot be used: {(error.strerror or 'unknown error').lower()}"
    return ""


def data_files(file: Path) -> tuple[Path, ...]:
    """Return a data file, SQLite's files beside it, and the path to which a replacement is moved."""
    return (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal", ".found")))


def _shown_by(path: Path, routes: Sequence[RouteConfig]) -> str:
    real = [Path(os.path.realpath(each)) for each in data_files(path)]
    for route in routes:
        shown = [Path(os.path.realpath(each)) for each in (route.file, route.view, route.static) if each is not None]
        if any(each.is_relative_to(served) for each in real for served in shown):
            return f"the route {route.path} would show it to everyone: keep it where no route serves files"
    return ""
