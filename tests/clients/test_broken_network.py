"""Behind a network that breaks again and again nothing is lost, twice, or out of order, whichever way is taken."""

import asyncio
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from signalpost.testing import serve

pytestmark = pytest.mark.slow

VALUES = 200
SIGNALS = "signals: [{path: /rooms/blue, rebroadcast: path, history: 1000}]\n"
SOCKETS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["http://page.test"]}]
"""
EVENTS = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]
"""


@asynccontextmanager
async def breaking_network(port, random):
    """Give the port of a proxy that aborts each connection after some bytes, and a list of how often it did."""
    broken, tasks = [], set()

    async def pass_on(reader, writer, allowance):
        while part := await reader.read(500):
            allowance[0] -= len(part)
            if allowance[0] < 0:
                broken.append(1)
                return
            writer.write(part)
            await writer.drain()

    async def connected(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        allowance = [random.randrange(600, 6000)]  # of both directions
        ways = [pass_on(reader, there_writer, allowance), pass_on(there_reader, writer, allowance)]
        running = [asyncio.ensure_future(way) for way in ways]
        tasks.update(running)
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for each in (writer, there_writer):
            each.transport.abort()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], broken
        for each in tasks:
            each.cancel()


@asynccontextmanager
async def hasty(driver):
    """Let the clock of a driver run ten times as fast as it should."""
    await driver.clock(random=0.0)

    async def run():
        while True:
            await driver.advance(seconds=0.1)
            await asyncio.sleep(0.01)

    running = asyncio.ensure_future(run())
    yield
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


# The driver `chromium` has pages that need no leave to read what another origin answers, and so say none.
@pytest.mark.parametrize(
    ("kind", "endpoints"),
    [
        pytest.param("node", SOCKETS, id="node-websockets"),
        pytest.param("node", EVENTS, id="node-events"),
        pytest.param("python", SOCKETS, id="python-websockets"),
        pytest.param("python", EVENTS, id="python-events"),
        pytest.param("chromium", SOCKETS, id="chromium-websockets", marks=pytest.mark.browser),
    ],
)
async def test_each_value_is_read_once_and_each_message_done_once(make_driver, kind, endpoints):
    driver = await make_driver(kind)
    async with (
        serve(endpoints + SIGNALS) as app,
        breaking_network(int(app.url().rpartition(":")[2]), Random(1)) as (port, broken),
        hasty(driver),
    ):
        for room in ("reader", "writer"):
            await driver.open(room, url=f"ws://127.0.0.1:{port}", path="/rooms/blue")
            await driver.next("welcome", room)
        for number in range(VALUES):
            async with asyncio.timeout(60):
                answer = await driver.begin("ask", "writer", message={"message": number}, timeout=10_000)
            assert answer["kind"] == "ack"
        await driver.next("signal", "reader", value=VALUES - 1)
        assert [each["value"] for each in driver.events("signal", room="reader")] == list(range(VALUES))
        assert driver.events("gap", room="reader") == []
        assert len(broken) > 10
        for room in ("reader", "writer"):
            await driver.close(room)
