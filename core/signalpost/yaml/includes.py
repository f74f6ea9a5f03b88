"""The files that ``!include`` and ``!include_dir`` name: below the folder of routes.yaml, and nowhere else.

Names are relative to that folder in every file, as all names of files in routes.yaml are. A path may contain a symbolic
link to a place below the folder (so that folders mounted by Kubernetes can be read); one that leads out is rejected
like ``..`` and absolute names.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from signalpost.existence import is_file, is_folder, is_same, meant, reason
from signalpost.words import quoted

SECRETS_FILE = "secrets.yaml"
SUFFIXES = (".yaml", ".yml")
# Maximum of folders that are searched, and of files that are found, below an included folder.
MAX_FOUND = 1000

_OUT = "only what lies below the folder of routes.yaml is included"
_NAMES = "by its name from there, without .. in it and without / or ~ before it"


def place_below(name: str, shown: str, folder: Path) -> Path:
    """Return the absolute path for a name, whether it exists or not.

    Args:
        name: of a file or folder.
        shown: its name in messages: as written, before variables were substituted.
        folder: the folder of routes.yaml; absolute.

    Raises:
        ValueError: it is not a name, or leads out of `folder`; the text, one line, says why.
    """
    if not name:
        raise ValueError("a name is missing, as in !include signals.yaml (relative to the folder of routes.yaml)")
    if "\0" in name:
        raise ValueError("a file's name has no null characters")
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or name.startswith("~"):
        raise ValueError(f"{quoted(shown)} leads elsewhere: {_OUT}, {_NAMES}")
    path = folder / parts
    _check_place(path, shown, folder)
    return path


def check_included(path: Path, shown: str, folder: Path) -> None:
    """Check that a file can be included; `path` is from `place_below`, which has the same other arguments.

    Raises:
        ValueError: it cannot be; the text, one line, says why.
        OSError: it cannot be found, for another reason than that it does not exist.
    """
    if is_folder(path):
        raise ValueError(f"{quoted(shown)} is a folder: write !include_dir {shown}")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{quoted(shown)} is no YAML file by its name (allowed: {', '.join(SUFFIXES)})")
    try:
        path.stat()
    except FileNotFoundError:
        raise ValueError(f"no file {quoted(shown)} in the folder of routes.yaml{meant(path, folder)}") from None
    _check_file(path, shown, folder)


def included_files(path: Path, shown: str, folder: Path) -> list[Path]:
    """Return the absolute paths of the YAML files in a folder to include, and in those below it, sorted by name.

    Names that begin with a dot are skipped, as are files with other suffixes. The arguments are those of
    `check_included`.

    Raises:
        ValueError: the folder, or a file in it, cannot be included; the text, one line, says why.
    """
    if is_file(path):
        raise ValueError(f"{quoted(shown)} is a file: write !include {shown}")
    if not is_folder(path):
        raise ValueError(f"no folder {quoted(shown)} in the folder of routes.yaml{meant(path, folder)}")
    found = list(islice(_walk(path, folder), MAX_FOUND + 1))
    if len(found) > MAX_FOUND:
        raise ValueError(f"the folder {quoted(shown)} holds more than {MAX_FOUND:,} YAML files or folders")
    files = sorted((each for each in found if each.suffix in SUFFIXES), key=lambda each: each.parts)
    if not files:
        raise ValueError(f"the folder {quoted(shown)} holds no YAML file (looked for: {', '.join(SUFFIXES)})")
    for file in files:
        _check_file(file, file.relative_to(folder).as_posix(), folder)
    return files


def _check_place(path: Path, shown: str, folder: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{quoted(shown)} leads elsewhere by a symbolic link: {_OUT}")


def _check_file(path: Path, shown: str, folder: Path) -> None:
    """Check that a path is a file, and may be read."""
    _check_place(path, shown, folder)
    secrets = folder / SECRETS_FILE
    if is_same(path, secrets):
        raise ValueError(f"{quoted(shown)} holds secrets and is not included: each is read by its name, !secret NAME")
    if not is_file(path):  # not a pipe or a device, which might never end
        raise ValueError(f"{quoted(shown)} is not a file")


def _walk(path: Path, folder: Path) -> Iterator[Path]:
    """Yield the folders below `path`, and the YAML files in all of them, unordered."""
    try:
        with os.scandir(path) as entries:
            children = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        shown = path.relative_to(folder).as_posix()
        raise ValueError(f"the folder {quoted(shown)} cannot be read: {reason(error)}") from None
    for entry in children:
        child = path / entry.name
        if entry.is_dir(follow_symlinks=False):
            yield child
            yield from _walk(child, folder)
        elif entry.is_dir():
            shown = child.relative_to(folder).as_posix()
            raise ValueError(f"the folder {quoted(shown)} is a symbolic link, and such are not followed here")
        elif child.suffix in SUFFIXES:
            yield child
