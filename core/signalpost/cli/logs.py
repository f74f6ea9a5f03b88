"""The log of ``signalpost run``: one handler for every record, whatever its source.

Any record may contain a client's data: in a key of the state, in the text of an exception, in a line of a plugin or of
a library. So secrets are hidden, control characters and marks of direction are escaped, long lines are truncated, and
repeated ones are counted instead of written: no client can forge a line or fill the disk.
"""

import logging
import logging.config
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from threading import RLock, Timer

from signalpost.cli.secrets import Masked
from signalpost.foreign import named, text_of

LONGEST_LINE = 4_000
"""Characters of a line; a longer one is shortened in the middle."""

MOST_LINES = 200
"""Lines of a traceback."""

BURST, RATE = 20, 2.0
"""Lines of one origin that are written at once, and per second after that."""

LOG_BURST, LOG_RATE = 100, 10.0
"""The same for what ``log`` steps write for one client: the app requested those lines."""

MOST_CHARACTERS, CHARACTERS_RATE = 1024 * 1024, 32 * 1024.0
"""Characters of all origins that are written at once, and per second after that."""

TOLD_EVERY = 1.0
"""Minimum of seconds between two lines about omitted records."""

# Longer text is not examined: a client's data may be a mebibyte long.
_LOOKED_AT = 16 * 1024
_MOST_ORIGINS = 1_000
_MOST_TOLD = 20
_LOG_STEPS = "signalpost.log"
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Controls (C0, C1), line ends, marks of direction, lone surrogates, and other invisible characters; joiners and spaces
# are part of many languages.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)

_TERMINALS = (1, 2)
_KEPT_LOGGERS = frozenset({"signalpost", "sanic", "apscheduler", "asyncio"})
_INSTALLED: "list[LogHandler]" = []  # the process has one log

Origin = tuple[object, ...]


def escaped(text: str) -> str:
    r"""Return a text with ``\n``, ``\x1b``, ``\u202e``, … for characters that end its line or change its look."""
    return text if text.isprintable() else _UNSAFE.sub(lambda match: _escape(match[0]), text)


def cut(text: str, limit: int = LONGEST_LINE, length: int = 0) -> str:
    """Return a text of at most about `limit` characters: its beginning, its length, and its end."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - limit // 4]}… ({length or len(text):,} characters) …{text[-limit // 4 :]}"


class LineFormatter(logging.Formatter):
    """Formats a record as one line, with further lines only for the frames of a traceback.

    Args:
        masked: hides secrets.
    """

    def __init__(self, masked: Masked) -> None:
        super().__init__(_FORMAT)
        self._masked = masked

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        record.message = self._line(record.getMessage())
        record.asctime = self.formatTime(record)
        lines = [self.formatMessage(record)]
        if record.exc_info and record.exc_info[1] is not None:
            lines += self._traceback(record.exc_info[1])
        if record.stack_info:
            lines += map(self._line, record.stack_info.split("\n"))
        return "\n".join(lines)

    def _line(self, text: str) -> str:
        # Secrets are hidden before truncation, since a part of a secret is not found; only very long text is truncated
        # first.
        shown = cut(self._masked(cut(text, _LOOKED_AT)), length=len(text))
        return cut(escaped(shown), length=len(text))

    def _traceback(self, error: BaseException) -> list[str]:
        """Return the lines of a traceback; the text of an exception stays in the line in which it begins."""
        text = "".join(traceback.TracebackException.from_exception(error).format())
        for said in _said(error):
            text = _on_one_line(text, said)
        lines = [self._line(line) for line in text.rstrip("\n").split("\n")]
        left_out = len(lines) - MOST_LINES
        if left_out > 0:
            half = MOST_LINES // 2
            lines[half:-half] = [f"  … ({left_out:,} lines) …"]
        return lines


def write_line(text: str) -> None:
    """Write lines to the current standard error, which hides secrets as well."""
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class LogHandler(logging.Handler):
    """Writes records to standard error, as many as the limits allow.

    An omitted record costs little: neither it nor its traceback is formatted. The number of omitted records is logged
    in a separate line, at most a second later.

    Args:
        masked: hides secrets.
        write: called with each record's text.
        clock: returns seconds; `time.monotonic`.
    """

    def __init__(
        self, masked: Masked, write: Callable[[str], None] = write_line, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.setFormatter(LineFormatter(masked))
        self._write = write
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
                self._tell(record, f"… and {count:,} more like this, left out: {_place(record)}")
            if rest := by_count[_MOST_TOLD:]:
                count = sum(count for count, _ in rest)
                self._tell(rest[0][1], f"… and {count:,} more of {len(rest):,} other kinds, left out")

    def _tell(self, like: logging.LogRecord, text: str) -> None:
        self._write(self.format(logging.LogRecord(like.name, like.levelno, "", 0, "%s", (text,), None)))

    def close(self) -> None:
        """Log the remaining counts."""
        if self._timer is not None:
            self._timer.cancel()
        self.tell()
        super().close()

    def _has_room(self, origin: Origin, record: logging.LogRecord, now: float) -> bool:
        if not self._room.has(1, now):
            return False
        if not (record.levelno >= logging.WARNING or record.name.startswith("signalpost")):
            return True  # a plugin may write a line for each request, as long as there is room for all
        bucket = self._origins.get(origin)
        if bucket is None:
            if len(self._origins) >= _MOST_ORIGINS:
                self._origins.pop(next(iter(self._origins)))
            burst, rate = (LOG_BURST, LOG_RATE) if record.name == _LOG_STEPS else (BURST, RATE)
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


def configure_logging(level: str, masked: Masked) -> None:
    """Send all records of the process through a `LogHandler`."""
    root = logging.getLogger()
    ours = LogHandler(masked)
    _INSTALLED[:] = [ours]
    root.handlers = _Kept(ours)
    logging.config.dictConfigClass = _Configurator
    root.setLevel(level.upper())
    # The app requested what a `log` step writes.
    logging.getLogger(_LOG_STEPS).setLevel(min(logging.INFO, root.level))
    # Messages of Sanic and APScheduler about their internals are only of interest from the level of warnings.
    for name in ("sanic", "apscheduler", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class _Kept(list[logging.Handler]):
    """The handlers of the root logger; ours stays, whatever a plugin configures.

    `logging.config.dictConfig` and ``basicConfig(force=True)`` remove all handlers and add others for the terminal,
    which neither escape nor truncate. Handlers for the terminal are ignored, since ours writes there; those for files
    and other targets are left to the plugin.

    Args:
        ours: the handler that stays.
    """

    def __init__(self, ours: logging.Handler) -> None:
        super().__init__([ours])
        self._ours = ours

    def append(self, handler: logging.Handler) -> None:
        """Add a handler, unless it writes to the terminal."""
        if not writes_to_terminal(handler):
            super().append(handler)

    def remove(self, handler: logging.Handler) -> None:
        """Remove a handler, unless it is ours."""
        if handler is not self._ours:
            super().remove(handler)

    def clear(self) -> None:
        """Remove all handlers except ours."""
        self[:] = [self._ours]


def writes_to_terminal(handler: logging.Handler) -> bool:
    """Return whether a handler writes to the standard output or error of the process."""
    if isinstance(handler, LogHandler) or not isinstance(handler, logging.StreamHandler):
        return False
    stream = handler.stream
    if any(stream is each for each in (None, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return True
    try:
        return stream.fileno() in _TERMINALS
    except (AttributeError, OSError, ValueError):  # it is not a file, or is closed
        return False


def keep_log() -> None:
    """Restore the log after a plugin may have configured it: call this when plugins' code has run.

    `logging.config.dictConfig` disables all loggers that it does not name, including the server's, unless told
    otherwise; and the handlers that it sets at the root logger are replaced. A terminal handler that it adds to another
    logger writes lines as ours does.
    """
    root = logging.getLogger()
    ours = next((each for each in (*_INSTALLED, *root.handlers) if isinstance(each, LogHandler)), None)
    if ours is None:
        return
    if not isinstance(root.handlers, _Kept) or ours not in root.handlers:
        others, root.handlers = root.handlers, _Kept(ours)
        for each in others:
            if each is not ours:
                root.handlers.append(each)
    for name, logger in list(root.manager.loggerDict.items()):
        if not isinstance(logger, logging.Logger):
            continue
        if name.partition(".")[0] in _KEPT_LOGGERS:
            logger.disabled = False
        for handler in logger.handlers:
            if writes_to_terminal(handler) and not isinstance(handler.formatter, LineFormatter):
                handler.setFormatter(ours.formatter)


class _Configurator(logging.config.DictConfigurator):
    """Replaces the configurator of `logging.config.dictConfig`, and restores the log afterwards."""

    def configure(self) -> None:
        """Apply the configuration."""
        try:
            super().configure()
        finally:
            keep_log()


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


def _said(error: BaseException) -> Iterator[str]:
    """Yield the texts of an exception, its causes and its notes, the longest first."""
    seen: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        waiting += [each for each in (one.__cause__, one.__context__) if each is not None]
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    texts = [text for one in seen.values() for text in (text_of(one), *_notes_of(one))]
    yield from sorted((text for text in texts if isinstance(text, str)), key=len, reverse=True)


def _on_one_line(text: str, said: str) -> str:
    """Escape the text of an exception, wherever it occurs in a traceback."""
    shown = escaped(said)
    if shown == said:
        return text
    text = text.replace(said, shown)
    if "\n" not in said or len(said) > _LOOKED_AT:
        return text
    # Of the exceptions of a group, every line has a margin.
    return re.sub(r"\n[ |]*".join(map(re.escape, said.split("\n"))), lambda _: shown, text)


def _format_of(record: logging.LogRecord) -> str:
    """Return a record's format, which is usually a literal in a program; if it is not text, its type."""
    return record.msg if type(record.msg) is str else type(record.msg).__name__


def _notes_of(error: BaseException) -> Sequence[object]:
    notes = vars(error).get("__notes__") if hasattr(error, "__dict__") else None
    return notes if type(notes) is list else ()


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
