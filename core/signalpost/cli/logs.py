"""The log of ``signalpost run``: one handler for every record, whatever its source.

Records become safe text in `signalpost.cli.logguard`. Here, repeated ones are counted instead of written: no client can
fill the disk.
"""

import logging
import sys
import time
from collections.abc import Callable
from threading import RLock, Timer

from signalpost.cli.logformats import LogFormat, formatter_of
from signalpost.cli.logguard import cut
from signalpost.cli.secrets import HiddenText, Masked
from signalpost.foreign import named

BURST, RATE = 20, 2.0
"""Lines of one origin that are written at once, and per second after that."""

LOG_BURST, LOG_RATE = 100, 10.0
"""The same for what ``log`` steps write for one client: the app requested those lines."""

MOST_CHARACTERS, CHARACTERS_RATE = 1024 * 1024, 32 * 1024.0
"""Characters of all origins that are written at once, and per second after that."""

TOLD_EVERY = 1.0
"""Minimum of seconds between two lines about omitted records."""

_MOST_ORIGINS = 1_000
_MOST_TOLD = 20
LOG_STEPS = "signalpost.log"
ACCESS = "signalpost.access"

Origin = tuple[object, ...]


def write_line(text: str) -> None:
    """Write lines to the current standard error, which hides secrets as well."""
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def write_json(text: str) -> None:
    """Write an object to the current standard error; its texts are masked already, and its keys must stay."""
    if sys.stderr is not None:
        sys.stderr.write(HiddenText(text + "\n"))
        sys.stderr.flush()


class LogHandler(logging.Handler):
    """Writes records to standard error, as many as the limits allow.

    An omitted record costs little: neither it nor its traceback is formatted. The number of omitted records is logged
    in a separate line, at most a second later.

    Args:
        masked: hides secrets.
        write: called with each record's text; None writes it to standard error.
        clock: returns seconds; `time.monotonic`.
        style: of the texts.
    """

    def __init__(
        self,
        masked: Masked,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        style: LogFormat = LogFormat.TEXT,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter_of(style, masked))
        self._write = write or (write_json if style is LogFormat.JSON else write_line)
        self._clock = clock
        self._origins: dict[Origin, _Bucket] = {}
        self._room = _Bucket(MOST_CHARACTERS, CHARACTERS_RATE, clock())
        self._left_out: dict[Origin, tuple[int, logging.LogRecord]] = {}
        self._timer: Timer | None = None
        self._lock = RLock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        with self._lock:
            try:
                now = self._clock()
                origin = _origin(record)
                if not self._has_room(origin, record, now):
                    self._leave_out(origin, record)
                    return
                text = self.format(record)
                if record.name != ACCESS:
                    self._room.take(len(text), now)
                self._write(text)
            except BaseException as error:  # noqa: BLE001 - whatever a logged object does, who logs is not to fail of it
                text = f"a line of the log cannot be worded ({named(error)}): {_format_of(record)}"
                self._tell(record, text)

    def tell(self) -> None:
        """Log how many records were omitted since the last such line."""
        with self._lock:
            left_out, self._left_out = self._left_out, {}
            self._timer = None
            by_count = sorted(left_out.values(), key=lambda each: -each[0])
            for count, record in by_count[:_MOST_TOLD]:
                self._tell(record, f"… and {count:,} more like this, left out: {_place(record)}", count)
            if rest := by_count[_MOST_TOLD:]:
                count = sum(count for count, _ in rest)
                self._tell(rest[0][1], f"… and {count:,} more of {len(rest):,} other kinds, left out", count)

    def _tell(self, like: logging.LogRecord, text: str, omitted: int | None = None) -> None:
        record = logging.LogRecord(like.name, like.levelno, "", 0, "%s", (text,), None)
        record.omitted = omitted
        self._write(self.format(record))

    def close(self) -> None:
        """Log the remaining counts."""
        if self._timer is not None:
            self._timer.cancel()
        self.tell()
        super().close()

    def _has_room(self, origin: Origin, record: logging.LogRecord, now: float) -> bool:
        if record.name == ACCESS:
            return True  # an access log with holes is none, and the operator asked for it
        if not self._room.has(1, now):
            return False
        if not (record.levelno >= logging.WARNING or record.name.startswith("signalpost")):
            return True  # a plugin may write a line for each request, as long as there is room for all
        bucket = self._origins.get(origin)
        if bucket is None:
            if len(self._origins) >= _MOST_ORIGINS:
                self._origins.pop(next(iter(self._origins)))
            burst, rate = (LOG_BURST, LOG_RATE) if record.name == LOG_STEPS else (BURST, RATE)
            bucket = self._origins[origin] = _Bucket(burst, rate, now)
        if not bucket.has(1, now):
            return False
        bucket.take(1, now)
        return True

    def _leave_out(self, origin: Origin, record: logging.LogRecord) -> None:
        if origin not in self._left_out and len(self._left_out) >= _MOST_ORIGINS:
            origin = ()
        count, first = self._left_out.get(origin, (0, record))
        self._left_out[origin] = count + 1, first
        if self._timer is None:
            self._timer = Timer(TOLD_EVERY, self.tell)
            self._timer.daemon = True
            self._timer.start()


class _Bucket:
    """A token bucket: a burst at once, then a rate per second."""

    __slots__ = ("_left", "_most", "_rate", "_since")

    def __init__(self, most: float, rate: float, now: float) -> None:
        self._most = self._left = most
        self._rate = rate
        self._since = now

    def has(self, amount: float, now: float) -> bool:
        """Return whether this amount is left."""
        self._left = min(self._most, self._left + (now - self._since) * self._rate)
        self._since = now
        return self._left >= amount

    def take(self, amount: float, now: float) -> None:
        """Remove this amount, even if it is more than is left: then nothing is left until the debt is paid."""
        self.has(amount, now)
        self._left -= amount


def _origin(record: logging.LogRecord) -> Origin:
    """Return the common part of records with the same meaning: their origin, whatever they quote."""
    return (record.name, record.levelno, record.pathname, record.lineno, _step(record), getattr(record, "origin", None))


def _step(record: logging.LogRecord) -> str:
    """Return the place of the failed step that a record reports; nothing for other records."""
    first = record.args[0] if isinstance(record.args, tuple) and record.args else None
    where = getattr(first, "where", "")
    return where if isinstance(where, str) else ""


def _place(record: logging.LogRecord) -> str:
    message = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    return _step(record) or cut(message, 100)


def _format_of(record: logging.LogRecord) -> str:
    """Return a record's format, which is usually a literal in a program; if it is not text, its type."""
    return record.msg if type(record.msg) is str else type(record.msg).__name__
