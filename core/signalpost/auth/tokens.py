"""Tokens (RFC 7519): who shows one is the user that it names.

Signatures are checked by PyJWT. What is ours is what is allowed: exactly the algorithms and keys of the file, and
nothing that a token itself says about how it wants to be checked (``jku``, ``jwk``, ``x5u``, ``x5c``).

Only what takes tokens imports this module, since it loads PyJWT.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from jwt import PyJWS
from jwt.exceptions import InvalidSignatureError, PyJWTError

from signalpost.auth.claims import TokenError, judge_claims
from signalpost.auth.identity import Identity
from signalpost.auth.keyring import Keyring
from signalpost.auth.verified import MOST_VERIFIED, Verified, VerifiedTokens
from signalpost.config.authmodel import TokensConfig
from signalpost.errors import NotReadyError
from signalpost.jose.compact import Compact, read_object, take_apart
from signalpost.jose.keys import VerificationKey
from signalpost.words import listing, quoted

MOST_CHARACTERS = 8192
"""Of a token; a longer one is refused before anything of it is decoded."""

# Tokens that the same signer makes for another use (RFC 8725 section 3.11): OpenID Connect back-channel logout, RFC
# 9449 and RFC 8417.
_FOREIGN_TYPES = frozenset({"logout+jwt", "dpop+jwt", "secevent+jwt"})


class UnknownKeyError(TokenError):
    """A token names a key that is not known; it may be one that has yet to be fetched."""


class Signed(NamedTuple):
    """A token whose signature is good; its claims are not judged yet.

    Attributes:
        key: that it was checked with.
    """

    payload: bytes
    key: VerificationKey


class Tokens:
    """Judges tokens. Nothing here waits.

    Args:
        config: the rules.
        keyring: the keys, as they are at any time.
        clock: returns the seconds since 1970.
        most: tokens that are remembered.
    """

    __slots__ = ("_algorithms", "_clock", "_config", "_jws", "_keyring", "_keys", "_verified")

    def __init__(
        self,
        config: TokensConfig,
        keyring: Keyring,
        clock: Callable[[], float] = time.time,
        most: int = MOST_VERIFIED,
    ) -> None:
        self._config = config
        self._keyring = keyring
        self._clock = clock
        self._algorithms = frozenset(config.algorithms)
        self._jws = PyJWS(algorithms=config.algorithms, options={"enforce_minimum_key_length": True})
        self._verified = VerifiedTokens(most)
        self._keys = keyring.keys  # by which the remembered ones were checked

    @property
    def remembered(self) -> int:
        """How many tokens are remembered."""
        return len(self._verified)

    def verify(self, text: str) -> Identity:
        """Return who a token says its bearer is.

        Raises:
            UnknownKeyError: it names a key that is not known.
            TokenError: it is not good; the text says why.
            NotReadyError: no keys have come yet.
        """
        if len(text) > MOST_CHARACTERS:
            raise TokenError(f"the token is too long: {len(text):,} characters (allowed: {MOST_CHARACTERS:,})")
        if self._keyring.keys is not self._keys:
            self._keys = self._keyring.keys
            self._verified.keep(frozenset(self._keys or ()))
        digest = sha256(text.encode(errors="surrogatepass")).digest()
        known = self._verified.find(digest)
        if known is not None:
            if known.begins <= self._clock() < known.ends:
                return known.identity
            self._verified.forget(digest)
        return self._judge(text, digest)

    def _judge(self, text: str, digest: bytes) -> Identity:
        signed = self.check_signature(text)
        judged = judge_claims(self.read_claims(signed.payload), self._config, self._clock())
        identity = replace(judged.identity, signed_by=signed.key)
        self._verified.remember(digest, Verified(identity, signed.key, judged.begins, judged.ends))
        return identity

    def check_signature(self, text: str) -> Signed:
        """Check who has signed a token, and nothing else.

        Raises:
            TokenError: none of the keys has, or its header is not good.
            NotReadyError: no keys have come yet.
        """
        token = _apart(text)
        algorithm = self._check_header(token.header)
        if not self._keyring.ready:
            raise NotReadyError("the keys that tokens are checked with have not come yet; try again")
        keys = self._keys_for(token.header.get("kid"), algorithm)
        for key in keys:
            try:
                checked = self._jws.decode_complete(text, key.material, [algorithm])
            except InvalidSignatureError:
                continue
            except PyJWTError as error:  # stricter than this module is
                raise TokenError(f"the token is not a JWT: {quoted(str(error), 80)}") from None
            return Signed(checked["payload"], key)
        raise TokenError(f"the token's signature is not that of {listing(key.named for key in keys)}", "keys")

    @staticmethod
    def read_claims(payload: bytes) -> Mapping[str, Any]:
        """Return the claims of a token.

        Raises:
            TokenError: they are not one JSON object.
        """
        try:
            return read_object(payload, "payload")
        except ValueError as error:
            raise TokenError(f"the token {error}") from None

    def _check_header(self, header: Mapping[str, Any]) -> str:
        """Check what a token says of itself, and return its algorithm."""
        algorithm, wanted = header.get("alg"), listing(self._config.algorithms)
        if not isinstance(algorithm, str):
            raise TokenError(f"the token does not say how it is signed (alg; taken: {wanted})", "algorithms")
        if algorithm.lower() == "none":
            raise TokenError(f"the token is not signed (alg is none; taken: {wanted})", "algorithms")
        if algorithm not in self._algorithms:
            raise TokenError(f"the token is signed with {quoted(algorithm)} (taken: {wanted})", "algorithms")
        for name in ("crit", "enc", "zip"):
            if name in header:
                raise TokenError(f"the token wants what this server does not do ({name} in its header)")
        if header.get("b64", True) is not True:
            raise TokenError("the token's payload is not encoded (b64 in its header), as no JWT may have it")
        self._check_type(header)
        if not isinstance(header.get("kid", ""), str):
            raise TokenError("the token does not name its key by a text (kid)")
        return algorithm

    @staticmethod
    def _check_type(header: Mapping[str, Any]) -> None:
        content, kind = header.get("cty"), header.get("typ")
        if isinstance(content, str) and content.lower().removeprefix("application/") in ("jwt", "jwe"):
            raise TokenError("the token holds another token (cty in its header); only plain ones are taken")
        if isinstance(kind, str) and kind.lower().removeprefix("application/") in _FOREIGN_TYPES:
            raise TokenError(f"the token is for another use (typ is {quoted(kind)})")

    def _keys_for(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        found = self._keyring.find(kid)
        if not found and kid is None:
            raise TokenError("the token does not name its key (kid), and there are several", "keys")
        if not found:
            raise UnknownKeyError(f"the token is signed with an unknown key {quoted(kid or '')} (kid)", "keys")
        usable = [key for key in found if algorithm in key.algorithms]
        if not usable:
            names = listing(dict.fromkeys(key.named for key in found))
            raise TokenError(f"the token is signed with {algorithm}, which {names} is not for", "keys")
        return usable


def _apart(text: str) -> Compact:
    try:
        return take_apart(text)
    except ValueError as error:
        raise TokenError(f"the token {error}") from None
