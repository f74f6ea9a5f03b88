"""Connections over real sockets to a real server, from their 101 to their end, and by clients that misbehave."""

import asyncio
import contextlib
import gc
import socket
import struct

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from signalpost.sockets.connection import Connection
from signalpost.testing import serve

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
REQUEST = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PLUGIN = """
    import asyncio
    from signalpost import hookimpl, signal

    gate = asyncio.Event()

    @hookimpl
    def startup(context):
        global broadcast
        broadcast = context.broadcast

    @hookimpl
    def client_disconnected(client, code):
        broadcast([client.path, code], path="/log")

    @signal("closes", path="/closes")
    async def closes(event):
        event.broadcast(event.data.message, path="/log")
        event.close(4321, "as you wish")

    @signal("waits", path="/waits")
    async def waits(event):
        event.broadcast(event.data.message, path="/log")
        await gate.wait()

    @signal("go", path="/go")
    async def go(event):
        gate.set()
"""
APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: /raw, rebroadcast: sender, format: raw}
    limits:
      message: 256KiB
      outbox: 1MiB
"""


def frame(opcode, payload=b"", *, fin=True, masked=True):
    """Encode a client's frame; the mask is zero, which changes nothing."""
    size = len(payload)
    short = size if size < 126 else 126 if size < 65_536 else 127
    length = b"" if size < 126 else size.to_bytes(2 if size < 65_536 else 8, "big")
    return bytes((fin << 7 | opcode, masked << 7 | short)) + length + (bytes(4) if masked else b"") + payload


def message(text):
    return frame(TEXT, orjson.dumps({"message": text}))


def close_frame(code, reason=b""):
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


class Raw:
    """A client made of a bare socket: it sends what it is told and no more."""

    def __init__(self, sock):
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def send(self, data):
        await self._loop.sock_sendall(self.sock, data)

    async def open(self, path, behind=b""):
        """Ask for a WebSocket, with more bytes behind the request at once; give the answer."""
        await self.send(REQUEST % path.encode() + behind)
        return await self.answer()

    async def answer(self):
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self.some()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    async def some(self):
        data = await self._loop.sock_recv(self.sock, 65_536)
        assert data, "the server closed its side too early"
        return data

    async def frame(self):
        """Give the next frame as opcode and payload; it must be neither masked nor fragmented."""
        header, short = await self._exactly(2)
        assert header & 0x80
        assert short < 128
        length = int.from_bytes(await self._exactly({126: 2, 127: 8}[short]), "big") if short > 125 else short
        return header & 0x7F, await self._exactly(length)

    async def _exactly(self, size):
        while len(self._buffer) < size:
            self._buffer += await self.some()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def at_end(self):
        """Tell that the server has closed its side in order, with nothing more before that."""
        return self._buffer + await self._loop.sock_recv(self.sock, 65_536) == b""

    def reset(self):
        """Vanish with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@pytest.fixture(params=["", "      rate: 0\n"], ids=["with a rate", "without one"])
def rate(request):
    """What limits say of a client's rate: without one, a message that comes alone takes a shorter way."""
    return request.param


@pytest.fixture
async def app(rate):
    async with serve(APP + rate, plugins={"watch": PLUGIN}) as running:
        yield running


@pytest.fixture
async def raw(app):
    """Open bare sockets to the server; they are closed after the test."""
    with contextlib.ExitStack() as stack:

        async def make(*, receive_buffer=None):
            sock = stack.enter_context(socket.socket())
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent is there, for `settled`
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", app.server.endpoints[0].port))
            return Raw(sock)

        yield make


@pytest.fixture
async def log(app):
    """A client that reads who disconnected with which code."""
    async with app.connect("/log") as client:
        yield client


@pytest.fixture
def settled(raw):
    """Wait until the server has read what was sent before: a round trip of a client that comes after it."""

    async def wait():
        later = await raw()
        await later.open("/echo", message("marker"))
        assert await later.frame() == (TEXT, b"marker")

    return wait


@pytest.fixture
async def held(app, raw):
    """A client that does not read, with the server's side of it, when something waits for it there."""
    client = await raw(receive_buffer=4_096)
    await client.open("/raw")
    (side,) = (each for each in app.server.node.hub.clients.values() if each.path == "/raw")
    for _ in range(2_000):  # 16 MB: no kernel's buffers hold so much
        await client.send(frame(BINARY, HELD))
        await asyncio.sleep(0)  # a turn for the server
        if side.waiting:
            return client, side
    pytest.fail("the server never had anything waiting")


HELD = b"x" * 8_000


class TestHandover:
    async def test_what_stands_behind_the_handshake_in_the_same_packet_is_read(self, raw):
        client = await raw()
        assert (await client.open("/echo", message("one") + message("two"))).startswith(b"HTTP/1.1 101")
        assert [await client.frame(), await client.frame()] == [(TEXT, b"one"), (TEXT, b"two")]

    async def test_half_a_frame_behind_the_handshake_and_its_other_half_are_read(self, raw):
        client, data = await raw(), message("split in two")
        await client.open("/echo", data[:7])
        await client.send(data[7:])
        assert await client.frame() == (TEXT, b"split in two")

    async def test_more_than_http_would_buffer_is_read_behind_the_handshake(self, raw):
        # Sanic stops reading from 64 KiB on, and cannot know that nobody would read on for it.
        client, payload = await raw(), b"x" * 200_000
        sending = asyncio.ensure_future(client.open("/raw", frame(BINARY, payload) + frame(BINARY, payload)))
        assert (await sending).startswith(b"HTTP/1.1 101")
        assert await client.frame() == (BINARY, payload)
        assert await client.frame() == (BINARY, payload)
        await client.send(frame(BINARY, b"still reading"))
        assert await client.frame() == (BINARY, b"still reading")

    async def test_a_handshake_and_messages_byte_by_byte_are_read(self, raw):
        client = await raw()
        for byte in REQUEST % b"/echo":
            await client.send(bytes((byte,)))
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        for byte in message("slowly"):
            await client.send(bytes((byte,)))
        assert await client.frame() == (TEXT, b"slowly")

    async def test_a_close_behind_the_handshake_is_answered(self, raw, log):
        client = await raw()
        await client.open("/echo", close_frame(1000))
        assert await client.frame() == (CLOSE, b"\x03\xe8")
        assert await client.at_end()
        assert await log.receive_json() == ["/echo", 1000]

    async def test_the_welcome_is_the_first_that_a_client_of_the_envelope_reads(self):
        plugin = """
            from signalpost import hookimpl

            @hookimpl
            def startup(context):
                global broadcast
                broadcast = context.broadcast

            @hookimpl
            def client_connected(client):
                broadcast("somebody came")
        """
        app = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]"
        async with (
            serve(app, plugins={"greets": plugin}) as running,
            running.connect("/", subprotocols=["signalpost.v1"]) as client,
        ):
            welcome = (await client.receive_json())["welcome"]
            assert len(welcome.pop("session")) == 22
            assert welcome == {"clientId": client.id, "path": "/"}
            assert (await client.receive_json())["signal"]["value"] == "somebody came"


class TestPing:
    @pytest.mark.parametrize("payload", [b"", b"hello", bytes(range(125))])
    async def test_a_ping_is_answered_with_its_payload(self, raw, payload):
        client = await raw()
        await client.open("/echo", frame(PING, payload))
        assert await client.frame() == (PONG, payload)

    async def test_pings_between_fragments_are_answered_before_the_message(self, raw):
        client, data = await raw(), orjson.dumps({"message": "whole"})
        await client.open("/echo")
        await client.send(frame(TEXT, data[:5], fin=False) + frame(PING, b"1") + frame(CONTINUATION, data[5:]))
        assert [await client.frame(), await client.frame()] == [(PONG, b"1"), (TEXT, b"whole")]

    async def test_a_pong_that_nobody_asked_for_is_ignored(self, raw):
        client = await raw()
        await client.open("/echo", frame(PONG, b"?") + message("next"))
        assert await client.frame() == (TEXT, b"next")


class TestClosingHandshake:
    @pytest.mark.parametrize("code", [1000, 1001, 1009, 1014, 3000, 4999])
    async def test_the_peers_code_comes_back_and_the_connection_ends(self, raw, log, code):
        client = await raw()
        await client.open("/echo", message("before"))
        await client.send(close_frame(code, b"because") + message("after the close frame: ignored"))
        assert await client.frame() == (TEXT, b"before")
        assert await client.frame() == (CLOSE, code.to_bytes(2, "big"))
        assert await client.at_end()
        assert await log.receive_json() == ["/echo", code]

    async def test_a_close_without_a_code_is_answered_without_one(self, raw, log):
        client = await raw()
        await client.open("/echo", frame(CLOSE))
        assert await client.frame() == (CLOSE, b"")
        assert await client.at_end()
        assert await log.receive_json() == ["/echo", 1005]

    async def test_the_server_closes_and_waits_for_the_peers_answer(self, raw, log):
        client = await raw()
        await client.open("/closes", message("please"))
        assert await client.frame() == (CLOSE, (4321).to_bytes(2, "big") + b"as you wish")
        # What still comes before the answer is not for anybody any more; and nothing comes back.
        await client.send(message("late") + frame(PING) + close_frame(4321))
        assert await client.at_end()
        assert await log.receive() == "please"
        assert await log.receive_json() == ["/closes", 4321]

    async def test_server_and_peer_may_close_at_once(self, raw, log):
        client = await raw()
        await client.open("/closes", message("please") + close_frame(1000))
        assert (await client.frame())[0] == CLOSE
        assert await client.at_end()
        assert [await log.receive(), (await log.receive_json())[0]] == ["please", "/closes"]


class TestBrokenProtocol:
    @pytest.mark.parametrize(
        ("broken", "code"),
        [
            (frame(TEXT, b"{}", masked=False), 1002),
            (b"\xc1\x80", 1002),
            (frame(3), 1002),
            (frame(CONTINUATION, b"x"), 1002),
            (frame(PING, fin=False), 1002),
            (close_frame(1005), 1002),
            (frame(TEXT, b"\xff"), 1007),
            (frame(TEXT, b"\xed\xa0", fin=False), 1007),
            (bytes.fromhex("82ff0000000000040001"), 1009),
        ],
    )
    async def test_a_broken_rule_is_answered_with_its_code_and_the_connection_ends(self, raw, log, broken, code):
        client = await raw()
        await client.open("/echo", message("before") + broken)
        assert await client.frame() == (TEXT, b"before")
        opcode, body = await client.frame()
        assert (opcode, int.from_bytes(body[:2], "big")) == (CLOSE, code)
        assert body[2:].decode()
        assert await client.at_end()
        client.sock.close()
        assert await log.receive_json() == ["/echo", code]

    async def test_a_client_that_keeps_sending_still_reads_why(self, raw, log):
        # Closing a socket that holds unread bytes sends a RST, which overtakes the close frame.
        client = await raw()
        await client.open("/echo", frame(3))
        for _ in range(64):
            await client.send(b"x" * 65_536)
        opcode, body = await client.frame()
        assert (opcode, body[:2]) == (CLOSE, (1002).to_bytes(2, "big"))
        await client.send(b"x" * 65_536)
        assert await client.at_end()
        client.sock.close()
        assert await log.receive_json() == ["/echo", 1002]

    async def test_a_broken_rule_is_answered_behind_what_waits_for_a_client_that_reads_late(self, held, settled):
        client, side = held
        await client.send(frame(3))
        await settled()
        assert (side.closing, side.close_code) == (True, 1002)
        assert side.waiting
        while (received := await client.frame())[0] != CLOSE:
            assert received == (BINARY, HELD)
        assert received[1][:2] == (1002).to_bytes(2, "big")
        assert await client.at_end()


class TestAbruptEnds:
    async def test_a_reset_is_noticed(self, raw, log):
        client = await raw()
        await client.open("/echo")
        client.reset()
        assert await log.receive_json() == ["/echo", 1006]

    async def test_a_peer_that_closes_its_side_cannot_close_in_order(self, raw, log):
        client = await raw()
        await client.open("/echo", message("last words"))
        client.sock.shutdown(socket.SHUT_WR)
        assert await client.frame() == (TEXT, b"last words")
        assert await client.at_end()
        assert await log.receive_json() == ["/echo", 1006]

    async def test_a_peer_may_close_its_side_in_the_middle_of_a_frame(self, raw, log):
        client = await raw()
        await client.open("/echo", message("last words")[:9])
        client.sock.shutdown(socket.SHUT_WR)
        assert await client.at_end()
        assert await log.receive_json() == ["/echo", 1006]

    async def test_a_client_is_counted_until_it_has_gone(self, app, raw, log):
        client = await raw()
        await client.open("/echo")
        assert app.server.clients == 2
        client.reset()
        await log.receive()
        assert app.server.clients == 1
        assert not app.server.inspect().closing


class Clock:
    def __init__(self, keepalive):
        self.now = keepalive.now
        self._keepalive = keepalive
        keepalive.stop()
        keepalive._clock = lambda: self.now

    def advance(self, seconds):
        """Let time pass second by second, without any."""
        for _ in range(seconds):
            self.now += 1
            self._keepalive.look()


class TestKeepalive:
    @pytest.fixture
    def clock(self, app):
        """Put a clock of the test's own into the server (white-box: servers have the loop's)."""
        return Clock(app.server._sockets.keepalive)

    async def test_silence_is_pinged_and_without_an_answer_the_end(self, app, raw, clock):
        client = await raw()
        await client.open("/echo")
        clock.advance(25)
        assert await client.frame() == (PING, b"")
        clock.advance(9)
        assert app.server.clients == 1
        clock.advance(1)
        assert app.server.clients == 0
        with pytest.raises(ConnectionResetError):
            await client.some()

    @pytest.mark.parametrize("answer", [frame(PONG), frame(PING), message("busy"), message("half")[:1]])
    async def test_any_bytes_are_an_answer(self, app, raw, settled, clock, answer):
        client = await raw()
        await client.open("/echo")
        clock.advance(30)
        assert await client.frame() == (PING, b"")
        await client.send(answer)
        await settled()
        clock.advance(20)
        assert app.server.clients == 2

    async def test_a_client_that_the_server_does_not_read_from_is_left_alone(self, app, raw, log, clock):
        client = await raw()
        await client.open("/waits", message("first") + b"".join(message(str(number)) for number in range(16)))
        assert await log.receive() == "first"
        (waiting,) = (each for each in app.server._sockets.connections if each.suspended)
        log_client = next(each for each in app.server._sockets.connections if each is not waiting)
        for _ in range(10):
            log_client.heard_at = clock.now
            clock.advance(20)
        assert app.server.clients == 2
        async with app.connect("/go") as go:
            await go.send("go on")
            for number in range(16):
                assert await log.receive() == str(number)
        assert not waiting.suspended
        assert await log.receive_json() == ["/go", 1000]
        clock.advance(1)
        assert app.server.clients == 2

    async def test_a_client_that_is_slow_to_read_what_stands_before_the_ping_is_waited_for(self, held, clock):
        client, side = held
        clock.advance(25)
        for _ in range(5):
            for _ in range(5):
                await client.some()
            clock.advance(9)
        assert side.waiting
        assert not side.closing
        clock.advance(20)  # it has stopped reading
        assert side.close_code == 1006

    async def test_a_peer_that_does_not_answer_a_close_frame_is_given_up(self, app, raw, log, clock):
        client = await raw()
        await client.open("/closes", message("please"))
        assert (await client.frame())[0] == CLOSE
        clock.advance(5)
        assert app.server.inspect().closing
        clock.advance(1)
        assert await log.receive() == "please"
        assert await log.receive_json() == ["/closes", 4321]
        assert await client.at_end()

    async def test_a_peer_that_keeps_sending_after_an_error_is_given_up(self, raw, log, clock):
        client = await raw()
        await client.open("/echo", frame(3))
        assert (await client.frame())[0] == CLOSE
        assert await client.at_end()
        await client.send(b"x" * 1_000)
        clock.advance(6)
        assert await log.receive_json() == ["/echo", 1002]

    @pytest.mark.parametrize("how", ["by a close frame", "by closing its side"])
    async def test_a_peer_that_closed_without_reading_what_waits_for_it_is_given_up(
        self, held, settled, log, clock, how
    ):
        client, side = held
        if how == "by a close frame":
            await client.send(close_frame(1000))
        else:
            client.sock.shutdown(socket.SHUT_WR)
        await settled()
        assert side._hub.closing == {side}
        clock.advance(6)
        assert await log.receive_json() == ["/raw", 1000 if how == "by a close frame" else 1006]
        await settled()
        assert not side._hub.closing


async def test_an_endpoint_pings_by_its_own_pace_and_a_reload_changes_that():
    app = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws, keepalive: {every: 2s, patience: 3s}}]"
    async with serve(app) as running, running.connect("/", ping_interval=None):
        keepalive = running.server._sockets.keepalive
        (connection,) = running.server._sockets.connections
        assert (keepalive.shortest, connection.pace.every, connection.pace.patience) == (2, 2, 3)
        await running.reload(app.replace("every: 2s", "every: 4s"))
        assert (keepalive.shortest, connection.pace.every) == (4, 4)


async def test_messages_of_all_lengths_pings_and_closes_work_over_tls(trusting):
    app = APP.replace("protocol: ws", "protocol: wss, self_signed: true")
    async with serve(app, plugins={"watch": PLUGIN}) as running:
        url = running.url()
        async with (
            connect(url + "/log", ssl=trusting, proxy=None) as log,
            connect(url + "/raw", ssl=trusting, proxy=None, compression=None) as client,
        ):
            for size in (0, 125, 126, 65_536, 262_144):
                await client.send(b"x" * size + b"!" * (size == 0))
                assert len(await client.recv()) == max(size, 1)
            await (await client.ping())
            await client.send(b"x" * 262_145)
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd.code == 1009
            assert orjson.loads(await log.recv()) == ["/raw", 1009]


async def test_nothing_of_a_connection_that_has_ended_waits_for_the_garbage_collector():
    app = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]"
    async with serve(app) as running, running.connect("/") as other:
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                async with running.connect("/") as client:
                    await client.send("hello")
                    await client.receive()
            while running.server.clients > 1 or running.server.inspect().closing:
                await other.send("turn")
                await other.receive()
            assert sum(type(each) is Connection for each in gc.get_objects()) == 1
        finally:
            gc.enable()
