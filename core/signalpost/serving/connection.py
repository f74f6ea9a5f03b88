"""A WebSocket connection after its handshake: the callbacks of its transport. No task, no queue, no lock."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from signalpost.config.model import LimitsConfig
from signalpost.delivery.client import Client
from signalpost.delivery.frames import CloseCode, Dialect, Opcode, encode_frame
from signalpost.delivery.hub import Hub
from signalpost.delivery.reader import FrameReader, Received
from signalpost.plugins.running import RunningPlugins
from signalpost.serving.keepalive import Keepalive
from signalpost.signals.outgoing import welcome_frame
from signalpost.signals.session import Session

# Numbers of the module's own: a look into an Enum's class costs as much as a short frame.
_BINARY = int(Opcode.BINARY)
_CLOSE = int(Opcode.CLOSE)
_PING_OPCODE = int(Opcode.PING)
_PING = encode_frame(Opcode.PING, b"")
_NOTHING: Iterator[Received] = iter(())

MOUTHFUL = 32_768
"""Bytes that are read from one client in one turn of the loop: more would keep all others waiting. libuv alone reads up
to 8 MB, which may be a million frames without a payload."""

SMALL_MOUTHFUL = 4_096
"""The same where messages may be compressed: a kilobyte may be a megabyte to inflate, to read and to answer."""

BACKLOG, RATE = 1, 2
"""Reasons not to read from a client; bits, so that each ends by itself."""


class Connection(asyncio.Protocol):
    """Bytes to messages on the way in; on the way out only pongs and close frames, the rest goes by the hub.

    While it is paused, for whatever reason, nothing is read. What had been read before waits here, in order.

    Attributes:
        heard_at: see `signalpost.serving.keepalive.Watched`, likewise `pinged_at` and `suspended`.

    """

    __slots__ = (
        "_client",
        "_held",
        "_hub",
        "_incoming",
        "_keepalive",
        "_mouthful",
        "_pauses",
        "_plugins",
        "_reader",
        "_session",
        "_transport",
        "_unread",
        "heard_at",
        "pinged_at",
        "suspended",
    )

    def __init__(
        self, transport: asyncio.Transport, plugins: RunningPlugins, keepalive: Keepalive, reader: FrameReader
    ) -> None:
        self._transport = transport
        self._plugins = plugins
        self._keepalive = keepalive
        self._reader = reader
        self._mouthful = SMALL_MOUTHFUL if reader.inflates else MOUTHFUL
        self._client: Client
        self._session: Session
        self._hub: Hub
        self._incoming = _NOTHING  # the frames that are being taken just now
        self._held: deque[Received] | None = None  # those that wait for the end of all pauses
        self._pauses = 0
        self._unread = b""  # what came in one piece, but is for the next turns of the loop
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
        session.arrive(self._plugins.client_connected(client, session.context))
        if not self.suspended:
            # Sanic stops reading when 64 KiB come behind a request, and is not asked for more any more.
            self._transport.resume_reading()
        if early:
            self.data_received(early)

    # What a reload asks of it

    @property
    def client(self) -> Client:
        """The one at the other end."""
        return self._client

    @property
    def session(self) -> Session:
        """What gets its messages."""
        return self._session

    def attend(self, plugins: RunningPlugins) -> None:
        """Let other plugins hear of the client's end."""
        self._plugins = plugins

    @property
    def parts(self) -> tuple[asyncio.Transport, RunningPlugins, Keepalive, FrameReader]:
        """What it was made of."""
        return self._transport, self._plugins, self._keepalive, self._reader

    def hold_to(self, limits: LimitsConfig) -> None:
        """Hold the client to other limits."""
        self._reader.allow(limits.message)

    @property
    def over(self) -> bool:
        """Whether the transport closes; TLS may have chosen already which connection it tells of the end."""
        return self._transport.is_closing()

    def give_way(self, successor: "Connection") -> None:
        """Let another connection, made of the same parts, go on with whatever this one is at."""
        for name in Connection.__slots__:
            setattr(successor, name, getattr(self, name))
        self._unread = b""
        self._keepalive.connections.discard(self)
        successor.take_over()

    def take_over(self) -> None:
        """Go on in the place of another connection."""
        self._transport.set_protocol(self)
        self._keepalive.connections.add(self)
        if self._unread:
            asyncio.get_running_loop().call_soon(self._read_on)

    # The transport's callbacks

    def data_received(self, data: bytes) -> None:
        """Read frames; several messages may come at once, or none."""
        self.heard_at = self._keepalive.now
        if self._unread:
            self._unread += data  # TLS may have decrypted it before the pause
            return
        if len(data) > self._mouthful:
            data = self._leave(data)
        self._read(data)

    def _leave(self, data: bytes) -> bytes:
        """Give the beginning of what came, and leave the rest to the next turns; until then nothing more is read."""
        self._unread = data[self._mouthful :]
        if not self._transport.is_closing():
            self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._read_on)
        return data[: self._mouthful]

    def _read_on(self) -> None:
        if not self._unread:  # it has ended, or another connection has taken this one's place
            return
        data, self._unread = self._unread, b""
        if len(data) > self._mouthful:
            data = self._leave(data)
        elif not self._pauses and not self._transport.is_closing():
            self._transport.resume_reading()
        self._read(data)

    def _read(self, data: bytes) -> None:
        received = self._reader.feed(data)
        if self._held is not None:
            self._held += received  # TLS may have decrypted it before the pause
            return
        self._take(received)
        if self._reader.error is not None:
            self._fail()

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
        self._held = None
        self._unread = b""
        self._client.left(CloseCode.ABNORMAL)
        self._keepalive.connections.discard(self)
        self._hub.forget(self._client)
        self._plugins.client_disconnected(self._client, self._client.close_code, self._session.context)
        self._session.disconnected(self._client.close_code)

    # What has been read

    def _take(self, received: Iterable[Received]) -> None:
        """Handle frames until one of them brings a pause, which keeps the rest."""
        session, client = self._session, self._client
        # A pause empties this very iterator, which ends the loop: nothing has to be asked for each message.
        self._incoming = incoming = iter(received)
        for opcode, payload in incoming:
            if opcode > _BINARY:
                self._control(opcode, payload)
            elif not client.closing:
                session.receive(opcode, payload)

    def _control(self, opcode: int, payload: bytes) -> None:
        """Answer a ping or a close frame; a pong needs nothing."""
        if opcode == _PING_OPCODE:
            self._client.send(encode_frame(Opcode.PONG, payload))
        elif opcode == _CLOSE:
            # The same code goes back (RFC 6455 section 5.5.1), then the connection is closed (section 7.1.1).
            self._client.close(int.from_bytes(payload[:2], "big") if payload else CloseCode.NO_STATUS)
            self._client.finish()
            deque(self._incoming, maxlen=0)  # what a peer sends behind its close frame is for nobody
            if self._held is not None:
                self._held.clear()

    def _fail(self) -> None:
        """Fail the connection (RFC 6455 section 7.1.7); what still comes is not read any more."""
        error = self._reader.error
        if error is not None and self._held is None:
            self._client.close(error.code, error.reason)
            self._client.finish(half=True)

    # Pauses

    def read_on(self, on: bool) -> None:
        """Read from the client, or let what it sends wait in the kernel, as far as its session is concerned."""
        if on:
            self._resume(BACKLOG)
        else:
            self._pause(BACKLOG)

    def _pause(self, reason: int) -> None:
        self._pauses |= reason
        if self._held is None:
            self._held = deque(self._incoming)
        if not self.suspended:
            self.suspended = True
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def _resume(self, reason: int) -> None:
        """Take a reason away; without any left, take what waits here, and read on when that is done."""
        self._pauses &= ~reason
        held = self._held
        while held and not self._pauses:
            self._take((held.popleft(),))
        if self._pauses or not self.suspended:
            return
        self._held = None
        self.suspended = False
        self.heard_at = self._keepalive.now
        self._fail()
        if not self._unread and not self._transport.is_closing():
            self._transport.resume_reading()

    # What the keepalive asks of it

    @property
    def confirmed(self) -> int | None:
        """Bytes that the peer's machine has ever confirmed to have; None if there are none that it has not."""
        client = self._client
        return client.confirmed if client.unconfirmed else None

    def ping(self) -> None:
        """Send a ping; any bytes at all will do for an answer."""
        self._client.send(_PING)

    def give_up(self) -> None:
        """End the connection: nobody is there. One that is closing cannot be pinged, and is watched for that."""
        if not self._client.closing:
            self._client.drop(CloseCode.ABNORMAL)
