"""Who a client is: by a token that it shows, else by what plugins know; who is known to nobody is a guest."""

import inspect
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from signalpost.auth.apikeys import ApiKeys
from signalpost.auth.identity import GUEST, Identity
from signalpost.auth.sources import Shown, find_token
from signalpost.config.authmodel import AuthConfig, KeyPermission, TokenPlace, Verb
from signalpost.deferred import Deferred
from signalpost.errors import UnauthorizedError
from signalpost.events import HandshakeRequest
from signalpost.plugins.authentication import Authentication

if TYPE_CHECKING:
    from signalpost.auth.authority import TokenAuthority  # which loads PyJWT


class Identified(NamedTuple):
    """Who a client is.

    Attributes:
        identity: of the client.
        fault: why what its browser has sent by itself, a cookie, does not count; empty if there is none.
    """

    identity: Identity
    fault: str = ""


_GUEST = Identified(GUEST)

_ALLOWED: Mapping[KeyPermission, tuple[Verb, ...]] = {
    KeyPermission.PUBLISH: (Verb.PUBLISH, Verb.TARGET),
    KeyPermission.HISTORY: (Verb.HISTORY,),
    KeyPermission.PRESENCE: (Verb.PRESENCE,),
}
"""What a key allows by POST to signals."""


class Identification:
    """Finds out who clients are.

    Args:
        auth: the section of the file; None if there is none.
        authority: judges tokens; None takes none.
        authentication: asks the plugins.

    Attributes:
        waits: whether an answer may have to be awaited every time.
    """

    def __init__(
        self, auth: AuthConfig | None, authority: "TokenAuthority | None", authentication: Authentication
    ) -> None:
        self._auth = auth
        self._authority = authority
        self._authentication = authentication
        self._keys = ApiKeys(() if auth is None else auth.api_keys)
        self.waits = authentication.waits

    def identify(self, request: HandshakeRequest) -> Identified | Awaitable[Identified]:
        """Return who has sent a request; an awaitable if a plugin waits, or a key must be fetched.

        Args:
            request: a handshake, or a plain one.

        Raises:
            UnauthorizedError: what it shows is not good, or a plugin refuses it.
            NotReadyError: the keys of tokens have not come yet.
            UndecidedError: a plugin failed.
        """
        if self._auth is not None and (self._authority is not None or self._keys):
            shown = find_token(request, self._auth)
            if shown is not None and (program := self._program_of(shown)) is not None:
                return Identified(program)
            if shown is not None and self._authority is not None:
                if self._keys and not _may_be_token(shown):
                    raise UnauthorizedError("this is neither an API key that this server knows nor a token")
                return self._identify_by(shown, self._authority)
        answer = self._authentication.ask(request)
        if inspect.isawaitable(answer):
            return Deferred(partial(_later, answer))
        return _GUEST if answer is None else Identified(answer)

    def renew(self, token: str) -> Identity | Awaitable[Identity]:
        """Return who another token says its bearer is; the call, or the awaitable, raises what `identify` does."""
        if self._authority is None:
            raise UnauthorizedError("this server takes no tokens")
        return self._authority.identify(token)

    def still_takes(self, identity: Identity) -> bool:
        """Return whether a connected client's token is signed by a key that still counts, if it has shown one."""
        return self._authority is None or self._authority.still_takes(identity)

    def _program_of(self, shown: Shown) -> Identity | None:
        """Return the program whose API key stands in the header; None if that is none."""
        found = self._keys.find(shown.text) if self._keys and shown.place is TokenPlace.HEADER else None
        if found is None:
            return None
        # A message without a target goes to everyone: a key for some paths is for the API, which knows where one goes.
        may = frozenset[KeyPermission]() if found.paths else found.may
        grants = frozenset(verb for permission in may for verb in _ALLOWED.get(permission, ()))
        return Identity(program=found.name, grants=grants)

    def _identify_by(self, shown: Shown, authority: "TokenAuthority") -> Identified | Awaitable[Identified]:
        by_itself = shown.place is TokenPlace.COOKIE
        try:
            found = authority.identify(shown.text)
        except UnauthorizedError as error:
            if by_itself:
                return _without(error)
            raise
        if isinstance(found, Identity):
            return Identified(found)
        return Deferred(partial(_later, found, by_itself=by_itself))


async def _later(answer: Awaitable[Identity | None], *, by_itself: bool = False) -> Identified:
    try:
        found = await answer
    except UnauthorizedError as error:
        if by_itself:
            return _without(error)
        raise
    return _GUEST if found is None else Identified(found)


def _without(error: UnauthorizedError) -> Identified:
    """Return a guest: a browser sends its cookies with everything, also those of a visit that is over."""
    return Identified(GUEST, str(error))


def _may_be_token(shown: Shown) -> bool:
    """Return whether something has the three parts of a token, or came where no API key does."""
    return shown.place is not TokenPlace.HEADER or shown.text.count(".") == 2  # noqa: PLR2004 - RFC 7515 section 3.1
