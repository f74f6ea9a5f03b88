"""The head of a response on the wire (RFC 9112 section 4). Pure.

Sanic's own takes twice the time, sends no Date, and writes ``content-type: None`` if no type is set.
"""

import re
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Any

from sanic.compat import Header
from sanic.response import BaseHTTPResponse, ResponseStream

from signalpost.config.headers import TOKEN
from signalpost.words import quoted

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_UNSAFE = re.compile(r"[\r\n\0]")
_LEAST, _MOST = 200, 999  # the largest status of three digits for a final response (RFC 9110 section 15)


def head_of(status: int, fields: Iterable[tuple[str, object]], framing: str) -> bytes:
    """Return the head of a response.

    Args:
        status: three digits.
        fields: names and values; line breaks are removed from them.
        framing: additional lines, each with its line break.
    """
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    text = "".join(lines)
    if not text.count("\r") == text.count("\n") == len(lines) or "\0" in text:
        text = "".join([f"{_UNSAFE.sub('', line)}\r\n" for line in lines])
    start = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"
    return f"{start}{text}{framing}\r\n".encode(errors="surrogateescape")


def check_answer(response: BaseHTTPResponse | ResponseStream) -> None:
    """Check a response made by plugins' code, and convert its headers to strings, which may raise anything.

    Raises:
        TypeError: the status or the content type is invalid; worded for the author.
        ValueError: a header's name or value is invalid; worded for the author.
    """
    status: Any = response.status
    if type(status) is not int and not isinstance(status, HTTPStatus):
        raise TypeError(f"the status of a response is a whole number, not {type(status).__name__}")
    if not _LEAST <= status <= _MOST:
        raise ValueError(f"the status of a response is from {_LEAST} to {_MOST}, not {status}")
    kind: Any = response.content_type
    if kind is not None and type(kind) is not str:
        raise TypeError(f"the content type of a response is a text, not {type(kind).__name__}")
    headers: Header = response.headers
    if any(type(value) is not str for value in headers.values()):
        response.headers = headers = Header([(name, str(value)) for name, value in headers.items()])
    for name, value in headers.items():
        if not TOKEN.fullmatch(name):
            raise ValueError(f"{quoted(name)} is no name of a header")
        if not value.isascii():
            value.encode(errors="surrogateescape")  # a lone surrogate is not one


def date_now() -> str:
    """Return the current time in the format of the header Date (RFC 9110 section 6.6.1)."""
    return _date(int(time()))


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
