"""Terminal output: colour only on terminals, and never if NO_COLOR is set; tables that wrap between words.

Rich is imported on first use: most commands draw nothing.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

import click

from signalpost.cli.secrets import masked
from signalpost.words import printable

_GAP = 3  # cells between two columns
_INDENT = 2  # cells before the rows under a title
_NARROWEST = 20  # minimum cells for a text on any terminal
_UNBOUNDED = 100_000  # cells: more than any line has


def wants_colour(stream: TextIO) -> bool:
    """Return whether to colour text for this stream (https://no-color.org: any value except an empty one means no)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] | None = None
) -> None:
    """Print a table under a title (unless that is empty), with its rows in the colours of `styles`, if any.

    On a terminal its cells are wrapped between words to fit, and a word is never split: a terminal that is still too
    narrow wraps the lines itself. Otherwise a row is one line, for grep and similar tools.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    texts = [[_shown(cell) for cell in row] for row in rows]
    widths = [_longest_word(cells) for cells in zip(columns, *texts, strict=True)]
    for name, width in zip(columns, widths, strict=True):
        table.add_column(Text(name), min_width=width, overflow="fold")
    for row, style in zip(texts, styles or [""] * len(texts), strict=True):
        table.add_row(*map(Text, row), style=style)
    terminal = sys.stdout.isatty()
    colour = wants_colour(sys.stdout)
    narrowest = sum(widths) + _GAP * (len(widths) - 1)
    printer = Console(
        color_system="standard" if colour else None,
        force_terminal=colour,
        highlight=False,
        legacy_windows=False,
        width=max(shutil.get_terminal_size().columns, narrowest) if terminal else _UNBOUNDED,
    )
    if title:
        click.secho(_shown(title), bold=True, color=colour)
    with printer.capture() as captured:
        printer.print(table, crop=False)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=colour)  # without the spaces that fill the last column


def show_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print facts under a title, each with a label and a text.

    On a terminal a text is wrapped between words and continues below itself; otherwise it is one line.
    """
    from rich.cells import cell_len

    colour = wants_colour(sys.stdout)
    click.secho(_shown(title), bold=True, color=colour)
    label_width = max((cell_len(label) for label, _ in facts), default=0)
    lead = _INDENT + label_width + _GAP
    room = max(shutil.get_terminal_size().columns - lead, _NARROWEST) if sys.stdout.isatty() else _UNBOUNDED
    for label, text in facts:
        first, *more = _wrapped(_shown(text), room)
        shown = click.style(f"{label:<{label_width}}", dim=True)
        click.echo(f"{' ' * _INDENT}{shown}{' ' * _GAP}{first}".rstrip(), color=colour)
        for line in more:
            click.echo(f"{' ' * lead}{line}", color=colour)


def show_notes(notes: Iterable[str]) -> None:
    """Print notes, a line for each."""
    for note in notes:
        click.echo(f"note: {note}")


def _shown(text: str) -> str:
    """Hide secrets before a text is wrapped, since a part of one would not be found."""
    return printable(masked(text))


def _wrapped(text: str, room: int) -> list[str]:
    """Wrap a text between words; further lines are aligned with the first one."""
    indent = " " * (len(text) - len(text.lstrip()))
    wrap = textwrap.TextWrapper(room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return wrap.wrap(text) or [""]


def _longest_word(cells: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max((cell_len(word) for cell in cells for word in cell.split()), default=1)
