"""Keeps what came from outside the files out of what people are shown.

The values of secrets are looked for in every text that the server shows or logs. Those of variables are hidden only
in problems about the values that they are part of: a port or a host name is no secret, and ``routes`` shows it.
In a problem about a value, pieces of it are hidden, too: words like ``"abc" is no segment`` repeat a part.
"""

import json
import re
from collections.abc import Iterable, Sequence

from signalpost.config.nodes import Hidden
from signalpost.config.scalars import shorten
from signalpost.config.words import printable

MASK = "***"
# What is shorter is hidden in problems about it alone: anywhere else it would be found in every other word.
SHORTEST = 3
# A value of so many characters is hidden inside longer words, too.
_LONG = 8
# So many characters in a row that a problem shares with the value it is about were taken from there.
_PIECE = 6
_QUOTED = re.compile(r'"([^"]{2,})"|\'([^\']{2,})\'')
# Lines of a value that are hidden one by one, as tables and tracebacks show them.
_MOST_LINES = 500
# Stand for labels while values are still looked for, since a label may hold what looks like a piece of one.
_FIRST_MARK = 0xF0000
_MOST_MARKS = 0xFFFE
_MARKS = re.compile("[\U000f0000-\U000ffffd]")


class Mask:
    """Puts labels in the place of values, wherever a text holds one.

    Args:
        hidden: the values.

    """

    __slots__ = ("_labels", "_marks", "_spellings")

    def __init__(self, hidden: Iterable[Hidden]) -> None:
        # The longest first, so that none is hidden as a part of another.
        values = sorted(dict.fromkeys(each for each in hidden if each.text), key=lambda each: -len(each.text))
        self._labels = list(dict.fromkeys(each.label for each in values))
        self._marks = {label: chr(_FIRST_MARK + index % _MOST_MARKS) for index, label in enumerate(self._labels)}
        self._spellings = [(text, self._marks[each.label]) for each in values for text in _spellings(each.text)]

    def __call__(self, text: str, about: Sequence[Hidden] = ()) -> str:
        """Return a text with labels.

        Args:
            text: whatever people are shown.
            about: those of the values that it is about: pieces of these are hidden, too.

        """
        if not self._spellings:
            return text
        text = _MARKS.sub("\ufffd", text)
        for spelling, mark in self._spellings:
            if spelling in text:
                pattern = re.escape(spelling)
                text = re.sub(pattern if len(spelling) >= _LONG else rf"(?<!\w){pattern}(?!\w)", mark, text)
        for each in about:
            if each.text:
                text = _without_pieces(text, each.text.lower(), self._marks[each.label])
        return _MARKS.sub(lambda match: self._labels[ord(match[0]) - _FIRST_MARK], text)


def secrets_mask(hidden: Iterable[Hidden]) -> Mask:
    """Return what hides secrets in any text."""
    return Mask(each for each in hidden if each.secret and len(each.text) >= SHORTEST)


def _spellings(value: str) -> list[str]:
    """Return a value as it may be written (in a repr, as JSON, cut, in lower case, …), the longest first."""
    shown = printable(value)
    spellings = {
        value,
        value.strip() or value,
        shown,
        shown.lower(),
        shorten(shown),
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        *(line for line in map(str.strip, value.splitlines()[:_MOST_LINES]) if len(line) >= _LONG),
    }
    return sorted(spellings, key=len, reverse=True)


def _without_pieces(text: str, value: str, mark: str) -> str:
    """Hide every quotation and every longer stretch that a text takes from `value` (in lower case)."""

    def unquoted(match: re.Match[str]) -> str:
        inner = match[1] or match[2]
        return f"{match[0][0]}{mark}{match[0][0]}" if inner.lower() in value else match[0]

    text = _QUOTED.sub(unquoted, text)
    lowered = text.lower()
    if len(value) < _PIECE or len(lowered) != len(text):  # in some scripts lower case is longer: no place would fit
        return text
    parts: list[str] = []
    position = 0
    while position < len(text):
        end = position + _PIECE
        if end > len(text) or lowered[position:end] not in value:
            parts.append(text[position])
            position += 1
            continue
        while end < len(text) and lowered[position : end + 1] in value:
            end += 1
        parts.append(mark)
        position = end
    return "".join(parts)
