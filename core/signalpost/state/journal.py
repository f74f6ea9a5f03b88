"""The journal that a server leaves beside its state when it is killed in the middle of a transaction.

SQLite puts back by it what the transaction had overwritten, into whatever database stands there by then: a copy that
was put in the file's place would become a mixture of both. So each transaction counts the database on (``PRAGMA
schema_version``, of which SQLite itself asks only that it changes): the count stands in the first page, whose old
content is the journal's first record, and tells whether both belong together.

https://www.sqlite.org/fileformat.html, section 3, has the journal's form.
"""

import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_HEAD = struct.Struct(">8s12xII")  # of it: what it begins with, the size of a sector, and that of a page
_NUMBER = struct.Struct(">I")
_COUNT_AT = 40  # in the first page
_LARGEST = 65_536  # of sectors and pages
_WRAP = 0x7FFFFFFF


def count_on(connection: sqlite3.Connection) -> None:
    """Count a database on, as the first thing of a transaction."""
    (count,) = connection.execute("PRAGMA schema_version").fetchone()
    begin_count(connection, count + 1)


def begin_count(connection: sqlite3.Connection, count: int) -> None:
    """Give a database its count."""
    connection.execute(f"PRAGMA schema_version = {count & _WRAP}")


def is_foreign(journal: Path, database: Path) -> bool:
    """Return whether a journal is of another database than the one that stands beside it; False if that is not known.

    A server that runs beside this may write both meanwhile: its count is looked at before and behind the journal, and
    if it has not changed, what was read between is of that time.

    Args:
        journal: that may be there.
        database: which is opened by SQLite alone, since whoever opens and closes it otherwise ends the locks of this
            process.

    """
    before = _count_in_database(database)
    found = _count_in_journal(journal)
    if before is None or found is None or _count_in_database(database) != before:
        return False
    return before not in {found, (found + 1) & _WRAP}


def _count_in_journal(journal: Path) -> int | None:
    """Return the count of a database before the transaction of a journal; None if that does not stand there."""
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
    """Return the count of a database as it stands there, whatever its journal says."""
    address = f"file:{quote(str(database))}?mode=ro&immutable=1"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as connection:
        (count,) = connection.execute("PRAGMA schema_version").fetchone()
        return int(count)
    return None
