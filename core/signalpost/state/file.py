"""The file that preserves the state across restarts: SQLite, locked by one server.

Each key of the state is a row, its value JSON. The file can be inspected while no server runs::

    sqlite3 state.db "select * from state"

Only the changes of a large value are written (`signalpost.state.edits`), to a separate table. They are merged into the
value when they are half as long as it, and when the server stops.

The file is complete after each transaction (``journal_mode = DELETE``): a copy that replaces it stays as it is, however
the server ended before. With a write-ahead log, the log of the old file would be replayed into the copy. The journal of
a killed server's transaction would be, too (`signalpost.state.journal`).
"""

import json
import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shutil import copyfile
from typing import Any

import orjson

from signalpost.errors import StateFileError
from signalpost.state.edits import apply_edits, edits_between
from signalpost.state.frozen import freeze, weight_of
from signalpost.state.journal import begin_count, count_on, is_foreign

LOG = logging.getLogger(__name__)

APPLICATION = 0x53506F73
"""Stored in the file's header (``PRAGMA application_id``), so that no other program's database is mistaken for a state.
"""

VERSION = 1

GONE = object()
"""In place of a value: the key is to be removed."""

_BYTE = 0xFF
_BITS = 24  # start of the count: files created separately start at others
# Files that SQLite stores beside its own.
_JOURNAL = "-journal"
_BESIDE = ("-wal", "-shm", _JOURNAL)
_CREATE = "CREATE TABLE state (key TEXT NOT NULL UNIQUE, value TEXT NOT NULL)"
_CREATE_EDITS = "CREATE TABLE IF NOT EXISTS edit (id INTEGER PRIMARY KEY, key TEXT NOT NULL, edit TEXT NOT NULL)"
_LARGE = 4096  # bytes of a value from which only changed parts are written
_PUT = "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class StateFile:
    """An open file. Create one with `open`. Only one thread uses it at a time.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, entries: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._connection = connection
        self._written = {key: value for key, value in (entries or {}).items() if weight_of(value) >= _LARGE}
        self._edited: dict[str, int] = {}  # bytes of the edits of each key
        self._look = _look(path)
        self._identity = (self._look or ())[:2]

    @classmethod
    def open(cls, path: Path) -> "tuple[StateFile, dict[str, Any]]":
        """Open or create a file, lock it, and read its entries.

        Raises:
            StateFileError: it cannot be used; the text, one line, says why and what to do.
        """
        try:
            _make(path)
            _leave_out_foreign(path)
            connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StateFileError(f"{path} cannot be opened: {_reason(error)}") from None
        try:
            _prepare(connection, path)
            entries = _read(connection, path)
            file = cls(path, connection, entries)
            file._fold({key: entries[key] for (key,) in connection.execute("SELECT DISTINCT key FROM edit")})
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise StateFileError(f"{path} {_what_to_do(error)}") from None
            raise
        return file, entries

    def write(self, changes: Mapping[str, Any]) -> None:
        """Write values by key in one transaction; they are on the disk when this returns.

        Args:
            changes: JSON values, or `GONE`.

        Raises:
            sqlite3.Error: they cannot be written.
        """
        wholes, edits = self._parted(changes)
        gone = [(key,) for key, value in changes.items() if value is GONE]
        if not (wholes or edits or gone):
            return
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            count_on(connection)
            connection.executemany(_PUT, wholes.items())
            connection.executemany("DELETE FROM edit WHERE key = ?", [*((key,) for key in wholes), *gone])
            connection.executemany("DELETE FROM state WHERE key = ?", gone)
            connection.executemany("INSERT INTO edit (key, edit) VALUES (?, ?)", edits)
            connection.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):  # a full disk has caused a rollback already
                connection.execute("ROLLBACK")
            raise
        self._look = _look(self.path)
        for key, edit in edits:
            self._edited[key] = self._edited.get(key, 0) + len(edit)
        for key in (*wholes, *(key for (key,) in gone)):
            self._edited.pop(key, None)
        for key, value in changes.items():
            if value is not GONE and weight_of(value) >= _LARGE:
                self._written[key] = value
            else:
                self._written.pop(key, None)

    def _parted(self, changes: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """Split what is to be written into whole values by key, and edits of values that are written already."""
        wholes: dict[str, str] = {}
        edits: list[tuple[str, str]] = []
        for key, value in changes.items():
            if value is GONE:
                continue
            room = weight_of(value) // 2 - self._edited.get(key, 0)
            few = _few_edits(self._written[key], value, room) if key in self._written else None
            if few is None:
                wholes[key] = orjson.dumps(value).decode()
            else:
                edits += [(key, edit) for edit in few]
        return wholes, edits

    def _fold(self, values: Mapping[str, Any]) -> None:
        """Write whole values in place of their edits."""
        for key in values:
            self._written.pop(key, None)
        if values:
            self.write(values)

    def found(self) -> tuple[int, ...] | None:
        """Return the identity of the file at the path now, to detect changes; None if there is none."""
        return _look(self.path)

    def is_ours(self) -> bool:
        """Return whether the file at the path is still the one opened and written here, unchanged by others."""
        look = self.found()
        return look is not None and look == self._look and look[:2] == self._identity

    def give_up(self) -> Path | None:
        """Close a file that is not ours any more, and move the file in its place aside, unchanged.

        Returns:
            The new path of that file; None if there was none.

        Raises:
            OSError: it cannot be moved aside.
        """
        aside: Path | None = None
        if self.path.exists():
            aside = self.path.with_name(f"{self.path.name}.found")
            # A copy, for it may be the file that is open here, and closing may write to it.
            copyfile(self.path, aside)
            aside.chmod(0o600)
            self.path.unlink()
        with suppress(sqlite3.Error):
            self._connection.close()
        for name in _beside(self.path):
            name.unlink(missing_ok=True)
        return aside

    def close(self) -> None:
        """Close the file with each value whole, and release the lock."""
        with suppress(sqlite3.Error):  # the edits are valid as well
            self._fold({key: self._written[key] for key in self._edited})
        self._connection.close()


def _few_edits(old: Any, new: Any, room: int) -> list[str] | None:
    """Return edits that together take at most this many bytes; None if they would take more."""
    found: list[str] = []
    for edit in edits_between(old, new):
        # Measured before they are serialized: an item of a list may be the whole value.
        room -= sum(weight_of(part) for part in edit[1:])
        if room < 0:
            return None
        text = orjson.dumps(edit).decode()
        room -= len(text)
        found.append(text)
    return found if room >= 0 else None


def _look(path: Path) -> tuple[int, ...] | None:
    """Return what distinguishes a file from others, and from its later states; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _beside(path: Path) -> Iterator[Path]:
    return (path.with_name(path.name + suffix) for suffix in _BESIDE)


def _make(path: Path) -> None:
    """Create an empty file that only its owner can read, if there is none.

    An existing file must not be opened and closed here: that would release the lock of a server of this process (POSIX,
    fcntl: a process has one lock on a file, and closing any of its descriptors ends it).
    """
    for name in (path, *_beside(path)):
        if name.is_symlink():  # which SQLite would follow, and overwrite the target
            raise StateFileError(f"{name} is a symbolic link, which is not followed: name the file itself")
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _leave_out_foreign(path: Path) -> None:
    """Move a journal aside that belongs to another file than the present one, e.g. to the file before a copy."""
    journal = path.with_name(path.name + _JOURNAL)
    if journal.exists() and is_foreign(journal, path):
        aside = journal.with_name(f"{journal.name}.found")
        journal.replace(aside)
        LOG.warning(
            "%s was left by a server that was killed while it wrote another file than the one that is there now, as "
            "before a copy was put back: the file counts as it is, and the journal is %s now",
            journal,
            aside,
        )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Lock the database, check that it is intact and ours, and create its table if it is new.

    It is not changed until it is known to be ours.
    """
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StateFileError(f"{path} {_DAMAGED} ({' '.join(found.split())})")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and application != APPLICATION:
        raise StateFileError(f"{path} is a database of another program: name a file of its own for the state")
    if version > VERSION:
        raise StateFileError(f"{path} was written by a newer signalpost: run that one, or name another file")
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = EXTRA")
    if tables:
        connection.execute(_CREATE_EDITS)
    else:
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(_CREATE)
        connection.execute(_CREATE_EDITS)
        begin_count(connection, secrets.randbits(_BITS))
        connection.execute("COMMIT")


def _read(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Return all entries, frozen, in the order in which their keys were added."""
    edits: dict[str, list[str]] = {}
    for key, edit in connection.execute("SELECT key, edit FROM edit ORDER BY id"):
        edits.setdefault(key, []).append(edit)
    entries: dict[str, Any] = {}
    for key, value in connection.execute("SELECT key, value FROM state ORDER BY rowid"):
        try:
            entries[key] = freeze(apply_edits(json.loads(value), map(json.loads, edits.get(key, ()))))
        except (ValueError, TypeError, RecursionError) as error:
            raise StateFileError(f'{path} {_DAMAGED} (the value of "{key}": {_reason(error)})') from None
    return entries


_DAMAGED = "is damaged: put a whole copy back, or move it away and begin with an empty state"
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "is in use: another server keeps its state there, or a program looks into it; each server "
    "needs a file of its own",
    sqlite3.SQLITE_NOTADB: "is no file of a state: name one that is not there yet, or a state.db that was kept",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: "cannot be written: no space is left",
    sqlite3.SQLITE_READONLY: "cannot be written by this user",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: this user may not write in its folder",
}


def _what_to_do(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & _BYTE
    return _REMEDIES.get(code) or f"cannot be used: {_reason(error)}"


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).lower() or type(error).__name__
