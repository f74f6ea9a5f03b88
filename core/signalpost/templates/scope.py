"""One rendering: its names, and the time and room that are left."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any

from jinja2 import Environment, Undefined
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.utils import missing

from signalpost.state.state import StateView, picked
from signalpost.state.weight import PLAIN, VALUE, Weigher, of_few
from signalpost.templates.attributes import contains, item, kind, visible
from signalpost.templates.clock import WorkClock
from signalpost.templates.clock import too_long as too_long_work
from signalpost.templates.failures import StoppedError
from signalpost.templates.text import as_data, as_text
from signalpost.templates.value import FailureKind
from signalpost.units import MEBIBYTE

# Characters that an item of a list counts for: its place, and a little of its usual content.
ITEM = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one rendering.

    Attributes:
        seconds: of work; the clock is checked in every iteration of a loop, every call and every filter. A step of a
            list of actions may have less, see `Scope`.
        characters: of a created text; a list may have a sixteenth as many items. Values that are only passed on
            do not count.
        made: of all texts and lists created meanwhile, in characters.
        value: of a created list or mapping, with all its contents (`signalpost.state.weight`). So
            every traversal of one ends: a comparison, a sort, JSON.
        depth: of macros and recursive loops that call each other.
    """

    seconds: float = 0.1
    characters: int = MEBIBYTE
    made: int = 16 * MEBIBYTE
    value: int = 16 * MEBIBYTE
    depth: int = 32


class Scope(Context):
    """The names of one rendering: Jinja2's context, cheap enough for every message.

    If the names have a clock (`signalpost.actions.execution.Names`) with less time, it limits the rendering.

    Jinja2's own copies all names and creates five objects more; templates that neither include nor extend others need
    only this.
    """

    def __init__(
        self, environment: Environment, evaluation: EvalContext, names: Mapping[str, Any], limits: Limits
    ) -> None:
        self.environment = environment
        self.eval_ctx = evaluation
        self.parent = names  # type: ignore[assignment]
        self.vars = {}
        self.exported_vars = set()
        self._limits = limits
        shared: WorkClock | None = getattr(names, "clock", None)
        self._is_own = shared is None or shared.seconds > limits.seconds
        self._clock = WorkClock(limits.seconds) if shared is None or self._is_own else shared
        self._made = 0
        self._depth = 0
        self._weights: _Weights | None = None

    @property
    def weights(self) -> "_Weights":
        """The known weights of lists and mappings."""
        if self._weights is None:
            # Not this scope's own `tick`: that would be a reference cycle, and keep all weighed values for the garbage
            # collector.
            self._weights = _Weights(partial(_look, self._clock, self._limits.seconds, self._is_own))
        return self._weights

    def end(self) -> None:
        """Drop all names: a recursive macro is a reference cycle, which would keep them until the collector runs."""
        self.vars.clear()
        self.parent = {}
        self._weights = None

    def resolve_or_missing(self, key: str) -> Any:
        """Look up a name: first those set by the template, then the names of its place, then the globals."""
        if key in self.vars:
            return self.vars[key]
        if key in self.parent:
            return self.parent[key]
        return self.environment.globals.get(key, missing)

    def derived(self, locals: dict[str, Any] | None = None) -> "Scope":  # noqa: A002, ARG002 - Jinja2's signature
        """Return this very scope for functions that request one: it has the clock, and they need no loop's names."""
        return self

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls, within the limits."""
        self.tick()
        if not isinstance(function, Macro | LoopContext):
            return self.keep(super().call(function, *args, **kwargs))
        if isinstance(function, LoopContext):
            args = (Each(self, args[0]), *args[1:]) if args else args
        elif args or kwargs:  # which a macro may name `varargs` and `kwargs`
            self.weigh([*args, *kwargs.values()])
        self._depth += 1
        if self._depth > self._limits.depth:
            raise StoppedError(
                FailureKind.SIZE, f"macros and loops call each other more than {self._limits.depth} deep"
            )
        result = self.keep(super().call(function, *args, **kwargs))
        self._depth -= 1
        return result

    def tick(self) -> None:
        """Check the clock.

        Raises:
            StoppedError: the time is over.
        """
        if self._clock.is_over():
            raise _stopped(self._clock, self._limits.seconds, self._is_own)

    def check(self, characters: int) -> None:
        """Check the length of a growing text.

        Raises:
            StoppedError: it is too long.
        """
        if characters > self._limits.characters:
            raise StoppedError(FailureKind.SIZE, too_long(self._limits))

    def room(self, characters: int) -> None:
        """Check, before a text is created, whether it may be that long.

        Raises:
            StoppedError: it may not, or the total would be too large.
        """
        self.check(characters)
        self._made += characters
        if self._made > self._limits.made:
            raise StoppedError(FailureKind.SIZE, f"it makes more than {self._limits.made:,} characters on its way")

    def room_for_items(self, items: int) -> None:
        """Check, before a list is created, whether it may have that many items.

        Raises:
            StoppedError: it may not, or the total would be too large.
        """
        if items * ITEM > self._limits.characters:
            raise StoppedError(
                FailureKind.SIZE, f"it makes a list of more than {self._limits.characters // ITEM:,} items"
            )
        self.room(items * ITEM)

    def keep(self, value: Any) -> Any:
        """Count the result of a filter or function, and return it.

        Raises:
            StoppedError: it is too large.
        """
        if isinstance(value, str):
            self.room(len(value))
        elif isinstance(value, list | tuple | set | frozenset | Mapping):
            self.room_for_items(len(value))
            self.weigh(value)
        return value

    def weigh(self, value: Any) -> Any:
        """Check the weight of a created list or mapping, and return it.

        Raises:
            StoppedError: it is too large.
        """
        weight, _ = of_few(value) or self.weights.measure(value)
        self.check_weight(weight)
        return value

    def check_weight(self, weight: int) -> None:
        """Check the weight that a list or mapping has, or will have.

        Raises:
            StoppedError: it is too large.
        """
        if weight > self._limits.value:
            text = f"it makes a value of more than {self._limits.value:,} characters, all that stands in it counted"
            raise StoppedError(FailureKind.SIZE, text)

    def text(self, value: Any) -> str:
        """Do the same as `as_text`, with clock checks."""
        return as_text(value, self.tick)

    def data(self, value: Any) -> Any:
        """Do the same as `as_data`, with clock checks."""
        if type(value) in PLAIN or of_few(value) is not None:
            return value
        return as_data(value, self.weights, self.tick)

    def collect(self, items: Iterable[Any]) -> list[Any]:
        """Return a list of what a filter yields, which is at most its input.

        Raises:
            StoppedError: the total would be too large.
        """
        collected = list(items)
        self.room_for_items(len(collected))
        self.weigh(collected)
        return collected


def _look(clock: WorkClock, seconds: float, is_own: bool) -> None:
    """Do the same as `Scope.tick`."""
    if clock.is_over():
        raise _stopped(clock, seconds, is_own)


def _stopped(clock: WorkClock, seconds: float, is_own: bool) -> StoppedError:
    """Return the error for a time limit: the template's own, or that of its steps."""
    text = f"it takes longer than {seconds * 1000:g} ms" if is_own else too_long_work(clock)
    return StoppedError(FailureKind.TIME, text)


class _Weights(Weigher):
    """The weights of one rendering: for a dataclass, that of its visible parts."""

    __slots__ = ()

    def other(self, value: Any) -> int:
        if is_dataclass(value) and not isinstance(value, type):
            return self.measure(dict(visible(value)))[0]
        return VALUE


class Each:
    """The items of a loop; the clock is checked in each iteration.

    It has a length if `items` have one, so that `loop.length` needs no second pass.
    """

    __slots__ = ("_items", "_scope")

    def __init__(self, scope: Scope, items: Any) -> None:
        if not isinstance(items, Iterable):
            raise StoppedError(FailureKind.VALUE, f"a loop goes through a list or mapping, not through {kind(items)}")
        self._scope = scope
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        tick = self._scope.tick
        for each in self._items:
            tick()
            yield each

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]


class Holder:
    """A mapping, for tests whether a key is in it."""

    __slots__ = ("_mapping",)

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        self._mapping = mapping

    def __contains__(self, key: object) -> bool:
        return contains(self._mapping, key)


def holder(_scope: Scope, value: Any) -> Any:
    """Return an object for membership tests in a value: for a mapping, a `Holder`."""
    return Holder(value) if isinstance(value, Mapping) else value


def made(scope: Scope, value: Any) -> Any:
    """Check the weight of a list or mapping written in a template, and return it.

    Raises:
        StoppedError: it is too large.
    """
    return scope.weigh(value)


def pick(_scope: Scope, value: Any, *keys: Any) -> Any:
    """Return ``value[key][key]``, with keys or attributes; a missing value is an `Absent`.

    Raises:
        StoppedError: as in `signalpost.templates.attributes.item`.
    """
    if type(value) is StateView:
        return picked(value, [(item, key) for key in keys])
    for key in keys:
        value = item(value, key)
    return value


def cut(scope: Scope, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Return ``value[start:stop:step]``.

    Raises:
        StoppedError: it is neither text nor list, or the total would be too large.
    """
    if isinstance(value, Undefined):
        return value
    if not isinstance(value, str | list | tuple):
        raise StoppedError(FailureKind.VALUE, f"slices are of texts and lists, not of {kind(value)}")
    scope.tick()
    return scope.keep(value[start:stop:step])


def too_long(limits: Limits) -> str:
    """Return the words for a text that is too long."""
    return f"it makes a text of more than {limits.characters:,} characters"
