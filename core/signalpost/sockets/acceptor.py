"""The first bytes of a connection: a complete handshake is answered at once; everything else is passed to Sanic.

A handshake through Sanic needs a task, two events, a timer, a request and a response: most of its whole cost. Bytes
that are not accepted here go to Sanic unchanged, rejected handshakes too. So one place judges handshakes, and one place
answers those that fail.
"""

import asyncio
import ssl
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from signalpost.http.crowd import Crowd
from signalpost.http.descriptors import REFUSAL, Descriptors
from signalpost.http.protocol import HandingOver
from signalpost.sockets.upgrade import Upgrader
from signalpost.websocket.handshake import HandshakeRejection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Security:
    """The settings of a TLS handshake.

    Attributes:
        context: with the certificate for new connections.
        patience: seconds that a TLS handshake may take.
    """

    context: ssl.SSLContext
    patience: float


class Acceptor:
    """What the connections of one port share until their first bytes are known.

    Args:
        taker: answers handshakes.
        descriptors: tells whether one is free for a connection; else the connection is rejected with 503.
        clock: returns monotonic seconds.
        successor: creates Sanic's protocol for a connection that opened at a given time of the clock.
        interval: seconds between two checks of connections that have sent nothing yet: those that were there at the
            previous check are passed to Sanic, which closes them at their timeout.
        newcomers: connections of all ports without a request yet; None counts none.
        security: returns the settings of TLS; None for a port without TLS.

    Attributes:
        waiting: connections that have sent nothing yet.
        securing: connections in a TLS handshake, each with the task that performs it.
    """

    def __init__(  # noqa: PLR0917 - all of it is the port's
        self,
        taker: Upgrader,
        descriptors: Descriptors,
        clock: Callable[[], float],
        successor: Callable[[float], HandingOver],
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
        """Start the checks of waiting connections."""
        self._looked_at = self.clock()
        self._handle = asyncio.get_running_loop().call_later(self._interval, self._look)

    def close(self) -> None:
        """Pass all waiting connections to Sanic, which closes them properly; close those in a TLS handshake here."""
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
    """Run a coroutine until it waits for the first time; return an awaitable that runs the rest in its task.

    Raises:
        RuntimeError: it never waits.
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
    """One connection, until its first bytes arrive.

    On a port with TLS it first performs the TLS handshake: with uvloop's own, the connection would be unknown until
    then.

    Attributes:
        begun: when it opened, by the acceptor's clock.
    """

    __slots__ = ("_acceptor", "_early", "_transport", "begun")

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._transport: asyncio.Transport
        self._early = b""  # bytes that arrived in the same turn in which the TLS handshake ended
        self.begun = acceptor.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a connection, or reject it at once."""
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
        self._transport.set_protocol(asyncio.Protocol())  # what still arrives is ignored
        if self._acceptor.security is None:
            self._transport.write(REFUSAL)
        self._transport.close()

    def _begin_tls(self, security: Security) -> Awaitable[asyncio.Transport | None]:
        """Pass bytes to TLS from the very first on: a task would start after some had arrived."""
        return begun(
            asyncio.get_running_loop().start_tls(
                self._transport, self, security.context, server_side=True, ssl_handshake_timeout=security.patience
            )
        )

    async def _finish_tls(self, agreeing: Awaitable[asyncio.Transport | None]) -> None:
        """Continue after the TLS handshake; if it failed, the connection is closed."""
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
        """Examine the first bytes; later ones never arrive here."""
        if self in self._acceptor.securing:
            self._early += data
            return
        self._leave()
        taken = self._acceptor.taker.take(self._transport, data)
        if taken is not True:
            self.hand_on(data, taken or None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget a connection that ended without a byte."""
        self._leave()

    def evict(self) -> None:
        """End the connection at once."""
        self._leave()
        self._transport.abort()

    def hand_on(self, data: bytes = b"", decided: HandshakeRejection | Awaitable[Any] | None = None) -> None:
        """Pass the connection and its bytes to Sanic, unless it has ended: TLS would not report that end to Sanic.

        Args:
            data: that it sent.
            decided: of the handshake in them already: that it is rejected, or what is waited for.
        """
        self._leave()
        if self._transport.is_closing():
            return
        protocol = self._acceptor.successor(self.begun)
        protocol.decided = decided
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if data:
            protocol.data_received(data)

    def _leave(self) -> None:
        self._acceptor.waiting.discard(self)
        if self._acceptor.newcomers is not None:
            self._acceptor.newcomers.remove(self)
