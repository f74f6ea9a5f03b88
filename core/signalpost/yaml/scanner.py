"""PyYAML's scanner, adapted to YAML 1.2 where it is stricter or older.

* Tabs may separate tokens and end lines (YAML 1.2, section 6.2); PyYAML rejects a tab before a token. Only
  indentation consists of spaces alone (section 6.1).
* U+0085, U+2028 and U+2029 are ordinary characters (section 5.4); in PyYAML, which follows YAML 1.1, they end lines.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from signalpost.yaml.nodes import Span
from signalpost.yaml.problems import TextProblem

_OLD_BREAKS = "\u0085\u2028\u2029"
_PRIVATE_USE = range(0xE000, 0xF900)
_BLANKS = re.compile(r"[ \t]*")
_NO_LINE = -1


class Stream:
    """The events of a text, and the position of the parser: not all its exceptions contain one.

    Args:
        text: without a byte order mark.
    """

    __slots__ = ("_loader", "_read", "_written")

    def __init__(self, text: str) -> None:
        self._read: dict[int, str] = {}
        if any(char in text for char in _OLD_BREAKS):
            # Substitutes that do not occur in the text, one character for one, so that all places stay the same.
            free = (chr(code) for code in _PRIVATE_USE if chr(code) not in text)
            pairs = list(zip(_OLD_BREAKS, free, strict=False))
            text = text.translate({ord(char): stand_in for char, stand_in in pairs})
            self._read = {ord(stand_in): char for char, stand_in in pairs}
        self._written = text
        self._loader: Any = None

    def __iter__(self) -> Iterator[Any]:
        loader: Any = (_Scanner if "\t" in self._written else yaml.SafeLoader)(self._written)
        self._loader = loader
        try:
            while loader.check_event():
                yield self._restored(loader.get_event())
        except yaml.MarkedYAMLError as error:
            error.problem = error.problem and error.problem.translate(self._read)
            raise

    @property
    def offset(self) -> int:
        """The offset of the next character."""
        return self._loader.index if self._loader else 0

    def _restored(self, event: Any) -> Any:
        for name in ("value", "anchor", "tag") if self._read else ():
            text = getattr(event, name, None)
            if text:
                setattr(event, name, text.translate(self._read))
        return event


class _Scanner(yaml.SafeLoader):
    """Treats a tab as a space where it does not indent."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._begun = (_NO_LINE, 0)  # a line, and the column of its first content

    def scan_to_next_token(self) -> None:
        """Skip blanks, comments and line ends."""
        while True:
            super().scan_to_next_token()
            if self.peek() != "\t" or not self._parts():
                return
            self._skip_blanks()

    def _parts(self) -> bool:
        """Return whether the tab here separates tokens or ends the line, and so does not indent."""
        if self.flow_level:
            return True
        if self.column > self._first_column():
            # What follows it cannot be the first key or item of a block: the tab would be its indentation.
            self.allow_simple_key = False
            return True
        return self._is_at_end()

    def _first_column(self) -> int:
        """Return the column of the first content of this line."""
        line, column = self._begun
        if line != self.line:
            start = self.pointer - self.column
            column = _end_of_blanks(self.buffer, start) - start
            self._begun = self.line, column
        return column

    def _is_at_end(self) -> bool:
        """Return whether the rest of the line has only a comment, if anything."""
        return self.buffer[_end_of_blanks(self.buffer, self.pointer)] in "#\r\n\0"

    def _skip_blanks(self) -> None:
        self.forward(_end_of_blanks(self.buffer, self.pointer) - self.pointer)

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> Any:
        """Return the text between two words of a plain scalar, including tabs that do not indent."""
        begin = self.pointer
        if self.buffer[_end_of_blanks(self.buffer, begin)] not in "\r\n":
            self._skip_blanks()
            return [self.buffer[begin : self.pointer]] if self.pointer > begin else []
        self._skip_blanks()
        chunks: Any = super().scan_plain_spaces(indent, start_mark)
        while chunks and self.peek() == "\t":
            following = self.buffer[_end_of_blanks(self.buffer, self.pointer)]
            if following in "\r\n":
                self._skip_blanks()
                more = super().scan_plain_spaces(indent, start_mark)
                if more is None:
                    return None
                # Of the line ends between two words the first is a space, unless it is the only one.
                chunks = [*([] if chunks == [" "] else chunks), *(["\n"] if more == [" "] else ["\n", *more])]
            elif self.flow_level or self.column >= indent:
                self._skip_blanks()
            else:
                break
        return chunks

    def scan_block_scalar_indicators(self, start_mark: Any) -> Any:
        """Read the indicators behind ``|`` or ``>``, which a tab may end."""
        return self._with_tabs_as_spaces(lambda: super(_Scanner, self).scan_block_scalar_indicators(start_mark))

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> None:
        """Skip the rest of the line of ``|`` or ``>``."""
        self._skip_blanks()
        super().scan_block_scalar_ignored_line(start_mark)

    def scan_directive_ignored_line(self, start_mark: Any) -> None:
        """Skip the rest of the line of a directive."""
        self._skip_blanks()
        super().scan_directive_ignored_line(start_mark)

    def scan_tag(self) -> Any:
        """Read a tag, which a tab may end."""
        return self._with_tabs_as_spaces(super().scan_tag)

    def scan_yaml_directive_value(self, start_mark: Any) -> Any:
        """Read a version, which a tab may end."""
        return self._with_tabs_as_spaces(lambda: super(_Scanner, self).scan_yaml_directive_value(start_mark))

    def _with_tabs_as_spaces(self, scan: Callable[[], Any]) -> Any:
        peek = self.peek

        def peek_blank(index: int = 0) -> str:
            char = peek(index)
            return " " if char == "\t" else char

        self.peek = peek_blank  # type: ignore[method-assign]
        try:
            return scan()
        finally:
            del self.peek


def _end_of_blanks(text: str, start: int) -> int:
    found = _BLANKS.match(text, start)
    return found.end() if found else start


_LONG_ESCAPE = re.compile(r"\\U[0-9A-Fa-f]{8}")

_NO_TABS = "a tab cannot indent YAML: use spaces"
# A block that begins behind "-" and a tab, as in "-<tab>name: x", would be indented by the tab.
_NO_BLOCK_HERE = ("mapping values are not allowed here", "sequence entries are not allowed here")
_TAB_BEFORE = re.compile(r"(?:^|[\r\n]) *[-?:][ -]*\t[^\r\n]*\Z")
_LONGEST_HEAD = 1_000

# PyYAML's message (its first words), and how to fix the problem. `{char}` is the character at the place.
_ADVICE: tuple[tuple[str, str], ...] = (
    ("found character '\\t' that cannot start any token", _NO_TABS),
    ("found character", 'no value starts with {char} in YAML: put it in quotes (cron: "@daily", format: "%H:%M")'),
    (
        "expected alphabetic or numeric character",
        'a text that starts with {before} needs quotes, or YAML takes it for an {what} (cron: "*/5 * * * *")',
    ),
    (
        "mapping values are not allowed here",
        'no ":" can stand here: indent the line like its neighbours, or quote a text that contains ": "',
    ),
    (
        "could not find expected ':'",
        'a ":" is missing after this key, or the line is indented differently from its neighbours',
    ),
    ("expected <block end>, but found '-'", 'this "-" is indented differently from the others of its list'),
    (
        "expected <block end>",
        "this line is indented differently from its neighbours, or a quote or bracket above is not closed in its place",
    ),
    (
        "expected ',' or ']'",
        'a list that starts with "[" needs "," between its items and "]" at its end (it starts in {{earlier}})',
    ),
    (
        "expected ',' or '}'",
        'a mapping that starts with "{{" needs "," between its keys and "}}" at its end (it starts in {{earlier}})',
    ),
    ("found unexpected end of stream", "this quote is opened but never closed"),
    ("expected the node content, but found '<stream end>'", "the file ends where a value is missing"),
    (
        "expected the node content",
        "a value is missing before this {char}, or there is one bracket too many, or a text needs quotes",
    ),
    ("expected ' ', but found", "a space and a name are missing behind this tag, as in !include signals.yaml"),
    (
        "found unknown escape character",
        "no such escape in double quotes: write \\\\ for a backslash, or use single quotes",
    ),
    ("sequence entries are not allowed here", 'a list begins on a line of its own: break the line before the "-"'),
)
_BRACED_VARIABLE = (
    "between { } and [ ] a variable needs quotes, and is text then; where it must be a number, write the mapping in "
    "lines instead (port: ${PORT})"
)
_AT_THE_END = ("<stream end>'", "found unexpected end of stream")
_BRACKETS = ("[", "{")
_SPECIAL_KINDS = {"*": "alias", "&": "anchor"}


def explain(error: Exception, text: str, offset: int, document: int) -> TextProblem:
    """Return what PyYAML could not read in a document, in words for the author of `text`; the parser is at `offset`."""
    if isinstance(error, yaml.MarkedYAMLError):
        return _explain_marked(error, text, document)
    span = Span(offset, offset + 1, document)
    if isinstance(error, yaml.reader.ReaderError):
        code = f"U+{ord(text[error.position]):04X}"
        span = Span(error.position, error.position + 1, document)
        return TextProblem(span, f"the character {code} cannot stand in a YAML file")
    if isinstance(error, RecursionError):
        return TextProblem(span, "nested too deeply to be read")
    escape = _LONG_ESCAPE.match(text, max(offset - 2, 0))
    if escape is None:
        return TextProblem(span, "this number of a %YAML version is too long")
    words = "the escape {echo} in double quotes names no character: the last one is \\U0010FFFF"
    return TextProblem(Span(*escape.span(), document), words, echo=escape[0])


def _explain_marked(error: yaml.MarkedYAMLError, text: str, document: int) -> TextProblem:
    mark = error.problem_mark or error.context_mark
    start = mark.index if mark else 0
    problem = error.problem or error.context or "not YAML"
    if error.context_mark is not None and problem.endswith(_AT_THE_END):
        start = error.context_mark.index  # the start of the quote or bracket says more than the end of the file
        if (bracket := text[start : start + 1]) in _BRACKETS:
            return TextProblem(Span(start, start + 1, document), f'this "{bracket}" is opened but never closed')
    if problem.startswith("expected alphabetic or numeric character"):
        start = max(start - 1, 0)
    if text[start - 1 : start + 1] == "${" and problem.startswith("expected ',' or "):
        return TextProblem(Span(start - 1, start + 1, document), _BRACED_VARIABLE)
    span = Span(start, start + 1, document)
    if problem.startswith(_NO_BLOCK_HERE) and _TAB_BEFORE.search(text[max(start - _LONGEST_HEAD, 0) : start]):
        return TextProblem(span, _NO_TABS)
    char = text[start : start + 1] or "the end of the file"
    for said, advice in _ADVICE:
        if problem.startswith(said):
            words = advice.format(char=char, before=char, what=_SPECIAL_KINDS.get(char, "alias"))
            context = error.context_mark
            earlier = Span(context.index, context.index, document) if context else None
            return TextProblem(span, words, earlier=earlier)
    said = f"{problem} {error.context}" if error.context else problem
    return TextProblem(span, "this is not YAML: {echo}", echo=said)
