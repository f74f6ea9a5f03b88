"""The bytes that wait for all clients together, and which clients are dropped when they exceed the limit."""

import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from signalpost.logthrottle import Tally
from signalpost.units import format_size


class Backlogged(Protocol):
    """A client as the backlog sees it."""

    @property
    def waiting(self) -> int:
        """Bytes that wait until it reads."""


W = TypeVar("W", bound=Backlogged)


class Backlog(Generic[W]):
    """The outboxes of all clients together.

    A client's share is what waited for it when it was last measured. A transport does not report its progress, so
    shares may be too large, never too small: all are measured again before a client is dropped.

    Args:
        most: bytes that all outboxes together may hold; None is no limit.

    Attributes:
        most: the same; it may change.
        total: bytes of all shares.
    """

    __slots__ = ("_shares", "most", "total")

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self._shares: dict[W, int] = {}
        self.total = 0

    @property
    def over(self) -> bool:
        """Whether more bytes may be waiting than the outboxes may hold."""
        return self.most is not None and self.total > self.most

    def note_waiting(self, client: W, waiting: int) -> None:
        """Note how many bytes wait for a client; 0 forgets it."""
        shares = self._shares
        if waiting:
            self.total += waiting - shares.get(client, 0)
            shares[client] = waiting
        elif client in shares:
            self.total -= shares.pop(client)

    def take_heaviest(self) -> list[W]:
        """Remove and return the clients with the largest shares, largest first, until the rest is within the limit."""
        for client in tuple(self._shares):
            self.note_waiting(client, client.waiting)
        heaviest: list[W] = []
        # Sorted only when a client must be dropped.
        for client in sorted(self._shares, key=self._shares.__getitem__, reverse=True) if self.over else ():
            if not self.over:
                break
            self.note_waiting(client, 0)
            heaviest.append(client)
        return heaviest


LOG = logging.getLogger(__name__)


class ShedLog:
    """Logs how many clients were dropped, at most one line per second.

    Args:
        outboxes: bytes that may wait for all clients together.
        call_later: runs a function after a number of seconds (``loop.call_later``).
    """

    __slots__ = ("_outboxes", "_tally")

    def __init__(self, outboxes: int, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._outboxes = outboxes
        self._tally = Tally(self._tell, call_later)

    def __call__(self, clients: int) -> None:
        """Called with the number of clients that were dropped."""
        self._tally.add(clients)

    def _tell(self, clients: int) -> None:
        LOG.warning(
            "clients dropped with 4008, the slowest first: %d; more than %s waited for all together (limits.outboxes)",
            clients,
            format_size(self._outboxes),
        )
