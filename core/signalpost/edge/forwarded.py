"""The client of a request behind proxies: what `Forwarded` (RFC 7239) and ``X-Forwarded-*`` say of it. Pure.

Anybody can send these headers. So they are read only if the connection comes from a trusted proxy, and from the right:
each proxy appends the address of whoever connected to it. The first address that is no trusted proxy's is the client's;
what stands to the left of it was sent by the client itself, and is never looked at.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

from signalpost.config.model import EndpointConfig, ForwardingHeaders, IpNetwork, ProxiesConfig
from signalpost.websocket.handshake import Headers, read_authority
from signalpost.websocket.head import DEFAULT_PORTS

Peer = tuple[str, int]
"""An address and a port, or an empty string and 0."""

X_FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port")

_MOST_HOPS = 32  # trusted proxies in a row; none has as many
_LONGEST = 1024  # of one element, in characters
_MOST_PARTS = 8  # an element with commas in its quoted texts is read as that many parts at most
_LONGEST_PORT = 5
_LAST_PORT = 65_535
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

# RFC 7239 section 6. A port may be hidden, too; then it is unknown.
_NODE = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?:(?P<port>[0-9]{1,5})|_[A-Za-z0-9._-]+))?", re.ASCII
)
_BARE_V6 = re.compile(r"[0-9A-Fa-f:.]+", re.ASCII)
# RFC 7239 section 4; colons and brackets outside of quotes, which many write.
_PAIR = (
    r"""[!#$%&'*+.^_`|~0-9A-Za-z-]++=(?:[!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]++|"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f])*+")"""
)
_ELEMENT = re.compile(rf"{_PAIR}(?:[ \t]*+;[ \t]*+{_PAIR})*+;?", re.ASCII)
# Stricter than what Host may be: it is shown, and becomes part of addresses.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]*)?", re.ASCII)
_PAIRS = re.compile(_PAIR, re.ASCII)
_ESCAPED = re.compile(r"\\(.)")


class PublicView(NamedTuple):
    """A request as its client made it, before the first trusted proxy.

    Attributes:
        peer: the client's address and port; 0 if the port is unknown.
        scheme: ``http`` or ``https``; None if no proxy says which.
        host: as in a Host header.
        port: that the client requested; None if it is unknown, or the default one of the scheme.
    """

    peer: Peer
    scheme: str | None
    host: str
    port: int | None

    @property
    def authority(self) -> tuple[str, int | None]:
        """The requested name, in lower case, and the port; see `signalpost.websocket.handshake.read_authority`."""
        return read_authority(self.host)[0], self.port


def peer_of(transport: Any) -> Peer:
    """Return the other end of a connection."""
    peer = transport.get_extra_info("peername")
    return peer[:2] if isinstance(peer, tuple) else ("", 0)


def public_of(endpoint: EndpointConfig | None, transport: Any, headers: Headers) -> PublicView | None:
    """Return a request as its client made it; None if no trusted proxy says anything of it.

    All ways in ask this, and nothing else. Without the key ``proxies`` no header is read.

    Args:
        endpoint: that received the request.
        transport: of its connection.
        headers: of the request.
    """
    if endpoint is None or endpoint.proxies is None:
        return None
    return public_view(endpoint.proxies, peer_of(transport), headers)


def public_view(proxies: ProxiesConfig, peer: Peer, headers: Headers) -> PublicView | None:
    """Return a request as its client made it; None if no trusted proxy says anything of it.

    Args:
        proxies: of the endpoint.
        peer: the other end of the connection; an empty address for a Unix socket.
        headers: of the request.
    """
    if not is_trusted(proxies, peer[0]):
        return None
    # A proxy that writes X-Forwarded-* passes a client's own Forwarded on: that counts only without these.
    if proxies.headers is not ForwardingHeaders.FORWARDED and any(headers.getall(name, []) for name in X_FORWARDED):
        return _by_x_forwarded(proxies, peer, headers)
    if proxies.headers is not ForwardingHeaders.X_FORWARDED and headers.getall("forwarded", []):
        return _by_forwarded(proxies, peer, headers)
    return None


def is_trusted(proxies: ProxiesConfig, address: str) -> bool:
    """Return whether an address is that of a trusted proxy; an empty one is the other end of a Unix socket."""
    return proxies.unix if not address else _is_in(proxies.networks, address)


@lru_cache(maxsize=1024)
def _is_in(networks: tuple[IpNetwork, ...], address: str) -> bool:
    found = _read_address(address.partition("%")[0])
    return found is not None and any(
        found in network for network in networks if isinstance(network, IPv6Network) is isinstance(found, IPv6Address)
    )


def _by_x_forwarded(proxies: ProxiesConfig, peer: Peer, headers: Headers) -> PublicView:
    client = peer
    for _, entry in zip(range(_MOST_HOPS), _from_right(headers.getall("x-forwarded-for", [])), strict=False):
        node = read_node(entry)
        if node is None:  # the proxy does not know, or does not say
            break
        client = node
        if not is_trusted(proxies, node[0]):
            break
    # Each proxy sets these anew or passes on what the one before it has set: the last value counts.
    scheme = _SCHEMES.get(_last(headers, "x-forwarded-proto").lower())
    return _view(headers, client, scheme, _last(headers, "x-forwarded-host"), _last(headers, "x-forwarded-port"))


def _by_forwarded(proxies: ProxiesConfig, peer: Peer, headers: Headers) -> PublicView:
    client, scheme, host = peer, None, ""
    for _, pairs in zip(range(_MOST_HOPS), _elements(headers.getall("forwarded", [])), strict=False):
        scheme, host = _SCHEMES.get(pairs.get("proto", "").lower()), pairs.get("host", "")
        node = read_node(pairs.get("for", ""))
        if node is None:
            break
        client = node
        if not is_trusted(proxies, node[0]):
            break
    return _view(headers, client, scheme, host, "")


def _view(headers: Headers, client: Peer, scheme: str | None, host: str, port: str) -> PublicView:
    hosts = headers.getall("host", [])
    name, own = read_authority(host) if _HOST.fullmatch(host) else ("", None)
    if not name:
        host = hosts[0].strip() if hosts else ""
        name, own = read_authority(host)
    if own is None and port.isdecimal() and port.isascii() and len(port) <= _LONGEST_PORT:
        number = int(port)
        if 0 < number <= _LAST_PORT:
            own = number
            if name and number != DEFAULT_PORTS.get(scheme or "http"):
                host = f"{host.rstrip(':')}:{number}"
    return PublicView(client, scheme, host, own)


def read_node(text: str) -> Peer | None:
    """Read a node (RFC 7239 section 6): an address, with a port or without; None for ``unknown`` and hidden ones.

    IPv6 may stand without brackets if it has no port, as in X-Forwarded-For.
    """
    if len(text) > _LONGEST:
        return None
    found = _NODE.fullmatch(text)
    if found is None:
        address = _read_address(text) if _BARE_V6.fullmatch(text) else None
        return None if address is None else (str(address), 0)
    address = _read_address(found["bracketed"] or found["v4"])
    port = int(found["port"] or 0)
    return None if address is None else (str(address), port if port <= _LAST_PORT else 0)


def _read_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Address) else found.ipv4_mapped or found


def _last(headers: Headers, name: str) -> str:
    return next(_from_right(headers.getall(name, [])), "")


def _from_right(values: list[str]) -> Iterator[str]:
    """Yield the elements of a list (RFC 9110 section 5.6.1), the last one first; several lines are one list."""
    text = ", ".join(values)
    end = len(text)
    while end >= 0:
        start = text.rfind(",", 0, end)
        if element := text[start + 1 : end].strip(" \t"):
            yield element
        end = start


def _elements(values: list[str]) -> Iterator[dict[str, str]]:
    """Yield the elements of Forwarded, the last one first; what is malformed ends it, as an empty element.

    An element that is read from its end cannot be hidden by what a client has sent before it, such as an open quote.
    """
    parts: list[str] = []
    for part in _from_right(values):
        parts.append(part)
        text = ", ".join(reversed(parts))
        if len(parts) > _MOST_PARTS or len(text) > _LONGEST:
            break
        if _ELEMENT.fullmatch(text):
            parts.clear()
            yield _pairs(text)
    if parts:
        yield {}


def _pairs(element: str) -> dict[str, str]:
    """Return the parameters of an element by lower-case name; nothing if one is repeated."""
    found: dict[str, str] = {}
    for pair in _PAIRS.findall(element):
        name, _, value = pair.partition("=")
        if name.lower() in found:
            return {}
        found[name.lower()] = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
    return found
