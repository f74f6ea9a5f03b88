"""The head of a request that is plainly a request: what is whole, ASCII and without a body. Pure.

Sanic reads all requests but those handshakes that come as every client sends them: in one piece, which this reads in a
tenth of the time. What it does not take is not wrong; Sanic judges that, and answers it.
"""

import re
from typing import NamedTuple

DEFAULT_PORTS = {"http": 80, "https": 443}
"""By the schemes that pages come by; those of WebSockets have the same."""

LARGEST_HEAD = 16_384
"""Bytes, unless the caller says otherwise."""

MOST_FIELDS = 200
"""Lines of a head; whoever sends more gets 431 (RFC 6585 section 5)."""

_END = b"\r\n\r\n"
# RFC 9112 sections 3 and 5: origin-form, whose path begins with one slash, and lines of token:value.
_HEAD = re.compile(
    r"GET (?P<path>/(?!/)[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*+)(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*+)? HTTP/1\.1"
    r"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~]*+)*+"
)
_FIELD = re.compile(r"\r\n([^:]++):[\t ]*+([^\r]*)")
_BODY = ("content-length", "transfer-encoding", "expect")


class Fields(dict[str, list[str]]):
    """Values of header fields by name in lower case, in the order in which they came."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return all values of a field; `key` is in lower case."""
        return self.get(key, default)


class Head(NamedTuple):
    """What was read.

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
    """Read the first bytes of a connection; None if they are not a whole and plain GET without a body.

    Args:
        data: that came.
        most: bytes that a head has fewer of.

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
