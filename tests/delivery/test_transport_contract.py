"""One contract, four transports: the fake of these tests, and TCP and TLS, each on uvloop and on asyncio's own loop."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from signalpost.config.model import TlsConfig
from signalpost.serving.tls import server_context

CHUNK = 65_536
MOST_CHUNKS = 400  # 26 MB: no kernel's buffers hold so much
SMALL = 16_384  # bytes of the sockets' buffers, before the kernel doubles them


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request):
    """Run every test on both loops."""
    return ("asyncio", {"use_uvloop": request.param})


class Recorder(asyncio.Protocol):
    """What a transport says, in order: made, paused, resumed, data, eof, lost."""

    def __init__(self):
        self.words = []
        self.data = b""
        self._said = asyncio.Event()

    def _say(self, word):
        self.words.append(word)
        self._said.set()

    def connection_made(self, transport):
        self.transport = transport
        self._say("made")

    def pause_writing(self):
        self._say("paused")

    def resume_writing(self):
        self._say("resumed")

    def data_received(self, data):
        self.data += data
        self._say("data")

    def eof_received(self):
        self._say("eof")
        return True

    def connection_lost(self, _):
        self._say("lost")

    async def until(self, word):
        """Wait until the transport has said it."""
        while word not in self.words:
            self._said.clear()
            await self._said.wait()


class Link:
    """A transport with its protocol, and the peer's end of a real connection."""

    def __init__(self, protocol, reader, writer):
        self.protocol = protocol
        self.transport = protocol.transport
        self._reader = reader
        self._writer = writer

    async def read(self):
        """Read some bytes as the peer; none at the end. A reset is an end, too."""
        with contextlib.suppress(ConnectionResetError):
            return await self._reader.read(CHUNK)
        return b""

    def send(self, data):
        """Send as the peer."""
        self._writer.write(data)


class FakeLink:
    """The same for the fake."""

    def __init__(self, transport, protocol):
        self.protocol = protocol
        self.transport = transport

    async def read(self):
        transport = self.transport
        while not transport.wire and not transport.at_eof:
            transport.room = CHUNK // 5  # as much as may fit into a kernel's buffer: not all
            transport.drain()
            await asyncio.sleep(0)  # one turn of the loop, which may end the connection
        data = bytes(transport.wire)
        transport.wire.clear()
        return data

    def send(self, data):
        self.protocol.data_received(data)


@pytest.fixture
async def tcp():
    """Open TCP connections with small buffers; `tls` wraps both ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(tls=None):
            loop, protocol = asyncio.get_running_loop(), Recorder()
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)  # inherited by what it accepts
            server = await loop.create_server(lambda: protocol, sock=listener, ssl=tls)
            near = socket.socket()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            near.setblocking(False)
            await loop.sock_connect(near, listener.getsockname())
            options = {}
            if tls is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                options = {"ssl": context, "server_hostname": "localhost"}
            reader, writer = await asyncio.open_connection(sock=near, limit=SMALL, **options)
            await protocol.until("made")

            async def end():
                if "lost" not in protocol.words:  # asyncio's own loop minds an abort after that
                    protocol.transport.abort()
                writer.transport.abort()
                await protocol.until("lost")
                with contextlib.suppress(ConnectionResetError):
                    await writer.wait_closed()
                server.close()
                await server.wait_closed()

            stack.push_async_callback(end)
            return Link(protocol, reader, writer)

        yield connect


@pytest.fixture
def links(tcp, fake_transport):
    """Make a connection of a kind, whose peer does not read until it is told to."""

    async def make(kind):
        if kind == "fake":
            protocol = Recorder()
            transport = fake_transport(asyncio.get_running_loop().call_soon, clear=True)
            transport.protocol = protocol
            protocol.connection_made(transport)
            return FakeLink(transport, protocol)
        return await tcp(server_context(TlsConfig(self_signed=True), "127.0.0.1") if kind == "tls" else None)

    return make


@pytest.fixture(params=["fake", "tcp", "tls"])
async def link(request, links):
    """A connection of every kind."""
    return await links(request.param)


@pytest.fixture(params=["fake", "tcp"])
async def clear_link(request, links):
    """A connection without TLS, which is its own judge of when it has enough, and cannot close one side."""
    return await links(request.param)


def fill(link):
    """Write until the transport says that it is enough; give what was written."""
    if link.transport.get_extra_info("ssl_object") is None:
        link.transport.set_write_buffer_limits(high=0, low=0)
    written = b""
    for number in range(MOST_CHUNKS):
        chunk = number.to_bytes(4, "big") * (CHUNK // 4)
        link.transport.write(chunk)
        written += chunk
        if link.protocol.words[-1] == "paused":
            return written
    pytest.fail("the transport never said that it is enough")


async def read_exactly(link, size):
    data = b""
    while len(data) < size and (chunk := await link.read()):
        data += chunk
    return data


async def read_all(link):
    return await read_exactly(link, 1 << 40)


async def test_a_transport_says_at_once_that_it_keeps_bytes_and_when_they_are_gone(link):
    written = fill(link)
    assert link.protocol.words == ["made", "paused"]
    assert link.transport.get_write_buffer_size() > 0
    assert await read_exactly(link, len(written)) == written
    await link.protocol.until("resumed")
    assert link.protocol.words == ["made", "paused", "resumed"]


async def test_with_limits_of_zero_a_transport_resumes_only_when_all_is_gone(clear_link):
    written = fill(clear_link)
    kept = []
    say = clear_link.protocol.resume_writing

    def resume_writing():
        kept.append(clear_link.transport.get_write_buffer_size())
        say()

    clear_link.protocol.resume_writing = resume_writing
    await read_exactly(clear_link, len(written))
    await clear_link.protocol.until("resumed")
    assert kept == [0]


async def test_what_fits_is_written_at_once_and_not_kept(clear_link):
    clear_link.transport.set_write_buffer_limits(high=0, low=0)
    if isinstance(clear_link, FakeLink):
        clear_link.transport.room = 100
    clear_link.transport.write(b"x" * 60)
    assert clear_link.transport.get_write_buffer_size() == 0
    clear_link.transport.write(memoryview(b"-y-" * 40)[1:41])
    assert clear_link.transport.get_write_buffer_size() == 0
    assert clear_link.protocol.words == ["made"]
    assert await read_exactly(clear_link, 100) == b"x" * 60 + (b"-y-" * 40)[1:41]


async def test_new_limits_are_told_to_a_protocol_whose_bytes_are_kept_already(clear_link):
    # A connection takes over a transport that may still hold the handshake's answer.
    while not clear_link.transport.get_write_buffer_size():
        clear_link.transport.write(b"x" * 30_000)
    assert "paused" not in clear_link.protocol.words
    clear_link.transport.set_write_buffer_limits(high=0, low=0)
    assert clear_link.protocol.words == ["made", "paused"]


async def test_close_writes_what_is_kept_first(link):
    written = fill(link)
    assert not link.transport.is_closing()
    link.transport.close()
    assert link.transport.is_closing()
    assert await read_all(link) == written
    await link.protocol.until("lost")


async def test_close_with_nothing_kept_ends_a_transport_in_a_later_turn(link):
    link.transport.close()
    assert "lost" not in link.protocol.words
    assert await read_all(link) == b""
    await link.protocol.until("lost")


@pytest.mark.parametrize("closing", [False, True], ids=["open", "closing already"])
async def test_abort_gives_up_what_is_kept(link, closing):
    written = fill(link)
    if closing:
        link.transport.close()
    link.transport.abort()
    assert link.transport.is_closing()
    await link.protocol.until("lost")
    assert link.transport.get_write_buffer_size() == 0
    received = await read_all(link)
    assert len(received) < len(written)
    assert written.startswith(received)


async def test_aborting_twice_ends_a_transport_once(link):
    link.transport.abort()
    link.transport.abort()
    await link.protocol.until("lost")
    assert await read_all(link) == b""
    assert link.protocol.words.count("lost") == 1


async def test_one_side_of_a_transport_can_be_closed_without_tls_and_the_other_goes_on(clear_link):
    assert clear_link.transport.can_write_eof()
    written = fill(clear_link)
    clear_link.transport.write_eof()
    assert await read_all(clear_link) == written
    assert not clear_link.transport.is_closing()
    clear_link.send(b"still here")
    await clear_link.protocol.until("data")
    assert clear_link.protocol.data == b"still here"


async def test_one_side_of_a_transport_can_be_closed_by_who_hears_that_all_is_gone(clear_link):
    written = fill(clear_link)
    clear_link.protocol.resume_writing = clear_link.transport.write_eof
    assert await read_all(clear_link) == written
    clear_link.send(b"still here")
    await clear_link.protocol.until("data")
    assert not clear_link.transport.is_closing()


async def test_a_transport_can_be_closed_by_who_hears_that_all_is_gone(clear_link):
    if type(clear_link.transport).__module__ == "asyncio.selector_events":
        pytest.skip("asyncio's own loop ends such a transport twice (CPython 3.11); the server runs on uvloop")
    written = fill(clear_link)
    clear_link.protocol.resume_writing = clear_link.transport.close
    assert await read_all(clear_link) == written
    await clear_link.protocol.until("lost")
    assert clear_link.protocol.words.count("lost") == 1


async def test_tls_has_no_side_that_can_be_closed_alone(links):
    assert not (await links("tls")).transport.can_write_eof()
