"""Keys: what a token is checked with, and what one is signed with."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from signalpost.jose.algorithms import KeyKind, algorithms_of
from signalpost.words import quoted


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that tokens are checked with: a shared secret, or a public key. Two are equal if they check the same.

    Attributes:
        kind: of the key.
        algorithms: that it may be used with.
        digest: of the key itself, so that two with the same id differ.
        kid: its id (RFC 7517 section 4.5); None if it has none.
        material: bytes, or a public key of `cryptography`.
    """

    kind: KeyKind
    algorithms: frozenset[str]
    digest: str = field(repr=False)
    kid: str | None = None
    material: Any = field(default=None, repr=False, compare=False)

    @property
    def named(self) -> str:
        """What it is called in messages; a secret is not told."""
        if self.kind is KeyKind.SECRET:
            return "the shared secret"
        return f"the key {quoted(self.kid)}" if self.kid else f"the {self.kind} key without an id"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that tokens are signed with.

    Attributes:
        public: checks what it has signed.
        material: bytes, or a private key of `cryptography`.
    """

    public: VerificationKey
    material: Any = field(repr=False, compare=False)


def secret_key(secret: bytes) -> VerificationKey:
    """Return the key that is a shared secret."""
    digest = hashlib.sha256(b"secret:" + secret).hexdigest()
    return VerificationKey(KeyKind.SECRET, algorithms_of(KeyKind.SECRET), digest, None, secret)


def fitting(keys: Iterable[VerificationKey], algorithms: Iterable[str]) -> tuple[VerificationKey, ...]:
    """Return the keys that may be used with one of the algorithms, and with those alone."""
    wanted = frozenset(algorithms)
    return tuple(replace(key, algorithms=key.algorithms & wanted) for key in keys if key.algorithms & wanted)
