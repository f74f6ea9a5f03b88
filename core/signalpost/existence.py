"""Whether a file or a folder exists: checks that never raise, for any text in place of a name.

With a text too long for a name, or a parent folder without permission, `pathlib` raises. The code that reads the file
or lists the folder reports the reason.
"""

import os
from itertools import islice
from pathlib import Path

from signalpost.words import nearest, printable, suggestion


def is_file(path: Path) -> bool:
    """Return whether the file exists, as far as this user can see."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def is_folder(path: Path) -> bool:
    """Return whether the folder exists, as far as this user can see."""
    return os.path.isdir(path)  # noqa: PTH112 - see above


def is_there(path: Path) -> bool:
    """Return whether the path exists, as far as this user can see."""
    return os.path.exists(path)  # noqa: PTH110 - see above


def is_same(path: Path, other: Path) -> bool:
    """Return whether both paths are the same file or folder."""
    try:
        return os.path.samefile(path, other)  # noqa: PTH121 - see above
    except (OSError, ValueError):
        return False


# How many neighbours of a missing file are searched for the one that was meant.
_NEIGHBOURS = 2000


def meant(path: Path, folder: Path) -> str:
    """Return a file with a similar name beside a missing file, or with the same name one folder down."""
    if os.path.lexists(path):
        return ", but a symbolic link that leads nowhere"
    near = nearest(path.name, (entry.name for entry in _entries(path.parent)))
    below = (Path(entry.path, path.name) for entry in _entries(folder) if is_folder(Path(entry.path)))
    found = path.with_name(near) if near else next((each for each in below if is_there(each)), None)
    return suggestion(printable(os.path.relpath(found, folder)) if found else None)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, _NEIGHBOURS))
    except OSError:
        return []


def reason(error: OSError) -> str:
    """Return in lower case why a file cannot be read."""
    return (error.strerror or "unknown error").lower()
