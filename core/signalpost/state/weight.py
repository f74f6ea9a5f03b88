"""The size of a value as JSON, if lists and mappings may occur in it more than once.

``[[0] * 6000] * 6000`` takes 12,000 references in memory and 72 MB as JSON. So its weight is that of the JSON, where
every occurrence counts, but the computation visits each object in memory only once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from signalpost.state.frozen import FrozenDict, FrozenList, weight_of

VALUE = 16
"""What each value counts for, in characters, in addition to its text."""

_NUMBERS = frozenset({int, float, bool, type(None)})
_FROZEN = frozenset({FrozenDict, FrozenList})
_TEXTS = frozenset({str})
PLAIN = _NUMBERS | _FROZEN | _TEXTS
"""Types of values that are plain (`Weigher.measure`) without inspection."""


# Lists and mappings of so few texts and numbers are quicker to measure than to remember.
_FEW = 8
# In how many parts of a list or mapping the clock is checked once.
_OFTEN = 1024

# Of weight and plainness; see `Weigher.measure`.
Measure = tuple[int, bool]


def _no_clock() -> None:
    """Check no clock."""


class Weigher:
    """Computes weights, and caches those of lists and mappings as long as it lives.

    No value that it has measured may change while it lives.

    Args:
        tick: called for every list and mapping that is visited.
    """

    __slots__ = ("_known", "_tick")

    def __init__(self, tick: Callable[[], None] = _no_clock) -> None:
        # Each with its value, so that no other value can get the same id.
        self._known: dict[int, tuple[Measure, Any]] = {}
        self._tick = tick

    def measure(self, value: Any) -> Measure:
        """Return the weight of a value, and whether it is plain.

        The weight is that of its text as JSON, in characters, where each value counts for at least `VALUE`. A plain
        value contains only the types of JSON: str, int, float, bool, None, list, dict with str as keys, and results of
        `freeze`. Any other object that is not a list, mapping or set counts as one value, and is not plain.

        Raises:
            RecursionError: it is nested too deeply.
        """
        kind = type(value)
        if kind is str:
            return VALUE + len(value), True
        if kind in _NUMBERS:
            return VALUE, True
        if kind in _FROZEN:
            return VALUE + weight_of(value), True
        found = self._known.get(id(value))
        if found is not None:
            return found[0]
        measure = of_few(value)
        if measure is not None:
            return measure
        measure = self._look_into(value)
        self._known[id(value)] = measure, value
        return measure

    def note(self, value: Any, weight: int, *, plain: bool) -> None:
        """Cache the measure of a list made of measured values."""
        self._known[id(value)] = (weight, plain), value

    def other(self, value: Any) -> int:  # noqa: ARG002 - for who knows more
        """Return the weight of an object that is not a list, mapping or set."""
        return VALUE

    def _look_into(self, value: Any) -> Measure:
        self._tick()
        kind = type(value)
        if kind is list:
            weight, plain = self._sum(value)
            return VALUE + weight, plain
        if kind is not dict and isinstance(value, list | tuple | AbstractSet):
            return VALUE + self._sum(value)[0], False
        if kind is dict or isinstance(value, Mapping):
            names, _ = self._sum(value.keys())
            parts = value.values()
            weight, plain = self._sum(parts if isinstance(value, dict) else list(parts))
            return VALUE + names + weight, plain and kind is dict and _TEXTS.issuperset(map(type, value))
        if isinstance(value, str):
            return VALUE + len(value), False
        return self.other(value), False

    def _sum(self, values: Collection[Any]) -> Measure:
        """Add up the weights of values; they are plain if all of them are."""
        kinds = set(map(type, values))
        if kinds <= _NUMBERS:
            return VALUE * len(values), True
        if kinds == _TEXTS:
            return VALUE * len(values) + sum(map(len, values)), True
        weight, plain = 0, True
        for index, each in enumerate(values):
            one, so_far = self.measure(each)
            weight += one
            plain = plain and so_far
            if not index % _OFTEN:
                self._tick()
        return weight, plain


def of_few(value: Any) -> Measure | None:
    """Do the same as `Weigher.measure` for a short list or mapping of texts and numbers; None for other values."""
    if (type(value) is not list and type(value) is not dict) or len(value) > _FEW:
        return None
    weight = VALUE * (1 + len(value))
    parts: Iterable[Any] = value
    if type(value) is dict:
        for name in value:
            if type(name) is not str:
                return None
            weight += VALUE + len(name)
        parts = value.values()
    for part in parts:
        if type(part) is str:
            weight += len(part)
        elif type(part) not in _NUMBERS:
            return None
    return weight, True
