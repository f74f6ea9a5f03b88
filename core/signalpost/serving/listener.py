"""Listening ports: sockets, TLS, and the Sanic app behind each."""

import asyncio
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, cast

from sanic.server.async_server import AsyncioServer

from signalpost.config.model import EndpointConfig, SourceMap
from signalpost.errors import ListenError
from signalpost.plan import RouteRule
from signalpost.serving.app import build_app, discard_app
from signalpost.serving.descriptors import Descriptors
from signalpost.serving.doorman import Door, Doorman
from signalpost.serving.protocol import HandingOver
from signalpost.serving.services import RouteServices
from signalpost.serving.tls import server_context
from signalpost.serving.upgrade import SocketServices, Upgrader, UpgradeTable

_BACKLOG = 4096
_LOOK = 0.02  # seconds between two looks at requests under way, while the server stops
_PATIENT_LOOK = 1.0  # seconds, likewise, at connections that say nothing
_ALL_IPV4 = "0.0.0.0"  # noqa: S104 - what the user asked for by *
_LAST_PRIVILEGED_PORT = 1023


@dataclass(frozen=True, slots=True)
class Port:
    """A bound socket and the endpoints that share it: at most one for pages and one for WebSockets.

    Attributes:
        place: where the first of them stands: ``routes.yaml:7``.

    """

    sock: socket.socket
    endpoints: tuple[EndpointConfig, ...]
    place: str

    @property
    def pages(self) -> EndpointConfig | None:
        """The http or https endpoint."""
        return next((endpoint for endpoint in self.endpoints if not endpoint.scheme.websocket), None)

    @property
    def sockets(self) -> EndpointConfig | None:
        """The ws or wss endpoint."""
        return next((endpoint for endpoint in self.endpoints if endpoint.scheme.websocket), None)


def bind_ports(endpoints: Sequence[EndpointConfig], source: SourceMap) -> list[Port]:
    """Bind every endpoint; those of one address and port share a socket. Port 0 becomes the port that was given.

    Args:
        endpoints: of routes.yaml.
        source: where they stand, for errors.

    Raises:
        ListenError: one of them cannot be bound; those already bound are closed.

    """
    shared: dict[tuple[str, int], list[EndpointConfig]] = {}
    for index, endpoint in enumerate(endpoints):
        # Two endpoints that leave their port to the system do not mean the same one.
        shared.setdefault((endpoint.address, endpoint.port or -index - 1), []).append(endpoint)
    ports: list[Port] = []
    try:
        for group in shared.values():
            place = source.place(group[0].keys)
            sock = _bind(group[0], place, ports)
            port = sock.getsockname()[1]
            ports.append(Port(sock, tuple(replace(endpoint, port=port) for endpoint in group), place))
    except ListenError:
        for bound in ports:
            bound.sock.close()
        raise
    return ports


def _bind(endpoint: EndpointConfig, place: str, bound: Sequence[Port]) -> socket.socket:
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
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        own = next((port for port in bound if port.endpoints[0].port == endpoint.port), None)
        if error.errno == errno.EADDRINUSE and own is not None:
            first = own.endpoints[0]
            holder = f'the endpoint "{first.name}" ({own.place}) has port {first.port} of {first.address}'
            why = f"{holder}, and {endpoint.address} means the same: give both one address, or one another port"
        else:
            why = why_not(endpoint, error)
        raise ListenError(f"{place}: endpoint {endpoint.name}: {why}") from None
    return sock


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


class Listener:
    """One port at work.

    Args:
        port: bound.
        rules: all routes of the plan; those of the port's endpoint are served.
        services: what routes need, for the port's http(s) endpoint or, without one, whichever it has.
        sockets: what WebSockets need.

    Raises:
        OperatorError: a template cannot be used.
        ListenError: the certificate cannot be used.

    """

    def __init__(
        self, port: Port, rules: Sequence[RouteRule], services: RouteServices, sockets: SocketServices
    ) -> None:
        self.port = port
        first = port.endpoints[0]
        try:
            self._tls = server_context(first.tls, first.address) if first.tls is not None else None
        except ListenError as error:
            raise ListenError(f"{port.place}: endpoint {first.name}: {error}") from None
        self._patience = services.patience
        pages = port.pages
        served = [rule for rule in rules if pages is not None and pages.name in rule.endpoints]
        self._app = build_app(first.name, served, services, router=UpgradeTable(plain=pages is not None))
        self._upgrader = Upgrader(port.sockets, sockets)
        self._upgrader.add_to(self._app)
        self._server: AsyncioServer | None = None
        self._door: Door | None = None

    async def start(self) -> None:
        """Accept connections."""
        # The handshake of TLS comes before the one that Sanic sees.
        patience = {"ssl_handshake_timeout": self._patience} if self._tls is not None else {}
        server = await self._app.create_server(
            sock=self.port.sock,
            ssl=self._tls,
            protocol=cast("type[HandingOver]", self._greet),
            backlog=_BACKLOG,
            asyncio_server_kwargs={"start_serving": False, **patience},
        )
        assert server is not None  # noqa: S101 - Sanic gives None only to its own worker manager
        await server.startup()  # type: ignore[no-untyped-call]
        await server.start_serving()  # type: ignore[no-untyped-call]
        self._server = server

    def _greet(self, **options: Any) -> Doorman:
        """Make the protocol of a new connection; `options` are the same for all, and are what Sanic's own needs."""
        if self._door is None:
            self._door = Door(
                self._upgrader,
                Descriptors(monotonic),
                monotonic,
                lambda begun: HandingOver(begun=begun, **options),
                min(_PATIENT_LOOK, self._patience / 2),
            )
            self._door.open()
        return Doorman(self._door)

    def _close_door(self) -> None:
        if self._door is not None:
            self._door.close()

    def stop_accepting(self) -> None:
        """Accept no more connections and no more handshakes; requests go on, each the last of its connection."""
        self._upgrader.open = False
        self._app.config.KEEP_ALIVE = False
        if self._server is not None:
            # Not the wrapper's close(): that starts a task that waits for every connection.
            cast("asyncio.Server", self._server.server).close()
            self._close_door()
            for connection in self._server.connections:
                if connection.http is not None:  # its request was read with the keep-alive of before
                    connection.http.keep_alive = False

    async def finish(self, seconds: float) -> None:
        """Close connections without a request, and those with one when it is done, or after `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self._close_door()  # what had been accepted meanwhile
        while self._server is not None and self._server.connections and loop.time() < deadline:
            for connection in tuple(self._server.connections):
                connection.close_if_idle()
            await asyncio.sleep(min(deadline - loop.time(), _LOOK))
        if self._server is not None and self._server.connections:
            self._end_connections(self._server)
            await asyncio.sleep(_LOOK)  # a cancelled handler may have something to put away

    def stop(self) -> None:
        """End the connections of plain requests, and give the app up."""
        self._close_door()
        if self._server is not None:
            self._end_connections(self._server)
        self.port.sock.close()
        discard_app(self._app)

    @staticmethod
    def _end_connections(server: AsyncioServer) -> None:
        for connection in tuple(server.connections):
            cast("HandingOver", connection).end()
