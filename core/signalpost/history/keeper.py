"""Write-behind for the streams: what has changed is written in batches, in a thread.

A batch is one transaction, at most `DELAY` seconds after its first change. So a crash loses at most that time, plus the
time of the batch before. The file does not say how much it lost: so after a crash every stream has another epoch.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import orjson

from signalpost.config.model import HistoryConfig, MemoryConfig
from signalpost.database import fate_of, reason_of
from signalpost.errors import HistoryFileError
from signalpost.history.file import EntryRecord, HistoryFile, Kept, StreamChange, StreamRecord
from signalpost.history.position import Position
from signalpost.history.stream import Entry, Stream
from signalpost.history.streams import Streams
from signalpost.paths import Apart, Place
from signalpost.places import SourceMap

LOG = logging.getLogger(__name__)

DELAY = 0.2
"""Seconds during which changes are collected into a batch."""

LOOK = 10
"""Batches, even empty ones, between two checks that the file still exists and is ours."""

RETRY = 5.0
"""Seconds until a failed batch is tried again."""


@dataclass(frozen=True, slots=True)
class KeptHistory:
    """What a file held when it was opened.

    Attributes:
        file: the open file.
        streams: as they were written.
        sessions: of clients that some values leave out.
        in_order: whether the last server stopped in order, so that the positions that it gave are still good.
    """

    file: HistoryFile
    streams: Kept
    sessions: frozenset[str]
    in_order: bool

    @classmethod
    def open(cls, config: MemoryConfig, source: SourceMap) -> "KeptHistory | None":
        """Open the file that routes.yaml names; None if it names none.

        Raises:
            HistoryFileError: the file cannot be used; named with its place in routes.yaml.
        """
        if config.file is None:
            return None
        try:
            return cls(*HistoryFile.open(config.file))
        except HistoryFileError as error:
            raise HistoryFileError(f"{source.place((*config.keys, 'file'))}: history.file: {error}") from None

    def close(self) -> None:
        """Close the file as it was found: nothing was accepted since."""
        self.file.close(clean=self.in_order, sessions=self.sessions)


class Keeper:
    """Keeps the streams of a node in a file.

    Args:
        kept: what the file held.
        streams: of the node, still empty.
        config_of: returns how much is kept of what is sent to a place; None is nothing.
        clock: returns monotonic seconds, as for the streams.
    """

    def __init__(
        self,
        kept: KeptHistory,
        streams: Streams,
        config_of: Callable[[Place], HistoryConfig | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = kept.file
        self._streams = streams
        self._clock = clock
        self._running: asyncio.Task[None] | None = None
        self._failing = False
        streams.moved = {}
        self._restore(kept, config_of)

    def _restore(self, kept: KeptHistory, config_of: Callable[[Place], HistoryConfig | None]) -> None:
        away = time.time() - self._clock()
        restored: list[Stream] = []
        for record, entries in kept.streams:
            place = place_of(record.place)
            config = config_of(place)
            if config is None:
                self._streams.gone[place] = None
                continue
            stream = Stream(place, config)
            found = [
                Entry(each.data, each.is_text, each.left_out, each.id, min(each.kept - away, self._clock()))
                for each in entries
            ]
            stream.restore(Position(record.epoch, record.top, record.last), record.before, found)
            stream.used_at = min(record.used - away, self._clock())
            stream.written = stream.top
            if not kept.in_order:
                stream.break_off()
            restored.append(stream)
        restored.sort(key=_used_at)
        self._streams.restore(restored)
        if not kept.in_order:
            self._streams.moved = dict.fromkeys(restored)

    def start(self) -> None:
        """Begin to write."""
        self._running = asyncio.get_running_loop().create_task(self._run(), name="history")

    async def stop(self, sessions: Collection[str]) -> None:
        """Write what is left, and close the file with the mark of a stop in order, if all could be written.

        Args:
            sessions: of clients that may come back to what leaves them out.
        """
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        whole = await self._write(looks=True)
        try:
            await asyncio.to_thread(self._file.close, clean=whole, sessions=sessions)
        except sqlite3.Error as error:
            LOG.error("%s: the last changes are lost: %s", self._file.path, reason_of(error))  # noqa: TRY400

    async def _run(self) -> None:
        for turn in count(1):
            await asyncio.sleep(RETRY if self._failing else DELAY)
            # A write that has begun ends before a stop goes on: only one thread uses the file at a time.
            writing = asyncio.ensure_future(self._write(looks=not turn % LOOK))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing
                raise

    async def _write(self, *, looks: bool) -> bool:
        """Write what has changed; return whether the file is complete.

        Args:
            looks: whether to look if the file is still there although nothing has changed.
        """
        streams = self._streams
        if not (streams.moved or streams.gone or looks):
            return not self._failing
        try:
            if not self._file.is_ours():
                await self._renew()
            moved, gone, changes = self._taken()
            try:
                await asyncio.to_thread(self._file.write, changes, [text_of(place) for place in gone])
            except BaseException:
                self._put_back(moved, gone, changes)
                raise
        except (OSError, sqlite3.Error, HistoryFileError) as error:
            if not self._failing:
                LOG.error("%s cannot be written, and is tried again every %g s: %s", self._file.path, RETRY, error)  # noqa: TRY400
            self._failing = True
            return False
        if self._failing:
            LOG.warning("%s is written again", self._file.path)
            self._failing = False
        return True

    def _taken(self) -> tuple[Sequence[Stream], Sequence[Place], Sequence[StreamChange]]:
        """Return what has changed since the last time, and how it is written."""
        streams, away = self._streams, time.time() - self._clock()
        moved, streams.moved = tuple(streams.moved or ()), {}
        gone, streams.gone = tuple(streams.gone), {}
        changes = [_change(stream, away) for stream in moved]
        for stream in moved:
            stream.written = stream.top
        return moved, gone, changes

    def _put_back(self, moved: Iterable[Stream], gone: Iterable[Place], changes: Sequence[StreamChange]) -> None:
        streams = self._streams
        for stream, change in zip(moved, changes, strict=True):
            if change.entries:
                stream.written = change.entries[0].offset - 1
        here = {stream: None for stream in moved if streams.find(stream.place) is stream}
        streams.moved = {**here, **(streams.moved or {})}
        streams.gone = {**{place: None for place in gone if streams.find(place) is None}, **streams.gone}

    async def _renew(self) -> None:
        """Create the file again if it was deleted or replaced: while a server runs, its memory is authoritative."""
        path = self._file.path
        aside = await asyncio.to_thread(self._file.give_up)
        self._file, _, _, _ = await asyncio.to_thread(HistoryFile.open, path)
        LOG.warning(
            "%s %s while the server runs: it is written anew, with what the server has in memory", path, fate_of(aside)
        )
        for stream in self._streams:
            stream.written = 0
        self._streams.moved = dict.fromkeys(self._streams)


def _change(stream: Stream, away: float) -> StreamChange:
    record = StreamRecord(
        text_of(stream.place), stream.epoch, stream.top, stream.last, stream.before, stream.used_at + away
    )
    entries = [
        EntryRecord(offset, entry.id, entry.kept_at + away, entry.left_out, entry.is_text, entry.data)
        for offset, entry in stream.after(stream.written)
    ]
    return StreamChange(record, stream.first, entries)


def _used_at(stream: Stream) -> float:
    return stream.used_at


def text_of(place: Place) -> str:
    """Return a text for a place, different from those of all others."""
    return orjson.dumps([place.path, *place.endpoints]).decode() if isinstance(place, Apart) else place


def place_of(text: str) -> Place:
    """Return the place that `text_of` has made a text of."""
    if not text.startswith("["):
        return text
    path, *endpoints = orjson.loads(text)
    return Apart(path, tuple(endpoints))
