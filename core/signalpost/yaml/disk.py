"""Reads the text of a YAML file from disk: UTF-8, and limited in size."""

import os
from itertools import islice
from pathlib import Path

from signalpost.errors import ConfigError, Problem
from signalpost.existence import reason
from signalpost.words import nearest, quoted
from signalpost.yaml.bounds import MAX_CHARACTERS

# In UTF-8 a character is at most four bytes: a longer file has too many characters.
_MAX_BYTES = 4 * MAX_CHARACTERS
_MOST_LOOKED_AT = 1_000  # maximum of entries of a folder that are read
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path, name: str) -> str:
    """Return a file's text without a byte order mark; of a file that is too long, only enough to detect that.

    Args:
        path: of the file.
        name: of the file for the user.

    Raises:
        ConfigError: it cannot be read, or is not text; contains that one problem.
    """
    data = _read(path, name)
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ConfigError((_undecodable(name, data, error.start),)) from None


def _read(path: Path, name: str) -> bytes:
    try:
        with open(path, "rb", opener=_at_once) as file:
            return file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        text = _missing(path)
    except IsADirectoryError:
        text = "this is a folder; name the routes.yaml in it"
    except OSError as error:
        text = f"cannot be read: {reason(error)}"
    except ValueError:
        text = "a file's name has no null characters"
    raise ConfigError((Problem(name, 0, 0, "", text),))


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting: opening a pipe without a writer would wait forever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _missing(path: Path) -> str:
    """Return the problem that the file does not exist, with the one that was probably meant."""
    try:
        with os.scandir(path.parent) as entries:
            there = [each.name for each in islice(entries, _MOST_LOOKED_AT) if each.name.endswith((".yaml", ".yml"))]
    except (OSError, ValueError):
        there = []
    near = nearest(path.name, sorted(there))
    if near is not None:
        return f"no such file; there is {quoted(near)}: name that one, or call it {quoted(path.name)}"
    return "no such file; `signalpost new FOLDER` makes an app with one"


def _undecodable(name: str, data: bytes, start: int) -> Problem:
    if data.startswith(_UTF16_MARKS):
        return Problem(name, 0, 0, "", "the file is UTF-16; save it as UTF-8")
    before = data[:start]
    line_start = before.rfind(b"\n") + 1
    source = data[line_start:].split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")
    column = len(before[line_start:].decode()) + 1
    text = f"the file is not UTF-8 text (byte 0x{data[start]:02X}); save it as UTF-8"
    return Problem(name, before.count(b"\n") + 1, column, "", text, source)
