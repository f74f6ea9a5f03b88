"""Which files make up an app, and when they have changed.

The system tells when something happens in a folder; whether that is a change is for the files themselves to say: by
time, size and inode. So it does not matter how an editor saves: in place, by renaming another file over this one, or by
turning a symbolic link elsewhere. Folders are looked into, never files held: a folder that is replaced is found again.
"""

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from watchfiles import awatch

from signalpost.plan import Plan

LOG = logging.getLogger(__name__)

QUIET = 0.1
"""Seconds without a further change after which a burst is over: a checkout, or an editor that saves several files."""

LOOK = 1_000
"""Milliseconds between two looks at the files when the system tells nothing (some network file systems never do)."""

_NOISE = ("~", ".pyc", ".swp", ".swx", ".tmp")
_VIM_TRIES = "4913"  # a file that Vim makes to see whether it may

Stamp = tuple[int, int, int]
"""Time of the last change in nanoseconds, size, inode."""


@dataclass(frozen=True, slots=True)
class AppFiles:
    """The files of an app.

    Attributes:
        files: absolute; there or not. A folder among them stands for all that is below it.

    """

    files: frozenset[Path]

    @classmethod
    def of(cls, plan: Plan) -> "AppFiles":
        """Give the files that a plan was made of."""
        templates = (file for rule in plan.routes for file in rule.templates)
        return cls(frozenset((*plan.config.files, *templates, plan.config.plugins.folder)))

    def and_of(self, files: Iterable[str]) -> "AppFiles":
        """Give these and further ones, such as those that are at fault."""
        return AppFiles(self.files | {Path(os.path.abspath(file)) for file in files})  # noqa: PTH100 - keeps symlinks

    def cover(self, file: Path) -> bool:
        """Tell whether a file is one of these."""
        return file in self.files or any(parent in self.files for parent in file.parents)

    def stamps(self) -> Mapping[Path, Stamp]:
        """Tell of each file that is there what tells one state of it from another."""
        found: dict[Path, Stamp] = {}
        for file in self._each():
            try:
                status = file.stat()
            except OSError:
                continue
            found[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    def _each(self) -> Iterator[Path]:
        for file in self.files:
            if file.is_dir():
                for folder, _, names in _walk(file):
                    yield from (folder / name for name in names)
            else:
                yield file

    def _folders(self) -> set[Path]:
        """Give all folders in which something may happen, as far as they are there."""
        found: set[Path] = set()
        for file in self.files:
            found.add(next(parent for parent in file.parents if parent.is_dir()))
            if file.is_dir():
                found.update(folder for folder, _, _ in _walk(file))
        return found

    async def changed(self, since: Mapping[Path, Stamp]) -> None:
        """Wait until something is otherwise than `since`, and no more changes for a moment."""
        try:
            if self.stamps() == since:
                await self._told(since)
        except (OSError, RuntimeError) as error:  # too many watches (fs.inotify.max_user_watches), an odd file system
            LOG.info("the system does not tell of changes (%s); files are looked at every second", error)
            while self.stamps() == since:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(LOOK / 1_000)
        await self._settle()

    async def _told(self, since: Mapping[Path, Stamp]) -> None:
        """Wait until something is otherwise, woken by the system."""
        # Yields after `LOOK` at the latest, so that what has changed while it began is seen too.
        events = awatch(
            *self._folders(),
            recursive=False,
            watch_filter=None,
            step=round(QUIET * 1_000),
            rust_timeout=LOOK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        async with aclosing(events):
            async for _ in events:
                if self.stamps() != since:
                    return

    async def _settle(self) -> None:
        """Wait until the files have been left alone for a moment."""
        before: Mapping[Path, Stamp] | None = None
        while (now := self.stamps()) != before:
            before = now
            await asyncio.sleep(QUIET)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Go through a folder and all below it, but for what programs keep there for themselves."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
        told = [name for name in names if name[0] != "." and not name.endswith(_NOISE) and name != _VIM_TRIES]
        yield Path(place), folders, told
