"""Server-sent events as they come in pieces: bytes in, events out (HTML, section 9.2)."""

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventTooLargeError(Exception):
    """An event has more bytes than it may have."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event.

    Attributes:
        name: empty if it has none.
        data: its lines, joined by line feeds; empty for a comment, which is a sign of life.
    """

    name: str
    data: str


class EventReader:
    """Reads a stream of events.

    Args:
        most: bytes that an event may have; None for any number.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._pending = b""  # of a line
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, part: bytes) -> list[Event]:
        """Read a piece; return the events and comments that have ended in it.

        Raises:
            EventTooLargeError: an event is larger than it may be.
        """
        text = self._pending + part
        # A carriage return at the end may be half of a line end.
        whole, held = (text[:-1], b"\r") if text.endswith(b"\r") else (text, b"")
        *lines, rest = _LINE_END.split(whole)
        self._pending = rest + held
        if self._most is not None and self._size + len(self._pending) > self._most:
            raise EventTooLargeError
        found = [self._line(line) for line in lines]
        return [event for event in found if event is not None]

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._end()
        field, _, value = line.partition(b":")
        if not field:
            return Event("", "")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")
        return None

    def _end(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        return Event(name, b"\n".join(data).decode(errors="replace")) if data else None
