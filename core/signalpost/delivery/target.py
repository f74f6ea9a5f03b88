"""Who a broadcast is for, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NewType

ClientId = NewType("ClientId", str)


class Apart(NamedTuple):
    """The place of a path that a signal has at some endpoints only. No text is equal to it, whatever a client writes.

    Attributes:
        path: the text of the path.
        endpoints: their names, sorted.

    """

    path: str
    endpoints: tuple[str, ...]


Place = str | Apart
"""Whose clients are one audience: a path, or what sets a signal of some endpoints apart at it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a broadcast.

    Attributes:
        matched: clients that the target reaches.
        queued: those it was queued for. It may still be left out later, in favour of newer ones (`SlowPolicy`), or be
            lost with a connection that ends: a socket's own news, and what all outboxes together hold, come later.
        dropped: those it was not queued for: they were too slow and lost their connection for it or, under a policy
            that leaves frames out, it would not fit into the outbox by itself. `matched` is the sum of the two.
        size: bytes of the value as it is sent.

    """

    matched: int = 0
    queued: int = 0
    dropped: int = 0
    size: int = field(default=0, compare=False, repr=False)


NOBODY = Receipt()


def sum_of(receipts: Sequence[Receipt]) -> Receipt:
    """Add up what became of one value at several targets."""
    return Receipt(
        sum(receipt.matched for receipt in receipts),
        sum(receipt.queued for receipt in receipts),
        sum(receipt.dropped for receipt in receipts),
        max((receipt.size for receipt in receipts), default=0),
    )


@dataclass(frozen=True, slots=True)
class Target:
    """Who gets a broadcast. What is given intersects; nothing given is everyone.

    Attributes:
        path: clients connected on this path, in its declared spelling; of a signal of some endpoints only, its place
            (`signalpost.signals.table.ResolvedPath`).
        groups: clients of any of these groups; an empty set is nobody.
        client: the client of this id.
        excluding: the id of a client that gets nothing.
        refusing: wards whose clients get nothing (`signalpost.signals.elsewhere`), unless they are at `home`.
        home: the sender's place, where a message always arrives.

    """

    path: Place | None = None
    groups: frozenset[str] | None = None
    client: ClientId | None = None
    excluding: ClientId | None = None
    refusing: frozenset[str] = frozenset()
    home: Place | None = None


EVERYONE = Target()
