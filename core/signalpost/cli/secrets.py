"""Hides secrets in everything that a command prints, whatever the source: tables, the log, tracebacks, plugins."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

import click

from signalpost.cli.streams import StreamProxy
from signalpost.places import SourceMap

Masked = Callable[[str], str]

# How many configurations' secrets are hidden: after a reload, running code may still log those of the one before.
_REMEMBERED = 3


class Hiding:
    """Filters the output of a process from its creation on."""

    def __init__(self) -> None:
        self._masks: deque[Masked] = deque(maxlen=_REMEMBERED)
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_masked_stream(stream, self.masked) for stream in self._streams)

    def hide(self, source: SourceMap) -> None:
        """Hide the secrets of a configuration from now on."""
        if source.has_secrets:
            self._masks.append(source.masked)

    def masked(self, text: str) -> str:
        """Replace every secret in a text by ``!secret name``."""
        for mask in self._masks:
            text = mask(text)
        return text

    def end(self) -> None:
        """Restore the process's own streams."""
        sys.stdout, sys.stderr = self._streams


class HiddenText(str):
    """A text in which secrets are hidden already: an object of JSON, which another look could break."""

    __slots__ = ()


class _MaskedStream(StreamProxy):
    """A text stream that hides secrets in each piece written, and otherwise behaves like the stream behind it."""

    def __init__(self, stream: TextIO, masked: Masked) -> None:
        super().__init__(stream)
        self._masked = masked

    def write(self, text: str) -> int:
        """Write a text; the returned length is that of the text as given."""
        self._stream.write(text if isinstance(text, HiddenText) else self._masked(text))
        return len(text)


@contextmanager
def hiding(ctx: click.Context) -> Iterator[None]:
    """Hide, while a command runs, the secrets of all configurations passed to `hide`."""
    ctx.obj = found = Hiding()
    try:
        yield
    except (SystemExit, click.exceptions.Exit, click.ClickException):
        found.end()
        raise
    # After any other exception it stays active, for the traceback that follows.
    found.end()


def hide(source: SourceMap) -> None:
    """Hide the secrets of a configuration in the output of the running command."""
    if found := _current():
        found.hide(source)


def masked(text: str) -> str:
    """Replace every secret in a text that is about to be printed by ``!secret name``."""
    found = _current()
    return found.masked(text) if found else text


def masked_by_command() -> Masked:
    """Return the function behind `masked` for the running command, in every thread."""
    found = _current()
    return found.masked if found else str


def _current() -> Hiding | None:
    ctx = click.get_current_context(silent=True)
    return ctx.find_object(Hiding) if ctx else None


def _masked_stream(stream: TextIO | None, masked: Masked) -> TextIO:
    """Wrap a stream; there is none if the parent process has closed it."""
    return cast("TextIO", stream if stream is None else _MaskedStream(stream, masked))
