"""Progress: whether bytes come, or are taken, fast enough to be waited for."""

LEAST_RATE = 1_024
"""Bytes a second that a body must bring, and that a client must take of an answer that waits for it."""


class Progress:
    """A deadline that each byte puts off, by at most the patience from now.

    Nothing may rest for longer than the patience, and who is slower than the least rate uses the patience up. So a body
    of n bytes is there after patience + n / rate seconds, or it is late.

    Args:
        patience: seconds.
        now: the clock's seconds.
        rate: bytes a second, at least.

    """

    __slots__ = ("_due", "_patience", "_rate")

    def __init__(self, patience: float, now: float, rate: int = LEAST_RATE) -> None:
        self._patience = patience
        self._rate = rate
        self._due = now + patience

    def note(self, count: int, now: float) -> None:
        """Note that so many bytes have moved."""
        self._due = min(now + self._patience, self._due + count / self._rate)

    def is_late(self, now: float) -> bool:
        """Tell whether too little has moved."""
        return now > self._due
