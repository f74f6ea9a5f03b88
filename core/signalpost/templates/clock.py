"""A clock for work: how long code has run in its thread, cheap enough for frequent checks."""

import time

_LOOKS = 4  # number of cheap checks, while time passes, between two exact ones


class WorkClock:
    """Measures whether work has taken too long; starts at its first check.

    Only the time of this thread counts, since the process may have been suspended; reading that takes ten times as long
    as reading the wall clock.

    Args:
        seconds: that the work may take.

    Attributes:
        seconds: the same.
    """

    __slots__ = ("_end", "_look", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Restart at the next check."""
        self._look = 0.0  # time of the next exact check
        self._end = 0.0  # the deadline, by the clock of this thread

    def is_over(self) -> bool:
        """Return whether the time is over."""
        now = time.monotonic()
        if now < self._look:
            return False
        if not self._look:
            self._look = now + self.seconds / _LOOKS
            return False
        worked = time.thread_time()
        self._end = self._end or worked + self.seconds * (_LOOKS - 1) / _LOOKS
        if worked >= self._end:
            return True
        self._look = now + min(self.seconds / _LOOKS, self._end - worked)
        return False


def too_long(clock: WorkClock) -> str:
    """Return the words for steps of a run that have worked too long."""
    return f"the steps of one run work {clock.seconds * 1000:g} ms at most, as long as none waits"
