"""Hides values from outside the files (secrets, variables) in all output.

The values of secrets are searched for in every text that the server shows or logs. Those of variables are hidden only
in problems about the values that contain them: a port or a host name is not a secret, and ``routes`` shows it. In a
problem about a value, pieces of the value are hidden, too: words like ``"abc" is no segment`` repeat a part. Where a
text was truncated ("…"), the beginning or the end of a value is hidden as well.
"""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

from signalpost.scalars import shorten
from signalpost.words import printable
from signalpost.yaml.nodes import Hidden
from signalpost.yaml.spellings import Spellings, flattened

MASK = "***"
# Shorter values are hidden only in problems about them: elsewhere they would match in many other words.
SHORTEST = 3
# Values from this length on are hidden inside longer words, too.
_LONG = 8
# A problem that shares this many characters in a row with its value has taken them from there.
_PIECE = 6
# Marks of truncation: the text on either side may be a part of a value.
_CUT = re.compile("(…|\\.{3})")
_QUOTED = re.compile(r'"([^"]{2,})"|\'([^\']{2,})\'')
# Lines of a value that are hidden one by one, since tables and tracebacks show single lines.
_MOST_LINES = 500
# Placeholders for labels during the search, since a label may contain what looks like a piece of a value.
_FIRST_MARK = 0xF0000
_MOST_MARKS = 0xFFFE
_MARKS = re.compile("[\U000f0000-\U000ffffd]")


class Mask:
    """Replaces values in a text by labels.

    Args:
        hidden: the values.
    """

    __slots__ = ("_fewest", "_labels", "_marks", "_spellings")

    def __init__(self, hidden: Iterable[Hidden]) -> None:
        # The longest first, so that none is hidden as a part of another one.
        values = sorted(dict.fromkeys(each for each in hidden if each.text), key=lambda each: -len(each.text))
        self._labels = list(dict.fromkeys(each.label for each in values))
        self._marks = {label: chr(_FIRST_MARK + index % _MOST_MARKS) for index, label in enumerate(self._labels)}
        self._spellings = [
            _Spelling(text, self._marks[each.label], whole=whole)
            for each in values
            for text, whole in _spellings(each.text).items()
        ]
        self._fewest = min((spelling.fewest for spelling in self._spellings), default=0)

    def __call__(self, text: str, about: Sequence[Hidden] = ()) -> str:
        """Return a text with labels.

        Args:
            text: for output.
            about: the values that the text is about: their pieces are hidden, too.
        """
        if not self._spellings:
            return text
        text = _MARKS.sub("\ufffd", text)
        lowered = text.lower()
        flat = flattened(lowered)
        for spelling in self._spellings:
            hidden = spelling.hide(text, lowered, flat)
            if hidden != text:
                text, lowered = hidden, hidden.lower()
                flat = flattened(lowered)
        if _CUT.search(text):
            text = self._without_cut_ones(text)
        for each in about:
            if each.text:
                text = _without_pieces(text, each.text.lower(), self._marks[each.label])
        return _MARKS.sub(lambda match: self._labels[ord(match[0]) - _FIRST_MARK], text)

    def _without_cut_ones(self, text: str) -> str:
        """Hide the rest of a value at a place where a text was truncated in the middle of it."""
        parts = _CUT.split(text)
        for index in range(0, len(parts), 2):
            if len(parts[index]) < self._fewest:
                continue
            for spelling in self._spellings:
                if index + 1 < len(parts):
                    parts[index] = spelling.hide_beginning(parts[index])
                if index:
                    parts[index] = spelling.hide_end(parts[index])
        return "".join(parts)


class _Spelling:
    """One spelling of a value, and the mark that replaces it.

    Args:
        text: the value as it is written.
        mark: that replaces it.
        whole: whether to search for it as it is and with escapes; else only for its rest where it was
            truncated, since the value's own pattern finds it.

    Attributes:
        fewest: minimum of characters of a truncated value that are hidden.
    """

    __slots__ = ("_mark", "_spellings", "_text", "fewest")

    def __init__(self, text: str, mark: str, *, whole: bool) -> None:
        self._text = text.lower()
        self._mark = mark
        # A short one is hidden only as a word, a long one in any case.
        self._spellings = Spellings(text, as_word=len(text) < _LONG) if whole else None
        # The rest of a truncated value is hidden if it is long enough: for short values, half of them.
        self.fewest = max(SHORTEST, min(_LONG, len(text) // 2))

    def hide(self, text: str, lowered: str, flat: str) -> str:
        """Hide the value everywhere; the arguments are those of `Spellings.hide`."""
        return text if self._spellings is None else self._spellings.hide(text, lowered, flat, self._mark)

    def hide_beginning(self, text: str) -> str:
        """Hide the beginning of the value at the end of a text."""
        first = self._text[: self.fewest]
        start = max(0, len(text) - len(self._text))
        tail = text[start:].lower()
        at = tail.find(first)
        while at >= 0:
            if self._text.startswith(tail[at:]):
                return text[: start + at] + self._mark
            at = tail.find(first, at + 1)
        return text

    def hide_end(self, text: str) -> str:
        """Hide the end of the value at the beginning of a text."""
        last = self._text[-self.fewest :]
        head = text[: len(self._text)].lower()
        at = head.rfind(last)
        while at >= 0:
            end = at + len(last)
            if self._text.endswith(head[:end]):
                return self._mark + text[end:]
            at = head.rfind(last, 0, end - 1)
        return text


def secrets_mask(hidden: Iterable[Hidden]) -> Mask:
    """Return the mask that hides secrets in any text."""
    return Mask(each for each in hidden if each.secret and len(each.text) >= SHORTEST)


def _spellings(value: str) -> dict[str, bool]:
    """Return the spellings of a value (in a repr, as JSON, in an address, …), the longest first.

    Each with whether to search for it as a whole; see `_Spelling`.
    """
    shown = printable(value)
    data = value.encode(errors="replace")
    as_json = json.dumps(value)[1:-1]
    escaped = {
        shown,
        repr(value)[1:-1],
        as_json,
        json.dumps(as_json)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
    }
    plain = {
        value,
        value.strip() or value,
        shown.lower(),
        shorten(shown),
        *(line for line in map(str.strip, value.splitlines()[:_MOST_LINES]) if len(line) >= _LONG),
        *(each for each in (data.hex(), *_base64(data)) if len(each) >= _LONG),
    }
    return {text: text in plain for text in sorted(escaped | plain, key=len, reverse=True)}


def _base64(data: bytes) -> Iterator[str]:
    """Yield the base64 (RFC 4648) of a value at each possible alignment, as in ``Basic …``."""
    for before in range(3):
        # A character encodes six bits: those that also encode bits of neighbouring bytes are left out.
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + data).decode()[first:last]


def _without_pieces(text: str, value: str, mark: str) -> str:
    """Hide every quotation and every long piece that a text takes from `value` (in lower case)."""

    def unquoted(match: re.Match[str]) -> str:
        inner = match[1] or match[2]
        return f"{match[0][0]}{mark}{match[0][0]}" if inner.lower() in value else match[0]

    text = _QUOTED.sub(unquoted, text)
    lowered = text.lower()
    if len(value) < _PIECE or len(lowered) != len(text):  # in some scripts lower case is longer: offsets would differ
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
