"""Three of seven clients stop reading: the others get everything, the three are dropped, and memory stays bounded.

Nothing is timed: the sender goes on when the clients that read have got what it sent.
"""

import asyncio
import contextlib
import socket

import pytest
from websockets.asyncio.client import connect

from signalpost.delivery.outbox import CHUNK
from signalpost.testing import serve
from signalpost.units import MEBIBYTE

READING, STALLED = 4, 3
MESSAGE = 8_192
AT_ONCE = 16  # messages under way
MOST = 4_000  # 32 MB for each client: more than the kernel and an outbox hold

PLUGIN = """
    from signalpost import hookimpl

    @hookimpl
    def startup(context):
        global broadcast
        broadcast = context.broadcast

    @hookimpl
    def client_disconnected(client, code):
        broadcast([client.id, code], path="/log")
"""
TLS_BUFFER = 512 * 1024
"""What uvloop's TLS keeps at most before it says that it is enough."""


def app_of(protocol):
    tls = ", self_signed: true" if protocol == "wss" else ""
    return f"""
        endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: {protocol}{tls}}}]
        signals: [{{path: /feed, rebroadcast: path}}]
    """


class Stalled:
    """A client that opens a WebSocket and then reads nothing more."""

    def __init__(self, writer, client_id):
        self._writer = writer
        self.id = client_id

    @classmethod
    async def open(cls, app, stack, tls):
        endpoint = app.server.endpoints[0]
        sock = stack.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", endpoint.port))
        options = {"ssl": tls, "server_hostname": "localhost"} if tls else {}
        reader, writer = await asyncio.open_connection(sock=sock, limit=4_096, **options)
        writer.write(
            b"GET /feed HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.transport.pause_reading()
        fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        stalled = cls(writer, fields["X-Signalpost-Client-Id"])
        stack.push_async_callback(stalled.close)
        return stalled

    async def close(self):
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@pytest.mark.parametrize("protocol", ["ws", "wss"])
async def test_clients_that_never_read_are_dropped_and_nobody_else_notices(protocol, trusting):
    tls = trusting if protocol == "wss" else None
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(serve(app_of(protocol), plugins={"log": PLUGIN}))
        options = {"proxy": None, "compression": None, "max_size": None, "ssl": tls}
        feed = app.url() + "/feed"
        log = await stack.enter_async_context(app.connect("/log", ssl=tls))
        readers = [await stack.enter_async_context(connect(feed, **options)) for _ in range(READING)]
        stalled = [await Stalled.open(app, stack, tls) for _ in range(STALLED)]
        hub = app.server.node.hub
        mine = {each.id for each in stalled}
        outboxes = [client for client in hub.clients.values() if client.id in mine]
        others = [client for client in hub.clients.values() if client.id not in mine]
        bound = MEBIBYTE + (TLS_BUFFER if tls else 0) + CHUNK + MESSAGE
        dropped, worst = {}, 0

        async def watch():
            while len(dropped) < STALLED:
                client_id, code = await log.receive_json()
                dropped[client_id] = code

        watching = asyncio.ensure_future(watch())
        sent = 0
        while not watching.done():
            assert sent < MOST, "the stalled clients were never dropped"
            texts = [f"{number} ".ljust(MESSAGE, "-") for number in range(sent, sent + AT_ONCE)]
            for text in texts:
                await readers[0].send(f'{{"message":"{text}"}}')
            for reader in readers:
                for text in texts:
                    assert await reader.recv() == text
            sent += AT_ONCE
            waiting = [client.waiting for client in outboxes]
            worst = max(worst, *waiting)
            assert max(waiting) <= bound
            assert all(client.waiting <= AT_ONCE * 2 * MESSAGE for client in others)

        await watching
        assert dropped == dict.fromkeys(mine, 4008)
        assert worst > MEBIBYTE // 2  # the outboxes did fill
        assert app.server.clients == READING + 1
        assert not hub.closing
        assert [client.waiting for client in outboxes] == [0] * STALLED
        await readers[0].send('{"message": "still here"}')
        assert [await reader.recv() for reader in readers] == ["still here"] * READING
