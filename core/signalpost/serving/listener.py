"""Listeners: TLS, the Sanic app and the handshakes of one port."""

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any, cast

from sanic.http import Stage
from sanic.request import Request
from sanic.server.async_server import AsyncioServer

from signalpost.config.model import EndpointConfig
from signalpost.errors import ListenError
from signalpost.http.app import App, adopt_routes, build_app, discard_app, without_advice
from signalpost.http.guard import Guard, RejectionLog
from signalpost.http.intake import Intake
from signalpost.http.protocol import HandingOver
from signalpost.http.redirects import redirect_to
from signalpost.http.remedies import open_handshake
from signalpost.http.router import UpgradeTable
from signalpost.http.services import RouteServices
from signalpost.plan import RouteRule
from signalpost.serving.ports import BACKLOG, Port
from signalpost.sockets.acceptor import Acceptor, FirstBytes, Security
from signalpost.sockets.fallback import FallbackDoor
from signalpost.sockets.services import SocketServices
from signalpost.sockets.upgrade import Upgrader
from signalpost.websocket.handshake import HandshakeRejection

_LOOK = 0.02  # seconds between two checks of requests under way, while the server stops
_PATIENT_LOOK = 1.0  # seconds between two checks of connections that have sent nothing


@dataclass(frozen=True, slots=True)
class PreparedListener:
    """What a listener will serve, checked and ready, but not active yet.

    Attributes:
        app: with the routes.
        tls: None without TLS.
    """

    port: Port
    app: App
    tls: ssl.SSLContext | None
    patience: float


class Listener:
    """One port that is served.

    ::

        made --open--> open --accept--> accepting --stop_accepting--> finishing requests --stop--> gone

    Args:
        port: bound.
        rules: all routes of the plan; those of the port's endpoint are served.
        services: what routes need, for the port's http(s) endpoint or, without one, for the one that it has.
        sockets: what WebSockets need.

    Raises:
        OperatorError: a template cannot be used.
        ListenError: the certificate cannot be used.
    """

    def __init__(
        self, port: Port, rules: Sequence[RouteRule], services: RouteServices, sockets: SocketServices
    ) -> None:
        self._sockets = sockets
        self._log = RejectionLog(asyncio.get_running_loop().call_later)
        self._upgrader = Upgrader(port.sockets, sockets, self._guard(port, port.sockets), self._tell_refused)
        self._door = FallbackDoor(port.pages, sockets, self._guard(port, port.pages))
        self._intake: Intake = sockets.intake
        self._tls: ssl.SSLContext | None = None
        prepared = self._prepare(port, rules, services)
        self.port = port
        self._patience = self._tls_patience = prepared.patience
        self._tls = prepared.tls
        self._app = prepared.app
        self._server: AsyncioServer | None = None
        self._acceptor: Acceptor | None = None

    def _prepare(self, port: Port, rules: Sequence[RouteRule], services: RouteServices) -> PreparedListener:
        tls = self._context(port)
        pages = port.pages
        served = [rule for rule in rules if pages is not None and pages.name in rule.endpoints]
        router = UpgradeTable(plain=pages is not None, guard=self._guard(port, pages))
        app = build_app(port.endpoints[0].name, served, services, router=router)
        self._upgrader.add_to(app)
        self._door.add_to(app)
        return PreparedListener(port, app, tls, services.patience)

    def _guard(self, port: Port, endpoint: EndpointConfig | None) -> Guard | None:
        if endpoint is None:
            return None
        ports = partial(getattr, self._sockets, "ports")  # a reload replaces them
        redirect = None if endpoint.redirect is None else redirect_to(partial(self._find, endpoint.redirect))
        return Guard(
            endpoint,
            port.place_of(endpoint),
            loopback=port.loopback,
            ports=ports,
            log=self._log,
            limiter=self._sockets.node.limiter,
            redirect=redirect,
        )

    def _find(self, name: str) -> EndpointConfig | None:
        """Return the endpoint of a name, with its actual port."""
        return next((endpoint for endpoint in self._sockets.endpoints if endpoint.name == name), None)

    def _tell_refused(self, request: Request, refusal: HandshakeRejection) -> None:
        if refusal.status in (HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.TOO_MANY_REQUESTS):
            return  # the guard has told it, or the limiter
        endpoint, services = self.port.sockets, self._sockets
        told = endpoint or self.port.endpoints[0]
        remedy = open_handshake(
            refusal, request, endpoint, services.endpoints, services.node.generation.limits.connections
        )
        self._log.handshake(request, refusal, f"{self.port.place_of(told)}: endpoint {told.name}", remedy)

    def _context(self, port: Port) -> ssl.SSLContext | None:
        """Return the TLS context of a port; a certificate generated at start is kept unless the settings change."""
        first = port.endpoints[0]
        if first.tls is None:
            return None
        if self._tls is not None and first.tls.self_signed and self.port.endpoints[0].tls == first.tls:
            return self._tls
        from signalpost.serving.tls import server_context  # loads cryptography

        try:
            return server_context(first.tls, first.address)
        except ListenError as error:
            raise ListenError(f"{port.place}: endpoint {first.name}: {error}") from None

    def prepare(self, port: Port, rules: Sequence[RouteRule], services: RouteServices) -> PreparedListener:
        """Prepare what another plan serves here; certificates are read again. The arguments are those of the class.

        Raises:
            OperatorError: a template cannot be used.
            ListenError: the certificate cannot be used.
        """
        prepared = self._prepare(port, rules, services)
        discard_app(prepared.app)  # the port serves routes
        prepared.app.finalize()
        return prepared

    def turn_to(self, prepared: PreparedListener) -> None:
        """Serve what is prepared from the next request and handshake on, also on open connections.

        The TLS handshake keeps the timeout that it had when the listener was opened.
        """
        self.port = prepared.port
        self._patience = prepared.patience
        self._tls = prepared.tls
        self._upgrader.serve(prepared.port.sockets, self._guard(prepared.port, prepared.port.sockets))
        self._door.serve(prepared.port.pages, self._guard(prepared.port, prepared.port.pages))
        adopt_routes(self._app, prepared.app)
        if self._server is not None:
            for connection in self._server.connections:
                connection.request_max_size = self._app.config.REQUEST_MAX_SIZE
                connection.request_timeout = self._app.config.REQUEST_TIMEOUT
                connection.response_timeout = self._app.config.RESPONSE_TIMEOUT
                if connection.http is not None and connection.http.stage is Stage.IDLE:  # it awaits the next request
                    connection.http.request_max_size = self._app.config.REQUEST_MAX_SIZE

    async def start(self) -> None:
        """Open the listener, and accept connections."""
        await self.open()
        await self.accept()

    async def open(self) -> None:
        """Prepare everything but accept no connection yet."""
        # Without TLS: the protocol of the first bytes does it.
        with without_advice():
            server = await self._app.create_server(
                sock=self.port.sock,
                protocol=cast("type[HandingOver]", self._greet),
                backlog=BACKLOG,
                asyncio_server_kwargs={"start_serving": False},
            )
        assert server is not None  # noqa: S101 - Sanic gives None only to its own worker manager
        await server.startup()  # type: ignore[no-untyped-call]
        self._server = server

    async def accept(self) -> None:
        """Accept connections."""
        if self._server is not None:
            await self._server.start_serving()  # type: ignore[no-untyped-call]

    def _greet(self, **options: Any) -> FirstBytes:
        """Create the protocol of a new connection; `options` are the same for all, and are what Sanic's own needs."""
        if self._acceptor is None:
            self._acceptor = Acceptor(
                self._upgrader,
                self._intake.descriptors,
                monotonic,
                lambda begun: HandingOver(begun=begun, intake=self._intake, **options),
                min(_PATIENT_LOOK, self._patience / 2),
                self._intake.newcomers,
                None if self._tls is None else self._security,
            )
            self._acceptor.open()
        return FirstBytes(self._acceptor)

    def _security(self) -> Security:
        assert self._tls is not None  # noqa: S101 - a port has TLS for as long as it has its socket
        return Security(self._tls, self._tls_patience)

    def _close_door(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()

    def stop_accepting(self) -> None:
        """Accept no more connections and handshakes; requests continue, each as the last one of its connection."""
        self._upgrader.open = self._door.open = False
        self._app.config.KEEP_ALIVE = False
        if self._server is not None:
            # Not the wrapper's close(): that starts a task that waits for every connection.
            cast("asyncio.Server", self._server.server).close()
            self._close_door()
            for connection in self._server.connections:
                if connection.http is not None:  # its request was read under the earlier keep-alive
                    connection.http.keep_alive = False

    @property
    def under_way(self) -> Iterator[tuple[str, str]]:
        """What runs for each request that is under way, and the path that it requests."""
        for connection in () if self._server is None else tuple(self._server.connections):
            if isinstance(connection, HandingOver) and (work := connection.work):
                yield work, connection.path

    async def finish(self, seconds: float) -> None:
        """Close connections without a request; close those with one when it is done, or after `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self._close_door()  # what had been accepted meanwhile
        while self._server is not None and self._server.connections and loop.time() < deadline:
            for connection in tuple(self._server.connections):
                connection.close_if_idle()
            await asyncio.sleep(min(deadline - loop.time(), _LOOK))
        if self._server is not None and self._server.connections:
            self._end_connections(self._server)
            await asyncio.sleep(_LOOK)  # a cancelled handler may have something to clean up

    def stop(self) -> None:
        """Close the connections of plain requests, and discard the app."""
        self._close_door()
        if self._server is not None:
            self._end_connections(self._server)
        self.port.close()
        discard_app(self._app)

    @staticmethod
    def _end_connections(server: AsyncioServer) -> None:
        for connection in tuple(server.connections):
            cast("HandingOver", connection).end()
