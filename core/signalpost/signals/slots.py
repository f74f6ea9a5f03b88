"""How many handlers may run at once, over all clients of a server, and which one is next."""

from collections import deque
from typing import Protocol


class Waiter(Protocol):
    """A waiter for a slot."""

    def proceed(self) -> bool:
        """Use the slot that is free now; return False if it is no longer needed."""


class HandlerSlots:
    """A number of slots, and a first-in, first-out queue of waiters.

    Args:
        number: of slots; at least 1.
    """

    __slots__ = ("_free", "_line")

    def __init__(self, number: int) -> None:
        self._free = number
        self._line: deque[Waiter] = deque()

    @property
    def crowded(self) -> bool:
        """Whether a waiter is queued."""
        return bool(self._line)

    def acquire(self) -> bool:
        """Acquire a slot; return False if none is free, or if a waiter is queued."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def line_up(self, waiter: Waiter) -> None:
        """Queue a waiter behind all others; the same waiter may be queued several times."""
        self._line.append(waiter)

    def release(self) -> None:
        """Release a slot: to the first waiter, if there is one."""
        if self._free >= 0:  # else more handlers run than there are slots now
            while self._line:
                if self._line.popleft().proceed():
                    return
        self._free += 1

    def resize(self, more: int) -> None:
        """Add `more` slots, or remove some if negative; running handlers are not disturbed."""
        self._free += more
        while self._free > 0 and self._line:
            if self._line.popleft().proceed():
                self._free -= 1
