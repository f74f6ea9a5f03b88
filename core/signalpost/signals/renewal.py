"""Renewal: a connected client shows another token, and stays who and where it is."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from signalpost.auth.identity import Identity
from signalpost.delivery.client import Client
from signalpost.errors import ClientError, ErrorCode, NotReadyError, UnauthorizedError
from signalpost.events import HandshakeRequest
from signalpost.foreign import unseen_task
from signalpost.logsubject import about
from signalpost.signals.admission import IdentityRejection
from signalpost.signals.answers import Ref
from signalpost.signals.expiry import Expiries, Expiring
from signalpost.signals.message import RESERVED
from signalpost.signals.requests import TOKEN, ServerRequest
from signalpost.signals.table import ResolvedPath

logger = logging.getLogger("signalpost.signals")

_POINTER = f"/{RESERVED}/{TOKEN}"


class Renewing(Protocol):
    """What judges tokens, and who may connect: a `signalpost.admitting.Admitter`, which documents each."""

    def renew(self, token: str) -> Identity | Awaitable[Identity]:
        """Return who a token says its bearer is."""

    def refusal(
        self, identity: Identity, resolved: ResolvedPath, asker: Client, request: HandshakeRequest
    ) -> IdentityRejection | None:
        """Return why somebody may not be connected any longer."""


class Renewed(Expiring, Protocol):
    """The conversation of a client that stays connected: a `signalpost.signals.conversation.Conversation`."""

    request: HandshakeRequest

    def reconsider(self) -> None:
        """Called when the client has another identity."""


class Lent(Protocol):
    """The session of a client: a `signalpost.signals.sessions.Session`, which documents each."""

    @property
    def guest(self) -> Renewed | None:
        """The conversation of the client that is connected with it."""


class Renewable(Renewed, Protocol):
    """The conversation of who shows a token: a `signalpost.signals.conversation.Conversation`, which documents each."""

    renewing: "asyncio.Task[None] | None"

    @property
    def session(self) -> Lent | None:
        """What it shares with a client that reads."""

    def refuse(self, error: ClientError, ref: Ref | None) -> None:
        """Tell the client that a request was refused."""

    def acknowledge(self, request: ServerRequest, body: Mapping[str, Any]) -> None:
        """Tell the client that a request was done."""


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
    """Let a client show another token; if a key must be fetched for it, the answer comes later.

    Who comes for one message shows it for the client that reads with the same session.
    """
    if guest.renewing is not None:
        _refuse(guest, request, ErrorCode.UNAVAILABLE, "another token is being looked at; wait for the answer to that")
        return
    try:
        found = host.admitter.renew(request.token)
    except (UnauthorizedError, NotReadyError) as error:
        _refuse(guest, request, _code_of(error), str(error))
        return
    if inspect.isawaitable(found):
        guest.renewing = unseen_task(_renew_later(guest, host, request, found))
    else:
        _settle(guest, host, request, found)


async def _renew_later(guest: Renewable, host: RenewalHost, request: ServerRequest, found: Awaitable[Identity]) -> None:
    try:
        identity = await found
    except (UnauthorizedError, NotReadyError) as error:
        _refuse(guest, request, _code_of(error), str(error))
    except Exception:
        logger.exception("a token of client %s could not be judged", guest.client.id, extra=about(guest.client))
        _refuse(guest, request, ErrorCode.UNAVAILABLE, "the token could not be judged now; try again")
    else:
        _settle(guest, host, request, identity)
    finally:
        guest.renewing = None


def _settle(guest: Renewable, host: RenewalHost, request: ServerRequest, identity: Identity) -> None:
    """Take a good token, if it is of the same user, who may still be connected."""
    renewed = _renewed(guest)
    if renewed is None or renewed.client.closing:
        text = "nobody reads with this session: show the token with the request, and with the next one that reads"
        _refuse(guest, request, ErrorCode.UNKNOWN_REQUEST, text)
        return
    client = renewed.client
    if identity.user != client.identity.user:
        _refuse(guest, request, ErrorCode.FORBIDDEN, "this token is another user's: connect anew with it")
        return
    resolved = host.resolve(client.endpoint.name, client.path)
    refusal = None if resolved is None else host.admitter.refusal(identity, resolved, client, renewed.request)
    client.identity = identity
    host.expiries.watch(renewed, renewed=True)
    if refusal is not None:
        _refuse(guest, request, refusal.code, refusal.detail)
        client.send_away(refusal.close_code, refusal.detail)
        return
    left = {} if identity.expires is None else {"expires": host.expiries.left(identity.expires)}
    guest.acknowledge(request, left)
    renewed.reconsider()


def _renewed(guest: Renewable) -> Renewed | None:
    """Return the conversation of the client that shows another token, or for which it is shown."""
    if not guest.client.visiting:
        return guest
    return None if guest.session is None else guest.session.guest


def _code_of(error: UnauthorizedError | NotReadyError) -> ErrorCode:
    return ErrorCode.UNAUTHORIZED if isinstance(error, UnauthorizedError) else ErrorCode.UNAVAILABLE


def _refuse(guest: Renewable, request: ServerRequest, code: ErrorCode, text: str) -> None:
    if not guest.client.closing:
        guest.refuse(ClientError(code, text, _POINTER), request.ref)
