"""Time for the waits of a room, its watch over a connection, and all that must come in time; tests replace it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol


class Clock(Protocol):
    """A clock."""

    def now(self) -> float:
        """Return a time in seconds, which also passes while the machine sleeps if the system can tell."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call a function once, so much later; return a function that prevents it."""


class SystemClock:
    """The clock of the system."""

    def __init__(self) -> None:
        # Python's monotonic clock stands still while a laptop sleeps, so that a dead connection would look alive.
        self._which: int | None = getattr(time, "CLOCK_BOOTTIME", None)

    def now(self) -> float:
        """See `Clock`."""
        return time.monotonic() if self._which is None else time.clock_gettime(self._which)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Clock`."""
        return asyncio.get_running_loop().call_later(seconds, callback).cancel


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait for so many seconds of a clock."""
    over = asyncio.Event()
    prevent = clock.call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        prevent()


@asynccontextmanager
async def within(clock: Clock, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
    """End a block after so many seconds of a clock; None is never.

    Raises:
        TimeoutError: the block was ended, and `expired` of what is given says so.
    """
    async with asyncio.timeout(None) as timeout:
        if seconds is None:
            yield timeout
            return
        now = asyncio.get_running_loop().time
        prevent = clock.call_later(seconds, lambda: timeout.reschedule(now()))
        try:
            yield timeout
        finally:
            prevent()
