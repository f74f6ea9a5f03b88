"""The signals of the operating system, as ``signalpost run`` hears them."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event, Thread, main_thread
from types import FrameType

from signalpost.cli.blocking import place_of
from signalpost.cli.saying import say

_BLOCKED_AFTER = 1.0  # seconds in which any loop finishes a turn
_KILLED_BY_SIGNAL = 128  # what shells add to a signal's number


class ProcessSignals:
    """Ctrl-C and SIGTERM: the first one requests a stop, the second one ends the process. SIGHUP requests a reload.

    SIGHUP also arrives when the terminal of the process is closed. Then it requests a stop, as it would end any other
    program; a process that must outlive its terminal is started without one, or with nohup.

    The handlers are plain ones, not the loop's: a plugin that blocks the loop must not block these. They remain until
    the end of the process, since a plugin's thread may delay that after the loop is closed.
    """

    def __init__(self) -> None:
        self._told = False
        self._wake: Callable[[], object] | None = None
        self._asked = False
        self._ask: Callable[[], object] | None = None
        self._has_terminal = _has_terminal()
        self._awake = Event()  # the loop has seen the stop

    def install(self) -> None:
        """Install the signal handlers; in the main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def event(self) -> asyncio.Event:
        """Return the event that is set when the server must stop. Needs a running loop."""
        event = asyncio.Event()
        loop = asyncio.get_running_loop()

        def told() -> None:
            event.set()
            self._awake.set()

        self._wake = partial(loop.call_soon_threadsafe, told)
        if self._told:
            event.set()
        return event

    def reload_event(self) -> asyncio.Event:
        """Return the event that is set when a reload is requested. Needs a running loop."""
        event = asyncio.Event()
        self._ask = partial(asyncio.get_running_loop().call_soon_threadsafe, event.set)
        if self._asked:
            event.set()
        return event

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        if self._has_terminal and not _has_terminal():
            self._has_terminal = False  # the kernel and the shell may both send it, which is one stop
            self._stop(number, frame)
            return
        self._asked = True
        if self._ask is not None:
            with suppress(RuntimeError):
                self._ask()

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._told:
            # Not an exception: it would not get through code that does not end.
            os._exit(_KILLED_BY_SIGNAL + number)
        self._told = True
        if self._wake is not None:
            with suppress(RuntimeError):  # the loop is closed: the stop is under way already
                self._wake()
                Thread(target=self._say_if_blocked, daemon=True).start()

    def _say_if_blocked(self) -> None:
        """Print what blocks the loop, if it does: nothing else can do so then."""
        if not self._awake.wait(_BLOCKED_AFTER):
            where = place_of(sys._current_frames().get(main_thread().ident or 0))  # noqa: SLF001 - no other way
            say(f"stopping: waits for {where}, which blocks everything else; Ctrl-C again ends it now", err=True)


def _has_terminal() -> bool:
    """Return whether the process has a controlling terminal: a closed one cannot be opened any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
