"""Who is told what: functions by the kind of what they want to know."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any

LOG = logging.getLogger("signalpost.client")

KINDS = ("bye", "close", "error", "frame", "gap", "lagged", "presence", "state", "welcome")

Listener = Callable[..., object]


class Listeners:
    """The listeners of one room, each a plain or a coroutine function."""

    def __init__(self) -> None:
        self._by_kind: dict[str, list[Listener]] = {kind: [] for kind in KINDS}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, kind: str, listener: Listener) -> Callable[[], None]:
        """Add one, and return a function that removes it.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in self._by_kind:
            raise ValueError(f'there is nothing called "{kind}" to listen to (known: {", ".join(KINDS)})')
        self._by_kind[kind].append(listener)

        def remove() -> None:
            if listener in self._by_kind[kind]:
                self._by_kind[kind].remove(listener)

        return remove

    def has(self, kind: str) -> bool:
        """Return whether anybody listens."""
        return bool(self._by_kind[kind])

    def tell(self, kind: str, *what: Any) -> None:
        """Call the listeners of a kind; what a coroutine function does goes on beside, and what fails is logged."""
        for listener in tuple(self._by_kind[kind]):
            try:
                done = listener(*what)
            except Exception:
                LOG.exception("a listener of %s failed", kind)
                continue
            if inspect.isawaitable(done):
                self.beside(_finished(done), f"a listener of {kind} failed")

    async def tell_in_turn(self, kind: str, what: Any) -> None:
        """Call the listeners of a kind, and wait for each; what they raise is raised."""
        for listener in tuple(self._by_kind[kind]):
            done = listener(what)
            if inspect.isawaitable(done):
                await done

    def beside(self, work: Coroutine[Any, Any, None], complaint: str) -> None:
        """Run something beside the room; what fails is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._is_done(done, complaint))

    def stop(self) -> None:
        """Cancel what runs beside the room, but for the task that calls this."""
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()

    def _is_done(self, task: asyncio.Task[None], complaint: str) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error(complaint, exc_info=error)


async def _finished(work: Any) -> None:
    await work
