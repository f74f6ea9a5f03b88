"""A server under attack: bare sockets that say what they like, and a bystander who must not notice."""

import asyncio
import contextlib
import socket
import struct

import pytest

from signalpost.testing import serve

APP = """
    endpoints:
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["https://good.example"]}
      - {name: packed, address: 127.0.0.1, port: 0, protocol: ws, compression: true}
      - {name: web, address: 127.0.0.1, port: 0, protocol: http, hosts: [a, xn--a.b]}
    routes: [{path: /hello, view: hello.html}]
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: /raw, rebroadcast: sender, format: raw}
      - {path: /rooms/<room>, rebroadcast: path}
      - {path: /join, handler: join}
    limits: {rate: 0, message: 256KiB, outbox: 256KiB}
"""
PLUGIN = """
    from signalpost import signal

    @signal("join")
    async def join(event):
        event.client.join(event.data.message)
        event.reply("joined")
"""


class Attacker:
    """A bare socket to the server.

    Args:
        sock: connected, and not blocking.

    """

    def __init__(self, sock):
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def send(self, data):
        await self._loop.sock_sendall(self.sock, data)

    def send_what_fits(self, data):
        """Send until the kernel takes no more, without a turn of the loop; give the count of bytes."""
        view, sent = memoryview(data), 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += self.sock.send(view[sent : sent + 1_000_000])
        return sent

    async def until(self, mark):
        """Read up to a mark, and with it."""
        while mark not in self._buffer:
            data = await self._loop.sock_recv(self.sock, 65_536)
            assert data, f"the server closed its side after {self._buffer!r}"
            self._buffer += data
        taken, mark, self._buffer = self._buffer.partition(mark)
        return taken + mark

    async def status(self):
        """Read the head of an answer; give its status."""
        return int((await self.until(b"\r\n\r\n")).split()[1])

    async def exactly(self, size):
        while len(self._buffer) < size:
            data = await self._loop.sock_recv(self.sock, 65_536)
            assert data, f"the server closed its side after {self._buffer!r}"
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    async def frame(self):
        """Read a frame; give its opcode and payload."""
        first, size = await self.exactly(2)
        if size > 125:
            size = int.from_bytes(await self.exactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await self.exactly(size)

    async def closed(self):
        """Read a close frame; give its code."""
        opcode, payload = await self.frame()
        assert opcode == 8, payload
        return int.from_bytes(payload[:2], "big")

    async def rest(self):
        """Read whatever still comes until the server has ended the connection, in order or by a reset."""
        data, self._buffer = self._buffer, b""
        with contextlib.suppress(ConnectionError):
            while more := await self._loop.sock_recv(self.sock, 65_536):
                data += more
        return data

    def end_of_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def vanish(self, *, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Target:
    """The server, and a bystander who is connected to it.

    Attributes:
        app: the running app.
        bystander: an honest client of ``/echo``.

    """

    def __init__(self, app, bystander, stack):
        self.app = app
        self.hub = app.server.node.hub
        self.bystander = bystander
        self._stack = stack
        self._echoes = 0

    def port(self, endpoint="live"):
        return next(each.port for each in self.app.server.endpoints if each.name == endpoint)

    async def attacker(self, endpoint="live", *, receive_buffer=0):
        """Connect a bare socket; it is closed after the test."""
        sock = self._stack.enter_context(socket.socket())
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port(endpoint)))
        return Attacker(sock)

    async def intruder(self, path="/echo", *, receive_buffer=0):
        """Connect an attacker who has shaken hands already; give also the server's side of it."""
        attacker = await self.attacker(receive_buffer=receive_buffer)
        await attacker.send(self.handshake(path))
        head = await attacker.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        return attacker, self.hub.clients[fields["X-Signalpost-Client-Id"]]

    @staticmethod
    def handshake(path="/echo", *lines, **changes):
        """Write a handshake, with further lines, and with headers changed (None leaves one out)."""
        headers = {
            "Host": "127.0.0.1",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        head = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([f"GET {path} HTTP/1.1", *head, *lines, "", ""]).encode("latin-1")

    async def nobody_noticed(self):
        """Let the bystander have an echo: at once, since nothing else is waited for."""
        self._echoes += 1
        await self.bystander.send(self._echoes)
        assert await self.bystander.receive_json() == self._echoes

    async def is_alone_again(self):
        """Wait until the server has seen the end of every attacker; then nothing may be left of them."""
        hub, here = self.hub, self.hub.clients[self.bystander.id]
        while len(hub.clients) > 1 or hub.closing:
            await self.nobody_noticed()
        assert list(hub.clients.values()) == [here]
        assert list(hub._paths) == ["/echo"]
        assert not hub._groups
        assert not hub._unwritten
        assert len(hub.everyone) == 1
        assert len(self.app.server._sockets.connections) == 1


@pytest.fixture(scope="module")
async def served(tmp_path_factory):
    """One server, and one bystander who stays, for all attacks of a module."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "hello.html").write_text("hello")
    async with serve(APP, folder=folder, plugins={"join": PLUGIN}) as app, app.connect("/echo") as bystander:
        yield app, bystander


@pytest.fixture
async def target(served):
    """When the attack is over, the bystander must still be served, and nobody else be left."""
    with contextlib.ExitStack() as sockets:
        target = Target(*served, sockets)
        yield target
        await target.nobody_noticed()
    await target.is_alone_again()


@pytest.fixture
def frame():
    """Encode a client's frame: ``frame(opcode, payload, fin=…, mask=…)``; a zero mask changes nothing."""

    def encode(opcode, payload=b"", *, fin=True, mask=bytes(4)):
        size = len(payload)
        short = size if size < 126 else 126 if size < 65_536 else 127
        length = b"" if size < 126 else size.to_bytes(2 if size < 65_536 else 8, "big")
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)) if any(mask) else payload
        return bytes((fin << 7 | opcode, 0x80 | short)) + length + mask + masked

    return encode
