"""Bans and revocations in the file of the state: a table beside it, of rows that end.

The file can be inspected while no server runs::

    sqlite3 state.db "select kind, name, datetime(until, 'unixepoch') from revoked"
"""

import sqlite3
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, NamedTuple

_CREATE = (
    "CREATE TABLE IF NOT EXISTS revoked (kind TEXT NOT NULL, name TEXT NOT NULL, before REAL NOT NULL, "
    "until REAL NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID"
)
_PUT = "INSERT OR REPLACE INTO revoked VALUES (?, ?, ?, ?)"


class RevokedKey(NamedTuple):
    """What a row is about.

    Attributes:
        kind: ``ban``, ``user`` or ``token``.
        name: of the user, or the id of the token.
    """

    kind: str
    name: str


class RevokedRow(NamedTuple):
    """What a row says; see `signalpost.auth.revocations`.

    Attributes:
        before: tokens that were issued before this moment are meant, in Unix seconds; 0 if that does not matter.
        until: when it ends, in Unix seconds.
    """

    before: float
    until: float


def create_revoked(connection: sqlite3.Connection) -> None:
    """Create the table, if the file is older than it."""
    connection.execute(_CREATE)


def read_revoked(connection: sqlite3.Connection) -> dict[RevokedKey, RevokedRow]:
    """Return all rows.

    Raises:
        ValueError: a row has values that none can have.
    """
    found: dict[RevokedKey, RevokedRow] = {}
    for row in connection.execute("SELECT kind, name, before, until FROM revoked"):
        match row:
            case (str(kind), str(name), float(before), float(until)) if isfinite(before) and isfinite(until):
                found[RevokedKey(kind, name)] = RevokedRow(before, until)
            case _:
                raise ValueError("a ban or revocation has values that none can have")
    return found


def write_revoked(connection: sqlite3.Connection, rows: Mapping[RevokedKey, Any], gone: Iterable[RevokedKey]) -> None:
    """Write rows, and remove others, within a transaction."""
    connection.executemany(_PUT, ((*key, *row) for key, row in rows.items()))
    connection.executemany("DELETE FROM revoked WHERE kind = ? AND name = ?", gone)
