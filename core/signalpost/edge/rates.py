"""Rates by key, such as an address: many keys, a number for each, and a bound for all of them."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

from signalpost.units import Quota

MOST_KEYS = 65_536
"""Keys of one table. Beyond it, the one that was used least recently is forgotten, and may use its whole quota again:
whoever has that many addresses is not limited by any of them, and nobody else is refused because of it. A table of that
size takes about 10 MB."""


class RateTable:
    """Counts what each key uses of a quota: the whole quota may be used at once, and comes back evenly.

    It is the generic cell rate algorithm: of each key, only the moment is kept at which it has its whole quota again.

    Args:
        clock: returns monotonic seconds.
        most: number of keys that are kept.
    """

    __slots__ = ("__weakref__", "_clock", "_full_at", "_most", "quota")

    def __init__(self, clock: Callable[[], float], quota: Quota | None = None, most: int = MOST_KEYS) -> None:
        self._clock = clock
        self._most = most
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        self.quota = quota

    def __len__(self) -> int:
        """Return how many keys are kept."""
        return len(self._full_at)

    def set_quota(self, quota: Quota | None) -> None:
        """Count by another quota from now on; None is no limit. If it differs, all begin anew."""
        if quota != self.quota:
            self.quota = quota
            self._full_at.clear()

    def charge(self, key: Hashable) -> float:
        """Charge one use to a key and return 0; or charge nothing, and return the seconds until one is left."""
        quota = self.quota
        if quota is None:
            return 0.0
        now, kept = self._clock(), self._full_at
        full_at = max(kept.get(key, now), now)
        wait = full_at - now - quota.seconds * (1 - 1 / quota.burst)
        if wait > 1e-9:  # noqa: PLR2004 - what adding up fractions leaves
            kept.move_to_end(key)
            return wait
        if key not in kept:
            self._make_room(now)
        kept[key] = full_at + quota.seconds / quota.burst
        kept.move_to_end(key)
        return 0.0

    def _make_room(self, now: float) -> None:
        """Forget the keys that were used least recently, if they have their whole quota; one in any case, if needed."""
        kept = self._full_at
        for _ in range(2):
            if kept and next(iter(kept.values())) <= now:
                kept.popitem(last=False)
        if len(kept) >= self._most:
            kept.popitem(last=False)
