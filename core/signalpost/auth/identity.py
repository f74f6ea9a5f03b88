"""The identity of a client: who it is, and how that is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Who a client is.

    Attributes:
        user: its name, never empty; None is a guest.
        claims: what is said about it: the claims of its token (RFC 7519 section 4), or what a plugin says.
        expires: when that ends, in seconds since 1970 (``exp``); None is never.
        token_id: the token's own id (``jti``); empty if it has none.
        issued: when the token was issued, in seconds since 1970 (``iat``); None if it does not say.
    """

    user: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires: float | None = None
    token_id: str = ""
    issued: float | None = None

    def __repr__(self) -> str:
        return "<guest>" if self.user is None else f"<Identity of {self.user!r}>"  # claims may be private


GUEST = Identity()
"""The identity of a client that has shown none."""
