"""What all clients' connections of one server share, and what all must be let in by."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from signalpost.config.model import EndpointConfig, LimitsConfig
from signalpost.delivery.client import Client
from signalpost.delivery.inbound import Inbound
from signalpost.edge.forwarded import PublicView, peer_of
from signalpost.events import HandshakeRequest
from signalpost.http.intake import Intake
from signalpost.node import Node
from signalpost.paths import path_text
from signalpost.signals.admission import ConnectRequest
from signalpost.signals.conversation import Conversation
from signalpost.signals.inbox import Source
from signalpost.sockets.keepalive import Keepalive, Watched
from signalpost.sockets.rate import Allowance, AllowanceTable, user_pace_of
from signalpost.sockets.refused import RefusedSockets
from signalpost.websocket.deflate import Deflaters
from signalpost.websocket.handshake import HandshakeRejection

_LATER = {"retry-after": "5"}


class Came(NamedTuple):
    """From where a request came, and what it asked for; the fields are those of `HandshakeRequest`."""

    peer: tuple[str, int]
    scheme: str
    host: str | None = None


class ClientConnection(Watched, Source, Protocol):
    """The connection of a client: a WebSocket, or an event stream."""

    @property
    def client(self) -> Client:
        """The client at the other end."""

    @property
    def conversation(self) -> Conversation:
        """The conversation that receives its messages."""

    def set_limits(self, limits: LimitsConfig, /) -> None:
        """Apply other limits to the client from now on."""


@dataclass(slots=True)
class SocketServices:
    """What all clients' connections of one server share besides their node.

    Attributes:
        connections: all open ones.
        ports: that the app serves; pages of its host on any of them may open WebSockets.
        endpoints: of the app, with their actual ports.
        intake: what connections share before they are a client's.
        inbound: the account of unfinished messages and bodies of all clients.
        deflaters: of all endpoints that compress.
        refused: WebSockets that are open only to say why their clients are not let in.
        posters: what may still be sent by POST without a session, by address or user.
        users: what all clients of one user may still send, by user.
    """

    node: Node
    connections: set[ClientConnection]
    keepalive: Keepalive
    ports: Collection[int]
    endpoints: Sequence[EndpointConfig]
    intake: Intake
    inbound: Inbound = field(default_factory=Inbound)
    deflaters: Deflaters = field(default_factory=Deflaters)
    refused: RefusedSockets = field(default_factory=RefusedSockets)
    posters: AllowanceTable = field(default_factory=lambda: AllowanceTable(asyncio.get_running_loop().time))
    users: AllowanceTable = field(default_factory=lambda: AllowanceTable(asyncio.get_running_loop().time))

    def allowance_of_user(self, user: str | None) -> Allowance | None:
        """Return what all clients of a user may still send; None for guests, and without a limit."""
        if user is None:
            return None
        pace = user_pace_of(self.node.generation.limits)
        return None if pace is None else self.users.of(user, pace)

    def ask(
        self,
        endpoint: EndpointConfig,
        path: str,
        head: bytes,
        came: Came,
        *,
        is_open: bool,
        visits: bool = False,
    ) -> ConnectRequest:
        """Return a client's request for the node.

        Args:
            endpoint: that received it.
            path: as requested, percent-encoded.
            head: of the HTTP request.
            came: from where the request came.
            is_open: whether the endpoint still lets clients in.
            visits: whether it comes for one message only.

        Raises:
            HandshakeRejection: there is no room for it, or its path is none.
        """
        if not is_open:
            raise HandshakeRejection(503, "The server is about to restart; try again in a while.", _LATER)
        places = self.node.generation.limits.connections - self.node.occupied
        if places <= 0:
            raise HandshakeRejection(503, "There are too many connections; try again in a while.", _LATER)
        if not visits:
            self.node.limiter.admit_connection(came.peer[0], endpoint.name)
        text = path_text(path)
        if text is None:
            raise HandshakeRejection(404, "There is no signal at this path.")
        if places <= len(self.refused):
            self.refused.give_way()
        return ConnectRequest(endpoint, text, HandshakeRequest(head, *came))


def changed() -> HandshakeRejection:
    """Return the answer to a client whose endpoint has changed while it waited."""
    return HandshakeRejection(503, "The server has changed meanwhile; try again in a while.", _LATER)


def came_from(endpoint: EndpointConfig, transport: asyncio.BaseTransport, view: PublicView | None) -> Came:
    """Return from where a request came.

    Args:
        endpoint: that received it.
        transport: of its connection.
        view: what a trusted proxy says of it.
    """
    own = "https" if endpoint.scheme.secure else "http"
    if view is None:
        return Came(peer_of(transport), own)
    return Came(view.peer, view.scheme or own, view.host)
