"""From Sanic's request to our own connection: the handshake is answered, then the transport is handed over."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from sanic.http import Http
from sanic.request import Request
from sanic.response import HTTPResponse

from signalpost.config.model import EndpointConfig
from signalpost.http.errorpages import failure
from signalpost.http.guard import Guard, hosts_of
from signalpost.http.protocol import HandingOver
from signalpost.http.router import UPGRADE_PATH, is_handshake_meant
from signalpost.signals.admission import Accept, Admission, ConnectRequest
from signalpost.signals.sessions import offered
from signalpost.sockets.connection import Clockwork, Connection
from signalpost.sockets.rate import allowance_of, pace_of
from signalpost.sockets.services import SocketServices, changed
from signalpost.websocket.deflate import Agreement, Deflater, Inflater
from signalpost.websocket.extensions import agree
from signalpost.websocket.handshake import (
    HandshakeRejection,
    Offer,
    check_origin,
    choose_protocol,
    is_upgrade,
    read_offer,
    write_101,
)
from signalpost.websocket.head import read_head
from signalpost.websocket.reader import FrameReader

_UPGRADE_NAME = "websocket-upgrade"


class Upgrader:
    """Answers the handshakes of one port.

    Args:
        endpoint: the port's ws or wss endpoint; None rejects every handshake.
        services: shared by all ports.
        guard: of the endpoint.
        refused: called with each handshake that is rejected.

    Attributes:
        open: whether handshakes are still answered with a 101.
    """

    def __init__(
        self,
        endpoint: EndpointConfig | None,
        services: SocketServices,
        guard: Guard | None,
        refused: Callable[[Request, HandshakeRejection], None],
    ) -> None:
        self._endpoint = endpoint
        self._services = services
        self._guard = guard
        self._refused = refused
        self.open = True

    def serve(self, endpoint: EndpointConfig | None, guard: Guard | None) -> None:
        """Answer handshakes for another endpoint of the port from now on."""
        self._endpoint = endpoint
        self._guard = guard

    def add_to(self, app: Any) -> None:
        """Add the upgrade route to a Sanic app whose router is an `UpgradeTable`."""

        def upgrade(request: Request[Any, Any]) -> HTTPResponse | Awaitable[HTTPResponse | None] | None:
            return self.answer(request)

        # Sanic lets only such a handler return nothing; the response has been written by then.
        upgrade.is_websocket = True  # type: ignore[attr-defined]
        app.add_route(upgrade, UPGRADE_PATH, methods=["GET"], name=_UPGRADE_NAME, error_format="json")

    def answer(self, request: Request[Any, Any]) -> HTTPResponse | Awaitable[HTTPResponse | None] | None:
        """Answer a request; return None if its connection is a WebSocket now; an admission may have to be awaited."""
        try:
            if self._guard is not None:
                self._guard.admit_hosts(hosts_of(request))
                if self._guard.redirect is not None and is_handshake_meant(request.headers):
                    raise self._guard.redirect(request)
            offer, admission = self._admitted(request)
        except HandshakeRejection as rejection:
            return self._reject(request, rejection)
        if isinstance(admission, Accept):
            return self._upgrade(request, offer, admission)
        return self._answer_later(request, offer, admission)

    async def _answer_later(
        self, request: Request[Any, Any], offer: Offer, admission: Awaitable[Accept]
    ) -> HTTPResponse | None:
        """Answer a request when its admission is decided; nothing is read from its connection until then."""
        transport = cast("asyncio.Transport", request.transport)
        transport.pause_reading()
        try:
            accept = await admission
        except HandshakeRejection as rejection:
            return self._reject(request, rejection)
        finally:
            if not transport.is_closing():
                transport.resume_reading()
        if not self.open or accept.request.endpoint is not self._endpoint:
            return self._reject(request, changed())
        return self._upgrade(request, offer, accept)

    def _reject(self, request: Request[Any, Any], rejection: HandshakeRejection) -> HTTPResponse:
        if is_handshake_meant(request.headers) and rejection.status >= HTTPStatus.BAD_REQUEST:
            self._refused(request, rejection)
        if (observer := self._services.node.observer) is not None:
            observer.rejected("" if self._endpoint is None else self._endpoint.name, rejection.status)
        return failure(request, rejection.status, detail=rejection.detail, headers=rejection.headers)

    def take(self, transport: asyncio.Transport, data: bytes) -> bool | HandshakeRejection:
        """Answer a handshake that makes up a connection's first bytes.

        Returns:
            Whether that was done; else the connection is Sanic's, which judges the handshake again, and reports what is
            wrong with it. An admission hook that has decided is not called again.
        """
        node = self._services.node
        if self._endpoint is None or self._endpoint.redirect is not None or not node.admits_at_once:
            return False
        if (head := read_head(data, node.generation.limits.head)) is None or not is_upgrade(head.fields):
            return False
        try:
            offer = read_offer("GET", "1.1", head.fields)
            if self._guard is not None:
                self._guard.admit_hosts(head.fields["host"])
            request = self._judge(offer, head.path, self._endpoint, head.text, transport)
        except HandshakeRejection:
            return False
        try:
            admission = node.admit(request)
        except HandshakeRejection as rejection:
            return rejection
        if not isinstance(admission, Accept):
            return False
        self._open(transport, offer, admission, lambda: head.early)
        return True

    def _admitted(self, request: Request[Any, Any]) -> tuple[Offer, Admission]:
        """Decide about the client of a request, and return what its handshake offers with the decision.

        Raises:
            HandshakeRejection: it is not admitted.
        """
        transport = cast("asyncio.Transport", request.transport)
        decided = cast("HandingOver", transport.get_protocol()).rejection  # and its connection will be closed
        if decided is not None:
            raise decided.with_traceback(None)
        if self._endpoint is None:
            raise HandshakeRejection(400, "There are no WebSockets at this address.")
        if not is_upgrade(request.headers):
            raise HandshakeRejection(426, "This address speaks WebSocket only.", {"upgrade": "websocket"})
        offer = read_offer(request.method, request.version, request.headers)
        judged = self._judge(offer, request.path, self._endpoint, request.head, transport)
        return offer, self._services.node.admit(judged)

    def _upgrade(self, request: Request[Any, Any], offer: Offer, accept: Accept) -> HTTPResponse | None:
        """Turn the connection of an admitted request into a WebSocket."""
        transport = cast("asyncio.Transport", request.transport)
        if transport.is_closing():  # TLS may have chosen already which protocol it reports the end to: not ours
            return self._reject(request, HandshakeRejection(400, "The connection is gone."))
        protocol = cast("HandingOver", transport.get_protocol())
        # The request's keep-alive must not continue, whatever its Upgrade header looks like.
        cast("Http", request.stream).upgrade_websocket = True
        self._open(transport, offer, accept, protocol.hand_over)
        return None

    def _judge(
        self, offer: Offer, path: str, endpoint: EndpointConfig, head: bytes, transport: asyncio.Transport
    ) -> ConnectRequest:
        """Check a handshake against its endpoint, and return the request for the node.

        Raises:
            HandshakeRejection: it is not admitted.
        """
        check_origin(offer, self._services.ports, endpoint.origins, endpoint.port)
        return self._services.ask(endpoint, path, head, transport, is_open=self.open)

    def _open(self, transport: asyncio.Transport, offer: Offer, accept: Accept, hand_over: Callable[[], bytes]) -> None:
        """Write the 101, and pass the transport, which `hand_over` releases, to a client of ours."""
        services, node, endpoint = self._services, self._services.node, accept.request.endpoint
        protocol = choose_protocol(offer, node.encodings.preferred(accept.resolved.rule.config.protocols))
        agreed = None if endpoint.compression is None else agree(offer.extensions)
        agreement, extensions = agreed or (None, "")
        transport.write(write_101(offer, protocol, accept.client_id, extensions))
        encoding = node.encodings.of(protocol, self._deflater(agreement, endpoint))
        loop, limits = asyncio.get_running_loop(), node.generation.limits
        connection = Connection(
            transport,
            node,
            services.keepalive,
            FrameReader(limits.message, None if agreement is None else Inflater(agreement)),
            allowance=allowance_of(pace_of(limits), loop.time),
            clockwork=Clockwork(loop.call_soon, loop.call_later),
            inbound=services.inbound,
        )
        session = offered(offer.subprotocols) if encoding.codec.converses else ""
        connection.begin(node.attach(transport, accept, encoding, connection, session), hand_over())

    def _deflater(self, agreement: Agreement | None, endpoint: EndpointConfig) -> Deflater | None:
        compression = endpoint.compression
        if agreement is None or compression is None:
            return None
        return self._services.deflaters.of(compression.level, compression.threshold, agreement.server_window)
