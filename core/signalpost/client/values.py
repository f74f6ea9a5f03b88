"""What a room hands on: frozen values, with no behaviour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Signal:
    """A value that was sent to the room.

    Attributes:
        value: JSON; on a signal of `format: raw` the frame as it came, a text or bytes.
        path: where it was sent, or else where it came from; None if neither is known.
        at: its position, to come back to with ``connect(…, at=…)``; None where the path has no history.
    """

    value: Any
    path: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A place between two signals where others are missing, which the room cannot bring.

    Attributes:
        path: of the room.
        why: ``lost`` (the position is none any more, or values were missed that are not kept), ``too-old`` (more was
            missed than is kept, or than is replayed), ``slow`` (the history dropped what was still to be read), or
            ``unknown`` (the path has no history, so nobody knows what was sent while there was no connection).
        at: the position from which signals go on; None if there is none, or if nothing is missing that is kept.
    """

    path: str | None
    why: str
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A user who is present.

    Attributes:
        n: the number of connections.
        info: what the signal says of a user (`presence: {info: …}`); JSON.
    """

    n: int
    info: Any = None


@dataclass(frozen=True, slots=True)
class Presence:
    """A change of who is present.

    Attributes:
        count: how many users there are now; None if the path has no presence any more.
        joined: who came, or whose `Member` has changed.
        left: who has gone.
    """

    count: int | None
    joined: Mapping[str, Member] = field(default_factory=dict)
    left: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to `Room.ask`.

    Attributes:
        kind: ``reply`` if a handler or a list of actions replied, else ``ack``.
        value: of a reply; JSON. None of an ack.
        at: the position of the message, if it was kept in the history; else None.
        again: whether the message had been done before, and this is the answer of that time.
    """

    kind: Literal["ack", "reply"]
    value: Any = None
    at: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """A part of the history of the room's path.

    Attributes:
        signals: in their order, the oldest first.
        at: the position of the last of them; None if there are none.
        more: whether there are more in the same direction: newer ones with `after`, else older ones.
    """

    signals: tuple[Signal, ...]
    at: str | None
    more: bool


@dataclass(frozen=True, slots=True)
class State:
    """What a room is doing.

    Attributes:
        name: ``connecting``, ``connected``, ``waiting`` (to try again) or ``closed`` (for good).
        seconds: until the next try, of ``waiting``; else 0.
        reason: why there is no connection, in words; empty if nothing is wrong.
    """

    name: Literal["connecting", "connected", "waiting", "closed"]
    seconds: float = 0
    reason: str = ""
