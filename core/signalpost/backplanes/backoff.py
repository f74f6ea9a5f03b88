"""When a server that is away is tried again."""

import time
from collections.abc import Callable

FIRST, LAST = 0.1, 2.0
"""Seconds before the next try, at most: after the first failure, and after many."""

STEADY = 5.0
"""Seconds of a connection after which it counts as sound."""


class Backoff:
    """The seconds before each try: between half a bound and the bound, which doubles each time.

    Many nodes that lose one server at the same moment so come back one by one.

    Args:
        chance: returns a number from 0 to 1.
        clock: monotonic seconds.
    """

    def __init__(self, chance: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._chance = chance
        self._clock = clock
        self._bound = FIRST
        self._since: float | None = None

    def connected(self) -> None:
        """Called when a try was successful."""
        self._since = self._clock()

    def next(self) -> float:
        """Return the seconds before the next try; short ones again after a connection that was steady."""
        if self._since is not None and self._clock() - self._since >= STEADY:
            self._bound = FIRST
        self._since = None
        bound, self._bound = self._bound, min(2 * self._bound, LAST)
        return bound * (1 + self._chance()) / 2
