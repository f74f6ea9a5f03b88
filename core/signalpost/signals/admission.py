"""Admission: one place decides every handshake, whichever way it arrived."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.model import EndpointConfig
from signalpost.delivery.target import ClientId
from signalpost.events import HandshakeRequest
from signalpost.signals.table import ResolvedPath
from signalpost.websocket.handshake import HandshakeRejection


class ConnectRequest(NamedTuple):
    """A client's request to connect; it already meets the demands of RFC 6455 and of the endpoint.

    Attributes:
        endpoint: that received the request.
        path: as requested, percent-decoded.
        handshake: its HTTP request.
        identity: who the client is.
    """

    endpoint: EndpointConfig
    path: str
    handshake: HandshakeRequest
    identity: Identity = GUEST


class Accept(NamedTuple):
    """The client is accepted.

    Attributes:
        request: of the client.
        client_id: its id from now on.
        resolved: the signal that serves its path.
    """

    request: ConnectRequest
    client_id: ClientId
    resolved: ResolvedPath


AdmissionHook = Callable[[ConnectRequest], HandshakeRejection | Awaitable[HandshakeRejection | None] | None]
"""Called for each client that a signal would accept; None accepts it.

A plain function is called at once. For an ``async def`` the client waits: nothing is read from it, it counts towards
``limits.connections``, and it is rejected after ``limits.handshake``.
"""

Admission = Accept | Awaitable[Accept]
"""The accepted client, or an awaitable of it; the await raises `HandshakeRejection` if the client is rejected."""
