"""Publications: a value, or a frame relayed as it is, on its way to a target; encoded once for each encoding."""

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Any, Protocol

import orjson

from signalpost.backplanes.backplane import Once
from signalpost.delivery.target import EVERYONE, Target
from signalpost.history.position import Position
from signalpost.history.stream import Entry
from signalpost.state.frozen import FrozenDict, FrozenList, weight_of
from signalpost.state.weight import PLAIN, VALUE
from signalpost.units import MEBIBYTE
from signalpost.websocket.frames import Opcode

_TEXT = int(Opcode.TEXT)
_dumps = orjson.dumps

NO_PATH = ""
"""In place of the path of a value that was sent to no path and came from none."""

LARGEST = 128 * MEBIBYTE
"""What a value that code broadcasts may hold, in characters; each value in it counts for at least `VALUE`."""


_TOO_LARGE = (
    f"a value that is sent holds at most {LARGEST // MEBIBYTE} MiB, and this one holds more: what stands in it several "
    "times is sent as often"
)
_NUMBERS = frozenset({int, float, bool, type(None)})
_FEW = 16
_SHORT = MEBIBYTE
_LONGEST_PICK = 255
_DEEPEST = 256  # levels: the encoder accepts no more


class Slot(str):
    """A value's path, and what distinguishes it from others there.

    Attributes:
        picks: by each key that a signal names (`LatestBy`).
        position: in the stream of its path; None if it was not kept.
    """

    __slots__ = ("picks", "position")

    picks: Mapping[tuple[str, ...], bytes]
    position: Position | None

    def __bool__(self) -> bool:
        return True  # also as `NO_PATH`


def slot_of(value: Any, path: str | None, keys: Collection[tuple[str, ...]]) -> Slot:
    """Return the path of a value with its identity by each of the keys that signals name."""
    slot = Slot(path or NO_PATH)
    slot.picks = {key: found for key in keys if (found := _picked(value, key)) is not None}
    slot.position = None
    return slot


def _picked(value: Any, key: tuple[str, ...]) -> bytes | None:
    """Return what is at the end of a path through a value's mappings, if it is not a list or mapping."""
    for name in key:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    if not isinstance(value, str | int | float):
        return None
    text = orjson.dumps(value)
    return text if len(text) <= _LONGEST_PICK else sha256(text).digest()


class Reading(Protocol):
    """The format for a group of clients: a `signalpost.delivery.codec.Encoding`."""

    @property
    def encode(self) -> Callable[["Publication"], bytes]:
        """Encode what was published."""

    def noticed(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """Encode a notice."""


class Publication:
    """A value on its way to a target.

    Args:
        value: a string, or anything that orjson accepts.
        path: of its target, else of its sender; None if neither has one. As a `Slot` it
            also identifies what the value describes.
        target: of the value.
        origin: the path that it came from; None if no client's message caused it.

    Attributes:
        opcode: of the frame for plain clients.
        data: its payload: the text, or compact JSON.
        size: bytes of `data`.
        is_text: whether the value is a text, so that `data` is not JSON.
        is_raw: whether it is a frame of a signal with ``format: raw``, which is unchanged for all clients.
        position: in the stream of its path, if that has a history.
        once: by what a repeat of it is known among nodes; None is no repeat.

    Raises:
        TypeError: `value` is not JSON.
    """

    __slots__ = ("_encoded", "data", "is_text", "origin", "path", "position", "size", "target", "value")

    opcode: int = _TEXT
    is_raw = False
    once: Once | None = None

    def __init__(self, value: Any, path: str | None, target: Target = EVERYONE, origin: str | None = None) -> None:
        self.value = value
        self.path = path
        self.target = target
        self.origin = origin
        # Encoded at once, so that a value that is not JSON is the caller's error, not the flush's.
        # As `text_of` and `json_of` do it, which say what is wrong: a call is measurable.
        try:
            if isinstance(value, str):
                self.is_text = True
                data = value.encode()
            else:
                self.is_text = False
                data = _dumps(value)
        except (UnicodeEncodeError, TypeError, orjson.JSONEncodeError):
            data = text_of(value) if self.is_text else json_of(value)
        self.data = data
        self.size = len(data)
        self.position: Position | None = None
        self._encoded: dict[Any, bytes] = {}

    @property
    def slot(self) -> str:
        """Its path for clients that may be slow, with its position if it has one."""
        path = self.path or NO_PATH
        if self.position is None:
            return path
        if type(path) is not Slot:
            path = self.path = slot_of(None, path, ())
        path.position = self.position
        return path

    def encoded(self, encoding: Reading) -> bytes:
        """Return it in an encoding; encoded on demand, once."""
        found = self._encoded.get(encoding)
        if found is None:
            found = self._encoded[encoding] = encoding.encode(self)
        return found

    def deflated(self, frame: bytes, deflate: Callable[[bytes], bytes]) -> bytes:
        """Return one of its frames compressed; done once, even if several encodings share the frame."""
        found = self._encoded.get((frame, deflate))
        if found is None:
            found = self._encoded[frame, deflate] = deflate(frame)
        return found


class OncePublication(Publication):
    """A value that is kept once, however often it is published."""

    __slots__ = ("once",)

    def __init__(self, value: Any, path: str | None, target: Target, origin: str | None, once: Once) -> None:
        super().__init__(value, path, target, origin)
        self.once = once


class RawPublication(Publication):
    """A frame relayed as it is (``format: raw``).

    Args:
        opcode: text or binary.
        data: of the message.
        path: see `Publication`, also for the others.
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
        self.is_text = False
        self.position = None
        self._encoded = {}


class KeptPublication(Publication):
    """A value that was kept, on its way to a client that has missed it.

    Args:
        entry: of the stream.
        position: of the entry.
        path: that it was sent to.
    """

    __slots__ = ("_entry",)

    def __init__(self, entry: Entry, position: Position, path: str) -> None:
        self._entry = entry
        self.data = entry.data
        self.size = len(entry.data)
        self.path = path
        self.position = position
        self.target = EVERYONE
        self.origin = None
        self.is_text = entry.is_text
        self._encoded = {}

    @property
    def value(self) -> Any:
        """See `Entry.value`."""
        return self._entry.value


class Announcement(Publication):
    """A notice of the server for clients that converse (`signalpost.delivery.codec.Codec.converses`).

    For slow clients it counts as a value, which the next one of its kind may replace.

    Args:
        kind: see `Codec.notice`.
        body: with the path that it is about.
    """

    __slots__ = ("body", "kind")

    def __init__(self, kind: str, body: Mapping[str, Any]) -> None:
        super().__init__(dict(body), f"{body['path']}\0{kind}")
        self.kind = kind
        self.body = body

    def encoded(self, encoding: Reading) -> bytes:
        """See `Publication.encoded`."""
        found = self._encoded.get(encoding)
        if found is None:
            found = self._encoded[encoding] = encoding.noticed(self.kind, self.body)
        return found


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
    """Reject a value that needs too much memory to encode: out of memory, the encoder ends the process.

    Clients' messages and results of templates are smaller, so this checks what plugins' code sends.

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
    """Return text as UTF-8.

    Raises:
        TypeError: it has a lone surrogate.
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
