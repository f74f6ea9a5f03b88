"""The ledger of a path: who is present, and what has changed since its clients were told. It has no clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

LONGEST_INFO = 1_024
"""Bytes that the info of a user may have as JSON."""

MOST_NAMED = 262_144
"""Bytes that the names and infos of all users may have; with more, only their number is told."""


@dataclass(slots=True)
class Member:
    """A user on a path.

    Attributes:
        info: what others see.
        text: the same as JSON.
        n: how many connections the user has.
        until: when the user counts as gone, in monotonic seconds; None while there is a connection.
    """

    info: Any
    text: bytes
    n: int = 0
    until: float | None = None


class Ledger:
    """Tracks the users of one path.

    Args:
        most: with more users, only their number is told.

    Attributes:
        most: see above.
        version: counts the differences that were told.
    """

    __slots__ = (
        "_counted",
        "_joined",
        "_left",
        "_members",
        "_named",
        "_read",
        "_size",
        "_told",
        "_waiting",
        "most",
        "version",
    )

    def __init__(self, most: int) -> None:
        self.most = most
        self.version = 0
        self._members: dict[str, Member] = {}
        self._waiting: dict[str, None] = {}  # users without a connection, who may come back; the first to go first
        self._joined: dict[str, bool] = {}  # and whether nobody was told of the user before
        self._left: dict[str, None] = {}
        self._size = 0
        self._named = True  # whether the clients were told all names
        self._counted = False  # whether a client that came since then was told the number alone
        self._read = False  # whether such a client was told all names
        self._told = 0  # how many users they know of

    def __len__(self) -> int:
        """Return how many users are present."""
        return len(self._members)

    def enter(self, user: str, info: Any) -> None:
        """Add a connection of a user; one who comes back in time was never away."""
        member = self._members.get(user)
        self.have(user, 1 if member is None else member.n + 1, info)

    def have(self, user: str, n: int, info: Any) -> None:
        """Note how many connections a user has.

        Args:
            user: who is present.
            n: the connections, at least 1.
            info: what others see.
        """
        member = self._members.get(user)
        text = orjson.dumps(info)
        if member is None:
            member = self._members[user] = Member(info, text)
            self._size += len(user) + len(text)
            self._joined[user] = user not in self._left
            self._left.pop(user, None)
        elif member.text != text or max(1, member.n) != n:
            self._size += len(text) - len(member.text)
            member.info, member.text = info, text
            self._joined.setdefault(user, False)
        member.n = n
        member.until = None
        self._waiting.pop(user, None)

    def leave(self, user: str, until: float) -> None:
        """Remove a connection of a user, who counts as gone at a time unless another one comes."""
        member = self._members.get(user)
        if member is None:
            return
        if member.n > 1:
            self.have(user, member.n - 1, member.info)
        else:
            self.lack(user, until)

    def lack(self, user: str, until: float | None) -> None:
        """Note that a user has no connection.

        Args:
            user: who counts as gone at a time unless a connection comes; nothing is changed for one who waits already.
            until: that time, in monotonic seconds; None is now.
        """
        member = self._members.get(user)
        if member is None:
            return
        if until is None:
            self._waiting.pop(user, None)
            self._remove(user)
        elif member.until is None:
            if member.n > 1:
                self._joined.setdefault(user, False)
            member.n, member.until = 0, until
            self._waiting[user] = None

    def expire(self, now: float) -> None:
        """Remove the users whose time to come back is over."""
        gone: list[str] = []
        for user in self._waiting:
            until = self._members[user].until
            if until is not None and until > now:
                break
            gone.append(user)
        for user in gone:
            del self._waiting[user]
            self._remove(user)

    def _remove(self, user: str) -> None:
        self._size -= len(user) + len(self._members.pop(user).text)
        if not self._joined.pop(user, False):
            self._left[user] = None

    @property
    def next_end(self) -> float | None:
        """When the next user counts as gone; None if nobody waits for that."""
        first = next(iter(self._waiting), None)
        return None if first is None else self._members[first].until

    @property
    def changed(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._joined or self._left)

    @property
    def tells_names(self) -> bool:
        """Whether names are told, and not their number alone."""
        return len(self._members) <= self.most and self._size <= MOST_NAMED

    def difference(self) -> Mapping[str, Any] | None:
        """Return what clients are told of the changes since the last time; None if there is nothing to tell."""
        if not self.changed:
            return None
        joined, self._joined = self._joined, {}
        left, self._left = self._left, {}
        was_named, self._named = self._named, self.tells_names
        counted, self._counted = self._counted, False
        read, self._read = self._read, False
        if not (self._named or was_named or counted or read) and len(self._members) == self._told:
            return None
        self.version += 1
        self._told = len(self._members)
        body = {"version": self.version, "count": len(self._members)}
        if not self._named:
            return body
        if not was_named or counted or len(left) > self.most:
            return body | {"users": dict(self._users())}
        return body | {"joined": {user: _seen(self._members[user]) for user in joined}, "left": list(left)}

    def whole(self) -> Mapping[str, Any]:
        """Return what a client is told that comes."""
        body: dict[str, Any] = {"version": self.version, "count": len(self._members)}
        self._joined = dict.fromkeys(self._joined, False)  # who reads this is told of them
        if self.tells_names:
            self._read = True
            return body | {"users": dict(self._users())}
        self._counted = True
        return body

    def __iter__(self) -> Iterator[tuple[str, Member]]:
        """Yield the users who are present."""
        return iter(self._members.items())

    def _users(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return ((user, _seen(member)) for user, member in self._members.items())


def _seen(member: Member) -> Mapping[str, Any]:
    """Return what others see of a user; who may still come back was never away."""
    return {"n": max(1, member.n), "info": member.info}
