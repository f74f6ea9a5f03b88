"""Messages that never end, on many connections: one account bounds them, and nothing of a client stays behind it."""

import asyncio
import contextlib
import gc
import ssl
import zlib

import pytest

from signalpost.delivery.client import Client
from signalpost.signals.arrival import Arrival
from signalpost.signals.conversation import Conversation
from signalpost.signals.inbox import Inbox
from signalpost.sockets.connection import FRAME, MAX_READ_PER_TURN, Connection
from signalpost.testing import serve
from signalpost.websocket.reader import FrameReader

CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10
COMPRESSED = 0x40
PACKED = "Sec-WebSocket-Extensions: permessage-deflate"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
V1 = "Sec-WebSocket-Protocol: signalpost.v1"
ROOM = 1024 * 1024
PART = 256_000  # of a message that has begun

APP = """
    endpoints:
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws, compression: true}
      - {name: safe, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true, compression: true}
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: /handled, handler: handled}
      - {path: /asked, do: [{call: handled}, {reply: {value: done}}]}
      - {path: /slow, handler: slow}
      - {path: /arriving, connected: [{came: {}}], rebroadcast: sender}
      - {path: /leaving, rebroadcast: sender, disconnected: [{came: {}}]}
      - {path: /refused, rebroadcast: sender}
      - {path: /refused-later, rebroadcast: sender}
    limits: {message: 256KiB, inbound: 1MiB}
"""
PLUGIN = """
    import asyncio

    from signalpost import action, hookimpl, signal

    @signal("handled")
    async def handled(event):
        await asyncio.sleep(0)
        event.reply("handled")

    @signal("slow")
    async def slow(event):
        event.reply("begun")
        await event.state["_gate"].wait()

    @action("came")
    async def came(event, options):
        await asyncio.sleep(0)

    @hookimpl
    def client_connected(client):
        if client.path == "/refused":
            client.close(4009)
        if client.path == "/refused-later":
            return later(client)

    async def later(client):
        await asyncio.sleep(0)
        client.close(4009)
"""


class Peer:
    """A bare client of an open WebSocket."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def frame(self):
        first, size = await self.reader.readexactly(2)
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    async def closed(self):
        """Read up to a close frame; give its code."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 8:
                return int.from_bytes(payload[:2], "big")


class Scene:
    def __init__(self, app, bystander):
        self.app = app
        self.inbound = app.server._sockets.intake.inbound
        self.gate = app.server.node.shared.state["_gate"] = asyncio.Event()
        self._bystander = bystander
        self._peers = []

    async def peer(self, path="/echo", *lines, endpoint="live"):
        port = next(each.port for each in self.app.server.endpoints if each.name == endpoint)
        context = None
        if endpoint == "safe":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
        self._peers.append(peer)
        await peer.send(handshake(path, *lines))
        assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return peer

    async def until(self, condition):
        """Let the bystander have echoes until something is so."""
        async with asyncio.timeout(30):
            while not condition():
                await self._bystander.send("x")
                assert await self._bystander.receive() == "x"

    async def alone(self):
        """End all connections, and wait until the server has seen it."""
        for peer in self._peers:
            peer.writer.transport.abort()
            with contextlib.suppress(OSError):
                await peer.writer.wait_closed()
        self._peers.clear()
        self.gate.set()
        hub = self.app.server.node.hub
        await self.until(lambda: len(hub.clients) + len(hub.closing) == 1 and not self.app.server.inspect().handling)


@pytest.fixture
async def scene():
    async with serve(APP, plugins={"plugin": PLUGIN}) as app, app.connect("/echo") as bystander:
        scene = Scene(app, bystander)
        yield scene
        await scene.alone()


def handshake(path, *lines):
    fields = ["Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", *lines]
    return "\r\n".join([f"GET {path} HTTP/1.1", *fields, f"Sec-WebSocket-Key: {KEY}", "", ""]).encode()


def packed(size):
    """Compress so many bytes, as the beginning of a message that has no end."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflater.compress(b" " * size) + deflater.flush(zlib.Z_FULL_FLUSH))[:-4]


@pytest.fixture(params=["live", "safe"])
def endpoint(request):
    return request.param


async def test_of_many_compressed_beginnings_the_oldest_go_and_the_rest_are_bounded(scene, frame, endpoint, caplog):
    beginning = frame(COMPRESSED | TEXT, packed(PART), fin=False)
    assert len(beginning) < 990
    peers = []
    for number in range(9):
        peers.append(await scene.peer("/echo", PACKED, endpoint=endpoint))
        await peers[-1].send(beginning)
        begun = min(number + 1, 4) * PART
        await scene.until(lambda begun=begun: scene.inbound.held >= begun)
        assert scene.inbound.held <= ROOM
    assert [await peer.closed() for peer in peers[:5]] == [1011] * 5
    for peer in peers[5:]:
        await peer.send(frame(PING, b"here"))
        assert await peer.frame() == (PONG, b"here")
    await scene.until(lambda: "unfinished messages and request bodies refused" in caplog.text)


async def test_an_unfinished_message_gets_no_younger_by_pings_in_it(scene, frame):
    old, young = await scene.peer("/echo"), await scene.peer("/echo")
    for peer in (old, young):
        await peer.send(frame(TEXT, b" " * PART, fin=False))
        await peer.send(frame(PING, b"begun"))
        assert await peer.frame() == (PONG, b"begun")
    await old.send(frame(PING, b"still here"))
    assert await old.frame() == (PONG, b"still here")
    for _ in range(3):
        await (await scene.peer("/echo")).send(frame(TEXT, b" " * PART, fin=False))
    assert await old.closed() == 1011
    await young.send(frame(PING, b"here"))
    assert await young.frame() == (PONG, b"here")


async def test_who_finishes_messages_is_not_the_oldest(scene, frame):
    honest, idle = await scene.peer("/echo"), await scene.peer("/echo")
    await honest.send(frame(TEXT, b'{"message": "', fin=False) + frame(PING))
    assert (await honest.frame())[0] == PONG
    await idle.send(frame(TEXT, b" " * PART, fin=False) + frame(PING))
    assert (await idle.frame())[0] == PONG
    await honest.send(frame(CONTINUATION, b'1"}') + frame(TEXT, b'{"message": "', fin=False))
    assert (await honest.frame()) == (TEXT, b"1")
    for _ in range(4):
        await (await scene.peer("/echo")).send(frame(TEXT, b" " * PART, fin=False))
    assert await idle.closed() == 1011
    await honest.send(frame(CONTINUATION, b'2"}'))
    assert (await honest.frame()) == (TEXT, b"2")


async def test_tiny_frames_that_wait_for_a_slow_handler_count_by_what_they_take(scene, frame):
    flood = frame(TEXT, b'{"message":1}') * 20 + frame(PONG) * 3_000
    assert len(flood) < MAX_READ_PER_TURN  # so it is read in one piece
    peers = []
    while len(peers) * 3_000 * FRAME < ROOM:
        peers.append(await scene.peer("/slow"))
        await peers[-1].send(flood)
        assert await peers[-1].frame() == (TEXT, b"begun")
        assert scene.inbound.held >= min(len(peers), 5) * 3_000 * FRAME
        assert scene.inbound.held <= ROOM
    assert await peers[0].closed() == 1011


KINDS = {
    "echoes": ("/echo", [TEXT, b'{"message":"x"}'], 1),
    "with a handler": ("/handled", [TEXT, b'{"message":"x"}'], 1),
    "with a list that waits": ("/asked", [TEXT, b'{"message":"x"}'], 2),
    "with a handler at work and a backlog": ("/slow", [TEXT, b'{"message":"x"}'] * 20, 1),
    "with an arrival that waits": ("/arriving", [TEXT, b'{"message":"x"}'], 1),
    "with a departure that waits": ("/leaving", [TEXT, b'{"message":"x"}'], 1),
    "refused by a hook": ("/refused", [], 0),
    "refused by a hook that waits": ("/refused-later", [], 0),
    "that broke a rule": ("/echo", [3, b""], 0),
    "that sent no JSON": ("/echo", [TEXT, b"{"], 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("lines", [(), (PACKED,), (V1,)], ids=["plain", "packed", "v1"])
@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_of_a_client_that_has_gone_waits_for_the_collector(scene, frame, endpoint, kind, lines):
    path, frames, answers = KINDS[kind]
    data = b"".join(frame(*frames[at : at + 2]) for at in range(0, len(frames), 2))
    gc.collect()
    before = {id(each) for each in gc.get_objects()}
    gc.disable()
    try:
        for _ in range(3):
            peer = await scene.peer(path, *lines, endpoint=endpoint)
            await peer.send(data)
            for _ in range(answers + (lines == (V1,))):
                await peer.frame()
            if answers:
                await peer.send(frame(TEXT, b" " * 1_000, fin=False))
            else:
                await peer.closed()
        await scene.alone()
        keepalive = scene.app.server._sockets.keepalive  # it looks at those who are closing once a second
        await scene.until(lambda: not scene.inbound.held and not keepalive._closing)
        kinds = Connection | Conversation | Client | FrameReader | Inbox | Arrival
        assert [each for each in gc.get_objects() if id(each) not in before and isinstance(each, kinds)] == []
    finally:
        gc.enable()
