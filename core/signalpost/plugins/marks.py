"""Marks: what decorators write on a function for discovery, and their checks of the function.

A mark is an attribute of the function, so there is no global registry. A problem is a mark as well: so all problems of
a module are found when it is loaded, not only the first.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType, ModuleType
from typing import Any

from signalpost.errors import PluginError
from signalpost.handlers import Handler
from signalpost.plugins.action import Action

_ATTRIBUTE = "__signalpost__"
_RECORD = "__signalpost_marked__"
_OURS = frozenset({__name__, "signalpost.plugins.decorators", "signalpost.plugins.hookspecs"})


@dataclass(frozen=True, slots=True)
class MarkProblem:
    """A problem with a decorator or with the function below it.

    Attributes:
        name: of the handler or action that is not created.
        where: ``file:line`` of the function.
    """

    name: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of decorators on a function, those nearer to it last.

    Attributes:
        handlers: one per name and kind.
        actions: one per name.
        faults: one per faulty decorator.
    """

    handlers: tuple[Handler, ...] = ()
    actions: tuple[Action, ...] = ()
    faults: tuple[MarkProblem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.handlers or self.actions or self.faults)


NO_MARKS = Marks()


def marks_of(candidate: object) -> Marks:
    """Return the marks of an object; none if it is not decorated.

    Objects to which `functools.wraps` has copied the marks have them: a function, a `functools.partial`, a callable
    object. Results of an object's ``__getattr__`` do not count as its marks.
    """
    try:
        found = object.__getattribute__(candidate, "__dict__").get(_ATTRIBUTE)
    except AttributeError:
        return NO_MARKS
    return found if isinstance(found, Marks) else NO_MARKS


def marked_in(module: ModuleType) -> Sequence[object]:
    """Return what decorators have marked in the code of a module, in their order, even if it was replaced since."""
    found: Sequence[object] = vars(module).get(_RECORD, ())
    return found


def mark_handler(function: Callable[..., Any], made: Handler) -> None:
    """Mark a function as a handler; the same name and kind again add a binding to the same handler."""
    marks = marks_of(function)
    others = marks.handlers
    for index, other in enumerate(others):
        if (other.name, other.kind) == (made.name, made.kind):
            cancel = made.cancel_when_gone or other.cancel_when_gone
            both = replace(other, bindings=made.bindings + other.bindings, cancel_when_gone=cancel)
            _write(function, replace(marks, handlers=(*others[:index], both, *others[index + 1 :])))
            return
    _write(function, replace(marks, handlers=(made, *others)))


def mark_action(function: Callable[..., Any], made: Action) -> None:
    """Mark a function as an action."""
    marks = marks_of(function)
    _write(function, replace(marks, actions=(made, *marks.actions)))


def mark_fault(function: object, name: object, text: str) -> None:
    """Mark a function as faulty; the name itself may be the problem.

    Raises:
        PluginError: the decorated object is not a function, so the mark would be lost. The plugin's name is unknown
            here; the module's is used instead.
    """
    where = where_is(function)
    if not inspect.isfunction(function):
        if where == repr(function):  # a class, or an object
            caller = _caller()
            where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        raise PluginError(getattr(function, "__module__", None) or "?", where, text)
    marks = marks_of(function)
    _write(function, replace(marks, faults=(MarkProblem(str(name), where, text), *marks.faults)))


def where_is(function: object) -> str:
    """Return where a function begins (at its first decorator, if it has one): ``/app/plugins/clock.py:12``."""
    code = getattr(_unwrapped(function), "__code__", None) if callable(function) else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _unwrapped(function: Callable[..., Any]) -> Any:
    while isinstance(function, partial):
        function = function.func
    try:
        return inspect.unwrap(function)
    except ValueError:  # it wraps itself
        return function


def check_name(name: object, what: str) -> None:
    """Check that `name` can be written in routes.yaml.

    Args:
        name: to check.
        what: has the name: ``a handler``.

    Raises:
        ValueError: it is not text, is empty, or has control characters or spaces at its ends.
    """
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise ValueError(f"{what}'s name is a word or several, not {name!r}")


def check_handler(function: object) -> None:
    """Check that `function` can be a handler.

    Raises:
        ValueError: it is not an ``async def``, or cannot be called with one event.
    """
    if inspect.isasyncgenfunction(function):
        raise ValueError("a handler must not yield: it broadcasts with event.broadcast(…)")
    if not inspect.iscoroutinefunction(function):
        what = f"{function.__name__} is a plain def" if inspect.isfunction(function) else f"{function!r} is none"
        raise ValueError(f"a handler is an async def taking one event; {what}")
    if not _takes(function, 1):
        raise ValueError(f"a handler takes one argument, the event; this one is {_shown(function)}")


def check_action(function: object) -> None:
    """Check that `function` can be an action.

    Raises:
        ValueError: it is not a function, or cannot be called with an event and options.
    """
    if not callable(function) or inspect.isclass(function):
        raise ValueError(f"an action is a def or an async def taking the event and the options; {function!r} is none")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError("an action must not yield: it broadcasts with event.broadcast(…)")
    if not _takes(function, 2):
        raise ValueError(f"an action takes two arguments, the event and the options; this one is {_shown(function)}")


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function, follow_wrapped=False).bind(*range(count))
    except TypeError:
        return False
    return True


def _shown(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__name__', 'it')}{inspect.signature(function, follow_wrapped=False)}"


def _write(function: Callable[..., Any], marks: Marks) -> None:
    try:
        setattr(function, _ATTRIBUTE, marks)
    except AttributeError:
        raise TypeError(f"{function!r} cannot be decorated; decorate the function itself") from None
    record(function)


def record(function: object) -> None:
    """Record a decorated object in the module that applies the decorator, which may not keep it under a name."""
    _caller().f_globals.setdefault(_RECORD, []).append(function)


def _caller() -> FrameType:
    """Return the frame of the code that applies a decorator."""
    frame = sys._getframe(1)  # noqa: SLF001 - as collections.namedtuple finds the module it is called from
    while frame.f_globals.get("__name__") in _OURS and frame.f_back is not None:
        frame = frame.f_back
    return frame
