"""Phrases for problems: what was given, what is known, what was probably meant."""

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from signalpost.scalars import shorten

_SHOWN = 12
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
# difflib takes quadratic time in the length of a word; nobody types a key this long by mistake.
_LONGEST_WORD = 80


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that was probably meant; None if none has a similarity of at least `cutoff` (0 to 1)."""
    return None if len(word) > _LONGEST_WORD else _nearest(word, tuple(known), cutoff)


# A word is usually misspelled throughout a file. One word is looked up twice: whether a missing key was meant, and what
# was meant by the present key.
@lru_cache(maxsize=64)
def _nearest(word: str, known: tuple[str, ...], cutoff: float) -> str | None:
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "echo"?``, or nothing if no known word is near."""
    return suggestion(nearest(word, known))


def suggestion(meant: str | None) -> str:
    """Return ``; did you mean "echo"?``, or nothing if there is nothing to suggest."""
    return f'; did you mean "{meant}"?' if meant else ""


def among(word: str, known: Iterable[str]) -> str:
    """Return what was probably meant, and what exists: ``; did you mean "echo"? (known: clock, echo)``."""
    words = list(known)
    return f"{did_you_mean(word, words)} (known: {listing(words)})" if words else " (there are none)"


def listing(known: Iterable[str]) -> str:
    """Return the known words, at most a dozen: ``clock, echo``."""
    words = list(known)
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "") if words else "none"


def unknown(kind: str, word: str, known: Sequence[str]) -> str:
    """Return that a name is unknown: ``no endpoint named "lvie"; did you mean "live"? (known: live, web)``."""
    return f"no {kind} named {quoted(word)}{among(word, known)}"


def quoted(text: str, limit: int = 40) -> str:
    """Return a text of the file for display, truncated if it is long, with unprintable characters replaced."""
    return f'"{shorten(printable(text), limit)}"'


def cut(text: str, limit: int) -> str:
    """Truncate a text to `limit` characters, with an ellipsis at the end if it was longer."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def printable(text: str) -> str:
    """Return text fit for one line of a terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


def given(value: Any) -> str:
    """Return the name of a value of the file: ``the text "x"``, ``the number 5``, ``a list``, ``nothing``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {shorten(str(value))}"
        case str():
            return f"the text {quoted(value)}" if value else "an empty text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def format_keys(keys: Iterable[str | int]) -> str:
    """Return a path of keys for users: ``signals[0].handler``, ``plugins.settings["my plugin"]``."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{shorten(key)}" if text else shorten(key)
        else:
            text += f"[{quoted(key)}]"
    return text
