"""Who a node is."""

import secrets
from dataclasses import dataclass

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_BEGINS = "n"
_LENGTH = 8  # 40 bits: two of a thousand nodes have the same one once in two million starts


def is_tag(text: str) -> bool:
    """Return whether a text can be the tag of a node."""
    return len(text) == _LENGTH + 1 and text[0] == _BEGINS and all(letter in _LETTERS for letter in text[1:])


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a node is, from its start to its end.

    Attributes:
        node: 64 random bits.
        tag: a short text for the same, which begins the ids of its clients.
    """

    node: int
    tag: str

    @classmethod
    def new(cls) -> "Origin":
        """Return who a node is that starts now."""
        return cls(secrets.randbits(64), _BEGINS + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)))
