"""The Python client behind a network that breaks again and again: nothing is lost, twice, or out of order."""

import asyncio
from contextlib import asynccontextmanager, suppress
from random import Random
from types import SimpleNamespace

import pytest

from signalpost.testing import serve

VALUES = 300
APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    signals: [{path: /rooms/blue, rebroadcast: path, history: 1000}]
"""


class HastyClock:
    """A clock whose seconds are hundredths of seconds."""

    def now(self):
        return asyncio.get_running_loop().time() * 100

    def call_later(self, seconds, callback):
        return asyncio.get_running_loop().call_later(seconds / 100, callback).cancel


@asynccontextmanager
async def breaking_network(url, random):
    """Give the address of a proxy that aborts each connection after some bytes, and a list of how often it did."""
    host, port = url.removeprefix("ws://").split(":")
    broken, tasks = [], set()

    async def pass_on(reader, writer, allowance):
        while part := await reader.read(500):
            allowance[0] -= len(part)
            if allowance[0] < 0:
                broken.append(1)
                writer.transport.abort()
                return
            writer.write(part)
            await writer.drain()

    async def connected(reader, writer):
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
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
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", broken
        for each in tasks:
            each.cancel()


@pytest.mark.parametrize("seed", range(3))
async def test_each_value_is_read_once_and_each_message_done_once(room_of, seed):
    random = Random(seed)
    async with serve(APP) as app, breaking_network(app.url(), random) as (url, broken):
        options = {"clock": HastyClock(), "open_timeout": None, "random": SimpleNamespace(random=lambda: 0.0)}
        reader = room_of(url + "/rooms/blue", **options)
        writer = room_of(url + "/rooms/blue", unread=0, **options)
        gaps = []
        reader.on("gap", gaps.append)
        async with reader, writer:

            async def write():
                for number in range(VALUES):
                    await writer.ask({"message": number}, timeout=None)

            writing = asyncio.ensure_future(write())
            read = []
            async for signal in reader:
                read.append(signal.value)
                if signal.value == VALUES - 1:
                    break
            await writing
        assert read == list(range(VALUES))
        assert gaps == []
        assert len(broken) > 10
