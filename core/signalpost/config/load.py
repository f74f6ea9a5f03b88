"""Reads routes.yaml from disk."""

import os
from pathlib import Path

from signalpost.config.check import judge_config
from signalpost.config.doubts import Doubts
from signalpost.config.model import ServerConfig
from signalpost.config.tree import MAX_CHARACTERS
from signalpost.errors import ConfigError, Problem

# Of UTF-8, a character is at most four bytes: whatever is longer holds too many characters.
_MAX_BYTES = 4 * MAX_CHARACTERS
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def load_config(file: str | Path) -> ServerConfig:
    """Read and check a routes.yaml.

    Raises:
        ConfigError: with every problem that could be found, in the order of their places.

    """
    config, doubts = read_config(file)
    if config is None or doubts.problems:
        raise ConfigError(doubts.problems)
    return config


def read_config(file: str | Path) -> tuple[ServerConfig | None, Doubts]:
    """Read of a routes.yaml what can be read: see `judge_config`.

    Raises:
        ConfigError: the file cannot be read at all.

    """
    name = str(file)
    data = _read(name)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError((_undecodable(name, data, error.start),)) from None
    return judge_config(text, file=name, folder=Path(os.path.abspath(name)).parent)  # noqa: PTH100 - keeps symlinks


def _read(name: str) -> bytes:
    """Return the file's bytes; of a file that is too long, enough to know that."""
    try:
        with Path(name).open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        text = "no such file; `signalpost new FOLDER` makes an app with one"
    except IsADirectoryError:
        text = "this is a folder; name the routes.yaml in it"
    except OSError as error:
        text = f"cannot be read: {(error.strerror or 'unknown error').lower()}"
    except ValueError:
        text = "a file's name has no null characters"
    raise ConfigError((Problem(name, 0, 0, "", text),))


def _undecodable(name: str, data: bytes, start: int) -> Problem:
    if data.startswith(_UTF16_MARKS):
        return Problem(name, 0, 0, "", "the file is UTF-16; save it as UTF-8")
    before = data[:start]
    line_start = before.rfind(b"\n") + 1
    source = data[line_start:].split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")
    column = len(before[line_start:].decode()) + 1
    text = f"the file is not UTF-8 text (byte 0x{data[start]:02X}); save it as UTF-8"
    return Problem(name, before.count(b"\n") + 1, column, "", text, source)
