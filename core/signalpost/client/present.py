"""Who is present: a map that is kept from the whole and from differences."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from signalpost.client.values import Member, Presence


class Present:
    """Who is present on a path.

    Attributes:
        members: by user; empty if only the number is told.
        count: how many users there are; None if nothing was told.
    """

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self.members: Mapping[str, Member] = MappingProxyType(self._members)
        self.count: int | None = None
        self._version: int | None = None  # of `members`; None: differences make no sense

    def welcomed(self, *, has_presence: bool) -> Presence | None:
        """Called for each welcome: what is known is old, until the whole is told; return what changes at once."""
        self._version = None
        if has_presence or self.count is None:
            return None
        return self._becomes({}, None)

    def told(self, body: Mapping[str, Any]) -> Presence | None:
        """Called for each `presence`; return what has changed, or None if a difference is missing.

        Then the whole is to be asked for.
        """
        count = body.get("count")
        count = count if isinstance(count, int) else None
        version = body.get("version")
        if isinstance(users := body.get("users"), Mapping):
            self._version = version if isinstance(version, int) else None
            return self._becomes(_members(users), count)
        if "joined" not in body and "left" not in body:
            self._version = None
            return self._becomes({}, count)
        if self._version is None or not isinstance(version, int) or version > self._version + 1:
            self.count = count
            return None
        if version <= self._version:  # the whole had it already
            return Presence(self.count)
        self._version = version
        return self._differs(_members(body.get("joined")), body.get("left"), count)

    def _becomes(self, members: dict[str, Member], count: int | None) -> Presence:
        joined = {user: member for user, member in members.items() if self._members.get(user) != member}
        left = tuple(user for user in self._members if user not in members)
        self._members.clear()
        self._members.update(members)
        self.count = count
        return Presence(count, joined, left)

    def _differs(self, joined: dict[str, Member], left: object, count: int | None) -> Presence:
        gone = tuple(user for user in left if user in self._members) if isinstance(left, list) else ()
        for user in gone:
            del self._members[user]
        self._members.update(joined)
        self.count = count
        return Presence(count, joined, gone)


def _members(users: object) -> dict[str, Member]:
    if not isinstance(users, Mapping):
        return {}
    found = {user: member for user, member in users.items() if isinstance(member, Mapping)}
    return {user: Member(member.get("n", 1), member.get("info")) for user, member in found.items()}
