"""A server that does what a test says, step by step, and a clock that only a test moves."""

import asyncio
import json
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import unquote

import pytest
from websockets.asyncio.server import serve

from signalpost.client.address import parse_address
from signalpost.client.room import Room
from signalpost.client.settings import Settings

WITHIN = 20


class Visit:
    """One connection of a client, from the side of the server."""

    def __init__(self, socket):
        self.socket = socket
        self.over = asyncio.Event()
        path, _, query = socket.request.path.partition("?")
        self.path, self.query = path, query
        self.at = next((unquote(part[3:]) for part in query.split("&") if part.startswith("at=")), None)
        offered = socket.request.headers.get("Sec-WebSocket-Protocol", "")
        self.offered = [each.strip() for each in offered.split(",")]

    def one_offered(self, prefix):
        """Return what was offered with a prefix; None for nothing."""
        return next((each.removeprefix(prefix) for each in self.offered if each.startswith(prefix)), None)

    async def say(self, *documents):
        for document in documents:
            await self.socket.send(document if isinstance(document, str | bytes) else json.dumps(document))

    async def welcome(self, session="s1", path="/room", **more):
        await self.say({"welcome": {"clientId": "c1", "path": path, "session": session, **more}})

    async def hear(self):
        return json.loads(await asyncio.wait_for(self.socket.recv(), WITHIN))

    async def hear_raw(self):
        return await asyncio.wait_for(self.socket.recv(), WITHIN)

    async def close(self, code=1012, reason=""):
        await self.socket.close(code, reason)
        self.over.set()

    async def breaks(self):
        """End the connection without a word."""
        self.socket.transport.abort()
        self.over.set()


class Script:
    """A server whose connections wait for what the test does with them."""

    def __init__(self):
        self._visits = asyncio.Queue()
        self._all = []
        self.url = ""

    async def handle(self, socket):
        visit = Visit(socket)
        self._all.append(visit)
        self._visits.put_nowait(visit)
        await visit.over.wait()

    async def visit(self):
        """Return the next connection."""
        return await asyncio.wait_for(self._visits.get(), WITHIN)

    def end(self):
        for visit in self._all:
            visit.over.set()


@asynccontextmanager
async def _script(**options):
    made = Script()
    options = {"subprotocols": ["signalpost.v1"], "ping_interval": None, **options}
    async with serve(made.handle, "127.0.0.1", 0, **options) as server:
        made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield made
        finally:
            made.end()


class HandClock:
    """A clock that only `advance` moves."""

    def __init__(self):
        self.time = 1000.0
        self._timers = []
        self._changed = asyncio.Event()

    def now(self):
        return self.time

    def call_later(self, seconds, callback):
        timer = [self.time + seconds, callback, seconds]
        self._timers.append(timer)
        self._changed.set()
        return lambda: timer in self._timers and self._timers.remove(timer)

    def advance(self, seconds):
        """Move the clock, and call what is due, the earliest first."""
        self.time += seconds
        for timer in sorted((each for each in self._timers if each[0] <= self.time), key=lambda each: each[0]):
            if timer in self._timers:
                self._timers.remove(timer)
                timer[1]()

    async def timer(self, but=()):
        """Wait until something waits for this clock, not for so many seconds; return for how many."""
        async with asyncio.timeout(WITHIN):
            while not (found := [each[2] for each in self._timers if each[2] not in but]):
                self._changed.clear()
                await self._changed.wait()
        return found[0]


def _room_of(url, *, clock=None, **settings):
    """Return a room to enter, whose waits are of a clock of the test's."""
    seams = {} if clock is None else {"clock": clock}
    settings = {"events": False, "random": Random(7), **settings}
    return Room(Settings(address=parse_address(url), **seams, **settings))


class States:
    """The states of a room, to be waited for."""

    def __init__(self, room):
        self._queue = asyncio.Queue()
        room.on("state", self._queue.put_nowait)

    async def until(self, name):
        async with asyncio.timeout(WITHIN):
            while (state := await self._queue.get()).name != name:
                pass
        return state


@asynccontextmanager
async def _connected(server, url="/room", *, welcome=None, **settings):
    room = _room_of(server.url + url, **settings)
    entering = asyncio.ensure_future(room.__aenter__())
    visit = await server.visit()
    await visit.welcome(**(welcome or {}))
    await entering
    try:
        yield room, visit
    finally:
        await room.close()


@pytest.fixture
def script():
    """Serve a `Script`; its options are those of `websockets`."""
    return _script


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def room_of():
    return _room_of


@pytest.fixture
def states_of():
    return States


@pytest.fixture
def connected():
    """Give a room, entered, and the server's side of its connection."""
    return _connected


class Request:
    """A request by plain HTTP, from the side of the server."""

    def __init__(self, method, target, headers, body, writer):
        self.method, self.headers, self.body = method, headers, body
        self.path, _, self.query = target.partition("?")
        self._writer = writer
        self.over = asyncio.Event()

    @property
    def json(self):
        return json.loads(self.body)

    async def answer(self, status, document, **headers):
        body = json.dumps(document).encode()
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        self.over.set()

    async def stream(self, *documents):
        """Begin a stream of events, and send some."""
        await self.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 2000\n\n"
        )
        await self.say(*documents)

    async def say(self, *documents):
        for document in documents:
            await self.write(f"data: {json.dumps(document)}\n\n".encode())

    async def write(self, data):
        self._writer.write(data)
        await self._writer.drain()

    async def breaks(self):
        self._writer.transport.abort()
        self.over.set()


class EventScript:
    """A server of plain HTTP whose requests wait for what the test does with them.

    Attributes:
        sse: what it says of where event streams are, unless `tells` is false.
    """

    def __init__(self):
        self.url = ""
        self.tells, self.sse = True, {"sse": None}
        self._requests = {"websocket": asyncio.Queue(), "GET": asyncio.Queue(), "POST": asyncio.Queue()}
        self._all = []

    async def handle(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        method, target, _ = first.split()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, target, headers, body, writer)
        self._all.append(request)
        if request.path == "/.well-known/signalpost":
            await request.answer(200 if self.tells else 404, {"url": None, "endpoints": {}, **self.sse})
        elif "upgrade" in headers:
            self._requests["websocket"].put_nowait(request)
            await request.answer(502, {})
        else:
            self._requests[method].put_nowait(request)
            await request.over.wait()
        writer.close()

    async def _next(self, kind):
        return await asyncio.wait_for(self._requests[kind].get(), WITHIN)

    async def websocket(self):
        """Return the next try of a WebSocket, which has failed."""
        return await self._next("websocket")

    async def reader(self):
        """Return the next request for a stream."""
        return await self._next("GET")

    async def post(self):
        """Return the next message."""
        return await self._next("POST")

    def end(self):
        for request in self._all:
            request.over.set()


@asynccontextmanager
async def _event_script():
    made = EventScript()
    async with await asyncio.start_server(made.handle, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/room"
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def event_script():
    return _event_script


@pytest.fixture
def by_events(clock, room_of, states_of):
    """Give a room that has come to a server of plain HTTP, its states, and its stream."""

    @asynccontextmanager
    async def connected(server, **settings):
        room = room_of(server.url, clock=clock, events=True, open_timeout=None, **settings)
        states = states_of(room)
        entering = asyncio.ensure_future(room.__aenter__())
        for _ in range(2):
            await server.websocket()
            clock.advance((await states.until("waiting")).seconds)
        reader = await server.reader()
        await reader.stream({"welcome": {"clientId": "c1", "path": "/room", "session": "s1", "at": "e:1:a"}})
        await entering
        try:
            yield room, states, reader
        finally:
            await room.close()

    return connected
