"""The first look at a connection: a handshake that came whole is answered at once, all else is Sanic's.

A handshake by way of Sanic costs a task, two events, a timer, a request and a response, which is most of what it costs
in all. Whatever is not taken here is handed to Sanic as it came, refusals too: so there is one place that judges a
handshake, and one that answers those that fail.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from signalpost.serving.descriptors import REFUSAL, Descriptors


class Taker(Protocol):
    """Who answers handshakes."""

    def take(self, transport: asyncio.Transport, data: bytes) -> bool:
        """Answer a whole handshake and take its transport over; False leaves both as they were."""


class Door:
    """What the connections of one port share before it is known what they are.

    Args:
        taker: answers handshakes.
        descriptors: tells whether there is one to spare for a connection; else it is refused with 503.
        clock: gives seconds that only grow.
        successor: makes Sanic's protocol for a connection that came at a given time of the clock.
        interval: seconds between two looks at connections that have said nothing yet: those that stood there at the
            look before go to Sanic, which ends them when their time is over.

    Attributes:
        waiting: those that have said nothing yet.

    """

    def __init__(
        self,
        taker: Taker,
        descriptors: Descriptors,
        clock: Callable[[], float],
        successor: Callable[[float], asyncio.Protocol],
        interval: float,
    ) -> None:
        self.taker = taker
        self.descriptors = descriptors
        self.clock = clock
        self.successor = successor
        self.waiting: set[Doorman] = set()
        self._interval = interval
        self._looked_at = clock()
        self._handle: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to look after those that wait."""
        self._looked_at = self.clock()
        self._handle = asyncio.get_running_loop().call_later(self._interval, self._look)

    def close(self) -> None:
        """Hand all that wait to Sanic, which knows how to send them away."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        for doorman in tuple(self.waiting):
            doorman.hand_on()

    def _look(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._interval, self._look)
        before, self._looked_at = self._looked_at, self.clock()
        for doorman in [each for each in self.waiting if each.begun <= before]:
            doorman.hand_on()


class Doorman(asyncio.Protocol):
    """One connection, until its first bytes have come.

    Attributes:
        begun: when it was made, in the door's time.

    """

    __slots__ = ("_door", "_transport", "begun")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._transport: asyncio.Transport
        self.begun = door.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or refuse it at once."""
        self._transport = cast("asyncio.Transport", transport)
        if self._door.descriptors.admit(transport.get_extra_info("socket").fileno()):
            self._door.waiting.add(self)
            return
        transport.set_protocol(asyncio.Protocol())  # what still comes is for nobody
        self._transport.write(REFUSAL)
        transport.close()

    def data_received(self, data: bytes) -> None:
        """Look at the first bytes; others never come here."""
        self._door.waiting.discard(self)
        if not self._door.taker.take(self._transport, data):
            self.hand_on(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget a connection that ended without a word."""
        self._door.waiting.discard(self)

    def hand_on(self, data: bytes = b"") -> None:
        """Let Sanic have the connection, and what it said; not one that is over, whose end TLS tells nobody else."""
        self._door.waiting.discard(self)
        if self._transport.is_closing():
            return
        protocol = self._door.successor(self.begun)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if data:
            protocol.data_received(data)
