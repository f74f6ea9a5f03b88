"""From Sanic's request to our own connection: the handshake is answered, then the transport is handed over."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from sanic.http import Http
from sanic.request import Request
from sanic.response import HTTPResponse

from signalpost.config.model import EndpointConfig
from signalpost.delivery.codec import V1
from signalpost.edge.forwarded import PublicView, peer_of, public_of
from signalpost.http.access import note_answer, note_client
from signalpost.http.errorpages import failure
from signalpost.http.guard import Guard, hosts_of
from signalpost.http.protocol import HandingOver
from signalpost.http.request import WebRequest
from signalpost.http.router import UPGRADE_PATH, is_handshake_meant
from signalpost.signals.admission import Accept, Admission, ConnectRequest, IdentityRejection
from signalpost.signals.sessions import offered
from signalpost.sockets.connection import Clockwork, Connection
from signalpost.sockets.rate import allowance_of, pace_of
from signalpost.sockets.refused import RefusedSocket
from signalpost.sockets.services import SocketServices, came_from, changed
from signalpost.websocket.crosssite import Site, check_origin
from signalpost.websocket.deflate import Agreement, Deflater, Inflater
from signalpost.websocket.extensions import agree
from signalpost.websocket.handshake import (
    HandshakeRejection,
    Offer,
    choose_protocol,
    is_upgrade,
    read_offer,
    write_101,
)
from signalpost.websocket.head import Head, read_head
from signalpost.websocket.reader import FrameReader

_UPGRADE_NAME = "websocket-upgrade"


class _Asked(NamedTuple):
    """A request as Sanic has read it; the fields are those of `signalpost.websocket.head.Head`."""

    path: str
    text: bytes
    fields: Any


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
            view = public_of(self._endpoint, request.transport, request.headers)
            cast("WebRequest", request).public = view
            decided = _decided(request)
            if self._guard is not None:
                self._guard.admit_hosts(hosts_of(request, view))
                if self._guard.redirect is not None and is_handshake_meant(request.headers):
                    raise self._guard.redirect(request)
            offer, admission = self._admitted(request, view, decided)
        except IdentityRejection as rejection:
            return self._refuse(request, rejection)
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
        except IdentityRejection as rejection:
            return self._refuse(request, rejection)
        except HandshakeRejection as rejection:
            return self._reject(request, rejection)
        finally:
            if not transport.is_closing():
                transport.resume_reading()
        if not self.open or accept.request.endpoint is not self._endpoint:
            return self._reject(request, changed())
        return self._upgrade(request, offer, accept)

    def _reject(self, request: Request[Any, Any], rejection: HandshakeRejection) -> HTTPResponse:
        self._note(request, rejection)
        return failure(request, rejection.status, detail=rejection.detail, headers=rejection.headers)

    def _note(self, request: Request[Any, Any], rejection: HandshakeRejection) -> None:
        if is_handshake_meant(request.headers) and rejection.status >= HTTPStatus.BAD_REQUEST:
            self._refused(request, rejection)
        if (observer := self._services.node.observer) is not None:
            observer.rejected("" if self._endpoint is None else self._endpoint.name, rejection.status)

    def _refuse(self, request: Request[Any, Any], rejection: IdentityRejection) -> HTTPResponse | None:
        """Answer a client that is refused for who it is: one of ``signalpost.v1`` by a close frame, which pages see."""
        transport = cast("asyncio.Transport", request.transport)
        offer = read_offer(request.method, request.version, request.headers)
        protocol = choose_protocol(offer, (V1.codec.name,))
        if not protocol or transport.is_closing():
            return self._reject(request, rejection)
        self._note(request, rejection)
        if (access := self._services.intake.access) is not None:
            note_answer(access, request, rejection.status, None)
        cast("Http", request.stream).upgrade_websocket = True
        early = cast("HandingOver", transport.get_protocol()).hand_over()
        transport.write(write_101(offer, protocol, ""))
        RefusedSocket(transport, self._services.refused).begin(rejection, early)
        return None

    def take(self, transport: asyncio.Transport, data: bytes) -> bool | HandshakeRejection | Awaitable[Accept]:
        """Answer a handshake that makes up a connection's first bytes.

        Returns:
            Whether that was done; else the connection is Sanic's, which judges the handshake again, and reports what is
            wrong with it. What was decided already is returned, or what is to be awaited for it: nobody is asked again.
        """
        node, endpoint = self._services.node, self._endpoint
        if endpoint is None or endpoint.redirect is not None or not node.admitter.decides_at_once:
            return False
        if (head := read_head(data, node.generation.limits.head)) is None or not is_upgrade(head.fields):
            return False
        view = public_of(endpoint, transport, head.fields)
        charged = node.limiter.counts_handshakes
        try:
            if charged:
                self._charge(transport, view)
            offer = read_offer("GET", "1.1", head.fields)
            if self._guard is not None:
                hosts = head.fields["host"]
                self._guard.admit_hosts(hosts if view is None else (*hosts, view.host))
            request = self._judge(offer, head, endpoint, transport, view)
        except HandshakeRejection as rejection:
            # A handshake is charged once, and told once.
            return rejection if charged or rejection.status == HTTPStatus.TOO_MANY_REQUESTS else False
        try:
            admission = node.admitter.admit(request)
        except HandshakeRejection as rejection:
            return rejection
        if not isinstance(admission, Accept):
            return admission
        self._open(transport, offer, admission, lambda: head.early)
        return True

    def _charge(self, transport: asyncio.BaseTransport, view: PublicView | None) -> None:
        """Charge a handshake to the address that it comes from.

        Raises:
            HandshakeRejection: the address has had too many.
        """
        address = (peer_of(transport) if view is None else view.peer)[0]
        name = "" if self._endpoint is None else self._endpoint.name
        self._services.node.limiter.admit_handshake(address, name)

    def _admitted(
        self, request: Request[Any, Any], view: PublicView | None, decided: Awaitable[Accept] | None
    ) -> tuple[Offer, Admission]:
        """Decide about the client of a request, and return what its handshake offers with the decision.

        Args:
            request: of the client.
            view: of it, if a trusted proxy says it.
            decided: what is waited for already, so that nobody is asked again, and no address charged.

        Raises:
            HandshakeRejection: it is not admitted.
        """
        transport = cast("asyncio.Transport", request.transport)
        if decided is not None:
            return read_offer(request.method, request.version, request.headers), decided
        self._charge(transport, view)
        if self._endpoint is None:
            raise HandshakeRejection(400, "There are no WebSockets at this address.")
        if not is_upgrade(request.headers):
            raise HandshakeRejection(426, "This address speaks WebSocket only.", {"upgrade": "websocket"})
        offer = read_offer(request.method, request.version, request.headers)
        judged = self._judge(
            offer, _Asked(request.path, request.head, request.headers), self._endpoint, transport, view
        )
        return offer, self._services.node.admitter.admit(judged)

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
        self,
        offer: Offer,
        head: "_Asked | Head",
        endpoint: EndpointConfig,
        transport: asyncio.BaseTransport,
        view: PublicView | None,
    ) -> ConnectRequest:
        """Check a handshake against its endpoint, and return the request for the node.

        Raises:
            HandshakeRejection: it is not admitted.
        """
        asked = (offer.host, offer.port) if view is None else view.authority
        check_origin(offer.origin, head.fields, Site(asked, self._services.ports, endpoint.origins, endpoint.port))
        came = came_from(endpoint, transport, view)
        return self._services.ask(endpoint, head.path, head.text, came, is_open=self.open)

    def _open(self, transport: asyncio.Transport, offer: Offer, accept: Accept, hand_over: Callable[[], bytes]) -> None:
        """Write the 101, and pass the transport, which `hand_over` releases, to a client of ours."""
        services, node, endpoint = self._services, self._services.node, accept.request.endpoint
        if services.intake.access is not None:
            note_client(services.intake.access, accept, HTTPStatus.SWITCHING_PROTOCOLS)
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
            shared_of=services.allowance_of_user,
        )
        session = offered(offer.subprotocols) if encoding.codec.converses else ""
        connection.begin(node.attach(transport, accept, encoding, connection, session), hand_over())

    def _deflater(self, agreement: Agreement | None, endpoint: EndpointConfig) -> Deflater | None:
        compression = endpoint.compression
        if agreement is None or compression is None:
            return None
        return self._services.deflaters.of(compression.level, compression.threshold, agreement.server_window)


def _decided(request: Request[Any, Any]) -> Awaitable[Accept] | None:
    """Return what was decided of a handshake before Sanic read it, if it is waited for; None if nothing was.

    Raises:
        HandshakeRejection: it is rejected.
    """
    protocol = cast("HandingOver", cast("asyncio.Transport", request.transport).get_protocol())
    decided, protocol.decided = protocol.decided, None
    if isinstance(decided, HandshakeRejection):
        raise decided.with_traceback(None)  # and its connection will be closed
    return decided
