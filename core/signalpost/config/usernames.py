"""The names of users: what may be one, whoever says it, a token, a plugin or the file."""

import unicodedata

from signalpost.words import given

LONGEST_USER = 255
"""Characters of a user's name, and of a token's id."""

_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})  # of Unicode: controls, surrogates, ends of lines and paragraphs


def user_fault(user: object) -> str:
    """Return why something cannot be the name of a user, as the end of a sentence; empty if it can."""
    if not isinstance(user, str):
        return f"must be a text, not {given(user)}"
    if not 0 < len(user) <= LONGEST_USER:
        size = f"has {len(user):,} characters" if user else "is empty"
        return f"{size} (allowed: 1 to {LONGEST_USER})"
    return "has a control character" if any(unicodedata.category(char) in _CONTROLS for char in user) else ""
