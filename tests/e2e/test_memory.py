"""A client too slow for its path (`slow: {policy: catch_up}`), over a real server: it is fed from the history."""

import asyncio
import contextlib
import os
import socket

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from signalpost.delivery.outbox import CHUNK
from signalpost.testing import serve

SIZE = 8_192
FRAME = SIZE + 100  # at most: with the envelope
MOST = 2_000
APP = """
    endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: {protocol}}}]
    limits: {{outbox: 1MiB}}
    signals: [{{path: /r, rebroadcast: path, history: {keep}, slow: {{policy: catch_up}}}}, {{path: /o, handler: o}}]
"""
PLUGIN = """
from signalpost import signal

@signal("o")
async def o(event):
    event.broadcast("B" * 200_000, client=event.data.message)
    for number in range(3):
        event.broadcast(f"{number} ", path="/r")
    event.reply("done")
"""
HANDSHAKE = (
    "GET /r HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: signalpost.v1\r\n\r\n"
)
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"  # masked, 1000


class Story:
    """A path whose values are numbered, and what came of them.

    Attributes:
        sent: how many values the path was sent.
        most: bytes that waited for a client at once, as far as was looked.

    """

    def __init__(self, app):
        self.app = app
        self.sent = self.most = 0

    @contextlib.asynccontextmanager
    async def listen(self, tls=None, compression=None, subprotocol="signalpost.v1"):
        """Connect somebody who reads nothing but what is asked for; give the socket and the server's side."""
        with self.socket() as sock:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.app.server.endpoints[0].port))
            options = {"proxy": None, "max_queue": 1, "ping_interval": None, "close_timeout": 0.1, "max_size": None}
            options |= {"subprotocols": [subprotocol] if subprotocol else None, "compression": compression, "ssl": tls}
            async with connect(self.app.url() + "/r", sock=sock, **options) as listener:
                side = self.app.server.node.hub.clients[listener.response.headers["X-Signalpost-Client-Id"]]
                self.narrow(side)
                yield listener, side

    @staticmethod
    def socket():
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        return sock

    @staticmethod
    def narrow(side):
        """Let the kernel hold little for a client."""
        side._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)

    async def publish(self, count, side, text=lambda number: f"{number} ".ljust(SIZE, "-")):
        for _ in range(count):
            self.app.server.node.broadcaster(text(self.sent), path="/r")
            self.sent += 1
            await asyncio.sleep(0)
            self.most = max(self.most, side.waiting)

    async def publish_until_behind(self, side, **options):
        while not side._outbox or not side._outbox._behind:
            assert self.sent < MOST, "the socket takes everything"
            await self.publish(1, side, **options)

    async def read(self, listener):
        """Read until the newest value has come: numbers of values, notices as they are, and what else was sent."""
        read = []
        while self.sent - 1 not in read:
            frame = await listener.recv()
            kind, body = orjson.loads(frame).popitem() if frame.startswith("{") else ("plain", {"value": frame})
            if kind not in ("signal", "plain"):
                read.append({kind: body})
            else:
                text = body["value"]
                read.append(int(text.split()[0]) if text[0].isdigit() else text)
        return read[1:] if isinstance(read[0], dict) and "welcome" in read[0] else read


@contextlib.asynccontextmanager
async def story(keep=MOST, protocol="ws"):
    async with serve(APP.format(keep=keep, protocol=protocol), plugins={"o": PLUGIN}) as app:
        yield Story(app)


@pytest.mark.parametrize("subprotocol", ["", "signalpost.v1"], ids=["plain", "v1"])
async def test_of_who_is_behind_hardly_anything_waits_and_nothing_is_missing(subprotocol):
    async with story() as told, told.listen(subprotocol=subprotocol) as (listener, side):
        await told.publish_until_behind(side)
        await told.publish(500, side)
        assert told.most <= CHUNK + 2 * FRAME
        assert await told.read(listener) == [*range(told.sent)]
        await told.publish(3, side)
        assert await told.read(listener) == [told.sent - 3, told.sent - 2, told.sent - 1]
        assert side.direct
        assert side.waiting == 0


async def test_who_is_behind_again_and_again_misses_nothing():
    async with story() as told, told.listen() as (listener, side):
        for _ in range(5):
            before = told.sent
            await told.publish_until_behind(side)
            await told.publish(20, side)
            assert await told.read(listener) == [*range(before, told.sent)]


async def test_who_is_behind_reads_everything_while_more_is_sent():
    async with story() as told, told.listen() as (listener, side):
        await told.publish_until_behind(side)
        publishing = asyncio.create_task(told.publish(300, side))
        read = []
        while not publishing.done() or told.sent - 1 not in read:
            read += await told.read(listener)
        assert read == [*range(told.sent)]


async def test_who_is_behind_with_compression_misses_nothing():
    def noise(number):
        return f"{number} {os.urandom(SIZE // 2).hex()}"

    async with (
        story(protocol="ws, compression: true") as told,
        told.listen(compression="deflate") as (listener, side),
    ):
        assert listener.protocol.extensions
        await told.publish_until_behind(side, text=noise)
        await told.publish(300, side, text=noise)
        assert told.most <= CHUNK + 2 * FRAME
        assert await told.read(listener) == [*range(told.sent)]


async def test_who_is_behind_over_tls_misses_nothing(trusting):
    async with story(protocol="wss, self_signed: true") as told, told.listen(tls=trusting) as (listener, side):
        await told.publish_until_behind(side)
        await told.publish(300, side)
        assert await told.read(listener) == [*range(told.sent)]


@pytest.mark.parametrize("subprotocol", ["", "signalpost.v1"], ids=["plain", "v1"])
async def test_who_falls_out_of_the_history_is_told_where_and_goes_on_with_the_oldest(subprotocol):
    async with story(keep=40) as told, told.listen(subprotocol=subprotocol) as (listener, side):
        await told.publish_until_behind(side)
        await told.publish(100, side)
        read = await told.read(listener)
        gaps = [each for each in read if isinstance(each, dict)]
        numbers = [each for each in read if not isinstance(each, dict)]
        left = next(number for number in range(told.sent) if number not in numbers)
        right = told.sent - 40
        assert numbers == [*range(left), *range(right, told.sent)]
        assert 0 < left < right
        if subprotocol:
            stream = told.app.server.node.memory.streams.find("/r")
            assert gaps == [{"gap": {"path": "/r", "at": str(stream.position(right)), "why": "slow"}}]
            assert read.index(gaps[0]) == left
        else:
            assert not gaps


async def test_a_large_value_for_the_client_alone_and_values_to_its_path_in_one_turn_are_all_read():
    async with story() as told, told.listen() as (listener, side), told.app.connect("/o") as other:
        await other.send(side.id)
        assert await other.receive() == "done"
        assert side.waiting > 0, "its socket has taken everything: this shows nothing"
        told.sent = 3
        await told.publish(3, side)
        assert await told.read(listener) == ["B" * 200_000, *range(6)]


async def test_values_to_everyone_overtake_those_of_the_path_and_none_of_either_is_missing():
    async with story() as told, told.listen() as (listener, side):
        await told.publish_until_behind(side)
        for number in range(50):
            told.app.server.node.broadcaster(f"to everyone {number}")
            await told.publish(2, side)
        read = await told.read(listener)
        assert [each for each in read if isinstance(each, int)] == [*range(told.sent)]
        aside = [each for each in read if isinstance(each, str)]
        assert aside == [f"to everyone {number}" for number in range(50)]
        assert read.index(aside[-1]) < read.index(told.sent - 1)


async def test_a_flood_to_everyone_leaves_its_oldest_out_and_nothing_of_the_path():
    async with story() as told, told.listen() as (listener, side):
        await told.publish_until_behind(side)
        for number in range(300):
            told.app.server.node.broadcaster(f"to everyone {number} ".ljust(SIZE, "-"))
        await told.publish(2, side)
        read = await told.read(listener)
        assert [each for each in read if isinstance(each, int)] == [*range(told.sent)]
        (lagged,) = (each["lagged"] for each in read if isinstance(each, dict))
        assert lagged["missed"] + sum(isinstance(each, str) for each in read) == 300


async def test_no_value_follows_the_close_frame_of_a_client_that_is_behind():
    loop = asyncio.get_running_loop()
    async with story() as told:
        with told.socket() as sock:
            port = told.app.server.endpoints[0].port
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, HANDSHAKE.format(port=port).encode())
            data = b""
            while b"\r\n\r\n" not in data:
                data += await loop.sock_recv(sock, 4_096)
            data = data.partition(b"\r\n\r\n")[2]
            (side,) = told.app.server.node.hub.clients.values()
            told.narrow(side)
            await told.publish_until_behind(side)
            side.close(4009, "enough")
            await told.publish(20, side)
            await loop.sock_sendall(sock, CLOSE)
            while more := await loop.sock_recv(sock, 65_536):
                data += more
        *before, (opcode, payload) = frames(data)
        assert (opcode, payload[2:]) == (8, b"enough")
        assert {opcode for opcode, _ in before} == {1}
        values = [int(orjson.loads(payload)["signal"]["value"].split()[0]) for _, payload in before[1:]]
        assert values == [*range(len(values))]
        assert len(values) < told.sent - 20


def frames(data):
    """Give the frames of a server's bytes, each with its opcode; nothing is left over."""
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 10
        assert len(data) >= start + size
        yield data[0] & 15, data[start : start + size]
        data = data[start + size :]


async def test_who_was_closed_while_behind_reads_the_rest_when_it_is_back():
    async with story(keep=500) as told, told.listen() as (listener, side):
        await told.publish_until_behind(side)
        side.close(4008, "")
        welcome = orjson.loads(await listener.recv())["welcome"]
        at, read = welcome["at"], []
        with contextlib.suppress(ConnectionClosed):
            while True:
                body = orjson.loads(await listener.recv())["signal"]
                at = body["at"]
                read.append(int(body["value"].split()[0]))
        offered = ["signalpost.v1", f"signalpost.session.{welcome['session']}"]
        async with told.app.connect(f"/r?at={at}", subprotocols=offered) as client:
            again = (await client.receive_json())["welcome"]
            assert (again["session"], again["recovered"]) == (welcome["session"], True)
            assert again["missed"] == told.sent - len(read)
            while len(read) < told.sent:
                read.append(int((await client.receive_json())["signal"]["value"].split()[0]))
        assert read == [*range(told.sent)]


async def test_who_is_behind_when_its_path_loses_its_history_is_told():
    async with story() as told, told.listen() as (listener, side):
        await told.publish_until_behind(side)
        await told.publish(50, side)
        text = (told.app.folder / "routes.yaml").read_text()
        await told.app.reload(text.replace(f", history: {MOST}, slow: {{policy: catch_up}}", ""))
        await told.publish(1, side)
        read = await told.read(listener)
        (gap,) = (number for number, each in enumerate(read) if isinstance(each, dict))
        assert read[:gap] == [*range(gap)]
        assert read[gap] == {"gap": {"path": "/r", "at": None, "why": "lost"}}
        assert read[gap + 1 :] == [told.sent - 1]
