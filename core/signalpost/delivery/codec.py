"""What each kind of client reads: a codec words it; an encoding is a codec, with compression or without."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from signalpost.delivery.publication import NO_PATH, Publication, json_of, text_of
from signalpost.errors import ClientError
from signalpost.websocket.frames import CloseCode, Opcode, encode_close, encode_frame

_TEXT = int(Opcode.TEXT)

Deflate = Callable[[bytes], bytes]
"""Compresses an encoded frame for clients of one set of parameters; returns it as it is if that does not pay."""


class Codec:
    """Words what one kind of client is sent; all that it returns is ready for the socket.

    This is the codec of plain clients, as Pode's are: bare values, and errors as the only envelope. Another kind of
    client has a codec that is derived from it.

    Attributes:
        name: the subprotocol by which clients ask for it (RFC 6455 section 1.9).

    """

    name = ""

    def value(self, publication: Publication) -> bytes:
        """Encode a value that was published."""
        return encode_frame(publication.opcode, publication.data)

    def alone(self, value: Any, path: str) -> bytes:
        """Encode a value for one client alone, from its own path; what `value` does, without a publication.

        Raises:
            TypeError: `value` is not JSON.

        """
        return encode_frame(_TEXT, text_of(value) if isinstance(value, str) else json_of(value))

    def error(self, error: ClientError, ref: str | int | None) -> bytes:
        """Encode what the sender of a rejected message is told; empty if this kind of client is not told.

        Args:
            error: what is wrong.
            ref: the message's own.

        """
        body = {"code": str(error.code), "pointer": error.pointer, "detail": error.detail}
        return _envelope("error", body if ref is None else body | {"ref": ref})

    def welcome(self, client_id: str, path: str) -> bytes:
        """Encode the first thing that a client reads; empty for none."""
        return b""

    def lagged(self, missed: int) -> bytes:
        """Encode what stands in place of values that were left out for a slow client; empty for none."""
        return b""

    def alive(self) -> bytes:
        """Encode the answer to an empty text, which asks for a sign of life; empty if it asks for nothing."""
        return b""

    def ping(self) -> bytes:
        """Encode a question that any bytes at all answer (RFC 6455 section 5.5.2)."""
        return _PING

    def close_code(self, code: CloseCode) -> CloseCode:
        """Return the code that tells this kind of client what the server means by `code`.

        1012 and 1013 came to the registry after RFC 6455: to many clients (Qt, gun, faye, OkHttp 3) they are a protocol
        error, so plain clients are told something near.
        """
        return _OF_THE_RFC.get(code, code)

    def goodbye(self, code: int, reason: str, retry_ms: int | None) -> bytes:
        """Encode the last thing that a client reads.

        Args:
            code: see RFC 6455 section 7.4.
            reason: cut to 123 bytes of UTF-8.
            retry_ms: milliseconds after which it is asked to come back; None if it is not asked to.

        Raises:
            ValueError: `code` must not be sent.

        """
        return encode_close(code, reason)


class V1Codec(Codec):
    """The envelopes of ``signalpost.v1``: objects with one key, which says what it is."""

    name = "signalpost.v1"

    def value(self, publication: Publication) -> bytes:
        """Encode ``{"signal": {"path": …, "value": …}}``; a raw frame stays as it is."""
        if publication.is_raw:
            return publication.encoded(PLAIN)
        value = publication.value
        text = json_of(value) if isinstance(value, str) else publication.data
        path = None if publication.path == NO_PATH else publication.path
        return encode_frame(_TEXT, b'{"signal":{"path":%b,"value":%b}}' % (orjson.dumps(path), text))

    def alone(self, value: Any, path: str) -> bytes:
        """See `Codec.alone`."""
        return self.value(Publication(value, path))

    def welcome(self, client_id: str, path: str) -> bytes:
        """See `Codec.welcome`."""
        return _envelope("welcome", {"clientId": client_id, "path": path})

    def lagged(self, missed: int) -> bytes:
        """See `Codec.lagged`."""
        return _envelope("lagged", {"missed": missed})

    def alive(self) -> bytes:
        """Encode a sign of life: pings and pongs are nothing that a page in a browser sees."""
        return _ALIVE

    def close_code(self, code: CloseCode) -> CloseCode:
        """See `Codec.close_code`."""
        return code

    def goodbye(self, code: int, reason: str, retry_ms: int | None) -> bytes:
        """Encode a close frame and, before it, when to come back."""
        bye = b"" if retry_ms is None else _envelope("bye", {"retry_ms": retry_ms})
        return bye + encode_close(code, reason)


class Encoding:
    """How one kind of client reads: two clients of one encoding are sent the very same bytes. Compared by identity.

    Args:
        codec: words what is sent.
        deflate: compresses it; None does not.
        bare: the encoding of the same codec that does not compress.

    Attributes:
        encode: encodes a publication; `Publication.encoded` does that once for all clients.
        alone: encodes a value for one client; see `Codec.alone`.

    """

    __slots__ = ("_bare", "_deflate", "alone", "codec", "encode")

    def __init__(self, codec: Codec, deflate: Deflate | None = None, bare: "Encoding | None" = None) -> None:
        self.codec = codec
        self._deflate = deflate
        self._bare = bare
        # Called for each broadcast: without compression nothing stands between it and the codec.
        self.encode: Callable[[Publication], bytes] = codec.value if deflate is None else self._compressed
        self.alone: Callable[[Any, str], bytes] = codec.alone if deflate is None else self._compressed_alone

    def _compressed(self, publication: Publication) -> bytes:
        assert self._deflate is not None  # noqa: S101 - see `__init__`
        frame = publication.encoded(self._bare) if self._bare is not None else self.codec.value(publication)
        return publication.deflated(frame, self._deflate)

    def _compressed_alone(self, value: Any, path: str) -> bytes:
        assert self._deflate is not None  # noqa: S101 - see `__init__`
        return self._deflate(self.codec.alone(value, path))


class Encodings:
    """The encodings of one server, each made once.

    Args:
        codecs: further ones.

    """

    __slots__ = ("_codecs", "_made", "_names")

    def __init__(self, codecs: Iterable[Codec] = ()) -> None:
        self._codecs: dict[str, Codec] = {V1.codec.name: V1.codec, **{codec.name: codec for codec in codecs}}
        self._names = tuple(self._codecs)
        self._made: dict[tuple[str, Deflate | None], Encoding] = {(V1.codec.name, None): V1}

    def preferred(self, protocols: Sequence[str]) -> Sequence[str]:
        """Return the subprotocols of a signal that has further ones: ours go before them, but for those it names."""
        return (*(name for name in self._names if name not in protocols), *protocols)

    def of(self, protocol: str, deflate: Deflate | None = None) -> Encoding:
        """Return the encoding of a subprotocol; that of plain clients if it has none of its own."""
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


def _envelope(key: str, body: object) -> bytes:
    return encode_frame(_TEXT, orjson.dumps({key: body}))


_OF_THE_RFC = {CloseCode.RESTART: CloseCode.GOING_AWAY, CloseCode.TRY_AGAIN_LATER: CloseCode.SERVER_ERROR}
_ALIVE = encode_frame(_TEXT, b'{"alive":{}}')
_PING = encode_frame(Opcode.PING, b"")
