"""Signals over plain HTTP on real servers: event streams and POSTs by bare sockets, so that each byte is seen."""

import asyncio
import contextlib
from textwrap import dedent
from types import SimpleNamespace

import orjson
import pytest

from signalpost.testing import serve

WEB = "{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}"
LIVE = "{name: live, address: 127.0.0.1, port: 0, protocol: ws}"
ACCEPT = "Accept: text/event-stream"
END = b"\r\n\r\n"


@pytest.fixture
def sse():
    """Serve signals, given as YAML, by plain HTTP alone."""
    return lambda signals, **options: serve(f"endpoints: [{WEB}]\n{dedent(signals)}", **options)


@pytest.fixture
def both():
    """Serve them by plain HTTP at the endpoint web, and as WebSockets at live."""
    return lambda signals, **options: serve(f"endpoints: [{WEB}, {LIVE}]\n{dedent(signals)}", **options)


class Answer:
    """A response; the head of an event stream, too.

    Attributes:
        head: as it came.
        headers: by lower-case name; several of one name are a list joined by commas.

    """

    def __init__(self, head, body=b""):
        self.head = head
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            known = self.headers.get(name.lower())
            self.headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
        self.body = body

    @property
    def json(self):
        return orjson.loads(self.body)


class Connection:
    """A bare connection to the server, for one request after the other."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self):
        return Answer(await self.reader.readuntil(END))

    async def answer(self, *, body=True):
        """Read a response; `body` says whether it may have one."""
        answer = await self.head()
        if not body or answer.status in (204, 304):
            return answer
        if "content-length" in answer.headers:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        elif answer.headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                answer.body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        else:
            answer.body = await self.reader.read()
        return answer

    async def ended(self):
        """Read to the end; return what came."""
        return await self.reader.read()

    def close(self):
        self.writer.close()

    def reset(self):
        self.writer.transport.abort()


class Stream:
    """An event stream, as a strict reader of it sees it.

    Attributes:
        answer: its head.
        wire: all bytes of its body that have come.
        client: at the server.

    """

    def __init__(self, connection, answer, parser, server):
        self.connection = connection
        self.answer = answer
        self.parser = parser
        self.wire = b""
        self._server = server
        self._events = []

    @property
    def id(self):
        return self.answer.headers["x-signalpost-client-id"]

    @property
    def client(self):
        return self._server.node.hub.clients[self.id]

    async def more(self):
        """Read what comes next; return False at the end."""
        data = await self.connection.reader.read(65_536)
        self.wire += data
        self._events += self.parser.feed(data)
        return bool(data)

    async def event(self):
        """Return the next event: its name, its data and the last id there was."""
        while not self._events:
            assert await self.more(), f"the stream has ended with {self.wire!r}"
        return self._events.pop(0)

    async def data(self):
        """Return the data of the next event, which is a plain message."""
        name, data, _ = await self.event()
        assert name == "message", (name, data)
        return data

    async def object(self):
        """Return the next object of v1."""
        return orjson.loads(await self.data())

    async def until(self, mark):
        """Return the data of all events before the one whose data is a mark."""
        found = []
        while (event := await self.event())[1] != mark:
            found.append(event[1])
        return found

    async def rest(self):
        """Read to the end; return all events on the way."""
        while await self.more():
            pass
        events, self._events = self._events, []
        return events

    def close(self):
        self.connection.close()


def _lines(*headers):
    return "".join(f"{line}\r\n" for line in headers if line)


def _request(method, path, headers=(), body=None, *, host="localhost", version="1.1"):
    length = () if body is None else (f"Content-Length: {len(body)}",)
    head = f"{method} {path} HTTP/{version}\r\n{_lines(f'Host: {host}', *headers, *length)}\r\n"
    return head.encode("latin-1") + (body or b"")


@pytest.fixture
async def plain(make_event_parser):
    """Speak plain HTTP: ``stream``, ``post``, ``ask``, ``connect``, ``request``; all connections end with the test."""
    opened = []

    async def connect(app, endpoint="web", **options):
        port = next(each.port for each in app.server.endpoints if each.name == endpoint)
        where = () if "sock" in options else ("127.0.0.1", port)
        connection = Connection(*await asyncio.open_connection(*where, **options))
        opened.append(connection)
        return connection

    async def stream(app, path, *headers, endpoint="web", accept=ACCEPT, **options):
        connection = await connect(app, endpoint, **options)
        await connection.send(_request("GET", path, (accept, *headers)))
        answer = await connection.head()
        if answer.status != 200:
            answer.body = await connection.reader.readexactly(int(answer.headers["content-length"]))
            raise AssertionError(f"{answer.head!r} {answer.body!r}")
        return Stream(connection, answer, make_event_parser(), app.server)

    async def ask(app, method, path, *headers, body=None, endpoint="web", host="localhost", **options):
        connection = await connect(app, endpoint, **options)
        await connection.send(_request(method, path, headers, body, host=host))
        answer = await connection.answer(body=method != "HEAD")
        connection.close()
        return answer

    async def post(app, path, message=None, /, *headers, raw=None, session="", **keys):
        body = orjson.dumps({"message": message, **keys}) if raw is None else raw
        named = (f"Signalpost-Session: {session}",) if session else ()
        return await ask(app, "POST", path, *named, *headers, body=body)

    yield SimpleNamespace(connect=connect, stream=stream, ask=ask, post=post, request=_request, accept=ACCEPT)
    for connection in opened:
        connection.close()
    for connection in opened:
        with contextlib.suppress(OSError):
            await connection.writer.wait_closed()


@pytest.fixture
def settled():
    """Return once the server knows nobody any more, and no connection ends."""

    async def settled(app, others=0):
        hub = app.server.node.hub
        while len(hub.clients) > others or hub.closing:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.001)

    return settled
