"""Files that are never sent, whatever routes.yaml says now: keys, secrets, the state, plugins, the log.

The command `check` rejects routes that would show any of it. A link, a file that is created later, or a folder that is
replaced is detected here, each time that a file is sent: by identity (device and inode), not by name.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from signalpost.config.model import PrivatePaths

LOG = logging.getLogger(__name__)

Identity = tuple[int, int]

_MOST_TOLD = 64
# How many files of private folders are searched for one that has several names.
_MOST_ENTRIES = 10_000


class Private:
    """Decides what is private by the current state of the disk; each call makes system calls, so use a thread.

    Args:
        paths: that are private.
    """

    __slots__ = ("_files", "_folders", "_home", "_seen", "_told")

    def __init__(self, paths: PrivatePaths) -> None:
        # Strings, not Path objects: checking a handful of files must cost less than sending one.
        self._files = tuple(map(str, paths.files))
        self._folders = tuple(map(str, paths.folders))
        self._home = None if paths.home is None else str(paths.home)
        self._told: set[Path] = set()
        self._seen: dict[Path, Identity | None] = {}

    def check_again(self, path: Path) -> None:
        """Reject a file as `check` does, but examine it only if it is another file than at the last check.

        A deleted file is not rejected: its content was read with the plan.

        Args:
            path: declared, so that there are few of them.

        Raises:
            OSError: it is private.
        """
        identity = _identity(str(path))
        if identity is not None and identity != self._seen.get(path):
            self.check(Path(os.path.realpath(path, strict=True)))
            self._seen[path] = identity

    def check(self, path: Path) -> None:
        """Reject a file that is private. It is not opened: closing it would take the state's lock from SQLite.

        Args:
            path: all links followed.

        Raises:
            OSError: it is private, or not there.
        """
        if self._holds(str(path), os.stat(path)):  # noqa: PTH116 - as in _identity
            if path not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(path)
                LOG.warning("%r was asked for and is not sent, since it is private: keep it elsewhere", str(path))
            raise FileNotFoundError(2, "private")

    def check_root(self, root: Path) -> None:
        """Reject a folder, all links followed, that is the app's own or above it: all its files would be served.

        Raises:
            OSError: it is one of these.
        """
        if self._home is not None and f"{os.path.realpath(self._home)}/".startswith(f"{str(root).rstrip('/')}/"):
            raise FileNotFoundError(2, "the app's own folder")

    def _holds(self, path: str, status: os.stat_result) -> bool:
        identity = (status.st_dev, status.st_ino)
        if any(_identity(file) == identity for file in self._files) or identity in _logs():
            return True
        folders = [found for folder in self._folders if (found := _identity(folder)) is not None]
        if folders and any(_identity(parent) in folders for parent in _parents(path)):
            return True
        return status.st_nlink > 1 and any(found == identity for found in self._in_folders())

    def _in_folders(self) -> Iterator[Identity | None]:
        entries = (
            os.path.join(parent, name)  # noqa: PTH118 - as above
            for folder in self._folders
            for parent, _, names in os.walk(folder)
            for name in names
        )
        return map(_identity, islice(entries, _MOST_ENTRIES))


NOTHING_PRIVATE = Private(PrivatePaths())


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - it costs a third of Path.stat
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _parents(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:  # noqa: PTH120 - as above
        yield parent
        path = parent


def _logs() -> set[Identity]:
    """Return the files that the process logs to: those of its output, and of handlers of logging."""
    found: set[Identity] = set()
    for descriptor in {1, 2, *_descriptors()}:
        with suppress(OSError):
            status = os.fstat(descriptor)
            found.add((status.st_dev, status.st_ino))
    return found


def _descriptors() -> Iterator[int]:
    for logger in (logging.root, *logging.Logger.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            with suppress(OSError, ValueError, AttributeError):
                yield handler.stream.fileno()
