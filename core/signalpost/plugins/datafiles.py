"""Data files that plugins read during their import: a change of one is a change of the plugin.

Files that this process has written itself, such as a cache, do not count: else a plugin would be imported again because
of its own writes. An audit hook sees both; Python calls it when a file is opened, and never for a message.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CODE = (".py", ".pyc", ".so")
_WRITES = os.O_WRONLY | os.O_RDWR

Stamp = tuple[int, int, int]
"""Time of the last change in nanoseconds, size, inode."""


class _Reading:
    """What one thread reads from a folder during an import.

    Args:
        folder: with a separator at its end.

    Attributes:
        found: the files, absolute, each with a stamp of its state.
        written: the files opened for writing meanwhile, by any code.
    """

    def __init__(self, folder: str) -> None:
        self.found: dict[str, Stamp] = {}
        self.written: set[str] = set()
        self.thread = threading.get_ident()
        self._folder = folder

    def add(self, path: str) -> None:
        """Add a file that is opened for reading."""
        if path.startswith(self._folder) and not path.endswith(_CODE) and (stamp := stamp_of(path)) is not None:
            self.found[path] = stamp


class _Files:
    """The files that the hook has seen; one instance per process, like the hook.

    Attributes:
        read: by imports.
        written: of these, those that this process has written.
    """

    def __init__(self) -> None:
        self.readings: list[_Reading] = []
        self.read: set[str] = set()
        self.written: set[str] = set()
        self._is_hooked = False

    def hook(self) -> None:
        """Install the audit hook, which Python calls for each file that is opened from now on."""
        if not self._is_hooked:
            self._is_hooked = True
            sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                self._note_written(path)
            elif self.readings:
                self._note_read(path)
        elif event == "os.rename":
            self._note_written(arguments[1])

    def _note_written(self, path: object) -> None:
        if not self.readings and not self.read:
            return
        file = _absolute(path)
        if file in self.read:
            self.written.add(file)
        for reading in self.readings:
            reading.written.add(file)

    def _note_read(self, path: object) -> None:
        reading = self.readings[-1]
        if reading.thread == threading.get_ident():
            reading.add(_absolute(path))


_FILES = _Files()


@contextmanager
def read_from(folder: Path) -> Iterator[dict[str, Stamp]]:
    """Record which files of a folder, at any depth, this thread reads for the length of a block."""
    _FILES.hook()
    reading = _Reading(f"{folder}{os.sep}")
    _FILES.readings.append(reading)
    try:
        yield reading.found
    finally:
        _FILES.readings.remove(reading)
        _FILES.read.update(reading.found)
        _FILES.written.update(reading.written & reading.found.keys())


def is_own(path: str | Path) -> bool:
    """Return whether this process has written a file that it had read, or reads, during the import of a plugin."""
    return str(path) in _FILES.written


def stamp_of(path: str) -> Stamp | None:
    """Return a stamp of a file's state; None if it is not a file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path may be of any kind here
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _absolute(path: object) -> str:
    """Return the absolute path of an opened file; nothing for other arguments, such as a descriptor."""
    if isinstance(path, str | bytes | os.PathLike):
        with suppress(OSError, ValueError, TypeError):
            return os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - keeps symbolic links
    return ""
