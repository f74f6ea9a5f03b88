"""Listening ports: bound sockets, and the endpoints that share them."""

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from signalpost.config.model import EndpointConfig, SourceMap
from signalpost.errors import ListenError

BACKLOG = 4096

_ALL_IPV4 = "0.0.0.0"  # noqa: S104 - what the user asked for by *
_LAST_PRIVILEGED_PORT = 1023

PortKey = tuple[str, int | str]
"""An address with a port, or with the name of an endpoint that leaves its port to the system."""


@dataclass(frozen=True, slots=True)
class Port:
    """A bound socket and the endpoints that share it: at most one for pages and one for WebSockets.

    Attributes:
        place: where the first of them stands: ``routes.yaml:7``.
        key: what routes.yaml says of it.

    """

    sock: socket.socket
    endpoints: tuple[EndpointConfig, ...]
    place: str
    key: PortKey

    @property
    def pages(self) -> EndpointConfig | None:
        """The http or https endpoint."""
        return next((endpoint for endpoint in self.endpoints if not endpoint.scheme.websocket), None)

    @property
    def sockets(self) -> EndpointConfig | None:
        """The ws or wss endpoint."""
        return next((endpoint for endpoint in self.endpoints if endpoint.scheme.websocket), None)

    @property
    def loopback(self) -> bool:
        """Whether it is bound to an address of this machine alone."""
        address = ip_address(str(self.sock.getsockname()[0]).partition("%")[0])
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS; all endpoints of a port do, or none."""
        return self.endpoints[0].scheme.secure


def bind_ports(endpoints: Sequence[EndpointConfig], source: SourceMap, held: Sequence[Port] = ()) -> list[Port]:
    """Bind every endpoint; those of one address and port share a socket. Port 0 becomes the port that was given.

    Args:
        endpoints: of routes.yaml.
        source: where they stand, for errors.
        held: what is bound already. Where one of these is meant its very socket is used; a twin of it where only one
            of the two speaks TLS, since one socket cannot have both.

    Raises:
        ListenError: one of them cannot be bound; those that are not of `held` are closed.

    """
    shared: dict[PortKey, list[EndpointConfig]] = {}
    for endpoint in endpoints:
        # Two endpoints that leave their port to the system do not mean the same one.
        shared.setdefault((endpoint.address, endpoint.port or endpoint.name), []).append(endpoint)
    before = {port.key: port for port in held}
    ports: list[Port] = []
    try:
        for key, group in shared.items():
            place = source.place(group[0].keys)
            sock = _socket(before.get(key), group[0], place, (ports, held))
            port = sock.getsockname()[1]
            ports.append(Port(sock, tuple(replace(endpoint, port=port) for endpoint in group), place, key))
    except ListenError as error:
        close_new(ports, held)
        raise ListenError(source.masked(str(error))) from None
    return ports


def close_new(ports: Sequence[Port], held: Sequence[Port]) -> None:
    """Close the sockets of ports that are not held besides."""
    kept = {port.sock for port in held}
    for port in ports:
        if port.sock not in kept:
            port.sock.close()


_Bound = tuple[Sequence[Port], Sequence[Port]]
"""What is bound: by now, and from before."""


def _socket(before: Port | None, endpoint: EndpointConfig, place: str, bound: _Bound) -> socket.socket:
    """Give the socket that is there, a twin of it, or a new one."""
    if before is None:
        return _bind(endpoint, place, bound)
    return before.sock if before.secure is endpoint.scheme.secure else before.sock.dup()


def _bind(endpoint: EndpointConfig, place: str, bound: _Bound) -> socket.socket:
    address = _ALL_IPV4 if endpoint.address == "*" else endpoint.address
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise ListenError(f'{place}: endpoint {endpoint.name}: no address "{endpoint.address}" is known here') from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        why = (_own_fault(endpoint, bound) if error.errno == errno.EADDRINUSE else "") or why_not(endpoint, error)
        raise ListenError(f"{place}: endpoint {endpoint.name}: {why}") from None
    return sock


def _own_fault(endpoint: EndpointConfig, bound: _Bound) -> str:
    """Say which other endpoint of the app has the port, if one has."""
    for ports, verb, remedy in (
        (bound[0], "has", "give both one address, or one another port"),
        (bound[1], "still has", "a reload binds before it lets go, so choose another port, or restart"),
    ):
        for port in ports:
            first = port.endpoints[0]
            if first.port == endpoint.port:
                holder = f'the endpoint "{first.name}" ({port.place}) {verb} port {first.port} of {first.address}'
                return f"{holder}, and {endpoint.address} means the same: {remedy}"
    return ""


def why_not(endpoint: EndpointConfig, error: OSError) -> str:
    """Say why an endpoint cannot listen, and what to do about it."""
    where = f"{endpoint.address} port {endpoint.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use by another program: stop that one, or choose another port"
        case errno.EACCES | errno.EPERM if endpoint.port <= _LAST_PRIVILEGED_PORT:
            return f"{where} is privileged: choose a port above {_LAST_PRIVILEGED_PORT}, or let the system allow it"
        case errno.EADDRNOTAVAIL:
            return f"{where}: this machine does not have that address (127.0.0.1 is this machine alone, * is all)"
        case _:
            return f"{where} cannot be used: {(error.strerror or str(error)).lower()}"
