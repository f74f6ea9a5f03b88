"""Keeps what plugins print out of a command's output: that is on stdout, and may be JSON that a program reads."""

import contextlib
import os
import sys
from collections.abc import Iterator

_OUT, _ERR = 1, 2


@contextlib.contextmanager
def plugins_print_to_stderr() -> Iterator[None]:
    """Lead stdout to stderr for the length of a block, also for what writes to the descriptor or inherits it."""
    _flush()
    saved = _led_away()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, _OUT)
            os.close(saved)


def end_output() -> None:
    """Lead stdout to stderr from now on: the command has said all, and what plugins do at exit is no part of that."""
    _flush()
    sys.stdout = sys.stderr
    saved = _led_away()
    if saved is not None:
        os.close(saved)


def _led_away() -> int | None:
    """Point the descriptor of stdout to stderr, and return what it was; None where either is closed."""
    try:
        saved = os.dup(_OUT)
    except OSError:
        return None
    try:
        os.dup2(_ERR, _OUT)
    except OSError:
        os.close(saved)
        return None
    return saved


def _flush() -> None:
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
