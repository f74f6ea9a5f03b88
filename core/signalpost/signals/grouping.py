"""Grouping: whole targets join and leave groups at once, as other programs ask for it.

Where there are other nodes, they are told (`Elsewhere`). What is returned are the clients of this one.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from signalpost.delivery.hub import Hub
from signalpost.delivery.target import Target


class Elsewhere(Protocol):
    """Does on other nodes what is done here; see `signalpost.cluster.grouping.SharedGrouping`."""

    def regroup(self, targets: Sequence[Target], group: str, *, joins: bool) -> None:
        """Let the clients of targets join a group, or leave it."""


class Grouping:
    """Lets clients join and leave groups.

    Args:
        hub: of the clients.

    Attributes:
        elsewhere: tells the other nodes; None if there are none.
    """

    __slots__ = ("_hub", "elsewhere")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.elsewhere: Elsewhere | None = None

    def regroup(self, targets: Sequence[Target], group: str, *, joins: bool) -> int:
        """Let the clients of targets join a group, or leave it; return how many of them are here."""
        count = self.regroup_here(targets, group, joins=joins)
        if self.elsewhere is not None:
            self.elsewhere.regroup(targets, group, joins=joins)
        return count

    def regroup_here(self, targets: Iterable[Target], group: str, *, joins: bool) -> int:
        """Do so with the clients of this node alone."""
        found = list(dict.fromkeys(client for target in targets for client in self._hub.matching(target)))
        for client in found:
            if joins:
                client.join(group)
            else:
                client.leave(group)
        return len(found)
