# ruff: noqa: SLF001 - the functions of this module know the insides of its classes
"""Lists and mappings that nothing changes in place: what `signalpost.signals.state.State` holds.

They are lists and dicts in every other way: they compare, iterate, slice and go out as JSON as those do. What makes a
new value of them (``[*names, name]``, ``names + [name]``, ``{**votes, "tea": 3}``, ``votes | {"tea": 3}``, also
``state["names"] += [name]``) makes a plain one, and `copy.deepcopy` gives one that is plain all through.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, SupportsIndex

MAX_DEPTH = 64
"""How many lists and mappings may stand inside each other; as many as in routes.yaml."""

_LARGEST = 2**64
_SMALLEST = -(2**63)
_NUMBER = 8
_QUOTES = 2
_SEPARATORS = 2
_TOO_DEEP = f"more than {MAX_DEPTH} lists and mappings stand inside each other"


def _refuse(self: object, *_arguments: Any, **_options: Any) -> NoReturn:
    what = "list" if isinstance(self, list) else "mapping"
    raise TypeError(
        f"a {what} that state holds is not changed in place, since nobody would notice: put a new one there, as in "
        'state.change("names", lambda names: [*names, name]) or state.put(("votes", "tea"), 3)'
    )


class FrozenList(list[Any]):
    """A list that does not change. Made by `freeze`."""

    __slots__ = ("_depth", "_weight")  # underscored, so that a template's {{ state.parcel.weight }} is the entry

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__(items)
        self._weight = _QUOTES + sum(weight_of(item) + 1 for item in items)
        self._depth = _depth_above(items)

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)

    def __iadd__(self, other: Iterable[Any]) -> list[Any]:  # type: ignore[override,misc]  # a new one, as of a tuple
        return [*self, *other]

    def __imul__(self, times: SupportsIndex) -> list[Any]:  # type: ignore[override]  # likewise
        return [*self] * times

    __setitem__ = __delitem__ = append = extend = insert = pop = remove = clear = sort = reverse = _refuse


class FrozenDict(dict[str, Any]):
    """A mapping that does not change. Made by `freeze`, `with_entry` and `without_entry`."""

    __slots__ = ("_depth", "_weight")

    _weight: int
    _depth: int

    def __init__(self, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        if isinstance(entries, FrozenDict):
            self._weight, self._depth = entries._weight, entries._depth
        else:
            self._weight = _QUOTES + sum(entry_weight(name, item) for name, item in entries.items())
            self._depth = _depth_above(entries.values())

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __ior__(self, other: Any) -> dict[str, Any]:  # type: ignore[override,misc]  # a new one, as of a tuple
        return {**self, **dict(other)}

    __setitem__ = __delitem__ = pop = popitem = clear = update = setdefault = _refuse


_CONTAINERS = frozenset({FrozenList, FrozenDict})
_FROZEN = _CONTAINERS | {bool, type(None)}


def freeze(value: Any) -> Any:
    """Copy a JSON value into one that nothing changes in place; what is frozen already is given back as it is.

    A tuple becomes a list. Text and numbers of classes of their own (enums, Jinja2's Markup) become plain ones.

    Raises:
        TypeError: it is not JSON; the text says which part is not.
        ValueError: it is not JSON in a way that its type does not tell: a number too large, half a character, or more
            than `MAX_DEPTH` levels.

    """
    return _freeze(value, 1)


def with_entry(mapping: FrozenDict, name: str, value: Any) -> FrozenDict:
    """Give a mapping that has a frozen value under a name too, or in place of what stands there.

    Raises:
        ValueError: more than `MAX_DEPTH` levels.

    """
    made = FrozenDict(mapping)
    made._weight += entry_weight(name, value) - (entry_weight(name, mapping[name]) if name in mapping else 0)
    made._depth = max(made._depth, _depth_above((value,)))
    dict.__setitem__(made, name, value)
    return made


def without_entry(mapping: FrozenDict, name: str) -> FrozenDict:
    """Give a mapping without one of its names."""
    made = FrozenDict(mapping)
    made._weight -= entry_weight(name, mapping[name])
    dict.__delitem__(made, name)
    return made


def weight_of(value: Any) -> int:
    """Say about how many bytes a frozen value takes as JSON, without looking into it."""
    if type(value) in _CONTAINERS:
        weight: int = value._weight
        return weight
    if isinstance(value, str):
        return _QUOTES + (len(value) if value.isascii() else len(value.encode()))
    return _NUMBER


def entry_weight(name: str, value: Any) -> int:
    """Say about how many bytes an entry of a mapping takes as JSON."""
    return weight_of(name) + weight_of(value) + _SEPARATORS


def _freeze(value: Any, level: int) -> Any:
    if type(value) in _FROZEN:
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if not _SMALLEST <= value < _LARGEST:
            raise ValueError("a whole number that does not fit into 64 bits is not JSON that others can read")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{float(value)} is no number that JSON knows")
        return float(value)
    if level > MAX_DEPTH:  # judged on the way down too, since a list may hold itself
        raise ValueError(_TOO_DEEP)
    if isinstance(value, list | tuple):
        return FrozenList([_freeze(item, level + 1) for item in value])
    if isinstance(value, Mapping):
        return FrozenDict({_name(name): _freeze(item, level + 1) for name, item in value.items()})
    raise TypeError(
        f"a value of type {type(value).__name__} is not JSON (allowed: text, numbers, true, false, null, lists, and "
        "mappings whose keys are text)"
    )


def _depth_above(children: Iterable[Any]) -> int:
    depth = 1 + max((child._depth for child in children if type(child) in _CONTAINERS), default=0)
    if depth > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    return depth


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("the text holds half a character (a lone surrogate), which UTF-8 cannot carry") from None
    return str(value)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a mapping whose key {name!r} is not text is not JSON")
    return _text(name)
