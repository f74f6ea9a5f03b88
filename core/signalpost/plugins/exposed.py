"""The objects that a module exposes for functions marked by our decorators.

A decorator above ours (``@require_login`` above ``@signal``) replaces the function by another object. The author
intends that object to be served: it has the marks if it was created with `functools.wraps`. Without marks, the marked
function has no name in the module. That is reported as a problem; otherwise the function would be served without its
guard.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any, TypeVar

from signalpost.handlers import Handler
from signalpost.plugins.action import Action
from signalpost.plugins.loaded import parts_of
from signalpost.plugins.marks import MarkProblem, Marks, check_action, check_handler, marked_in, marks_of

_Made = TypeVar("_Made", Handler, Action)
_Key = tuple[str, str, str]


def exposed_marks(module: ModuleType) -> Marks:
    """Return the marked objects of a module, or for a package of all modules below it, as it exposes them.

    Each handler's and action's function is the object that has a name in the module: the outermost decorator's.
    Functions that cannot be served in this way are among the faults.
    """
    inside = module.__name__ + "."
    homes = parts_of(module)
    marked = {id(each): each for home in homes for each in marked_in(home)}
    own = {key for each in marked.values() for key in _keys(marks_of(each))}
    collected = _Collected()
    for name, candidate in list(vars(module).items()):
        marks = marks_of(candidate)
        home = getattr(candidate, "__module__", None) if marks else ""
        if marks and (home == module.__name__ or str(home).startswith(inside) or own & set(_keys(marks))):
            collected.add(name, candidate, marks)
    reachable = {key for home in homes for each in vars(home).values() for key in _keys(marks_of(each))}
    for function in marked.values():
        collected.faults += _hidden(marks_of(function), reachable)
    return Marks(tuple(collected.handlers), tuple(collected.actions), tuple(dict.fromkeys(collected.faults)))


class _Collected:
    """The handlers and actions of one module, each with the object to call."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []
        self.actions: list[Action] = []
        self.faults: list[MarkProblem] = []
        self._names: dict[_Key, tuple[str, Any]] = {}  # by key: its name, and the object

    def add(self, name: str, candidate: Any, marks: Marks) -> None:
        """Add an object with its marks; `name` is its name in the module."""
        self.faults += marks.faults
        for handler in marks.handlers:
            self.handlers += self._served(name, candidate, handler, _key_of(handler), check_handler)
        for action in marks.actions:
            self.actions += self._served(name, candidate, action, _key_of(action), check_action)

    def _served(
        self, name: str, candidate: Any, made: _Made, key: _Key, check: Callable[[object], None]
    ) -> Iterator[_Made]:
        """Yield a handler or action with the object that the module exposes; nothing if that cannot be served."""
        what = f'{key[0]} "{made.name}"'
        other, there = self._names.setdefault(key, (name, candidate))
        if there is not candidate:
            text = f"{what} is both {other} and {name} in this module, and one wraps the other; keep one under a name"
            self.faults.append(MarkProblem(made.name, made.where, text))
            return
        if other != name:  # the same object under a second name
            return
        if candidate is made.function:
            yield made
            return
        try:
            check(candidate)
            _check_waits(made.function, candidate)
        except (ValueError, TypeError) as error:
            text = f"{what}: the decorator above @{key[0]} makes something else of it: {error}"
            self.faults.append(MarkProblem(made.name, made.where, text))
        else:
            yield replace(made, function=candidate)


def _check_waits(function: object, outer: object) -> None:
    """Check that the replacement of an ``async def`` is awaited as well.

    Raises:
        ValueError: it is not.
    """
    if inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(outer):
        raise ValueError("of an async def it makes a plain one, which nobody awaits; make its wrapper an async def")


def _hidden(marks: Marks, reachable: set[_Key]) -> Iterator[MarkProblem]:
    """Yield the problem of a marked function that has no name in any module."""
    hidden = [made for made in _made(marks) if _key_of(made) not in reachable]
    for made in hidden:
        kind = _key_of(made)[0]
        text = (
            f'{kind} "{made.name}": its module has this function under no name. A decorator above @{kind} would be '
            f"left out: put @{kind} above it, or use functools.wraps in that decorator. A function in a class, or one "
            "whose name is defined again, cannot be served either"
        )
        yield MarkProblem(made.name, made.where, text)
    if hidden or not _keys(marks):
        yield from marks.faults


def _made(marks: Marks) -> tuple[Handler | Action, ...]:
    return (*marks.handlers, *marks.actions)


def _key_of(made: Handler | Action) -> _Key:
    kind = made.kind.value if isinstance(made, Handler) else "action"
    return kind, made.name, made.where


def _keys(marks: Marks) -> list[_Key]:
    return [_key_of(made) for made in _made(marks)]
