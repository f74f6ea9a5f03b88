"""Who requests a route, and whether they may."""

import asyncio
import inspect
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

from signalpost.auth.identity import GUEST, Identity
from signalpost.config.authmodel import Verb
from signalpost.config.model import RatePer
from signalpost.errors import ClientError, ErrorCode, NotReadyError, UnauthorizedError
from signalpost.events import HandshakeRequest
from signalpost.http.errorpages import OverloadedError
from signalpost.http.request import WebRequest
from signalpost.http.services import RouteServices
from signalpost.http.views import ViewRequest
from signalpost.plan import RouteRule
from signalpost.plugins.authentication import UndecidedError
from signalpost.plugins.identification import Identification, Identified
from signalpost.signals.permissions import Permits, Question

LOG = logging.getLogger(__name__)

_SHOW_WHO = "This is for those who have shown who they are."
_NOT_YOU = "You may not request this."


class Gatekeeper:
    """Finds out who requests a route, and lets in those who may. Create one with `of`.

    Args:
        permits: who may request it; None is anyone.
        owner: of the route, for the log.
        services: of its port.
        identification: finds out who clients are; None if nothing can tell.
    """

    def __init__(
        self, permits: Permits | None, owner: str, services: RouteServices, identification: Identification | None
    ) -> None:
        self._permits = permits
        self._owner = owner
        self._services = services
        self._identification = identification

    @classmethod
    def of(cls, rule: RouteRule, services: RouteServices) -> "Gatekeeper | None":
        """Return what stands before a route; None if there is nobody to ask, and nothing to tell."""
        config = rule.config
        told = rule.handler is not None or rule.do is not None or config.view is not None
        told = told or (config.rate is not None and config.rate.per is RatePer.USER)
        identification = services.identification if rule.permits is not None or told else None
        if rule.permits is None and identification is None:
            return None
        return cls(rule.permits, rule.owner, services, identification)

    async def let_in(self, request: WebRequest, params: Mapping[str, Any]) -> Identity:
        """Return who requests.

        Args:
            request: of the route; its answer is then for this identity alone, if anybody was asked.
            params: of its path.

        Raises:
            ClientError: `UNAUTHORIZED` if showing another identity may help, else `FORBIDDEN`.
            OverloadedError: it is not known, and not to be found out in time.
        """
        permits = self._permits
        found = _GUEST if self._identification is None else await self._identify(request, self._identification)
        if found.identity is not GUEST and (refused := self._services.refusal(found.identity)) is not None:
            found = Identified(GUEST, refused.reason)  # as one whose token is over
        request.is_private = permits is not None
        if permits is None or not permits.decides(Verb.REQUEST):
            return found.identity
        services, path = self._services, unquote(request.path)
        question = Question(found.identity, path, params, services.shared, seen=partial(seen_of, request))
        if permits.allow(Verb.REQUEST, question, services.permission_failed):
            return found.identity
        if found.identity.is_guest:
            raise ClientError(ErrorCode.UNAUTHORIZED, found.fault or _SHOW_WHO)
        raise ClientError(ErrorCode.FORBIDDEN, _NOT_YOU)

    async def _identify(self, request: WebRequest, identification: Identification) -> Identified:
        try:
            peer = (request.ip, request.port)
            found = identification.identify(HandshakeRequest(request.head, peer, request.scheme, request.host))
            if not inspect.isawaitable(found):
                return found
            async with asyncio.timeout(self._services.patience):
                return await found
        except UnauthorizedError as error:
            # A page for anyone is for those, too, whose token is over: it may be the one where they sign in.
            return Identified(GUEST, str(error))
        except TimeoutError:
            LOG.warning("%s: nobody said in time who requests it", self._owner)
            raise OverloadedError from None
        except (NotReadyError, UndecidedError):
            raise OverloadedError from None  # and it is logged already


_GUEST = Identified(GUEST)


def seen_of(request: WebRequest) -> Mapping[str, Any]:
    """Return a request as templates in lists see it."""
    view = ViewRequest(request)
    return {
        "method": view.method,
        "path": unquote(request.path),
        "query": view.query,
        "headers": view.headers,
        "peer": list(view.peer),
        "scheme": view.scheme,
        "host": view.host,
    }
