"""The two formats of the log: lines for people, and JSON lines for programs, whose schema is ``log.schema.json``."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from signalpost.accesslog import Access
from signalpost.cli.logguard import LONGEST_LINE, MOST_LINES, LogGuard
from signalpost.cli.secrets import Masked
from signalpost.foreign import named, text_of
from signalpost.logsubject import SUBJECT, Subject

LONGEST_JSON = 16_000
"""Bytes of a JSON line: Docker and journald break longer ones, and half an object is none."""

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LEVELS = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)
# Characters of each text and lines of a traceback that are tried, until the object is short enough.
_LIMITS = ((LONGEST_LINE, MOST_LINES), (1_000, 40), (250, 10), (60, 4))
_OURS, _PLUGINS = "signalpost", "signalpost.plugins"


class LogFormat(Enum):
    """The values of ``--log-format``."""

    TEXT = "text"
    JSON = "json"


class GuardedFormatter(logging.Formatter):
    """Base of the formats: their texts have passed the guard.

    Args:
        masked: hides secrets.
    """

    def __init__(self, masked: Masked) -> None:
        super().__init__(_TEXT)
        self.guard = LogGuard(masked)


class LineFormatter(GuardedFormatter):
    """Formats a record as one line, with further lines only for the frames of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        line = self.guard.line
        heading = f"{self.formatTime(record)} {line(record.levelname)} {line(record.name)}"
        lines = [f"{heading}: {line(_message_of(record))}"]
        if record.exc_info and record.exc_info[1] is not None:
            lines += self.guard.traceback(record.exc_info[1])
        if record.stack_info:
            lines += self.guard.lines(record.stack_info)
        return "\n".join(lines)


class JsonFormatter(GuardedFormatter):
    """Formats a record as one object of JSON, in one line of ASCII.

    ASCII, since a stream may have any encoding, and since programs differ in what ends a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of a record; its texts are cut until it is short enough."""
        message, text = _message_of(record), ""
        for limit, most in _LIMITS:
            text = json.dumps(self._object(record, message, limit, most), allow_nan=False, separators=(",", ":"))
            if len(text) <= LONGEST_JSON:
                break
        return text

    def _object(self, record: logging.LogRecord, message: str, limit: int, most: int) -> Mapping[str, Any]:
        line = self.guard.line
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": next((name for number, name in _LEVELS if record.levelno >= number), "debug"),
            "logger": line(record.name, limit),
            "message": line(message, limit),
        }
        subject = _subject_of(record)
        if subject is not None:
            named_ones = zip(Subject._fields, subject, strict=True)
            found |= {name: line(str(value), limit) for name, value in named_ones if value is not None}
        access = getattr(record, "access", None)
        if isinstance(access, Access):
            found["access"] = {
                name: line(value, limit) if isinstance(value, str) else value for name, value in access.fields().items()
            }
        if isinstance(omitted := getattr(record, "omitted", None), int):
            found["omitted"] = omitted
        if record.exc_info and record.exc_info[1] is not None:
            found["error"] = self._error(record.exc_info[1], limit, most)
        elif record.stack_info:
            found["stack"] = self.guard.lines(record.stack_info, limit, most)
        return found

    def _error(self, error: BaseException, limit: int, most: int) -> Mapping[str, Any]:
        line = self.guard.line
        return {
            "type": line(type(error).__qualname__, limit),
            "message": line(str(text_of(error) or named(error)), limit),
            "stack": self.guard.traceback(error, limit, most),
        }


def formatter_of(style: LogFormat, masked: Masked) -> GuardedFormatter:
    """Return the formatter of a format."""
    return (JsonFormatter if style is LogFormat.JSON else LineFormatter)(masked)


def _message_of(record: logging.LogRecord) -> str:
    return record.getMessage().rstrip("\n")  # as Python's warnings end


def _subject_of(record: logging.LogRecord) -> Subject | None:
    """Return whom a record is about: as its author says, or, of a plugin, for whom it runs.

    The server's own code says it itself: what it does later for all, a timer may do in the context of one client.
    """
    said = getattr(record, "subject", None)
    if isinstance(said, Subject):
        return said
    name = record.name
    is_ours = name == _OURS or (name.startswith(f"{_OURS}.") and not name.startswith(_PLUGINS))
    return None if is_ours else SUBJECT.get()
