"""Drivers of the client libraries, as fixtures, and servers that do what a test tells them."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import serve as serve_sockets

sys.path.insert(0, str(Path(__file__).parent))

import drivers

from signalpost.testing import serve

# Where pages of the driver `chromium` come from.
ENDPOINTS = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: PORT, protocol: ws, origins: ["http://page.test"]}
  - {name: web, address: 127.0.0.1, port: PORT, protocol: http, origins: ["http://page.test"]}
"""


@pytest.fixture(scope="session")
def chromium():
    """Return the process of the driver `chromium`, which stays for all tests."""
    process = drivers.Process(drivers.CHROMIUM)
    yield process
    process.close()


@pytest.fixture
async def make_driver(request):
    """Return a function that begins a driver by its name."""
    begun = []

    async def make(name, **options):
        if reason := drivers.missing(name):
            drivers.must_not_be_missing(reason, pytest.skip, pytest.fail)
        if name == "chromium":
            driver = drivers.Driver(name, request.getfixturevalue("chromium"))
            await driver.fresh(**options)
            driver.log.clear()  # of what the last test left open
            return driver
        begun.append(drivers.Process(drivers.NODE if name == "node" else drivers.PYTHON))
        return drivers.Driver(name, begun[-1])

    yield make
    for process in begun:
        process.close()


CHROMIUM = pytest.param("chromium", marks=[pytest.mark.browser, pytest.mark.slow])


@pytest.fixture(params=["node", "python", CHROMIUM])
async def driver(request, make_driver):
    """Return each driver in turn."""
    return await make_driver(request.param)


@pytest.fixture(params=["node", CHROMIUM])
async def script(request, make_driver):
    """Return each driver of the JavaScript client in turn."""
    return await make_driver(request.param)


@pytest.fixture
async def page(make_driver):
    """Return the driver of the browser."""
    return await make_driver("chromium")


@pytest.fixture
def app() -> Callable[..., Any]:
    """Serve signals, given as YAML, to clients of all kinds."""
    return lambda signals, port=0, **options: serve(ENDPOINTS.replace("PORT", str(port)) + signals, **options)


class Socket:
    """A connection of a client, at a server that does what the test says.

    Attributes:
        query: of the address, as text.
        session, bearer: that the client brought.

    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.query = connection.request.path.partition("?")[2]
        offered = [each.strip() for each in connection.request.headers["Sec-WebSocket-Protocol"].split(",")]
        self.protocols = offered
        self.session = self._brought("signalpost.session.")
        self.bearer = self._brought("signalpost.bearer.")

    def _brought(self, prefix: str) -> str | None:
        return next((each.removeprefix(prefix) for each in self.protocols if each.startswith(prefix)), None)

    async def say(self, **frame: Any) -> None:
        """Send an object."""
        await self._connection.send(json.dumps(frame))

    async def welcome(self, **more: Any) -> None:
        """Send a welcome."""
        await self.say(welcome={"clientId": "c", "path": "/p", "session": "s", **more})

    async def read(self) -> Any:
        """Return the next message of the client, None for the empty text."""
        async with asyncio.timeout(drivers.PATIENCE):
            text = await self._connection.recv()
        return json.loads(text) if text else None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a code."""
        await self._connection.close(code, reason)

    async def ended(self) -> None:
        """Wait until the client has ended it."""
        async with asyncio.timeout(drivers.PATIENCE):
            await self._connection.wait_closed()

    async def drop(self) -> None:
        """End without a word."""
        self._connection.transport.abort()


@pytest.fixture
async def scripted() -> AsyncIterator[Any]:
    """A server of WebSockets whose connections the test answers: ``await scripted.accept()`` is the next one."""
    arrived: asyncio.Queue[Socket] = asyncio.Queue()

    async def connected(connection: Any) -> None:
        arrived.put_nowait(Socket(connection))
        await connection.wait_closed()

    async def accept() -> Socket:
        async with asyncio.timeout(drivers.PATIENCE):
            return await arrived.get()

    async with serve_sockets(connected, "127.0.0.1", 0, subprotocols=["signalpost.v1"], ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield SimpleNamespace(url=f"ws://127.0.0.1:{port}", port=port, accept=accept, arrived=arrived)


class Request:
    """A request at a server that speaks HTTP as the test says.

    Attributes:
        method, path, query: of its first line.
        headers: by name in lower case.
        body: read as JSON, None without one.

    """

    def __init__(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.split("\r\n")
        self.method, target, _ = first.split(" ")
        self.path, _, self.query = target.partition("?")
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        self.body = json.loads(body) if body else None
        self._writer = writer

    async def answer(self, status: int, body: Any = None, **headers: str) -> None:
        """Answer, and end the connection."""
        content = b"" if body is None else json.dumps(body).encode()
        await self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers})
        self._writer.write(content)
        await self.end()

    async def stream(self) -> None:
        """Begin an event stream."""
        await self._head(200, {"Content-Type": "text/event-stream"})

    async def send(self, text: str) -> None:
        """Send a piece of the stream."""
        self._writer.write(text.encode())
        await self._writer.drain()

    async def event(self, **frame: Any) -> None:
        """Send an object as an event."""
        await self.send(f"data: {json.dumps(frame)}\n\n")

    async def end(self) -> None:
        """End the answer."""
        with contextlib.suppress(OSError):
            self._writer.close()
            await self._writer.wait_closed()

    async def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", "Connection: close", "Access-Control-Allow-Origin: *"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()


@pytest.fixture
async def web() -> AsyncIterator[Any]:
    """A server of HTTP, which takes no WebSockets: ``await web.request("GET")`` is the next one of that method.

    ``web.refused`` counts the WebSockets that were refused.
    """
    queues: dict[str, asyncio.Queue[Request]] = {"GET": asyncio.Queue(), "POST": asyncio.Queue()}
    server_side = SimpleNamespace(refused=0, known={"url": None, "sse": None})
    open_ones = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        if not server.is_serving():  # accepted as the test ended
            writer.close()
            return
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((line.split(":")[1] for line in head.lower().split("\r\n") if "content-length" in line), "0")
            request = Request(head.removesuffix("\r\n\r\n"), await reader.readexactly(int(length)), writer)
            if "upgrade" in request.headers:
                server_side.refused += 1
                await request.answer(404)
            elif request.path == "/.well-known/signalpost":
                await request.answer(*((200, server_side.known) if server_side.known else (404, None)))
            elif request.method == "OPTIONS":
                await request.answer(204, Access_Control_Allow_Headers="*")
            else:
                queues[request.method].put_nowait(request)

    async def request(method: str) -> Request:
        async with asyncio.timeout(drivers.PATIENCE):
            return await queues[method].get()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    server_side.port = server.sockets[0].getsockname()[1]
    server_side.url = f"http://127.0.0.1:{server_side.port}"
    server_side.request = request
    server_side.waiting = lambda method: [queues[method].get_nowait() for _ in range(queues[method].qsize())]
    yield server_side
    server.close()
    await asyncio.sleep(0)  # what has been accepted is taken
    for writer in open_ones:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in open_ones), return_exceptions=True)
