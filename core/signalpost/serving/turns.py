"""Turns of the event loop: how many requests are taken in each, so that others are served in between.

Sanic's loop over the requests of a connection does not give way while there are bytes of a further one, and what a
thousand connections send at once is handled in a single turn. So each request, and each part of a long body, waits for
its turn here.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

MOST = 8
"""Requests that one turn of the loop takes, while they are quick."""

LONG = 0.005
"""Seconds that the requests of one turn may take, before fewer are taken in the next."""


class Turns:
    """Lets requests of all connections through, first come, first served, a few in each turn of the loop.

    While few come nobody waits. What is quick goes in groups of up to eight; a turn that took long halves the group,
    down to one, and each quick one adds one to it.

    Args:
        call_soon: runs a function in the loop's next turn (``loop.call_soon``).
        clock: gives seconds that only grow.

    """

    __slots__ = ("_began", "_call_soon", "_clock", "_left", "_most", "_queue", "_scheduled")

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], object], clock: Callable[[], float] = monotonic
    ) -> None:
        self._call_soon = call_soon
        self._clock = clock
        self._queue: deque[asyncio.Future[None]] = deque()
        self._most = MOST
        self._left = MOST
        self._began: float | None = None  # when the first request of this turn was taken
        self._scheduled = False

    async def wait(self) -> None:
        """Wait for a turn; return at once where this one has room."""
        if self._queue or not self._has_room():
            turn = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            self._schedule()
            await turn
        else:
            self._left -= 1
            self._schedule()
        if self._began is None:
            self._began = self._clock()

    def _has_room(self) -> bool:
        return self._left > 0 and (self._began is None or self._clock() - self._began < LONG)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._next)

    def _next(self) -> None:
        """Begin a turn. Those that it lets go run right before this is called again, and nothing comes between."""
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
        if self._queue or self._left < self._most:
            self._schedule()
