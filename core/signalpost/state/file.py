"""The file that preserves the state across restarts: SQLite, locked by one server.

Each key of the state is a row, its value JSON. The file can be inspected while no server runs::

    sqlite3 state.db "select * from state"

Bans and revocations have a table of their own beside it (`signalpost.state.revoked`).

Only the changes of a large value are written (`signalpost.state.edits`), to a separate table. They are merged into the
value when they are half as long as it, and when the server stops.

The file is complete after each transaction (`signalpost.database`).
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from signalpost.database import DatabaseFile, Kind, reason_of
from signalpost.errors import StateFileError
from signalpost.state.edits import apply_edits, edits_between
from signalpost.state.frozen import freeze, weight_of
from signalpost.state.revoked import RevokedKey, RevokedRow, create_revoked, read_revoked, write_revoked

GONE = object()
"""In place of a value: the key is to be removed."""

_CREATE = "CREATE TABLE state (key TEXT NOT NULL UNIQUE, value TEXT NOT NULL)"
_CREATE_EDITS = "CREATE TABLE IF NOT EXISTS edit (id INTEGER PRIMARY KEY, key TEXT NOT NULL, edit TEXT NOT NULL)"
_LARGE = 4096  # bytes of a value from which only changed parts are written
_PUT = "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(_CREATE)
    connection.execute(_CREATE_EDITS)
    create_revoked(connection)


KIND = Kind(word="state", application=0x53506F73, version=1, create=_create, error=StateFileError)
"""Files of a state."""


class StateFile(DatabaseFile):
    """An open file. Create one with `open`. Only one thread uses it at a time.

    Attributes:
        revoked: the bans and revocations that it held when it was opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, KIND)
        self.revoked: Mapping[RevokedKey, RevokedRow] = {}
        self._written: dict[str, Any] = {}  # large values
        self._edited: dict[str, int] = {}  # bytes of the edits of each key

    @classmethod
    def open(cls, path: Path) -> "tuple[StateFile, dict[str, Any]]":
        """Open or create a file, lock it, and read its entries.

        Raises:
            StateFileError: it cannot be used; the text, one line, says why and what to do.
        """
        file = cls(path)
        with file._opening() as connection:
            connection.execute(_CREATE_EDITS)  # older files have no edits
            create_revoked(connection)
            file.revoked = file._read_revoked()
            entries = file._read()
            file._written = {key: value for key, value in entries.items() if weight_of(value) >= _LARGE}
            file._fold({key: entries[key] for (key,) in connection.execute("SELECT DISTINCT key FROM edit")})
        return file, entries

    def write(self, changes: Mapping[Any, Any]) -> None:
        """Write values by key in one transaction; they are on the disk when this returns.

        Args:
            changes: JSON values by keys of the state, rows by keys of bans and revocations, or `GONE`.

        Raises:
            sqlite3.Error: they cannot be written.
        """
        values = {key: value for key, value in changes.items() if isinstance(key, str)}
        rows = {key: row for key, row in changes.items() if isinstance(key, RevokedKey)}
        wholes, edits = self._parted(values)
        gone = [(key,) for key, value in values.items() if value is GONE]
        if not changes:
            return
        with self._transaction() as connection:
            connection.executemany(_PUT, wholes.items())
            connection.executemany("DELETE FROM edit WHERE key = ?", [*((key,) for key in wholes), *gone])
            connection.executemany("DELETE FROM state WHERE key = ?", gone)
            connection.executemany("INSERT INTO edit (key, edit) VALUES (?, ?)", edits)
            lifted = [key for key, row in rows.items() if row is GONE]
            write_revoked(connection, {key: row for key, row in rows.items() if row is not GONE}, lifted)
        for key, edit in edits:
            self._edited[key] = self._edited.get(key, 0) + len(edit)
        for key in (*wholes, *(key for (key,) in gone)):
            self._edited.pop(key, None)
        for key, value in values.items():
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

    def _read(self) -> dict[str, Any]:
        """Return all entries, frozen, in the order in which their keys were added."""
        edits: dict[str, list[str]] = {}
        for key, edit in self._connection.execute("SELECT key, edit FROM edit ORDER BY id"):
            edits.setdefault(key, []).append(edit)
        entries: dict[str, Any] = {}
        for key, value in self._connection.execute("SELECT key, value FROM state ORDER BY rowid"):
            try:
                entries[key] = freeze(apply_edits(json.loads(value), map(json.loads, edits.get(key, ()))))
            except (ValueError, TypeError, RecursionError) as error:
                raise self._damaged(f'the value of "{key}": {reason_of(error)}') from None
        return entries

    def _read_revoked(self) -> Mapping[RevokedKey, RevokedRow]:
        try:
            return read_revoked(self._connection)
        except ValueError as error:
            raise self._damaged(str(error)) from None

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
