"""A clock of work: how long something has kept its thread, looked at often for little."""

import time

_LOOKS = 4  # how often, while the time goes by, it is looked at closely


class WorkClock:
    """Tells when work has taken too long; it starts when it is first asked.

    Only what this thread has worked counts, since the process may have been put to sleep; asking for that takes ten
    times as long as looking at the wall clock.

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
        """Start anew when it is asked next."""
        self._look = 0.0  # when it is to be looked at closely
        self._end = 0.0  # until when there is time, by the clock of this thread's work

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
    """Word that the steps of a run have worked too long."""
    return f"the steps of one run work {clock.seconds * 1000:g} ms at most, as long as none waits"
