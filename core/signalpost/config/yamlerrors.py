"""PyYAML's complaints in words for whoever wrote the file, with what usually lies behind them."""

import re
from dataclasses import dataclass

import yaml

_LONG_ESCAPE = re.compile(r"\\U[0-9A-Fa-f]{8}")

_NO_TABS = "a tab cannot indent YAML: use spaces"
# What begins behind "-" and a tab, as in "-<tab>name: x", would be indented by it.
_NO_BLOCK_HERE = ("mapping values are not allowed here", "sequence entries are not allowed here")
_TAB_BEFORE = re.compile(r"(?:^|[\r\n]) *[-?:][ -]*\t[^\r\n]*\Z")
_LONGEST_HEAD = 1_000

# What PyYAML says (the start of its words), and what to do about it. `{char}` is the character at the place.
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        "found character '\\t' that cannot start any token",
        _NO_TABS,
    ),
    (
        "found character",
        'no value starts with {char} in YAML: put it in quotes (cron: "@daily", format: "%H:%M")',
    ),
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
    (
        "expected <block end>, but found '-'",
        'this "-" is indented differently from the others of its list',
    ),
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
    (
        "found unexpected end of stream",
        "this quote is opened but never closed",
    ),
    (
        "expected the node content, but found '<stream end>'",
        "the file ends where a value is missing",
    ),
    (
        "expected the node content",
        "a value is missing before this {char}, or there is one bracket too many, or a text needs quotes",
    ),
    (
        "expected ' ', but found",
        "a space and a name are missing behind this tag, as in !include signals.yaml",
    ),
    (
        "found unknown escape character",
        "no such escape in double quotes: write \\\\ for a backslash, or use single quotes",
    ),
    (
        "sequence entries are not allowed here",
        'a list begins on a line of its own: break the line before the "-"',
    ),
)
_BRACED_VARIABLE = (
    "between { } and [ ] a variable needs quotes, and is text then; where it must be a number, write the mapping in "
    "lines instead (port: ${PORT})"
)
_AT_THE_END = ("<stream end>'", "found unexpected end of stream")
_BRACKETS = ("[", "{")
_SPECIAL_KINDS = {"*": "alias", "&": "anchor"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an exception of PyYAML means.

    Attributes:
        start: where it points to; an offset, as is `end` (exclusive).
        words: they speak of `earlier` as ``{earlier}`` and of `echo` as ``{echo}``.
        earlier: an offset, too.
        echo: a piece of the text, or what PyYAML says of one.

    """

    start: int
    end: int
    words: str
    earlier: int | None = None
    echo: str = ""


def explain(error: Exception, text: str, offset: int) -> Explanation:
    """Say in words for whoever wrote `text` what PyYAML could not read, having come to `offset`."""
    if isinstance(error, yaml.reader.ReaderError):
        code = f"U+{ord(text[error.position]):04X}"
        return _at(error.position, f"the character {code} cannot stand in a YAML file")
    if isinstance(error, yaml.MarkedYAMLError):
        return _explain_marked(error, text)
    if isinstance(error, RecursionError):
        return _at(offset, "nested too deeply to be read")
    escape = _LONG_ESCAPE.match(text, max(offset - 2, 0))
    if escape is None:
        return _at(offset, "this number of a %YAML version is too long")
    words = "the escape {echo} in double quotes names no character: the last one is \\U0010FFFF"
    return Explanation(*escape.span(), words, echo=escape[0])


def _explain_marked(error: yaml.MarkedYAMLError, text: str) -> Explanation:
    mark = error.problem_mark or error.context_mark
    start = mark.index if mark else 0
    problem = error.problem or error.context or "not YAML"
    if error.context_mark is not None and problem.endswith(_AT_THE_END):
        start = error.context_mark.index  # where the quote or bracket is opened says more than the end of the file
        if (bracket := text[start : start + 1]) in _BRACKETS:
            return _at(start, f'this "{bracket}" is opened but never closed')
    if problem.startswith("expected alphabetic or numeric character"):
        start = max(start - 1, 0)
    if text[start - 1 : start + 1] == "${" and problem.startswith("expected ',' or "):
        return Explanation(start - 1, start + 1, _BRACED_VARIABLE)
    if problem.startswith(_NO_BLOCK_HERE) and _TAB_BEFORE.search(text[max(start - _LONGEST_HEAD, 0) : start]):
        return Explanation(start, start + 1, _NO_TABS)
    char = text[start : start + 1] or "the end of the file"
    for said, advice in _ADVICE:
        if problem.startswith(said):
            words = advice.format(char=char, before=char, what=_SPECIAL_KINDS.get(char, "alias"))
            return Explanation(start, start + 1, words, error.context_mark.index if error.context_mark else None)
    said = f"{problem} {error.context}" if error.context else problem
    return Explanation(start, start + 1, "this is not YAML: {echo}", echo=said)


def _at(offset: int, words: str) -> Explanation:
    return Explanation(offset, offset + 1, words)
