"""Strain: who is given more than it can read though it reads, and who waits for it meanwhile.

A client whose outbox is full is dropped, and that is right where it has stopped reading. Where it reads as fast as its
line allows, whoever sends so much has it dropped: so senders are read later until it has caught up. Nobody waits for a
client that takes nothing, and nobody waits for longer than a second in a row.
"""

from collections.abc import Callable
from typing import Protocol

from signalpost.config.model import LatestBy, SlowPolicy

WINDOW = 0.25
"""Seconds in which a client must take `LEAST` bytes to count as one that reads."""

LEAST = 65_536
"""Bytes, as its machine confirms them (tcp(7))."""

DOUBT = 0.045
"""Seconds in which a client cannot show yet that it reads, since a machine may delay what it confirms by 40 ms. So long
it counts as before, and when bytes begin to wait for it, as one that does."""

LONGEST_HOLD = 1.0
"""Seconds in a row that senders wait at most. For as long after that they do not wait again."""

LOOK = 0.05
"""Seconds between two looks at those who are strained, while somebody waits for them."""

_DISCONNECT = SlowPolicy.DISCONNECT


class Reader(Protocol):
    """A client as the strain sees it."""

    policy: SlowPolicy | LatestBy

    @property
    def limit(self) -> int:
        """Bytes that may wait for it."""

    @property
    def confirmed(self) -> int:
        """Bytes that its machine has ever confirmed to have; 0 where the system does not say."""


class Sender(Protocol):
    """A connection whose messages go to others."""

    def go_on(self) -> None:
        """Read from the client again."""


class Strain:
    """Keeps account of strained clients, and of the senders that wait for them.

    A client is strained from when its outbox is half full until a quarter is left, as long as it reads. Clients whose
    policy leaves values out never are: that is what their signal asks for.

    Args:
        clock: gives seconds that only grow (``loop.time``).
        call_later: runs a function after seconds (``loop.call_later``).
        flush: writes what is queued, so that the outboxes are known.

    """

    __slots__ = (
        "_call_later",
        "_clock",
        "_flush",
        "_held",
        "_looking",
        "_rests_until",
        "_samples",
        "_strained",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        flush: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._call_later = call_later
        self._flush = flush
        self._strained: set[Reader] = set()
        self._held: dict[Sender, float] = {}  # since when; who has waited longest stands first
        self._samples: dict[
            Reader, tuple[float, int, bool]
        ] = {}  # when, and what it had confirmed, of those for whom bytes wait; and whether it read until then
        self._rests_until = 0.0
        self._looking = False

    @property
    def active(self) -> bool:
        """Whether whoever sends is to wait."""
        return bool(self._strained) and self._clock() >= self._rests_until

    def note_waiting(self, client: Reader, waiting: int) -> None:
        """Note how many bytes wait for a client now."""
        if not waiting:
            self._samples.pop(client, None)
            self._relieve(client)
            return
        if client not in self._samples:
            self._samples[client] = (self._clock(), client.confirmed, True)
        if waiting * 2 > client.limit:
            if client not in self._strained and client.policy is _DISCONNECT and self._reads(client):
                self._strained.add(client)
        elif waiting * 4 < client.limit:
            self._relieve(client)

    def hold(self, sender: Sender) -> None:
        """Note that a sender waits; it is told to go on."""
        self._held[sender] = self._clock()
        if not self._looking:
            self._looking = True
            self._call_later(LOOK, self._look)

    def release(self, sender: Sender) -> None:
        """Forget a sender, whose connection has ended."""
        self._held.pop(sender, None)

    def _reads(self, client: Reader) -> bool:
        """Return whether a client has taken enough since it was last looked at, for the time that has passed."""
        (then, had, read), now, has = self._samples[client], self._clock(), client.confirmed
        passed = now - then
        if passed < DOUBT:
            return read
        reads = has - had >= LEAST * min(1.0, passed / WINDOW)
        if passed >= WINDOW:
            self._samples[client] = (now, has, reads)
        return reads

    def _relieve(self, client: Reader) -> None:
        if client in self._strained:
            self._strained.discard(client)
            if not self._strained and self._held:
                self._call_later(0, self._go_on)

    def _look(self) -> None:
        """See whether those who are strained still read, and whether the senders have waited long enough."""
        self._looking = False
        for client in [each for each in self._strained if not self._reads(each)]:
            self._relieve(client)
        now = self._clock()
        if self._held and self._strained and now - next(iter(self._held.values())) >= LONGEST_HOLD:
            self._rests_until = now + LONGEST_HOLD
            self._go_on()
        if self._held and not self._looking:
            self._looking = True
            self._call_later(LOOK, self._look)

    def _go_on(self) -> None:
        """Have those who wait read on, one after the other, until somebody is strained again."""
        while self._held and not self.active:
            sender = next(iter(self._held))
            del self._held[sender]
            sender.go_on()
            self._flush()
