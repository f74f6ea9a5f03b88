"""Counters that report at once, then at most once a second: what happens a thousand times is a line, or a few."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

PAUSE = 1.0
"""Minimum of seconds between two reports."""

FEW = 3
"""Different lines that are reported in that time."""


def call_later(seconds: float, function: Callable[[], None]) -> object:
    """Run a function after a number of seconds, on the loop that runs then."""
    return asyncio.get_running_loop().call_later(seconds, function)


class Tally:
    """Counts events, and reports all of them.

    Args:
        tell: called with the count since the last report.
        call_later: runs a function after a number of seconds (``loop.call_later``).
    """

    __slots__ = ("_call_later", "_count", "_quiet", "_tell")

    def __init__(self, tell: Callable[[int], None], call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._tell = tell
        self._call_later = call_later
        self._count = 0
        self._quiet = False  # the last report was less than a second ago

    def add(self, count: int = 1) -> None:
        """Count an event."""
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
    """Reports different lines at once, a few per second; repeated or further ones are a count beside the latest.

    Args:
        tell: called with a line, and what was added with it.
        call_later: runs a function after a number of seconds (``loop.call_later``).
    """

    __slots__ = ("_call_later", "_count", "_latest", "_more", "_tell", "_told", "_waiting")

    def __init__(self, tell: Callable[..., None], call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._tell = tell
        self._call_later = call_later
        self._told: set[str] = set()  # reported less than a second ago
        self._latest = ""
        self._more: Mapping[str, Any] = {}  # of the latest
        self._count = 0
        self._waiting = False

    def add(self, line: str, **more: Any) -> None:
        """Report a line, or count it; `more` is passed on with it."""
        if line in self._told or len(self._told) >= FEW:
            self._latest, self._more = line, more
            self._count += 1
        else:
            self._told.add(line)
            self._tell(line, **more)
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
            latest = self._latest if count == 1 else f"{self._latest}; so were {count - 1} more before it"
            self._tell(latest, **self._more)
            self._wait()
