"""A hub whose loop turns the test makes, and clients whose sockets are real or a wire of a width that the test sets."""

import contextlib
import itertools
import socket

import pytest

from signalpost.auth.identity import GUEST
from signalpost.config.model import EndpointConfig, Scheme, SlowPolicy
from signalpost.delivery.client import Client
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import Publication
from signalpost.delivery.ring import Ring
from signalpost.delivery.target import EVERYONE, ClientId
from signalpost.delivery.writers import OneByOne
from signalpost.websocket.frames import CloseCode, Opcode, encode_frame

ENDPOINT = EndpointConfig(("endpoints", 0), "live", "127.0.0.1", 0, Scheme.WS)


class Turn:
    """A loop without a loop: what was called soon runs when the test says so."""

    def __init__(self):
        self.soon = []

    def call_soon(self, callback):
        self.soon.append(callback)

    def end(self):
        """Run what was called soon until now."""
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class FakeTransport:
    """`signalpost.delivery.transport.Transport`, held to its contract by test_transport_contract.py.

    Args:
        call_soon: the loop's.
        sock: written to as far as its buffer takes it; it is what direct writes go to. Without one the transport
            writes to `wire`, as much as `room` allows, and has no descriptor.
        clear: whether it is like TCP, with one side that can be closed alone; else it is like TLS.
        kept: bytes that it holds from before.

    Attributes:
        room: bytes that `wire` still takes.
        wire: what the peer of a transport without a socket can read.
        ended: how it ended: "", "closed", "aborted".

    """

    def __init__(self, call_soon, sock=None, *, clear=False, kept=b""):
        self._call_soon = call_soon
        self._sock = sock
        self._clear = clear or sock is not None
        self._kept = bytearray(kept)
        self._high = 65_536
        self._paused = False
        self._closing = False
        self._eof = False
        self.protocol = None
        self.room = 0
        self.wire = bytearray()
        self.ended = ""
        self.at_eof = False  # the peer, once it has read everything

    # The contract

    def write(self, data):
        assert not self._eof, "written after write_eof"
        if self.ended:
            return
        self._kept += data
        self._send()
        self._maybe_pause()

    def set_write_buffer_limits(self, high=None, low=0):
        assert low == 0
        self._high = high
        self._maybe_pause()

    def get_write_buffer_size(self):
        return len(self._kept)

    def can_write_eof(self):
        return self._clear

    def write_eof(self):
        self._eof = True
        self.drain()

    def close(self):
        self._closing = True
        if not self._kept:
            self._end("closed")

    def abort(self):
        self._closing = True
        self._kept.clear()
        self._end("aborted")

    def is_closing(self):
        return self._closing

    def get_extra_info(self, name, default=None):
        if name == "socket":
            return self._sock
        return object() if name == "ssl_object" and not self._clear else default

    # What the loop would do

    def drain(self):
        """Send what fits now; tell the protocol once nothing is left."""
        self._send()
        if self._kept or self.ended:
            return
        if self._paused:
            self._paused = False
            self.protocol.resume_writing()
        if self._closing:
            self.close()
        elif self._eof and not self._kept:
            self.at_eof = True
            if self._sock is not None:
                self._sock.shutdown(socket.SHUT_WR)

    def _send(self):
        try:
            while self._kept and (sent := self._take(bytes(self._kept))):
                del self._kept[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.abort()

    def _take(self, data):
        if self._sock is not None:
            return self._sock.send(data)
        taken = data[: self.room]
        self.room -= len(taken)
        self.wire += taken
        return len(taken)

    def _maybe_pause(self):
        if len(self._kept) > self._high and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def _end(self, how):
        if not self.ended:
            self.ended = how
            self._call_soon(self._lost)

    def _lost(self):
        self.protocol.connection_lost(None)
        self.at_eof = True
        if self._sock is not None:
            self._sock.close()


class Peer:
    """A client with both ends of its connection; the protocol of its own transport, as `Connection` is in a server."""

    def __init__(self, world, transport, client, far):
        self._world = world
        self._far = far
        self.transport = transport
        self.client = client
        self.received = bytearray()
        transport.protocol = self

    def pause_writing(self):
        self.client.paused()

    def resume_writing(self):
        self._world.hub.resumed(self.client)

    def connection_lost(self, _):
        self.client.left(CloseCode.ABNORMAL)
        self._world.hub.forget(self.client)

    def read(self, most=1 << 30):
        """Read up to `most` bytes of what has been sent; give how many came."""
        before = len(self.received)
        if self._far is None:
            self.received += self.transport.wire[:most]
            del self.transport.wire[:most]
        else:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                while most > 0 and (data := self._far.recv(min(most, 65_536))):
                    self.received += data
                    most -= len(data)
        return len(self.received) - before

    def records(self):
        """Read one record for each write that was made (`SOCK_SEQPACKET`)."""
        records = []
        with contextlib.suppress(BlockingIOError):
            while True:
                records.append(self._far.recv(1 << 20))
        return records

    def read_everything(self):
        """Read and let the transport send until nothing comes any more; give all that was ever received."""
        if self._far is None:
            self.transport.room = 1 << 30
        while self.read() or self.transport.get_write_buffer_size():
            self.transport.drain()
        return bytes(self.received)


class Signal(Publication):
    """A publication of a size of its own for each codec, which counts what it is encoded for."""

    def __init__(self, name, size=0, path=None):
        super().__init__(f"{name} ".ljust(size, "-"), path)
        self.encodings = []

    def encoded(self, encoding):
        self.encodings.append(encoding)
        return self.of(encoding)

    def of(self, encoding):
        """Give an encoding without counting it."""
        return encode_frame(Opcode.TEXT, (b"v1 " if encoding.codec is V1.codec else b"") + self.data)


class World:
    """A hub, its turns and its clients."""

    def __init__(self, writer, outboxes=None, shed=None):
        self.turn = Turn()
        self.hub = Hub(self.turn.call_soon, outboxes=outboxes, shed=shed, writer=writer)
        self.sockets = []
        self._ids = itertools.count()

    def broadcast(self, publication, target=EVERYONE):
        """Deliver a publication to a target."""
        publication.target = target
        return self.hub.deliver(publication)

    def connect(
        self,
        path="/",
        *,
        encoding=PLAIN,
        limit=10_000,
        policy=SlowPolicy.DISCONNECT,
        tls=False,
        kept=b"",
        kind=socket.SOCK_STREAM,
        sock=None,
        groups=(),
        identity=GUEST,
    ):
        """Connect a client. Its socket takes about 4 KB (what the kernel allows at least); with TLS, `room` bytes.

        Args:
            path: where.
            encoding: how it reads.
            limit: of its outbox.
            policy: when that is full.
            tls: without a descriptor: everything goes through the transport.
            kept: bytes of the handshake's answer that the transport still holds.
            kind: of the socket.
            sock: the server's end of another socket, whose other end the test keeps.
            groups: to join.
            identity: who it is.

        """
        near, far = sock, None
        if not tls and sock is None:
            near, far = socket.socketpair(socket.AF_UNIX, kind)
            near.setblocking(False)
            far.setblocking(False)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            self.sockets += [near, far]
        transport = FakeTransport(self.turn.call_soon, near, kept=kept)
        client = Client(
            ClientId(f"c{next(self._ids)}"),
            path,
            ENDPOINT,
            transport,
            self.hub,
            limit=limit,
            policy=policy,
            encoding=encoding,
            identity=identity,
        )
        peer = Peer(self, transport, client, far)
        transport.set_write_buffer_limits(high=0, low=0)
        self.hub.add(client)
        for group in groups:
            client.join(group)
        return peer

    def close(self):
        for sock in self.sockets:
            sock.close()


def eager_ring():
    """Open a ring that is used even for a single client."""
    try:
        ring = Ring()
    except OSError as error:
        pytest.skip(f"this system lets nobody have an io_uring ({error.strerror})")
    ring.fewest = 1
    return ring


@pytest.fixture(params=[OneByOne, eager_ring], ids=["one-by-one", "ring"])
def writer(request):
    """Give each of the writers."""
    writer = request.param()
    yield writer
    writer.close()


@pytest.fixture
def ring():
    """Give a ring that is used even for a single client."""
    ring = eager_ring()
    yield ring
    ring.close()


@pytest.fixture
def new_world(writer):
    """Make worlds; their sockets are closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            world = World(writer, **options)
            stack.callback(world.close)
            return world

        yield make


@pytest.fixture
def world(new_world):
    return new_world()


@pytest.fixture
def signal():
    """Make frames: ``signal(name, size=…)``."""
    return Signal


@pytest.fixture
def fake_transport():
    return FakeTransport
