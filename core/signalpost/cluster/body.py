"""Bodies: what nodes tell each other, as bytes. A value for clients, or a note for the nodes themselves.

::

    version  flags  node  number  [length, details]  data
    1        1      8     8        2                  the value as plain clients read it, or a note as JSON

A value that goes to a path as a whole, which most do, has no details: its channel says where it goes.
"""

from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

import orjson

from signalpost.cluster.channels import place_text, read_place
from signalpost.delivery.publication import NO_PATH, Publication, RawPublication
from signalpost.delivery.target import ClientId, Target
from signalpost.paths import Place, path_of
from signalpost.websocket.frames import Opcode

VERSION = 1

_HEAD = Struct(">BBQQ")
_LENGTH = Struct(">H")
_MOST_DETAILS = 0xFFFF
_CHANNELS = 4096  # whose targets are made once


class Flag:
    """What a body is: bits of a plain number, since each body is asked for them several times.

    Attributes:
        TEXT: the value is a text; else its data is JSON.
        RAW: a frame, unchanged.
        BINARY: of a frame: a binary one.
        DETAILS: there are details.
        NOTE: a note for nodes.
    """

    TEXT: Final = 1
    RAW: Final = 2
    BINARY: Final = 4
    DETAILS: Final = 8
    NOTE: Final = 16


class Body(NamedTuple):
    """A body, read.

    Attributes:
        flags: see `Flag`.
        node: 64 bits of whoever published it.
        number: counted by that node; on a channel whose values are not kept, for that channel.
        details: of the target and of where the value came from.
        data: the value, or the note.
    """

    flags: int
    node: int
    number: int
    details: dict[str, Any]
    data: bytes

    @property
    def note(self) -> dict[str, Any]:
        """The note as the node wrote it."""
        found: dict[str, Any] = orjson.loads(self.data)
        return found


class Received(Publication):
    """A value that came over the backplane."""

    __slots__ = ()

    def __init__(self, data: bytes, path: str | None, target: Target, origin: str | None, *, is_text: bool) -> None:
        self.data = data
        self.size = len(data)
        self.is_text = is_text
        self.path = path
        self.target = target
        self.origin = origin
        self.position = None
        self._encoded = {}

    @property
    def value(self) -> Any:
        """The value: a text, or what the JSON says. Most clients need it as bytes alone."""
        return self.data.decode() if self.is_text else orjson.loads(self.data)


def write_value(publication: Publication, node: int, number: int) -> bytes:
    """Return the body of a value."""
    flags, target = 0, publication.target
    if publication.is_raw:
        flags |= Flag.RAW | (Flag.BINARY if publication.opcode == Opcode.BINARY else 0)
    elif publication.is_text:
        flags |= Flag.TEXT
    details = _details_of(publication, target)
    if not details:
        return _HEAD.pack(VERSION, flags, node, number) + publication.data
    text = orjson.dumps(details)
    if len(text) > _MOST_DETAILS:
        raise ValueError("the names of paths, groups and users that a value goes to are too long together")
    head = _HEAD.pack(VERSION, flags | Flag.DETAILS, node, number)
    return b"".join((head, _LENGTH.pack(len(text)), text, publication.data))


def write_note(note: dict[str, Any], node: int, number: int) -> bytes:
    """Return the body of a note: an object with one key, its kind."""
    return _HEAD.pack(VERSION, Flag.NOTE, node, number) + orjson.dumps(note)


def read_body(body: bytes) -> Body | None:
    """Return what a body says; None if it is none that this version knows: a newer node may have sent it."""
    if len(body) < _HEAD.size or body[0] != VERSION:
        return None
    _, flags, node, number = _HEAD.unpack_from(body)
    begin = _HEAD.size
    details: dict[str, Any] = {}
    if flags & Flag.DETAILS:
        (length,) = _LENGTH.unpack_from(body, begin)
        begin += _LENGTH.size
        details = orjson.loads(body[begin : begin + length])
        begin += length
    return Body(flags, node, number, details, body[begin:])


def publication_of(body: Body, place: Place | None) -> Publication:
    """Return the value of a body.

    Args:
        body: of a value.
        place: whose channel brought it; None for any other channel.
    """
    details = body.details
    target = _target_of(details, place) if details else _whole(place)
    path: Any = details.get("p") if "p" in details else path_of(place) or NO_PATH
    origin = details.get("o", path)
    if body.flags & Flag.RAW:
        opcode = Opcode.BINARY if body.flags & Flag.BINARY else Opcode.TEXT
        return RawPublication(int(opcode), body.data, path, target, origin)
    return Received(body.data, path, target, origin, is_text=bool(body.flags & Flag.TEXT))


def _details_of(publication: Publication, target: Target) -> dict[str, Any]:  # noqa: C901 - a line for each field
    """Return what the channel of a value does not say."""
    details: dict[str, Any] = {}
    path = publication.path
    usual = NO_PATH if target.client is not None else path_of(target.path) or NO_PATH
    if path is None or str(path) != usual:
        details["p"] = None if path is None else str(path)
    if publication.origin != path:
        details["o"] = publication.origin
    if target.groups is not None:
        details["g"] = sorted(target.groups)
    if target.client is not None:
        details["c"] = target.client
        if target.path is not None:
            details["P"] = place_text(target.path)
    if target.user is not None:
        details["u"] = target.user
    if target.excluding is not None:
        details["x"] = target.excluding
    if target.left_out is not None:
        details["l"] = target.left_out
    if target.refusing:
        details["r"] = sorted(target.refusing)
        if target.home is not None:
            details["h"] = place_text(target.home)
    return details


@lru_cache(maxsize=_CHANNELS)
def _whole(place: Place | None) -> Target:
    """Return all clients of a place; one for all values, as making it is dearer than all else that is read of most."""
    return Target(path=place)


def _target_of(details: dict[str, Any], place: Place | None) -> Target:
    groups, home, elsewhere = details.get("g"), details.get("h"), details.get("P")
    client, excluding = details.get("c"), details.get("x")
    return Target(
        path=place if elsewhere is None else read_place(elsewhere),
        groups=None if groups is None else frozenset(groups),
        client=None if client is None else ClientId(client),
        excluding=None if excluding is None else ClientId(excluding),
        refusing=frozenset(details.get("r", ())),
        home=None if home is None else read_place(home),
        left_out=details.get("l"),
        user=details.get("u"),
    )
