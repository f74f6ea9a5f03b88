"""How long to wait before the next try: full jitter, with the server's wish as a floor."""

from random import Random

LEAST_WAIT = 0.5
MOST_WAIT = 20.0
FIRST_SPREAD = 2.0  # the first wait is drawn from 0.5 to 2 s, then 4, 8, 16, 20
LONGEST_WISH = 300.0  # a server's wish beyond five minutes is taken for a mistake
_MOST_DOUBLED = 16  # far beyond MOST_WAIT


class Waits:
    """The waits between tries.

    A wait is anywhere between the least one and a bound that doubles, so that the thousand clients of a restarted
    server do not come back in one moment.

    Args:
        random: draws them.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self._least = LEAST_WAIT

    def reset(self) -> None:
        """Begin anew. Called for a welcome only: a server that accepts and drops at once must not reset the waits."""
        self._failures = 0
        self._least = LEAST_WAIT

    def ask_for(self, seconds: float) -> None:
        """Set the server's wish: no wait is shorter than that, until the next welcome."""
        self._least = min(max(seconds, LEAST_WAIT), LONGEST_WISH)

    def following(self) -> float:
        """Return the next wait, in seconds."""
        spread = min(FIRST_SPREAD * 2.0 ** min(self._failures, _MOST_DOUBLED), MOST_WAIT)
        self._failures += 1
        most = max(spread, 2 * self._least)  # a wish is a floor; jitter goes on top
        return self._least + self._random.random() * (most - self._least)
