"""The algorithms that tokens may be signed with, and the kind of key that each of them takes."""

from collections.abc import Mapping
from enum import StrEnum


class KeyKind(StrEnum):
    """What a key is: a shared secret, or a public key of one family and curve."""

    SECRET = "secret"  # noqa: S105 - a word
    RSA = "RSA"
    P256 = "P-256"
    P384 = "P-384"
    P521 = "P-521"
    SECP256K1 = "secp256k1"
    ED25519 = "Ed25519"
    ED448 = "Ed448"


_SECRETS = frozenset({KeyKind.SECRET})
_RSA = frozenset({KeyKind.RSA})

KINDS: Mapping[str, frozenset[KeyKind]] = {
    "HS256": _SECRETS,
    "HS384": _SECRETS,
    "HS512": _SECRETS,
    "RS256": _RSA,
    "RS384": _RSA,
    "RS512": _RSA,
    "PS256": _RSA,
    "PS384": _RSA,
    "PS512": _RSA,
    "ES256": frozenset({KeyKind.P256}),
    "ES384": frozenset({KeyKind.P384}),
    "ES512": frozenset({KeyKind.P521}),
    "ES256K": frozenset({KeyKind.SECP256K1}),
    "EdDSA": frozenset({KeyKind.ED25519, KeyKind.ED448}),
}
"""The kinds of key by algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 8812 section 3.2)."""

SECRET_BYTES: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The fewest bytes of a secret: as many as its hash has (RFC 7518 section 3.2)."""

RSA_BITS = 2048
"""The fewest bits of an RSA key (RFC 7518 section 3.3)."""


MOST_RSA_BITS = 16_384
"""OpenSSL checks nothing with a longer one."""


def algorithms_of(kind: KeyKind) -> frozenset[str]:
    """Return the algorithms that take a kind of key."""
    return frozenset(name for name, kinds in KINDS.items() if kind in kinds)


def is_shared(algorithm: str) -> bool:
    """Return whether an algorithm signs with a shared secret: whoever checks a token can make one, too."""
    return KeyKind.SECRET in KINDS[algorithm]
