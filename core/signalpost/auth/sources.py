"""Where a client's token stands: a header, a subprotocol, a cookie or the query of its handshake."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from signalpost.config.authmodel import AuthConfig, TokenPlace
from signalpost.errors import UnauthorizedError
from signalpost.fields import query_values
from signalpost.websocket.handshake import Headers

BEARER_PROTOCOL = "signalpost.bearer."
"""Begins the subprotocol that carries a token: browsers can set no header of a WebSocket. It is never chosen."""

QUERY_PARAMETER = "token"


class Shown(NamedTuple):
    """A token as it was shown.

    Attributes:
        place: where it stood.
    """

    text: str
    place: TokenPlace


def find_token(headers: Headers, subprotocols: Sequence[str], query: str, config: AuthConfig) -> Shown | None:
    """Return the token that a client shows, unchecked; None if it shows none.

    The first place of `TokenPlace` that holds one counts, even if the token is empty or not good: a client must not be
    somebody else than it says because what it says is not good.

    Args:
        headers: of the request.
        subprotocols: that the client offers, each by itself.
        query: of the address as requested, without the question mark.
        config: which places count.

    Raises:
        UnauthorizedError: a place holds several.
    """
    for place in config.places:
        if place is TokenPlace.HEADER:
            token = _in_header(headers.getall("authorization", []))
        elif place is TokenPlace.PROTOCOL:
            token = _one([name[len(BEARER_PROTOCOL) :] for name in subprotocols if name.startswith(BEARER_PROTOCOL)])
        elif place is TokenPlace.COOKIE:
            token = next(_cookies_named(config.cookie, headers.getall("cookie", [])), None)
        else:
            token = _one(query_values(query).get(QUERY_PARAMETER, []))
        if token is not None:
            return Shown(token, place)
    return None


def without_token(subprotocols: Sequence[str]) -> list[str]:
    """Return the subprotocols that a client offers for what they are: without the one that carries its token."""
    return [name for name in subprotocols if not name.startswith(BEARER_PROTOCOL)]


def _in_header(authorization: Sequence[str]) -> str | None:
    """Return the token of ``Authorization: Bearer`` (RFC 6750 section 2.1); None if there is another scheme."""
    if len(authorization) > 1:
        raise UnauthorizedError("the request has several Authorization headers; send one")
    scheme, _, token = (authorization[0] if authorization else "").strip(" \t").partition(" ")
    return token.strip(" \t") if scheme.lower() == "bearer" else None


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
