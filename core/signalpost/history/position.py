"""Positions in a stream: texts that clients return later, and never take apart.

A position is ``epoch:offset:id``. The epoch is new whenever a stream begins again; the offset counts its values from
1; and the id distinguishes values that were given the same offset, in two timelines of one epoch. It is a hash of the
node and of a number that the node gave the value, cut to 20 bits.
"""

import os
import random
import re
from typing import NamedTuple

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # without i, l, o and u: none looks like another digit, and no words
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
_VALUES = {pair: number for number, pair in enumerate(_PAIRS)}
_EPOCH_DIGITS = 6
_GENERATIONS = len(_PAIRS)
_POSITION = re.compile(rf"([{_DIGITS}]{{{_EPOCH_DIGITS}}}):(0|[1-9][0-9]{{0,17}}):([{_DIGITS}]{{2}})([{_DIGITS}]{{2}})")

# No secret, so not of the system's source: each value for a backplane brings an epoch, in case one begins with it.
_CHANCE = random.Random()  # noqa: S311 - see above
os.register_at_fork(after_in_child=_CHANCE.seed)

LONGEST = 32
"""Characters that a position has at most."""

NO_ID = 0
"""In place of the id of a value: there was none before the first one."""


class Position(NamedTuple):
    """A place in a stream: behind the value with this offset, or before the first value with offset 0."""

    epoch: str
    offset: int
    id: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}:{_PAIRS[self.id >> 10]}{_PAIRS[self.id & 1023]}"


def read_position(text: str) -> Position | None:
    """Return the position that a text is; None if it is none."""
    found = _POSITION.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    epoch, offset, high, low = found.groups()
    return Position(epoch, int(offset), _VALUES[high] << 10 | _VALUES[low])


def new_epoch() -> str:
    """Return an epoch that no stream is likely to have had (30 random bits)."""
    bits = _CHANCE.getrandbits(5 * _EPOCH_DIGITS)
    return _PAIRS[bits >> 20] + _PAIRS[bits >> 10 & 1023] + _PAIRS[bits & 1023]


def epoch_after(*epochs: str) -> str:
    """Return a new epoch of a stream that several nodes share: one generation behind these, which it had before.

    Its first two digits are the generation, of 1,024 in a circle, by which nodes know an old epoch when a replica that
    lags brings it back; the others are chance (20 bits).

    Args:
        epochs: known ones; "" is none. Without any, the first generation begins.
    """
    newest = ""
    for epoch in epochs:
        if not newest or precedes(newest, epoch):
            newest = epoch
    generation = (_generation(newest) + 1) % _GENERATIONS if newest else 0
    return _PAIRS[generation] + new_epoch()[2:]


def precedes(one: str, other: str) -> bool:
    """Return whether a stream had one epoch in a generation before the other's; "" precedes none (`epoch_after`)."""
    ahead = (_generation(other) - _generation(one)) % _GENERATIONS
    return bool(one and other) and 0 < ahead < _GENERATIONS // 2


def _generation(epoch: str) -> int:
    return _VALUES.get(epoch[:2], 0)  # of what is no epoch, nothing can be said


def id_of(node: int, number: int) -> int:
    """Return the id of a value: 20 bits of a hash.

    Args:
        node: 64 random bits of the process that published the value.
        number: counted there.
    """
    return hash((node, number)) >> 43 & 0xFFFFF  # a tuple's hash is xxHash's, whose high bits are mixed best
