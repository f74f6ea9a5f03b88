"""JSON text of strangers: how much work it is, and how it is read without holding the loop up."""

import gc
from itertools import accumulate
from typing import Any

import orjson

MOST_CONTAINERS = 100_000
"""Lists and mappings that one text may hold. Each costs up to a quarter of a microsecond to make, so that a mebibyte of
``[]`` would hold the loop for a tenth of a second; people's largest messages have a few thousand."""

MOST_DEPTH = 240
"""Lists and mappings that may stand inside each other: what is read is to be sent again, and the encoder takes 254, the
app's own around it included."""

_QUOTE = ord('"')
_SHALLOW = 2 * MOST_DEPTH
CONTAINER, VALUE = 64, 32
"""Bytes that a list or mapping takes in memory, and any other value, besides its text."""

_SHORT = 2 * MOST_CONTAINERS
LARGE = 65_536
"""Bytes from which on a text is worth a closer look before it is read."""

_OPENING, _BRACKETS = b"[{", b"[]{}"
_SIGNS = [1 if byte in b"[{" else -1 for byte in range(256)]


class TooManyValuesError(ValueError):
    """A text holds more lists and mappings than one may.

    Args:
        text: how many, and how.

    """

    def __init__(self, text: str = f"more than {MOST_CONTAINERS:,} lists and mappings") -> None:
        super().__init__(text)


def load(text: bytes) -> Any:
    """Read JSON text.

    The garbage collector rests meanwhile: in a large process it would go through everything that lives several times
    while a large message is made, and the loop would wait for it. None of what is made here is garbage.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
        TooManyValuesError: it holds more than `MOST_CONTAINERS` lists and mappings, or more than `MOST_DEPTH` inside
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
    """Return about how many bytes of memory what a JSON text says takes, at most; brackets inside texts count, too."""
    return len(text) + VALUE * text.count(b",") + CONTAINER * _containers(text)


def _containers(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def is_deep(text: bytes) -> bool:
    """Return whether more than `MOST_DEPTH` lists and mappings of a JSON text stand inside each other."""
    if len(text) <= _SHALLOW or _containers(text) <= MOST_DEPTH:
        return False
    return max(accumulate(map(_SIGNS.__getitem__, _marks(text, _BRACKETS))), default=0) > MOST_DEPTH


def _marks(text: bytes, brackets: bytes) -> bytes:
    """Return the brackets of a JSON text, without those in its texts.

    A regular expression would take longer than reading the JSON does. Two quotes side by side, once all else but
    brackets is gone, change nothing about what stands inside a text.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    others = bytes(byte for byte in range(256) if byte != _QUOTE and byte not in brackets)
    return b"".join(text.translate(None, others).replace(b'""', b"").split(b'"')[::2])
