"""Files that a command makes of routes.yaml: written, or held against what is on disk."""

import difflib
import os
from pathlib import Path

import click

from signalpost.errors import OperatorError
from signalpost.words import printable

_MOST_LINES = 40  # of a difference


def put_out(text: str, output: Path | None, *, check: bool, command: str) -> bool:
    """Print what a command made, write it to a file, or compare it with that file.

    Args:
        text: made of routes.yaml.
        output: the file; None is stdout.
        check: whether the file is only compared.
        command: makes the file anew.

    Returns:
        Whether the file is as it should be; true if it was only written or printed.

    Raises:
        OperatorError: the file cannot be read or written.
    """
    if output is None:
        click.echo(text, nl=False)
        return True
    before = _read(output)
    if not check:
        if before != text:
            _write(output, text)
        click.echo(output)
        return True
    if before == text:
        click.echo(f"{output} is as it should be")
        return True
    if before is None:
        click.echo(f"{output} is not there: `{command}` makes it")
        return False
    click.echo(f"{output} is not what `{command}` makes now: run that, and commit the file")
    lines = list(
        difflib.unified_diff(before.splitlines(), text.splitlines(), str(output), "as it should be", lineterm="")
    )
    for line in lines[:_MOST_LINES]:
        click.echo(printable(line))
    if len(lines) > _MOST_LINES:
        click.echo(f"… and {len(lines) - _MOST_LINES} more lines")
    return False


def _read(file: Path) -> str | None:
    """Return what a file holds; None if there is none."""
    try:
        return file.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _write(file: Path, text: str) -> None:
    """Write a file at once: who reads it meanwhile sees the old text or the new one."""
    made = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        made.write_bytes(text.encode())
        made.replace(file)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise OperatorError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from None
