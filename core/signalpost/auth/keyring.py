"""The keys that tokens are checked with now. They may be replaced while the server runs."""

from collections.abc import Iterable, Sequence

from signalpost.jose.keys import VerificationKey


class Keyring:
    """Keys by their ids.

    Args:
        keys: None if they have yet to come.

    Attributes:
        keys: another tuple whenever they are others, so that `is` tells whether they are still the same; None if
            none have come yet.
    """

    __slots__ = ("_by_id", "_nameless", "keys")

    def __init__(self, keys: Iterable[VerificationKey] | None = None) -> None:
        self.keys: tuple[VerificationKey, ...] | None = None
        self._by_id: dict[str, tuple[VerificationKey, ...]] = {}
        self._nameless: tuple[VerificationKey, ...] = ()
        if keys is not None:
            self.replace(keys)

    @property
    def ready(self) -> bool:
        """Whether there are keys."""
        return self.keys is not None

    def replace(self, keys: Iterable[VerificationKey]) -> bool:
        """Use other keys from now on; return whether they are others."""
        new = tuple(dict.fromkeys(keys))
        if self.keys is not None and set(new) == set(self.keys):
            return False
        self.keys = new
        self._by_id = {kid: tuple(key for key in new if key.kid == kid) for kid in _ids(new)}
        self._nameless = tuple(key for key in new if key.kid is None)
        return True

    def find(self, kid: str | None) -> Sequence[VerificationKey]:
        """Return the keys that a token may be signed with; none if its key is unknown.

        A key without an id may have signed any token. A single key is tried with a token that names none.

        Args:
            kid: the id that the token names; None if it names none.
        """
        if kid is not None:
            return self._by_id.get(kid) or self._nameless
        if self._nameless or self.keys is None:
            return self._nameless
        return self.keys if len(self.keys) == 1 else ()


def _ids(keys: Iterable[VerificationKey]) -> Iterable[str]:
    return dict.fromkeys(key.kid for key in keys if key.kid is not None)
