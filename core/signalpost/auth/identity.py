"""The identity of a client: who it is, and how that is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signalpost.config.authmodel import Verb


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Who a client is.

    Attributes:
        user: its name, never empty; None is a guest.
        claims: what is said about it: the claims of its token (RFC 7519 section 4), or what a plugin says.
        expires: when that ends, in seconds since 1970 (``exp``); None is never.
        token_id: the token's own id (``jti``); empty if it has none.
        issued: when the token was issued, in seconds since 1970 (``iat``); None if it does not say.
        program: the name of another program, which has shown an API key; empty for people.
        grants: what the key allows, whatever the file says of who may.
        signed_by: the key that its token was checked with (`signalpost.jose.keys.VerificationKey`); None without one.
    """

    user: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires: float | None = None
    token_id: str = ""
    issued: float | None = None
    program: str = ""
    grants: frozenset[Verb] = frozenset()
    signed_by: Any = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"<Identity of {self}>"  # claims may be private

    def __str__(self) -> str:
        if self.user is not None:
            return f"user {self.user!r}"
        return f"program {self.program!r}" if self.program else "a guest"

    @property
    def is_guest(self) -> bool:
        """Whether nothing is known of who it is."""
        return self.user is None and not self.program


GUEST = Identity()
"""The identity of a client that has shown none."""
