"""From Sanic's request to our own connection: the handshake is answered, then the transport changes hands."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sanic.http import Http
from sanic.request import Request
from sanic.response import HTTPResponse

from signalpost.config.model import EndpointConfig, LimitsConfig
from signalpost.delivery.client import Client
from signalpost.delivery.codec import Encodings
from signalpost.delivery.inbound import Inbound
from signalpost.delivery.target import ClientId
from signalpost.events import HandshakeRequest
from signalpost.http.errorpages import failure
from signalpost.http.guard import Guard, hosts_of
from signalpost.http.intake import Intake
from signalpost.http.protocol import HandingOver
from signalpost.http.router import UPGRADE_PATH, is_handshake_meant
from signalpost.paths import path_text
from signalpost.plugins.running import RunningPlugins
from signalpost.signals.session import Session, Signals
from signalpost.signals.table import ResolvedPath, SignalTable
from signalpost.sockets.connection import Clockwork, Connection
from signalpost.sockets.keepalive import Keepalive
from signalpost.sockets.rate import allowance_of, pace_of
from signalpost.websocket.deflate import Agreement, Deflater, Deflaters, Inflater
from signalpost.websocket.extensions import agree
from signalpost.websocket.handshake import (
    HandshakeRejection,
    Offer,
    accept,
    check_origin,
    choose_protocol,
    is_upgrade,
    read_offer,
)
from signalpost.websocket.head import Head, read_head
from signalpost.websocket.reader import FrameReader

_UPGRADE_NAME = "websocket-upgrade"
_ID_BYTES = 16


@dataclass(slots=True)
class SocketServices:
    """What all WebSockets of one server share. A reload replaces what comes from the plan.

    Attributes:
        ports: that the app serves; pages of its host on any of them may open WebSockets.
        endpoints: of the app, with the ports that they really have.
        encodings: of all clients.
        deflaters: of all endpoints that compress.
        inbound: the account of all that is held of unfinished messages and bodies of the server's clients.
        intake: what connections share before they are WebSockets.

    """

    signals: Signals
    table: SignalTable
    plugins: RunningPlugins
    keepalive: Keepalive
    limits: LimitsConfig
    ports: Collection[int]
    endpoints: Sequence[EndpointConfig]
    intake: Intake
    encodings: Encodings = field(default_factory=Encodings)
    deflaters: Deflaters = field(default_factory=Deflaters)
    inbound: Inbound = field(default_factory=Inbound)


class Upgrader:
    """Answers the handshakes of one port.

    Args:
        endpoint: the port's ws or wss endpoint; None refuses every handshake.
        services: shared by all ports.
        guard: of the endpoint.
        refused: hears of each handshake that is refused.

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

        def upgrade(request: Request[Any, Any]) -> HTTPResponse | None:
            return self.answer(request)

        # Sanic lets only such a handler return nothing; the answer has been written by then.
        upgrade.is_websocket = True  # type: ignore[attr-defined]
        app.add_route(upgrade, UPGRADE_PATH, methods=["GET"], name=_UPGRADE_NAME, error_format="json")

    def answer(self, request: Request[Any, Any]) -> HTTPResponse | None:
        """Answer a request: None when its connection is a WebSocket now."""
        try:
            if self._guard is not None:
                self._guard.admit_hosts(hosts_of(request))
            self._upgrade(request, self._endpoint)
        except HandshakeRejection as refusal:
            if is_handshake_meant(request.headers):
                self._refused(request, refusal)
            return failure(request, refusal.status, detail=refusal.detail, headers=refusal.headers)
        return None

    def take(self, transport: asyncio.Transport, data: bytes) -> bool:
        """Answer a handshake that is all of a connection's first bytes; False leaves the connection to Sanic."""
        if self._endpoint is None or (head := self._read(data)) is None or not is_upgrade(head.fields):
            return False
        try:
            offer = read_offer("GET", "1.1", head.fields)
            if self._guard is not None:
                self._guard.admit_hosts(head.fields["host"])
            resolved = self._judge(offer, head.path, self._endpoint)
        except HandshakeRejection:
            return False  # which makes it again, and an answer of it
        self._open(transport, self._endpoint, offer, resolved, head.text, lambda: head.early)
        return True

    def _read(self, data: bytes) -> Head | None:
        return read_head(data, self._services.limits.head)

    def _upgrade(self, request: Request[Any, Any], endpoint: EndpointConfig | None) -> None:
        if endpoint is None:
            raise HandshakeRejection(400, "There are no WebSockets at this address.")
        if not is_upgrade(request.headers):
            raise HandshakeRejection(426, "This address speaks WebSocket only.", {"upgrade": "websocket"})
        offer = read_offer(request.method, request.version, request.headers)
        resolved = self._judge(offer, request.path, endpoint)
        transport = cast("asyncio.Transport", request.transport)
        if transport.is_closing():  # TLS may have chosen already whom it tells of the end: not us
            raise HandshakeRejection(400, "The connection is gone.")
        protocol = cast("HandingOver", transport.get_protocol())
        # The request's keep-alive must not go on, whatever its Upgrade header looks like.
        cast("Http", request.stream).upgrade_websocket = True
        self._open(transport, endpoint, offer, resolved, request.head, protocol.hand_over)

    def _judge(self, offer: Offer, path: str, endpoint: EndpointConfig) -> ResolvedPath:
        """Find the signal that a handshake asks for, by its path as it was asked for.

        Raises:
            HandshakeRejection: it gets none.

        """
        services = self._services
        check_origin(offer, services.ports, endpoint.origins, endpoint.port)
        if not self.open:
            raise HandshakeRejection(503, "The server is about to restart; try again in a while.", {"retry-after": "5"})
        if services.intake.clients() >= services.limits.connections:
            raise HandshakeRejection(503, "There are too many connections; try again in a while.", {"retry-after": "5"})
        text = path_text(path)
        resolved = None if text is None else services.table.resolve(endpoint.name, text)
        if resolved is None:
            raise HandshakeRejection(404, "There is no signal at this path.")
        return resolved

    def _open(  # noqa: PLR0917 - the two ways here have all of it
        self,
        transport: asyncio.Transport,
        endpoint: EndpointConfig,
        offer: Offer,
        resolved: ResolvedPath,
        head: bytes,
        hand_over: Callable[[], bytes],
    ) -> None:
        """Write the 101, and let a client of ours have the transport, which `hand_over` sets free."""
        services = self._services
        hub = services.signals.hub
        client_id, protocol = (
            secrets.token_hex(_ID_BYTES),
            choose_protocol(offer, services.encodings.preferred(resolved.rule.config.protocols)),
        )
        agreed = None if endpoint.compression is None else agree(offer.extensions)
        agreement, extensions = agreed or (None, "")
        transport.write(accept(offer, protocol, client_id, extensions))
        client = Client(
            ClientId(client_id),
            resolved.path,
            endpoint,
            transport,
            hub,
            limit=resolved.rule.config.slow.buffer or services.limits.outbox,
            policy=resolved.rule.config.slow.policy,
            params=resolved.params,
            encoding=services.encodings.of(protocol, self._deflater(agreement)),
            place=resolved.place,
            ward=resolved.ward,
        )
        connection = self._connection(transport, agreement)
        snapshot = HandshakeRequest(head, _peer(transport))
        session = Session(client, resolved.rule, snapshot, services.signals, connection)
        connection.begin(client, session, hub, hand_over())

    def _deflater(self, agreement: Agreement | None) -> Deflater | None:
        compression = None if self._endpoint is None else self._endpoint.compression
        if agreement is None or compression is None:
            return None
        return self._services.deflaters.of(compression.level, compression.threshold, agreement.server_window)

    def _connection(self, transport: asyncio.Transport, agreement: Agreement | None) -> Connection:
        services, limits = self._services, self._services.limits
        reader = FrameReader(limits.message, None if agreement is None else Inflater(agreement))
        loop = asyncio.get_running_loop()
        return Connection(
            transport,
            services.plugins,
            services.keepalive,
            reader,
            allowance=allowance_of(pace_of(limits), loop.time),
            clockwork=Clockwork(loop.call_soon, loop.call_later),
            inbound=services.inbound,
        )


def _peer(transport: asyncio.Transport) -> tuple[str, int]:
    peer = transport.get_extra_info("peername")
    return peer[:2] if isinstance(peer, tuple) else ("", 0)
