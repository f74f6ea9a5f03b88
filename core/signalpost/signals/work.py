"""Work under way by one plan: its plugins must not be shut down before it is done."""

import asyncio


class Work:
    """Counts work that one plan has started and not finished: messages, requests, runs of jobs.

    A message counts from when it is accepted, even while it waits for its turn. When another plan takes over, nothing
    more is started here, and the count falls to zero.

    Attributes:
        open: how much is under way.
    """

    __slots__ = ("_over", "open")

    def __init__(self) -> None:
        self.open = 0
        self._over: asyncio.Event | None = None  # while a caller waits

    def begin(self) -> None:
        """Add one."""
        self.open += 1

    def end(self, _task: object = None) -> None:
        """Subtract one; may be the done callback of a task."""
        self.open -= 1
        if not self.open and self._over is not None:
            self._over.set()

    def abandon(self) -> None:
        """Release the callers of `over`: what is under way is not waited for."""
        if self._over is not None:
            self._over.set()

    async def over(self, patience: float) -> bool:
        """Wait until nothing is under way; return False if work remains after `patience` seconds, or was abandoned."""
        if self.open:
            self._over = asyncio.Event()
            try:
                async with asyncio.timeout(patience):
                    await self._over.wait()
            except TimeoutError:
                pass
            finally:
                self._over = None
        return not self.open
