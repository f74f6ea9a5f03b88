"""What jobs broadcast, as it arrives at real sockets through the real hub (behaviours 27 and 28)."""

import asyncio
import socket

import pytest

from signalpost.config.model import EndpointConfig, Scheme
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.signals.broadcast import Broadcaster

ENDPOINT = EndpointConfig(("endpoints", 0), "live", "127.0.0.1", 8091, Scheme.WS)


@pytest.fixture
async def connect(world):
    """Connect a client on a path; what it was sent is read from the other end of its connection."""
    loop = asyncio.get_running_loop()
    hub = Hub(loop.call_soon)
    world.broadcast = Broadcaster(hub, hub.deliver)
    world.broadcast.canonical_path = lambda path: path
    opened = []

    async def connect_on(path):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        hub.add(Client(f"client-{len(opened)}", path, ENDPOINT, transport, hub, limit=1024))
        opened.append((transport, theirs))
        return theirs

    yield connect_on
    for transport, theirs in opened:
        transport.abort()
        theirs.close()


def received(theirs: socket.socket) -> bytes:
    theirs.setblocking(False)
    try:
        return theirs.recv(65536)
    except BlockingIOError:
        return b""


async def test_a_timers_broadcast_reaches_everyone_repeatedly(world, connect):
    first, second = await connect("/"), await connect("/news")
    runner = await world.live(16, world.timer(5, world.sending("tick")))
    await runner.stop()
    assert received(first) == received(second) == b"\x81\x04tick" * 3


async def test_a_schedules_broadcast_reaches_one_path(world, connect):
    first, second = await connect("/"), await connect("/news")
    runner = await world.live(90, world.schedule("* * * * *", then=world.sending({"hour": 0}, path="/news")))
    await runner.stop()
    assert received(first) == b""
    assert received(second) == b'\x81\x0a{"hour":0}'


async def test_a_handlers_broadcast_goes_to_everyone_unless_it_says_where(world, connect):
    async def tell(event):
        event.broadcast(event.run)
        event.broadcast("more", path="/news")

    first, second = await connect("/"), await connect("/news")
    runner = await world.live(6, world.timer(5, tell))
    await runner.stop()
    assert received(first) == b"\x81\x011"
    assert received(second) == b"\x81\x011\x81\x04more"
