"""Seats: on which nodes the users of a path are connected, and what others see of them. It has no clock.

Each node counts its own connections alone, and says how many they are: never how many more or fewer. What nodes say
of one user is added up. What others see of the user is what the connection brought that came last, as far as nodes
knew of each other then: each counts on from the highest turn that it knows. So all nodes that know the same show the
same.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_NOBODY: Mapping[str, "Seat"] = {}


class Seat(NamedTuple):
    """The connections of one user on one node.

    Attributes:
        n: how many, at least 1.
        info: what others see, as the last of them says.
        turn: higher than all that this node knew of the user when the info came.
    """

    n: int
    info: Any
    turn: int


class Seats:
    """All seats of one path.

    Args:
        tag: of this node.
    """

    __slots__ = ("_nodes", "_tag")

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._nodes: dict[str, dict[str, Seat]] = {}

    @property
    def own(self) -> Mapping[str, Seat]:
        """The users who are connected here."""
        return self._nodes.get(self._tag, _NOBODY)

    @property
    def elsewhere(self) -> list[str]:
        """The tags of other nodes that have users."""
        return [tag for tag in self._nodes if tag != self._tag]

    def of(self, tag: str) -> Mapping[str, Seat]:
        """Return the users of a node."""
        return self._nodes.get(tag, _NOBODY)

    def enter(self, user: str, info: Any) -> None:
        """Add a connection of this node."""
        own = self.own.get(user)
        turn = max((seat.turn for _, seat in self._seats(user)), default=0) + 1
        self.put(self._tag, user, Seat(1 if own is None else own.n + 1, info, turn))

    def leave(self, user: str) -> None:
        """Remove a connection of this node."""
        own = self.own.get(user)
        if own is not None:
            self.put(self._tag, user, own._replace(n=own.n - 1) if own.n > 1 else None)

    def put(self, tag: str, user: str, seat: Seat | None) -> None:
        """Note what a node says of a user; None is that the user is not connected there."""
        if seat is not None:
            self._nodes.setdefault(tag, {})[user] = seat
        elif (users := self._nodes.get(tag)) is not None:
            users.pop(user, None)
            if not users:
                del self._nodes[tag]

    def forget(self, tag: str) -> Mapping[str, Seat]:
        """Remove a node; return the users whom it had."""
        return self._nodes.pop(tag, _NOBODY)

    def total(self, user: str) -> Seat | None:
        """Return what all nodes together say of a user; None if it is connected nowhere."""
        last: tuple[int, str, Seat] | None = None
        n = 0
        for tag, seat in self._seats(user):
            n += seat.n
            if last is None or (seat.turn, tag) > last[:2]:
                last = (seat.turn, tag, seat)
        return None if last is None else last[2]._replace(n=n)

    def _seats(self, user: str) -> Iterator[tuple[str, Seat]]:
        return ((tag, users[user]) for tag, users in self._nodes.items() if user in users)
