"""Feeds from real WebSocket servers, with time and chance in the hands of the test."""

import asyncio
import logging
import re
import socket
import tempfile
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import serve as serve_sockets

from signalpost.feeds.pace import Pace
from signalpost.node import NO_SEAMS
from signalpost.server import Server
from signalpost.testing import App, load_app

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"


_FOLDER = re.compile(r"[^ (]*/signalpost-\w+/")  # of an app, in a line of the log


class Elsewhere:
    """A WebSocket server whose connections the test speaks for.

    Attributes:
        connections: that have been opened, in order.
        requests: of all handshakes, refused ones included.
        refusals: an answer for each of the next handshakes: a status, and headers.
    """

    def __init__(self, port=0, **options):
        self.connections = asyncio.Queue()
        self.requests = []
        self.refusals = []
        self.port = port
        self._options = options
        self._server = None

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    async def open(self):
        self._server = await serve_sockets(
            self._hold, "127.0.0.1", self.port, process_request=self._judge, **self._options
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self):
        self._server.close()
        await self._server.wait_closed()

    async def accept(self):
        """Wait for the next connection."""
        return await self.connections.get()

    def _judge(self, connection, request):
        self.requests.append(request)
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        answer = connection.respond(HTTPStatus(status), "")
        answer.headers.update(headers)
        return answer

    async def _hold(self, connection):
        self.connections.put_nowait(connection)
        await connection.wait_closed()


@pytest.fixture
async def elsewhere():
    server = Elsewhere()
    await server.open()
    yield server
    await server.close()


@pytest.fixture
async def another():
    """Open further servers: ``await another(subprotocols=["mqtt"])``."""
    opened = []

    async def make(**options):
        server = Elsewhere(**options)
        await server.open()
        opened.append(server)
        return server

    yield make
    for server in opened:
        await server.close()


@pytest.fixture
def free_port():
    """Give a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Time:
    """The pace of feeds: waits last until the test lets them end, and the clock stands until the test moves it.

    Attributes:
        now: seconds of the steady clock.
        wall: the time of day.
        chance: what the next draws are.
    """

    def __init__(self):
        self.now = 0.0
        self.wall = datetime(2030, 1, 1, tzinfo=UTC)
        self.chance = 0.0
        self._waits = asyncio.Queue()

    @property
    def pace(self):
        return Pace(self._wait, lambda: self.now, lambda: self.wall, lambda: self.chance)

    async def _wait(self, seconds):
        over = asyncio.get_running_loop().create_future()
        self._waits.put_nowait((seconds, over))
        await over

    async def skip(self):
        """Let the next wait end, as soon as there is one; return how long it was to be."""
        seconds, over = await self._waits.get()
        over.set_result(None)
        return seconds

    async def waited(self):
        """Return how long the next wait is to be, and leave it waiting until `let_go`."""
        seconds, self._over = await self._waits.get()
        return seconds

    def let_go(self):
        self._over.set_result(None)


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def run_app(time):
    """Run an app with one WebSocket endpoint, whose feeds have the test's time: ``run_app(yaml, plugins={…})``."""

    @asynccontextmanager
    async def run(text, folder=None, plugins=None, seams=NO_SEAMS):
        with tempfile.TemporaryDirectory(prefix="signalpost-") as temporary:
            home = folder or Path(temporary)
            server = Server(load_app(LIVE + text, home, plugins), seams=seams, pace=time.pace)
            await server.start()
            try:
                yield App(server, home)
            finally:
                await server.stop()
                server.plan.registry.unload()

    return run


@pytest.fixture
def told(caplog):
    """Give the log of feeds, each line as ``WARNING feed …``, at every level."""
    caplog.set_level(logging.DEBUG)
    return lambda: [
        f"{record.levelname} {_FOLDER.sub('', record.getMessage())}"
        for record in caplog.records
        if record.name == "signalpost.feeds.link"
    ]
