"""Attacks by plain HTTP: requests without end, bodies that drip, answers that nobody reads, and silence.

A bystander has a WebSocket, and must not notice. What is counted is turns, answers and bytes.
"""

import asyncio
import contextlib
import gc
import json
import re
import resource
import socket
import subprocess
import sys

import pytest
from sanic.http import Http

from signalpost.http.protocol import HandingOver
from signalpost.http.request import WebRequest
from signalpost.testing import load_app, serve
from signalpost.websocket.head import MOST_FIELDS

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: safe, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}
    routes:
      - {path: /hi, method: GET, do: [{respond: {text: hi}}]}
      - {path: /data, method: POST, do: [{respond: {json: "{{ data }}"}}]}
      - {path: /who, method: GET, do: [{respond: {json: "{{ request.headers }}"}}]}
      - {path: /long, view: long.txt}
      - {path: /files, static: files}
      - {path: /page, view: who.json}
      - {path: /asked, method: GET, handler: asked}
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: /headers, do: [{reply: {value: "{{ request.headers }}"}}]}
"""
PLUGIN = """
    from signalpost import route

    @route("asked")
    async def asked(event):
        return {str(name): event.request.headers.get(name) for name in event.request.headers}
"""
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GET = b"GET /hi HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /data HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
LARGE = 16 * 1024 * 1024


class World:
    def __init__(self, app, bystander, stack):
        self.app = app
        self.bystander = bystander
        self.gate = app.server._sockets.intake
        self._stack = stack
        self._writers = []
        self._echoes = 0

    async def connect(self, endpoint="web", *, receive_buffer=0):
        """Open a connection that is closed after the test."""
        port = next(each.port for each in self.app.server.endpoints if each.name == endpoint)
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock)
        self._writers.append(writer)
        return reader, writer

    async def close(self):
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def silent(self, endpoint="web"):
        """Open a connection that says nothing, as a bare socket."""
        port = next(each.port for each in self.app.server.endpoints if each.name == endpoint)
        sock = self._stack.enter_context(socket.socket())
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        await self.echo()
        return sock

    async def ask(self, request, endpoint="web"):
        """Send a request on a connection of its own; give status and body."""
        reader, writer = await self.connect(endpoint)
        writer.write(request)
        return await read_answer(reader)

    async def echo(self):
        """Let the bystander have an echo."""
        self._echoes += 1
        await self.bystander.send(self._echoes)
        assert await self.bystander.receive_json() == self._echoes

    async def until(self, condition):
        """Let the bystander have echoes until something is so; give how many."""
        start = self._echoes
        async with asyncio.timeout(60):
            while not condition():
                await self.echo()
        return self._echoes - start

    @property
    def connections(self):
        return [each for listener in self.app.server._listeners for each in listener._server.connections]


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    return int(head.split()[1]), body


async def read_to_the_end(reader):
    data = bytearray()
    with contextlib.suppress(ConnectionError):
        while more := await reader.read(65_536):
            data += more
    return bytes(data)


@contextlib.asynccontextmanager
async def attacked(folder, limits="{}"):
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "small.txt").write_text("small")
    (folder / "long.txt").write_text("{{ 'long' * 2_000_000 }}")
    (folder / "who.json").write_text("{{ request.headers | tojson }}")
    with (folder / "files" / "large").open("wb") as file:
        file.truncate(LARGE)
    app = f"{APP}\n    limits: {limits}"
    async with serve(app, folder=folder, plugins={"asked": PLUGIN}) as running, running.connect("/echo") as bystander:
        with contextlib.ExitStack() as stack:
            world = World(running, bystander, stack)
            try:
                yield world
            finally:
                await world.close()


@pytest.fixture
async def world(tmp_path):
    async with attacked(tmp_path) as world:
        yield world


class TestRequestsWithoutEnd:
    async def test_10_000_pipelined_requests_are_all_answered_and_others_have_their_turns(self, world):
        reader, writer = await world.connect()
        writer.write(GET * 9_999 + GET.replace(b"Host", b"Connection: close\r\nHost"))
        reading = asyncio.ensure_future(read_to_the_end(reader))
        turns = await world.until(reading.done)
        assert (await reading).count(b"HTTP/1.1 200 OK") == 10_000
        assert turns >= 100

    async def test_others_have_their_turns_while_many_pipeline(self, world):
        readings = []
        for _ in range(40):
            reader, writer = await world.connect()
            writer.write(GET * 99 + GET.replace(b"Host", b"Connection: close\r\nHost"))
            readings.append(asyncio.ensure_future(read_to_the_end(reader)))
        turns = await world.until(lambda: all(reading.done() for reading in readings))
        assert all(reading.result().count(b"HTTP/1.1 200 OK") == 100 for reading in readings)
        assert turns >= 40

    async def test_others_have_their_turns_while_a_body_comes_in_tiny_chunks(self, world):
        reader, writer = await world.connect()
        writer.write(CHUNKED + b"1\r\n \r\n" * 100_000 + b"1\r\n7\r\n" + END)
        answer = asyncio.ensure_future(read_answer(reader))
        turns = await world.until(answer.done)
        assert await answer == (200, b"7")
        assert turns >= 10

    async def test_requests_behind_a_body_in_chunks_are_answered(self, world):
        reader, writer = await world.connect()
        writer.write((CHUNKED + b"3\r\n[1]\r\n" + END + GET) * 50)
        for _ in range(50):
            assert await read_answer(reader) == (200, b"[1]")
            assert await read_answer(reader) == (200, b"hi")


class TestFraming:
    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(CHUNKED + b"5\r\n[1,2]XX0\r\n\r\n", id="bytes behind a chunk"),
            pytest.param(CHUNKED + b"0x5\r\n[1,2]\r\n" + END, id="a prefix"),
            pytest.param(CHUNKED + "\uff15\r\n[1,2]\r\n".encode() + END, id="digits of another script"),
            pytest.param(CHUNKED + b"5\r\n[1,2]\r\n0\r\nGET / HTTP/1.1\r\n\r\n", id="a request as a trailer"),
            pytest.param(CHUNKED.replace(b"/1.1", b"/1.0") + b"5\r\n[1,2]\r\n" + END, id="HTTP/1.0"),
            pytest.param(
                POST + b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2]\r\n" + END,
                id="a length, too",
            ),
            pytest.param(
                POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2]\r\n" + END,
                id="chunked twice",
            ),
            pytest.param(
                POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n5\r\n[1,2]\r\n" + END, id="chunked twice in one"
            ),
            pytest.param(POST + b"Transfer-Encoding: gzip\r\n\r\n5\r\n[1,2]\r\n" + END, id="another coding"),
            pytest.param(POST + b"Transfer-Encoding: \r\n\r\n5\r\n[1,2]\r\n" + END, id="no coding"),
            pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n5\r\n[1,2]\r\n" + END, id="a coding of that end"),
        ],
    )
    async def test_a_body_that_two_servers_may_read_differently_is_refused_and_nothing_is_read_behind_it(
        self, world, request_
    ):
        reader, writer = await world.connect()
        writer.write(request_ + GET)
        answers = await read_to_the_end(reader)
        assert answers.startswith(b"HTTP/1.1 400 ")
        assert answers.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answers.lower()

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(POST + b"Transfer-Encoding: Chunked\r\n\r\n5\r\n[1,2]\r\n" + END, id="in other letters"),
            pytest.param(POST + b"Transfer-Encoding:\tchunked \t\r\n\r\n5\r\n[1,2]\r\n" + END, id="with blanks"),
            pytest.param(CHUNKED + b"5;a=b\r\n[1,2]\r\n0\r\nX-Sum: 1\r\n\r\n", id="an extension and a trailer"),
            pytest.param(POST + b"Content-Length: 5\r\n\r\n[1,2]", id="of a known length"),
        ],
    )
    async def test_a_body_that_is_framed_as_it_may_be_is_read_and_a_request_behind_it(self, world, request_):
        reader, writer = await world.connect()
        writer.write(request_ + GET)
        assert await read_answer(reader) == (200, b"[1,2]")
        assert await read_answer(reader) == (200, b"hi")

    async def test_who_waits_to_be_told_to_go_on_is_told(self, world):
        reader, writer = await world.connect()
        writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"[1,2]")
        assert await read_answer(reader) == (200, b"[1,2]")

    async def test_an_old_client_is_told_nothing_that_it_does_not_know(self, world):
        reader, writer = await world.connect()
        writer.write(
            b"POST /data HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n[1,2]"
        )
        assert await read_answer(reader) == (200, b"[1,2]")

    async def test_trailers_are_no_headers(self, world):
        request = CHUNKED.replace(b"POST /data", b"GET /who") + b"0\r\nX-Admin: yes\r\n\r\n"
        _, headers = await world.ask(request)
        assert b"admin" not in headers


class TestWhatTakesItsTime:
    LIMITS = "{handshake: 300ms}"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("head", "piece"),
        [
            pytest.param(POST + b"Content-Length: 10000\r\n\r\n", b" ", id="of a known length"),
            pytest.param(CHUNKED, b"1\r\n \r\n", id="in chunks"),
            pytest.param(CHUNKED, b"1;%b\r\n \r\n" % (b"e" * 200), id="in chunks of mere extensions"),
        ],
    )
    async def test_a_body_that_drips_is_ended(self, tmp_path, head, piece):
        async with attacked(tmp_path, self.LIMITS) as world:
            reader, writer = await world.connect()
            writer.write(head)

            async def drip():
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0.03)

            dripping = asyncio.ensure_future(drip())
            await world.until(lambda: reader._buffer or reader.at_eof())
            dripping.cancel()
            assert (await read_to_the_end(reader)).startswith(b"HTTP/1.1 408 ")
            await world.until(lambda: not world.connections)
            assert world.gate.inbound.held == 0
            assert world.gate.requests == 0

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(GET.replace(b"/hi", b"/files/large"), id="a file"),
            pytest.param(GET.replace(b"/hi", b"/long"), id="a text"),
            pytest.param(GET.replace(b"/hi HTTP/1.1", b"/long HTTP/1.0"), id="a text behind which it is closed"),
        ],
    )
    async def test_a_download_that_is_not_read_is_ended(self, tmp_path, request_):
        async with attacked(tmp_path, self.LIMITS) as world:
            _, writer = await world.connect(receive_buffer=4_096)
            writer.transport.pause_reading()
            writer.write(request_)
            await world.until(lambda: world.connections)
            await world.until(lambda: not world.connections)
            assert world.gate.requests == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["kept open", "closed"])
    async def test_a_download_that_is_read_slowly_but_steadily_comes_whole(self, tmp_path, last):
        async with attacked(tmp_path, "{handshake: 100ms}") as world:
            reader, writer = await world.connect(receive_buffer=65_536)
            writer.write(GET.replace(b"/hi", b"/files/large")[:-2] + last + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: %d" % LARGE in head.lower()
            left = LARGE
            while left:
                left -= len(await reader.readexactly(min(left, 512 * 1024)))
                await asyncio.sleep(0.03)


class TestWhatIsHeld:
    async def test_requests_under_way_are_as_many_as_connections_may_be(self, tmp_path, caplog):
        async with attacked(tmp_path, "{connections: 3}") as world:
            some = [await world.connect() for _ in range(3)]
            for _, writer in some:
                writer.write(POST + b"Content-Length: 5\r\n\r\n[1")
            await world.until(lambda: world.gate.requests == 3)
            reader, writer = await world.connect()
            writer.write(POST + b"Content-Length: 5\r\n\r\n[1,2]")
            answer = await read_to_the_end(reader)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in answer.lower()
            assert "requests refused with 503: 1; 3 are under way" in caplog.text
            for reader, writer in some:
                writer.write(b",2]")
                assert await read_answer(reader) == (200, b"[1,2]")
            assert await world.ask(POST + b"Content-Length: 5\r\n\r\n[1,2]") == (200, b"[1,2]")
            await world.until(lambda: world.gate.requests == 0)

    async def test_unfinished_bodies_of_all_clients_have_one_bound(self, tmp_path, caplog):
        async with attacked(tmp_path, "{message: 64KiB, inbound: 64KiB}") as world:
            first, part = POST + b"Content-Length: 60000\r\n\r\n", b"[" + b" " * 39_999
            reader, writer = await world.connect()
            writer.write(first + part)
            await world.until(lambda: world.gate.inbound.held == len(first + part))
            other, other_writer = await world.connect()
            other_writer.write(first + part)
            answer = await read_to_the_end(other)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 5" in answer
            assert "unfinished messages and request bodies refused: 1; more than 64KiB" in caplog.text
            writer.write(b" " * 19_999 + b"]")
            assert await read_answer(reader) == (200, b"[]")
            assert await world.ask(POST + b"Content-Length: 5\r\n\r\n[1,2]") == (200, b"[1,2]")
            await world.until(lambda: not world.gate.inbound.held)

    async def test_what_a_client_that_vanishes_held_is_given_back(self, world):
        for head in (POST + b"Content-Length: 60000\r\n\r\n", CHUNKED + b"fff0\r\n", GET[:-4]):
            _, writer = await world.connect()
            writer.write(head + b" " * 5_000)
            await world.until(lambda: world.gate.inbound.held)
            writer.transport.abort()
            await world.until(lambda: not world.gate.inbound.held)
            assert world.gate.requests == 0

    async def test_what_a_handshake_by_sanics_way_held_is_given_back(self, world):
        reader, writer = await world.connect("live")
        writer.write(HANDSHAKE[:20])
        await world.until(lambda: world.gate.inbound.held)
        writer.write(HANDSHAKE[20:])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert world.gate.inbound.held == 0
        assert world.gate.requests == 0
        assert not len(world.gate.newcomers) + len(world.gate.waiting)

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["answered", "half a body", "half a head", "malformed", "unread"])
    async def test_a_connection_that_has_ended_does_not_wait_for_the_collector(self, world, how):
        gc.collect()
        before = {id(each) for each in gc.get_objects()}
        gc.disable()
        try:
            for _ in range(3):
                reader, writer = await world.connect(receive_buffer=4_096)
                if how == "answered":
                    writer.write(POST + b"Content-Length: 5\r\n\r\n[1,2]" + GET)
                    await read_answer(reader)
                    await read_answer(reader)
                elif how == "half a body":
                    writer.write(POST + b"Content-Length: 50000\r\n\r\n[1,2")
                elif how == "half a head":
                    writer.write(GET[:-4])
                elif how == "malformed":
                    writer.write(CHUNKED + b"zz\r\n")
                    await read_to_the_end(reader)
                else:
                    writer.transport.pause_reading()
                    writer.write(GET.replace(b"/hi", b"/files/large"))
                await world.until(lambda: world.connections or how == "malformed")
                writer.transport.abort()
                await world.until(lambda: not world.connections)

            def left():
                kinds = HandingOver | Http | WebRequest
                return [each for each in gc.get_objects() if isinstance(each, kinds) and id(each) not in before]

            # Sanic looks once more after what it has closed, and a thread may be reading a part of the file.
            await world.until(lambda: not left())
        finally:
            gc.enable()


class TestDeepBodies:
    @pytest.mark.slow
    @pytest.mark.parametrize("levels", [241, 255, 900, 1_030, 100_000])
    async def test_a_body_too_deep_to_be_sent_again_is_the_clients_mistake(self, world, caplog, levels):
        body = b"[" * levels + b"]" * levels
        status, answer = await world.ask(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert status == 400
        assert b"more than 240 lists and mappings inside each other" in answer
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    async def test_a_body_that_can_be_sent_again_is_answered(self, world):
        body = b"[" * 240 + b"]" * 240
        status, answer = await world.ask(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (status, answer) == (200, body)


class TestConnectionsThatSayNothing:
    @pytest.mark.parametrize("endpoint", ["web", "live", "safe"])
    async def test_of_too_many_silent_connections_the_oldest_go(self, world, endpoint, monkeypatch):
        monkeypatch.setattr(world.gate.newcomers, "_most", lambda: 20)
        crowd = [await world.silent(endpoint) for _ in range(60)]
        await world.until(lambda: len(world.gate.newcomers) == 20)
        await world.until(lambda: sum(map(is_over, crowd)) == 40)
        assert [is_over(sock) for sock in crowd] == [True] * 40 + [False] * 20
        assert await world.ask(GET) == (200, b"hi")

    async def test_half_of_the_connections_that_may_be_is_a_bound(self, tmp_path):
        async with attacked(tmp_path, "{connections: 10}") as world:
            crowd = [await world.silent("live") for _ in range(9)]
            await world.until(lambda: sum(map(is_over, crowd)) == 4)
            async with world.app.connect("/echo") as client:
                await client.send("hello")
                assert await client.receive() == "hello"

    async def test_connections_between_two_requests_give_way_too(self, world, monkeypatch):
        monkeypatch.setattr(world.gate.waiting, "_most", lambda: 10)
        crowd = [await world.connect() for _ in range(30)]
        for reader, writer in crowd:
            writer.write(GET)
            assert await read_answer(reader) == (200, b"hi")
        await world.until(lambda: len(world.gate.waiting) == 10)
        for reader, _ in crowd[:20]:
            assert await read_to_the_end(reader) == b""
        for reader, writer in crowd[20:]:
            writer.write(GET)
            assert await read_answer(reader) == (200, b"hi")

    async def test_who_is_being_served_does_not_give_way(self, tmp_path, monkeypatch):
        async with attacked(tmp_path) as world:
            monkeypatch.setattr(world.gate.newcomers, "_most", lambda: 0)
            monkeypatch.setattr(world.gate.waiting, "_most", lambda: 0)
            async with world.app.connect("/echo") as client:
                await world.silent()
                await world.until(lambda: not len(world.gate.newcomers))
                await client.send("hello")
                assert await client.receive() == "hello"

    @pytest.mark.slow
    @pytest.mark.parametrize("endpoint", ["web", "safe"])
    async def test_a_process_with_few_descriptors_serves_others_beside_a_crowd(self, tmp_path, endpoint):
        with small_process(tmp_path) as ports, contextlib.ExitStack() as stack:
            for _ in range(400):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", ports[endpoint]))
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", ports["web"])
                writer.write(GET.replace(b"/hi", b"/files/small.txt"))
                assert await read_answer(reader) == (200, b"small")
                writer.close()
                await writer.wait_closed()

    async def test_where_no_descriptor_is_left_a_file_is_not_said_to_be_missing(self, world, caplog):
        reader, writer = await world.connect()
        writer.write(GET)
        await read_answer(reader)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            writer.write(GET.replace(b"/hi", b"/files/small.txt"))
            status, _ = await read_answer(reader)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert status == 503
        assert "descriptors have run out: 1 requests for files were answered with 503" in caplog.text
        writer.write(GET.replace(b"/hi", b"/files/small.txt"))
        assert await read_answer(reader) == (200, b"small")


SMALL_PROCESS = """
import asyncio, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from signalpost.plan import load_plan
from signalpost.server import Server

async def main():
    server = Server(load_plan(Path(sys.argv[1])))
    await server.start()
    print(*(f"{each.name}={each.port}" for each in server.endpoints), flush=True)
    await asyncio.Event().wait()

import uvloop
uvloop.run(main())
"""


@contextlib.contextmanager
def small_process(folder):
    """Run the app in a process that may have 256 descriptors; give the ports by endpoint."""
    (folder / "files").mkdir()
    (folder / "files" / "small.txt").write_text("small")
    (folder / "long.txt").write_text("{{ 'long' * 2_000_000 }}")
    (folder / "who.json").write_text("{{ request.headers | tojson }}")
    load_app(APP, folder, {"asked": PLUGIN})
    command = [sys.executable, "-c", SMALL_PROCESS, str(folder / "routes.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield {name: int(port) for name, port in (each.split("=") for each in process.stdout.readline().split())}
        finally:
            process.kill()


def is_over(sock):
    """Tell whether the server has ended a connection."""
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


LINES = b"X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 10.0.0.7 \r\nCookie: a=1\r\nCookie: b=2\r\n\r\n"
SEEN = {"x-forwarded-for": "6.6.6.6, 10.0.0.7", "cookie": "a=1; b=2"}


class TestRepeatedHeaders:
    @pytest.mark.parametrize("path", [b"/who", b"/page", b"/asked"], ids=["a template", "a view", "a handler"])
    async def test_all_values_of_a_repeated_header_are_seen_in_order(self, tmp_path, path):
        async with attacked(tmp_path) as world:
            _, headers = await world.ask(GET.replace(b"/hi", path)[:-2] + LINES)
            assert SEEN.items() <= json.loads(headers).items()

    @pytest.mark.parametrize("cut", [0, 20], ids=["by the acceptor", "by Sanic"])
    async def test_all_values_of_a_repeated_header_of_a_handshake_are_seen_in_order(self, world, cut):
        reader, writer = await world.connect("live")
        request = HANDSHAKE.replace(b"/echo", b"/headers")[:-2] + LINES
        if cut:
            writer.write(request[:cut])
            await world.until(lambda: world.gate.inbound.held)
        writer.write(request[cut:] + b"\x81\x8d\0\0\0\0" + b'{"message":1}')
        await reader.readuntil(b"\r\n\r\n")
        frame = await reader.readexactly(2)
        size = frame[1] if frame[1] < 126 else int.from_bytes(await reader.readexactly(2), "big")
        assert SEEN.items() <= json.loads(await reader.readexactly(size)).items()


class TestHeads:
    @pytest.mark.parametrize("endpoint", ["web", "live"])
    async def test_a_head_of_more_fields_than_anybody_sends_is_refused(self, world, endpoint):
        request = HANDSHAKE if endpoint == "live" else GET
        reader, writer = await world.connect(endpoint)
        writer.write(request[:-2] + b"a:\r\n" * MOST_FIELDS + b"\r\n")
        assert (await read_to_the_end(reader)).startswith(b"HTTP/1.1 431 ")

    async def test_a_head_of_as_many_fields_as_may_be_is_read(self, world):
        assert await world.ask(GET[:-2] + b"a:\r\n" * (MOST_FIELDS - 1) + b"\r\n") == (200, b"hi")
