"""Listening ports: bound sockets, and the endpoints that share them."""

import contextlib
import errno
import operator
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from signalpost.config.model import EndpointConfig
from signalpost.errors import ListenError
from signalpost.places import SourceMap

BACKLOG = 4096

_ALL_IPV4 = "0.0.0.0"  # noqa: S104 - what the user asked for by *
_LAST_PRIVILEGED_PORT = 1023

_ATTEMPTS = 8  # for a port that is free at all addresses of a name
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_Address = tuple[int, tuple[Any, ...]]
"""A family and one of its addresses, as `socket.bind` expects it."""

PortKey = tuple[str, int | str]
"""An address with a port, or with the name of an endpoint that leaves its port to the system."""


@dataclass(frozen=True, slots=True)
class Port:
    """A bound socket and the endpoints that share it: at most one for pages and one for WebSockets.

    Attributes:
        place: of the first of them: ``routes.yaml:7``.
        key: its address and port in routes.yaml.
        file: the device and inode of its Unix socket; None if it has an address and a port.
        places: of each of its endpoints.
    """

    sock: socket.socket
    endpoints: tuple[EndpointConfig, ...]
    place: str
    key: PortKey
    file: tuple[int, int] | None = None
    places: tuple[str, ...] = ()

    def close(self) -> None:
        """Close the socket, and delete the file of a Unix socket unless another server owns it now."""
        self.sock.close()
        with contextlib.suppress(OSError):
            if self.file is not None and self.is_there:
                os.unlink(self.endpoints[0].socket)  # noqa: PTH108 - as os.stat

    @property
    def is_there(self) -> bool:
        """Whether clients can reach it: the file of a Unix socket may be deleted, or owned by another server."""
        return self.file is None or _identity(self.endpoints[0].socket) == self.file

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


def bind_ports(endpoints: Sequence[EndpointConfig], source: SourceMap, held: Sequence[Port] = ()) -> list[Port]:
    """Bind every endpoint; those of one address and port share a socket. Port 0 becomes the port that the system chose.

    A name means all its addresses on this machine, such as ``::1`` and ``127.0.0.1``: each is a port.

    Args:
        endpoints: of routes.yaml.
        source: of the endpoints, for errors.
        held: what is bound already. If an endpoint means one of these, its socket is reused; a twin of it if only one
            of the two speaks TLS, since one socket cannot have both.

    Raises:
        ListenError: one of them cannot be bound; sockets that are not in `held` are closed.
    """
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
            for sock in _sockets(before.get(key, ()), group[0], place, (ports, held)):
                path = group[0].socket
                mode = next((endpoint.mode for endpoint in group if endpoint.mode is not None), None)
                if mode is not None:
                    with contextlib.suppress(OSError):  # it is ours, unless it has just been deleted
                        os.chmod(path, mode)  # noqa: PTH101 - as os.stat
                port, file = (0, _identity(path)) if path else (sock.getsockname()[1], None)
                places = tuple(source.place(endpoint.keys) for endpoint in group)
                ports.append(
                    Port(sock, tuple(replace(endpoint, port=port) for endpoint in group), place, key, file, places)
                )
    except ListenError as error:
        close_new(ports, held)
        raise ListenError(source.masked(str(error))) from None
    return ports


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
    path = endpoint.socket
    where = f"{place}: endpoint {endpoint.name}: "
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_way(path)
        sock.bind(path)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except ListenError as error:
        sock.close()
        raise ListenError(f"{where}{error}") from None
    except OSError as error:
        sock.close()
        raise ListenError(f"{where}{path} cannot be used: {(error.strerror or str(error)).lower()}") from None
    return sock


def _make_way(path: str) -> None:
    """Delete the socket file that a killed server has left behind.

    Raises:
        ListenError: a server listens there, or it is not a socket.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{path} exists, and is no socket: choose another path, or remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - as os.lstat
            return
        except BlockingIOError:  # its backlog is full
            pass
    raise ListenError(f"{path} is in use by another program: stop that one, or choose another path")


def _identity(path: str) -> tuple[int, int]:
    """Return the identity of a file; that of a missing file equals no file's."""
    try:
        found = os.stat(path)  # noqa: PTH116 - never a Path where the system has a text
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


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
