"""Admission: one place decides every handshake, whichever way it arrived."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.model import EndpointConfig
from signalpost.delivery.target import ClientId
from signalpost.errors import ErrorCode
from signalpost.events import HandshakeRequest
from signalpost.signals.table import ResolvedPath
from signalpost.websocket.frames import CloseCode
from signalpost.websocket.handshake import HandshakeRejection


class ConnectRequest(NamedTuple):
    """A client's request to connect; it already meets the demands of RFC 6455 and of the endpoint.

    Attributes:
        endpoint: that received the request.
        path: as requested, percent-decoded.
        handshake: its HTTP request.
        identity: of the client, once that is known.
        fault: why what its browser has sent by itself, a cookie, does not say who it is; empty if there is none.
    """

    endpoint: EndpointConfig
    path: str
    handshake: HandshakeRequest
    identity: Identity = GUEST
    fault: str = ""


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


@dataclass(frozen=True, slots=True)
class IdentityRejection(HandshakeRejection):
    """A client is not let in for who it is: 401, if showing another identity may help, else 403.

    Attributes:
        told: who it is, and which line decided, for the log alone; empty if nothing is known.
    """

    told: str = ""

    @property
    def code(self) -> ErrorCode:
        """The code of the error that a client of ``signalpost.v1`` reads instead of a status."""
        return ErrorCode.UNAUTHORIZED if self.status == HTTPStatus.UNAUTHORIZED else ErrorCode.FORBIDDEN

    @property
    def close_code(self) -> CloseCode:
        """The code with which its connection is closed."""
        return CloseCode.UNAUTHORIZED if self.status == HTTPStatus.UNAUTHORIZED else CloseCode.FORBIDDEN


def unauthorized(detail: str) -> IdentityRejection:
    """Return the answer to a client that has not shown well who it is (RFC 6750 section 3)."""
    return IdentityRejection(HTTPStatus.UNAUTHORIZED, detail, {"www-authenticate": "Bearer"})


def forbidden(detail: str, told: str = "") -> IdentityRejection:
    """Return the answer to a user who may not.

    Args:
        detail: for the client.
        told: see `IdentityRejection`.
    """
    return IdentityRejection(HTTPStatus.FORBIDDEN, detail, told=told)


AdmissionHook = Callable[[ConnectRequest], HandshakeRejection | Awaitable[HandshakeRejection | None] | None]
"""Called for each client that a signal would accept; None accepts it.

A plain function is called at once. For an ``async def`` the client waits: nothing is read from it, it counts towards
``limits.connections``, and it is rejected after ``limits.handshake``.
"""

Admission = Accept | Awaitable[Accept]
"""The accepted client, or an awaitable of it; the await raises `HandshakeRejection` if the client is rejected."""
