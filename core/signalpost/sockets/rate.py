"""Limits of what one client may make the server do: token buckets, filled on demand by the clock, never by a timer."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from signalpost.config.model import LimitsConfig

BURST = 2.0
"""Seconds' worth that a client may send at once, after an equally long silence."""

SHARE = 0.1
"""Seconds of work that one client's messages may cause in a second: reading, validation, actions. A client that exceeds
it sends messages built to be expensive. It is not a setting: the cost of a message depends on the app."""

UNREACHED = 1e15
"""Frames or bytes that no client sends in a second; for the part of the rate that has no limit."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What one client may send; all clients of a server share it.

    Attributes:
        frames: a second, of every kind.
        bytes: a second, of what frames inflate to.
        message: bytes of the largest message, which may always come whole.
    """

    frames: float
    bytes: float
    message: int

    @property
    def most_frames(self) -> float:
        """Frames that may come at once."""
        return max(1.0, self.frames * BURST)

    @property
    def most_bytes(self) -> float:
        """Bytes that may come at once."""
        return max(float(self.message), self.bytes * BURST)


MOST_SECONDS = SHARE * BURST
"""Seconds of work that a client may cause at once."""


def pace_of(limits: LimitsConfig) -> Pace | None:
    """Return the pace that the limits set; None if they set none."""
    rate = limits.rate
    if not rate.frames and not rate.bytes:
        return None
    return Pace(rate.frames or UNREACHED, rate.bytes or UNREACHED, limits.message)


class Allowance:
    """What one client may still send and cause, by its pace.

    Frames are paid before they are handled. The bytes and the work are known only afterwards: they may become a debt,
    of one read or one message at most, and nothing more is read until it is paid.

    Args:
        pace: the client's.
        clock: returns monotonic seconds (``loop.time``).

    Attributes:
        frames: that are left.
        bytes: that are left, below 0 in debt.
        seconds: of work that are left, below 0 in debt.
    """

    __slots__ = ("_clock", "_filled_at", "_pace", "bytes", "frames", "seconds")

    def __init__(self, pace: Pace, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pace = pace
        self._filled_at = clock()
        self.frames = pace.most_frames
        self.bytes = pace.most_bytes
        self.seconds = MOST_SECONDS

    def set_pace(self, pace: Pace) -> None:
        """Fill it at another pace from now on."""
        self.fill()
        self._pace = pace
        self.frames = min(self.frames, pace.most_frames)
        self.bytes = min(self.bytes, pace.most_bytes)

    def fill(self) -> None:
        """Add what the time since the last fill has earned."""
        pace, now = self._pace, self._clock()
        passed, self._filled_at = now - self._filled_at, now
        self.frames = min(pace.most_frames, self.frames + passed * pace.frames)
        self.bytes = min(pace.most_bytes, self.bytes + passed * pace.bytes)
        self.seconds = min(MOST_SECONDS, self.seconds + passed * SHARE)

    def covers_one(self) -> bool:
        """Return whether a frame may be handled now: one is left, and there is no debt."""
        self.fill()
        return self.wait == 0.0

    @property
    def wait(self) -> float:
        """Seconds from the last fill until a frame may be handled; 0 if it may be now."""
        pace = self._pace
        return max(0.0, (1.0 - self.frames) / pace.frames, -self.bytes / pace.bytes, -self.seconds / SHARE)


MOST_KEPT = 16_384
"""Allowances of one table. Beyond it, the one that was used least recently is forgotten, and whoever it was of begins
anew."""


class AllowanceTable:
    """Allowances that several connections share, by key: of an address, or of a user.

    Args:
        clock: returns monotonic seconds (``loop.time``).
        most: how many are kept.
    """

    __slots__ = ("_clock", "_kept", "_most")

    def __init__(self, clock: Callable[[], float], most: int = MOST_KEPT) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[Hashable, Allowance] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def of(self, key: Hashable, pace: Pace) -> Allowance:
        """Return the allowance of a key, which has this pace from now on."""
        allowance = self._kept.get(key)
        if allowance is None:
            if len(self._kept) >= self._most:
                self._kept.popitem(last=False)
            allowance = self._kept[key] = Allowance(pace, self._clock)
        else:
            allowance.set_pace(pace)
        self._kept.move_to_end(key)
        return allowance


def user_pace_of(limits: LimitsConfig) -> Pace | None:
    """Return the pace of all connections of one user together; None without a limit."""
    rate = limits.per_user.rate
    return None if rate is None else Pace(rate, UNREACHED, limits.message)


def allowance_of(pace: Pace | None, clock: Callable[[], float]) -> Allowance | None:
    """Return a new allowance for a pace; None without a pace."""
    return None if pace is None else Allowance(pace, clock)
