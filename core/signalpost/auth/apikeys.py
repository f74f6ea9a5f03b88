"""API keys: which program shows one, and what it may do."""

import hmac
from collections.abc import Sequence
from hashlib import sha256

from signalpost.config.authmodel import ApiKeyConfig


class ApiKeys:
    """API keys by their SHA-256 digest.

    How long a look-up takes says nothing about a key: a digest cannot be guessed piece by piece.
    """

    __slots__ = ("_by_digest",)

    def __init__(self, keys: Sequence[ApiKeyConfig]) -> None:
        self._by_digest = {_digest(each.key): each for each in keys}

    def __bool__(self) -> bool:
        return bool(self._by_digest)

    def find(self, text: str) -> ApiKeyConfig | None:
        """Return the program whose key this is; None if it is nobody's."""
        digest = _digest(text)
        found = self._by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(_digest(found.key), digest) else None


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()
