"""Whether there is a file or a folder: answers that never fail, whatever stands where a name is meant.

A text that is too long for a name, or a folder on the way that may not be entered, has `pathlib` raise; whoever reads
the file or lists the folder says why that cannot be done.
"""

import os
from itertools import islice
from pathlib import Path

from signalpost.words import nearest, printable, suggestion


def is_file(path: Path) -> bool:
    """Return whether there is a file, as far as this user can see."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def is_folder(path: Path) -> bool:
    """Return whether there is a folder, as far as this user can see."""
    return os.path.isdir(path)  # noqa: PTH112 - see above


def is_there(path: Path) -> bool:
    """Return whether there is anything, as far as this user can see."""
    return os.path.exists(path)  # noqa: PTH110 - see above


def is_same(path: Path, other: Path) -> bool:
    """Return whether both lead to one file or folder."""
    try:
        return os.path.samefile(path, other)  # noqa: PTH121 - see above
    except (OSError, ValueError):
        return False


# How many neighbours of a missing file are looked through for the one that was meant.
_NEIGHBOURS = 2000


def meant(path: Path, folder: Path) -> str:
    """Suggest what has a similar name beside a missing file, or the same name one folder down."""
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
    """Say in lower case why a file cannot be read."""
    return (error.strerror or "unknown error").lower()
