"""A terminal with a line at its bottom that changes, below all that is printed.

Everything that the process prints by `sys.stdout` and `sys.stderr` goes above that line, and is never torn by it: the
line is erased before, and drawn again after it. There is such a line only where it can spoil nothing: both streams are
one terminal that can move its cursor, and a person reads it.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import RLock
from typing import TextIO, cast

from signalpost.cli.streams import StreamProxy

_ERASE = "\r\x1b[K"
_NARROWEST = 20  # columns


class Screen:
    """Draws the line. Threads may print at any time.

    Args:
        stream: of the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = RLock()
        self._text = ""
        self._drawn = False
        self._at_start = True  # the cursor is, but for the line, at the beginning of a row

    def show(self, text: str) -> None:
        """Replace the line; nothing is written if it is the same, or if the terminal takes nothing (after Ctrl-S)."""
        with self._lock:
            if text == self._text and self._drawn:
                return
            self._text = text
            if text:
                self._draw()
            else:
                self._erase()

    def forget(self) -> None:
        """Draw the line anew when it is shown next, though it is the same: others have written to the terminal."""
        self._drawn = False  # without the lock, which a thread may hold while a signal is handled

    def print(self, stream: TextIO, text: str) -> None:
        """Write a text to a stream of the terminal, above the line."""
        with self._lock:
            self._erase()
            stream.write(text)
            if text:
                self._at_start = text.endswith("\n")
            if self._text:
                stream.flush()  # a beginning of a row that waits in a buffer would come behind the line
                self._draw()

    def _draw(self) -> None:
        if self._at_start and self._is_in_front() and self._is_ready():
            with suppress(OSError, ValueError):
                columns = os.get_terminal_size(self._stream.fileno()).columns or _NARROWEST
                # The last column stays empty: some terminals go to the next row when it is written.
                self._stream.write(f"{_ERASE}{self._text[: columns - 1]}")
                self._stream.flush()
                self._drawn = True

    def _erase(self) -> None:
        if self._drawn and self._is_in_front():
            with suppress(OSError, ValueError):
                self._stream.write(_ERASE)
                self._stream.flush()
        self._drawn = False

    def _is_in_front(self) -> bool:
        """Return whether the terminal is this process's: in the background, the last row is the shell's."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):  # a terminal without a shell
            return True

    def _is_ready(self) -> bool:
        """Return whether a write would not wait, and the server with it."""
        try:
            return bool(select.select((), (self._stream,), (), 0)[1])
        except (OSError, ValueError):
            return False


class _Above(StreamProxy):
    """A stream of the terminal that prints above the line."""

    def __init__(self, stream: TextIO, screen: Screen) -> None:
        super().__init__(stream)
        self._screen = screen

    def write(self, text: str) -> int:
        """Write a text."""
        self._screen.print(self._stream, text)
        return len(text)


@contextmanager
def screen_of_process(*, wanted: bool = True) -> Iterator[Screen | None]:
    """Have all output of a block go above a line at the bottom; None if there can be none, and then nothing is done.

    Used in the main thread. The line comes back when the process does, after Ctrl-Z and ``fg``.
    """
    if not (wanted and has_screen(sys.stdout, sys.stderr, os.environ)):
        yield None
        return
    before = sys.stdout, sys.stderr
    screen = Screen(sys.stderr)
    sys.stdout, sys.stderr = (cast("TextIO", _Above(stream, screen)) for stream in before)
    continued = signal.signal(signal.SIGCONT, lambda *_: screen.forget())
    try:
        yield screen
    finally:
        signal.signal(signal.SIGCONT, continued)
        screen.show("")
        sys.stdout, sys.stderr = before


def has_screen(out: TextIO | None, err: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Return whether two streams are one terminal for a person.

    Args:
        out: standard output.
        err: standard error.
        environment: in which ``CI`` says that there is nobody, and ``TERM`` what kind of terminal it is.
    """
    if environment.get("CI") or environment.get("TERM", "dumb") in ("", "dumb"):
        return False
    try:
        if out is None or err is None or not (out.isatty() and err.isatty()):
            return False
        return os.path.samestat(os.fstat(out.fileno()), os.fstat(err.fileno()))
    except (AttributeError, OSError, ValueError):
        return False
