"""Strain: clients that are sent more than they can read although they read, and senders that wait for them.

A client whose outbox is full is dropped, which is right if it has stopped reading. If it reads as fast as its
connection allows, the fault is the senders': so reading from them is delayed until it has caught up. No sender waits
for a client that reads nothing, or for longer than a second in a row.
"""

from collections.abc import Callable
from typing import Protocol

from signalpost.config.model import LatestBy, SlowPolicy

WINDOW = 0.25
"""Seconds in which a client must receive `LEAST` bytes to count as one that reads."""

LEAST = 65_536
"""Bytes, as the client's machine acknowledges them (tcp(7))."""

DOUBT = 0.045
"""Seconds in which a client cannot prove yet that it reads: a machine may delay acknowledgements by 40 ms.

Meanwhile it counts as before, and as one that reads when bytes begin to wait for it.
"""

LONGEST_HOLD = 1.0
"""Seconds in a row that senders wait at most. For the same time after that they do not wait again."""

LOOK = 0.05
"""Seconds between two checks of strained clients, while a sender waits for them."""

_DISCONNECT = SlowPolicy.DISCONNECT


class Reader(Protocol):
    """A client as the strain sees it."""

    policy: SlowPolicy | LatestBy

    @property
    def limit(self) -> int:
        """Bytes that may wait for it."""

    @property
    def confirmed(self) -> int:
        """Bytes that its machine has ever acknowledged; 0 where the system does not report it."""


class Sender(Protocol):
    """A connection whose messages go to others."""

    def go_on(self) -> None:
        """Resume reading from the client."""


class Strain:
    """Tracks strained clients, and the senders that wait for them.

    A client that reads is strained from when its outbox is half full until only a quarter is full. Clients whose policy
    leaves values out are never strained: their signal chose to lose values instead.

    Args:
        clock: returns monotonic seconds (``loop.time``).
        call_later: runs a function after seconds (``loop.call_later``).
        flush: writes what is queued, so that the sizes of the outboxes are known.

    Attributes:
        strained: clients that are strained; mostly there are none, which callers see without a call.
    """

    __slots__ = (
        "_call_later",
        "_clock",
        "_flush",
        "_held",
        "_looking",
        "_rests_until",
        "_samples",
        "strained",
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
        self.strained: set[Reader] = set()
        self._held: dict[Sender, float] = {}  # start of the strain; the client strained longest comes first
        self._samples: dict[
            Reader, tuple[float, int, bool]
        ] = {}  # of clients with waiting bytes: time of the last check, bytes acknowledged then, whether it read
        self._rests_until = 0.0
        self._looking = False

    @property
    def active(self) -> bool:
        """Whether senders must wait."""
        return bool(self.strained) and self._clock() >= self._rests_until

    def note_waiting(self, client: Reader, waiting: int) -> None:
        """Note how many bytes wait for a client now."""
        if not waiting:
            self._samples.pop(client, None)
            self._relieve(client)
            return
        if client not in self._samples:
            self._samples[client] = (self._clock(), client.confirmed, True)
        if waiting * 2 > client.limit:
            if client not in self.strained and client.policy is _DISCONNECT and self._reads(client):
                self.strained.add(client)
        elif waiting * 4 < client.limit:
            self._relieve(client)

    def hold(self, sender: Sender) -> None:
        """Note that a sender waits; its `go_on` is called when it may continue."""
        self._held[sender] = self._clock()
        if not self._looking:
            self._looking = True
            self._call_later(LOOK, self._look)

    def release(self, sender: Sender) -> None:
        """Forget a sender whose connection has ended."""
        self._held.pop(sender, None)

    def _reads(self, client: Reader) -> bool:
        """Return whether a client has received enough since its last check, for the time that has passed."""
        (then, had, read), now, has = self._samples[client], self._clock(), client.confirmed
        passed = now - then
        if passed < DOUBT:
            return read
        reads = has - had >= LEAST * min(1.0, passed / WINDOW)
        if passed >= WINDOW:
            self._samples[client] = (now, has, reads)
        return reads

    def _relieve(self, client: Reader) -> None:
        if client in self.strained:
            self.strained.discard(client)
            if not self.strained and self._held:
                self._call_later(0, self._go_on)

    def _look(self) -> None:
        """Check whether the strained clients still read, and whether the senders have waited long enough."""
        self._looking = False
        for client in [each for each in self.strained if not self._reads(each)]:
            self._relieve(client)
        now = self._clock()
        if self._held and self.strained and now - next(iter(self._held.values())) >= LONGEST_HOLD:
            self._rests_until = now + LONGEST_HOLD
            self._go_on()
        if self._held and not self._looking:
            self._looking = True
            self._call_later(LOOK, self._look)

    def _go_on(self) -> None:
        """Resume the waiting senders one after the other, until a client is strained again."""
        while self._held and not self.active:
            sender = next(iter(self._held))
            del self._held[sender]
            sender.go_on()
            self._flush()
