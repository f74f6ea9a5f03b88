"""When a feed that is away is tried again: pure, with clock and chance from outside."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

SOONEST = 0.5
"""Seconds before the next try, at least."""

FIRST_BOUND, LAST_BOUND = 2.0, 60.0
"""Seconds before the next try, at most: after the first failure, and after many."""

STEADY = 60.0
"""Seconds of a connection after which it counts as sound, even if nothing came."""

MOST_ASKED = 3600.0
"""Seconds that a server may ask to be left alone; one that asks for more is tried again then."""

_LONGEST_DATE = 100  # characters; those of RFC 9110 have 29


@dataclass(frozen=True, slots=True)
class Pace:
    """The time and the chance of feeds.

    Attributes:
        wait: waits for a number of seconds.
        clock: monotonic seconds from any start.
        wall: the time of day, in UTC.
        chance: returns a number from 0 to 1.
    """

    wait: Callable[[float], Awaitable[Any]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    chance: Callable[[], float] = random.random


class Backoff:
    """The seconds before each try: anywhere between half a second and a bound that doubles with each failure.

    Many servers that lose one feed at the same moment so come back one by one.

    Args:
        chance: see `Pace`.
    """

    __slots__ = ("_bound", "_chance")

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._bound = FIRST_BOUND

    def reset(self) -> None:
        """Begin anew with the shortest bound: the feed was sound."""
        self._bound = FIRST_BOUND

    def next(self, asked: float = 0.0) -> float:
        """Return the seconds before the next try.

        Args:
            asked: that the server has asked for; the own wait follows them.
        """
        bound, self._bound = self._bound, min(2 * self._bound, LAST_BOUND)
        return min(asked, MOST_ASKED) + SOONEST + self._chance() * (bound - SOONEST)


def seconds_asked(retry_after: str, now: datetime) -> float:
    """Return the seconds that a header Retry-After asks for (RFC 9110 section 10.2.3); 0 if it cannot be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text[:_LONGEST_DATE])
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
