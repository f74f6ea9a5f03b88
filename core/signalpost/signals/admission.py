"""Admission: a handshake is decided as a message is, in one place, whatever way it came."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from signalpost.config.model import EndpointConfig
from signalpost.delivery.target import ClientId
from signalpost.events import HandshakeRequest
from signalpost.signals.table import ResolvedPath
from signalpost.websocket.handshake import HandshakeRejection


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """A client that asks to be connected; what RFC 6455 and the endpoint demand of it is right already.

    Attributes:
        endpoint: where it asks.
        path: percent-decoded, as it asks for it.
        handshake: its request.

    """

    endpoint: EndpointConfig
    path: str
    handshake: HandshakeRequest


@dataclass(frozen=True, slots=True)
class Accept:
    """The client is let in.

    Attributes:
        request: what it asked.
        client_id: its id from now on.
        resolved: the signal that takes its path.

    """

    request: ConnectRequest
    client_id: ClientId
    resolved: ResolvedPath


AdmissionHook = Callable[[ConnectRequest], HandshakeRejection | Awaitable[HandshakeRejection | None] | None]
"""Asked about each client that a signal would take: None lets it in.

A plain function is called on the spot. An ``async def`` has its client wait: nothing is read from it, it counts among
``limits.connections``, and after ``limits.handshake`` it is rejected.
"""

Admission = Accept | Awaitable[Accept]
"""The client is let in, or what to await for that; the await raises `HandshakeRejection` if it is not."""
