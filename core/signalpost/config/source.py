"""Where everything in routes.yaml stands: turns offsets and paths of keys into problems with line and column."""

import re
from bisect import bisect_right
from collections.abc import Iterable

from signalpost.config.model import Keys
from signalpost.config.scalars import shorten
from signalpost.config.tree import Fault, ListNode, MapNode, Node
from signalpost.config.words import printable, quoted
from signalpost.config.yamlerrors import Span
from signalpost.errors import Problem

# What editors and terminals count as a line; PyYAML's own marks would also count U+0085, U+2028 and U+2029.
_LINE_END = re.compile(r"\r\n|\n|\r")
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")


class Source:
    """The text of a file and its tree; the `SourceMap` of `signalpost.config.model`.

    Attributes:
        file: as the user named it.

    """

    __slots__ = ("_line_text", "_root", "_starts", "_text", "file")

    def __init__(self, file: str, text: str, root: Node | None = None) -> None:
        self.file = file
        self._text = text
        self._root = root
        self._line_text = (-1, "")
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def problem(self, keys: Keys, text: str, *, of_key: bool = False) -> Problem:
        """Make the problem `text` about the value at `keys` (or about its key), or about its nearest parent."""
        span = self._span(keys, of_key=of_key)
        return self.at(span, text, keys) if span else Problem(self.file, 0, 0, format_keys(keys), printable(text))

    def place(self, keys: Keys) -> str:
        """Name where the value at `keys`, or its nearest parent, stands: ``routes.yaml:14``."""
        span = self._span(keys, of_key=True)
        return f"{self.file}:{self._line(span.start) + 1}" if span else self.file

    def at(self, span: Span, text: str, keys: Keys = ()) -> Problem:
        """Make the problem `text` about a stretch of the file; its first line is underlined."""
        line = self._line(span.start)
        source = self._source(line)
        column = span.start - self._starts[line]
        width = min(span.end - span.start, len(source) - column)
        return Problem(self.file, line + 1, column + 1, format_keys(keys), printable(text), source, max(width, 1))

    def fault(self, fault: Fault) -> Problem:
        """Make a problem of what reading the tree found."""
        earlier = "" if fault.earlier is None else f"{self.file}:{self._line(fault.earlier) + 1}"
        return self.at(fault.span, fault.text.replace("{earlier}", earlier), fault.keys)

    def _source(self, line: int) -> str:
        """Return a line's text; the problems of one line share it, for a file may be one long line."""
        if self._line_text[0] != line:
            end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self._text)
            self._line_text = line, self._text[self._starts[line] : end].rstrip("\r\n")
        return self._line_text[1]

    def _line(self, offset: int) -> int:
        """Return the line of an offset, from 0."""
        return bisect_right(self._starts, offset) - 1

    def _span(self, keys: Keys, *, of_key: bool) -> Span | None:
        node = self._root
        if node is None:
            return None
        span = node.span
        for index, key in enumerate(keys):
            last = index == len(keys) - 1
            if isinstance(node, MapNode) and isinstance(key, str) and key in node.entries:
                entry = node.entries[key]
                node = entry.node
                span = entry.key if last and of_key else node.span
            elif isinstance(node, ListNode) and isinstance(key, int) and 0 <= key < len(node.items):
                node = node.items[key]
                span = node.span
            else:
                break
        return span


def format_keys(keys: Iterable[str | int]) -> str:
    """Write a path of keys as users read it: ``signals[0].handler``, ``plugins.settings["my plugin"]``."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{shorten(key)}" if text else shorten(key)
        else:
            text += f"[{quoted(key)}]"
    return text
