"""The three standard streams: always open, however the process was started, and none of them ends a server.

A closed descriptor (``run >&-``) would be reused for the next socket, and libuv aborts if it gets one of the three; so
it is opened on the null device instead. A pipe without a reader, or a full disk, must not stop the server: what cannot
be written is dropped, and that is logged once.
"""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, cast

LOG = logging.getLogger(__name__)

_NAMES = ("stdin", "stdout", "stderr")


def open_streams() -> None:
    """Open closed standard streams; called before anything else is opened, and after imports of plugins.

    Characters that a stream's encoding lacks, or invalid text (a file's name that is not UTF-8), are written as
    escapes.
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
    """Open a closed descriptor on the null device."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest free one, so usually this one
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        os.set_inheritable(descriptor, True)


class StreamProxy:
    """A text stream with its own `write`, which otherwise behaves like the stream behind it."""

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
    """A text stream whose writes never fail, and which otherwise behaves like the stream behind it.

    Args:
        stream: behind it.
        name: of the stream in the log.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self._name = name
        self._failing = False
        self._waits = False  # whether a write has succeeded since the last failure

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        if self._try(self._stream.write, text):
            self._waits = True
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        if self._try(self._stream.flush) and self._waits:
            self._failing = self._waits = False

    def end(self) -> None:
        """Flush; drop what cannot be written, so that the process does not fail at its end."""
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
        except TypeError:  # a writer of bytes gets the error as usual: click tests a stream that way
            raise
        except Exception as error:  # noqa: BLE001 - gone, full, closed, or whatever a plugin has put there
            if not self._failing:
                self._failing = True  # before the log line, which may come back here
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                LOG.warning("%s cannot be written (%s): what is printed there is lost", self._name, reason.lower())
            return False
        return True


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Make all output in a block unable to fail, whatever prints it."""
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


@contextmanager
def plugins_print_to_stderr() -> Iterator[None]:
    """Redirect stdout to stderr for the length of a block, also for writes to the descriptor and child processes."""
    _flush()
    saved = _led_away()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, _OUT)
            os.close(saved)


def end_output() -> None:
    """Redirect stdout to stderr from now on: the command's output is complete, without what plugins print at exit."""
    _flush()
    sys.stdout = sys.stderr
    saved = _led_away()
    if saved is not None:
        os.close(saved)


def _led_away() -> int | None:
    """Redirect the descriptor of stdout to stderr, and return the old one; None if either is closed."""
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
        with suppress(OSError, ValueError):
            sys.stdout.flush()
