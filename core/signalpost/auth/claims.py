"""The claims of a token whose signature is good: whether it is valid here and now, and whom it names.

PyJWT could judge some of this. But its clock cannot be set, it takes ``"exp": "12"``, and it does not say by how much a
token is late; a remembered token must be judged by the same rules again.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from signalpost.auth.identity import Identity
from signalpost.config.authmodel import TokensConfig
from signalpost.config.usernames import LONGEST_USER, user_fault
from signalpost.errors import UnauthorizedError
from signalpost.state.frozen import fixed
from signalpost.words import given, listing, quoted

_LATEST = 253_402_300_799.0  # the end of the year 9999, the last one that dates have
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class TokenError(UnauthorizedError):
    """A token is not good.

    Attributes:
        rule: the key of ``auth.tokens`` that it breaks; empty if it is no token at all.
    """

    def __init__(self, text: str, rule: str = "") -> None:
        self.rule = rule
        super().__init__(text)


class Judged(NamedTuple):
    """What the claims of a good token say.

    Attributes:
        begins: from when it is good, with leeway, in seconds since 1970.
        ends: until when, with leeway.
    """

    identity: Identity
    begins: float
    ends: float


def judge_claims(claims: Mapping[str, Any], config: TokensConfig, now: float) -> Judged:
    """Judge the claims of a token.

    Args:
        claims: of its payload.
        config: the rules.
        now: seconds since 1970.

    Raises:
        TokenError: it is not good here and now.
    """
    expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None and not config.lasting:
        raise TokenError("the token has no end (exp)", "lasting")
    _check_time(expires, begins, issued, config.leeway, now)
    _check_issuer(claims.get("iss"), config)
    _check_audience(claims.get("aud"), config)
    token_id = claims.get("jti", "")
    if not isinstance(token_id, str) or len(token_id) > LONGEST_USER:
        raise TokenError(f"the token's id (jti) is not a text of up to {LONGEST_USER} characters")
    identity = Identity(_user(claims, config.user), fixed(claims), expires, token_id, issued)
    starts = max((each - config.leeway for each in (begins, issued) if each is not None), default=-math.inf)
    return Judged(identity, starts, math.inf if expires is None else expires + config.leeway)


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519 section 2)."""
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError(f"the token's {name} is no time: it must be a number of seconds, not {given(value)}")
    if not 0 <= value <= _LATEST:
        raise TokenError(f"the token's {name} is no time: it must be a number of seconds since 1970, up to year 9999")
    return float(value)


def _check_time(expires: float | None, begins: float | None, issued: float | None, leeway: float, now: float) -> None:
    if expires is not None and now >= expires + leeway:
        raise TokenError(f"the token expired {ago(now - expires)} ago", "leeway")
    if begins is not None and now < begins - leeway:
        raise TokenError(f"the token is not valid yet: it begins in {ago(begins - now)}", "leeway")
    if issued is not None and now < issued - leeway:
        raise TokenError(
            f"the token was issued {ago(issued - now)} from now: the clocks of signer and server differ", "leeway"
        )


def _check_issuer(issuer: object, config: TokensConfig) -> None:
    if config.issuers and issuer not in config.issuers:
        wanted = listing(map(quoted, config.issuers))
        if issuer is None:
            raise TokenError(f"the token names no issuer (iss; wanted: {wanted})", "issuer")
        raise TokenError(f"the token is of the issuer {_shown(issuer)} (iss; wanted: {wanted})", "issuer")


def _check_audience(audience: object, config: TokensConfig) -> None:
    if audience is None and not config.audiences:
        return
    named = audience if isinstance(audience, list) else [] if audience is None else [audience]
    if not all(isinstance(each, str) for each in named):
        raise TokenError("the token's audience (aud) is neither a text nor a list of texts", "audience")
    if not set(named) & set(config.audiences):
        wanted = f"wanted: {listing(map(quoted, config.audiences))}" if config.audiences else "this server has no name"
        if not named:
            raise TokenError(f"the token names no audience (aud; {wanted})", "audience")
        raise TokenError(
            f"the token is for {listing(map(quoted, named))}, not for this server (aud; {wanted})", "audience"
        )


def _user(claims: Mapping[str, Any], name: str) -> str:
    user = claims.get(name)
    claim = f"{quoted(name)}, which names the user"
    if name not in claims:
        raise TokenError(f"the token has no claim {claim}", "user")
    if fault := user_fault(user):
        raise TokenError(f"the token's claim {claim}, {fault}", "user")
    return str(user)


def _shown(value: object) -> str:
    return quoted(value) if isinstance(value, str) else given(value)


def ago(seconds: float) -> str:
    """Return a length of time as people say it: ``3 s``, ``15 min``, ``2 h``, ``40 days``."""
    if seconds < 2 * _MINUTE:
        return f"{max(seconds, 0):.3g} s" if seconds < 1 else f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:,.0f} days"
