"""The three standard streams: all there, whatever the process was started with, and none of them ends a server.

A descriptor that was closed (``run >&-``) would be the next socket's, and libuv aborts when it is given one of the
three; so it leads to nowhere instead. A pipe whose reader has gone, or a disk that is full, is no reason to stop
serving: what cannot be written is left out, and that is said once.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

LOG = logging.getLogger(__name__)

_NAMES = ("stdin", "stdout", "stderr")


def open_streams() -> None:
    """Open those standard streams that are closed; called before anything else is opened, and after imports of plugins.

    What a stream's encoding lacks, or what is no text at all (a file's name that is not UTF-8), is written as escapes.
    """
    for descriptor, name in enumerate(_NAMES):
        with suppress(OSError):
            _open_nowhere(descriptor)
            if getattr(sys, name) is None or getattr(getattr(sys, name), "closed", False):
                stream = open(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
                setattr(sys, name, stream)
    for written in (sys.stdout, sys.stderr):
        if reconfigure := getattr(written, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _open_nowhere(descriptor: int) -> None:
    """Let a descriptor that is closed lead to nowhere."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so most often this one
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        os.set_inheritable(descriptor, True)


class StreamProxy:
    """A text stream that writes in its own way (`write`), and is the stream behind it in all else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class LastingStream(StreamProxy):
    """A text stream whose writing never fails, and which is the stream behind it in all else.

    Args:
        stream: behind it.
        name: what the log calls it.

    """

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self._name = name
        self._failing = False
        self._waits = False  # whether something was taken since, and not refused yet

    def write(self, text: str) -> int:
        """Write a text, or leave it out."""
        if self._try(self._stream.write, text):
            self._waits = True
        return len(text)

    def flush(self) -> None:
        """Write what waits, if that can be written."""
        if self._try(self._stream.flush) and self._waits:
            self._failing = self._waits = False

    def end(self) -> None:
        """Write what waits; what cannot be written is given up, so that the process does not fail of it at its end."""
        self.flush()
        if self._failing:
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
                self._stream.flush()

    def _try(self, write: Any, *arguments: Any) -> bool:
        try:
            write(*arguments)
        except TypeError:  # who writes bytes is told so as ever: click asks in that way what a stream takes
            raise
        except Exception as error:  # noqa: BLE001 - gone, full, closed, or whatever a plugin has put there
            if not self._failing:
                self._failing = True  # before it is said, since that may come back here
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                LOG.warning("%s cannot be written (%s): what is printed there is lost", self._name, reason.lower())
            return False
        return True


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Let nothing that is printed in a block fail, whoever prints it."""
    before = sys.stdout, sys.stderr
    lasting = LastingStream(before[0], "standard output"), LastingStream(before[1], "standard error")
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", lasting)
    try:
        yield
    finally:
        for stream in lasting:
            stream.end()
        sys.stdout, sys.stderr = before


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
