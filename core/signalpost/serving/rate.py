"""How fast a client may send: a token bucket, filled by the clock when it is asked and never by a timer."""

from collections.abc import Callable

BURST = 1.0
"""Seconds' worth of messages that a client may send at once, after as long a silence."""


class Bucket:
    """One client's tokens; each message takes one.

    Args:
        rate: messages a second, above 0. What one second brings may come at once, and one message always may.
        clock: gives seconds that only grow (``loop.time``).

    """

    __slots__ = ("_clock", "_filled_at", "_most", "_rate", "_tokens")

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(1.0, rate * BURST)
        self._tokens = self._most
        self._filled_at = clock()

    def allow(self, rate: float) -> None:
        """Let it be filled at another rate from now on."""
        self.fill()
        self._rate = rate
        self._most = max(1.0, rate * BURST)
        self._tokens = min(self._tokens, self._most)

    def fill(self) -> None:
        """Put in what the time since the last filling has brought."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def take(self) -> bool:
        """Take one token; False when there is none."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    @property
    def wait(self) -> float:
        """Seconds from the last filling until there is a token; 0 when there is one."""
        return max(0.0, (1.0 - self._tokens) / self._rate)
