"""Who a client is: by what it shows, else by what plugins know; who is known to nobody is a guest."""

import inspect
from collections.abc import Awaitable
from typing import NamedTuple

from signalpost.auth.identity import GUEST, Identity
from signalpost.events import HandshakeRequest
from signalpost.plugins.authentication import Authentication


class Identified(NamedTuple):
    """Who a client is.

    Attributes:
        identity: of the client.
        fault: why what its browser has sent by itself, a cookie, does not count; empty if there is none.
    """

    identity: Identity
    fault: str = ""


_GUEST = Identified(GUEST)


class Identification:
    """Finds out who clients are.

    Args:
        authentication: asks the plugins.

    Attributes:
        waits: whether an answer may have to be awaited.
    """

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication
        self.waits = authentication.waits

    def identify(self, request: HandshakeRequest) -> Identified | Awaitable[Identified]:
        """Return who has sent a request; an awaitable if a plugin waits.

        Args:
            request: a handshake, or a plain one.

        Raises:
            UnauthorizedError: what it shows is not good, or a plugin refuses it.
            UndecidedError: a plugin failed.
        """
        answer = self._authentication.ask(request)
        if inspect.isawaitable(answer):
            return _later(answer)
        return _GUEST if answer is None else Identified(answer)


async def _later(answer: Awaitable[Identity | None]) -> Identified:
    found = await answer
    return _GUEST if found is None else Identified(found)
