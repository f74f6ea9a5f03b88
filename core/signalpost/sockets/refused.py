"""A WebSocket that is opened only to say why its client is not let in: browsers show no page a handshake's status."""

import asyncio

from signalpost.delivery.codec import V1
from signalpost.errors import ClientError
from signalpost.signals.admission import IdentityRejection
from signalpost.websocket.frames import Opcode
from signalpost.websocket.reader import FrameReader

PATIENCE = 5.0
"""Seconds that the client may take to answer the close frame."""

MOST_READ = 65_536
"""Bytes that it may send meanwhile; they are dropped."""


class RefusedSockets:
    """The WebSockets that are open only to say why their clients are not let in; the oldest first."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[RefusedSocket, None] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._open)

    def add(self, refused: "RefusedSocket") -> None:
        """Add one."""
        self._open[refused] = None

    def discard(self, refused: "RefusedSocket") -> None:
        """Remove one; it may be unknown."""
        self._open.pop(refused, None)

    def give_way(self) -> None:
        """End the oldest one: whoever may be let in must not find all places taken by those who may not."""
        oldest = next(iter(self._open), None)
        if oldest is not None:
            self.discard(oldest)
            oldest.stop()

    def stop(self) -> None:
        """End all of them."""
        while self._open:
            self.give_way()


class RefusedSocket(asyncio.Protocol):
    """The rest of a connection of ``signalpost.v1`` whose client was refused. It belongs to no node.

    Args:
        transport: to which the 101 has been written.
        open_ones: the refused sockets that are still open; this one is among them until it is over.
    """

    __slots__ = ("_open_ones", "_read", "_reader", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, open_ones: RefusedSockets) -> None:
        self._transport = transport
        self._reader = FrameReader(MOST_READ, None)
        self._read = 0
        self._open_ones = open_ones
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, transport.abort)

    def begin(self, rejection: IdentityRejection, early: bytes) -> None:
        """Say why, and close.

        Args:
            rejection: of the client.
            early: bytes received behind the handshake.
        """
        codec = V1.codec
        error = codec.error(ClientError(rejection.code, rejection.detail), None)
        self._open_ones.add(self)
        self._transport.set_protocol(self)
        self._transport.write(error + codec.goodbye(rejection.close_code, rejection.detail, None))
        self._transport.resume_reading()
        if early:
            self.data_received(early)

    def stop(self) -> None:
        """End at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Wait for the client's close frame."""
        self._read += len(data)
        if self._read > MOST_READ:
            self._transport.abort()
            return
        received = self._reader.feed(data)
        if self._reader.error is not None or any(opcode == Opcode.CLOSE for opcode, _ in received):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Called when the transport has ended, in whatever way; called once."""
        self._timer.cancel()
        self._open_ones.discard(self)
