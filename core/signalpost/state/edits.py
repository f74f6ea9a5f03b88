"""Edits that turn one frozen value into another: a few if little has changed, instead of the whole value.

An edit is JSON: ``[path]`` removes the value at a path of names, ``[path, value]`` sets a value there, and ``[path,
start, stop, items]`` replaces a slice of a list. Common parts of two values are found by identity, since frozen values
never change (`signalpost.state.frozen`), and by equality for texts and numbers.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from operator import eq
from typing import Any

from signalpost.state.frozen import FrozenDict, FrozenList

Edit = Sequence[Any]


def edits_between(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[Edit]:
    """Yield the edits that turn `old` into `new`, in order of application; the order of mappings is preserved."""
    if _alike(old, new):
        return
    if isinstance(old, FrozenDict) and isinstance(new, FrozenDict):
        yield from _of_mapping(old, new, path)
    elif isinstance(old, FrozenList) and isinstance(new, FrozenList):
        yield from _of_list(old, new, path)
    else:
        yield [list(path), new]


def apply_edits(value: Any, edits: Iterable[Edit]) -> Any:
    """Apply edits to a plain value, which is changed in place, and return the result.

    Raises:
        ValueError: they do not fit it.
    """
    root = {"": value}
    for edit in edits:
        path, *what = edit
        place: Any = root
        names = ["", *path]
        try:
            for name in names[:-1]:
                place = place[name]
            match what:
                case []:
                    del place[names[-1]]
                case [new]:
                    place[names[-1]] = new
                case [start, stop, items]:
                    place[names[-1]][start:stop] = items
                case _:
                    raise ValueError(f"{edit!r} is no edit")
        except (KeyError, TypeError, IndexError):
            raise ValueError(f"an edit at {'.'.join(map(str, path))} does not fit") from None
    return root[""]


def _alike(old: Any, new: Any) -> bool:
    """Return whether two values are identical, or equal texts or numbers; lists are not compared."""
    if old is new:
        return True
    kind = type(old)
    return kind is type(new) and kind is not FrozenDict and kind is not FrozenList and bool(old == new)


def _of_mapping(old: FrozenDict, new: FrozenDict, path: tuple[str, ...]) -> Iterator[Edit]:
    stays: Collection[str] = old
    if len(old) > len(new) or not all(map(eq, old, new)):  # a large mapping has most often only grown
        stays = [name for name in old if name in new]
        if not all(map(eq, stays, new)):  # the order differs, or a new key comes before existing ones
            yield [list(path), new]
            return
        yield from ([[*path, name]] for name in old if name not in new)
    others = [name for name, value in zip(stays, new.values(), strict=False) if old[name] is not value]
    for name in others:
        yield from edits_between(old[name], new[name], (*path, name))
    yield from ([[*path, name], value] for name, value in islice(new.items(), len(stays), None))


def _of_list(old: Sequence[Any], new: Sequence[Any], path: tuple[str, ...]) -> Iterator[Edit]:
    """Yield the changes of a list: items removed or added at the front, then what is between the ends."""
    at_front = 0
    if old and new and not _alike(old[0], new[0]):
        if gone := _position(new[0], old):
            yield [list(path), 0, gone, []]
            old = old[gone:]
        elif come := _position(old[0], new):
            yield [list(path), 0, 0, new[:come]]
            new, at_front = new[come:], come
    shorter = min(len(old), len(new))
    before = next((at for at in range(shorter) if not _alike(old[at], new[at])), shorter)
    left = shorter - before
    behind = next((at for at in range(left) if not _alike(old[-1 - at], new[-1 - at])), left)
    if before < max(len(old), len(new)) - behind:
        start, stop = at_front + before, at_front + len(old) - behind
        yield [list(path), start, stop, new[before : len(new) - behind]]


def _position(item: Any, items: Sequence[Any]) -> int:
    return next((at for at, each in enumerate(items) if _alike(each, item)), 0)
