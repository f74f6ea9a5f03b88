"""Plays a case of the Autobahn test suite: sends whatever frames a case asks for, and notes what comes back.

It is written anew, on asyncio, after the client that the suite has (Autobahn|Python 0.10.9). Who closed, who dropped
the connection, and whether that was clean, is what cases judge by, besides what they read.
"""

import asyncio
import base64
import os
import re
import ssl
import types
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from cases import Offer, number_of

PATIENCE = 1.0
"""Seconds that the suite waits for the answer to a close, and then for the server to close the connection."""

LONGEST_CASE = 500.0
"""Seconds; the suite's own longest wait is 480."""

_CONTROL, _CLOSE, _PING, _PONG = 8, 8, 9, 10
_CLOSED, _CONNECTING, _CLOSING, _OPEN = 0, 1, 2, 3  # states, as the cases know them
_TAIL = b"\x00\x00\xff\xff"
_LATIN = "latin-1"


class Player(asyncio.Protocol):
    """One connection, for one case. What the cases use has their names for it.

    Args:
        case: the case's class.
        host: for the handshake.
        path: likewise.

    Attributes:
        done: is set when the connection has ended.

    """

    CLOSE_STATUS_CODE_NORMAL, CLOSE_STATUS_CODE_GOING_AWAY, CLOSE_STATUS_CODE_PROTOCOL_ERROR = 1000, 1001, 1002
    CLOSE_STATUS_CODE_INVALID_PAYLOAD = 1007

    def __init__(self, case: type, host: str, path: str) -> None:
        self.factory = types.SimpleNamespace(isServer=False)
        self.state = 1  # connecting
        self.connectionWasOpen = self.closedByMe = self.failedByMe = self.droppedByMe = self.wasClean = False
        self.remoteCloseCode = self.localCloseReason = self.trafficStats = None
        self.autoFragmentSize = 0
        self.txFrameStats: dict[int, int] = {}
        self.perMessageCompressionOffers: Sequence[Offer] = ()
        self.perMessageCompressionAccept = self._perMessageCompress = None
        self.createWirelog = True
        self.done = asyncio.Event()
        self._host, self._path = host, path
        self._bytes = b""
        self._message: list[bytes] = []
        self._opcode = 0
        self._packed = False
        self._pieces: deque[bytes] = deque()  # of frames that are sent in pieces, and of what comes after them
        self._begun = False  # a message that is sent as a stream
        self._loop = asyncio.get_running_loop()
        # The data of the suite's compressed messages is bytes in its cases, too.
        self._as_bytes = number_of(case).startswith(("12.", "13."))
        self.case: Any = case(self)

    # What a case asks for

    def enableWirelog(self, enable: bool) -> None:  # noqa: N802 - the suite's, as all that follow
        """Take no notice: there is no such log."""

    def continueLater(self, delay: float, fun: Callable[[], None], tag: object = None) -> None:  # noqa: ARG002, N802
        """Go on later, if the connection is still there."""
        self._later(delay, fun)

    def killAfter(self, delay: float) -> None:  # noqa: N802
        """Fail the connection, if it is still there."""
        self._later(delay, self._fail)

    def closeAfter(self, delay: float) -> None:  # noqa: N802
        """Begin to close, if the connection is still there."""
        self._later(delay, self.sendClose)

    def sendFrame(  # noqa: N802, PLR0917
        self,
        opcode: int,
        payload: str | bytes = b"",
        fin: bool = True,
        rsv: int = 0,
        mask: object = None,  # noqa: ARG002
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        """Send one frame, whatever is in it; `payload_len` repeats the payload up to that length."""
        data = payload.encode(_LATIN) if isinstance(payload, str) else payload
        if payload_len is not None:
            data = (data * (payload_len // max(1, len(data)) + 1))[:payload_len]
        self.txFrameStats[opcode] = self.txFrameStats.get(opcode, 0) + 1
        key = os.urandom(4)
        frame = _head(opcode, len(data), key, fin=fin, rsv=rsv) + _masked(data, key)
        self._write(frame, chopsize or (1 if sync else 0))

    def sendMessage(  # noqa: N802
        self,
        payload: str | bytes,
        isBinary: bool = False,  # noqa: N803
        fragmentSize: int | None = None,  # noqa: N803
        sync: bool = False,
        doNotCompress: bool = False,  # noqa: N803
    ) -> None:
        """Send a message, in fragments if asked for, compressed if agreed."""
        if self.state != _OPEN:
            return
        data, rsv = payload.encode(_LATIN) if isinstance(payload, str) else payload, 0
        if self._perMessageCompress is not None and not doNotCompress:
            data, rsv = self._perMessageCompress.pack(data), 4
        size = fragmentSize or self.autoFragmentSize or max(1, len(data))
        opcode = 2 if isBinary else 1
        for start in range(0, max(1, len(data)), size):
            last = start + size >= len(data)
            self.sendFrame(opcode, data[start : start + size], fin=last, rsv=rsv, sync=sync)
            opcode = rsv = 0

    def beginMessage(self, isBinary: bool = False) -> None:  # noqa: N802, N803
        """Begin a message that is sent as a stream."""
        self._opcode_out = 2 if isBinary else 1

    def beginMessageFrame(self, length: int) -> None:  # noqa: N802
        """Send the head of one of its frames; `sendMessageFrameData` is to send so many bytes."""
        self._key, self._at = os.urandom(4), 0
        self._write(_head(self._opcode_out, length, self._key, fin=False))
        self._opcode_out = 0

    def sendMessageFrameData(self, payload: str, sync: bool = False) -> None:  # noqa: N802
        """Send bytes of the frame that has begun."""
        data, turn = payload.encode(_LATIN), self._at % 4
        self._write(_masked(data, self._key[turn:] + self._key[:turn]), 1 if sync else 0)
        self._at += len(data)

    def endMessage(self) -> None:  # noqa: N802
        """End the message, with an empty frame."""
        self.sendFrame(0)

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:  # noqa: N802
        """Begin to close the connection."""
        self.sendCloseFrame(code, reason.encode() if reason else None)

    def sendCloseFrame(  # noqa: N802
        self,
        code: int | None = None,
        reasonUtf8: str | bytes | None = None,  # noqa: N803
        isReply: bool = False,  # noqa: N803
    ) -> None:
        """Send a close frame, if none was sent, and wait for the other side's."""
        if self.state != _OPEN:
            return
        reason = reasonUtf8.encode(_LATIN) if isinstance(reasonUtf8, str) else reasonUtf8 or b""
        self.sendFrame(_CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)
        self.state, self.closedByMe = _CLOSING, not isReply
        self.localCloseReason = reason.decode(_LATIN)
        if not isReply:
            self._later(PATIENCE, self._drop_unless_answered)

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self._transport: Any = transport
        lines = [
            f"GET {self._path} HTTP/1.1",
            f"Host: {self._host}",
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if self.perMessageCompressionOffers:
            lines.append(f"Sec-WebSocket-Extensions: {', '.join(map(str, self.perMessageCompressionOffers))}")
        transport.write("\r\n".join([*lines, "", ""]).encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, then frames."""
        self._bytes += data
        if self.state == _CONNECTING:
            head, end, rest = self._bytes.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._transport.abort()
                return
            agreed = re.search(rb"(?im)^sec-websocket-extensions:(.*)$", head)
            if agreed:
                self._perMessageCompress = _Deflate(agreed[1].decode())
            self._bytes, self.state, self.connectionWasOpen = rest, _OPEN, True
            self.case.onOpen()
        while self.state != _CLOSED and self._take_frame():
            pass

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Let the case judge."""
        self.state = _CLOSED
        self.case.onConnectionLost(self.failedByMe)
        self.done.set()

    def _take_frame(self) -> bool:
        """Take a frame off what has come; False when none is whole."""
        data = self._bytes
        if len(data) < 2:
            return False
        length, at = data[1] & 127, 2
        if length > 125:
            at = 4 if length == 126 else 10
            if len(data) < at:
                return False
            length = int.from_bytes(data[2:at], "big")
        if len(data) < at + length:
            return False
        payload, self._bytes = data[at : at + length], data[at + length :]
        if data[1] & 128:  # a server masks nothing
            self._fail()
        elif data[0] & 15 >= _CONTROL:
            self._take_control(data[0] & 15, payload)
        else:
            self._take_data(data[0], payload)
        return True

    def _take_data(self, first: int, payload: bytes) -> None:
        opcode, final = first & 15, first & 128
        if (opcode == 0) is not bool(self._opcode) or first & 0x30:
            self._fail()
            return
        if opcode:
            self._opcode, self._packed = opcode, bool(first & 0x40)
        self._message.append(payload)
        if not final:
            return
        message, binary = b"".join(self._message), self._opcode == 2
        self._message, self._opcode = [], 0
        if self._packed:
            if self._perMessageCompress is None:
                self._fail()
                return
            message = self._perMessageCompress.unpack(message)
        self.case.onMessage(message if self._as_bytes else message.decode(_LATIN), binary)

    def _take_control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING and self.state == _OPEN:
            self.sendFrame(_PONG, payload)
        elif opcode == _PONG:
            self.case.onPong(payload.decode(_LATIN))
        elif opcode == _CLOSE:
            self.remoteCloseCode = int.from_bytes(payload[:2], "big") if payload else None
            self.wasClean = True
            self.sendCloseFrame(self.remoteCloseCode, payload[2:], isReply=True)
            self._later(PATIENCE, self._drop)  # it is for the server to close the connection

    def _later(self, delay: float, what: Callable[[], None]) -> None:
        self._loop.call_later(delay, lambda: what() if self.state != _CLOSED else None)

    def _drop_unless_answered(self) -> None:
        if not self.wasClean:
            self._drop()

    def _drop(self) -> None:
        self.wasClean, self.droppedByMe = False, True
        self.state = _CLOSED
        self._transport.abort()

    def _fail(self) -> None:
        self.failedByMe = True
        self._drop()

    def _write(self, data: bytes, size: int = 0) -> None:
        """Write bytes, in pieces of a size if one is given, a turn of the loop for each."""
        if not size and not self._pieces:
            self._transport.write(data)
            return
        waiting = bool(self._pieces)
        self._pieces.extend([data[at : at + size] for at in range(0, len(data), size)] if size else [data])
        if not waiting:
            self._write_piece()

    def _write_piece(self) -> None:
        if self._pieces and self.state != _CLOSED:
            self._transport.write(self._pieces[0])
            self._loop.call_later(0.00001, self._next_piece)

    def _next_piece(self) -> None:
        self._pieces.popleft()
        self._write_piece()


class _Deflate:
    """Compresses and decompresses messages as the server's answer says (RFC 7692)."""

    def __init__(self, agreed: str) -> None:
        parameters = dict(part.strip().partition("=")[::2] for part in agreed.split(";"))
        self._forgets = "client_no_context_takeover" in parameters
        self._forgotten = "server_no_context_takeover" in parameters
        self._out = -int((parameters.get("client_max_window_bits") or "15").strip('"'))
        self._in = -int((parameters.get("server_max_window_bits") or "15").strip('"'))
        self._packer, self._unpacker = self._new_packer(), zlib.decompressobj(self._in)

    def _new_packer(self) -> Any:
        return zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, self._out, 8)

    def pack(self, data: bytes) -> bytes:
        """Compress a message."""
        if self._forgets:
            self._packer = self._new_packer()
        packed: bytes = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        return packed.removesuffix(_TAIL)

    def unpack(self, data: bytes) -> bytes:
        """Decompress a message."""
        if self._forgotten:
            self._unpacker = zlib.decompressobj(self._in)
        return self._unpacker.decompress(data + _TAIL)


def _head(opcode: int, length: int, key: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    first = (128 if fin else 0) | rsv << 4 | opcode
    if length < 126:
        return bytes((first, 128 | length)) + key
    if length < 65_536:
        return bytes((first, 128 | 126)) + length.to_bytes(2, "big") + key
    return bytes((first, 128 | 127)) + length.to_bytes(8, "big") + key


def _masked(data: bytes, key: bytes) -> bytes:
    stream = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


async def play(case: type, url: str) -> tuple[str, str]:
    """Play one case, and give the suite's words for what was sent and received, and for how the connection ended."""
    parts = urlsplit(url)
    context = None
    if parts.scheme == "wss":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    make = partial(Player, case, parts.netloc, parts.path or "/")
    transport, player = await loop.create_connection(make, parts.hostname, parts.port, ssl=context)
    try:
        await asyncio.wait_for(player.done.wait(), LONGEST_CASE)
    finally:
        transport.abort()
    return player.case.behavior, player.case.behaviorClose
