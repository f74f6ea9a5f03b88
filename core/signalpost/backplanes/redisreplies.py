"""What Redis answers, and what it publishes, as the values of the protocol."""

import struct
from collections.abc import Mapping
from typing import Any

from signalpost.backplanes.backplane import Item, Kept, Slice, Top
from signalpost.backplanes.rediskeys import text_of
from signalpost.history.position import NO_ID

LIVE = 0
"""The first byte of what is published and not kept; the body follows."""

KEPT = 1
"""The first byte of what is published and kept."""

_HEADER = struct.Struct(">x6sQII")  # epoch, offset, id, the id of the entry before it; as keep.lua packs it
_BODY = _HEADER.size


class UnreadableError(Exception):
    """What stands there is not what signalpost has put there."""


def kept_payload(payload: bytes) -> tuple[Top, int, bytes]:
    """Return what was published and kept: its place, the id of the entry before it, its body."""
    try:
        epoch, offset, found, previous = _HEADER.unpack_from(payload)
        return Top(epoch.decode("ascii"), offset, found), previous, payload[_BODY:]
    except (struct.error, UnicodeDecodeError):
        raise UnreadableError from None


def kept(reply: Any) -> Kept:
    """Return what became of an entry."""
    epoch, offset, found, nodes, again = reply
    return Kept(epoch.decode(), offset, found, nodes, again == 1)


def top(reply: Any) -> Top:
    """Return the newest entry, of its three fields; of nothing, that of an unknown channel."""
    if reply is None or reply[0] is None:
        return Top("", 0, NO_ID)
    try:
        return Top(reply[0].decode("ascii"), int(reply[1]), int(reply[2]))
    except (TypeError, ValueError):
        raise UnreadableError from None


def entries(reply: Any) -> Slice:
    """Return a part of a channel; entries that are too old are left out."""
    newest = top(reply)
    if reply is None:
        return Slice(newest, NO_ID, ())
    items, before = [], newest.id
    now, life = reply[3], int(reply[4])
    for entry_id, (_, payload) in reply[5]:  # newest first
        age = now - int(entry_id.rpartition(b"-")[2])
        if age >= life:
            break
        place, previous, body = kept_payload(payload)
        items.append(Item(place.offset, place.id, body, max(0.0, age / 1000)))
        before = previous
    items.reverse()
    return Slice(newest, before, items)


def table(reply: Any) -> Mapping[str, bytes]:
    """Return the fields of a table."""
    return {text_of(name): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def moment(reply: Any) -> float:
    """Return what TIME says, in seconds since 1970."""
    return int(reply[0]) + int(reply[1]) / 1_000_000


def anything(reply: Any) -> None:
    """Return nothing, whatever the reply is."""


def yes(reply: Any) -> bool:
    """Return whether the reply is 1."""
    return bool(reply == 1)


def holder(owner: str, reply: Any) -> str:
    """Return who has a lease that an owner has asked for."""
    return owner if reply == 1 else text_of(reply)


def number(reply: Any) -> int:
    """Return a number as it is."""
    return int(reply)
