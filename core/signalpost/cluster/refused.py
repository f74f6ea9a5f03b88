"""What a node knows of a ban or a revocation, and how nodes that know differently agree. Pure.

Each deed has a stamp: the later one counts. It is a moment by the clock of the node where it was done, but always later
than what that node knew: so the clocks of two machines decide only about deeds that did not know of each other.

What refuses is never shortened by what refuses as well. Only a later lift ends it, and what is later than the lift
begins anew.
"""

from math import isfinite
from typing import Any, NamedTuple

_TICK = 1e-6  # seconds: the least that one stamp is later than another; a float of this century can tell them apart


class Refused(NamedTuple):
    """What is known of a ban or a revocation. All moments are in Unix seconds, 0 is never.

    Attributes:
        made: the stamp of the latest deed that refuses and is not lifted.
        before: tokens that were issued before it are meant; 0 if that does not matter.
        until: when it ends.
        lifted: the stamp of the latest lift.
        ends: when all this may be forgotten: nobody knows a deed that lasts longer.
    """

    made: float
    before: float
    until: float
    lifted: float
    ends: float

    def refuses(self, now: float) -> bool:
        """Return whether it is in force."""
        return self.made > self.lifted and now < self.until

    def merged(self, other: "Refused | None") -> "Refused":
        """Return what two nodes know together."""
        if other is None:
            return self
        lifted = max(self.lifted, other.lifted)
        ends = max(self.ends, other.ends)
        left = [each for each in (self, other) if each.made > lifted]
        if not left:
            return Refused(0.0, 0.0, 0.0, lifted, ends)
        return Refused(
            max(each.made for each in left),
            max(each.before for each in left),
            max(each.until for each in left),
            lifted,
            ends,
        )


def refused_now(now: float, before: float, until: float, known: Refused | None = None) -> Refused:
    """Return what is known after a deed that refuses.

    Args:
        now: when it is done.
        before: see `Refused`.
        until: see there.
        known: until now.
    """
    return Refused(_stamp(now, known), before, until, 0.0, until).merged(known)


def lifted_now(now: float, ends: float, known: Refused | None = None) -> Refused:
    """Return what is known after a lift.

    Args:
        now: when it is done.
        ends: until when it is known at least, so that nodes which were away learn of it.
        known: until now.
    """
    return Refused(0.0, 0.0, 0.0, _stamp(now, known), ends).merged(known)


def read_refused(numbers: Any) -> Refused | None:
    """Return what another node has written; None if this version cannot read it."""
    match numbers:
        case [made, before, until, lifted, ends] if all(
            type(each) in {int, float} and isfinite(each) for each in numbers
        ):
            return Refused(float(made), float(before), float(until), float(lifted), float(ends))
        case _:
            return None


def _stamp(now: float, known: Refused | None) -> float:
    return now if known is None else max(now, known.made + _TICK, known.lifted + _TICK)
