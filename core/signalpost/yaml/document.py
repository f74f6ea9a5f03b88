"""The text of one file, and the conversion of offsets in it to problems with line and column."""

import re
from bisect import bisect_right

from signalpost.errors import Problem
from signalpost.places import Keys, Part
from signalpost.words import format_keys, printable
from signalpost.yaml.masks import MASK

# Line ends as in editors and terminals; PyYAML's own marks also count U+0085, U+2028 and U+2029.
_LINE_END = re.compile(r"\r\n|\n|\r")
# The name of a secret; any other text in a file of secrets may be a secret itself.
SECRET_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NAMED = re.compile(rf"({SECRET_NAME.pattern}):(?=\s|$)")


class Document:
    """A file that was read.

    Attributes:
        name: of the file for the user.
        text: all of it.
        secret: whether its lines are shown without the values in them.
    """

    __slots__ = ("_last", "_replaced", "_starts", "name", "secret", "text")

    def __init__(self, name: str, text: str, *, secret: bool = False) -> None:
        self.name = name
        self.text = text
        self.secret = secret
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._last = (-1, "")
        self._replaced: dict[str, str] = {}

    def hide(self, text: str, shown: str) -> None:
        """Show another text of the same length in place of one, wherever it stands in a line of a problem."""
        self._replaced[text] = shown
        self._last = (-1, "")

    def line(self, offset: int) -> int:
        """Return the line of an offset, from 1."""
        return bisect_right(self._starts, offset)

    def place(self, offset: int) -> str:
        """Return the place of an offset: ``routes.yaml:14``."""
        return f"{self.name}:{self.line(offset)}"

    def problem(self, start: int, end: int, text: str, keys: Keys = ()) -> Problem:
        """Return the problem `text` about a span of the file; its first line is underlined."""
        line = self.line(start)
        source = self._source(line - 1)
        column = start - self._starts[line - 1]
        if self.secret:
            source = self._masked(source)
            column = min(column, len(source))
        width = min(end - start, len(source) - column)
        return Problem(self.name, line, column + 1, format_keys(keys), printable(text), source, max(width, 1))

    def find(self, part: Part, start: int, end: int) -> tuple[int, int]:
        """Return the place of a part of the text between two offsets; of the whole text if the part is not found.

        It is not found if YAML spells it differently: an escape in quotes, or a folded line.
        """
        # After `|` and `>` the first line of the text is the second line of the source.
        first = self.line(start) - 1 + part.line - (0 if self.text[start : start + 1] in ("|", ">") else 1)
        near = max(start, self._starts[min(first, self.line(end) - 1)])
        place = self._search(part.text, near, end) or self._search(part.text, start, end)
        return place or (start, end)

    def _search(self, piece: str, start: int, end: int) -> tuple[int, int] | None:
        """Find a piece of the text between two offsets; a word only as a whole word."""
        if piece.isidentifier():
            found = re.compile(rf"(?<!\w){re.escape(piece)}(?!\w)").search(self.text, start, end)
            return found.span() if found else None
        offset = self.text.find(piece, start, end)
        return None if offset < 0 else (offset, offset + len(piece))

    def _source(self, line: int) -> str:
        """Return a line's text; the problems of one line share it, since a file may be one long line."""
        if self._last[0] != line:
            end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self.text)
            source = self.text[self._starts[line] : end].rstrip("\r\n")
            for text, shown in self._replaced.items():
                source = source.replace(text, shown)
            self._last = line, source
        return self._last[1]

    def _masked(self, source: str) -> str:
        name = _NAMED.match(source)
        return f"{name[0]} {MASK}" if name else MASK
