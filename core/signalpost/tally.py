"""Counts that are told at once, then once a second at most: what happens a thousand times is a line, or a few."""

from collections.abc import Callable

PAUSE = 1.0
"""Seconds between two tellings, at least."""

FEW = 3
"""Lines that differ, and are told in that time."""


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


class LineTally:
    """Tells lines that differ at once, a few a second; what repeats, or is over that, is a count beside the latest.

    Args:
        tell: hears a line.
        call_later: runs a function after so many seconds (``loop.call_later``).

    """

    __slots__ = ("_call_later", "_count", "_latest", "_tell", "_told", "_waiting")

    def __init__(self, tell: Callable[[str], None], call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._tell = tell
        self._call_later = call_later
        self._told: set[str] = set()  # less than a second ago
        self._latest = ""
        self._count = 0
        self._waiting = False

    def add(self, line: str) -> None:
        """Tell a line, or count it."""
        if line in self._told or len(self._told) >= FEW:
            self._latest = line
            self._count += 1
        else:
            self._told.add(line)
            self._tell(line)
        self._wait()

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._call_later(PAUSE, self._tell_count)

    def _tell_count(self) -> None:
        count, self._count = self._count, 0
        self._waiting = False
        self._told = {self._latest} if count else set()
        if count:
            self._tell(self._latest if count == 1 else f"{self._latest}; so were {count - 1} more before it")
            self._wait()
