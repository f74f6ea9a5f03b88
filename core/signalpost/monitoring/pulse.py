"""The pulse: how late the event loop is at what should happen on time."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

EVERY: Final = 0.5
"""Seconds between two beats."""

REMEMBERED: Final = 60
"""Beats whose delay is remembered: half a minute, so that a scrape every 15 s misses none."""


class Handle(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel it."""


class Pulse:
    """Measures the delay of a timer in the loop.

    Args:
        clock: returns the seconds of the loop (``loop.time``).
        call_later: runs a function after a number of seconds (``loop.call_later``).
    """

    def __init__(self, clock: Callable[[], float], call_later: Callable[[float, Callable[[], None]], Handle]) -> None:
        self._clock = clock
        self._call_later = call_later
        self._delays: deque[float] = deque(maxlen=REMEMBERED)
        self._due = 0.0
        self._handle: Handle | None = None

    @property
    def lag(self) -> float:
        """The largest delay in seconds that is remembered; a delay that has not ended counts, too."""
        return max((*self._delays, self._now_late), default=0.0)

    @property
    def _now_late(self) -> float:
        return max(0.0, self._clock() - self._due) if self._handle is not None else 0.0

    def start(self) -> None:
        """Begin to measure; without effect if it has begun."""
        if self._handle is None:
            self._schedule()

    def stop(self) -> None:
        """Measure no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._delays.clear()

    def _schedule(self) -> None:
        self._due = self._clock() + EVERY
        self._handle = self._call_later(EVERY, self._beat)

    def _beat(self) -> None:
        self._delays.append(max(0.0, self._clock() - self._due))
        self._schedule()
