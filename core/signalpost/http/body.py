"""Bodies of requests as they arrive: of known length, or in chunks (RFC 9112 sections 6.2 and 7.1). Pure.

Chunks are parsed strictly. Two servers that parse them differently see different requests: what one reads as the rest
of a body, the other reads as another client's next request.
"""

import re
from enum import Enum, auto

MOST_CHUNKS = 1_024
"""Chunks that are read before others get their turn."""

LONGEST_LINE = 256
"""Bytes of the line before a chunk: its size and extensions, which are ignored."""

MOST_EXTENSIONS = 16_384
"""Bytes of the extensions of all chunks of a body."""

MOST_TRAILERS = 8_192
"""Bytes of the fields behind the last chunk. They are discarded (RFC 9110 section 6.5.1)."""

_CRLF = b"\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})([\t ]*;[\t -~\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n")


class MalformedBodyError(Exception):
    """A body is not framed as declared; its end is unknown."""


class SizedBody:
    """A body whose length is known (RFC 9112 section 6.2).

    Attributes:
        length: bytes that the body is known to have at least.
    """

    __slots__ = ("_left", "length")

    def __init__(self, length: int) -> None:
        self.length = self._left = length

    @property
    def done(self) -> bool:
        """Whether all of it has been read."""
        return not self._left

    def read(self, buffer: bytearray, body: bytearray) -> bool:
        """Move received bytes of the body.

        Args:
            buffer: bytes from the client. Bytes of the body are removed from it; what follows the body stays.
            body: the content is appended to it.

        Returns:
            Whether more can be read from the buffer; False if more bytes must arrive first, or if the body is done.

        Raises:
            MalformedBodyError: it is not framed as declared; each further read raises it again.
        """
        part = buffer[: self._left]
        del buffer[: len(part)]
        self._left -= len(part)
        body += part
        return False


class _Next(Enum):
    """The next element in a body of chunks."""

    SIZE = auto()
    DATA = auto()
    END = auto()  # of a chunk's data
    TRAILERS = auto()
    NOTHING = auto()


class ChunkedBody:
    """A body in chunks (RFC 9112 section 7.1). The rest is as in `SizedBody`."""

    __slots__ = ("_extensions", "_left", "_next", "_trailers", "length")

    def __init__(self) -> None:
        self.length = 0
        self._next = _Next.SIZE
        self._left = 0  # of the chunk's data
        self._extensions = 0
        self._trailers = 0

    @property
    def done(self) -> bool:
        """Whether all of it has been read."""
        return self._next is _Next.NOTHING

    def read(self, buffer: bytearray, body: bytearray) -> bool:
        """Move received bytes, a thousand chunks at most; see `SizedBody.read`."""
        at = chunks = 0
        try:
            while not self.done and chunks < MOST_CHUNKS:
                before, state = at, self._next
                at = self._step(buffer, at, body)
                if at == before and self._next is state:
                    return False
                chunks += state is _Next.SIZE or state is _Next.TRAILERS
        finally:
            del buffer[:at]
        return not self.done

    def _step(self, buffer: bytearray, at: int, body: bytearray) -> int:
        """Read one part from an offset on; return the offset of its end, or the same offset if it is incomplete."""
        match self._next:
            case _Next.SIZE:
                return self._read_size(buffer, at)
            case _Next.DATA:
                part = buffer[at : at + self._left]
                body += part
                self._left -= len(part)
                if not self._left:
                    self._next = _Next.END
                return at + len(part)
            case _Next.END:
                end = buffer[at : at + 2]
                if not _CRLF.startswith(end):
                    raise MalformedBodyError
                if len(end) < len(_CRLF):
                    return at
                self._next = _Next.SIZE
                return at + len(_CRLF)
            case _Next.TRAILERS:
                return self._read_trailer(buffer, at)
            case _Next.NOTHING:
                return at

    def _read_size(self, buffer: bytearray, at: int) -> int:
        end = _line_end(buffer, at, LONGEST_LINE)
        if not end:
            return at
        found = _SIZE.fullmatch(buffer, at, end)
        if found is None:
            raise MalformedBodyError
        self._extensions += len(found[2] or b"")
        if self._extensions > MOST_EXTENSIONS:
            raise MalformedBodyError
        self._left = int(found[1], 16)
        self.length += self._left
        self._next = _Next.DATA if self._left else _Next.TRAILERS
        return end

    def _read_trailer(self, buffer: bytearray, at: int) -> int:
        end = _line_end(buffer, at, MOST_TRAILERS - self._trailers)
        if not end:
            return at
        if end - at == len(_CRLF) and buffer.startswith(_CRLF, at):
            self._next = _Next.NOTHING
        elif _TRAILER.fullmatch(buffer, at, end) is None:
            raise MalformedBodyError
        self._trailers += end - at
        return end


Body = SizedBody | ChunkedBody
"""The framing of one body."""


def _line_end(buffer: bytearray, at: int, most: int) -> int:
    """Return the offset behind a line, or 0 if the line is incomplete.

    Raises:
        MalformedBodyError: it is longer than `most` bytes.
    """
    end = buffer.find(b"\n", at, at + most) + 1
    if not end and len(buffer) - at >= most:
        raise MalformedBodyError
    return end
