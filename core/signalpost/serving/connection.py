"""A WebSocket connection after its handshake: the callbacks of its transport. No task, no queue, no lock."""

import asyncio

from signalpost.delivery.client import Client
from signalpost.delivery.frames import CloseCode, Dialect, Opcode, encode_frame
from signalpost.delivery.hub import Hub
from signalpost.delivery.reader import FrameReader
from signalpost.plugins.running import RunningPlugins
from signalpost.serving.keepalive import Keepalive
from signalpost.signals.outgoing import welcome_frame
from signalpost.signals.session import Session

# Numbers of the module's own: a look into an Enum's class costs as much as a short frame.
_BINARY = int(Opcode.BINARY)
_CLOSE = int(Opcode.CLOSE)
_PING_OPCODE = int(Opcode.PING)
_PING = encode_frame(Opcode.PING, b"")


class Connection(asyncio.Protocol):
    """Bytes to messages on the way in; on the way out only pongs and close frames, the rest goes by the hub.

    Attributes:
        heard_at: see `signalpost.serving.keepalive.Watched`, likewise `pinged_at` and `suspended`.

    """

    __slots__ = (
        "_client",
        "_hub",
        "_keepalive",
        "_plugins",
        "_reader",
        "_session",
        "_transport",
        "heard_at",
        "pinged_at",
        "suspended",
    )

    def __init__(self, transport: asyncio.Transport, plugins: RunningPlugins, keepalive: Keepalive, limit: int) -> None:
        self._transport = transport
        self._plugins = plugins
        self._keepalive = keepalive
        self._reader = FrameReader(limit)
        self._client: Client
        self._session: Session
        self._hub: Hub
        self.heard_at = keepalive.now
        self.pinged_at = 0.0
        self.suspended = False

    def begin(self, client: Client, session: Session, hub: Hub, early: bytes) -> None:
        """Take over the transport, whose 101 has been written.

        Args:
            client: this connection's.
            session: gets its messages.
            hub: delivers to the client from now on.
            early: bytes that came behind the handshake, before it was answered.

        """
        self._client = client
        self._session = session
        self._hub = hub
        self._transport.set_protocol(self)
        if not self._transport.get_extra_info("ssl_object"):
            # Hear at once when bytes are held back, and again only when all of them are gone.
            self._transport.set_write_buffer_limits(high=0, low=0)
        self._keepalive.connections.add(self)
        hub.add(client)
        if client.dialect is Dialect.V1:
            client.send(welcome_frame(client.id, client.path))
        self._plugins.client_connected(client)
        # Sanic stops reading when 64 KiB come behind a request, and is not asked for more any more.
        self._transport.resume_reading()
        if early:
            self.data_received(early)

    def read_on(self, on: bool) -> None:
        """Read from the client, or let what it sends wait in the kernel."""
        if self._transport.is_closing():
            return
        self.suspended = not on
        self.heard_at = self._keepalive.now
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # The transport's callbacks

    def data_received(self, data: bytes) -> None:
        """Read frames; several messages may come at once, or none."""
        self.heard_at = self._keepalive.now
        reader, session = self._reader, self._session
        for opcode, payload in reader.feed(data):
            if opcode <= _BINARY:
                if self._client.closing:
                    continue
                session.receive(opcode, payload)
            elif opcode == _PING_OPCODE:
                self._client.send(encode_frame(Opcode.PONG, payload))
            elif opcode == _CLOSE:
                self._closed_by_peer(payload)
                return
        if reader.error is not None:
            # Fail the connection (RFC 6455 section 7.1.7); what still comes is not read any more.
            self._client.close(reader.error.code, reader.error.reason)
            self._client.finish(half=True)

    def eof_received(self) -> bool:
        """End the connection: a peer that sends nothing more cannot close in order."""
        self._client.left(CloseCode.ABNORMAL)
        return False

    def pause_writing(self) -> None:
        """Let the client's frames wait."""
        self._client.paused()

    def resume_writing(self) -> None:
        """Write what waits."""
        self._client.resumed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the client; this comes once, however the connection ended."""
        self._client.left(CloseCode.ABNORMAL)
        self._keepalive.connections.discard(self)
        self._hub.forget(self._client)
        self._plugins.client_disconnected(self._client, self._client.close_code)

    def _closed_by_peer(self, payload: bytes) -> None:
        """Answer the peer's close frame with the same code (RFC 6455 section 5.5.1), then close (section 7.1.1)."""
        self._client.close(int.from_bytes(payload[:2], "big") if payload else CloseCode.NO_STATUS)
        self._client.finish()

    # What the keepalive asks of it

    def ping(self) -> None:
        """Send a ping; any bytes at all will do for an answer."""
        self._client.send(_PING)

    def give_up(self) -> None:
        """End the connection: nobody is there."""
        self._client.drop(CloseCode.ABNORMAL)
