"""Problems for people, for programs, and for the pull requests of GitHub."""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import StrEnum

from signalpost.errors import Problem
from signalpost.words import printable

_TAB = 4
# Cells of a source line that are shown; longer ones are truncated around the place.
_WIDTH = 100
# Characters examined on either side of the place: as many as the window can show, and some without width.
_REACH = 120
# Characters of a source line that JSON contains in full.
_LONG = 400
# Cells shown before the place in a truncated line.
_LEAD = 40
_ELLIPSIS = "…"
_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_RED = "\x1b[31;1m"
_DIM = "\x1b[2m"
_PLACE = re.compile(r"(.+?):([0-9]+): ")


class Style(StrEnum):
    """Output formats of problems; the values are those of ``check --format``."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def render_problems(problems: Sequence[Problem], style: Style = Style.TEXT, *, colour: bool = False) -> str:
    """Return problems as text, without a final line end.

    Args:
        problems: in order of output.
        style: `TEXT` shows each with its source line and a caret, and counts them at the end; `JSON` is a list of
            objects with the fields of `Problem`; `GITHUB` is one workflow command a problem.
        colour: whether `TEXT` may contain ANSI escapes.
    """
    match style:
        case Style.TEXT:
            return "\n".join((*(_text(problem, colour=colour) for problem in problems), count_problems(len(problems))))
        case Style.JSON:
            return json.dumps([_fields(problem) for problem in problems], ensure_ascii=False, indent=2)
        case Style.GITHUB:
            return "\n".join(_github(problem) for problem in problems)


def render_note(note: str, style: Style = Style.TEXT) -> str:
    """Return a note, which begins with its place if it has one: ``routes.yaml:14: …``."""
    if style is not Style.GITHUB:
        return f"note: {note}"
    found = _PLACE.match(note)
    properties = "" if found is None else f" file={_escape(printable(found[1]), ':,')},line={found[2]}"
    text = note if found is None else note[found.end() :]
    return f"::notice{properties}::{_escape(printable(text), '')}"


def count_problems(number: int) -> str:
    """Return the number of problems: ``1 problem``, ``3 problems``."""
    return f"{number} problem" if number == 1 else f"{number} problems"


def _text(problem: Problem, *, colour: bool) -> str:
    place, keys, text = printable(_place(problem)), printable(problem.keys), printable(problem.text)
    if colour:
        place, text = f"{_BOLD}{place}{_RESET}", f"{_RED}{text}{_RESET}"
    lines = [f"{place}: {keys}: {text}" if keys else f"{place}: {text}"]
    if problem.line and problem.source.strip():
        source, caret = excerpt(problem)
        if colour:
            source, caret = f"{_DIM}{source}{_RESET}", f"{_RED}{caret}{_RESET}"
        lines += [f"    {source}", f"    {caret}"]
    return "\n".join(lines)


def excerpt(problem: Problem) -> tuple[str, str]:
    """Return the source line as a terminal shows it, and the carets under it.

    Tabs become spaces, unprintable characters a replacement character; wide characters have two cells and combining
    ones none, so that the carets are below the visible place.
    """
    cut = max(problem.column - 1 - _REACH, 0)
    source = problem.source[cut : problem.column - 1 + _REACH]
    start = problem.column - 1 - cut
    glyphs = [_glyph(char) for char in source]
    cells = [_cells(glyph) for glyph in glyphs]
    first, last = _window(cells, start)
    before = (_ELLIPSIS if first or cut else "") + "".join(glyphs[first:start])
    underlined = sum(cells[start : min(start + problem.width, last)])
    after = _ELLIPSIS if cut + last < len(problem.source) else ""
    shown = before + "".join(glyphs[start:last]) + after
    return shown.rstrip(), " " * _cells(before) + "^" * max(underlined, 1)


def _window(cells: Sequence[int], start: int) -> tuple[int, int]:
    """Return the first and (exclusive) last character of a line to show."""
    first = 0
    if sum(cells) > _WIDTH:
        lead = 0
        first = min(start, len(cells))
        while first > 0 and lead < _LEAD:
            first -= 1
            lead += cells[first]
    last, width = first, 0
    while last < len(cells) and width < _WIDTH:
        width += cells[last]
        last += 1
    return first, last


def _glyph(char: str) -> str:
    return " " * _TAB if char == "\t" else printable(char)


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(_cells_of(char) for char in text)


def _cells_of(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _place(problem: Problem) -> str:
    return f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file


def _fields(problem: Problem) -> dict[str, str | int]:
    """Return a problem's fields; lone surrogates are replaced, a long source line is truncated around the place."""
    fields = asdict(problem)
    if len(problem.source) > _LONG:
        fields["source"] = excerpt(problem)[0]
    return {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _github(problem: Problem) -> str:
    """Return a workflow command: ``::error file=routes.yaml,line=14,col=5::…``."""
    properties: list[tuple[str, str | int]] = [("file", printable(problem.file))]
    if problem.line:
        properties += [("line", problem.line), ("col", problem.column), ("endColumn", problem.column + problem.width)]
    written = ",".join(f"{name}={_escape(str(value), ':,')}" for name, value in properties)
    text = f"{problem.keys}: {problem.text}" if problem.keys else problem.text
    return f"::error {written}::{_escape(printable(text), '')}"


def _escape(text: str, also: Iterable[str]) -> str:
    """Escape for GitHub's runner: percent sign and line ends, in properties colon and comma too."""
    for char in ("%", "\r", "\n", *also):
        text = text.replace(char, f"%{ord(char):02X}")
    return text
