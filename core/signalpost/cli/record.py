"""The record that `run` writes beside its file, so that `plan` knows what runs, without a connection.

It is ``.signalpost/NAME.running`` in the folder of the file NAME: a snapshot of the plan that is served (names and
digests, no values), readable only by its owner. The server holds a lock on it (flock(2)) as long as it lives, so an
unlocked record was left by a killed server.
"""

import errno
import fcntl
import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from signalpost import __version__
from signalpost.cli.ownfolder import OwnFolder, UnsafeFolderError
from signalpost.config.exposure import RECORDS_FOLDER
from signalpost.errors import OperatorError
from signalpost.plan import Plan
from signalpost.plan.diff import Things
from signalpost.plan.snapshot import from_json, snapshot, to_json

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """A running server.

    Attributes:
        process: its id.
        since: when it started to serve this plan; aware.
        things: a snapshot of the plan.
    """

    process: int
    since: datetime
    things: Things


class Recorder:
    """Writes the record of a server's plans.

    If it cannot be written (a read-only folder, another server that runs from the same file) there is none: a server
    does not need it.

    Args:
        file: the routes.yaml that is served.
    """

    def __init__(self, file: str) -> None:
        self._path = record_path(file)
        self._descriptor: int | None = None
        self._removed = False
        self._lock = Lock()

    def write(self, plan: Plan) -> None:
        """Record that this plan is served from now on; in a thread, since that takes a while for a large plan."""
        data = json.dumps(_data(plan)).encode()
        with self._lock:
            if not self._removed:
                self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            with OwnFolder.open(self._path.parent.parent, make=True) as folder:
                if self._descriptor is not None or not _is_held(folder, self._path.name):
                    self._replace(folder, data)
        except UnsafeFolderError as error:
            LOG.warning("%s; so `plan` does not know what runs", error)
        except OSError:
            pass  # see above

    def remove(self) -> None:
        """Remove the record, even if a write of it is pending."""
        with self._lock:
            self._removed = True
            if self._descriptor is not None:
                with suppress(OSError), OwnFolder.open(self._path.parent.parent) as folder:
                    folder.remove(self._path.name)
                os.close(self._descriptor)
                self._descriptor = None

    def _replace(self, folder: OwnFolder, data: bytes) -> None:
        """Replace the old record atomically; the new one is locked before others can see it."""
        descriptor, name = folder.make(0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            folder.rename(name, self._path.name)
        except OSError:
            os.close(descriptor)
            folder.remove(name)
            raise
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = descriptor


def record_path(file: str) -> Path:
    """Return the path of the record of servers that run from a file."""
    path = Path(os.path.abspath(file))  # noqa: PTH100 - keeps symlinks, as reading the file does
    return path.parent / RECORDS_FOLDER / f"{path.name}.running"


def read_record(file: str) -> Record | None:
    """Return what is served from a file; None if nothing is.

    Raises:
        OperatorError: a server runs, but its record is from another version, or this user may not read it.
    """
    path = record_path(file)
    try:
        with OwnFolder.open(path.parent.parent) as folder:
            if not _is_held(folder, path.name):
                return None
            with folder.read(path.name) as record:
                data = json.loads(record.read())
        if data["signalpost"] == __version__:
            return Record(data["process"], datetime.fromisoformat(data["since"]), from_json(data["plan"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OperatorError(
            f"{path}: what runs cannot be read: {reason}; say --against FILE to compare files"
        ) from None
    except (ValueError, KeyError, TypeError):
        pass
    raise OperatorError(
        f"the server that runs from {Path(file).name} is not of this version of signalpost ({__version__}): "
        "start it again; --against FILE compares two files"
    )


def _data(plan: Plan) -> dict[str, object]:
    return {
        "signalpost": __version__,
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": to_json(snapshot(plan)),
    }


def _is_held(folder: OwnFolder, name: str) -> bool:
    """Return whether a running server has locked the record.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        file = folder.read(name)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):  # ELOOP: a symbolic link, which is not a record of ours
            return False
        raise
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
