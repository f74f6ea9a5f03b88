"""Write-behind for a state: changes are noted at once, and written in batches by a separate thread.

A batch is one transaction, and begins at most `DELAY` seconds after its first change. So a crash of the process (or of
the machine) loses at most that time, plus the time of the batch before. Only `close` waits for the disk.
"""

import logging
from collections.abc import Callable, Mapping
from threading import Condition, Thread
from typing import Any

from signalpost.database import fate_of
from signalpost.state.file import GONE, StateFile
from signalpost.state.revoked import RevokedKey, RevokedRow

LOG = logging.getLogger("signalpost.state")

DELAY = 0.2
"""Seconds during which changes are collected into a batch."""

RETRY = 5.0
"""Seconds until a failed batch is tried again."""

LOOK = 2.0
"""Seconds between two checks that the file still exists and is ours."""


Seal = Callable[[Callable[[], dict[str, Any]]], dict[str, Any]]


def _as_it_is(take: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return take()


class StateWriter:
    """The `signalpost.state.state.Recorder` of a file.

    Args:
        file: an open one; closed by `close`.
        delay: see `DELAY`.
        retry: see `RETRY`.
        look: see `LOOK`.

    Attributes:
        entries: returns everything that the file must contain, in case it is lost; called within `seal`.
        revoked: the bans and revocations that the file held at first.
        rows: returns those that it must contain, in case it is lost; called from the thread that writes.
        seal: `signalpost.state.state.State._seal`: what is written is a consistent snapshot of the state.
    """

    def __init__(self, file: StateFile, *, delay: float = DELAY, retry: float = RETRY, look: float = LOOK) -> None:
        self.seal: Seal = _as_it_is
        self.entries: Callable[[], dict[str, Any]] = dict
        self.revoked = file.revoked
        self.rows: Callable[[], Mapping[RevokedKey, RevokedRow]] = lambda: self.revoked
        self._look = look
        self._file = file
        self._delay = delay
        self._retry = retry
        self._changes: dict[Any, Any] = {}  # values by `str`, and rows by `RevokedKey`
        self._changed = Condition()
        self._closing = False
        self._failing = False
        # A daemon thread: a process that ends without `close` accepts what a crash loses.
        self._thread = Thread(target=self._run, name=f"signalpost state {file.path.name}", daemon=True)
        self._thread.start()

    def note(self, key: str | RevokedKey, value: Any) -> None:
        """Note that a key has a new value, or that of a ban or a revocation a new row."""
        with self._changed:
            self._changes[key] = value
            self._changed.notify()

    def forget(self, key: str) -> None:
        """Note that a key was removed."""
        self.note(key, GONE)

    def close(self) -> None:
        """Write what is left, and close the file; waits for the disk. Later changes are lost."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._gather():
            if self._renew():
                self._write()
        if self._renew():
            self._write()
        if self._changes:
            LOG.error("%s: the last changes of %d keys are lost", self._file.path, len(self._changes))
        self._file.close()

    def _gather(self) -> bool:
        """Wait for a first change, then for those that follow soon, or for a check; return whether to continue."""
        with self._changed:
            if self._changed.wait_for(lambda: self._changes or self._closing, self._look):
                self._changed.wait_for(lambda: self._closing, self._retry if self._failing else self._delay)
            return not self._closing

    def _renew(self) -> bool:
        """Create the file again if it was deleted or replaced: while a server runs, its memory is authoritative.

        Returns:
            Whether it can be written to.
        """
        try:
            if self._file.is_ours():
                return True
            self._wait_for_copy()
            path = self._file.path
            aside = self._file.give_up()
            self._file, _ = StateFile.open(path)
        except Exception as error:  # noqa: BLE001 - as in `_failure`
            if not self._failing:
                LOG.error("%s was deleted or replaced, and cannot be written anew: %s", self._file.path, error)  # noqa: TRY400
                self._failing = True
            return False
        self.seal(self._all)
        LOG.warning(
            "%s %s while the server runs: it is written anew, with what the server has in memory; to go back to a "
            "copy, stop the server first",
            path,
            fate_of(aside),
        )
        return True

    def _wait_for_copy(self) -> None:
        """Wait until the file in our file's place is stable: it may be in the middle of a copy."""
        before: object = self
        while (found := self._file.found()) != before:
            before = found
            with self._changed:
                self._changed.wait_for(lambda: self._closing, DELAY)

    def _write(self) -> None:
        """Write the batch; if that fails, restore it, and newer changes take precedence over it."""
        batch = self.seal(self._taken)
        error = self._failure(batch) if batch else None
        if error is None:
            if batch and self._failing:
                LOG.warning("%s is written again", self._file.path)
                self._failing = False
            return
        with self._changed:
            self._changes = batch | self._changes
        if not self._failing:
            LOG.error("%s cannot be written, and is tried again every %g s: %s", self._file.path, self._retry, error)
            self._failing = True

    def _all(self) -> dict[str, Any]:
        """Queue everything for writing, in its order, including what had changed."""
        entries = self.entries()
        with self._changed:
            self._changes = {**entries, **self.rows()}
        return entries

    def _taken(self) -> dict[Any, Any]:
        with self._changed:
            batch, self._changes = self._changes, {}
            return batch

    def _failure(self, batch: dict[Any, Any]) -> Exception | None:
        """Write a batch; return the error, if any."""
        try:
            self._file.write(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is: a thread that ends of it would keep nothing more
            return error
        return None
