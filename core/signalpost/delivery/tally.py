"""A count that is told at once, and after that once a second at most: what happens a thousand times is one line."""

from collections.abc import Callable

PAUSE = 1.0
"""Seconds between two tellings, at least."""


class Tally:
    """Counts what happens, and leaves nothing of it untold.

    Args:
        tell: hears how often it happened since it was told last.
        call_later: runs a function after so many seconds (``loop.call_later``).

    """

    __slots__ = ("_call_later", "_count", "_quiet", "_tell")

    def __init__(self, tell: Callable[[int], None], call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._tell = tell
        self._call_later = call_later
        self._count = 0
        self._quiet = False  # it was told less than a second ago

    def add(self, count: int = 1) -> None:
        """Count."""
        self._count += count
        if not self._quiet:
            self._tell_all()

    def _tell_all(self) -> None:
        count, self._count = self._count, 0
        self._quiet = count > 0
        if self._quiet:
            self._tell(count)
            self._call_later(PAUSE, self._tell_all)
