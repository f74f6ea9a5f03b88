"""Keeps what came from outside the files out of what people are shown.

The values of secrets are looked for in every text that the server shows or logs. Those of variables are hidden only
in problems about the values that they are part of: a port or a host name is no secret, and ``routes`` shows it.
In a problem about a value, pieces of it are hidden, too: words like ``"abc" is no segment`` repeat a part.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from signalpost.config.nodes import Hidden
from signalpost.config.scalars import shorten
from signalpost.config.words import printable

MASK = "***"
# A shorter secret is hidden in problems about it alone: anywhere else it would be found in every other word.
SHORTEST_SECRET = 3
# A value of so many characters is hidden inside longer words, too.
_LONG = 8
# So many characters in a row that a problem shares with the value it is about were taken from there.
_PIECE = 6
_QUOTED = re.compile(r'"([^"]{2,})"|\'([^\']{2,})\'')
# Stand for labels while values are still looked for, since a label may hold what looks like a piece of one.
_FIRST_MARK = 0xF0000
_MOST_MARKS = 0xFFFE
_MARKS = re.compile("[\U000f0000-\U000ffffd]")


def mask(text: str, about: Sequence[Hidden], beside: Iterable[Hidden]) -> str:
    """Put labels in the place of values.

    Args:
        text: a problem.
        about: what it is about: pieces of these are hidden, too.
        beside: what may be told of there as a whole.

    """
    values = _worth_hiding((*about, *beside))
    if not values:
        return text
    pieces = {each.text for each in about}
    labels = list(dict.fromkeys(each.label for each in values))
    marks = {label: chr(_FIRST_MARK + index % _MOST_MARKS) for index, label in enumerate(labels)}
    text = _MARKS.sub("\ufffd", text)
    for each in values:
        text = _without_value(text, each.text, marks[each.label])
    for each in values:
        if each.text in pieces:
            text = _without_pieces(text, each.text.lower(), marks[each.label])
    return _MARKS.sub(lambda match: labels[ord(match[0]) - _FIRST_MARK], text)


def mask_secrets(text: str, hidden: Iterable[Hidden]) -> str:
    """Put labels in the place of secrets, wherever a text holds one."""
    return mask(text, (), (each for each in hidden if each.secret and len(each.text) >= SHORTEST_SECRET))


def _worth_hiding(hidden: Iterable[Hidden]) -> Sequence[Hidden]:
    """Return those that hold anything, the longest first, so that none is hidden as a part of another."""
    return sorted(dict.fromkeys(each for each in hidden if each.text), key=lambda each: -len(each.text))


def _without_value(text: str, value: str, mark: str) -> str:
    for spelling in _spellings(value):
        if spelling in text:
            pattern = re.escape(spelling)
            text = re.sub(pattern if len(spelling) >= _LONG else rf"(?<!\w){pattern}(?!\w)", mark, text)
    return text


def _spellings(value: str) -> Iterator[str]:
    """Yield a value as messages write it: as it is, fit for a terminal, cut, in lower case, in a repr, as JSON."""
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
    }
    yield from sorted(spellings, key=len, reverse=True)


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
