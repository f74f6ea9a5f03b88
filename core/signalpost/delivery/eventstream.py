"""Server-sent events: what clients read that request a signal by plain HTTP (HTML Living Standard section 9.2).

An event is lines of fields and an empty line. ``data:`` holds a value as plain WebSocket clients read it, or, with
``?v=1``, an object of ``signalpost.v1``. ``id:`` holds a position, which a browser brings back by itself as
``Last-Event-ID``. Whatever else plain clients are told is an event of another name, which they may ignore.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from signalpost.delivery.codec import Codec, Encoding, V1Codec, lagged_body
from signalpost.delivery.publication import Publication, json_of, text_of
from signalpost.errors import ClientError
from signalpost.history.position import Position
from signalpost.websocket.frames import CloseCode, Opcode, encode_close

RETRY_MS = 2_000
"""Milliseconds after which a browser comes back, unless the server says otherwise when it ends a stream."""

_BINARY = int(Opcode.BINARY)
_LINE_END = re.compile(rb"\r\n|\n|\r")
_COMMENT = b":\n\n"


class EventStreamCodec(Codec):
    """Bare values as ``data:``; what else there is to say, as events with a name: gap, lagged, binary, close."""

    name = "sse"
    answers_close = False

    def value(self, publication: Publication) -> bytes:
        """Encode a value; a binary frame of ``format: raw`` is an event named ``binary``, in base64."""
        if publication.opcode == _BINARY:
            return _event(b64encode(publication.data), b"binary")
        return _event(publication.data, at=publication.position)

    def alone(self, value: Any, path: str) -> bytes:
        """See `Codec.alone`."""
        return _event(text_of(value) if isinstance(value, str) else json_of(value))

    def error(self, error: ClientError, ref: str | int | None) -> bytes:
        """Encode nothing: who only reads has sent nothing that could be wrong."""
        return b""

    def notice(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """Encode the start of a stream, and gaps."""
        if kind == "welcome":
            return b"retry: %d\n%b\n" % (RETRY_MS, _id_field(_reached(body)))
        return _event(orjson.dumps(body), b"gap", body["at"] or "") if kind == "gap" else b""

    def lagged(self, missed: int, between: tuple[Position, Position] | None = None) -> bytes:
        """See `Codec.lagged`."""
        return _event(orjson.dumps(lagged_body(missed, between)), b"lagged")

    def ping(self) -> bytes:
        """Encode a comment, which a client ignores; its machine acknowledges the bytes."""
        return _COMMENT

    def close_code(self, code: CloseCode) -> CloseCode:
        """See `Codec.close_code`."""
        return code

    def goodbye(self, code: int, reason: str, retry_ms: int | None) -> bytes:
        """Encode why the stream ends, and when to come back."""
        encode_close(code, reason)  # judges the code
        return _retry(retry_ms) + _event(orjson.dumps({"code": int(code), "reason": reason}), b"close")


class EventStreamV1Codec(V1Codec):
    """The objects of ``signalpost.v1``, and a further one, ``close``, in place of a close frame."""

    name = "sse.v1"
    answers_close = False

    def framed(self, text: bytes, at: object = None) -> bytes:
        """See `V1Codec.framed`."""
        return _event(text, at=at)

    def raw(self, publication: Publication) -> bytes:
        """See `V1Codec.raw`."""
        return publication.encoded(EVENT_STREAM)

    def notice(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """See `Codec.notice`."""
        text = orjson.dumps({kind: body})
        if kind == "welcome":
            return b"retry: %d\n%b" % (RETRY_MS, _event(text, at=_reached(body)))
        return _event(text, at=(body["at"] or "") if kind == "gap" else None)

    def alive(self) -> bytes:
        """Encode nothing: nobody can ask for it."""
        return b""

    def ping(self) -> bytes:
        """See `EventStreamCodec.ping`."""
        return _COMMENT

    def goodbye(self, code: int, reason: str, retry_ms: int | None) -> bytes:
        """See `EventStreamCodec.goodbye`."""
        encode_close(code, reason)  # judges the code
        bye = b"" if retry_ms is None else self.notice("bye", {"retry_ms": retry_ms})
        return _retry(retry_ms) + bye + self.notice("close", {"code": int(code), "reason": reason})


EVENT_STREAM = Encoding(EventStreamCodec())
"""Of clients that request an event stream."""

EVENT_STREAM_V1 = Encoding(EventStreamV1Codec())
"""Of clients that request one with ``?v=1``."""


def _event(data: bytes, name: bytes = b"", at: object = None) -> bytes:
    """Encode one event.

    Args:
        data: one line of it or several; a carriage return is a line's end for whoever reads it, so it becomes one here.
        name: of the event; empty for ``message``.
        at: the position behind it; an empty text is none from here on, and None changes nothing.
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    head = b"event: %b\n" % name if name else b""
    return b"%b%bdata: %b\n\n" % (head, _id_field(at), data)


def _id_field(at: object) -> bytes:
    return b"" if at is None else b"id: %b\n" % str(at).encode()


def _retry(retry_ms: int | None) -> bytes:
    return b"" if retry_ms is None else b"retry: %d\n\n" % retry_ms


def _reached(welcome: Mapping[str, Any]) -> str | None:
    """Return the position of a welcome if nothing is still to come before it; else each value brings its own."""
    return welcome.get("at") if welcome.get("missed") == 0 else None
