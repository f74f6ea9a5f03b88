"""Turns a client's bytes into messages and control frames (RFC 6455 section 5, RFC 7692). No socket, no loop."""

import codecs
from typing import Final

from websockets.speedups import apply_mask

from signalpost.websocket.deflate import RSV1, InflateError, Inflater, TooLargeError
from signalpost.websocket.frames import MAX_CONTROL_PAYLOAD, CloseCode, Opcode, may_be_sent

Received = tuple[int, bytes]
"""An opcode (TEXT, BINARY, CLOSE, PING or PONG) and the whole payload, unmasked. Text is valid UTF-8."""

_TEXT: Final = int(Opcode.TEXT)
_CLOSE: Final = int(Opcode.CLOSE)
_DATA_OPCODES: Final = frozenset({Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY})
_MESSAGE_OPCODES: Final = frozenset({Opcode.TEXT, Opcode.BINARY})
_CONTROL_OPCODES: Final = frozenset({Opcode.CLOSE, Opcode.PING, Opcode.PONG})

_FIN, _RESERVED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
_FINAL_TEXT: Final = _FIN | _TEXT
_FIXED_HEADER: Final = 2
_MASK: Final = 4
_SHORT_HEADER: Final = _FIXED_HEADER + _MASK
_EXTENDED_LENGTHS: Final = {126: 2, 127: 8}  # second bytes without the mask bit, and bytes of length behind them
_SHORTEST_EXTENDED: Final = {2: 126, 8: 65_536}
_SHORT: Final = 126  # lengths from this one on stand behind the second byte
_SHORT_MASKED_END: Final = _MASKED | _SHORT

_NOT_UTF8: Final = "text is not valid UTF-8"
_SURROGATE_LEAD, _FIRST_SURROGATE = b"\xed", b"\xa0"
_new_utf8_checker = codecs.getincrementaldecoder("utf-8")


class ProtocolError(Exception):
    """The client violated RFC 6455: its connection must be failed with this code (section 7.1.7)."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code.value} {reason}")


class FrameReader:
    """Reads frames however the stream is split; checks UTF-8 and sizes as bytes arrive, before they are stored.

    After an error the reader is finished: `error` says why, and further bytes are ignored.

    Args:
        limit: the largest message, in bytes, fragments together; of a compressed one, what it inflates to.
        inflater: of a connection on which permessage-deflate was negotiated.

    Attributes:
        close: the payload of the first close frame that was read, or None.
        error: why the connection must be failed, or None.
        fragments: frames that were read and completed no message; the code that counts them resets it.
        inflated: bytes by which inflated data exceeds received data; reset in the same way.
        unfinished: bytes of a message that is incomplete.
    """

    __slots__ = (
        "_compressed",
        "_decoder",
        "_frame",
        "_inflater",
        "_limit",
        "_message",
        "_message_opcode",
        "_message_size",
        "_tail",
        "close",
        "error",
        "fragments",
        "inflated",
        "unfinished",
    )

    def __init__(self, limit: int, inflater: Inflater | None = None) -> None:
        self._limit = limit
        self._inflater = inflater
        self._tail = b""  # an incomplete header
        self._frame: _PartialFrame | None = None  # a header was read, its payload is still arriving
        self._message_opcode = 0  # of the message under way, 0 between messages
        self._message_size = 0  # as announced by its frames' headers, unless it is compressed
        self._compressed = False  # the message under way
        self._message = bytearray()  # not a list: a flood of tiny fragments must not cost an object each
        self._decoder: codecs.IncrementalDecoder | None = None
        self.close: bytes | None = None
        self.error: ProtocolError | None = None
        self.fragments = 0
        self.inflated = 0
        self.unfinished = 0

    @property
    def inflates(self) -> bool:
        """Whether messages may be compressed."""
        return self._inflater is not None

    @property
    def begun(self) -> tuple[int, bytes]:
        """How many bytes of the current frame are missing, and the bytes of its header received so far."""
        return (0 if self._frame is None else self._frame.missing), self._tail

    def set_limit(self, limit: int) -> None:
        """Limit messages to `limit` bytes; for a message that has begun, the missing part must fit."""
        self._limit = limit

    def read_text(self, data: bytes) -> bytes | None:
        """Read bytes that are one whole short text message, as most are: quicker than `feed`, and no different.

        Returns:
            The payload; None if the bytes are anything else, or a message is under way: then they are for `feed`.
        """
        size = len(data) - _SHORT_HEADER
        if (
            0 <= size < _SHORT
            and data[0] == _FINAL_TEXT
            and data[1] == _MASKED | size
            and size <= self._limit
            and not self._tail
            and not self._message_opcode
            and self._frame is None
            and self.error is None
        ):
            payload = apply_mask(data[_SHORT_HEADER:], data[_FIXED_HEADER:_SHORT_HEADER])
            if payload.isascii():
                return payload
        return None

    def feed(self, data: bytes) -> list[Received]:
        """Read the next bytes of the stream, of any length; return what they complete, in order.

        Messages before an error are still returned; `error` is set then.
        """
        text = self.read_text(data)
        if text is not None:
            return [(_TEXT, text)]
        received: list[Received] = []
        if self.error is not None:
            return received
        try:
            self._feed(data, received)
        except ProtocolError as error:
            self.fail(error.code, error.reason)
        self.unfinished = len(self._message)
        return received

    def fail(self, code: CloseCode, reason: str) -> None:
        """Stop reading, and drop an incomplete message."""
        # Not a caught error: its traceback refers to everything that was read and inflated.
        self.error = ProtocolError(code, reason)
        self.forget()

    def forget(self) -> None:
        """Drop an incomplete message; no more bytes arrive."""
        self._tail, self._frame, self._message, self._decoder = b"", None, bytearray(), None
        self._inflater = None
        self.unfinished = 0

    def _feed(self, data: bytes, received: list[Received]) -> None:
        if self._tail:
            data = self._tail + data
            self._tail = b""
        position = 0
        while True:
            if self._frame is not None:
                position = self._continue_payload(data, position, received)
                if self._frame is not None:
                    return
            if not self._message_opcode:
                position = self._read_short_texts(data, position, received)
            position, complete = self._read_header(data, position)
            if not complete:
                self._tail = data[position:]
                return

    def _read_short_texts(self, data: bytes, position: int, received: list[Received]) -> int:
        """Read complete short text messages of one frame each: the fast common case; return the position behind."""
        limit, end = self._limit, len(data)
        while (
            end - position >= _SHORT_HEADER
            and data[position] == _FINAL_TEXT
            and _MASKED <= (second := data[position + 1]) < _SHORT_MASKED_END
        ):
            start = position + _SHORT_HEADER
            stop = start + second - _MASKED
            if stop > end or stop - start > limit:
                break
            payload = apply_mask(data[start:stop], data[position + 2 : start])
            if not payload.isascii():
                _check_utf8(payload)
            received.append((_TEXT, payload))
            position = stop
        return position

    def _read_header(self, data: bytes, position: int) -> tuple[int, bool]:
        """Read one frame's header; return the position behind it and whether it was complete.

        Each check runs as soon as its byte is available, so that a hostile stream ends at once.
        """
        available = len(data) - position
        if not available:
            return position, False
        first = data[position]
        opcode = first & _OPCODE
        self._check_first_byte(first)
        if available < _FIXED_HEADER:
            return position, False
        second = data[position + 1]
        if not second & _MASKED:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "frames from a client must be masked")
        length = second & _LENGTH
        extended = _EXTENDED_LENGTHS.get(length, 0)
        if opcode in _CONTROL_OPCODES and length > MAX_CONTROL_PAYLOAD:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a control frame holds at most 125 bytes")
        start = position + _FIXED_HEADER + extended
        if start > len(data):
            return position, False
        if extended:
            length = _extended_length(data[position + _FIXED_HEADER : start])
        size = length if self._counts(first) else 0
        if size and self._message_size + size > self._limit:
            raise self._too_big()
        if start + _MASK > len(data):
            return position, False
        self._frame = _PartialFrame(opcode, bool(first & _FIN), length, data[start : start + _MASK])
        self._message_size += size
        if opcode in _MESSAGE_OPCODES:
            self._message_opcode = opcode
            self._compressed = bool(first & RSV1)
        return start + _MASK, True

    def _counts(self, first: int) -> bool:
        """Whether a frame's length counts towards the limit: the inflated size of compressed bytes is unknown yet."""
        opcode = first & _OPCODE
        if opcode in _CONTROL_OPCODES:
            return False
        return not (first & RSV1 if opcode else self._compressed)

    def _too_big(self) -> ProtocolError:
        return ProtocolError(CloseCode.TOO_BIG, f"messages may have at most {self._limit} bytes")

    def _check_first_byte(self, first: int) -> None:
        opcode = first & _OPCODE
        reserved = first & _RESERVED
        if reserved and self._inflater is None:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "reserved bits are set but no extension was negotiated")
        if reserved and (reserved != RSV1 or opcode not in _MESSAGE_OPCODES):
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR, "of the reserved bits only RSV1 may be set, on the first frame of a message"
            )
        if opcode in _CONTROL_OPCODES:
            if not first & _FIN:
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a control frame must not be fragmented")
        elif opcode not in _DATA_OPCODES:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        elif opcode and self._message_opcode:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a new message began before the last one ended")
        elif not opcode and not self._message_opcode:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a continuation without a message to continue")

    def _continue_payload(self, data: bytes, position: int, received: list[Received]) -> int:
        """Read what is available of the current frame's payload; return the position behind it."""
        frame = self._frame
        assert frame is not None  # noqa: S101 - the caller has looked
        stop = position + frame.missing
        chunk = data[position:stop]
        if chunk:
            frame.missing -= len(chunk)
            plain = apply_mask(chunk, frame.mask)
            if frame.missing:
                turn = len(chunk) % 4
                frame.mask = frame.mask[turn:] + frame.mask[:turn]
        else:
            plain = b""
        if frame.opcode in _CONTROL_OPCODES:
            frame.payload += plain
            if not frame.missing:
                self._frame = None
                if frame.opcode == _CLOSE:
                    _check_close(frame.payload)
                    if self.close is None:
                        self.close = frame.payload
                received.append((frame.opcode, frame.payload))
        else:
            self._continue_message(frame, plain, received)
        return position + len(chunk)

    def _continue_message(self, frame: "_PartialFrame", plain: bytes, received: list[Received]) -> None:
        final = frame.final and not frame.missing
        if self._compressed:
            plain = self._inflated(plain, final=final)
        if self._message_opcode == _TEXT:
            if self._decoder is not None:
                _check_utf8(plain, self._decoder, final=final)
            elif final:
                _check_utf8(plain)
            else:
                self._decoder = _new_utf8_checker()
                _check_utf8(plain, self._decoder, final=False)
        self._message += plain
        if frame.missing:
            return
        self._frame = None
        if not final:
            self.fragments += 1
        else:
            received.append((self._message_opcode, bytes(self._message)))
            self._message_opcode = self._message_size = 0
            self._message = bytearray()
            self._decoder = None

    def _inflated(self, data: bytes, *, final: bool) -> bytes:
        """Inflate the next bytes of a compressed message, at most as many as the message may have."""
        # Not below 0, which zlib reads as no limit: the limit may have been lowered meanwhile.
        inflater, room = self._inflater, max(self._limit - len(self._message), 0)
        assert inflater is not None  # noqa: S101 - without one no message is compressed
        try:
            inflated = inflater.inflate(data, room)
            if final:
                inflated += inflater.end(room - len(inflated))
        except InflateError as error:
            raise ProtocolError(CloseCode.INVALID_DATA, str(error)) from None
        except TooLargeError:
            raise self._too_big() from None
        self.inflated += max(0, len(inflated) - len(data))
        return inflated


class _PartialFrame:
    """A frame whose header is known.

    Attributes:
        missing: bytes of payload still to arrive.
        mask: four bytes, rotated to start at the next byte.
        payload: of a control frame, as far as received.
    """

    __slots__ = ("final", "mask", "missing", "opcode", "payload")

    def __init__(self, opcode: int, final: bool, length: int, mask: bytes) -> None:
        self.opcode = opcode
        self.final = final
        self.missing = length
        self.mask = mask
        self.payload = b""


def _extended_length(field: bytes) -> int:
    length = int.from_bytes(field, "big")
    if length >> 63:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "the most significant bit of a length must be 0")
    if length < _SHORTEST_EXTENDED[len(field)]:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "the length is not in its shortest form")
    return length


def _check_utf8(chunk: bytes, decoder: codecs.IncrementalDecoder | None = None, *, final: bool = True) -> None:
    """Check text as it streams (RFC 6455 section 8.1)."""
    try:
        if decoder is None:
            chunk.decode()
        else:
            decoder.decode(chunk, final)
            # Python keeps the first two bytes of a surrogate until the third arrives; they are already invalid.
            begun = decoder.getstate()[0]
            if begun[:1] == _SURROGATE_LEAD and begun[1:] >= _FIRST_SURROGATE:
                raise ProtocolError(CloseCode.INVALID_DATA, _NOT_UTF8)
    except UnicodeDecodeError:
        raise ProtocolError(CloseCode.INVALID_DATA, _NOT_UTF8) from None


def _check_close(payload: bytes) -> None:
    """Check the body of a close frame (RFC 6455 sections 5.5.1 and 7.4)."""
    if not payload:
        return
    if len(payload) == 1:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a close frame holds no body, or a code and a reason")
    code = int.from_bytes(payload[:2], "big")
    if not may_be_sent(code):
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"close code {code} must not be sent")
    _check_utf8(payload[2:])
