"""Who is told what: functions by the kind of what they want to know."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any

LOG = logging.getLogger("signalpost.client")

KINDS = ("bye", "close", "error", "expiring", "frame", "gap", "lagged", "presence", "state", "welcome")

Listener = Callable[..., object]


class Listeners:
    """The listeners of one room, each a plain or a coroutine function."""

    def __init__(self) -> None:
        self._by_kind: dict[str, list[Listener]] = {kind: [] for kind in KINDS}
        self._own: set[asyncio.Task[None]] = set()
        self._theirs: set[asyncio.Task[None]] = set()

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
                self._start(_finished(done), f"a listener of {kind} failed", self._theirs)

    async def tell_in_turn(self, kind: str, what: Any) -> None:
        """Call the listeners of a kind, and wait for each; what they raise is raised."""
        for listener in tuple(self._by_kind[kind]):
            done = listener(what)
            if inspect.isawaitable(done):
                await done

    def beside(self, work: Coroutine[Any, Any, None], complaint: str) -> None:
        """Run something of the room's own beside it; what fails is logged."""
        self._start(work, complaint, self._own)

    def stop(self) -> None:
        """Cancel what the room itself runs; listeners come to their end."""
        for task in self._own:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None], complaint: str, among: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(lambda done: self._is_done(done, complaint, among))

    def _is_done(self, task: asyncio.Task[None], complaint: str, among: set[asyncio.Task[None]]) -> None:
        among.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error(complaint, exc_info=error)


async def _finished(work: Any) -> None:
    await work
