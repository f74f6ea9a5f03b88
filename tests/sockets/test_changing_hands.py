"""A connection that is lost in the very turn in which it goes to another protocol: TLS has chosen whom it tells."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import replace

import pytest

from signalpost.config.model import LimitsConfig, RateConfig
from signalpost.sockets.reload import ClientReload
from signalpost.sockets.upgrade import Upgrader
from signalpost.testing import serve

ENDPOINT = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}]\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
async def app():
    async with serve(ENDPOINT) as served:
        yield served


@pytest.fixture
def listener(app):
    return app.server._listeners[0]


async def until(condition):
    """Turn the loop until it is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is looked at tells nobody
            await asyncio.sleep(0)


async def end_of(transport):
    """Go on in the turn in which a transport hears of its end, before its protocol does."""
    await until(transport.is_closing)


@pytest.fixture
async def peer(app, trusting):
    """A connection of TLS that has said nothing."""
    port = int(app.url("live").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    yield reader, writer
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


def reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


@pytest.fixture(params=[reset, lambda writer: writer.close()], ids=["by a reset", "in order"])
def hang_up(request):
    return request.param


async def test_sanic_is_not_given_a_connection_whose_end_it_would_never_hear(listener, peer, hang_up):
    await until(lambda: listener._acceptor is not None and listener._acceptor.waiting)
    (acceptor,) = listener._acceptor.waiting
    hang_up(peer[1])
    await end_of(acceptor._transport)
    acceptor.hand_on()
    await asyncio.sleep(0)
    assert not listener._acceptor.waiting
    assert not listener._server.connections


async def test_nobody_becomes_a_client_whose_end_would_never_be_heard(app, listener, peer, hang_up, monkeypatch):
    _, writer = peer
    answered, answer = asyncio.Event(), Upgrader.answer

    async def answer_late(request):
        await end_of(request.transport)
        try:
            return answer(listener._upgrader, request)
        finally:
            answered.set()

    # Sanic waits for what a handler gives, if it is to be waited for.
    monkeypatch.setattr(Upgrader, "answer", lambda _, request: answer_late(request))
    writer.write(HANDSHAKE[:1])
    await until(lambda: any(connection.recv_buffer for connection in listener._server.connections))
    writer.write(HANDSHAKE[1:])
    await until(lambda: any(each.http and each.http.stage.name == "HANDLER" for each in listener._server.connections))
    hang_up(writer)
    async with asyncio.timeout(10):
        await answered.wait()
    await until(lambda: not listener._server.connections)
    assert not app.server.clients


async def test_a_reload_leaves_a_client_that_is_gone_to_who_hears_of_it(app, peer, hang_up):
    reader, writer = peer
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = app.server._sockets.connections
    hang_up(writer)
    await end_of(connection._transport)
    # What a reload does in the turn in which it puts the new plan in the place of the old one.
    node = app.server.node
    config = replace(app.server.plan.config, limits=LimitsConfig(rate=RateConfig(10)))
    node.generation = replace(node.generation, plan=replace(app.server.plan, config=config))
    ClientReload(app.server._sockets, {"live": app.server.endpoints[0]}).run()
    await until(lambda: not app.server._sockets.connections)
    assert not app.server.clients
