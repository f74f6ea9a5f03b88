# ruff: noqa: SLF001 - the functions of this module know the insides of its classes
"""Lists and mappings that nothing changes in place: what `signalpost.state.state.State` holds.

They are lists and dicts in every other way: they compare, iterate, slice and serialize as JSON like those. An
expression that creates a new value from them (``[*names, name]``, ``names + [name]``, ``{**votes, "tea": 3}``, ``votes
| {"tea": 3}``, also ``state["names"] += [name]``) creates a plain one, and `copy.deepcopy` returns one that is plain at
all levels.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, SupportsIndex

from signalpost.scalars import shorten

MAX_DEPTH = 64
"""How many levels of lists and mappings may be nested; as many as in routes.yaml."""

_LARGEST = 2**64
_SMALLEST = -(2**63)
_NUMBER = 8
_QUOTES = 2
_SEPARATORS = 2
_TOO_DEEP = f"more than {MAX_DEPTH} lists and mappings stand inside each other"


def _refuse(self: object, *_arguments: Any, **_options: Any) -> NoReturn:
    what, copy = ("list", "list") if isinstance(self, list) else ("mapping", "dict")
    if isinstance(self, FixedList | FixedDict):
        raise TypeError(
            f"a {what} of arguments or settings is not changed: the next run would get what this one has made of it; "
            f"change a copy, {copy}(…), or copy.deepcopy(…) where it goes deeper, or keep what changes in the state"
        )
    raise TypeError(
        f"a {what} that state holds is not changed in place, since nobody would notice: put a new one there, as in "
        'state.change("names", lambda names: [*names, name]) or state.put(("votes", "tea"), 3)'
    )


class _List(list[Any]):
    """A list that does not change; its copies are plain ones."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)

    def __iadd__(self, other: Iterable[Any]) -> list[Any]:  # type: ignore[override,misc]  # a new one, as of a tuple
        return [*self, *other]

    def __imul__(self, times: SupportsIndex) -> list[Any]:  # type: ignore[override]  # likewise
        return [*self] * times

    __setitem__ = __delitem__ = append = extend = insert = pop = remove = clear = sort = reverse = _refuse


class _Dict(dict[Any, Any]):
    """A mapping that does not change; its copies are plain ones."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[dict[Any, Any]], tuple[dict[Any, Any]]]:
        return dict, (dict(self),)

    def __ior__(self, other: Any) -> dict[Any, Any]:  # type: ignore[override,misc]  # a new one, as of a tuple
        return {**self, **dict(other)}

    __setitem__ = __delitem__ = pop = popitem = clear = update = setdefault = _refuse


class FrozenList(_List):
    """A list that does not change. Created by `freeze`."""

    __slots__ = ("_depth", "_weight")  # underscored, so that a template's {{ state.parcel.weight }} is the entry

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__(items)
        self._weight = _QUOTES + _sum_of_weights(items) + len(items)
        self._depth = _depth_above(items)


class FrozenDict(_Dict):
    """A mapping that is immutable once other code than its owner has it. Made by `freeze`, `put_at` and `take_at`."""

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


class FixedList(_List):
    """A list as the app's author has written it. Created by `fixed`."""

    __slots__ = ()


class FixedDict(_Dict):
    """A mapping as the app's author has written it. Created by `fixed`."""

    __slots__ = ()


def fixed(value: Any) -> Any:
    """Copy lists, mappings, sets and bytes, at any depth, into immutable ones; all other objects stay as they are.

    For what an app's author has written once and all code reads: unlike the state, it may contain what is not JSON.
    """
    if isinstance(value, FixedDict | FixedList):
        return value
    if isinstance(value, dict):
        return FixedDict({name: fixed(each) for name, each in value.items()})
    if type(value) is tuple:
        return tuple(map(fixed, value))
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, bytearray):
        return bytes(value)
    return FixedList(map(fixed, value)) if isinstance(value, list | deque) else value


_CONTAINERS = frozenset({FrozenList, FrozenDict})
_FROZEN = _CONTAINERS | {bool, type(None)}
_WHOLE = frozenset({int})
_FLOATING = frozenset({float})
_NUMBERS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str})
_FEW = 8
_OFTEN = 1024  # the clock is checked once per this many items of a list or mapping


def _no_clock() -> None:
    """Check no clock."""


def freeze(value: Any, tick: Callable[[], None] = _no_clock) -> Any:
    """Copy a JSON value into an immutable one; a frozen value is returned as it is.

    A tuple becomes a list. Text and numbers of subclasses (enums, Jinja2's Markup) become plain ones.

    Args:
        value: to be copied.
        tick: called often meanwhile; what it raises ends the copy.

    Raises:
        TypeError: it is not JSON; the text says which part is not.
        ValueError: it is not JSON although its types are: a number is too large, a surrogate is alone, or it has more
            than `MAX_DEPTH` levels.
    """
    return _Freezing(tick).frozen(value, 1)


class Owner:
    """Allows its holder to change the mappings that were copied for it, which no other code has seen.

    It is dropped as soon as one of them is returned to other code; then they are as frozen as all others.
    """

    __slots__ = ()


def weight_added(entries: Mapping[str, Any], path: Sequence[str], value: Any) -> tuple[int, int]:
    """Return how much weight `put_at` adds, and how many of the last names of the path it creates.

    It rejects whatever `put_at` would reject.

    Raises:
        TypeError: a value on the path is not a mapping.
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
    """Return a mapping with a frozen value at the end of a path of names; missing mappings on the path are created.

    A mapping that belongs to `owner` is changed in place, in constant time; others are copied first, and the copy
    belongs to `owner`.
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
    """Return a mapping without the value at the end of a path, if there is one; see `put_at`."""
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
    """Return about how many bytes a frozen value takes as JSON, without inspecting its items."""
    if type(value) in _CONTAINERS:
        weight: int = value._weight
        return weight
    if isinstance(value, str):
        return _QUOTES + (len(value) if value.isascii() else len(value.encode()))
    return _NUMBER


def entry_weight(name: str, value: Any) -> int:
    """Return about how many bytes an entry of a mapping takes as JSON."""
    return weight_of(name) + weight_of(value) + _SEPARATORS


def _sum_of_weights(values: Collection[Any]) -> int:
    """Add up `weight_of` for each; a long list of texts or numbers is not iterated one by one."""
    if len(values) > _FEW:
        kinds = set(map(type, values))
        if kinds <= _NUMBERS:
            return _NUMBER * len(values)
        if kinds == _TEXTS and all(map(str.isascii, values)):
            return _QUOTES * len(values) + sum(map(len, values))
    return sum(map(weight_of, values))


class _Freezing:
    """The freezing of one value.

    Args:
        tick: called for each list and mapping, and repeatedly in long ones.
    """

    __slots__ = ("_known", "_tick")

    def __init__(self, tick: Callable[[], None]) -> None:
        self._known: dict[int, Any] = {}  # by id: what occurs in it several times is frozen once
        self._tick = tick

    def frozen(self, value: Any, level: int) -> Any:
        """Freeze a value at a given depth."""
        kind = type(value)
        if kind in _FROZEN:
            return value
        if kind is not list and kind is not dict and isinstance(value, (str, int, float)):
            return self._scalar(value)
        if level > MAX_DEPTH:  # checked on the way down too, since a list may contain itself
            raise ValueError(_TOO_DEEP)
        if not value and (kind is list or kind is dict):
            return _NO_ITEMS if kind is list else _NO_ENTRIES
        found = self._known.get(id(value))
        if found is None:
            found = self._known[id(value)] = self._container(value, level)
        return found

    @staticmethod
    def _scalar(value: str | float) -> Any:
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int):
            if not _SMALLEST <= value < _LARGEST:
                raise ValueError("a whole number that does not fit into 64 bits is not JSON that others can read")
            return int(value)
        if not math.isfinite(value):
            raise ValueError(f"{float(value)} is no number that JSON knows")
        return float(value)

    def _container(self, value: Any, level: int) -> FrozenList | FrozenDict:
        self._tick()
        kind = type(value)
        if kind is list or (kind is not dict and isinstance(value, (list, tuple))):
            items, weight, depth = self._items(value, level)
            made = FrozenList.__new__(FrozenList)
            list.extend(made, items)
            made._weight, made._depth = _QUOTES + weight + len(items), depth
            return made
        if kind is dict or isinstance(value, Mapping):
            names, of_names = self._names(value)
            items, weight, depth = self._items(
                value.values() if isinstance(value, dict) else list(value.values()), level
            )
            entries = FrozenDict.__new__(FrozenDict)
            dict.update(entries, zip(names, items, strict=True))
            entries._owner = None
            entries._weight, entries._depth = _QUOTES + of_names + weight + _SEPARATORS * len(items), depth
            return entries
        raise TypeError(
            f"a value of type {type(value).__name__} is not JSON (allowed: text, numbers, true, false, null, lists, "
            "and mappings whose keys are text)"
        )

    def _items(self, items: Collection[Any], level: int) -> tuple[Collection[Any], int, int]:
        """Freeze items; return them with their weight, and the depth of their container."""
        if len(items) > _FEW and (size := _size_of_alike(items)) is not None:
            return items, size, 1
        frozen, weight, deepest = [], 0, 0
        for index, item in enumerate(items):
            kind = type(item)
            if kind is str and item.isascii():
                weight += _QUOTES + len(item)
                frozen.append(item)
                continue
            one = item if kind in _FROZEN else self.frozen(item, level + 1)
            if kind in _NUMBERS:
                weight += _NUMBER
            else:
                weight += weight_of(one)
                if type(one) in _CONTAINERS:
                    deepest = max(deepest, one._depth)
            frozen.append(one)
            if not index % _OFTEN:
                self._tick()
        if deepest >= MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        return frozen, weight, deepest + 1

    def _names(self, names: Collection[Any]) -> tuple[Collection[str], int]:
        """Freeze the names of a mapping; return them with their weight."""
        if len(names) > _FEW and _TEXTS.issuperset(map(type, names)) and (size := _size_of_texts(names)) is not None:
            return names, size
        frozen, weight = [], 0
        for name in names:
            if type(name) is str and name.isascii():
                frozen.append(name)
                weight += _QUOTES + len(name)
            else:
                frozen.append(_name(name))
                weight += weight_of(frozen[-1])
        return frozen, weight


def _size_of_alike(items: Collection[Any]) -> int | None:
    """Add up `weight_of` for items that freeze to themselves, all texts or all numbers; else return None."""
    kinds = set(map(type, items))
    if kinds == _WHOLE:
        return _NUMBER * len(items) if _SMALLEST <= min(items) <= max(items) < _LARGEST else None
    if kinds == _FLOATING:
        return _NUMBER * len(items) if all(map(math.isfinite, items)) else None
    return _size_of_texts(items) if kinds == _TEXTS else None


def _size_of_texts(texts: Collection[str]) -> int | None:
    """Add up `weight_of` for each; return None if one of them contains a lone surrogate."""
    joined = "".join(texts)
    try:
        return _QUOTES * len(texts) + (len(joined) if joined.isascii() else len(joined.encode()))
    except UnicodeEncodeError:
        return None


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
    return str.__str__(value)  # for a member of a text enum, str() is its name


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a mapping whose key {name!r} is not text is not JSON")
    return _text(name)


# Empty ones are shared: a client may send very many.
_NO_ITEMS = FrozenList(())
_NO_ENTRIES = FrozenDict({})
