"""The journal that a server leaves beside its database when it is killed during a transaction.

SQLite uses it to restore what the transaction had overwritten, in whatever database is there by then: a copy that had
replaced the file would become a mixture of both. So each transaction increments a count in the database (``PRAGMA
schema_version``, which SQLite only requires to change). The count is in the first page, whose old content is the
journal's first record, and shows whether both belong together.

https://www.sqlite.org/fileformat.html, section 3, defines the journal's format.
"""

import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_HEAD = struct.Struct(">8s12xII")  # of the journal: its first bytes, the size of a sector, and that of a page
_NUMBER = struct.Struct(">I")
_COUNT_AT = 40  # in the first page
_LARGEST = 65_536  # of sectors and pages
_WRAP = 0x7FFFFFFF


def count_on(connection: sqlite3.Connection) -> None:
    """Increment the count of a database, as the first statement of a transaction."""
    (count,) = connection.execute("PRAGMA schema_version").fetchone()
    begin_count(connection, count + 1)


def begin_count(connection: sqlite3.Connection, count: int) -> None:
    """Set the first count of a database."""
    connection.execute(f"PRAGMA schema_version = {count & _WRAP}")


def is_foreign(journal: Path, database: Path) -> bool:
    """Return whether a journal belongs to another database than the one beside it; False if that is unknown.

    Another running server may write both meanwhile: the count is read before and after the journal, and if it has not
    changed, the journal read between belongs to it.

    Args:
        journal: that may exist.
        database: opened only by SQLite, since opening and closing it in another way would end the locks of this
            process.
    """
    before = _count_in_database(database)
    found = _count_in_journal(journal)
    if before is None or found is None or _count_in_database(database) != before:
        return False
    return before not in {found, (found + 1) & _WRAP}


def _count_in_journal(journal: Path) -> int | None:
    """Return the count of a database before the transaction of a journal; None if the journal lacks it."""
    try:
        with journal.open("rb") as file:
            magic, sector, page = _HEAD.unpack(file.read(_HEAD.size))
            if magic != _MAGIC or max(sector, page) > _LARGEST:
                return None
            file.seek(sector)
            record = file.read(_NUMBER.size + page)
    except (OSError, struct.error):
        return None
    if len(record) < _NUMBER.size + page or _NUMBER.unpack_from(record) != (1,):
        return None
    (count,) = _NUMBER.unpack_from(record, _NUMBER.size + _COUNT_AT)
    return int(count)


def _count_in_database(database: Path) -> int | None:
    """Return the count of a database as stored in its file, whatever its journal says."""
    address = f"file:{quote(str(database))}?mode=ro&immutable=1"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as connection:
        (count,) = connection.execute("PRAGMA schema_version").fetchone()
        return int(count)
    return None
