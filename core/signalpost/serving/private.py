"""What is never sent, whatever routes.yaml says by now: keys, secrets, the state, plugins, the log.

`check` refuses routes that would show any of it. A link, a file that is made later, or a folder that changes its mind
is seen here, each time that a file is sent: by what it is (device and inode), not by what it is called.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from signalpost.config.model import PrivatePaths

LOG = logging.getLogger(__name__)

Identity = tuple[int, int]

_MOST_TOLD = 64
# How many files of private folders are looked through for one of which there are several names.
_MOST_ENTRIES = 10_000


class Private:
    """Tells what is private as it stands on disk now; every call asks the system, so call it from a thread.

    Args:
        paths: what is private by its place.

    """

    __slots__ = ("_paths", "_told")

    def __init__(self, paths: PrivatePaths) -> None:
        self._paths = paths
        self._told: set[Path] = set()

    def check(self, path: Path) -> None:
        """Refuse a file that is private. It is not opened: closing it would take the state's lock from SQLite.

        Args:
            path: all links followed.

        Raises:
            OSError: it is private, or not there.

        """
        status = os.stat(path)  # noqa: PTH116 - as os.fstat below
        if self._holds(path, status):
            if path not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(path)
                LOG.warning("%r was asked for and is not sent, since it is private: keep it elsewhere", str(path))
            raise FileNotFoundError(2, "private")

    def check_root(self, root: Path) -> None:
        """Refuse a folder, all links followed, that is the app's own or above it: all in it would be shown.

        Raises:
            OSError: it is.

        """
        home = self._paths.home
        if home is not None and _identity(root) in {_identity(each) for each in (home, *home.resolve().parents)}:
            raise FileNotFoundError(2, "the app's own folder")

    def _holds(self, path: Path, status: os.stat_result) -> bool:
        identity = (status.st_dev, status.st_ino)
        files = {_identity(each) for each in self._paths.files}
        if identity in files or identity in set(_logs()):
            return True
        folders = {_identity(each) for each in self._paths.folders} - {None}
        if any(_identity(parent) in folders for parent in path.parents):
            return True
        return status.st_nlink > 1 and identity in set(self._in_folders())

    def _in_folders(self) -> Iterator[Identity]:
        left = _MOST_ENTRIES
        for folder in self._paths.folders:
            for parent, _, names in os.walk(folder):
                for name in names[:left]:
                    left -= 1
                    found = _identity(Path(parent, name))
                    if found is not None:
                        yield found


NOTHING_PRIVATE = Private(PrivatePaths())


def _identity(path: Path) -> Identity | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - one call, and no exception but OSError and ValueError
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _logs() -> Iterator[Identity]:
    """Yield the files that the process writes its log to: those of its output, and of handlers of logging."""
    for descriptor in (1, 2, *_descriptors()):
        with suppress(OSError):
            status = os.fstat(descriptor)
            yield status.st_dev, status.st_ino


def _descriptors() -> Iterator[int]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            with suppress(OSError, ValueError, AttributeError):
                yield handler.stream.fileno()
