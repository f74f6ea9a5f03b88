"""The head of a plain request: complete, ASCII and without a body. Pure.

Sanic parses all requests except handshakes as every client sends them: in one piece, which this parses in a tenth of
the time. A head that it does not accept need not be wrong; Sanic judges and answers that.
"""

import re
from typing import NamedTuple

DEFAULT_PORTS = {"http": 80, "https": 443}
"""By the schemes of web pages; those of WebSockets have the same."""

LARGEST_HEAD = 16_384
"""Bytes, unless the caller passes another limit."""

MOST_FIELDS = 200
"""Lines of a head; a client that sends more receives 431 (RFC 6585 section 5)."""

_END = b"\r\n\r\n"
# RFC 9112 sections 3 and 5: origin-form, whose path begins with one slash, and lines of token:value.
_HEAD = re.compile(
    r"GET (?P<path>/(?!/)[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*+)(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*+)? HTTP/1\.1"
    r"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~]*+)*+"
)
_FIELD = re.compile(r"\r\n([^:]++):[\t ]*+([^\r]*)")
_BODY = ("content-length", "transfer-encoding", "expect")


class Fields(dict[str, list[str]]):
    """Values of header fields by name in lower case, in the order of the head."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return all values of a field; `key` is in lower case."""
        return self.get(key, default)


class Head(NamedTuple):
    """A parsed head.

    Attributes:
        text: request line and fields, without the empty line.
        path: percent-encoded, without the query.
        early: the bytes behind the head.
    """

    text: bytes
    path: str
    fields: Fields
    early: bytes


def read_head(data: bytes, most: int = LARGEST_HEAD) -> Head | None:
    """Parse the first bytes of a connection; return None if they are not a complete and plain GET without a body.

    Args:
        data: the received bytes.
        most: number of bytes below which a head must stay.
    """
    text, end, early = data.partition(_END)
    if not end or len(text) >= most or text.count(b"\r\n") > MOST_FIELDS or not text.isascii():
        return None
    lines = text.decode("ascii")
    found = _HEAD.fullmatch(lines)
    if found is None:
        return None
    fields = Fields()
    for name, value in _FIELD.findall(lines, found.end("path")):
        fields.setdefault(name.lower(), []).append(value)
    if any(name in fields for name in _BODY):
        return None
    return Head(text, found["path"], fields, early)
