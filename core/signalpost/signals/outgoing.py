"""What goes out to clients: values, errors and notices as frames (the wire format of core/README.md)."""

from collections.abc import Collection
from hashlib import sha256
from typing import Any

import orjson

from signalpost.delivery.outbox import NO_PATH, Slot
from signalpost.errors import ClientError
from signalpost.state.frozen import FrozenDict, FrozenList, weight_of
from signalpost.state.weight import PLAIN, VALUE
from signalpost.units import MEBIBYTE
from signalpost.websocket.frames import Deflate, Dialect, Opcode, encode_frame

_TEXT = int(Opcode.TEXT)

LARGEST = 128 * MEBIBYTE
"""What a value that code broadcasts may hold, in characters; each value counts for at least `VALUE`."""


_TOO_LARGE = (
    f"a value that is sent holds at most {LARGEST // MEBIBYTE} MiB, and this one holds more: what stands in it several "
    "times is sent as often"
)
_NUMBERS = frozenset({int, float, bool, type(None)})
_FEW = 16
_SHORT = MEBIBYTE
_LONGEST_PICK = 255
_DEEPEST = 256  # levels: the encoder takes no more


def slot_of(value: Any, path: str | None, keys: Collection[tuple[str, ...]]) -> Slot:
    """Return the path of a value with what it is of, by each of the keys that signals name."""
    slot = Slot(path or NO_PATH)
    slot.picks = {key: found for key in keys if (found := _picked(value, key)) is not None}
    return slot


def _picked(value: Any, key: tuple[str, ...]) -> bytes | None:
    """Return what stands in a value at the end of a way through mappings, if it is no list or mapping itself."""
    for name in key:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    if not isinstance(value, str | int | float):
        return None
    text = orjson.dumps(value)
    return text if len(text) <= _LONGEST_PICK else sha256(text).digest()


class ValueFrame:
    """A broadcast value: the text or compact JSON alone for plain clients, an envelope for ``signalpost.v1``.

    ``ValueFrame("hi", "/chat")`` is ``hi`` for the one and
    ``{"signal": {"path": "/chat", "value": "hi"}}`` for the other.

    Args:
        value: a string, or anything that orjson takes.
        path: the path it was sent to or, for want of that, the path it came from; None when there is neither.

    Raises:
        TypeError: `value` is not JSON.

    """

    __slots__ = ("_deflated", "_plain", "_text", "_v1", "_value", "path", "size")

    def __init__(self, value: Any, path: str | None) -> None:
        self._value = value
        self.path = path
        self._plain: bytes | None = None
        self._v1: bytes | None = None
        self._deflated: dict[tuple[Deflate, Dialect], bytes] | None = None
        # Made at once, so that a value that is not JSON is the caller's error, not the flush's.
        self._text = _text_of(value) if isinstance(value, str) else _json_of(value)
        self.size = len(self._text)

    @property
    def plain(self) -> bytes:
        """The frame for plain clients."""
        if self._plain is None:
            self._plain = encode_frame(_TEXT, self._text)
        return self._plain

    @property
    def v1(self) -> bytes:
        """The frame for clients of ``signalpost.v1``."""
        if self._v1 is None:
            value = _json_of(self._value) if isinstance(self._value, str) else self._text
            path = None if self.path == NO_PATH else self.path
            envelope = b'{"signal":{"path":%b,"value":%b}}' % (orjson.dumps(path), value)
            self._v1 = encode_frame(_TEXT, envelope)
        return self._v1

    def deflated(self, deflate: Deflate, dialect: Dialect) -> bytes:
        """Give the frame of a dialect as `deflate` compresses it."""
        if self._deflated is None:
            self._deflated = {}
        found = self._deflated.get((deflate, dialect))
        if found is None:
            found = deflate(self.plain if dialect is Dialect.PLAIN else self.v1)
            self._deflated[deflate, dialect] = found
        return found


def _is_small(value: dict[Any, Any]) -> bool:
    """Tell whether a mapping has a few plain values that together are small, as most have."""
    if len(value) > _FEW:
        return False
    for part in value.values():
        kind = type(part)
        if kind is str:
            if len(part) > _SHORT:
                return False
        elif kind not in _NUMBERS:
            return False
    return True


def check_size(value: Any) -> None:
    """Reject what takes too much memory when it is encoded: for want of memory, the encoder ends the process.

    What a client sent, and what a template gives, is smaller; so this is for what code of plugins sends.

    Raises:
        ValueError: it is too large.

    """
    if type(value) in PLAIN or (type(value) is dict and _is_small(value)):
        return
    left = LARGEST
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is str:
                left -= len(part)
            elif kind is dict or kind is list or kind is tuple:
                left -= VALUE * len(part)
                if left > 0 and not (len(part) > _FEW and kind is list and _NUMBERS.issuperset(map(type, part))):
                    below += part.values() if kind is dict else part
            elif kind is FrozenDict or kind is FrozenList:
                left -= weight_of(part)
            if left < 0:
                raise ValueError(_TOO_LARGE)
        if not below:
            return
        level = below


def plain_frame(value: Any) -> bytes:
    """Encode a value for one plain client; what `ValueFrame` does, without keeping anything.

    Raises:
        TypeError: `value` is not JSON.

    """
    return encode_frame(_TEXT, _text_of(value) if isinstance(value, str) else _json_of(value))


class RawFrame:
    """A frame relayed as it came (``format: raw``), the same for every client.

    Args:
        opcode: text or binary.
        payload: the message.
        path: see `ValueFrame`.

    """

    __slots__ = ("_deflated", "path", "plain", "size", "v1")

    def __init__(self, opcode: int, payload: bytes, path: str | None = None) -> None:
        self.path = path
        self.size = len(payload)
        self.plain = self.v1 = encode_frame(opcode, payload)
        self._deflated: dict[Deflate, bytes] | None = None

    def deflated(self, deflate: Deflate, dialect: Dialect) -> bytes:  # noqa: ARG002 - both dialects read the same
        """Give the frame as `deflate` compresses it."""
        if self._deflated is None:
            self._deflated = {}
        found = self._deflated.get(deflate)
        if found is None:
            found = self._deflated[deflate] = deflate(self.plain)
        return found


def error_frame(error: ClientError, ref: str | int | None) -> bytes:
    """Encode what the sender of a refused message is told; `ref` is the message's own."""
    body: dict[str, Any] = {"code": str(error.code), "pointer": error.pointer, "detail": error.detail}
    if ref is not None:
        body["ref"] = ref
    return encode_frame(_TEXT, orjson.dumps({"error": body}))


def welcome_frame(client_id: str, path: str) -> bytes:
    """Encode the first thing that a client of ``signalpost.v1`` reads."""
    return encode_frame(_TEXT, orjson.dumps({"welcome": {"clientId": client_id, "path": path}}))


ALIVE = encode_frame(_TEXT, b'{"alive":{}}')
"""Answers an empty text of a client of ``signalpost.v1``: pings and pongs are nothing that a page in a browser sees."""


def bye_frame(retry_ms: int) -> bytes:
    """Encode the last thing that a client of ``signalpost.v1`` reads: come back in `retry_ms` milliseconds."""
    return encode_frame(_TEXT, orjson.dumps({"bye": {"retry_ms": retry_ms}}))


def _text_of(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise TypeError("the text has lone surrogates, which UTF-8 cannot carry") from None


def _json_of(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise TypeError(f"a value of type {type(value).__name__} cannot be sent as JSON: {error}") from None
