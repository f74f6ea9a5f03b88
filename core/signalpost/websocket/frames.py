"""Frames from server to client as RFC 6455 section 5.2 defines them: never masked, never fragmented."""

from enum import IntEnum


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """RFC 6455 section 7.4.1, the IANA registry, and signalpost's own (4000 to 4999 are private use)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    TOO_BIG = 1009
    SERVER_ERROR = 1011
    RESTART = 1012
    TRY_AGAIN_LATER = 1013
    TOO_SLOW = 4008
    KICKED = 4009
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    TAKEN_OVER = 4410


_FIN = 0x80
SHORT = 126
_MEDIUM = 65_536
MAX_CONTROL_PAYLOAD = 125
"""Bytes; RFC 6455 section 5.5."""


SHORT_HEADERS = [[bytes((_FIN | opcode, size)) for size in range(SHORT)] for opcode in range(16)]
"""What stands before a payload of fewer than `SHORT` bytes, by opcode and size."""


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Encode a final, unmasked frame (RFC 6455 section 5.1: a server must not mask).

    ``encode_frame(Opcode.TEXT, b"hi")`` is the bytes 81 02 68 69.
    """
    size = len(payload)
    if size < SHORT:
        return SHORT_HEADERS[opcode][size] + payload
    if size < _MEDIUM:
        return bytes((_FIN | opcode, SHORT, size >> 8, size & 0xFF)) + payload
    return bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big") + payload


_LOWEST_CODE, _FIRST_FREE_CODE, _LAST_CODE = 1000, 3000, 4999
_UNSENDABLE = frozenset({1004, 1005, 1006})
_LAST_REGISTERED = 1014


CODES_ALLOWED = "allowed: 1000 to 1014 but 1004 to 1006, 3000 to 4999"
"""For messages: the codes that `may_be_sent`."""


def may_be_sent(code: int) -> bool:
    """Return whether a close frame may carry `code` (RFC 6455 section 7.4; 3000 to 4999 are free for applications)."""
    if code < _FIRST_FREE_CODE:
        return _LOWEST_CODE <= code <= _LAST_REGISTERED and code not in _UNSENDABLE
    return code <= _LAST_CODE


def encode_close(code: int, reason: str = "") -> bytes:
    """Encode a close frame; a reason that does not fit is truncated at a character (RFC 6455 section 5.5.1).

    Raises:
        ValueError: `code` must not be sent.
    """
    if code == CloseCode.NO_STATUS:
        return encode_frame(Opcode.CLOSE, b"")
    if not may_be_sent(code):
        raise ValueError(f"close code {code} must not be sent ({CODES_ALLOWED})")
    text = reason.encode()[: MAX_CONTROL_PAYLOAD - 2].decode(errors="ignore").encode()
    return encode_frame(Opcode.CLOSE, code.to_bytes(2, "big") + text)
