"""A file that one server keeps: SQLite, locked while it is open, complete after each transaction.

The base of the files of the state and of the history, which say what is in them.

The file is complete because it has no write-ahead log (``journal_mode = DELETE``): a copy that replaces it stays as it
is, however the server ended before. The log of the old file would be replayed into the copy. The journal of a killed
server's transaction would be, too (`signalpost.databasejournal`).
"""

import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from signalpost.databasejournal import begin_count, count_on, is_foreign
from signalpost.errors import OperatorError

LOG = logging.getLogger(__name__)

_BYTE = 0xFF
_BITS = 24  # start of the count: files created separately start at others
# Files that SQLite stores beside its own.
_JOURNAL = "-journal"
_BESIDE = ("-wal", "-shm", _JOURNAL)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is for.

    Attributes:
        word: what it holds, for people: ``state``. A usual name of the file is that with ``.db``.
        application: stored in the file's header (``PRAGMA application_id``), so that no other program's database is
            mistaken for it.
        version: of its tables; stored in the header, too (``PRAGMA user_version``).
        create: creates the tables of a new file, within a transaction.
        error: what is raised if a file cannot be used; the text, one line, says why and what to do.
    """

    word: str
    application: int
    version: int
    create: Callable[[sqlite3.Connection], None]
    error: type[OperatorError]


class DatabaseFile:
    """An open file. Only one thread uses it at a time.

    Args:
        path: of the file, which is opened or created, and locked.
        kind: what it is for.

    Raises:
        OperatorError: it cannot be used: the error of the kind.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path = path
        self._kind = kind
        try:
            self._make()
            _leave_out_foreign(path)
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise kind.error(f"{path} cannot be opened: {reason_of(error)}") from None
        with self._opening():
            self._prepare()
        self._identity = (self._look or ())[:2]

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

    @contextmanager
    def _opening(self) -> Iterator[sqlite3.Connection]:
        """Do a part of opening the file: if it fails, the file is closed, and an error of SQLite says what to do."""
        try:
            yield self._connection
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._kind.error(f"{self.path} {self._what_to_do(error)}") from None
            raise
        self._look = _look(self.path)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction, which is on the disk at the end; if something is raised, nothing is written.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            count_on(connection)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk has caused a rollback already
                connection.execute("ROLLBACK")
            raise
        self._look = _look(self.path)

    def _damaged(self, detail: str) -> OperatorError:
        """Return the error that says that the file is damaged.

        Args:
            detail: what is wrong with it, in one line.
        """
        return self._kind.error(f"{self.path} {_DAMAGED.format(self._kind.word)} ({detail})")

    def _make(self) -> None:
        """Create an empty file that only its owner can read, if there is none.

        An existing file must not be opened and closed here: that would release the lock of a server of this process
        (POSIX, fcntl: a process has one lock on a file, and closing any of its descriptors ends it).
        """
        for name in (self.path, *_beside(self.path)):
            if name.is_symlink():  # which SQLite would follow, and overwrite the target
                raise self._kind.error(f"{name} is a symbolic link, which is not followed: name the file itself")
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _prepare(self) -> None:
        """Lock the database, check that it is intact and ours, and create its tables if it is new.

        It is not changed until it is known to be ours.
        """
        connection, kind = self._connection, self._kind
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise self._damaged(" ".join(found.split()))
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if tables and application != kind.application:
            raise kind.error(
                f"{self.path} is a database of another program: name a file of its own for the {kind.word}"
            )
        if version > kind.version:
            raise kind.error(f"{self.path} was written by a newer signalpost: run that one, or name another file")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = EXTRA")
        if not tables:
            connection.execute("BEGIN")
            connection.execute(f"PRAGMA application_id = {kind.application}")
            connection.execute(f"PRAGMA user_version = {kind.version}")
            kind.create(connection)
            begin_count(connection, secrets.randbits(_BITS))
            connection.execute("COMMIT")

    def _what_to_do(self, error: sqlite3.Error) -> str:
        remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & _BYTE)
        return f"cannot be used: {reason_of(error)}" if remedy is None else remedy.format(self._kind.word)


def fate_of(aside: Path | None) -> str:
    """Return in words what happened to a file that is not ours any more; `aside` is from `DatabaseFile.give_up`."""
    return "was deleted" if aside is None else f"was replaced (what was put there is {aside} now)"


def reason_of(error: Exception) -> str:
    """Return what an error says, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).lower() or type(error).__name__


def _look(path: Path) -> tuple[int, ...] | None:
    """Return what distinguishes a file from others, and from its later states; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _beside(path: Path) -> Iterator[Path]:
    return (path.with_name(path.name + suffix) for suffix in _BESIDE)


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


_DAMAGED = "is damaged: put a whole copy back, or move it away and begin with an empty {}"
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "is in use: another server keeps its {} there, or a program looks into it; each server "
    "needs a file of its own",
    sqlite3.SQLITE_NOTADB: "is no file of a {0}: name one that is not there yet, or a {0}.db that was kept",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: "cannot be written: no space is left",
    sqlite3.SQLITE_READONLY: "cannot be written by this user",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: this user may not write in its folder",
}
