"""Compiled steps: what a list of actions is made of at run time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from signalpost.actions.names import Getter
from signalpost.actions.run import Run
from signalpost.actions.value import Fixed, Value

Effect = Callable[[Run, Any], Any]
"""Does a step, given its rendered options; what it returns, if it is awaitable, is waited for."""

Render = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a step, and where the names that they use come from.

    Attributes:
        fixed: if there is nothing to render.
        render: else gives them for a scope.
        getters: of the names that are used.

    """

    fixed: Any
    render: Render | None = None
    getters: tuple[tuple[str, Getter], ...] = ()

    def of(self, run: Run) -> Any:
        """Give the options of a run; raises `TemplateFailedError`."""
        if self.render is None:
            return self.fixed
        return self.render({name: getter(run) for name, getter in self.getters})

    @property
    def names(self) -> frozenset[str]:
        """What they use."""
        return frozenset(name for name, _ in self.getters)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A step that does one thing.

    Attributes:
        name: of the action.
        where: its place: ``routes.yaml:14:9``.
        effect: does it, given the options.
        waits: whether it is to be awaited.
        code: who wrote its code, if that is a plugin: ``handler "shout" of plugin shout (plugins/shout.py:7)``.

    """

    name: str
    where: str
    options: Options
    effect: Effect
    waits: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, ``then``, ``else``."""

    name: str
    where: str
    options: Options
    then: "tuple[Step, ...]"
    otherwise: "tuple[Step, ...]"


@dataclass(frozen=True, slots=True)
class Loop:
    """``for`` and its ``do``; `variable` is the name of the item."""

    name: str
    where: str
    options: Options
    variable: str
    body: "tuple[Step, ...]"


@dataclass(frozen=True, slots=True)
class Stop:
    """``stop``: the end of the run."""

    name: str
    where: str
    options: Options


Step = Leaf | Branch | Loop | Stop


def options_of(value: Value, getters: Mapping[str, Getter]) -> Options:
    """Join a compiled value with the getters of the names that it uses."""
    if isinstance(value, Fixed):
        return Options(value.value)
    return Options(None, value.render, tuple((name, getters[name]) for name in sorted(value.names)))


def joined(parts: Mapping[str, Options]) -> Options:
    """Put options that were compiled one by one together, by name."""
    names = {name: getter for part in parts.values() for name, getter in part.getters}
    if all(part.render is None for part in parts.values()):
        return Options({name: part.fixed for name, part in parts.items()})

    def render(scope: Mapping[str, Any]) -> dict[str, Any]:
        return {name: part.fixed if part.render is None else part.render(scope) for name, part in parts.items()}

    return Options(None, render, tuple(names.items()))
