"""What is published: a value, or a frame relayed as it came, on its way to a target; encoded once for each encoding."""

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Any, Protocol

import orjson

from signalpost.delivery.target import EVERYONE, Target
from signalpost.state.frozen import FrozenDict, FrozenList, weight_of
from signalpost.state.weight import PLAIN, VALUE
from signalpost.units import MEBIBYTE
from signalpost.websocket.frames import Opcode

_TEXT = int(Opcode.TEXT)

NO_PATH = ""
"""In place of a value's path, when it was sent to no path and came from none."""

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


class Slot(str):
    """A value's path, and what else tells it from others of that path: by each key that a signal names (`LatestBy`)."""

    __slots__ = ("picks",)

    picks: Mapping[tuple[str, ...], bytes]

    def __bool__(self) -> bool:
        return True  # also as `NO_PATH`


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


class Reading(Protocol):
    """How clients read: a `signalpost.delivery.codec.Encoding`."""

    @property
    def encode(self) -> Callable[["Publication"], bytes]:
        """Encodes what was published."""


class Publication:
    """A value on its way to a target.

    Args:
        value: a string, or anything that orjson takes.
        path: where it was sent or, for want of that, where it came from; None when there is neither. As a `Slot` it
            says what the value is of, too.
        target: who gets it.
        origin: the path that it came from; None if no client's message has brought it about.

    Attributes:
        opcode: of the frame that plain clients read.
        data: its payload: the text, or compact JSON.
        size: bytes of `data`.
        is_raw: whether it is a frame of a signal with ``format: raw``, which stays as it came for all clients.

    Raises:
        TypeError: `value` is not JSON.

    """

    __slots__ = ("_encoded", "data", "origin", "path", "size", "target", "value")

    opcode: int = _TEXT
    is_raw = False

    def __init__(self, value: Any, path: str | None, target: Target = EVERYONE, origin: str | None = None) -> None:
        self.value = value
        self.path = path
        self.target = target
        self.origin = origin
        # Encoded at once, so that a value that is not JSON is the caller's error, not the flush's.
        self.data = data = text_of(value) if isinstance(value, str) else json_of(value)
        self.size = len(data)
        self._encoded: dict[Any, bytes] = {}

    def encoded(self, encoding: Reading) -> bytes:
        """Return it as clients of an encoding read it; encoded when it is asked for, and once."""
        found = self._encoded.get(encoding)
        if found is None:
            found = self._encoded[encoding] = encoding.encode(self)
        return found

    def deflated(self, frame: bytes, deflate: Callable[[bytes], bytes]) -> bytes:
        """Return one of its frames compressed; once, whatever encodings have the same frame."""
        found = self._encoded.get((frame, deflate))
        if found is None:
            found = self._encoded[frame, deflate] = deflate(frame)
        return found


class RawPublication(Publication):
    """A frame relayed as it came (``format: raw``).

    Args:
        opcode: text or binary.
        data: the message.
        path: see `Publication`, likewise the others.

    """

    __slots__ = ("opcode",)

    is_raw = True

    def __init__(
        self, opcode: int, data: bytes, path: str | None, target: Target = EVERYONE, origin: str | None = None
    ) -> None:
        self.value = self.data = data
        self.path = path
        self.target = target
        self.origin = origin
        self.opcode = opcode
        self.size = len(data)
        self._encoded = {}


def _is_small(value: dict[Any, Any]) -> bool:
    """Return whether a mapping has a few plain values that together are small, as most have."""
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


def text_of(value: str) -> bytes:
    """Return a text as UTF-8.

    Raises:
        TypeError: it has half of a surrogate pair.

    """
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise TypeError("the text has lone surrogates, which UTF-8 cannot carry") from None


def json_of(value: Any) -> bytes:
    """Return a value as compact JSON.

    Raises:
        TypeError: it is not JSON.

    """
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise TypeError(f"a value of type {type(value).__name__} cannot be sent as JSON: {error}") from None
