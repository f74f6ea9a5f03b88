"""What ``run`` says beside the log: lines on the terminal, or records, if programs read what it writes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from signalpost.errors import ConfigError, Problem

LOGGER = "signalpost.run"

_RECORDS: list[bool] = []  # not empty while what is said becomes records


@contextmanager
def as_records() -> Iterator[None]:
    """Make records of all that is said in a block; the log must be configured."""
    _RECORDS.append(True)
    try:
        yield
    finally:
        _RECORDS.pop()


def say(text: str, *, err: bool = False, failed: bool = False) -> None:
    """Print a line, or log it.

    Args:
        text: the line.
        err: whether it goes to standard error.
        failed: whether it tells of a failure, for its level in the log.
    """
    if not _RECORDS:
        click.echo(text, err=err)
        return
    import logging  # not for `signalpost --version`

    level = logging.ERROR if failed else logging.WARNING if err else logging.INFO
    # Each line is an origin of its own: none of them is left out for others.
    logging.getLogger(LOGGER).log(level, "%s", text, extra={"origin": text})


def say_notes(notes: Iterable[str]) -> None:
    """Print notes, a line for each, or log them."""
    for note in notes:
        say(f"note: {note}")


def say_failure(error: Exception) -> None:
    """Say why a command cannot do what it is to do: each problem of a `ConfigError`, or the one line of another."""
    if isinstance(error, ConfigError):
        say_problems(error.problems)
    else:
        say(f"signalpost: {error}", err=True, failed=True)


def say_problems(problems: Iterable[Problem]) -> None:
    """Print problems with the lines that they are about, or log each of them."""
    from signalpost.problemtext import render_problems

    problems = tuple(problems)
    if not _RECORDS:
        import sys

        from signalpost.cli.output import wants_colour

        click.echo(render_problems(problems, colour=wants_colour(sys.stderr)), err=True)
        return
    for problem in problems:
        place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
        keys = f"{problem.keys}: " if problem.keys else ""
        say(f"{place}: {keys}{problem.text}", failed=True)
