"""Untrusted JSON text: how much work it is, and how it is parsed without blocking the loop."""

import gc
from itertools import accumulate
from typing import Any

import orjson

MOST_CONTAINERS = 100_000
"""Lists and mappings that one text may contain. Each takes up to a quarter of a microsecond to create, so that a
mebibyte of ``[]`` would block the loop for a tenth of a second; real messages have at most a few thousand."""

MOST_DEPTH = 240
"""Nesting depth of lists and mappings: what is read may be sent again, and the encoder accepts 254 levels, including
the app's own around it."""

_QUOTE = ord('"')
SHALLOW = 2 * MOST_DEPTH
"""Bytes up to which no text is nested too deeply."""
CONTAINER, VALUE = 64, 32
"""Bytes of memory of a list or mapping, and of any other value, without its text."""

_SHORT = 2 * MOST_CONTAINERS
LARGE = 65_536
"""Bytes from which a text is inspected before it is parsed."""

_OPENING, _BRACKETS = b"[{", b"[]{}"
_SIGNS = [1 if byte in b"[{" else -1 for byte in range(256)]


class TooManyValuesError(ValueError):
    """A text contains too many lists and mappings.

    Args:
        text: how many, and how.
    """

    def __init__(self, text: str = f"more than {MOST_CONTAINERS:,} lists and mappings") -> None:
        super().__init__(text)


def load(text: bytes) -> Any:
    """Parse JSON text.

    The garbage collector is off meanwhile: in a large process it would scan all live objects several times while a
    large message is parsed, and block the loop. Nothing that is created here is garbage.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
        TooManyValuesError: it contains more than `MOST_CONTAINERS` lists and mappings, or more than `MOST_DEPTH` inside
            each other.
    """
    if len(text) > _SHORT and _containers(text) > MOST_CONTAINERS < len(_marks(text, _OPENING)):
        raise TooManyValuesError
    if is_deep(text):
        raise TooManyValuesError(f"more than {MOST_DEPTH} lists and mappings inside each other")
    if len(text) < LARGE:
        return orjson.loads(text)
    if not gc.isenabled():
        return orjson.loads(text)
    gc.disable()
    try:
        return orjson.loads(text)
    finally:
        gc.enable()


def memory_of(text: bytes) -> int:
    """Return the maximum bytes of memory, about, of a parsed JSON text; brackets inside strings count, too."""
    return len(text) + VALUE * text.count(b",") + CONTAINER * _containers(text)


def _containers(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def is_deep(text: bytes) -> bool:
    """Return whether lists and mappings of a JSON text are nested deeper than `MOST_DEPTH`."""
    if len(text) <= SHALLOW or _containers(text) <= MOST_DEPTH:
        return False
    return max(accumulate(map(_SIGNS.__getitem__, _marks(text, _BRACKETS))), default=0) > MOST_DEPTH


def _marks(text: bytes, brackets: bytes) -> bytes:
    """Return the brackets of a JSON text, without those in its strings.

    A regular expression would take longer than parsing the JSON. Two adjacent quotes, after everything but brackets and
    quotes was removed, do not change what is inside a string.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    others = bytes(byte for byte in range(256) if byte != _QUOTE and byte not in brackets)
    return b"".join(text.translate(None, others).replace(b'""', b"").split(b'"')[::2])
