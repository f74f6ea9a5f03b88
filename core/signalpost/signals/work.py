"""What is under way by one plan, so that its plugins are not shut down beneath it."""

import asyncio


class Work:
    """Counts what has been begun by one plan and is not done: messages, requests, runs of jobs.

    A message counts from when it is accepted, though it may wait for its turn. When another plan takes over, nothing
    more is begun here, and the count goes to zero.

    Attributes:
        open: how much is under way.

    """

    __slots__ = ("_over", "open")

    def __init__(self) -> None:
        self.open = 0
        self._over: asyncio.Event | None = None  # while somebody waits

    def begin(self) -> None:
        """Count one more."""
        self.open += 1

    def end(self, _task: object = None) -> None:
        """Count one less; a task's done callback may do that."""
        self.open -= 1
        if not self.open and self._over is not None:
            self._over.set()

    def abandon(self) -> None:
        """Let whoever waits go on: what is under way is not waited for."""
        if self._over is not None:
            self._over.set()

    async def over(self, patience: float) -> bool:
        """Wait until nothing is under way; False when it still is after `patience` seconds, or was abandoned."""
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
