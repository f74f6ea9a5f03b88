"""How many handlers may be at work at once, over all clients of a server, and who is next."""

from collections import deque
from typing import Protocol


class Waiter(Protocol):
    """Who waits for a slot."""

    def proceed(self) -> bool:
        """Use the slot that has come free; False when it is not needed any more."""


class HandlerSlots:
    """A number of slots, and a line of those who wait for one: first come, first served.

    Args:
        number: of slots; at least 1.

    """

    __slots__ = ("_free", "_line")

    def __init__(self, number: int) -> None:
        self._free = number
        self._line: deque[Waiter] = deque()

    @property
    def crowded(self) -> bool:
        """Whether somebody waits."""
        return bool(self._line)

    def take(self) -> bool:
        """Take a slot; False when there is none, and so as long as somebody waits."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def line_up(self, waiter: Waiter) -> None:
        """Wait for a slot, behind all who wait already; the same waiter may stand in line several times."""
        self._line.append(waiter)

    def give(self) -> None:
        """Give a slot back: to the first in line, if anybody waits."""
        if self._free >= 0:  # else more are at work than there are slots by now
            while self._line:
                if self._line.popleft().proceed():
                    return
        self._free += 1

    def resize(self, more: int) -> None:
        """Have `more` slots than before, or fewer; nobody who is at work is disturbed."""
        self._free += more
        while self._free > 0 and self._line:
            if self._line.popleft().proceed():
                self._free -= 1
