"""The protocol of a backplane, which Redis and a memory for tests implement.

A backplane carries bodies, which it does not read, on channels, which are texts. It loses what is published while a
subscriber is away; everything that must not be lost is kept, and read again. Calls return at once: what they ask for is
sent at the end of the loop turn, in the order of the calls, and the future that they return holds the answer.

While the backplane is away a call's future fails with `AwayError`, at once, or when the connection is lost before the
answer came; it may have been done then. Nothing waits here, and nothing is tried again: that is the caller's.
"""

from asyncio import Future
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from signalpost.errors import OperatorError

_FACTOR = 40_503  # shares no divisor with the number of ids, so that what differs stays different
_IDS = 2**20 - 1


class AwayError(Exception):
    """The backplane is away, or was lost before it answered."""


class RefusedError(OperatorError):
    """The backplane answers, and will not do what is asked: a wrong password, an old version, no memory left."""


class Keep(NamedTuple):
    """How much of a channel is kept.

    Attributes:
        entries: the newest ones, at least 1.
        seconds: for which an entry is kept.
        head_seconds: for which the channel's epoch, offset and last id outlive its entries.
    """

    entries: int
    seconds: float
    head_seconds: float


class Once(NamedTuple):
    """By what a repeat is known again.

    Attributes:
        key: of the message: its session or user, and its own mark; within the channel.
        seconds: for which it is known.
    """

    key: str
    seconds: float


class Kept(NamedTuple):
    """What became of a body that was to be kept.

    Attributes:
        epoch: of the channel.
        offset: of the body; 0 of a repeat, if the first one is not there any more.
        id: of the entry there; of a repeat, that of the first one.
        nodes: that heard it, as far as that is known; 0 of a repeat.
        again: whether it was there already: this publisher's number, or its `Once`, had been seen.
    """

    epoch: str
    offset: int
    id: int
    nodes: int
    again: bool


class Top(NamedTuple):
    """The newest entry of a channel: epoch "" and offset 0 if nothing is known of the channel."""

    epoch: str
    offset: int
    id: int


class Item(NamedTuple):
    """An entry that was kept.

    Attributes:
        offset: of it.
        id: of it.
        body: as published.
        age: seconds since then, by the backplane's clock.
    """

    offset: int
    id: int
    body: bytes
    age: float


class Slice(NamedTuple):
    """A part of what is kept of a channel, up to its top.

    Attributes:
        top: of the channel.
        before: the id of the entry before the first item; of the top itself if there are no items; 0 before the first.
        items: without holes, oldest first; the last one is the top, if there are any.
    """

    top: Top
    before: int
    items: Sequence[Item]


def chained(before: int, found: int) -> int:
    """Return the id of an entry, which stands for all entries before it, too.

    One value at one offset may have two pasts: a value whose answer was lost is kept again, and if a replica that lags
    has taken over meanwhile, another value may be in the place of one before it.

    Args:
        before: the id of the entry before it; 0 before the first.
        found: see `Backplane.keep`.
    """
    return (before * _FACTOR + found) % _IDS + 1


class Hearing(Protocol):
    """What a node does with what it hears. Nothing here waits, and nothing raises."""

    def heard(self, channel: str, body: bytes) -> None:
        """Called with a body that was published on a channel that is followed."""

    def heard_kept(self, channel: str, top: Top, previous: int, body: bytes) -> None:
        """Called with a body that was kept, and published.

        Args:
            channel: that is followed.
            top: the entry: its epoch, offset and id.
            previous: the id of the entry before it; 0 before the first.
            body: as published.
        """

    def connected(self) -> None:
        """Called when the backplane is there (again), and everything that is followed is heard (again).

        What was published meanwhile is lost.
        """

    def lost(self, why: str) -> None:
        """Called when the connection to the backplane is lost; it is made again by itself.

        Args:
            why: for people.
        """


class Backplane(Protocol):
    """Carries bodies between nodes, keeps entries of channels, and small tables that all nodes share."""

    @property
    def connected(self) -> bool:
        """Whether it is there now."""

    async def start(self, hearing: Hearing) -> None:
        """Connect, and go on trying in the background if that fails.

        Returns when it is connected, or when the first try has failed because the backplane is away.

        Raises:
            RefusedError: it answers, and will not serve this node.
        """

    async def stop(self) -> None:
        """Send what was asked for in this loop turn, wait for its answers, a second at most, and let go."""

    def reconnect(self) -> None:
        """Give up the connection that listens, and make a new one: this node seems to be deaf."""

    # Live

    def publish(self, channel: str, body: bytes) -> Future[int]:
        """Publish; return how many nodes heard it (this one too, if it follows the channel)."""

    def follow(self, channels: Collection[str]) -> Future[None]:
        """Hear these channels from now on; done when all of them are heard. Lost connections are no end of it."""

    def unfollow(self, channels: Collection[str]) -> None:
        """Hear these channels no longer; something may still come that is under way."""

    # Kept

    def keep(  # noqa: PLR0917 - each has a name, and none a default that is sound
        self, channel: str, body: bytes, found: int, publisher: str, number: int, keep: Keep, once: Once | None = None
    ) -> Future[Kept]:
        """Append an entry to a channel, and publish it there as `Hearing.heard_kept`, in one indivisible step.

        A channel that is unknown begins with an epoch of the first generation: `epoch_after` none, of
        `signalpost.history.position`.

        Args:
            channel: of the entry.
            body: of it.
            found: a number of 20 bits for the value; its id is `chained` of that and the id before.
            publisher: the node; the same number of the same publisher is kept once, so a call may be repeated that
                was lost before its answer.
            number: counted by the publisher, never reused, growing on each channel.
            keep: how much of the channel is kept.
            once: by what a repeat is known again; None is no repeat.
        """

    def read(self, channel: str, after: int | None, most: int) -> Future[Slice]:
        """Return the entries behind an offset up to the top; None is the newest ones.

        Args:
            channel: to read.
            after: an offset. If so many are kept behind it, only the newest `most` are returned.
            most: entries at most, at least 0.
        """

    def tops(self, channels: Sequence[str]) -> Future[Sequence[Top]]:
        """Return the newest entry of each of these channels, in one round trip."""

    def end_epoch(self, channel: str, epoch: str, head_seconds: float, known: str = "") -> Future[Top]:
        """Begin a new epoch of a channel if it is in this one still; return the top afterwards.

        Only the name is new: what is kept stays, with its offsets and ids. Positions of before are good no more.

        Args:
            channel: that begins anew.
            epoch: "" is that of a channel of which nothing is known, which begins by that.
            head_seconds: see `Keep`.
            known: another one that the caller knows, which the new one is behind, too
                (`signalpost.history.position.epoch_after`).
        """

    # Shared

    def lease(self, name: str, owner: str, seconds: float) -> Future[bool]:
        """Take a name for some seconds unless another owner has it; whoever has it already extends it."""

    def take(self, name: str, owner: str, seconds: float) -> Future[str]:
        """Take a name as `lease` does, and return who has it then."""

    def release(self, name: str, owner: str) -> Future[bool]:
        """Give a name back, if this owner has it; return whether it had."""

    def put(self, table: str, fields: Mapping[str, bytes | None], seconds: float | None = None) -> Future[None]:
        """Set fields of a table, all at once; None removes one.

        Args:
            table: which begins to be by that.
            fields: by name.
            seconds: after which the whole table is removed, from now; None is never.
        """

    def get(self, table: str) -> Future[Mapping[str, bytes]]:
        """Return a whole table; an unknown one is empty."""

    def drop(self, table: str) -> Future[None]:
        """Remove a whole table."""

    def now(self) -> Future[float]:
        """Return the backplane's clock, in seconds since 1970."""
