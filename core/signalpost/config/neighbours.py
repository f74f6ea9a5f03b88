"""Words about files that are not there, or not ours to read."""

import os
from itertools import islice
from pathlib import Path

from signalpost.config.presence import is_folder, is_there
from signalpost.config.words import nearest, printable

# How many neighbours of a missing file are looked through for the one that was meant.
_NEIGHBOURS = 2000


def meant(path: Path, folder: Path) -> str:
    """Suggest what has a similar name beside a missing file, or the same name one folder down."""
    if os.path.lexists(path):
        return ", but a symbolic link that leads nowhere"
    near = nearest(path.name, (entry.name for entry in _entries(path.parent)))
    below = (Path(entry.path, path.name) for entry in _entries(folder) if is_folder(Path(entry.path)))
    found = path.with_name(near) if near else next((each for each in below if is_there(each)), None)
    return f'; did you mean "{printable(os.path.relpath(found, folder))}"?' if found else ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, _NEIGHBOURS))
    except OSError:
        return []


def reason(error: OSError) -> str:
    """Say in lower case why a file cannot be read."""
    return (error.strerror or "unknown error").lower()
