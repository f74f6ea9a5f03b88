"""Turns of the event loop: how many requests each handles, so that others are served in between.

Sanic's loop over the requests of a connection does not yield while there are bytes of another one, and what a thousand
connections send at once is handled in a single turn. So each request, and each part of a long body, waits for its turn
here.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

MOST = 8
"""Requests that one loop turn handles, while they are quick."""

LONG = 0.005
"""Seconds that the requests of one turn may take, before the next turn handles fewer."""


class Turns:
    """Schedules the requests of all connections, first come, first served, a few in each loop turn.

    While few arrive none waits, and nothing is called: a request in nine waits for the next turn. Quick requests run in
    groups of up to eight; a slow group halves the next one, down to one, and each quick group adds one to it.

    Args:
        call_soon: runs a function in the next loop turn (``loop.call_soon``).
        clock: returns monotonic seconds.
    """

    __slots__ = ("_began", "_call_soon", "_clock", "_left", "_loop", "_most", "_queue", "_scheduled")

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], object], clock: Callable[[], float] = monotonic
    ) -> None:
        self._call_soon = call_soon
        self._clock = clock
        self._queue: deque[asyncio.Future[None]] = deque()
        self._most = MOST
        self._left = MOST  # that run before any waits
        self._began: float | None = None  # when the group of this turn was started
        self._loop: asyncio.AbstractEventLoop | None = None  # looking it up takes longer than the rest
        self._scheduled = False

    def acquire(self) -> bool:
        """Use this turn at once if it has room; return False if it has none."""
        if self._left and not self._queue:
            self._left -= 1
            return True
        return False

    def place(self) -> "asyncio.Future[None]":
        """Return a future in the queue; it is done when its turn has come."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        turn = self._loop.create_future()
        self._queue.append(turn)
        self._schedule()
        return turn

    async def wait(self) -> None:
        """Wait for a turn; return at once if this one has room."""
        if not self.acquire():
            await self.place()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._next)

    def _next(self) -> None:
        """Begin a turn. The group that it starts runs right before this is called again."""
        self._scheduled = False
        if self._began is not None:
            took_long = self._clock() - self._began >= LONG
            self._most = max(1, self._most // 2) if took_long else min(MOST, self._most + 1)
            self._began = None
        self._left = self._most
        while self._queue and self._left:
            turn = self._queue.popleft()
            if not turn.done():  # its connection may have ended meanwhile
                turn.set_result(None)
                self._left -= 1
        if self._left < self._most:
            self._began = self._clock()
        if self._queue:
            self._schedule()
