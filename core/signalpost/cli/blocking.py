"""Logs what blocks the loop while it does: nothing else would report code that never returns.

A separate thread requests an answer from the loop once a second, at no cost for requests. Code that holds Python's lock
all the time (a slow regular expression, a huge power) blocks this thread, too, and is logged when it is over
(`signalpost.foreign`).
"""

import asyncio
import logging
import os
import sys
import sysconfig
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures.thread import ThreadPoolExecutor, _worker
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, get_ident, main_thread
from threading import enumerate as enumerate_threads
from time import monotonic, sleep
from types import FrameType
from typing import Any, TypeVar

from signalpost.cli.saying import say
from signalpost.cli.standing import standing
from signalpost.foreign import Code
from signalpost.words import printable

LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

FIRST = 3.0
"""Seconds after which the code that blocks the loop is logged, and again after ten times as long."""

EVERY = 1.0
"""Seconds between two requests for an answer."""

PATIENCE = 2.0
"""Seconds in which stopped threads must end."""

_AGAIN = 10


class LoopWatch(Thread):
    """Requests answers from a loop, and logs what it runs if none arrives.

    Args:
        ask: schedules a function call in the loop.
        ident: of the loop's thread.
        first: seconds until blocking code is logged.
        every: seconds between two requests.
    """

    def __init__(self, ask: Callable[[Callable[[], None]], object], ident: int, first: float, every: float) -> None:
        super().__init__(name="signalpost watches the loop", daemon=True)
        self._ask = ask
        self._watched = ident
        self._first = first
        self._every = every
        self._over = Event()
        self._answered = Event()

    def run(self) -> None:
        """Send requests until it is over."""
        while not self._over.is_set():
            with standing("what blocks the loop is not named any more"), suppress(RuntimeError):  # the loop is closed
                self._answered.clear()
                self._ask(self._answered.set)
                self._wait()
            self._over.wait(self._every)

    def end(self) -> None:
        """Stop the requests; the thread ends by itself."""
        self._over.set()
        self._answered.set()

    def _wait(self) -> None:
        """Wait for an answer, and log what the loop runs instead."""
        seconds, patience = 0.0, self._first
        while not self._over.is_set():
            before = monotonic()
            if self._answered.wait(self._every):
                return
            # A process that was suspended has blocked nothing: only the waiting time of this thread counts.
            seconds += min(monotonic() - before, 2 * self._every)
            if seconds >= patience:
                patience *= _AGAIN
                where = place_of(sys._current_frames().get(self._watched))  # noqa: SLF001 - no other way
                LOG.warning("the loop has been blocked for %.0f s by %s: nobody is served meanwhile", seconds, where)


async def watched(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Await a coroutine, and watch the running loop meanwhile."""
    watch = LoopWatch(asyncio.get_running_loop().call_soon_threadsafe, get_ident(), FIRST, EVERY)
    watch.start()
    try:
        return await coroutine
    finally:
        watch.end()


def say_what_keeps_the_process() -> None:
    """Print, a moment after the server has stopped, which threads the process still waits for: nothing else would."""
    Thread(target=_say_what_keeps_the_process, daemon=True).start()


def _say_what_keeps_the_process() -> None:
    sleep(PATIENCE)
    frames = sys._current_frames()  # noqa: SLF001 - no other way
    left = [each for each in enumerate_threads() if not each.daemon and each is not main_thread()]
    busy = [(each, frame) for each in left if not _is_idle(frame := frames.get(each.ident or 0))]
    found = [f'"{printable(each.name)}", which is at {place_of(frame)}' for each, frame in busy]
    if found:
        more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
        say(f"stopped; waits for the thread {found[0]}{more}; Ctrl-C again ends it now", err=True)


def place_of(frame: FrameType | None) -> str:
    """Return the name of the plugin's code that a thread runs, with the line, through all that it has called."""
    frames = list(_outwards(frame))
    code = next((found for each in frames if (found := _code_of(each)) is not None), None)
    at = next(filter(_is_theirs, frames), frames[0] if frames else None)
    if code is not None:
        file = code.where.rpartition(":")[0]
        at = next((each for each in frames if each.f_code.co_filename == file), at)
    line = "" if at is None else f"{at.f_code.co_name} ({at.f_code.co_filename}:{at.f_lineno})"
    if code is None:
        return printable(line or "what it is at")
    return printable(f"{code}, which is at {line}" if line else str(code))


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _code_of(frame: FrameType) -> Code | None:
    """Return the plugin's code that a frame of the guard around it runs."""
    if frame.f_globals.get("__name__") != Code.__module__:
        return None
    found = frame.f_locals.get("self")
    return found if isinstance(found, Code) else None


def _is_idle(frame: FrameType | None) -> bool:
    """Return whether a thread ends with the process: an idle one of a pool, or one that ends such a pool."""
    ending = (ThreadPoolExecutor.shutdown.__code__, _worker.__code__)
    return frame is None or frame.f_code is ending[1] or any(each.f_code is ending[0] for each in _outwards(frame))


def _is_theirs(frame: FrameType) -> bool:
    """Return whether a frame is in a file of the app: not ours, of an installed package, or of Python itself."""
    ours = f"{Path(__file__).parents[1]}{os.sep}"
    others = (ours, "<", sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    return not frame.f_code.co_filename.startswith(others)
