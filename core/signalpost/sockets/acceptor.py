"""The first look at a connection: a handshake that came whole is answered at once, all else is Sanic's.

A handshake by way of Sanic costs a task, two events, a timer, a request and a response, which is most of what it costs
in all. Whatever is not taken here is handed to Sanic as it came, refusals too: so there is one place that judges a
handshake, and one that answers those that fail.
"""

import asyncio
import ssl
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from signalpost.http.crowd import Crowd
from signalpost.http.descriptors import REFUSAL, Descriptors
from signalpost.websocket.handshake import HandshakeRejection

T = TypeVar("T")


class HandshakeTaker(Protocol):
    """Who answers handshakes."""

    def take(self, transport: asyncio.Transport, data: bytes) -> bool | HandshakeRejection:
        """Answer a whole handshake and take its transport over; anything but True leaves both as they were."""


class Successor(Protocol):
    """Sanic's protocol of a connection."""

    rejection: HandshakeRejection | None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection over."""

    def data_received(self, data: bytes) -> None:
        """Read what the client has sent."""


@dataclass(frozen=True, slots=True)
class Security:
    """How TLS is agreed on.

    Attributes:
        context: of the certificate that newcomers are shown.
        patience: seconds that a handshake of TLS may take.

    """

    context: ssl.SSLContext
    patience: float


class Acceptor:
    """What the connections of one port share before it is known what they are.

    Args:
        taker: answers handshakes.
        descriptors: tells whether there is one to spare for a connection; else it is refused with 503.
        clock: gives seconds that only grow.
        successor: makes Sanic's protocol for a connection that came at a given time of the clock.
        interval: seconds between two looks at connections that have said nothing yet: those that stood there at the
            look before go to Sanic, which ends them when their time is over.
        newcomers: connections of all ports that have asked for nothing yet; None counts none.
        security: gives how TLS is agreed on; None for a port without TLS.

    Attributes:
        waiting: those that have said nothing yet.
        securing: those with which TLS is being agreed on, each with the task that does it.

    """

    def __init__(  # noqa: PLR0917 - all of it is the port's
        self,
        taker: HandshakeTaker,
        descriptors: Descriptors,
        clock: Callable[[], float],
        successor: Callable[[float], Successor],
        interval: float,
        newcomers: Crowd | None = None,
        security: Callable[[], Security] | None = None,
    ) -> None:
        self.taker = taker
        self.descriptors = descriptors
        self.clock = clock
        self.successor = successor
        self.newcomers = newcomers
        self.security = security
        self.waiting: set[FirstBytes] = set()
        self.securing: dict[FirstBytes, asyncio.Task[None]] = {}
        self._interval = interval
        self._looked_at = clock()
        self._handle: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to look after those that wait."""
        self._looked_at = self.clock()
        self._handle = asyncio.get_running_loop().call_later(self._interval, self._look)

    def close(self) -> None:
        """Hand all that wait to Sanic, which knows how to send them away; who is not that far yet is sent away here."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        for first in tuple(self.waiting):
            first.hand_on()
        for first in tuple(self.securing):
            first.evict()

    def _look(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._interval, self._look)
        before, self._looked_at = self._looked_at, self.clock()
        for first in [each for each in self.waiting if each.begun <= before]:
            first.hand_on()


def begun(coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """Run a coroutine until it waits for the first time; what is returned runs the rest, in a task that awaits it.

    Raises:
        RuntimeError: it waits for nothing at all.

    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        raise RuntimeError("a coroutine that is begun has to wait") from end
    return _rest(coroutine, waits_for)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    try:
        while True:
            try:
                value = yield waits_for
            except BaseException as error:  # noqa: BLE001 - the coroutine's to deal with
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(value)
    except StopIteration as end:
        return cast("T", end.value)


class FirstBytes(asyncio.Protocol):
    """One connection, until its first bytes have come.

    On a port with TLS it agrees on that first. uvloop's own way there would tell nobody of the connection before.

    Attributes:
        begun: when it was made, in the acceptor's time.

    """

    __slots__ = ("_acceptor", "_early", "_transport", "begun")

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._transport: asyncio.Transport
        self._early = b""  # what came in the very turn in which TLS was agreed on
        self.begun = acceptor.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or refuse it at once."""
        acceptor = self._acceptor
        self._transport = cast("asyncio.Transport", transport)
        if not acceptor.descriptors.admit(transport.get_extra_info("socket").fileno()):
            self._refuse()
            return
        if acceptor.newcomers is not None:
            peer = transport.get_extra_info("peername")
            acceptor.newcomers.add(self, peer[0] if isinstance(peer, tuple) else "")
        if acceptor.security is None:
            acceptor.waiting.add(self)
        else:
            agreeing = self._begin_tls(acceptor.security())
            acceptor.securing[self] = asyncio.get_running_loop().create_task(self._finish_tls(agreeing))

    def _refuse(self) -> None:
        self._transport.set_protocol(asyncio.Protocol())  # what still comes is for nobody
        if self._acceptor.security is None:
            self._transport.write(REFUSAL)
        self._transport.close()

    def _begin_tls(self, security: Security) -> Awaitable[asyncio.Transport | None]:
        """Let TLS have what comes, from the very first byte on: a task would begin when some had come."""
        return begun(
            asyncio.get_running_loop().start_tls(
                self._transport, self, security.context, server_side=True, ssl_handshake_timeout=security.patience
            )
        )

    async def _finish_tls(self, agreeing: Awaitable[asyncio.Transport | None]) -> None:
        """Go on when TLS is agreed on; whoever cannot agree is gone."""
        try:
            secured = await agreeing
        except (OSError, asyncio.CancelledError):
            secured = None
        self._acceptor.securing.pop(self, None)
        if secured is None or secured.is_closing():
            self.evict()
            return
        self._transport = secured
        self._acceptor.waiting.add(self)
        if self._early:
            self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        """Look at the first bytes; others never come here."""
        if self in self._acceptor.securing:
            self._early += data
            return
        self._leave()
        taken = self._acceptor.taker.take(self._transport, data)
        if taken is not True:
            self.hand_on(data, taken or None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget a connection that ended without a word."""
        self._leave()

    def evict(self) -> None:
        """End the connection at once."""
        self._leave()
        self._transport.abort()

    def hand_on(self, data: bytes = b"", rejection: HandshakeRejection | None = None) -> None:
        """Let Sanic have the connection, and what it said; not one that is over, whose end TLS tells nobody else.

        Args:
            data: what it said.
            rejection: of the handshake in that, if it was decided.

        """
        self._leave()
        if self._transport.is_closing():
            return
        protocol = self._acceptor.successor(self.begun)
        protocol.rejection = rejection
        self._transport.set_protocol(cast("asyncio.Protocol", protocol))
        protocol.connection_made(self._transport)
        if data:
            protocol.data_received(data)

    def _leave(self) -> None:
        self._acceptor.waiting.discard(self)
        if self._acceptor.newcomers is not None:
            self._acceptor.newcomers.remove(self)
