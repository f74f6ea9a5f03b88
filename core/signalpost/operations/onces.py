"""What was done once, by texts of callers: a repeat is given the same answer, and nothing is done."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

ONCE_SECONDS = 600
"""Seconds for which a text is known."""

MOST_ONCES = 20_000
"""Texts that are known; the oldest is forgotten for a further one."""

Answer = Mapping[str, Any]


class _Done(NamedTuple):
    until: float
    task: "asyncio.Task[Answer]"


class Onces:
    """Remembers what was done, or is under way.

    Args:
        clock: returns monotonic seconds.
        most: texts that are known.
    """

    def __init__(self, clock: Callable[[], float], most: int = MOST_ONCES) -> None:
        self._clock = clock
        self._most = most
        self._done: OrderedDict[str, _Done] = OrderedDict()

    def __len__(self) -> int:
        """Return how many texts are known."""
        return len(self._done)

    def find(self, key: str) -> "asyncio.Task[Answer] | None":
        """Return what is done by a key; None if nothing is, or if it has failed."""
        self._forget(self._clock())
        known = self._done.get(key)
        return None if known is None else known.task

    def keep(self, key: str, doing: Coroutine[Any, Any, Answer]) -> "asyncio.Task[Answer]":
        """Remember what is done by a key, and return it. It is over also if nobody waits for it any more."""
        now = self._clock()
        while len(self._done) >= self._most:
            self._done.popitem(last=False)
        task = asyncio.get_running_loop().create_task(doing)
        self._done[key] = _Done(now + ONCE_SECONDS, task)
        task.add_done_callback(lambda _: self._judge(key, task))
        return task

    def _judge(self, key: str, task: "asyncio.Task[Answer]") -> None:
        """Forget what has failed: it may be tried again."""
        failed = task.cancelled() or task.exception() is not None
        if failed and (known := self._done.get(key)) is not None and known.task is task:
            del self._done[key]

    def _forget(self, now: float) -> None:
        while self._done:
            key, oldest = next(iter(self._done.items()))
            if oldest.until > now:
                return
            del self._done[key]
