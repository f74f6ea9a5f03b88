"""Which clients a node lets in: who they are, whether they may, and what the program's hooks say."""

import asyncio
import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.authmodel import Verb
from signalpost.deferred import Deferred
from signalpost.delivery.client import Client
from signalpost.delivery.target import ClientId
from signalpost.edge.limiter import Limiter
from signalpost.errors import NotReadyError, UnauthorizedError
from signalpost.events import HandshakeRequest, Shared
from signalpost.foreign import original
from signalpost.logsubject import about_path
from signalpost.logthrottle import LineTally, call_later
from signalpost.observe import Observer
from signalpost.plugins.authentication import UndecidedError
from signalpost.plugins.identification import Identification, Identified
from signalpost.signals.admission import (
    Accept,
    Admission,
    AdmissionHook,
    ConnectRequest,
    IdentityRejection,
    forbidden,
    unauthorized,
)
from signalpost.signals.moderation import Moderation
from signalpost.signals.permissions import Asker, Question
from signalpost.signals.table import ResolvedPath, SignalTable
from signalpost.websocket.frames import CloseCode
from signalpost.websocket.handshake import HandshakeRejection

LOG = logging.getLogger(__name__)

_ID_BYTES = 16

_LATER = {"retry-after": "5"}

NOT_YOU = "You may not connect here."
KEY_GONE = "The key of this token is not taken any more: show another token."
_KEY_IS_FOR_POSTS = "An API key is for requests by POST: nothing is read with it here."
SHOW_WHO = "This signal is for those who have shown who they are: send a token."


class Serving(Protocol):
    """The plan that serves: a `signalpost.node.Generation`, which documents each."""

    @property
    def table(self) -> SignalTable: ...  # noqa: D102 - see above

    @property
    def identification(self) -> Identification | None: ...  # noqa: D102


class Admitter:
    """Decides which clients are let in.

    Args:
        hooks: of the program, called one after the other.
        shared: by all events.
        moderation: says who is banned, and whose token is revoked.
        limiter: of what one address or one user has.

    Attributes:
        serving: the present plan.
        patience: seconds that a decision may take.
        waiting: clients that wait for a decision.
        failures: the log of expressions in ``may`` that failed.
        tag: begins the ids of clients, so that other nodes know where they are; empty without other nodes.
        observer: notified of who clients are found to be; None for no observer.
    """

    def __init__(
        self, hooks: Sequence[AdmissionHook], shared: Shared, moderation: Moderation, limiter: Limiter
    ) -> None:
        self.serving: Serving
        self.patience = 0.0
        self.waiting = 0
        self.tag = ""
        self.observer: Observer | None = None
        self.failures = LineTally(_log_failure, call_later)
        self._hooks = tuple(hooks)
        self._shared = shared
        self._moderation = moderation
        self._limiter = limiter
        self._hooks_wait = any(map(inspect.iscoroutinefunction, hooks))

    @property
    def decides_at_once(self) -> bool:
        """Whether no decision is waited for."""
        identification = self.serving.identification
        return not self._hooks_wait and (identification is None or not identification.waits)

    def admit(self, request: ConnectRequest, *, visits: bool = False) -> Admission:
        """Decide whether to admit a client.

        Args:
            request: of the client.
            visits: whether it comes for one message, and so is no connection of its user.

        Raises:
            HandshakeRejection: it is not admitted.
        """
        resolved = self._resolve(request)
        identification = self.serving.identification
        if identification is not None:
            try:
                found = identification.identify(request.handshake)
            except (UnauthorizedError, NotReadyError, UndecidedError) as error:
                raise self._refusal(error) from None
            if not isinstance(found, Identified):
                decision = partial(self._identify_later, request, found, visits=visits)
                return Deferred(partial(self._in_time, request, decision, visits=visits))
            request = self._identified(request, found)
        accept = self._accepted(request, resolved)
        self._judge(accept, visits=visits)
        return self._ask(accept, self._hooks, visits=visits)

    def _ask(self, accept: Accept, hooks: Sequence[AdmissionHook], *, visits: bool) -> Admission:
        """Call the program's hooks."""
        for number, hook in enumerate(hooks):
            verdict = _asked(hook, accept.request)
            if inspect.isawaitable(verdict):
                decision = partial(self._ask_later, accept, verdict, hooks[number + 1 :])
                return Deferred(partial(self._in_time, accept.request, decision, visits=visits))
            if isinstance(verdict, HandshakeRejection):
                raise verdict.with_traceback(None)  # a hook may have one for all: it would gather every traceback
        return accept if visits else self._within_limits(accept)

    def _within_limits(self, accept: Accept) -> Accept:
        """Return an accepted client whose user may have another connection.

        Raises:
            HandshakeRejection: the user has too many.
        """
        if self._limiter.users.most is not None:
            self._limiter.admit_user(accept.request.identity.user, accept.request.endpoint.name)
        return accept

    async def _identify_later(self, request: ConnectRequest, found: Awaitable[Identified], *, visits: bool) -> Accept:
        known = self._identified(request, await found)
        accept = self._accepted(known, self._resolve(known))
        self._judge(accept, visits=visits)  # so that no hook is asked in vain
        asked = self._ask(accept, self._hooks, visits=visits)
        return asked if isinstance(asked, Accept) else await asked

    async def _ask_later(
        self, accept: Accept, waits: Awaitable[HandshakeRejection | None], further: Sequence[AdmissionHook]
    ) -> Accept:
        """Decide about a client when the hooks that wait have returned."""
        verdict = await waits
        for hook in further:
            if verdict is not None:
                break
            answer = _asked(hook, accept.request)
            verdict = await answer if inspect.isawaitable(answer) else answer
        if verdict is not None:
            raise verdict
        return accept

    async def _in_time(
        self, request: ConnectRequest, decide: Callable[[], Awaitable[Accept]], *, visits: bool
    ) -> Accept:
        """Decide within the time that there is; another plan may serve afterwards."""
        self.waiting += 1
        place = object()
        if not visits:
            self._limiter.enter(place, request.handshake.peer[0])
        try:
            async with asyncio.timeout(self.patience):
                accept = await decide()
        except TimeoutError:
            LOG.warning(
                "a client on %s was rejected: its admission took too long",
                request.path,
                extra=about_path(request.path, request.identity.user),
            )
            rejection = HandshakeRejection(503, "The server could not decide in time whether to let this client in.")
        except (UnauthorizedError, NotReadyError, UndecidedError) as error:
            rejection = self._refusal(error)
        except Exception as error:  # noqa: BLE001 - a hook may raise anything
            rejection = _failed(error)
        else:
            again = accept._replace(resolved=self._resolve(accept.request))
            self._judge(again, visits=visits)
            return again if visits else self._within_limits(again)
        finally:
            self.waiting -= 1
            self._limiter.leave(place)
        raise rejection.with_traceback(None)

    def _resolve(self, request: ConnectRequest) -> ResolvedPath:
        resolved = self.serving.table.resolve(request.endpoint.name, request.path)
        if resolved is None:
            raise HandshakeRejection(404, "There is no signal at this path.")
        return resolved

    def _accepted(self, request: ConnectRequest, resolved: ResolvedPath) -> Accept:
        return Accept(request, ClientId(self.tag + secrets.token_hex(_ID_BYTES)), resolved)

    def _judge(self, accept: Accept, *, visits: bool) -> None:
        """Let a client in that may connect; a program with a key may come for a message.

        Raises:
            IdentityRejection: it may not.
        """
        request = accept.request
        if request.identity.program:
            if visits:
                return
            raise forbidden(_KEY_IS_FOR_POSTS)
        asker = Asker(accept.client_id, accept.resolved.path)
        rejection = self.refusal(request.identity, accept.resolved, asker, request.handshake, request.fault)
        if rejection is not None:
            raise rejection

    def refusal(
        self,
        identity: Identity,
        resolved: ResolvedPath,
        asker: Client | Asker,
        request: HandshakeRequest,
        fault: str = "",
    ) -> IdentityRejection | None:
        """Return why somebody may not connect, or be connected any longer; None if they may.

        Args:
            identity: of the client.
            resolved: its path.
            asker: the client, or who wants to become one.
            request: its handshake.
            fault: see `ConnectRequest`.
        """
        if identity is not GUEST and (refused := self._moderation.refusal(identity)) is not None:
            again = refused.code == CloseCode.UNAUTHORIZED
            return unauthorized(refused.reason) if again else forbidden(refused.reason, str(identity))
        permits = resolved.rule.permits
        if permits is None:
            return None
        may = permits.at_once(Verb.CONNECT, identity)
        if may is None:
            question = Question(identity, resolved.path, resolved.params, self._shared, asker, request.seen)
            may = permits.allow(Verb.CONNECT, question, self.failures.add)
        if may:
            return None
        if identity.is_guest:
            return unauthorized(fault or SHOW_WHO)
        decided = permits.rules.get(Verb.CONNECT)
        by = "" if decided is None else f", may.connect ({decided.where})"
        return forbidden(NOT_YOU, f"{identity}{by}")

    def outdated(self, identity: Identity) -> IdentityRejection | None:
        """Return why somebody may not be connected any longer after a reload: the key has been taken out; else None."""
        identification = self.serving.identification
        if identification is None or identification.still_takes(identity):
            return None
        return unauthorized(KEY_GONE)

    def renew(self, token: str) -> Identity | Awaitable[Identity]:
        """Return who a token says its bearer is; see `Identification.renew`."""
        identification = self.serving.identification
        if identification is None:
            raise UnauthorizedError("this server asks nobody who they are")
        return identification.renew(token)

    def _identified(self, request: ConnectRequest, found: Identified) -> ConnectRequest:
        if self.observer is not None:
            identity = found.identity
            self.observer.identified("program" if identity.program else "guest" if identity.is_guest else "user")
        return ConnectRequest(request.endpoint, request.path, request.handshake, found.identity, found.fault)

    def _refusal(self, error: UnauthorizedError | NotReadyError | UndecidedError) -> HandshakeRejection:
        rejection: HandshakeRejection
        if isinstance(error, UnauthorizedError):
            outcome, rejection = "refused", unauthorized(str(error))
        elif isinstance(error, NotReadyError):
            text = "The server does not have its keys yet; try again in a while."
            outcome, rejection = "no-keys", HandshakeRejection(503, text, _LATER)
        else:  # which has been logged
            outcome = "undecided"
            rejection = HandshakeRejection(500, "The server could not find out who this client is.")
        if self.observer is not None:
            self.observer.identified(outcome)
        return rejection


def _asked(
    hook: AdmissionHook, request: ConnectRequest
) -> HandshakeRejection | Awaitable[HandshakeRejection | None] | None:
    """Call a hook; whatever it raises is logged, and becomes a rejection."""
    try:
        return hook(request)
    except Exception as error:  # noqa: BLE001 - a hook may raise anything
        return _failed(error)


def _failed(error: Exception) -> HandshakeRejection:
    if isinstance(error, HandshakeRejection):
        return error
    LOG.error("an admission hook failed, so the client was rejected", exc_info=original(error))
    return HandshakeRejection(500, "The server could not decide whether to let this client in.")


def _log_failure(line: str) -> None:
    LOG.warning("may: %s", line)
