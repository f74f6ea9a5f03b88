"""Compiled steps: the elements of a list of actions at run time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from signalpost.actions.execution import Names, Run
from signalpost.actions.names import Getter
from signalpost.errors import StepFailedError
from signalpost.templates.value import Fixed, TemplateFailedError, Value

Effect = Callable[[Run, Any], Any]
"""Runs a step with its rendered options; its result is awaited if it is awaitable."""

Render = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a step, and the sources of the names that they use.

    Attributes:
        fixed: the options, if there is nothing to render.
        render: else returns them for a scope.
        getters: of the names that are used.
    """

    fixed: Any = field(repr=False)
    render: Render | None = None
    getters: tuple[tuple[str, Getter], ...] = ()

    def of(self, run: Run) -> Any:
        """Return the options of a run; raises `TemplateFailedError`."""
        if self.render is None:
            return self.fixed
        names = Names(run.clock)
        for name, getter in self.getters:
            names[name] = getter(run)
        return self.render(names)

    def give(self, scope: Mapping[str, Any]) -> Any:
        """Return the options for a scope of all names that they use."""
        return self.fixed if self.render is None else self.render(scope)

    @property
    def names(self) -> frozenset[str]:
        """The names that they use."""
        return frozenset(name for name, _ in self.getters)


def fill(options: Options, name: str, event: Any) -> Any:
    """Return options for an event, outside of any list of actions: those of a job's handler.

    Raises:
        StepFailedError: a template failed; `name` is the name of the options.
    """
    try:
        return options.of(Run(event))
    except TemplateFailedError as error:
        raise StepFailedError(error.where, name, error.text) from error


@dataclass(frozen=True, slots=True)
class Leaf:
    """A step with one effect.

    Attributes:
        name: of the action.
        where: its place: ``routes.yaml:14:9``.
        effect: called with the options.
        waits: whether it must be awaited.
        code: the plugin's code, if it is a plugin's: ``handler "shout" of plugin shout (plugins/shout.py:7)``.
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
    """``for`` and its ``do``; `variable` is the name of the item, `index` that of its number, if it has one."""

    name: str
    where: str
    options: Options
    variable: str
    body: "tuple[Step, ...]"
    index: str | None = None


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
    """Join options that were compiled one by one, by name."""
    return _together(parts.values(), lambda scope: {name: part.give(scope) for name, part in parts.items()})


def paired(pairs: Sequence[tuple[Options, Options]]) -> Options:
    """Join pairs of options that were compiled one by one."""
    parts = [part for pair in pairs for part in pair]
    return _together(parts, lambda scope: [(one.give(scope), other.give(scope)) for one, other in pairs])


def _together(parts: Collection[Options], render: Render) -> Options:
    if all(part.render is None for part in parts):
        return Options(render({}))
    names = {name: getter for part in parts for name, getter in part.getters}
    return Options(None, render, tuple(names.items()))
