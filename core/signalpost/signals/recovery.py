"""Recovery: what a client that comes to a path with a history reads, before it reads what is sent from then on."""

from dataclasses import dataclass
from typing import Any

from signalpost.config.model import MOST_REPLAYED
from signalpost.history.position import read_position
from signalpost.history.stream import Stream, Why
from signalpost.units import MEBIBYTE

MOST_ENTRIES = MOST_REPLAYED
"""Values that a client reads at once at most; if it has missed more, they count as too old."""

MOST_BYTES = MEBIBYTE
"""Bytes that they have at most."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a client reads when it is admitted.

    Attributes:
        offset: of the value before the first that it reads.
        why: what is missing before that; None if nothing is, or if the client brought no position.
        welcome: what its welcome says about that.
    """

    offset: int
    why: Why | None
    welcome: dict[str, Any]


def recover(stream: Stream, at: str | None, session: str) -> Recovery:
    """Decide what a client reads from a stream.

    Args:
        stream: of its path; what is too old has been removed.
        at: the position that it brought, as a text; None if it brought none.
        session: of the client.
    """
    welcome: dict[str, Any] = {"at": str(stream.at)}
    why: Why | None = None
    if at is not None:
        position = read_position(at)
        why = Why.LOST if position is None else stream.doubt(position)
        if position is not None and why is None:
            count = stream.top - position.offset
            if _before_newest(stream, count) == position.offset:
                missed = _missed(stream, position.offset, session)
                return Recovery(position.offset, None, {**welcome, "recovered": True, "missed": missed})
            why = Why.TOO_OLD
        welcome["recovered"] = False
    offset = _before_newest(stream, stream.config.replay)
    return Recovery(offset, why, {**welcome, "missed": _missed(stream, offset, session)})


def _missed(stream: Stream, offset: int, session: str) -> int:
    return sum(entry.left_out != session for _, entry in stream.after(offset))


def _before_newest(stream: Stream, count: int) -> int:
    """Return the offset before the newest values, of which no more are taken than may be read at once."""
    offset, size, until = stream.top, 0, max(stream.top - min(count, MOST_ENTRIES), stream.first - 1)
    while offset > until and (entry := stream.entry(offset)) is not None:
        size += len(entry.data)
        if size > MOST_BYTES:
            break
        offset -= 1
    return offset
