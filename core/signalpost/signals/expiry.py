"""Expiry: clients are told before their identity ends, and closed when it has.

Clients wait together, by the second: thousands with tokens of an hour cost one timer, and one who leaves is forgotten.
"""

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from typing import Protocol

from signalpost.delivery.client import Client

NOTICE = 60.0
"""Seconds before the end of an identity at which its client is told."""

_LONGEST_SLEEP = 60.0  # the system's clock may be set
_FEW = 64


class Expiring(Protocol):
    """The conversation of a client: a `signalpost.signals.conversation.Conversation`, which documents each."""

    client: Client

    def expire_soon(self, seconds: float) -> None:
        """Tell the client that its identity ends."""

    def expire(self) -> None:
        """Close the client: its identity has ended."""


class Expiries:
    """Watches the clients whose identity ends.

    Args:
        clock: returns the seconds since 1970.

    Attributes:
        leeway: seconds after the end of an identity in which its client may still show another one.
    """

    __slots__ = ("_at", "_clock", "_due", "_fires", "_seconds", "_timer", "_told", "leeway")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.leeway = 0.0
        self._at: dict[Expiring, int] = {}  # the second for which each client waits
        self._due: dict[int, dict[Expiring, None]] = {}  # none of them is empty
        self._seconds: list[int] = []  # a heap of the keys of `_due`, and of some that were
        self._told: set[Expiring] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._fires = 0.0  # when the timer does, by the loop's clock

    def __len__(self) -> int:
        """Return how many clients are watched."""
        return len(self._at)

    def left(self, expires: float) -> int:
        """Return the seconds that are left until a moment, in seconds since 1970."""
        return max(0, math.ceil(expires - self._clock()))

    def watch(self, guest: Expiring, *, renewed: bool = False) -> None:
        """Watch a client from now on, by the identity that it has now.

        Args:
            guest: its conversation.
            renewed: whether it has just shown this identity in place of another one. If that is about to end, too, the
                client is told when half of the time that is left is over: whoever has no better token would show this
                one again and again.
        """
        self.forget(guest)
        expires = guest.client.identity.expires
        if expires is None:
            return
        notice = expires - NOTICE
        if renewed:
            now = self._clock()
            notice = max(notice, now + (expires + self.leeway - now) / 2)
        self._wait(guest, notice)

    def forget(self, guest: Expiring) -> None:
        """Watch a client no longer; it may be unknown."""
        self._told.discard(guest)
        second = self._at.pop(guest, None)
        if second is None:
            return
        waiting = self._due[second]
        del waiting[guest]
        if not waiting:
            del self._due[second]
            self._clear()

    def stop(self) -> None:
        """Watch nobody any more."""
        self._stop_timer()
        self._at.clear()
        self._due.clear()
        self._seconds.clear()
        self._told.clear()

    def look(self) -> None:
        """Tell and close those whose time has come. Whatever happens to one of them, the others get their turn."""
        now = self._clock()
        self._stop_timer()
        try:
            while self._seconds and self._seconds[0] <= now:
                waiting = self._due.get(self._seconds[0])
                if waiting is None:
                    heapq.heappop(self._seconds)
                    continue
                guest, _ = waiting.popitem()
                del self._at[guest]
                if not waiting:
                    del self._due[heapq.heappop(self._seconds)]
                self._settle(guest, now)
        finally:
            self._sleep()

    def _settle(self, guest: Expiring, now: float) -> None:
        expires = guest.client.identity.expires
        if expires is None or now >= expires + self.leeway:
            self._told.discard(guest)
            if expires is not None:
                guest.expire()
            return
        self._wait(guest, expires + self.leeway)  # first: a client that is told may turn out to be gone
        if guest not in self._told:
            self._told.add(guest)
            guest.expire_soon(max(0.0, expires - now))

    def _wait(self, guest: Expiring, until: float) -> None:
        second = math.ceil(until)
        self._at[guest] = second
        waiting = self._due.get(second)
        if waiting is None:
            waiting = self._due[second] = {}
            heapq.heappush(self._seconds, second)
        waiting[guest] = None
        if self._seconds[0] == second:
            self._sleep()

    def _clear(self) -> None:
        """Let go of seconds for which nobody waits, once they are many: tokens end at any time, far in the future."""
        if len(self._seconds) > _FEW + 2 * len(self._due):
            self._seconds = list(self._due)
            heapq.heapify(self._seconds)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sleep(self) -> None:
        """Wait until the first of them is due. A timer that fires before that stays: most clients leave in time."""
        while self._seconds and self._seconds[0] not in self._due:
            heapq.heappop(self._seconds)
        if not self._seconds:
            return
        loop, seconds = asyncio.get_running_loop(), min(max(0.0, self._seconds[0] - self._clock()), _LONGEST_SLEEP)
        fires = loop.time() + seconds
        if self._timer is None or fires < self._fires:
            self._stop_timer()
            self._timer, self._fires = loop.call_later(seconds, self.look), fires
