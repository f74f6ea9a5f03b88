"""Every way in which a connection can end gives its place back: random lives of connections on real sockets."""

import asyncio
import contextlib
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.edge.occupancy import Occupancy
from signalpost.testing import serve

APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals:
  - {path: /chat}
  - {path: /kick, do: [{close: {code: 4000}}]}
  - {path: /unwelcome, rebroadcast: none, connected: [{close: {code: 4000}}]}
undeclared: refuse
limits: {per_address: {connections: 6}, message: 4KiB, drain: 0s}
"""
SHAKE = (
    "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{}"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
STREAM = "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}\r\n"
MASK = b"\0\0\0\0"
KICK_ME = b"\x81\x8d" + MASK + b'{"message":1}'
CLOSE = b"\x88\x80" + MASK


def reset(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def send(data):
    return lambda writer: writer.write(data)


WAYS = {
    "closing handshake": (SHAKE, "/chat", send(CLOSE)),
    "end of the socket": (SHAKE, "/chat", lambda writer: writer.close()),
    "half a close": (SHAKE, "/chat", lambda writer: writer.write_eof()),
    "reset": (SHAKE, "/chat", reset),
    "no frame": (SHAKE, "/chat", send(b"\xff\xff\xff")),
    "too large": (SHAKE, "/chat", send(b"\x81\xfe\xff\xff" + MASK + bytes(10))),
    "sent away": (SHAKE, "/kick", send(KICK_ME)),
    "not welcome": (SHAKE, "/unwelcome", lambda _: None),
    "Sanic's way": (SHAKE.replace("{}S", "X: \xe9\r\n{}S"), "/chat", send(CLOSE)),
    "no signal": (SHAKE, "/nowhere", lambda writer: writer.close()),
    "foreign page": (SHAKE.replace("{}S", "Origin: https://evil.example\r\n{}S"), "/chat", lambda w: w.close()),
    "stream: end": (STREAM, "/chat", lambda writer: writer.close()),
    "stream: reset": (STREAM, "/chat", reset),
    "stream: half a close": (STREAM, "/chat", lambda writer: writer.write_eof()),
    "stream: much is sent": (STREAM, "/chat", send(bytes(300_000))),
    "stream: no signal": (STREAM, "/nowhere", lambda writer: writer.close()),
}


class Lives:
    """Connections that are opened and ended."""

    def __init__(self, app):
        self._app = app
        self._limiter = app.server.node.limiter
        self._open = []

    async def begin(self, way):
        request, path, _ = WAYS[way]
        endpoint = "live" if request.startswith(SHAKE[:3]) and "Upgrade" in request else "web"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self._app.url(endpoint).rpartition(":")[2]))
        writer.write(request.format(path, "").encode("latin-1"))
        status = int((await reader.readuntil(b"\r\n")).split()[1])
        if status in {101, 200}:
            self._open.append((way, reader, writer))
        else:
            writer.close()
        return status

    @staticmethod
    def _answers(way):
        """Return whether the server ends the connection by itself, and does not wait for an answer."""
        return way not in {"sent away", "not welcome"}

    async def end(self, number):
        if not self._open:
            return
        way, reader, writer = self._open.pop(number % len(self._open))
        with contextlib.suppress(OSError, RuntimeError):
            WAYS[way][2](writer)
            if not writer.is_closing():
                await writer.drain()
            await asyncio.wait_for(reader.read(-1 if self._answers(way) else 1), 20)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def settle(self, most=6):
        """Wait until so many are left, and nothing happens; compare what is counted with who is connected."""
        hub, addresses = self._app.server.node.hub, self._limiter.addresses
        async with asyncio.timeout(20):
            while hub.closing or len(hub.clients) > most or len(addresses) != len(hub.clients):  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.001)
        assert addresses.count("127.0.0.1") == len(hub.clients) <= 6


STEPS = st.lists(
    st.one_of(st.tuples(st.just("begin"), st.sampled_from(sorted(WAYS))), st.tuples(st.just("end"), st.integers(0, 9))),
    max_size=30,
)


@pytest.mark.slow
@settings(max_examples=25)
@given(STEPS)
def test_whatever_happens_to_connections_as_many_are_counted_as_there_are(steps):
    async def story():
        async with serve(APP) as app:
            lives = Lives(app)
            for what, argument in steps:
                if what == "begin":
                    full = app.server.node.limiter.addresses.is_full("127.0.0.1")
                    status = await lives.begin(argument)
                    assert not (full and status in {101, 200})
                else:
                    await lives.end(argument)
            await lives.settle()
            while lives._open:
                await lives.end(0)
            await lives.settle(0)
            assert len(app.server.node.limiter.addresses) == 0

    asyncio.run(story())


@pytest.mark.parametrize("way", WAYS)
async def test_each_way_to_end_gives_the_place_back(way):
    async with serve(APP) as app:
        lives = Lives(app)
        await lives.begin(way)
        await lives.end(0)
        await lives.settle(0)
        assert len(app.server.node.limiter.addresses) == 0


async def test_clients_that_a_reload_sends_away_or_an_administrator_drops_give_their_places_back():
    async with serve(APP) as app, app.connect("/chat") as kept, app.connect("/kick") as gone:
        await app.reload(APP.replace("/kick", "/other"))
        await gone.socket.wait_closed()
        await Lives(app).settle(1)
        assert len(app.server.node.limiter.addresses) == 1
        app.server.node.hub.clients[kept.id].drop(4008)
        await kept.socket.wait_closed()
        await Lives(app).settle(0)
        assert len(app.server.node.limiter.addresses) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.sampled_from("abc")), max_size=60), st.integers(1, 4))
def test_a_count_is_that_of_the_members_with_their_first_keys(steps, most):
    places, members = Occupancy(), {}
    places.limit(most, ())
    for comes, member, key in steps:
        if comes:
            places.add(member, key)
            members.setdefault(member, key)
        else:
            places.remove(member)
            members.pop(member, None)
        for each in "abc":
            count = list(members.values()).count(each)
            assert places.count(each) == count
            assert places.is_full(each) == (count >= most)
    assert len(places) == len(members)
    for member in tuple(members):
        places.remove(member)
    assert places._counts == {}
