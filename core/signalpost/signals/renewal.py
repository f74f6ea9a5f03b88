"""Renewal: a connected client shows another token, and stays who and where it is."""

import inspect
from collections.abc import Awaitable
from typing import Any, Protocol

from signalpost.auth.identity import Identity
from signalpost.delivery.client import Client
from signalpost.errors import ClientError, ErrorCode, NotReadyError, UnauthorizedError
from signalpost.events import HandshakeRequest
from signalpost.foreign import unseen_task
from signalpost.signals.admission import IdentityRejection
from signalpost.signals.answers import Ref
from signalpost.signals.expiry import Expiries, Expiring
from signalpost.signals.message import RESERVED
from signalpost.signals.requests import TOKEN, ServerRequest
from signalpost.signals.table import ResolvedPath

_POINTER = f"/{RESERVED}/{TOKEN}"


class Renewing(Protocol):
    """What judges tokens, and who may connect: a `signalpost.admitting.Admitter`, which documents each."""

    def renew(self, token: str) -> Identity | Awaitable[Identity]:
        """Return who a token says its bearer is."""

    def refusal(
        self, identity: Identity, resolved: ResolvedPath, asker: Client, request: HandshakeRequest
    ) -> IdentityRejection | None:
        """Return why somebody may not be connected any longer."""


class Renewable(Expiring, Protocol):
    """The conversation of a client: a `signalpost.signals.conversation.Conversation`, which documents each."""

    request: HandshakeRequest

    def refuse(self, error: ClientError, ref: Ref | None) -> None:
        """Tell the client that a request was refused."""


class RenewalHost(Protocol):
    """What a renewal needs of its surroundings: a `signalpost.node.Node`, which documents each."""

    @property
    def admitter(self) -> Renewing:
        """What judges the token."""

    @property
    def expiries(self) -> Expiries:
        """What watches the client."""

    def resolve(self, endpoint: str, path: str) -> ResolvedPath | None:
        """Return the signal that serves a path at an endpoint."""


def renew(guest: Renewable, host: RenewalHost, request: ServerRequest) -> None:
    """Let a client show another token; if a key must be fetched for it, the answer comes later."""
    try:
        found = host.admitter.renew(request.token)
    except (UnauthorizedError, NotReadyError) as error:
        _refuse(guest, request, error)
        return
    if inspect.isawaitable(found):
        unseen_task(_renew_later(guest, host, request, found))
    else:
        _settle(guest, host, request, found)


async def _renew_later(guest: Renewable, host: RenewalHost, request: ServerRequest, found: Awaitable[Identity]) -> None:
    try:
        identity = await found
    except (UnauthorizedError, NotReadyError) as error:
        _refuse(guest, request, error)
        return
    _settle(guest, host, request, identity)


def _settle(guest: Renewable, host: RenewalHost, request: ServerRequest, identity: Identity) -> None:
    """Take a good token, if it is of the same user, who may still be connected."""
    client = guest.client
    if client.closing:
        return
    if identity.user != client.identity.user:
        text = "this token is another user's: connect anew with it"
        guest.refuse(ClientError(ErrorCode.FORBIDDEN, text, _POINTER), request.ref)
        return
    resolved = host.resolve(client.endpoint.name, client.path)
    refusal = None if resolved is None else host.admitter.refusal(identity, resolved, client, guest.request)
    client.identity = identity
    if refusal is not None:
        client.send_away(refusal.close_code, refusal.detail)
        return
    host.expiries.watch(guest)
    body: dict[str, Any] = {} if request.ref is None else {"ref": request.ref}
    if identity.expires is not None:
        body["expires"] = host.expiries.left(identity.expires)
    client.send(client.encoding.noticed("ack", body))


def _refuse(guest: Renewable, request: ServerRequest, error: UnauthorizedError | NotReadyError) -> None:
    code = ErrorCode.UNAUTHORIZED if isinstance(error, UnauthorizedError) else ErrorCode.UNAVAILABLE
    guest.refuse(ClientError(code, str(error), _POINTER), request.ref)
