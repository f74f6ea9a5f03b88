"""The target of a broadcast, and its receipt."""

from asyncio import Future, gather, get_running_loop
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, NewType

from signalpost.paths import Place

ClientId = NewType("ClientId", str)


class Published(NamedTuple):
    """What became of a broadcast among all nodes.

    Attributes:
        at: its position, as a text; None if it was not kept.
        matched: clients that the target reaches here, and one for each other node that has some.
        again: whether it had been kept before: its ``once`` was known.
    """

    at: str | None = None
    matched: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What happened to a broadcast.

    Attributes:
        matched: clients that the target reaches.
        queued: clients that it was queued for. It may be left out later, for newer values (`SlowPolicy`), or be
            lost with a connection that ends: a socket's errors, and the limit of all outboxes together, show later.
        dropped: clients that it was not queued for: they were too slow and were disconnected or, under a policy
            that leaves frames out, it alone would not fit into the outbox. `matched` is the sum of the two.
        size: bytes of the value as it is sent.
        later: what becomes of it among all nodes; None if there is no other. It fails with `UnavailableError` if the
            backplane cannot be reached. Then `matched` counts the clients of this node, for none of which it is queued
            yet.
    """

    matched: int = 0
    queued: int = 0
    dropped: int = 0
    size: int = field(default=0, compare=False, repr=False)
    later: "Future[Published] | None" = field(default=None, compare=False, repr=False)

    def sent(self) -> "Receipt":
        """Return it.

        Raises:
            UnavailableError: nothing was sent; the backplane cannot be reached.
        """
        later = self.later
        if later is not None and later.done() and (error := later.exception()) is not None:
            raise error
        return self


NOBODY = Receipt()


@lru_cache(1_024)  # to make one takes ten times as long, and a node's clients are often as many as before
def receipt_of(matched: int, dropped: int, size: int) -> Receipt:
    """Return the receipt of a value of `size` bytes that was delivered here, or in vain to `dropped` of its clients."""
    return Receipt(matched, matched - dropped, dropped, size)


def sum_of(receipts: Sequence[Receipt]) -> Receipt:
    """Return the sum of one value's receipts from several targets."""
    return Receipt(
        sum(receipt.matched for receipt in receipts),
        sum(receipt.queued for receipt in receipts),
        sum(receipt.dropped for receipt in receipts),
        max((receipt.size for receipt in receipts), default=0),
        _together([receipt.later for receipt in receipts if receipt.later is not None]),
    )


def _together(laters: "Sequence[Future[Published]]") -> "Future[Published] | None":
    """Return what becomes of one value at several targets; it is at the first position of these."""
    if len(laters) < 2:  # noqa: PLR2004 - one is what it is
        return laters[0] if laters else None
    together: Future[Published] = get_running_loop().create_future()

    def settle(all_of_them: "Future[list[Published]]") -> None:
        if together.done():
            return
        if (error := all_of_them.exception()) is not None:
            together.set_exception(error)
            together.exception()  # whoever asks is told; nobody need ask
            return
        found = all_of_them.result()
        at = next((each.at for each in found if each.at is not None), None)
        together.set_result(Published(at, sum(each.matched for each in found), any(each.again for each in found)))

    gather(*laters).add_done_callback(settle)
    return together


@dataclass(frozen=True, slots=True)
class Target:
    """The clients that receive a broadcast: the intersection of what is given, everyone if nothing is.

    Attributes:
        path: clients connected on this path, in its declared spelling; of a signal of some endpoints only, its place
            (`signalpost.signals.table.ResolvedPath`).
        groups: clients of any of these groups; an empty set is nobody.
        client: the client of this id.
        excluding: the id of a client that receives nothing.
        left_out: the session of that client, which reads nothing of it later, either.
        user: clients of this user (`signalpost.auth.identity.Identity.user`).
        refusing: wards whose clients receive nothing (`signalpost.signals.elsewhere`), unless they are at `home`.
        home: the sender's place, where a message always arrives.
    """

    path: Place | None = None
    groups: frozenset[str] | None = None
    client: ClientId | None = None
    excluding: ClientId | None = None
    refusing: frozenset[str] = frozenset()
    home: Place | None = None
    left_out: str | None = None
    user: str | None = None

    @property
    def whole(self) -> Place | None:
        """The path, if this is the path as a whole, or all of it but one client: what a history keeps."""
        return self.path if self.groups is None and self.client is None and self.user is None else None


EVERYONE = Target()


@lru_cache(1_024)
def target_at(place: Place) -> Target:
    """Return the target of all clients at a place."""
    return Target(path=place)
