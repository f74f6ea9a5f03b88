"""The file that keeps the state over restarts: SQLite, which one server holds alone.

Each key of the state is a row, its value JSON. Anybody may look into the file while no server runs::

    sqlite3 state.db "select * from state"
"""

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from signalpost.errors import StateFileError
from signalpost.signals.frozen import freeze

APPLICATION = 0x53506F73
"""Stands in the file's head (``PRAGMA application_id``), so that no other program's database is taken for a state."""

VERSION = 1

GONE = object()
"""In place of a value: the key is to be taken out."""

_BYTE = 0xFF
# What SQLite keeps beside its file.
_BESIDE = ("-wal", "-shm", "-journal")
_CREATE = "CREATE TABLE state (key TEXT NOT NULL UNIQUE, value TEXT NOT NULL)"
_PUT = "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class StateFile:
    """An open file. Make one with `open`. Only one thread uses it at a time.

    Attributes:
        path: of the file.

    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> "tuple[StateFile, dict[str, Any]]":
        """Open a file, or make it, and read its entries; from now on nobody else can.

        Raises:
            StateFileError: it cannot be used; the text, one line, says why and what to do.

        """
        try:
            _make(path)
            connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StateFileError(f"{path} cannot be opened: {_reason(error)}") from None
        try:
            _prepare(connection, path)
            return cls(path, connection), _read(connection, path)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise StateFileError(f"{path} {_what_to_do(error)}") from None
            raise

    def write(self, changes: Mapping[str, Any]) -> None:
        """Write values by key, all of them or none; they are on the disk when this returns.

        Args:
            changes: JSON values, or `GONE`.

        Raises:
            sqlite3.Error: they cannot be written.

        """
        puts = [(key, orjson.dumps(value).decode()) for key, value in changes.items() if value is not GONE]
        gone = [(key,) for key, value in changes.items() if value is GONE]
        connection = self._connection
        connection.execute("BEGIN")
        try:
            connection.executemany(_PUT, puts)
            connection.executemany("DELETE FROM state WHERE key = ?", gone)
            connection.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):  # a full disk has rolled back already
                connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Give the file free."""
        self._connection.close()


def _make(path: Path) -> None:
    """Make an empty file that only its owner reads, if there is none.

    One that is there must not be opened and closed here: that would take away the lock of a server of this process
    (POSIX, fcntl: a process has one lock on a file, and closing any of its descriptors ends it).
    """
    for name in (path, *(path.with_name(path.name + suffix) for suffix in _BESIDE)):
        if name.is_symlink():  # which SQLite would follow, and overwrite what is there
            raise StateFileError(f"{name} is a symbolic link, which is not followed: name the file itself")
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Lock the database, see that it is sound and ours, and make its table if it is new.

    Until it is known to be ours, nothing of it is changed.
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
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if not tables:
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(_CREATE)
        connection.execute("COMMIT")


def _read(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Give all entries, frozen, in the order in which their keys came."""
    entries: dict[str, Any] = {}
    for key, value in connection.execute("SELECT key, value FROM state ORDER BY rowid"):
        try:
            entries[key] = freeze(json.loads(value))
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
