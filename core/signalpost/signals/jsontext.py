"""JSON text of strangers: how much work it is, and how it is read without holding the loop up."""

import gc
from typing import Any

import orjson

MOST_CONTAINERS = 100_000
"""Lists and mappings that one text may hold. Each costs up to a quarter of a microsecond to make, so that a mebibyte of
``[]`` would hold the loop for a tenth of a second; people's largest messages have a few thousand."""

CONTAINER, VALUE = 64, 32
"""Bytes that a list or mapping takes in memory, and any other value, besides its text."""

_SHORT = 2 * MOST_CONTAINERS
LARGE = 65_536
"""Bytes from which on a text is worth a closer look before it is read."""

_NO_MARKS = bytes(byte for byte in range(256) if byte not in b'"[{')


class TooManyValuesError(ValueError):
    """A text holds more lists and mappings than one may."""

    def __init__(self) -> None:
        super().__init__(f"more than {MOST_CONTAINERS:,} lists and mappings")


def load(text: bytes) -> Any:
    """Read JSON text.

    The garbage collector rests meanwhile: in a large process it would go through everything that lives several times
    while a large message is made, and the loop would wait for it. None of what is made here is garbage.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
        TooManyValuesError: it holds more than `MOST_CONTAINERS` lists and mappings.

    """
    if len(text) < LARGE:
        return orjson.loads(text)
    if len(text) > _SHORT and _containers(text) > MOST_CONTAINERS < _outside_texts(text):
        raise TooManyValuesError
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


def _outside_texts(text: bytes) -> int:
    """Count the lists and mappings of a JSON text, without the brackets in its texts.

    A regular expression would take longer than reading the JSON does. Two quotes side by side, once all else but
    brackets is gone, change nothing about what stands inside a text.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = text.translate(None, _NO_MARKS).replace(b'""', b"")
    return sum(map(len, marks.split(b'"')[::2]))
