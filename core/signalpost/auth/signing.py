"""Signed texts that a client gives back, bound to their user."""

import base64
import hashlib
import hmac

_BYTES = 16  # 128 bits of the digest


class Signer:
    """Signs texts with HMAC-SHA256 (RFC 2104).

    Args:
        secret: known to nobody else.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def signed(self, text: str, user: str) -> str:
        """Return a text with its signature behind a dot; it is worth something for this user alone."""
        return f"{text}.{self._signature(text, user)}"

    def is_signed(self, text: str, user: str) -> bool:
        """Return whether a text was signed for a user."""
        bare, _, signature = text.rpartition(".")
        return hmac.compare_digest(signature.encode(), self._signature(bare, user).encode())

    def _signature(self, text: str, user: str) -> str:
        digest = hmac.digest(self._secret, f"{text}\n{user}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_BYTES]).rstrip(b"=").decode()
