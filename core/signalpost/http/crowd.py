"""Connections that the server waits for: if there are too many, the oldest of the address with the most is closed."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from signalpost.config.addresses import network_of

MOMENT = 0.05
"""Seconds after which a connection from `add_soon` is added."""


class Member(Protocol):
    """A connection that is waited for."""

    def evict(self) -> None:
        """Close the connection at once; it leaves its crowd."""


CallLater = Callable[[float, Callable[[], None]], object]


class Crowd:
    """The connections of all ports that wait for their client, by the client's address.

    There is no limit per address, since all clients behind a proxy have the same one. Adding, removing and finding the
    one to close take constant time.

    Args:
        most: returns how many there may be now.
        call_soon: runs a function in the next loop turn (``loop.call_soon``).
        call_later: runs one after a number of seconds (``loop.call_later``); without it, `add_soon` adds at once.
    """

    __slots__ = (
        "_addresses",
        "_call_later",
        "_call_soon",
        "_largest",
        "_members",
        "_most",
        "_pending_scheduled",
        "_scheduled",
        "_sizes",
        "_soon",
    )

    def __init__(
        self,
        most: Callable[[], int],
        call_soon: Callable[[Callable[[], None]], object],
        call_later: CallLater | None = None,
    ) -> None:
        self._most = most
        self._call_soon = call_soon
        self._addresses: dict[Member, str] = {}
        # Ordered: finding the first key of a dict is slow after many removals from its front.
        self._members: dict[str, OrderedDict[Member, None]] = {}
        self._sizes: dict[int, OrderedDict[str, None]] = {}
        self._largest = 0
        self._scheduled = False
        self._call_later = call_later
        self._soon: dict[Member, str] = {}
        self._pending_scheduled = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._addresses) + len(self._soon)

    def add(self, member: Member, host: str) -> None:
        """Add a connection as the newest; one that is already there keeps its age.

        If there are too many, they are closed only after the next poll of the sockets: those that send by then have
        left.
        """
        if member in self._addresses:
            return
        address = network_of(host)
        self._addresses[member] = address
        members = self._members.setdefault(address, OrderedDict())
        members[member] = None
        self._count(address, len(members) - 1, len(members))
        if not self._scheduled and len(self._addresses) > self._most():
            self._scheduled = True
            self._call_soon(self._shrink_later)

    def add_soon(self, member: Member, host: str) -> None:
        """Add a connection that is still there in a moment: most have sent something by then, and cost nothing here."""
        if self._call_later is None:
            self.add(member, host)
            return
        self._soon[member] = host
        if not self._pending_scheduled:
            self._pending_scheduled = True
            self._call_later(MOMENT, self.add_pending)

    def add_pending(self) -> None:
        """Add the connections that were to be added soon."""
        self._pending_scheduled = False
        soon, self._soon = self._soon, {}
        for member, host in soon.items():
            self.add(member, host)

    def remove(self, member: Member) -> None:
        """Forget a connection, if it is there."""
        self._soon.pop(member, None)
        if member not in self._addresses:
            return
        address = self._addresses.pop(member)
        members = self._members[address]
        del members[member]
        self._count(address, len(members) + 1, len(members))
        if not members:
            del self._members[address]

    def _shrink_later(self) -> None:
        self._call_soon(self.shrink)

    def shrink(self) -> None:
        """Close as many as there are too many, each time the oldest of the address that has the most."""
        self._scheduled = False
        while len(self._addresses) > self._most():
            heaviest = next(iter(self._sizes[self._largest]))
            oldest = next(iter(self._members[heaviest]))
            self.remove(oldest)
            oldest.evict()

    def _count(self, address: str, before: int, after: int) -> None:
        """Note that an address has one member more or less."""
        if before:
            same = self._sizes[before]
            del same[address]
            if not same:
                del self._sizes[before]
        if after:
            self._sizes.setdefault(after, OrderedDict())[address] = None
        if after > self._largest or self._largest not in self._sizes:
            self._largest = after
