"""The file that preserves the history across restarts: SQLite, locked by one server.

Each stream is a row, each of its entries another. The file can be inspected while no server runs::

    sqlite3 history.db "select place, offset, datetime(kept, 'unixepoch'), data from stream join entry using (stream)"

The file is complete after each transaction (`signalpost.database`). It is marked when the last server stopped in order,
and only until the next one opens it: without the mark, clients may have read what is not in the file.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from signalpost.database import DatabaseFile, Kind, reason_of
from signalpost.errors import HistoryFileError
from signalpost.words import printable, quoted

_CREATE = (
    """\
CREATE TABLE stream (
    stream INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,
    top INTEGER NOT NULL, last INTEGER NOT NULL, before INTEGER NOT NULL, used REAL NOT NULL
)""",
    """\
CREATE TABLE entry (
    stream INTEGER NOT NULL, offset INTEGER NOT NULL, id INTEGER NOT NULL, kept REAL NOT NULL,
    left_out TEXT, is_text INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (stream, offset)
) WITHOUT ROWID""",
    "CREATE TABLE session (session TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE mark (mark TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID",
)
_MARK = "INSERT INTO mark VALUES ('stopped in order')"
_STREAMS = "SELECT stream, place, epoch, top, last, before, used FROM stream ORDER BY stream"
_ENTRIES = "SELECT stream, offset, id, kept, left_out, is_text, data FROM entry ORDER BY stream, offset"
_PUT = (
    "INSERT INTO stream (place, epoch, top, last, before, used) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (place) DO UPDATE SET epoch = excluded.epoch, top = excluded.top, last = excluded.last, "
    "before = excluded.before, used = excluded.used"
)
_ADD = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)"
_IDS = 1 << 20
_BOOLEANS = (0, 1)


class EntryRecord(NamedTuple):
    """A value of a stream, as it is written.

    Attributes:
        offset: from 1; the entries of a stream have consecutive ones.
        id: see `signalpost.history.position`.
        kept: when, in Unix seconds.
        left_out: the session that does not receive it; None leaves nobody out.
        is_text: whether the value is a text, so that `data` is not JSON.
        data: as plain clients read it.
    """

    offset: int
    id: int
    kept: float
    left_out: str | None
    is_text: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stream without its entries, as it is written.

    Attributes:
        place: a text for the place, no other stream's.
        epoch: see `signalpost.history.stream.Stream`.
        top: the offset of the newest value, and of the last entry if there is one.
        last: the id of that value.
        before: the id of the value before the oldest entry.
        used: when a value was kept last, or a reader left, in Unix seconds.
    """

    place: str
    epoch: str
    top: int
    last: int
    before: int
    used: float


@dataclass(frozen=True, slots=True)
class StreamChange:
    """What becomes of a stream in the file.

    Attributes:
        record: takes the place of the one that is there.
        first: entries with smaller offsets are removed; so are those behind the top.
        entries: to be added; with those that stay, they are all from `first` to the top.
    """

    record: StreamRecord
    first: int
    entries: Sequence[EntryRecord]


Kept = list[tuple[StreamRecord, list[EntryRecord]]]
"""Streams with their entries, oldest first."""


def _create(connection: sqlite3.Connection) -> None:
    for statement in (*_CREATE, _MARK):
        connection.execute(statement)


KIND = Kind(word="history", application=0x53506869, version=1, create=_create, error=HistoryFileError)
"""Files of a history."""


class HistoryFile(DatabaseFile):
    """An open file. Create one with `open`. Only one thread uses it at a time."""

    @classmethod
    def open(cls, path: Path) -> "tuple[HistoryFile, Kept, frozenset[str], bool]":
        """Open or create a file, lock it, read it, and remove the mark of a stop in order.

        Returns:
            The file; its streams, in the order in which they were added; the sessions that were stored with the last
            mark; and whether the mark was there. A new file had it.

        Raises:
            HistoryFileError: it cannot be used; the text, one line, says why and what to do.
        """
        file = cls(path, KIND)
        with file._opening() as connection:
            streams, sessions, in_order = file._read()
            if in_order:
                with file._transaction():
                    connection.execute("DELETE FROM mark")
        return file, streams, sessions, in_order

    def write(self, changes: Sequence[StreamChange], gone: Sequence[str]) -> None:
        """Write streams in one transaction; they are on the disk when this returns.

        Args:
            changes: of streams that are there or new, each stream once.
            gone: places of streams that are removed with their entries, before all changes.

        Raises:
            sqlite3.Error: they cannot be written.
        """
        if not (changes or gone):
            return
        places = [(place,) for place in gone]
        records = [change.record for change in changes]
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM entry WHERE stream = (SELECT stream FROM stream WHERE place = ?)", places
            )
            connection.executemany("DELETE FROM stream WHERE place = ?", places)
            connection.executemany(
                _PUT, ((each.place, each.epoch, each.top, each.last, each.before, each.used) for each in records)
            )
            for change in changes:
                place, top = change.record.place, change.record.top
                (stream,) = connection.execute("SELECT stream FROM stream WHERE place = ?", (place,)).fetchone()
                connection.executemany(_ADD, ((stream, *entry) for entry in change.entries))
                connection.execute("DELETE FROM entry WHERE stream = ? AND offset < ?", (stream, change.first))
                connection.execute("DELETE FROM entry WHERE stream = ? AND offset > ?", (stream, top))

    def close(self, *, clean: bool, sessions: Collection[str] = ()) -> None:
        """Release the lock.

        Args:
            clean: mark the file before, as that of a server that stopped in order.
            sessions: to be stored with the mark, in place of those that are there.

        Raises:
            sqlite3.Error: the mark cannot be written. The lock is released nevertheless.
        """
        try:
            if clean:
                with self._transaction() as connection:
                    connection.execute("DELETE FROM session")
                    connection.executemany("INSERT INTO session VALUES (?)", ((each,) for each in set(sessions)))
                    connection.execute(_MARK)
        finally:
            self._connection.close()

    def _read(self) -> tuple[Kept, frozenset[str], bool]:
        """Return the streams, the sessions, and whether the mark is there."""
        try:
            streams = self._read_streams()
            self._read_entries(streams)
            sessions = [session for (session,) in self._connection.execute("SELECT session FROM session")]
            (marks,) = self._connection.execute("SELECT count(*) FROM mark").fetchone()
        except sqlite3.OperationalError as error:
            # A table or a column is missing, or a text is not UTF-8, for which there is no code.
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
                raise
            raise self._damaged(printable(reason_of(error))) from None
        if not all(isinstance(session, str) for session in sessions):
            raise self._damaged("a session is no text")
        return [*streams.values()], frozenset(sessions), marks > 0

    def _read_streams(self) -> dict[int, tuple[StreamRecord, list[EntryRecord]]]:
        """Return the streams by their numbers in the file, still without entries."""
        streams: dict[int, tuple[StreamRecord, list[EntryRecord]]] = {}
        for row in self._connection.execute(_STREAMS):
            match row:
                case (int(stream), str(place), str(epoch), int(top), int(last), int(before), float(used)) if (
                    top >= 0 and 0 <= last < _IDS and 0 <= before < _IDS and isfinite(used)
                ):
                    streams[stream] = StreamRecord(place, epoch, top, last, before, used), []
                case _:
                    raise self._damaged("a stream has values that none can have")
        if len({record.place for record, _ in streams.values()}) < len(streams):
            raise self._damaged("two streams have the same place")
        return streams

    def _read_entries(self, streams: Mapping[int, tuple[StreamRecord, list[EntryRecord]]]) -> None:
        """Add the entries to their streams."""
        for stream, found in groupby(self._connection.execute(_ENTRIES), itemgetter(0)):
            if stream not in streams:
                raise self._damaged("there are entries of no stream")
            record, entries = streams[stream]
            rows = list(found)
            if not all(map(_is_entry, rows)):
                raise self._damaged(f"the stream {quoted(record.place)} has an entry with values that none can have")
            if [row[1] for row in rows] != [*range(record.top - len(rows) + 1, record.top + 1)]:
                raise self._damaged(f"the entries of the stream {quoted(record.place)} are not all there")
            entries += [
                EntryRecord(offset, id_, kept, left_out, is_text == 1, data)
                for _, offset, id_, kept, left_out, is_text, data in rows
            ]


def _is_entry(row: tuple[Any, ...]) -> bool:
    """Return whether a row of the file has values that an entry can have."""
    _, offset, id_, kept, left_out, is_text, data = row
    return (
        type(offset) is int
        and offset > 0
        and type(id_) is int
        and 0 <= id_ < _IDS
        and type(kept) is float
        and isfinite(kept)
        and (left_out is None or type(left_out) is str)
        and is_text in _BOOLEANS
        and type(data) is bytes
    )
