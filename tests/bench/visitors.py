"""Clients that come, listen for a moment, and leave in one way or another: what soak.py sends to a server."""

import asyncio
import socket
import struct
from collections import Counter
from enum import Enum
from itertools import count
from typing import cast

HOST = "127.0.0.1"
SOURCES = 16  # 127.0.0.1 to 127.0.0.16: a closed connection keeps its port for a minute
MOST_AT_ONCE = 4_000
STAYS = (0.05, 0.25, 0.6, 1.0)  # seconds
JOIN_SECONDS, CLOSE_SECONDS = 10.0, 5.0
TICK_SECONDS = 0.01
TOO_BUSY = "a visitor was kept away, since thousands waited to be let in: server or machine is too busy for the rate"
NOT_LET_IN = f"a visitor was not let in within {JOIN_SECONDS:.0f} s"

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 101 "
CLOSE_NORMALLY = b"\x88\x82" + bytes(4) + struct.pack("!H", 1000)  # masked with zeros (RFC 6455 section 5.3)
HALF_A_FRAME = b"\x81\xfe\x10"
OP_TEXT, OP_CLOSE = 1, 8
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset


class Leaving(Enum):
    """How a visitor goes."""

    CLOSE = "by the closing handshake"
    HANG_UP = "by hanging up"
    RESET = "by a reset in the middle of a frame"
    ABANDON = "in the middle of the opening handshake"


class Visitor(asyncio.Protocol):
    """One connection. Checks that from the first message that it gets it gets each once and in order.

    Attributes:
        joined: done when the 101 has come; fails when something else did.
        gone: done when the server has ended the connection, or we have.
        closed: whether the server answered the closing handshake.
        wrong: messages that were missing, doubled, out of order, or not understood.

    """

    def __init__(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.request = request
        self.joined: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.closed = False
        self.wrong = 0
        self.messages = 0
        self._expected: dict[int, int] = {}
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self.joined.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            if not head.startswith(ACCEPTED):
                self.joined.set_exception(ConnectionRefusedError(head.decode("latin-1")))
                self.transport.abort()
                return
            self.joined.set_result(None)
        self._rest = self._read(data)

    def _read(self, data: bytes) -> bytes:
        """Take all whole frames; all that the load sends are shorter than 126 bytes. Returns what is left."""
        at = 0
        while len(data) - at >= 2 and len(data) - at - 2 >= data[at + 1]:
            opcode, length = data[at] & 15, data[at + 1]
            if opcode == OP_TEXT:
                self._check(data[at + 2 : at + 2 + length])
            elif opcode == OP_CLOSE:
                self.closed = True
            at += 2 + length
        return data[at:]

    def _check(self, message: bytes) -> None:
        """Read the stamp ``~publisher.sequence:``, and compare it with the publisher's last."""
        publisher, _, sequence = message.partition(b"~")[2].partition(b":")[0].partition(b".")
        self.messages += 1
        if not sequence.isdigit():
            self.wrong += 1
            return
        number = int(sequence)
        if number != self._expected.get(int(publisher), number):
            self.wrong += 1
        self._expected[int(publisher)] = number + 1

    def connection_lost(self, _error: Exception | None) -> None:
        for waiting in (self.joined, self.gone):
            if not waiting.done():
                waiting.set_result(None) if waiting is self.gone else waiting.set_exception(ConnectionResetError())


class Visits:
    """All of them: so many a second, never more than `MOST_AT_ONCE` at a time.

    Attributes:
        left: how many went, by how they went.
        trouble: what was not as it should be, by its name.
        messages: how many visitors got.

    """

    def __init__(self, port: int, a_second: int) -> None:
        self.port, self.a_second = port, a_second
        self.left: Counter[Leaving] = Counter()
        self.trouble: Counter[str] = Counter()
        self.messages = 0
        self._numbers = count()
        self._present: set[asyncio.Task[None]] = set()

    async def go_on(self, seconds: float) -> None:
        """Let visitors come for a time."""
        loop = asyncio.get_running_loop()
        begin, sent = loop.time(), 0
        while (passed := loop.time() - begin) < seconds:
            for _ in range(int(passed * self.a_second) - sent):
                sent += 1
                if len(self._present) >= MOST_AT_ONCE:
                    self.trouble[TOO_BUSY] += 1
                    continue
                visit = loop.create_task(self.visit(next(self._numbers)))
                self._present.add(visit)
                visit.add_done_callback(self._present.discard)
            await asyncio.sleep(TICK_SECONDS)

    async def end(self) -> None:
        """Wait until the last has gone; each waits for nothing longer than a few seconds."""
        while self._present:
            await asyncio.wait(set(self._present))

    async def visit(self, number: int) -> None:
        """One visit. Every second visitor has a path of its own, so that paths come and go, too."""
        kinds = tuple(Leaving)
        leaving, stay = kinds[number % len(kinds)], STAYS[number // len(kinds) % len(STAYS)]
        path = f"/visits/{number}" if number // (len(kinds) * len(STAYS)) % 2 else "/"
        request = REQUEST.format(path=path, host=HOST, port=self.port).encode()
        connection = socket.socket()
        try:
            await self._connect(connection, number)
            if leaving is Leaving.ABANDON:
                await asyncio.get_running_loop().sock_sendall(connection, request[: number % len(request)])
                await asyncio.sleep(stay)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            else:
                await self._stay(connection, request, leaving, stay)
            self.left[leaving] += 1
        except TimeoutError:
            self.trouble[NOT_LET_IN] += 1
        except OSError as error:
            self.trouble[f"a visitor was not let in: {type(error).__name__} {str(error)[:80]}".rstrip()] += 1
        finally:
            connection.close()

    async def _connect(self, connection: socket.socket, number: int) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.bind((f"127.0.0.{1 + number % SOURCES}", 0))
        async with asyncio.timeout(JOIN_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, (HOST, self.port))

    async def _stay(self, connection: socket.socket, request: bytes, leaving: Leaving, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        transport, visitor = await loop.create_connection(lambda: Visitor(request), sock=connection)
        try:
            await asyncio.wait_for(visitor.joined, JOIN_SECONDS)
            await asyncio.wait([visitor.gone], timeout=seconds)
            if visitor.gone.done():
                self.trouble["a visitor was cut off"] += 1
            elif leaving is Leaving.CLOSE:
                transport.write(CLOSE_NORMALLY)
                await asyncio.wait([visitor.gone], timeout=CLOSE_SECONDS)
                if not (visitor.closed and visitor.gone.done()):
                    self.trouble["a closing handshake was not answered"] += 1
            elif leaving is Leaving.HANG_UP:
                transport.close()
            else:
                transport.write(HALF_A_FRAME)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                transport.abort()
        finally:
            transport.abort()
            self.messages += visitor.messages
            if visitor.wrong:
                self.trouble["a message was missing, doubled or out of order for a visitor"] += visitor.wrong
