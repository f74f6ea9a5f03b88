"""The opening handshake of a WebSocket (RFC 6455 section 4.2): what is rejected, and the content of the 101. Pure."""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from signalpost.websocket.extensions import TOKEN, Extension, MalformedError, read_extensions
from signalpost.websocket.head import DEFAULT_PORTS

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY_BYTES = 16
_VERSION = "13"
# RFC 6454 section 6.2: visible ASCII, as browsers send it. Not urlsplit, which drops line breaks and an empty query.
# Without re.ASCII, the Kelvin sign would match k.
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>\[[0-9a-f:.]+\]|(?:(?![/?#@:\\\[\]])[!-~])+)(:(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_TOKEN = re.compile(TOKEN)
_WEBSOCKET, _UPGRADE = (
    re.compile(rf"(?:^|,)[ \t]*{token}[ \t]*(?:,|$)", re.IGNORECASE | re.ASCII) for token in ("websocket", "upgrade")
)
_MOST_SUBPROTOCOLS = 64  # maximum that is read
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>(?:(?![][:/?#@,\\])[!-~])+))(?::(?P<port>[0-9]*))?")
_LONGEST_PORT = 5
_NO_PORT = -1  # an invalid port

OPAQUE_ORIGINS = frozenset({"null", "file://"})
"""Origins without a host (RFC 6454 section 6.1): of sandboxed frames and ``data:`` URLs, and of files. Browsers differ
in which of the two a file has."""


class Headers(Protocol):
    """Header fields by case-insensitive name; a name may be repeated."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return all values."""


@dataclass(frozen=True, slots=True)
class HandshakeRejection(Exception):  # noqa: N818 - an answer more than an error
    """A handshake is answered with this error instead of a 101.

    Attributes:
        status: an HTTP status from 400; or 308, if it is to be repeated elsewhere.
        detail: one sentence for the author of the client.
        headers: additional headers of the response.
    """

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offer:
    """A handshake that follows the RFC.

    Attributes:
        key: Sec-WebSocket-Key, as sent.
        host: the name in the Host header, lower case, without port.
        port: in the Host header; None if there is none.
        origin: the Origin header; empty if there is none, as from clients that are not browsers.
        subprotocols: in the client's order of preference.
        extensions: in the client's order of preference.
    """

    key: str
    host: str
    origin: str
    subprotocols: tuple[str, ...]
    extensions: tuple[Extension, ...] = ()
    port: int | None = None


def is_upgrade(headers: Headers) -> bool:
    """Return whether a request asks for a WebSocket (RFC 6455 section 4.2.1, item 3)."""
    upgrades = headers.getall("upgrade", [])
    return _has_token(upgrades, _WEBSOCKET)


def read_offer(method: str, version: str, headers: Headers) -> Offer:
    """Check a handshake (RFC 6455 section 4.2.1).

    Args:
        method: of the request.
        version: of HTTP, such as ``1.1``.
        headers: of the request.

    Raises:
        HandshakeRejection: it does not follow the RFC.
    """
    if method != "GET":
        raise HandshakeRejection(405, "A WebSocket is opened with GET.", {"allow": "GET"})
    if version != "1.1":
        raise HandshakeRejection(400, "A WebSocket is opened with HTTP/1.1.")
    hosts = headers.getall("host", [])
    host, port = read_authority(hosts[0]) if len(hosts) == 1 else ("", None)
    if not host:
        raise HandshakeRejection(400, "A WebSocket handshake has one Host header.")
    if not _has_token(headers.getall("connection", []), _UPGRADE):
        raise HandshakeRejection(400, 'A WebSocket handshake has the header "Connection: Upgrade".')
    versions = headers.getall("sec-websocket-version", [])
    if [value.strip() for value in versions] != [_VERSION]:
        raise HandshakeRejection(
            426,
            "This server speaks version 13 of the WebSocket protocol.",
            {"sec-websocket-version": _VERSION, "upgrade": "websocket"},
        )
    keys = headers.getall("sec-websocket-key", [])
    if len(keys) != 1 or not _is_key(keys[0].strip()):
        raise HandshakeRejection(400, "Sec-WebSocket-Key is 16 bytes in base64, once.")
    # A body would be read as frames: only the handshake may be sent before the 101.
    lengths = {length.strip() for length in headers.getall("content-length", [])}
    if lengths - {"0"} or headers.getall("transfer-encoding", []):
        raise HandshakeRejection(400, "A WebSocket handshake has no body.")
    origins = headers.getall("origin", [])
    if len(origins) > 1:
        raise HandshakeRejection(400, "A WebSocket handshake has at most one Origin header.")
    subprotocols = _subprotocols(headers.getall("sec-websocket-protocol", []))
    try:
        extensions = read_extensions(headers.getall("sec-websocket-extensions", []))
    except MalformedError as error:
        raise HandshakeRejection(400, f"Sec-WebSocket-Extensions cannot be read: {error}.") from None
    return Offer(keys[0].strip(), host, origins[0].strip() if origins else "", subprotocols, extensions, port)


def is_own_page(origin: str, asked: "Authority", ports: Collection[int], at: int | None = None) -> bool:
    """Return whether an origin is that of the requested address, or the same host on a port that the app serves.

    A browser names in Host the port that it requests, unless that is the default one. So a Host without a port, at a
    port that is not a default one, was changed by a proxy (nginx's ``$host``). The port of the proxy is unknown then,
    and any port is accepted; cookies do not distinguish the ports of a host either.

    Args:
        origin: as a browser sends it.
        asked: the requested authority, from `read_authority`.
        ports: that this app serves.
        at: the port that received the request; None if a Host without a port means the default port.
    """
    read = read_origin(origin)
    if read is None:
        return False
    scheme, name, port = read
    host, asked_port = asked
    if scheme not in DEFAULT_PORTS or name != host:
        return False
    if port in ports:
        return True
    if asked_port is not None:
        return port == asked_port
    return port == DEFAULT_PORTS[scheme] or (at is not None and at not in DEFAULT_PORTS.values())


def is_listed(origin: str, allowed: Collection[str]) -> bool:
    """Return whether an origin, as a browser sends it, is one of the allowed ones."""
    if origin in OPAQUE_ORIGINS:
        return origin in allowed
    read = read_origin(origin)
    return read is not None and read in {read_origin(entry) for entry in allowed}


def choose_protocol(offer: Offer, known: Sequence[str]) -> str:
    """Choose the subprotocol; empty for none.

    Args:
        offer: the handshake. Other offers in it, such as a token, are never chosen, and so never sent back.
        known: subprotocols that the server supports here, in its order of preference.
    """
    return next((name for name in known if name in offer.subprotocols), "") if offer.subprotocols else ""


def write_101(offer: Offer, protocol: str, client_id: str, extensions: str = "") -> bytes:
    """Return the 101 (RFC 6455 section 4.2.2), with the client's id (Pode behaviour 2).

    Args:
        offer: the handshake.
        protocol: the chosen subprotocol; empty for none.
        client_id: of the new client; empty if there will be none.
        extensions: agreed on; empty for none.
    """
    digest = hashlib.sha1(offer.key.encode() + _GUID, usedforsecurity=False).digest()
    subprotocol = b"Sec-WebSocket-Protocol: %b\r\n" % protocol.encode() if protocol else b""
    extension = b"Sec-WebSocket-Extensions: %b\r\n" % extensions.encode() if extensions else b""
    identified = b"X-Signalpost-Client-Id: %b\r\n" % client_id.encode() if client_id else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n"
        b"%b%b"
        b"%b\r\n"
    ) % (binascii.b2a_base64(digest, newline=False), subprotocol, extension, identified)


def _has_token(values: list[str], token: re.Pattern[str]) -> bool:
    """Return whether a list contains a token, without creating the list."""
    return any(map(token.search, values))


def _list(values: list[str]) -> Iterator[str]:
    """Parse a comma-separated header (RFC 9110 section 5.6.1)."""
    return (item for value in values for part in value.split(",") if (item := part.strip()))


def _subprotocols(values: list[str]) -> tuple[str, ...]:
    """Parse the headers Sec-WebSocket-Protocol: one list of at least one token (RFC 6455 section 4.3).

    Only the first 64 are read.
    """
    found = tuple(islice(_list(values), _MOST_SUBPROTOCOLS))
    if values and not (found and all(map(_TOKEN.fullmatch, found))):
        raise HandshakeRejection(400, "Sec-WebSocket-Protocol is a list of names without spaces and separators.")
    return found


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except ValueError:
        return False


Authority = tuple[str, int | None]
"""A host's name, and a port or None."""


def read_authority(host: str) -> Authority:
    """Parse a Host header (RFC 9110 section 7.2) as a lower-case name and a port; no name if it is invalid."""
    found = _HOST.fullmatch(host.strip())
    if found is None:
        return "", None
    port = found["port"]
    number = None if not port else int(port) if len(port) <= _LONGEST_PORT else _NO_PORT
    return (found["address"] or found["name"]).lower(), number


def read_host(host: str) -> str:
    """Return the name in a Host header, in lower case; empty if it is invalid."""
    return read_authority(host)[0]


def read_origin(text: str) -> tuple[str, str, int | None] | None:
    """Parse an origin as scheme, host and port (RFC 6454 section 4); None for ``null`` and invalid origins.

    Only the schemes of web pages have a default port; ``tauri://localhost``, an app's, has none.
    """
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        return None
    scheme, host, port = parts["scheme"].lower(), parts["host"].strip("[]").lower(), parts["port"]
    return scheme, host, int(port) if port else DEFAULT_PORTS.get(scheme)
