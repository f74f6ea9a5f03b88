"""The signals that were received and not read: a bounded queue that makes the receiver wait."""

import asyncio
from collections import deque
from collections.abc import Callable

from signalpost.client.values import Gap, Signal


class Unread:
    """Signals and gaps in their order.

    Args:
        most: how many may wait before the receiver does.
        beyond: returns whether the receiver goes on nevertheless.
    """

    def __init__(self, most: int, beyond: Callable[[], bool]) -> None:
        self._most = most
        self._beyond = beyond
        self._items: deque[Signal | Gap] = deque()
        self._some = asyncio.Event()
        self._space = asyncio.Event()
        self._ended = False
        self.waiting = False
        """Whether the receiver waits for a reader."""

    async def put(self, item: Signal | Gap) -> None:
        """Add an item, then wait until there is space for another one."""
        self._items.append(item)
        self._some.set()
        try:
            while self._full():
                self.waiting = True
                self._space.clear()
                await self._space.wait()
        finally:
            self.waiting = False

    async def get(self) -> Signal | Gap | None:
        """Return the next item, waiting for one; None if none will come."""
        while not self._items:
            if self._ended:
                return None
            self._some.clear()
            await self._some.wait()
        item = self._items.popleft()
        if not self._full():
            self._space.set()
        return item

    def look(self) -> None:
        """Called when `beyond` may have become true."""
        if not self._full():
            self._space.set()

    def end(self) -> None:
        """Called when nothing will come any more; what is there can still be read."""
        self._ended = True
        self._some.set()
        self._space.set()

    def _full(self) -> bool:
        return len(self._items) >= self._most and not self._ended and not self._beyond()
