"""The memory of verified tokens: a client that comes again with its token costs no second check of the signature."""

from collections import OrderedDict
from collections.abc import Container
from typing import NamedTuple

from signalpost.auth.identity import Identity
from signalpost.jose.keys import VerificationKey

MOST_VERIFIED = 10_000
"""Tokens that are remembered; the least recently used go first."""


class Verified(NamedTuple):
    """A token whose signature has been checked.

    Attributes:
        identity: that it gives.
        key: that it was checked with.
        begins: from when it is good, with leeway, in seconds since 1970.
        ends: until when, with leeway.
    """

    identity: Identity
    key: VerificationKey
    begins: float
    ends: float


class VerifiedTokens:
    """Verified tokens by their SHA-256 digest. The tokens themselves are not kept."""

    __slots__ = ("_most", "_tokens")

    def __init__(self, most: int = MOST_VERIFIED) -> None:
        self._tokens: OrderedDict[bytes, Verified] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, digest: bytes) -> Verified | None:
        """Return a remembered token, which is now the most recently used one."""
        found = self._tokens.get(digest)
        if found is not None:
            self._tokens.move_to_end(digest)
        return found

    def remember(self, digest: bytes, verified: Verified) -> None:
        """Remember a token; the least recently used one is forgotten if there are too many."""
        self._tokens[digest] = verified
        self._tokens.move_to_end(digest)
        if len(self._tokens) > self._most:
            self._tokens.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Forget a token."""
        self._tokens.pop(digest, None)

    def keep(self, keys: Container[VerificationKey]) -> None:
        """Forget the tokens that were checked with another key than these."""
        self._tokens = OrderedDict((digest, each) for digest, each in self._tokens.items() if each.key in keys)
