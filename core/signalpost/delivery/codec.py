"""What each kind of client receives: a codec defines the format; an encoding is a codec with or without compression."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from signalpost.delivery.publication import NO_PATH, Publication, json_of, text_of
from signalpost.errors import ClientError
from signalpost.history.position import Position
from signalpost.websocket.frames import SHORT, SHORT_HEADERS, CloseCode, Opcode, encode_close, encode_frame

_TEXT = int(Opcode.TEXT)

Deflate = Callable[[bytes], bytes]
"""Compresses an encoded frame for clients of one set of parameters; returns it unchanged if that does not pay."""


class Codec:
    """Encodes all that one kind of client is sent; every result is ready for the socket.

    This is the codec of plain clients, such as Pode's: bare values, and errors as the only envelope. Another kind of
    client has a codec derived from this one.

    Attributes:
        name: the subprotocol by which clients request it (RFC 6455 section 1.9).
        converses: whether its clients have sessions, and are answered: a message with ``ref`` gets an acknowledgement,
            a reply or an error, and the reserved key ``signalpost`` a request of theirs.
        answers_close: whether its clients answer the end of a conversation (RFC 6455 section 5.5.1); else the
            connection is closed behind it.
    """

    name = ""
    converses = False
    answers_close = True

    def value(self, publication: Publication) -> bytes:
        """Encode a value that was published."""
        if publication.size < SHORT:  # as `encode_frame` does it, and a call is measurable
            return SHORT_HEADERS[publication.opcode][publication.size] + publication.data
        return encode_frame(publication.opcode, publication.data)

    def alone(self, value: Any, path: str) -> bytes:
        """Encode a value for one client alone, from its own path; like `value`, without a publication.

        Raises:
            TypeError: `value` is not JSON.
        """
        return encode_frame(_TEXT, text_of(value) if isinstance(value, str) else json_of(value))

    def error(self, error: ClientError, ref: str | int | None) -> bytes:
        """Encode an error for the sender of a rejected message; empty if this kind of client is not told.

        Args:
            error: what is wrong.
            ref: of the message.
        """
        return encode_frame(_TEXT, orjson.dumps({"error": _error_body(error, ref)}))

    def welcome(self, client_id: str, path: str) -> bytes:
        """Encode the first frame for a client; empty for none. One that converses gets the notice ``welcome``."""
        return b""

    def notice(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """Encode something that is no value, such as an acknowledgement; empty if this kind of client is not told.

        Args:
            kind: ``welcome``, ``ack``, ``reply``, ``error``, ``gap``, ``history`` or ``presence``.
            body: what is said; JSON.
        """
        return b""

    def lagged(self, missed: int, between: tuple[Position, Position] | None = None) -> bytes:
        """Encode the frame that replaces values left out for a slow client; empty for none.

        Args:
            missed: how many.
            between: the positions of the first and the last of them, if their path has a history.
        """
        return b""

    def alive(self) -> bytes:
        """Encode the answer to an empty text message, which is a keepalive; empty if this kind of client has none."""
        return b""

    def ping(self) -> bytes:
        """Encode a ping, which any received bytes answer (RFC 6455 section 5.5.2)."""
        return _PING

    def close_code(self, code: CloseCode) -> CloseCode:
        """Return the close code that means the server's `code` to this kind of client.

        1012 and 1013 were registered after RFC 6455. Many clients (Qt, gun, faye, OkHttp 3) treat them as a protocol
        error, so plain clients receive a similar code.
        """
        return _OF_THE_RFC.get(code, code)

    def goodbye(self, code: int, reason: str, retry_ms: int | None) -> bytes:
        """Encode the last frames for a client.

        Args:
            code: see RFC 6455 section 7.4.
            reason: truncated to 123 bytes of UTF-8.
            retry_ms: milliseconds after which it is asked to reconnect; None if it is not asked to.

        Raises:
            ValueError: `code` must not be sent.
        """
        return encode_close(code, reason)


class V1Codec(Codec):
    """The envelopes of ``signalpost.v1``: objects with one key, which names their kind."""

    name = "signalpost.v1"
    converses = True

    def value(self, publication: Publication) -> bytes:
        """Encode ``{"signal": {"path": …, "value": …}}``; a raw frame is unchanged."""
        if publication.is_raw:
            return self.raw(publication)
        text = json_of(publication.value) if publication.is_text else publication.data
        path = None if publication.path == NO_PATH else publication.path
        if publication.position is not None:
            at = str(publication.position).encode()
            text = b'{"signal":{"path":%b,"at":"%b","value":%b}}' % (orjson.dumps(path), at, text)
            return self.framed(text, publication.position)
        return self.framed(b'{"signal":{"path":%b,"value":%b}}' % (orjson.dumps(path), text))

    def framed(self, text: bytes, at: object = None) -> bytes:
        """Frame an object of this protocol; `at` is the position behind it, if it has one."""
        return encode_frame(_TEXT, text)

    def raw(self, publication: Publication) -> bytes:
        """Encode a frame that is relayed as it is."""
        return publication.encoded(PLAIN)

    def alone(self, value: Any, path: str) -> bytes:
        """See `Codec.alone`."""
        return self.value(Publication(value, path))

    def notice(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """See `Codec.notice`."""
        return self.framed(orjson.dumps({kind: body}))

    def error(self, error: ClientError, ref: str | int | None) -> bytes:
        """See `Codec.error`."""
        return self.notice("error", _error_body(error, ref))

    def lagged(self, missed: int, between: tuple[Position, Position] | None = None) -> bytes:
        """See `Codec.lagged`."""
        return self.notice("lagged", lagged_body(missed, between))

    def alive(self) -> bytes:
        """Encode a keepalive answer: a page in a browser does not see pings and pongs."""
        return _ALIVE

    def close_code(self, code: CloseCode) -> CloseCode:
        """See `Codec.close_code`."""
        return code

    def goodbye(self, code: int, reason: str, retry_ms: int | None) -> bytes:
        """Encode a close frame, preceded by the time to reconnect."""
        bye = b"" if retry_ms is None else self.notice("bye", {"retry_ms": retry_ms})
        return bye + encode_close(code, reason)


class Encoding:
    """The wire format of one kind of client: clients of one encoding receive the same bytes. Compared by identity.

    Args:
        codec: encodes what is sent.
        deflate: compresses it; None for no compression.
        bare: the encoding of the same codec without compression; by default this one.

    Attributes:
        encode: encodes a publication; `Publication.encoded` does that once for all clients.
        alone: encodes a value for one client; see `Codec.alone`.
    """

    __slots__ = ("_bare", "_deflate", "alone", "codec", "encode")

    def __init__(self, codec: Codec, deflate: Deflate | None = None, bare: "Encoding | None" = None) -> None:
        self.codec = codec
        self._deflate = deflate
        self._bare = bare or self
        # Called for each broadcast: without compression these are the codec's own functions.
        self.encode: Callable[[Publication], bytes] = codec.value if deflate is None else self._compressed
        self.alone: Callable[[Any, str], bytes] = codec.alone if deflate is None else self._compressed_alone

    def noticed(self, kind: str, body: Mapping[str, Any]) -> bytes:
        """Encode a notice; see `Codec.notice`."""
        frame = self.codec.notice(kind, body)
        return frame if self._deflate is None or not frame else self._deflate(frame)

    def _compressed(self, publication: Publication) -> bytes:
        assert self._deflate is not None  # noqa: S101 - see `__init__`
        return publication.deflated(publication.encoded(self._bare), self._deflate)

    def _compressed_alone(self, value: Any, path: str) -> bytes:
        assert self._deflate is not None  # noqa: S101 - see `__init__`
        return self._deflate(self.codec.alone(value, path))


class Encodings:
    """The encodings of one server, each created once.

    Args:
        codecs: additional ones.
    """

    __slots__ = ("_codecs", "_made", "_names")

    def __init__(self, codecs: Iterable[Codec] = ()) -> None:
        self._codecs: dict[str, Codec] = {V1.codec.name: V1.codec, **{codec.name: codec for codec in codecs}}
        self._names = tuple(self._codecs)
        self._made: dict[tuple[str, Deflate | None], Encoding] = {(V1.codec.name, None): V1}

    def preferred(self, protocols: Sequence[str]) -> Sequence[str]:
        """Return the subprotocols of a signal that has more: ours precede them, except those that it names itself."""
        if not protocols:
            return self._names
        return (*(name for name in self._names if name not in protocols), *protocols)

    def of(self, protocol: str, deflate: Deflate | None = None) -> Encoding:
        """Return the encoding of a subprotocol; that of plain clients if the subprotocol has none."""
        name = protocol if protocol in self._codecs else PLAIN.codec.name
        found = self._made.get((name, deflate))
        if found is None:
            if deflate is None:
                found = PLAIN if name == PLAIN.codec.name else Encoding(self._codecs[name])
            else:
                bare = self.of(name)
                found = Encoding(bare.codec, deflate, bare)
            self._made[name, deflate] = found
        return found


PLAIN = Encoding(Codec())
"""Of clients without a subprotocol of ours."""

V1 = Encoding(V1Codec())
"""Of clients of ``signalpost.v1``."""


def lagged_body(missed: int, between: tuple[Position, Position] | None) -> dict[str, Any]:
    """Return what is said of values that were left out; the arguments are those of `Codec.lagged`."""
    span = {} if between is None else {"from": str(between[0]), "to": str(between[1])}
    return {"missed": missed, **span}


def _error_body(error: ClientError, ref: str | int | None) -> dict[str, Any]:
    return error.body if ref is None else {**error.body, "ref": ref}


_OF_THE_RFC = {CloseCode.RESTART: CloseCode.GOING_AWAY, CloseCode.TRY_AGAIN_LATER: CloseCode.SERVER_ERROR}
_ALIVE = encode_frame(_TEXT, b'{"alive":{}}')
_PING = encode_frame(Opcode.PING, b"")
