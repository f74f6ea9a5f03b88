"""What one client sends to all does not end those who read as fast as their line allows, on a real server."""

import asyncio
import json
import socket

import httpx
import pytest
from websockets.asyncio.client import connect

from signalpost.testing import serve

APP = """
    endpoints:
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
    routes:
      - {path: /actions, broadcast: {value: "{{ data }}"}}
      - {path: /handler, handler: say}
    limits: {rate: 0}
"""
PLUGIN = """
    import asyncio

    from signalpost import route

    @route("say")
    async def say(event):
        await asyncio.sleep(0)
        event.broadcast(event.request.json)
"""
MESSAGES, SIZE = 2_000, 4_096
LARGE_MESSAGES, LARGE = 20, 900_000
PIECE = 65_536


class Line:
    """A proxy that passes on to its client as much as a line of 100 Mbit/s takes."""

    def __init__(self, port):
        self._far_port = port
        self._credit = asyncio.Semaphore(0)

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, limit=PIECE)
        self._dripping = asyncio.ensure_future(self._drip())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self._passing.cancel()
        self._dripping.cancel()
        await asyncio.wait([self._passing])

    def connect(self):
        return connect(f"ws://127.0.0.1:{self.port}/", max_size=None, ping_interval=None)

    async def _drip(self):
        while True:
            self._credit.release()
            await asyncio.sleep(0.005)  # its pace: 100 Mbit/s

    async def _pass_on(self, reader, writer):
        self._passing = asyncio.current_task()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE // 2)  # what waits here, waits for nobody
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._far_port))
        far_reader, far_writer = await asyncio.open_connection(sock=sock, limit=PIECE)
        returning = asyncio.ensure_future(self._pass_back(reader, far_writer))
        try:
            while data := await far_reader.read(PIECE):
                await self._credit.acquire()
                writer.write(data)
                await writer.drain()
        finally:
            returning.cancel()
            writer.transport.abort()
            far_writer.transport.abort()

    @staticmethod
    async def _pass_back(reader, writer):
        while data := await reader.read(PIECE):
            writer.write(data)


@pytest.fixture
async def app():
    async with serve(APP, plugins={"say": PLUGIN}) as running:
        yield running


async def test_a_neighbour_whose_line_is_slow_but_moves_gets_all_that_one_client_sends_to_everyone(app):
    async with (
        Line(app.server.endpoints[0].port) as line,
        line.connect() as neighbour,
        app.connect("/", ping_interval=None) as sender,
    ):
        text = "x" * SIZE

        async def send():
            for number in range(MESSAGES):
                await sender.send(f"{number} {text}")

        async def read_own():
            for _ in range(MESSAGES):
                await sender.receive()

        async def read():
            return [int((await neighbour.recv()).split()[0]) for _ in range(MESSAGES)]

        _, _, numbers = await asyncio.wait_for(asyncio.gather(send(), read_own(), read()), 50)
        assert numbers == list(range(MESSAGES))
        assert app.server.clients == 2


async def all_of(neighbour, count):
    return [int((await neighbour.recv()).split()[0]) for _ in range(count)]


@pytest.mark.slow
async def test_a_neighbour_whose_line_is_slow_is_not_closed_by_messages_of_which_two_fill_its_outbox(app):
    async with (
        Line(app.server.endpoints[0].port) as line,
        line.connect() as neighbour,
        app.connect("/", ping_interval=None, max_size=None) as sender,
    ):

        async def send():
            for number in range(LARGE_MESSAGES):
                await sender.send(f"{number} {'x' * LARGE}")

        async def read_own():
            for _ in range(LARGE_MESSAGES):
                await sender.receive()

        _, _, numbers = await asyncio.wait_for(
            asyncio.gather(send(), read_own(), all_of(neighbour, LARGE_MESSAGES)), 50
        )
        assert numbers == list(range(LARGE_MESSAGES))
        assert app.server.clients == 2


@pytest.mark.slow
@pytest.mark.parametrize(("path", "connections"), [("/actions", 1), ("/actions", 10), ("/handler", 1)])
async def test_a_neighbour_whose_line_is_slow_is_not_closed_by_requests_that_send_to_everyone(app, path, connections):
    live, web = app.server.endpoints
    limits = httpx.Limits(max_connections=connections)
    async with (
        Line(live.port) as line,
        line.connect() as neighbour,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}", limits=limits, timeout=50) as sender,
    ):

        async def send(number):
            content = json.dumps(f"{number} {'x' * LARGE}")
            answer = await sender.post(path, content=content, headers={"content-type": "application/json"})
            assert answer.is_success

        sending = asyncio.gather(*(send(number) for number in range(LARGE_MESSAGES)))
        _, numbers = await asyncio.wait_for(asyncio.gather(sending, all_of(neighbour, LARGE_MESSAGES)), 50)
        assert sorted(numbers) == list(range(LARGE_MESSAGES))
        assert app.server.clients == 1
