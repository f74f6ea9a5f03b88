"""The spellings of a text: escaped, once or several times, or broken into lines.

There are too many to list: each encoder escapes some characters and leaves others. But none changes the letters and
digits of ASCII, and each other character has a handful of escapes. So one pattern finds all of them, and the longest
run of letters and digits shows quickly where it cannot match.
"""

import html.entities
import re
from functools import cached_property
from itertools import groupby

_BREAK = r"(?:[ \t]*+[\r\n]\s*+)?+"
"""Between two characters that are not blanks, where a text is broken into lines."""

_BLANKS = " \t"

# From the first blank before a line end: from each of many blanks the search would be quadratic.
_LINE_ENDS = re.compile(r"(?<![ \t])[ \t]*[\r\n]\s*")
# As many as there are after three escapes; possessive, so that a flood of them is scanned once.
_ESCAPES = r"\\{0,8}+"
_MOST_BACKSLASHES = 255
_LETTERS = {"\0": "0", "\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r"}
_NAMES: dict[str, list[str]] = {}
for _name, _char in html.entities.html5.items():
    if _name.endswith(";"):
        _NAMES.setdefault(_char, []).append(_name)


class Spellings:
    """Finds a text in any spelling.

    Args:
        text: to find.
        as_word: only without a letter or digit beside it, and in its own case.
    """

    __slots__ = ("__dict__", "_as_word", "_text", "core")

    def __init__(self, text: str, *, as_word: bool) -> None:
        self._text = text
        self._as_word = as_word
        # What every spelling contains unchanged, except for case.
        self.core = max(re.split(r"[^0-9A-Za-z]+", text), key=len).lower()

    def hide(self, text: str, lowered: str, flat: str, mark: str) -> str:
        """Replace each spelling by a mark.

        Args:
            text: to search.
            lowered: the same in lower case.
            flat: the same, `flattened`; empty if it is one line.
            mark: the replacement.
        """
        if self.core in lowered:
            text = self._pattern.sub(mark, text)
        if flat and not self._as_word and self.core in flat:
            text = self._broken_pattern.sub(mark, text)
        return text

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        whole = "".join(_written(self._text))
        return re.compile(rf"(?<!\w){whole}(?!\w)") if self._as_word else re.compile(whole, re.IGNORECASE)

    @cached_property
    def _broken_pattern(self) -> re.Pattern[str]:
        words = [
            _BREAK.join(_written(part)) if part.strip(_BLANKS) else _written(part)[0] for part in _parts(self._text)
        ]
        return re.compile("".join(words), re.IGNORECASE)


def flattened(text: str) -> str:
    """Return a text without its line ends and the indentation of lines; nothing if it has none."""
    return _LINE_ENDS.sub("", text) if "\n" in text or "\r" in text else ""


def _parts(text: str) -> list[str]:
    """Return runs of blanks, and the parts between them."""
    return [part for part in re.split(rf"([{_BLANKS}]+)", text) if part]


def _written(text: str) -> list[str]:
    """Return a pattern for each character, or each run of backslashes or blanks, that matches all its spellings.

    No pattern can match in two ways: a flood of its first character would cause backtracking.
    """
    patterns = []
    for char, run in groupby(text):
        count = len(list(run))
        if char == "\\":
            # Escaping adds backslashes, and one more for a quotation mark behind them.
            patterns.append(
                rf"(?:\\{{{count},{max(count, _MOST_BACKSLASHES)}}}+|(?:{'|'.join(_escapes(char))}){{{count}}})"
            )
        elif char in _BLANKS:
            patterns.append(rf"(?:{_ways(char)}{{{count}}}+|\s++)")
        else:
            patterns += [_ways(char)] * count
    return patterns


def _ways(char: str) -> str:
    if char.isascii() and char.isalnum():
        return char
    ways = [_ESCAPES + re.escape(char), *_escapes(char)]
    if char == " ":
        ways.append(r"\+")
    if char in "'\"":
        ways.append(char * 2)  # SQL, YAML, CSV
    if char in _LETTERS:
        ways.append(_ESCAPES + _LETTERS[char])
    if not char.isprintable():
        ways.append("\ufffd")
    return f"(?:{'|'.join(ways)})"


def _escapes(char: str) -> list[str]:
    """Return the patterns of a character's escapes, which may themselves be escaped."""
    code, data = ord(char), char.encode(errors="replace")
    pairs = char.encode("utf-16-be", "surrogatepass")
    units = [pairs[at : at + 2].hex() for at in range(0, len(pairs), 2)]
    numbers = [
        "".join(f"{_ESCAPES}u{unit}" for unit in units),
        f"{_ESCAPES}u\\{{0*{code:x}\\}}",
        f"{_ESCAPES}U{code:08x}",
        "".join(f"{_ESCAPES}x{byte:02x}" for byte in data),
        "".join(f"%(?:25)*{byte:02X}" for byte in data),
    ]
    if code < 0x100:  # noqa: PLR2004 - one byte
        numbers.append(f"{_ESCAPES}x{code:02x}")
    entities = [f"#0*{code};", f"#x0*{code:x};", *_NAMES.get(char, ())]
    return [*numbers, f"{_ESCAPES}&(?:amp;)*(?:{'|'.join(entities)})"]
