"""permessage-deflate (RFC 7692): outgoing messages are compressed, incoming ones inflated. No socket.

The server never takes its context over (section 7.1.1.1), even if the client allows it, for two reasons. A broadcast is
compressed once for all clients with the same parameters; with a window per connection no two of them could read the
same bytes. And a frame may be left out for a slow client, which would break a shared window. The cost is a lower ratio:
every message is compressed alone, so short ones are not compressed at all.

Clients may take theirs over. That costs the server memory for each of them; see `Inflater`.
"""

import zlib
from dataclasses import dataclass
from typing import Final

from signalpost.websocket.frames import encode_frame

RSV1: Final = 0x40
"""Of a frame's first byte: the message is compressed (RFC 7692 section 6)."""

LARGEST_WINDOW: Final = 15
"""The base-2 logarithm of the largest LZ77 window that DEFLATE allows (RFC 7692 section 7.1.2)."""

SMALLEST_WINDOW: Final = 9
"""zlib does not compress with a window of 256 bytes, which would be 8."""

_TAIL: Final = b"\x00\x00\xff\xff"  # the end of an empty stored block: left out on the wire (RFC 7692 section 7.2.1)
_FINAL_BLOCK: Final = b"\x03\x00"  # an empty one with BFINAL
_OPCODE, _LENGTH, _MEDIUM, _LONG = 0x0F, 0x7F, 126, 127
_MOST_ENDS = 64


@dataclass(frozen=True, slots=True)
class Agreement:
    """The parameters of one connection (RFC 7692 section 7.1); the server's context is never taken over.

    Attributes:
        server_window: bits of the window for what the server sends.
        client_window: bits of the window for what the client sends.
        client_takes_over: whether a message of the client may refer to the content of its earlier ones.
    """

    server_window: int = LARGEST_WINDOW
    client_window: int = LARGEST_WINDOW
    client_takes_over: bool = True


class Deflater:
    """Compresses encoded frames for all clients of one set of parameters: call it with a frame.

    One zlib compressor serves all messages: a full flush ends each, so that nothing after it refers to what was before.
    It costs 256 KiB once; a compressor for each message would have to clear as much each time.

    Args:
        level: of zlib, 1 (fast) to 9 (small).
        threshold: payloads of fewer bytes are not compressed.
        window: bits, 9 to 15.
    """

    __slots__ = ("_compressor", "_threshold")

    def __init__(self, level: int, threshold: int, window: int) -> None:
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, -window)
        self._threshold = threshold

    def __call__(self, frame: bytes) -> bytes:
        """Compress a whole frame made by `encode_frame`.

        Returns:
            `frame` itself if it is shorter than the threshold, or would not become shorter.
        """
        start = _header_size(frame)
        if len(frame) - start < self._threshold:
            return frame
        compressor = self._compressor
        payload = compressor.compress(memoryview(frame)[start:]) + compressor.flush(zlib.Z_FULL_FLUSH)
        compressed = encode_frame(frame[0] & _OPCODE, payload[: -len(_TAIL)])
        if len(compressed) >= len(frame):
            return frame
        return bytes((compressed[0] | RSV1,)) + compressed[1:]


class Deflaters:
    """The deflaters of one server: equal parameters share one, so that a broadcast is compressed once for all."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[tuple[int, int, int], Deflater] = {}

    def of(self, level: int, threshold: int, window: int) -> Deflater:
        """Return the deflater for these parameters, which are those of `Deflater`."""
        parameters = (level, threshold, window)
        deflater = self._made.get(parameters)
        if deflater is None:
            deflater = self._made[parameters] = Deflater(*parameters)
        return deflater


class InflateError(Exception):
    """What a client sent is not DEFLATE data, or not all of it."""


class TooLargeError(Exception):
    """A message inflates to more than its limit."""


class Inflater:
    """Inflates the messages of one client as they arrive.

    zlib's state is created for the first compressed message: about 7 KB and a window of 2 to the power of its bits,
    measured as 11.5 KB with 12 bits and 40.1 KB with 15. It lives as long as the connection if the client takes its
    context over, else for one message.

    Args:
        agreement: of the connection.
    """

    __slots__ = ("_bits", "_ends", "_state", "_takes_over")

    def __init__(self, agreement: Agreement) -> None:
        self._bits = agreement.client_window
        self._takes_over = agreement.client_takes_over
        self._state: zlib._Decompress | None = None
        self._ends = 0

    def inflate(self, data: bytes, room: int) -> bytes:
        """Inflate the next bytes of a message.

        Args:
            data: from the wire, unmasked.
            room: bytes that the message may still grow by; no more than one byte beyond it is ever inflated.

        Raises:
            InflateError: it is not DEFLATE data.
            TooLargeError: there is more than `room`.
        """
        inflated = b""
        while data:
            if self._state is None:
                self._state = zlib.decompressobj(-self._bits)
            state = self._state
            try:
                part = state.decompress(data, room + 1 - len(inflated))
            except zlib.error:
                raise InflateError("the compressed data is broken") from None
            inflated = inflated + part if inflated else part
            if len(inflated) > room:
                raise TooLargeError
            data = b""
            if state.eof:
                data = self._start_again(state.unused_data)
        return inflated

    def end(self, room: int) -> bytes:
        """Inflate the rest of a message, now that all of its bytes have arrived (RFC 7692 section 7.2.2).

        Raises:
            InflateError: it is not DEFLATE data, or it is truncated.
            TooLargeError: there is more than `room`.
        """
        inflated = self.inflate(_TAIL, room)
        state, self._ends = self._state, 0
        if not self._takes_over:
            self._state = None
        # In the middle of a block any bytes would be read as more of it; only between two blocks is this the end.
        probe = state.copy() if state is not None and self._takes_over else state
        if probe is not None and (_refused(probe, _FINAL_BLOCK) or not probe.eof):
            raise InflateError("the compressed data is broken off")
        return inflated

    def _start_again(self, data: bytes) -> bytes:
        """Continue after a block with BFINAL (RFC 7692 section 7.2.3.4): the data set has ended, and another begins.

        It begins with an empty window (RFC 1951 section 2). Every start costs the server a new state, so a message that
        contains only ends is an attack.
        """
        self._state = None
        self._ends += 1
        if self._ends > _MOST_ENDS:
            raise InflateError(f"the compressed data ends more than {_MOST_ENDS} times in one message")
        return data


def _refused(state: "zlib._Decompress", data: bytes) -> bool:
    """Return whether `data` is not what must come next, or is not empty."""
    try:
        return bool(state.decompress(data, 1))
    except zlib.error:
        return True


def _header_size(frame: bytes) -> int:
    length = frame[1] & _LENGTH
    return 2 if length < _MEDIUM else 4 if length < _LONG else 10
