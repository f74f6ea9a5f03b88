"""The first look at a connection: it makes a handshake quicker, and no different."""

import asyncio
import contextlib
import re
import ssl

import pytest

from signalpost.http.descriptors import Descriptors
from signalpost.sockets.acceptor import Acceptor, FirstBytes
from signalpost.testing import serve

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["https://good.example"], compression: true}
      - {name: safe, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}
    routes: [{path: /page, view: page.html}]
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: /rooms/<room>, rebroadcast: sender}
    undeclared: refuse
"""
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
LINES = ["Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13"]


def handshake(path="/echo", *more, without="", version="1.1", method="GET"):
    lines = [line for line in LINES if not (without and line.startswith(without))]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, *more, "", ""]).encode("latin-1")


REQUESTS = {
    "plain": handshake(),
    "with a query": handshake("/echo?token=1&x=%20"),
    "an escaped path": handshake("/rooms/bl%C3%BCe"),
    "a path that is not UTF-8": handshake("/rooms/%FF"),
    "a control character in the path": handshake("/rooms/%00"),
    "a path in other letters": handshake("/ECHO/"),
    "no such path": handshake("/nowhere"),
    "two slashes": handshake("//echo"),
    "absolute form": handshake("http://127.0.0.1/echo"),
    "a subprotocol": handshake("/echo", "Sec-WebSocket-Protocol: chat, signalpost.v1"),
    "compression": handshake("/echo", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
    "an origin that is allowed": handshake("/echo", "Origin: https://good.example"),
    "an origin that is not": handshake("/echo", "Origin: https://evil.example"),
    "two origins": handshake("/echo", "Origin: https://good.example", "Origin: https://good.example"),
    "no key": handshake(without="Sec-WebSocket-Key"),
    "two keys": handshake("/echo", KEY),
    "no version": handshake(without="Sec-WebSocket-Version"),
    "an old version": handshake("/echo", "Sec-WebSocket-Version: 8", without="Sec-WebSocket-Version"),
    "no Connection": handshake(without="Connection"),
    "no Host": handshake(without="Host"),
    "two Hosts": handshake("/echo", "Host: evil.example"),
    "no upgrade": handshake(without="Upgrade"),
    "an upgrade to something else": handshake("/echo", "Upgrade: h2c", without="Upgrade"),
    "a list of upgrades": handshake("/echo", "Upgrade: h2c, WebSocket", without="Upgrade"),
    "no body": handshake("/echo", "Content-Length: 0"),
    "a body": handshake("/echo", "Content-Length: 3") + b"abc",
    "an expectation": handshake("/echo", "Expect: 100-continue"),
    "HTTP/1.0": handshake(version="1.0"),
    "POST": handshake(method="POST"),
    "a folded line": handshake("/echo", "X-Fold: a\r\n b"),
    "a name that is no token": handshake("/echo", "X(a): b"),
    "a value beyond ASCII": handshake("/echo", "X-Name: \xe9"),
    "no request": b"hello\r\n\r\n",
}


@pytest.fixture(scope="module")
async def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "page.html").write_text("page")
    async with serve(APP, folder=folder) as served:
        yield served


async def head_of_the_answer(app, endpoint, *pieces):
    """Send a request in pieces, each as a segment of its own; give the head of the answer, ids and dates left out."""
    port = int(app.url(endpoint).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number, piece in enumerate(pieces):
            if number:
                await read_by_sanic(app.server)
            writer.write(piece)
        head = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return re.sub(rb"(?i)((?:x-signalpost-client-id|date): )[^\r]*", rb"\1...", head)


async def read_by_sanic(server):
    """Turn the loop until Sanic has bytes of a request, which it tells nobody."""
    connections = [listener._server.connections for listener in server._listeners]
    while not any(connection.recv_buffer for each in connections for connection in each):  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize("what", REQUESTS)
async def test_a_request_is_answered_alike_whether_it_comes_whole_or_in_two_pieces(app, what):
    request = REQUESTS[what]
    async with asyncio.timeout(10):
        for endpoint in ("live", "web"):
            whole = await head_of_the_answer(app, endpoint, request)
            assert await head_of_the_answer(app, endpoint, request[:1], request[1:]) == whole


@pytest.mark.parametrize("endpoint", ["live", "safe"])
async def test_a_handshake_in_one_piece_never_comes_to_sanic(app, endpoint):
    connections = [listener._server.connections for listener in app.server._listeners]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    secure = {"ssl": context} if endpoint == "safe" else {}
    async with app.connect("/echo", endpoint=endpoint, **secure) as client:
        assert not any(connections)
        await client.send("hello")
        assert await client.receive() == "hello"


async def test_frames_behind_a_handshake_are_read(app):
    port = int(app.url("live").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    payload = b'{"message":"hello"}'
    writer.write(handshake() + bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload)
    async with asyncio.timeout(10):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(7) == b"\x81\x05hello"
    writer.close()
    await writer.wait_closed()


class Transport(asyncio.Transport):
    """A connection that says nothing."""

    def get_extra_info(self, name, default=None):
        return self if name == "socket" else default

    def fileno(self):
        return 3

    def set_protocol(self, protocol):
        self.protocol = protocol

    def is_closing(self):
        return False


class Successor(asyncio.Protocol):
    def __init__(self, begun):
        self.begun = begun


async def test_who_says_nothing_goes_to_sanic_at_the_second_look_and_with_its_own_time():
    now = 10.0
    door = Acceptor(None, Descriptors(lambda *_: None), lambda: now, Successor, interval=3_600)
    door.open()
    now = 10.5
    acceptor, transport = FirstBytes(door), Transport()
    acceptor.connection_made(transport)
    now = 11.0
    door._look()
    assert door.waiting == {acceptor}
    now = 12.0
    door._look()
    assert not door.waiting
    assert transport.protocol.begun == 10.5
    door.close()


async def test_a_door_that_closes_hands_all_that_wait_to_sanic():
    door = Acceptor(None, Descriptors(lambda *_: None), lambda: 0.0, Successor, interval=3_600)
    door.open()
    transports = [Transport(), Transport()]
    for transport in transports:
        FirstBytes(door).connection_made(transport)
    door.close()
    assert all(isinstance(transport.protocol, Successor) for transport in transports)
    assert not door.waiting
