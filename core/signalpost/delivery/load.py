"""What waits for all clients together, and who must go when it is more than the server may hold."""

from typing import Generic, Protocol, TypeVar


class Weighed(Protocol):
    """A client as the load sees it."""

    @property
    def waiting(self) -> int:
        """Bytes that wait for it to read."""


W = TypeVar("W", bound=Weighed)


class Load(Generic[W]):
    """The outboxes of all clients together.

    A client's share is what waited for it when it was last weighed. A transport does not say how far it has come, so
    shares may be too large, never too small: all are weighed anew before anybody must go.

    Args:
        most: bytes that all outboxes together may hold; None is no bound.

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
        """Whether more may be waiting than the outboxes may hold."""
        return self.most is not None and self.total > self.most

    def weigh(self, client: W, waiting: int) -> None:
        """Hear how many bytes wait for a client; 0 forgets it."""
        shares = self._shares
        if waiting:
            self.total += waiting - shares.get(client, 0)
            shares[client] = waiting
        elif client in shares:
            self.total -= shares.pop(client)

    def take_heaviest(self) -> list[W]:
        """Give those with the largest shares, largest first, without whom the rest is not too much; forget them."""
        for client in tuple(self._shares):
            self.weigh(client, client.waiting)
        heaviest: list[W] = []
        # Sorted only when somebody must go.
        for client in sorted(self._shares, key=self._shares.__getitem__, reverse=True) if self.over else ():
            if not self.over:
                break
            self.weigh(client, 0)
            heaviest.append(client)
        return heaviest
