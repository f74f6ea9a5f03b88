# ruff: noqa: SLF001 - the functions of this module know the insides of its classes
"""Lists and mappings that nothing changes in place: what `signalpost.signals.state.State` holds.

They are lists and dicts in every other way: they compare, iterate, slice and go out as JSON as those do. What makes a
new value of them (``[*names, name]``, ``names + [name]``, ``{**votes, "tea": 3}``, ``votes | {"tea": 3}``, also
``state["names"] += [name]``) makes a plain one, and `copy.deepcopy` gives one that is plain all through.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, SupportsIndex

from signalpost.config.scalars import shorten

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
        self._weight = _QUOTES + _sum_of_weights(items) + len(items)
        self._depth = _depth_above(items)

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)

    def __iadd__(self, other: Iterable[Any]) -> list[Any]:  # type: ignore[override,misc]  # a new one, as of a tuple
        return [*self, *other]

    def __imul__(self, times: SupportsIndex) -> list[Any]:  # type: ignore[override]  # likewise
        return [*self] * times

    __setitem__ = __delitem__ = append = extend = insert = pop = remove = clear = sort = reverse = _refuse


class FrozenDict(dict[str, Any]):
    """A mapping that does not change once anybody but its owner has it. Made by `freeze`, `put_at` and `take_at`."""

    __slots__ = ("_depth", "_owner", "_weight")

    _weight: int
    _depth: int

    def __init__(self, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self._owner: Owner | None = None
        if isinstance(entries, FrozenDict):
            self._weight, self._depth = entries._weight, entries._depth
        else:
            weights = _sum_of_weights(entries) + _sum_of_weights(entries.values())
            self._weight = _QUOTES + weights + _SEPARATORS * len(entries)
            self._depth = _depth_above(entries.values())

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __ior__(self, other: Any) -> dict[str, Any]:  # type: ignore[override,misc]  # a new one, as of a tuple
        return {**self, **dict(other)}

    __setitem__ = __delitem__ = pop = popitem = clear = update = setdefault = _refuse


_CONTAINERS = frozenset({FrozenList, FrozenDict})
_FROZEN = _CONTAINERS | {bool, type(None)}
_WHOLE = frozenset({int})
_NUMBERS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str})
_FEW = 8


def freeze(value: Any) -> Any:
    """Copy a JSON value into one that nothing changes in place; what is frozen already is given back as it is.

    A tuple becomes a list. Text and numbers of classes of their own (enums, Jinja2's Markup) become plain ones.

    Raises:
        TypeError: it is not JSON; the text says which part is not.
        ValueError: it is not JSON in a way that its type does not tell: a number too large, half a character, or more
            than `MAX_DEPTH` levels.

    """
    return _freeze(value, 1, {})


class Owner:
    """Whoever holds it may change the mappings that were copied for it, which nobody else has seen.

    It is let go as soon as one of them is handed out; then they are as frozen as all others.
    """

    __slots__ = ()


def weight_added(entries: Mapping[str, Any], path: Sequence[str], value: Any) -> tuple[int, int]:
    """Return by how much `put_at` makes entries heavier, and how many of the last names of the path it makes.

    Whatever it would refuse is refused here.

    Raises:
        TypeError: something else than a mapping stands on the way.
        ValueError: a value would have more than `MAX_DEPTH` levels.

    """
    if len(path) - 1 + (value._depth if type(value) in _CONTAINERS else 0) > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    at = 0
    while at < len(path) - 1 and (child := entries.get(path[at])) is not None:
        at += 1
        if not isinstance(child, FrozenDict):
            way, name = shorten(".".join(path[:at])), shorten(path[at])
            raise TypeError(f'state["{way}"] is no mapping, so nothing can be put at "{name}" in it')
        entries = child
    weight = weight_of(value)
    for inner in reversed(path[at + 1 :]):
        weight += _QUOTES + weight_of(inner) + _SEPARATORS
    name = path[at]
    added = weight_of(name) + weight + _SEPARATORS
    made = len(path) - at
    if name not in entries:
        return added, made
    return added - entry_weight(name, entries[name]), made - 1


def put_at(mapping: FrozenDict | None, path: Sequence[str], value: Any, owner: Owner) -> FrozenDict:
    """Return a mapping that has a frozen value at the end of a path of names; those on the way are made.

    What belongs to `owner` is changed in place, in a time that does not grow with it; all else is copied for it first,
    and the copy belongs to it.
    """
    mapping = _owned(mapping, owner)
    name, *rest = path
    old = mapping.get(name)
    before = entry_weight(name, old) if name in mapping else 0
    new = put_at(old if isinstance(old, FrozenDict) else None, rest, value, owner) if rest else value
    mapping._weight += entry_weight(name, new) - before
    mapping._depth = max(mapping._depth, _depth_above((new,)))
    dict.__setitem__(mapping, name, new)
    return mapping


def take_at(mapping: FrozenDict, path: Sequence[str], owner: Owner) -> FrozenDict:
    """Return a mapping without what stands at the end of a path, where something does; see `put_at`."""
    mapping = _owned(mapping, owner)
    name, *rest = path
    before = entry_weight(name, mapping[name])
    if rest:
        new = take_at(mapping[name], rest, owner)
        dict.__setitem__(mapping, name, new)
        mapping._weight += entry_weight(name, new) - before
    else:
        dict.__delitem__(mapping, name)
        mapping._weight -= before
    return mapping


def _owned(mapping: FrozenDict | None, owner: Owner) -> FrozenDict:
    if mapping is not None and mapping._owner is owner:
        return mapping
    made = FrozenDict({} if mapping is None else mapping)
    made._owner = owner
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


def _sum_of_weights(values: Collection[Any]) -> int:
    """Add up what `weight_of` says of each; a long list of texts or numbers is not gone through one by one."""
    if len(values) > _FEW:
        kinds = set(map(type, values))
        if kinds <= _NUMBERS:
            return _NUMBER * len(values)
        if kinds == _TEXTS and all(map(str.isascii, values)):
            return _QUOTES * len(values) + sum(map(len, values))
    return sum(map(weight_of, values))


def _freeze(value: Any, level: int, known: dict[int, Any]) -> Any:
    """Freeze a value; what stands in it several times is frozen once, which `known` remembers by id."""
    kind = type(value)
    if kind in _FROZEN:
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
    if not value and (kind is list or kind is dict):
        return _NO_ITEMS if kind is list else _NO_ENTRIES
    found = known.get(id(value))
    if found is None:
        found = known[id(value)] = _frozen_container(value, level, known)
    return found


def _frozen_container(value: Any, level: int, known: dict[int, Any]) -> Any:
    if isinstance(value, list | tuple):
        return FrozenList(_frozen_items(value, level, known))
    if isinstance(value, Mapping):
        items = _frozen_items(list(value.values()), level, known)
        return FrozenDict(dict(zip(map(_name, value), items, strict=True)))
    raise TypeError(
        f"a value of type {type(value).__name__} is not JSON (allowed: text, numbers, true, false, null, lists, and "
        "mappings whose keys are text)"
    )


def _frozen_items(items: Sequence[Any], level: int, known: dict[int, Any]) -> Sequence[Any]:
    if len(items) > _FEW:
        kinds = set(map(type, items))
        if kinds == _WHOLE and _SMALLEST <= min(items) <= max(items) < _LARGEST:
            return items
        if kinds == _TEXTS and all(map(str.isascii, items)):
            return items
    return [_freeze(item, level + 1, known) for item in items]


def _depth_above(children: Collection[Any]) -> int:
    depth = 1
    if len(children) > _FEW and _CONTAINERS.isdisjoint(map(type, children)):
        return depth
    for child in children:
        if type(child) in _CONTAINERS and child._depth >= depth:
            depth = child._depth + 1
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


# Those that are empty are one each: a client may send very many.
_NO_ITEMS = FrozenList(())
_NO_ENTRIES = FrozenDict({})
