"""A cache of request heads: most clients send the same lines and fields again and again.

What Sanic has parsed once need not be parsed again. Only plain fields are stored, which mean the same in every request,
and only as many as a busy day has.
"""

import re
from dataclasses import dataclass

from sanic.compat import Header

LONGEST = 2_048
"""Bytes of fields that are stored."""

_MOST = 256
_LONGEST_LINE = 256
_LINE = re.compile(rb"([\x21-\x7e]+) ([\x21-\x7e]+) HTTP/1\.1")
_APART = ("expect", "transfer-encoding", "upgrade")  # what has another meaning is parsed each time


@dataclass(frozen=True, slots=True)
class Line:
    """A printable request line of HTTP/1.1.

    Attributes:
        method: as bytes of the line.
        url: as bytes of the line.
        url_text: the same as text.
        head_only: whether the response has no body.
    """

    method: str
    url: bytes
    url_text: str
    head_only: bool


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a head, as Sanic has parsed them.

    Attributes:
        headers: to be copied.
        closes: whether the client wants the connection closed (RFC 9112 section 9.3).
        length: bytes of the body; None without one.
    """

    headers: Header
    closes: bool
    length: int | None


class KnownHeads:
    """The most recent lines and fields, by their bytes."""

    __slots__ = ("_known", "_lines")

    def __init__(self) -> None:
        self._known: dict[bytes, Fields] = {}
        self._lines: dict[bytes, Line] = {}

    def line(self, raw: bytes) -> Line | None:
        """Return what a request line says; None if it is unusual."""
        line = self._lines.get(raw)
        if line is None and (found := _LINE.fullmatch(raw)) is not None:
            method, url = found[1].decode(), found[2]
            line = Line(method, url, url.decode(), method.upper() == "HEAD")
            if len(raw) <= _LONGEST_LINE:
                if len(self._lines) >= _MOST:
                    self._lines.clear()
                self._lines[raw] = line
        return line

    def find(self, raw: bytes) -> Fields | None:
        """Return the known result for fields; None if they are new."""
        return self._known.get(raw)

    def keep(self, raw: bytes, headers: Header, length: int | None) -> None:
        """Store what Sanic has parsed, unless the fields have further meaning.

        Args:
            raw: the bytes behind the request line, already found plain (`signalpost.http.request`).
            headers: parsed from them, and unchanged since.
            length: bytes of the body; None without one.
        """
        if any(name in headers for name in _APART):
            return
        if len(self._known) >= _MOST:
            self._known.clear()  # rarely, and then the frequent ones are back at once
        self._known[raw] = Fields(Header(headers), closes(headers), length)


def closes(headers: Header) -> bool:
    """Return whether a client of HTTP/1.1 asks to close the connection (RFC 9112 section 9.3)."""
    return "close" in (option.strip() for option in headers.get("connection", "").lower().split(","))
