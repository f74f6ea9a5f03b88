"""Listening ports: bound sockets, and the endpoints that share them."""

import contextlib
import errno
import operator
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from signalpost.config.model import EndpointConfig
from signalpost.errors import ListenError
from signalpost.places import SourceMap
from signalpost.serving.unixsockets import bind_unix, file_identity
from signalpost.systemd import PassedSockets

BACKLOG = 4096

_ALL_IPV4 = "0.0.0.0"  # noqa: S104 - what the user asked for by *
_LAST_PRIVILEGED_PORT = 1023

_ATTEMPTS = 8  # for a port that is free at all addresses of a name
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_Address = tuple[int, tuple[Any, ...]]
"""A family and one of its addresses, as `socket.bind` expects it."""

PortKey = tuple[str, int | str]
"""An address with a port, or with the name of an endpoint that leaves its port to the system, or has it passed."""

_PASSED = "passed"  # no address: those are IP addresses, names with a port, or begin with unix:
_NONE_PASSED = PassedSockets()


@dataclass(frozen=True, slots=True)
class Port:
    """A bound socket and the endpoints that share it: at most one for pages and one for WebSockets.

    Attributes:
        place: of the first of them: ``routes.yaml:7``.
        key: its address and port in routes.yaml.
        file: the device and inode of its Unix socket; None if it has an address and a port.
        places: of each of its endpoints.
        passed: whether systemd holds the socket, and its file if it is a Unix socket.
    """

    sock: socket.socket
    endpoints: tuple[EndpointConfig, ...]
    place: str
    key: PortKey
    file: tuple[int, int] | None = None
    places: tuple[str, ...] = ()
    passed: bool = False

    def close(self) -> None:
        """Close the socket, and delete the file of a Unix socket unless another server owns it now."""
        self.sock.close()
        with contextlib.suppress(OSError):
            if self.file is not None and self.is_there and not self.passed:
                os.unlink(self.endpoints[0].socket)  # noqa: PTH108 - as os.stat

    @property
    def is_there(self) -> bool:
        """Whether clients can reach it: the file of a Unix socket may be deleted, or owned by another server."""
        return self.file is None or file_identity(self.endpoints[0].socket) == self.file

    def place_of(self, endpoint: EndpointConfig) -> str:
        """Return the place of one of its endpoints: ``routes.yaml:8``."""
        named = zip(self.endpoints, self.places, strict=False)
        return next((place for each, place in named if each.name == endpoint.name), self.place)

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
        """Whether it is bound to a loopback address, which a browser may reach by any name.

        No browser can reach a Unix socket: only a proxy does, under whatever names it has.
        """
        if self.file is not None:
            return False
        address = ip_address(str(self.sock.getsockname()[0]).partition("%")[0])
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS; all endpoints of a port do, or none."""
        return self.endpoints[0].scheme.secure


def bind_ports(
    endpoints: Sequence[EndpointConfig],
    source: SourceMap,
    held: Sequence[Port] = (),
    passed: PassedSockets = _NONE_PASSED,
) -> list[Port]:
    """Bind every endpoint; those of one address and port share a socket. Port 0 becomes the port that the system chose.

    A name means all its addresses on this machine, such as ``::1`` and ``127.0.0.1``: each is a port.

    Where a socket is passed by the name of an endpoint, it is used instead of binding one, wherever it listens. It also
    serves the endpoints that share the address and port.

    Args:
        endpoints: of routes.yaml.
        source: of the endpoints, for errors.
        held: what is bound already. If an endpoint means one of these, its socket is reused; a twin of it if only one
            of the two speaks TLS, since one socket cannot have both.
        passed: by systemd.

    Raises:
        ListenError: one of them cannot be bound, or a passed socket fits none; sockets that are not in `held` are
            closed.
    """
    passed.check([endpoint.name for endpoint in endpoints], source.place(("endpoints",)))
    shared: dict[PortKey, list[EndpointConfig]] = {}
    for endpoint in endpoints:
        # Two endpoints that leave their port to the system do not share one.
        number = endpoint.port or ("" if endpoint.socket else endpoint.name)
        shared.setdefault((endpoint.address, number), []).append(endpoint)
    before: dict[PortKey, list[Port]] = {}
    for held_port in filter(operator.attrgetter("is_there"), held):
        before.setdefault(held_port.key, []).append(held_port)
    ports: list[Port] = []
    try:
        for key, group in shared.items():
            place = source.place(group[0].keys)
            names = [endpoint.name for endpoint in group if endpoint.name in passed]
            keys: list[PortKey] = [(_PASSED, name) for name in names]
            for where in keys or [key]:
                had = before.get(where, ())
                if names and not had:
                    socks = _take(passed, str(where[1]), group[0], place)
                else:
                    socks = _sockets(had, group[0], place, (ports, held))
                ports += (_port(sock, group, source, where, passed=bool(names)) for sock in socks)
    except ListenError as error:
        close_new(ports, held)
        raise ListenError(source.masked(str(error))) from None
    return ports


def _port(
    sock: socket.socket, group: Sequence[EndpointConfig], source: SourceMap, key: PortKey, *, passed: bool
) -> Port:
    """Return the port of a socket that listens, with its actual number."""
    path = group[0].socket
    mode = next((endpoint.mode for endpoint in group if endpoint.mode is not None), None)
    if mode is not None and not passed:
        with contextlib.suppress(OSError):  # it is ours, unless it has just been deleted
            os.chmod(path, mode)  # noqa: PTH101 - as os.stat
    here, port = (group[0].address, 0) if path else sock.getsockname()[:2]
    address = here if passed else group[0].address
    endpoints = tuple(replace(endpoint, address=address, port=port) for endpoint in group)
    places = tuple(source.place(endpoint.keys) for endpoint in group)
    return Port(sock, endpoints, places[0], key, file_identity(path) if path else None, places, passed)


def _take(passed: PassedSockets, name: str, endpoint: EndpointConfig, place: str) -> list[socket.socket]:
    """Return the sockets that are passed by a name, for an endpoint of it and those that share its port."""
    try:
        return passed.take(name, unix=bool(endpoint.socket))
    except ListenError as error:
        raise ListenError(f"{place}: endpoint {endpoint.name}: {error}") from None


def close_new(ports: Sequence[Port], held: Sequence[Port]) -> None:
    """Close the sockets of ports that are not held as well."""
    kept = {port.sock for port in held}
    for port in ports:
        if port.sock not in kept:
            port.close()


_Bound = tuple[Sequence[Port], Sequence[Port]]
"""The ports bound now, and those from before."""


def _sockets(before: Sequence[Port], endpoint: EndpointConfig, place: str, bound: _Bound) -> list[socket.socket]:
    """Return sockets that exist, twins of them, or new ones."""
    if endpoint.socket:
        return [port.sock for port in before] or [_bind_unix(endpoint, place)]
    if not before:
        return _bind(endpoint, place, bound)
    return [port.sock if port.secure is endpoint.scheme.secure else port.sock.dup() for port in before]


def _bind(endpoint: EndpointConfig, place: str, bound: _Bound) -> list[socket.socket]:
    address = _ALL_IPV4 if endpoint.address == "*" else endpoint.address
    try:
        found = socket.getaddrinfo(address, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ListenError(f'{place}: endpoint {endpoint.name}: no address "{endpoint.address}" is known here') from None
    addresses = list(dict.fromkeys((family, where) for family, _, _, _, where in found))
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _bind_each(addresses)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and not endpoint.port and attempt < _ATTEMPTS:
                continue  # the system has chosen a port that is free at one address only
            why = (_own_fault(endpoint, bound) if error.errno == errno.EADDRINUSE else "") or why_not(endpoint, error)
            raise ListenError(f"{place}: endpoint {endpoint.name}: {why}") from None
    raise AssertionError("the last attempt returns or raises")


def _bind_unix(endpoint: EndpointConfig, place: str) -> socket.socket:
    try:
        return bind_unix(endpoint.socket, BACKLOG)
    except ListenError as error:
        raise ListenError(f"{place}: endpoint {endpoint.name}: {error}") from None


def _bind_each(addresses: Sequence[_Address]) -> list[socket.socket]:
    """Bind all addresses of a name at one port, except those that this machine does not have.

    Raises:
        OSError: one cannot be bound, or this machine has none of them; nothing is left bound.
    """
    socks: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, where in addresses:
            port = socks[0].getsockname()[1] if socks else where[1]
            try:
                socks.append(_listen(family, (where[0], port, *where[2:]), alone=len(addresses) > 1))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = missing or error
        if not socks and missing is not None:
            raise missing
    except OSError:
        for sock in socks:
            sock.close()
        raise
    return socks


def _listen(family: int, where: tuple[Any, ...], *, alone: bool) -> socket.socket:
    """Listen at an address; `alone` leaves IPv4 to a separate socket."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if alone and family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _own_fault(endpoint: EndpointConfig, bound: _Bound) -> str:
    """Return the other endpoint of the app that uses the port, if there is one."""
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
    """Return why an endpoint cannot listen, and how to fix it."""
    where = f"{endpoint.address} port {endpoint.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use by another program: stop that one, or choose another port"
        case errno.EACCES | errno.EPERM if endpoint.port <= _LAST_PRIVILEGED_PORT:
            return f"{where} is privileged: choose a port above {_LAST_PRIVILEGED_PORT}, or let the system allow it"
        case errno.EADDRNOTAVAIL:
            return f"{where}: this machine does not have that address (127.0.0.1 is only this machine, * is all)"
        case _:
            return f"{where} cannot be used: {(error.strerror or str(error)).lower()}"
