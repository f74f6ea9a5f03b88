"""Where a client's token stands: a header, a subprotocol, a cookie or the query of its handshake."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from signalpost.config.authmodel import AuthConfig, TokenPlace
from signalpost.errors import UnauthorizedError
from signalpost.fields import query_values

BEARER_PROTOCOL = "signalpost.bearer."
"""Begins the subprotocol that carries a token: browsers can set no header of a WebSocket. It is never chosen."""

QUERY_PARAMETER = "token"


class Request(Protocol):
    """A request: a `signalpost.events.HandshakeRequest`, which documents each."""

    @property
    def target(self) -> str: ...  # noqa: D102 - see above

    def getall(self, name: str) -> Sequence[str]: ...  # noqa: D102


class Shown(NamedTuple):
    """A token as it was shown.

    Attributes:
        place: where it stood.
    """

    text: str
    place: TokenPlace


def find_token(request: Request, config: AuthConfig) -> Shown | None:
    """Return the token that a client shows, unchecked; None if it shows none.

    The first place of `TokenPlace` that holds one counts, even if the token is empty or not good: a client must not be
    somebody else than it says because what it says is not good.

    Args:
        request: of the client.
        config: which places count.

    Raises:
        UnauthorizedError: a place holds several.
    """
    for place in config.places:
        if place is TokenPlace.HEADER:
            token = _in_header(request.getall("authorization"))
        elif place is TokenPlace.PROTOCOL:
            token = _one(_in_subprotocols(request.getall("sec-websocket-protocol")))
        elif place is TokenPlace.COOKIE:
            token = next(_cookies_named(config.cookie, request.getall("cookie")), None)
        else:
            token = _one(query_values(request.target.partition("?")[2]).get(QUERY_PARAMETER, []))
        if token is not None:
            return Shown(token, place)
    return None


def _in_header(authorization: Sequence[str]) -> str | None:
    """Return the token of ``Authorization: Bearer`` (RFC 6750 section 2.1); None if there is another scheme."""
    if len(authorization) > 1:
        raise UnauthorizedError("the request has several Authorization headers; send one")
    scheme, _, token = (authorization[0] if authorization else "").strip(" \t").partition(" ")
    return token.strip(" \t") if scheme.lower() == "bearer" else None


def _in_subprotocols(offers: Sequence[str]) -> Sequence[str]:
    """Return the tokens among the subprotocols that a client offers."""
    offered = (name.strip() for value in offers for name in value.split(","))
    return [name[len(BEARER_PROTOCOL) :] for name in offered if name.startswith(BEARER_PROTOCOL)]


def _one(found: Sequence[str]) -> str | None:
    if len(found) > 1:
        raise UnauthorizedError("the request shows several tokens at one place; send one")
    return found[0] if found else None


def _cookies_named(name: str | None, headers: Sequence[str]) -> Iterator[str]:
    """Yield the values of a cookie (RFC 6265 section 4.2.1), in the order of the request.

    A browser sends the one with the longest path first (section 5.4), which is the one that is meant here.
    """
    for header in headers:
        for pair in header.split(";"):
            key, equals, value = pair.strip(" \t").partition("=")
            if equals and key.rstrip(" \t") == name:
                value = value.lstrip(" \t")
                quotes = len(value) > 1 and value[0] == value[-1] == '"'
                yield value[1:-1] if quotes else value
