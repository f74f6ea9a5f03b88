"""Whether there is a file or a folder: answers that never fail, whatever stands where a name is meant.

A text that is too long for a name, or a folder on the way that may not be entered, has `pathlib` raise; whoever reads
the file or lists the folder says why that cannot be done.
"""

import os
from pathlib import Path


def is_file(path: Path) -> bool:
    """Tell whether there is a file, as far as this user can see."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder, as far as this user can see."""
    return os.path.isdir(path)  # noqa: PTH112 - see above


def is_there(path: Path) -> bool:
    """Tell whether there is anything, as far as this user can see."""
    return os.path.exists(path)  # noqa: PTH110 - see above


def is_same(path: Path, other: Path) -> bool:
    """Tell whether both lead to one file or folder."""
    try:
        return os.path.samefile(path, other)  # noqa: PTH121 - see above
    except (OSError, ValueError):
        return False
