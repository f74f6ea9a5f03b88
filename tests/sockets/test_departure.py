"""Clients that go while their messages wait: noticed at once, and what they had sent is handled in its turn."""

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import struct
import sys

import orjson
import pytest

from signalpost.sockets.ahead import AHEAD
from signalpost.sockets.connection import LINGER, LONGEST_PAUSE
from signalpost.sockets.rate import Allowance, Pace
from signalpost.testing import serve

REQUEST = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, CLOSE = 1, 8
PLUGIN = """
    import asyncio
    from signalpost import hookimpl, signal

    gate = asyncio.Event()
    door = asyncio.Event()
    refused = set()

    @hookimpl
    def startup(context):
        global broadcast
        broadcast = context.broadcast

    @hookimpl
    async def client_connected(client):
        if client.path.startswith("/door"):
            await door.wait()
            if client.path in refused:
                client.close(4401, "not you")

    @hookimpl
    def client_disconnected(client, code):
        if client.path not in ("/log", "/echo"):
            broadcast(["gone", code], path="/log")

    @signal("slow")
    async def slow(event):
        event.broadcast(["begun", event.data.message[:4].strip()], path="/log")
        await gate.wait()
        event.broadcast(["handled", event.data.message[:4].strip()], path="/log")

    @signal("given up", path="/given-up", cancel_when_gone=True)
    async def given_up(event):
        event.broadcast(["begun", event.data.message], path="/log")
        try:
            await gate.wait()
        except asyncio.CancelledError:
            event.broadcast(["cancelled", event.data.message], path="/log")
            raise
"""
APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    signals:
      - path: /slow
        handler: slow
        connected: [{broadcast: {value: [here], path: /log}}]
        disconnected: [{broadcast: {value: [bye], path: /log}}]
      - path: /wide
        handler: slow
        parallel: 3
        disconnected: [{broadcast: {value: [bye], path: /log}}]
      - path: /door/<name>
        handler: slow
        connected: [{broadcast: {value: [here], path: /log}}]
        disconnected: [{broadcast: {value: [bye], path: /log}}]
      - path: /relay
        do: [{broadcast: {value: "{{ message }}", path: /log}}]
        disconnected: [{broadcast: {value: [bye], path: /log}}]
      - {path: /echo, rebroadcast: sender}
      - {path: /log}
    limits: {drain: 1s}
"""


def frame(opcode, payload):
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + bytes(4) + payload


def messages(numbers, size=4):
    return b"".join(frame(TEXT, orjson.dumps({"message": str(number).ljust(size)})) for number in numbers)


GOODBYE = frame(CLOSE, (1000).to_bytes(2, "big"))


class Hall:
    """A server, somebody who hears what it does, and bare sockets to it."""

    def __init__(self, app, log, echo, sockets):
        self.app = app
        self.log = log
        self._echo = echo
        self._sockets = sockets
        self.plugin = next(module for name, module in sys.modules.items() if name.endswith(".departures"))

    async def open(self, path):
        loop = asyncio.get_running_loop()
        sock = self._sockets.enter_context(socket.socket())
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, ("127.0.0.1", self.app.server.endpoints[0].port))
        await loop.sock_sendall(sock, REQUEST % path.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += await loop.sock_recv(sock, 4096)
        return sock

    async def send(self, sock, data):
        await asyncio.get_running_loop().sock_sendall(sock, data)

    async def leave(self, sock, how):
        if how == "a close frame":
            await self.send(sock, GOODBYE)
        elif how == "a reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        else:
            sock.close()

    async def hears(self, count):
        return [await self.log.receive_json() for _ in range(count)]

    async def settled(self):
        """Wait until the server has read what was sent before, by a round trip of another client."""
        for _ in range(3):
            await self._echo.send("marker")
            assert await self._echo.receive() == "marker"

    def connection(self, path):
        return next(each for each in self.app.server._sockets.connections if each.client.path == path)

    def is_there(self, path):
        """Tell whether anybody of a path is counted, or in an audience."""
        hub = self.app.server.node.hub
        everybody = {client.path for client in hub.clients.values()}
        return path in everybody or path in hub._paths


@pytest.fixture
async def hall():
    async with (
        serve(APP, plugins={"departures": PLUGIN}) as app,
        app.connect("/log") as log,
        app.connect("/echo") as echo,
    ):
        with contextlib.ExitStack() as sockets:
            yield Hall(app, log, echo, sockets)


def work(numbers):
    return [[what, str(number)] for number in numbers for what in ("begun", "handled")]


@pytest.mark.parametrize(("how", "code"), [("a close frame", 1000), ("closing its side", 1006)])
async def test_who_goes_while_its_messages_wait_is_gone_at_once_and_they_are_handled_in_order(hall, how, code):
    sock = await hall.open("/slow")
    assert await hall.hears(1) == [["here"]]
    await hall.send(sock, messages(range(25)))
    assert await hall.hears(1) == [["begun", "0"]]
    await hall.settled()
    await hall.leave(sock, how)
    assert await hall.hears(1) == [["gone", code]]
    assert not hall.is_there("/slow")
    hall.plugin.gate.set()
    assert await hall.hears(50) == [*work(range(25))[1:], ["bye"]]
    await hall.settled()
    assert not hall.app.server.inspect().closing


async def test_who_had_sent_more_than_is_kept_is_gone_at_once_and_heard_in_order(hall, count_descriptors):
    before = count_descriptors()
    sock = await hall.open("/slow")
    await hall.send(sock, messages(range(40), AHEAD // 16))
    assert await hall.hears(2) == [["here"], ["begun", "0"]]
    await hall.settled()
    assert hall.connection("/slow")._stopped
    await hall.leave(sock, "closing its side")
    assert await hall.hears(1) == [["gone", 1006]]
    assert not hall.is_there("/slow")
    hall.plugin.gate.set()
    assert await hall.hears(80) == [*work(range(40))[1:], ["bye"]]
    await hall.settled()
    assert not hall.app.server.inspect().closing
    assert count_descriptors() - before <= 1  # what the ends are heard by is kept


@pytest.mark.parametrize("size", [4, AHEAD // 16])
async def test_with_a_reset_what_waits_goes_too(hall, size):
    sock = await hall.open("/slow")
    await hall.send(sock, messages(range(40), size))
    assert await hall.hears(2) == [["here"], ["begun", "0"]]
    await hall.settled()
    await hall.leave(sock, "a reset")
    assert await hall.hears(1) == [["gone", 1006]]
    assert not hall.is_there("/slow")
    hall.plugin.gate.set()
    assert await hall.hears(2) == [["handled", "0"], ["bye"]]
    await hall.settled()
    assert not hall.app.server.inspect().closing
    assert hall.app.server._sockets.inbound.held == 0


async def test_what_had_been_sent_is_handled_for_a_minute_at_most(hall, make_clock):
    sock = await hall.open("/slow")
    clock = make_clock()
    connection = hall.connection("/slow")
    connection._clockwork = dataclasses.replace(connection._clockwork, call_later=clock.call_later)
    await hall.send(sock, messages(range(25)))
    assert await hall.hears(2) == [["here"], ["begun", "0"]]
    await hall.leave(sock, "closing its side")
    assert await hall.hears(1) == [["gone", 1006]]
    clock.advance(LINGER - 1)
    await hall.settled()
    assert hall.app.server.inspect().closing == 1
    clock.advance(1)
    await hall.settled()
    assert not hall.app.server.inspect().closing
    hall.plugin.gate.set()
    assert await hall.hears(2) == [["handled", "0"], ["bye"]]


@pytest.mark.parametrize("how", ["a close frame", "closing its side"])
async def test_who_goes_while_it_arrives_is_gone_at_once_and_all_of_it_is_done_in_order(hall, how):
    sock = await hall.open("/door/a")
    await hall.send(sock, messages(range(2)))
    await hall.settled()
    assert hall.is_there("/door/a")
    await hall.leave(sock, how)
    await hall.settled()
    assert not hall.is_there("/door/a")
    hall.plugin.gate.set()
    hall.plugin.door.set()  # the plugin is told of the end when it is through with the beginning
    heard = await hall.hears(7)
    assert [each for each in heard if each[0] != "gone"] == [["here"], *work(range(2)), ["bye"]]


async def test_nothing_is_handled_of_a_client_that_is_refused_after_it_has_gone(hall):
    hall.plugin.refused.add("/door/b")
    sock = await hall.open("/door/b")
    await hall.send(sock, messages(range(2)))
    await hall.leave(sock, "closing its side")
    await hall.settled()
    assert not hall.is_there("/door/b")
    hall.plugin.door.set()
    assert await hall.hears(1) == [["gone", 1006]]
    await hall.settled()
    assert not hall.app.server.inspect().closing
    await hall.log.send("nothing came")
    assert await hall.log.receive() == "nothing came"


async def test_who_goes_while_it_has_sent_too_fast_is_gone_at_once_and_its_rate_still_holds(hall, make_clock):
    sock = await hall.open("/relay")
    connection, clock = hall.connection("/relay"), make_clock()
    connection._clockwork = dataclasses.replace(connection._clockwork, call_later=clock.call_later)
    connection._allowance = Allowance(Pace(5, 1e9, 1024), clock)
    await hall.send(sock, messages(range(15)))
    assert [await hall.log.receive() for _ in range(10)] == [str(number).ljust(4) for number in range(10)]
    await hall.leave(sock, "closing its side")
    assert await hall.hears(1) == [["gone", 1006]]
    assert not hall.is_there("/relay")
    clock.advance(0.5)
    assert [await hall.log.receive() for _ in range(2)] == ["10  ", "11  "]
    clock.advance(2)
    assert [await hall.log.receive() for _ in range(3)] == ["12  ", "13  ", "14  "]
    assert await hall.hears(1) == [["bye"]]


async def test_a_close_frame_behind_what_came_too_fast_has_a_second_to_be_answered_in_its_turn(hall, make_clock):
    sock = await hall.open("/relay")
    connection, clock = hall.connection("/relay"), make_clock()
    connection._clockwork = dataclasses.replace(connection._clockwork, call_later=clock.call_later)
    connection._allowance = Allowance(Pace(1 / 3600, 1e9, 1024), clock)
    await hall.settled()
    await hall.send(sock, messages(range(3)) + GOODBYE)
    await hall.hears(1)
    await hall.settled()
    assert hall.is_there("/relay")
    clock.advance(LONGEST_PAUSE)
    assert await hall.hears(1) == [["gone", 1000]]
    assert not hall.is_there("/relay")


async def test_a_handler_that_asks_for_it_is_cancelled_and_nothing_more_of_its_client_is_begun(hall):
    sock = await hall.open("/given-up")
    await hall.send(sock, messages(range(25)))
    assert await hall.hears(1) == [["begun", "0   "]]
    await hall.leave(sock, "closing its side")
    assert await hall.hears(2) == [["gone", 1006], ["cancelled", "0   "]]
    await hall.settled()
    assert not hall.app.server.inspect().closing
    assert hall.app.server.inspect().under_way == 0
    assert not hall.app.server.inspect().handling


async def test_disconnected_is_done_behind_all_that_are_handled_at_once(hall):
    sock = await hall.open("/wide")
    await hall.send(sock, messages(range(2)))
    assert await hall.hears(2) == [["begun", "0"], ["begun", "1"]]
    await hall.leave(sock, "closing its side")
    assert await hall.hears(1) == [["gone", 1006]]
    await hall.settled()
    hall.plugin.gate.set()
    assert await hall.hears(3) == [["handled", "0"], ["handled", "1"], ["bye"]]


async def test_what_waits_goes_on_under_the_plan_of_a_reload(hall):
    sock = await hall.open("/slow")
    await hall.send(sock, messages(range(20)))
    assert await hall.hears(2) == [["here"], ["begun", "0"]]
    await hall.leave(sock, "closing its side")
    assert await hall.hears(1) == [["gone", 1006]]
    reloaded = await hall.app.reload(APP.replace("value: [bye]", "value: [drain]"))
    assert reloaded.kept == 2
    hall.plugin.gate.set()
    assert await hall.hears(34) == [*work(range(17))[1:], ["begun", "17"]]  # of which the new plugin knows
    newest = [module for name, module in sys.modules.items() if name.endswith(".departures")][-1]
    newest.gate.set()
    assert await hall.hears(6) == [*work(range(17, 20))[1:], ["drain"]]


async def test_a_server_that_stops_waits_no_longer_than_it_says_for_those_that_have_gone():
    async with (
        serve(APP, plugins={"departures": PLUGIN}) as running,
        running.connect("/log") as log,
        running.connect("/slow") as client,
    ):
        client.socket.transport.write(messages(range(25)))
        assert [await log.receive_json() for _ in range(2)] == [["here"], ["begun", "0"]]
        client.socket.transport.abort()
        assert await log.receive_json() == ["gone", 1006]
    assert not running.server.inspect().closing


async def test_a_departure_is_noticed_over_tls(trusting):
    app = APP.replace("protocol: ws", "protocol: wss, self_signed: true")
    async with (
        serve(app, plugins={"departures": PLUGIN}) as running,
        running.connect("/log", ssl=trusting) as log,
    ):
        plugin = next(module for name, module in sys.modules.items() if name.endswith(".departures"))
        port = running.server.endpoints[0].port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        writer.write(REQUEST % b"/slow")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(messages(range(25)))
        assert [await log.receive_json() for _ in range(2)] == [["here"], ["begun", "0"]]
        writer.close()
        assert await log.receive_json() == ["gone", 1006]
        plugin.gate.set()
        heard = [await log.receive_json() for _ in range(50)]
        assert heard == [*work(range(25))[1:], ["bye"]]
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
