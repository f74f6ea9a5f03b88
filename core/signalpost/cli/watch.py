"""The files of an app, and when they have changed.

The system reports events in a folder; the files themselves show whether they changed: by time, size, inode and mode. So
it does not matter how an editor saves: in place, by renaming another file over this one, or by changing a symbolic
link. Folders are watched, never files: a folder that is replaced is found again. Only the app's own files in a folder
count, Python of plugins and included YAML: programs write logs, databases and caches beside those.

A change counts when the file has stopped changing. A file that keeps changing does not delay the changes of others, and
one that causes reloads again and again is waited for longer.
"""

import asyncio
import fcntl
import logging
import os
import signal
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeVar

from watchfiles import awatch

from signalpost.cli.standing import is_ending
from signalpost.plan import Plan
from signalpost.yaml.includes import SUFFIXES

LOG = logging.getLogger(__name__)

QUIET = 0.1
"""Seconds without a further change after which a burst is over: a checkout, or an editor that saves several files."""

LOOK = 1_000
"""Milliseconds between two checks of the files without a report of the system (some network file systems never send
any)."""

PATIENCE = 2.0
"""Seconds for which files that keep changing delay the changes of others."""

OPEN = 10.0
"""Seconds without a change for which a file that is open for writing is waited for."""

BURST, WITHIN = 10, 10.0
"""How many reloads a file may cause in this many seconds."""

REST, RECOVERY = 5.0, 60.0
"""Seconds for which a file that causes more must not change, until it has caused none for this many seconds."""

_GRAIN = 20_000_000  # nanoseconds by which a file's times may be behind the clock, with a margin
_CODE = ".py"
_NOISE = ("~", ".pyc", ".swp", ".swx", ".tmp")
_VIM_TRIES = "4913"  # a file that Vim creates to test whether it may

Stamp = tuple[int, int, int, int]
"""Time of the last change in nanoseconds, size, inode, mode."""

Stamps = Mapping[Path, Stamp]

T = TypeVar("T")


class Pace:
    """How long a file must be unchanged before its change counts.

    Args:
        clock: returns seconds; `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._caused: dict[Path, deque[float]] = {}
        self._tired: set[Path] = set()

    def rest(self, file: Path) -> float:
        """Return for how many seconds a file must be unchanged."""
        now, times = self._clock(), self._caused.get(file, deque[float]())
        if file in self._tired and now - times[-1] < RECOVERY:
            return REST
        self._tired.discard(file)
        if len(times) < BURST or now - times[0] > WITHIN:
            return QUIET
        self._tired.add(file)
        LOG.warning(
            "%s changes again and again (%d reloads in %g s): from now on it counts when it has been left alone for "
            "%g s; what a program writes belongs elsewhere than among what the app is made of",
            file,
            BURST,
            WITHIN,
            REST,
        )
        return REST

    def caused(self, files: Iterable[Path]) -> None:
        """Note that changes of these files caused a reload."""
        now = self._clock()
        for file in files:
            self._caused.setdefault(file, deque(maxlen=BURST)).append(now)


@dataclass(frozen=True, slots=True)
class AppFiles:
    """The files of an app.

    Attributes:
        files: absolute; existing or not. A folder among them means the YAML files below it.
        code: folders, meaning the Python files below them; absolute.
        data: the files that only plugins have read, during their import.
    """

    files: frozenset[Path]
    code: frozenset[Path] = frozenset()
    data: frozenset[Path] = frozenset()

    @classmethod
    def of(cls, plan: Plan) -> "AppFiles":
        """Return the files from which a plan was loaded."""
        templates = (file for rule in plan.routes for file in rule.templates)
        package = plan.registry.package
        data = package.data() if package is not None else frozenset()
        files = frozenset((*plan.config.files, *templates))
        return cls(files | data, frozenset({plan.config.plugins.folder}), data - files)

    def and_of(self, files: Iterable[str]) -> "AppFiles":
        """Return these and additional ones, such as those with problems."""
        more = frozenset(Path(os.path.abspath(file)) for file in files)  # noqa: PTH100 - keeps symlinks
        return AppFiles(self.files | more, self.code, self.data - more)

    def cover(self, file: Path) -> bool:
        """Return whether a file is one of these."""
        if file in self.files:
            return True
        return (file.suffix == _CODE and not self.code.isdisjoint(file.parents)) or (
            file.suffix in SUFFIXES and not self.files.isdisjoint(file.parents)
        )

    def stamps(self) -> Stamps:
        """Return the stamp of each existing file, which distinguishes its states."""
        found: dict[Path, Stamp] = {}
        for file in self._each():
            with suppress(OSError, ValueError):
                status = os.stat(file)  # noqa: PTH116 - a name may be of any kind here
                found[file] = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
        return found

    def _each(self) -> Iterator[Path]:
        for folder, suffixes in self._trees():
            for place, _, names in _walk(folder):
                yield from (place / name for name in names if name.endswith(suffixes))
        yield from (file for file in self.files if not os.path.isdir(file))  # noqa: PTH112 - never raises

    def _trees(self) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield the folders to search, each with the suffixes that count there."""
        yield from ((folder, (_CODE,)) for folder in self.code)
        yield from ((file, SUFFIXES) for file in self.files if os.path.isdir(file))  # noqa: PTH112 - never raises

    def _folders(self) -> set[Path]:
        """Return all existing folders in which a change may happen."""
        found: set[Path] = set()
        for file in (*self.files, *self.code):
            found.add(next(parent for parent in file.parents if os.path.isdir(parent)))  # noqa: PTH112 - never raises
        for folder, _ in self._trees():
            found.update(place for place, _, _ in _walk(folder))
        return found

    async def changed(self, since: Stamps, pace: Pace | None = None) -> None:
        """Wait until something differs from `since`, and has been unchanged for a moment.

        Args:
            since: the earlier stamps of the files.
            pace: determines the length of that moment; the shortest one without it.
        """
        pace = pace or Pace()
        while True:
            if await self.look() == since:
                await self._told(since)
            if await self._settle(since, pace):
                return

    async def look(self) -> Stamps:
        """Return `stamps` without blocking the loop: a folder may be very large, and a disk slow."""
        return await _apart(self.stamps)

    async def _told(self, since: Stamps) -> None:
        """Wait until something differs, woken by the system if possible."""
        try:
            await self._woken(since)
        except BaseException as error:  # too many watches, a name that is not UTF-8, an odd file system, a panic
            if is_ending(error):
                raise
            LOG.info("the system does not tell of changes (%s); files are looked at every second", error)
            while await self.look() == since:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(LOOK / 1_000)

    async def _woken(self, since: Stamps) -> None:
        # Yields after `LOOK` at the latest, so that a change during its start is seen too.
        events = awatch(
            *await _apart(self._folders),
            recursive=False,
            watch_filter=None,
            step=round(QUIET * 1_000),
            rust_timeout=LOOK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        async with aclosing(events):
            async for _ in events:
                if await self.look() != since:
                    return

    async def _settle(self, since: Stamps, pace: Pace) -> bool:
        """Wait until changed files are unchanged for a while; return whether they differ then: it may be undone."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        seen: dict[Path, tuple[Stamp | None, float]] = {}
        while True:
            now, stamps = clock(), await self.look()
            moved = [file for file in since.keys() | stamps.keys() if since.get(file) != stamps.get(file)]
            if not moved:
                return False
            for file in moved:
                if file not in seen or seen[file][0] != stamps.get(file):
                    seen[file] = stamps.get(file), now
            still = [file for file in moved if await _rests(file, now - seen[file][1], pace)]
            if still and (len(still) == len(moved) or now - begun >= PATIENCE):
                pace.caused(still)
                return True
            await asyncio.sleep(QUIET)


def later(stamps: Stamps, since: int) -> frozenset[Path]:
    """Return the files that may have been saved after a moment, in nanoseconds since the epoch.

    This uses the time of the inode, which moving or copying a file to its place also updates.
    """
    found = set()
    for file in stamps:
        with suppress(OSError, ValueError):
            if file.stat().st_ctime_ns >= since - _GRAIN:
                found.add(file)
    return frozenset(found)


def is_written(file: Path) -> bool:
    """Return whether a process has a file open for writing, as far as the system reports it.

    Linux grants no read lease for such a file (fcntl(2), F_SETLEASE). It grants none for other users' files either, nor
    on most network file systems: then the answer is unknown, and counts as no.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116 - opening a pipe or a device may do something
            return False
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        # A process that opens it meanwhile causes a signal here, whose default would end the process; that of SIGURG
        # does not.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


async def _rests(file: Path, seconds: float, pace: Pace) -> bool:
    """Return whether a file that has not changed for this long counts as settled."""
    if seconds < pace.rest(file):
        return False
    return seconds >= OPEN or not await _apart(is_written, file)


# A separate thread, since plugins may block all threads of the loop's executor.
_THREAD = ThreadPoolExecutor(1, "signalpost watch")


async def _apart(function: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREAD, function, *arguments)


def _has_code(names: Iterable[str]) -> bool:
    return any(name.endswith(_CODE) for name in names)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield a folder and all below it, except what programs store there for themselves.

    Symbolic links to Python are followed: plugins are imported through them, too. Others may lead anywhere, to very
    large folders.
    """
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or (place != str(folder) and os.path.islink(place) and not _has_code(names)):  # noqa: PTH114 - never raises
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
        told = [name for name in names if name[0] != "." and not name.endswith(_NOISE) and name != _VIM_TRIES]
        yield Path(place), folders, told
