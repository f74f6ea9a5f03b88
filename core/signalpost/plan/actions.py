"""Compiles the lists of actions of routes.yaml: resolves handlers and plugins' actions, compiles templates, once."""

import copy
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from signalpost.actions.builtin import BUILT_IN
from signalpost.actions.declaration import BuiltIn
from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError
from signalpost.actions.names import (
    ATTRIBUTES,
    GETTERS,
    MESSAGE_KEYS,
    OF_IDENTITY,
    WITH_IDENTITY,
    Getter,
    constant,
    variable,
)
from signalpost.actions.program import Program
from signalpost.actions.steps import Branch, Effect, Leaf, Loop, Options, Step, Stop, options_of
from signalpost.config.actions import GRAMMAR, Place, called
from signalpost.config.model import RouteConfig, ServerConfig, SignalConfig, StepConfig
from signalpost.config.schema.judge import holds, judge_shape
from signalpost.events import given_to
from signalpost.handlers import Handler, HandlerKind
from signalpost.paths import PathPattern
from signalpost.places import Keys, Part
from signalpost.plan.resolver import JOB_KINDS, Resolver
from signalpost.plugins.action import Action
from signalpost.plugins.authentication import AUTHENTICATE
from signalpost.plugins.registry import Registry
from signalpost.templates.check import Names
from signalpost.templates.compiler import Compiler, is_template
from signalpost.templates.outcomes import Outcomes

_KINDS: Mapping[Place, tuple[HandlerKind, ...]] = {
    Place.SIGNAL: (HandlerKind.SIGNAL,),
    Place.ROUTE: (HandlerKind.ROUTE,),
    Place.JOB: JOB_KINDS,
    Place.FEED: (HandlerKind.FEED,),
}
Shapes = Mapping[str, frozenset[str]]
"""All attributes of a list's names, for names with known attributes."""

_NO_ACTION = BuiltIn(schema={})
_NO_SHAPES: Shapes = MappingProxyType({})


class StepCompiler:
    """Compiles the lists of one plan.

    Args:
        resolver: finds handlers, and receives problems.
    """

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        registry = resolver.registry
        self._compiler = Compiler(registry.template_globals, registry.template_filters)
        self._markup = Compiler(registry.template_globals, registry.template_filters, escape=True)
        self._has_additions = bool(registry.template_globals or registry.template_filters)
        self._constants = resolver.config.constants
        everywhere = {"settings": constant(resolver.config.plugins.settings), "constants": constant(self._constants)}
        self._everywhere: Mapping[str, Getter] = everywhere
        identity = OF_IDENTITY if has_identity(resolver.config, registry) else {}
        self._getters = {
            place: {**getters, **everywhere, **(identity if place in WITH_IDENTITY else {})}
            for place, getters in GETTERS.items()
        }

    def program(self, configs: tuple[StepConfig, ...], place: Place, shapes: Shapes = _NO_SHAPES) -> Program | None:
        """Compile a list of actions, and report its problems; None if there is no list.

        Args:
            configs: the list.
            place: of the list.
            shapes: attributes of names, in addition to those known everywhere.
        """
        if not configs:
            return None
        known = {**ATTRIBUTES, "constants": frozenset(self._constants), **shapes}
        scope = _Scope(place, self._getters[place], known)
        steps = self.steps(configs, scope)
        names = frozenset().union(*(step.options.names for step in _flat(steps)))
        if self.resolver.config.backplane is not None and "matched" in names:
            steps = self.steps(configs, replace(scope, counts=True))
        leaves = [step for step in _flat(steps) if isinstance(step, Leaf)]
        return Program(
            configs,
            steps,
            waits=any(leaf.waits for leaf in leaves),
            foreign=self._has_additions or any(leaf.code for leaf in leaves),
            calls=frozenset(called(configs)),
            names=names,
            constants=self._constants if "constants" in names else {},
        )

    def arguments(self, value: Mapping[str, Any], keys: Keys) -> Options | None:
        """Compile the ``arguments`` of the job at `keys`; None if there is nothing to render."""
        name = "arguments"
        getters = {key: getter for key, getter in self._getters[Place.JOB].items() if key != name}
        known = {**ATTRIBUTES, "constants": frozenset(self._constants)}
        step = StepConfig(keys, name, value)
        options = _Draft(self, step, _Scope(Place.JOB, getters, known)).options(value)
        return None if options.render is None else options

    def info(self, value: Any, keys: Keys, shapes: Shapes) -> Callable[[Any], Any] | None:
        """Compile what others see of a client that is present; None if it is nothing.

        Args:
            value: from routes.yaml.
            keys: of its mapping.
            shapes: see `program`.

        Returns:
            Renders it for the event of the client's arrival.
        """
        if value is None:
            return None
        known = {**ATTRIBUTES, "constants": frozenset(self._constants), **shapes}
        scope = _Scope(Place.CONNECTED, self._getters[Place.CONNECTED], known)
        options = _Draft(self, StepConfig(keys, "info", value), scope).options(value)
        return lambda event: options.of(Run(event))

    def expression(self, text: str, keys: Keys, getters: Mapping[str, Getter], shapes: Shapes) -> Options:
        """Compile one expression, which is no part of a list.

        Args:
            text: of it.
            keys: of the text.
            getters: of the names that it may use, besides those that every template has.
            shapes: see `program`.
        """
        known = {**ATTRIBUTES, "constants": frozenset(self._constants), **shapes}
        scope = _Scope(Place.SIGNAL, {**getters, **self._everywhere}, known)
        return self.value(text, keys, scope, markup=False, of_key=False)

    def outcomes(self, text: str, options: Options, subject: Any, unknown: Collection[str]) -> Outcomes:
        """Return what an expression may give for a subject if some of its names are not known.

        Args:
            text: of the expression.
            options: that were compiled from it.
            subject: that its getters ask.
            unknown: see `signalpost.templates.compiler.Compiler.outcomes`.
        """
        names = {name: getter(subject) for name, getter in options.getters if name not in unknown}
        return self._compiler.outcomes(text, names, unknown)

    def steps(self, configs: tuple[StepConfig, ...], scope: "_Scope") -> tuple[Step, ...]:
        """Compile steps with the same names."""
        return tuple(self._steps(configs, scope))

    def _steps(self, configs: tuple[StepConfig, ...], scope: "_Scope") -> Iterator[Step]:
        for index, config in enumerate(configs):
            action = BUILT_IN.get(config.name, _NO_ACTION)
            draft = _Draft(self, config, scope, action)
            names = _names_of(config) if action.binds else ()
            for name in names:
                if name not in scope.given or self.has_meaning(name):  # else a ``let`` above has defined it
                    draft.check_name(name, name, of_key=True)
            step = _GRAMMAR.get(config.name, _plugin_step)(draft) if action is _NO_ACTION else action.compile(draft)
            if step is not None:
                yield step
            scope = scope.knowing(*names)
            if config.name == "stop" and index + 1 < len(configs):
                self.note(f"{self.place(configs[index + 1].keys)}: nothing is done after stop")

    def has_meaning(self, name: str) -> bool:
        """Return whether a name has a meaning in every template."""
        return self._compiler.has_meaning(name)

    def value(self, value: Any, keys: Keys, scope: "_Scope", *, markup: bool, of_key: bool) -> Options:
        """Compile the value at `keys`, or the key there."""
        resolver = self.resolver
        compiled = (self._markup if markup else self._compiler).compile(
            value,
            keys,
            Names(scope.getters, scope.attributes),
            resolver.template_problem,
            self.where,
            of_key=of_key,
            outside=resolver.config.source.outside,
        )
        return options_of(compiled, scope.getters)

    def where(self, keys: Keys, *, of_key: bool = False, part: Part | None = None) -> str:
        """Return the place of a value, of its key, or of a part of it: ``routes.yaml:14:9``."""
        problem = self.resolver.config.source.problem(keys, "", of_key=of_key, part=part)
        return f"{problem.file}:{problem.line}:{problem.column}"

    def place(self, keys: Keys) -> str:
        """Return the line of a value: ``routes.yaml:14``."""
        return self.resolver.config.source.place(keys)

    def note(self, text: str) -> None:
        """Report what is valid but may not be intended."""
        self.resolver.report.note(text)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The names that the steps of a list can use.

    Attributes:
        place: of the list.
        getters: of all names that they may use.
        attributes: of names, if known.
        given: the names that steps of the list have defined.
        counts: whether a broadcast waits until it is known how many clients all nodes have for it.
    """

    place: Place
    getters: Mapping[str, Getter]
    attributes: Shapes
    given: frozenset[str] = frozenset()
    counts: bool = False

    def knowing(self, *names: str) -> "_Scope":
        """Return the scope of steps with additional names, defined in the list itself."""
        getters = {**self.getters, **{name: variable(name) for name in names}}
        return replace(self, getters=getters, given=self.given.union(names))


def _names_of(config: StepConfig) -> tuple[str, ...]:
    return tuple(config.options) if isinstance(config.options, dict) else ()


@dataclass(frozen=True, slots=True)
class _Draft:
    """A step under compilation; see `signalpost.actions.declaration.Draft`."""

    compiler: StepCompiler
    config: StepConfig
    scope: _Scope
    action: BuiltIn = _NO_ACTION

    @property
    def keys(self) -> Keys:
        """The path to its options."""
        return (*self.config.keys, self.config.name)

    @property
    def where(self) -> str:
        """The place of its name."""
        return self.compiler.where(self.keys, of_key=True)

    def options(self, value: Any, *below: str | int, markup: bool = False, of_key: bool = False) -> Options:
        return self.compiler.value(value, (*self.keys, *below), self.scope, markup=markup, of_key=of_key)

    def leaf(self, options: Options, effect: Effect | None = None, *, code: str = "") -> Leaf:
        action = self.action
        if self.scope.counts and effect is None and action.counted is not None:
            return Leaf(self.config.name, self.where, options, action.counted, waits=True, code=code)
        return Leaf(self.config.name, self.where, options, effect or action.effect, waits=action.waits, code=code)

    def handler(self) -> Handler | None:
        config = self.config
        if not isinstance(config.options, str):
            return None
        return self.compiler.resolver.handler(config.options, config.keys, *_KINDS[self.scope.place], key=config.name)

    def problem(self, text: str, *below: str | int, of_key: bool = False) -> None:
        self.compiler.resolver.report.problem((*self.keys, *below), text, of_key=of_key)

    def check_name(self, name: str, *below: str, of_key: bool = False) -> None:
        """Report that a name has another meaning already."""
        if name in self.scope.getters or self.compiler.has_meaning(name):
            self.problem(f'the name "{name}" means something else here already: choose another', *below, of_key=of_key)


def has_identity(config: ServerConfig, registry: Registry) -> bool:
    """Return whether clients may have an identity: only then do ``user`` and ``claims`` mean something."""
    return config.auth is not None or bool(registry.implementations.get(AUTHENTICATE))


def _if(draft: _Draft) -> Step:
    config, steps = draft.config, draft.compiler.steps
    then, otherwise = steps(config.then, draft.scope), steps(config.otherwise, draft.scope)
    return Branch(config.name, draft.where, draft.options(config.options), then, otherwise)


def _for(draft: _Draft) -> Step:
    config, scope = draft.config, draft.scope
    options = config.options if isinstance(config.options, dict) else {}
    names = {key: str(options[key]) for key in ("each", "index") if key in options}
    for key, name in names.items():
        draft.check_name(name, key)
    inside = replace(scope, getters={**scope.getters, **{name: variable(name) for name in names.values()}})
    return Loop(
        config.name,
        draft.where,
        draft.options(options.get("in"), "in"),
        str(options.get("each", "")),
        draft.compiler.steps(config.body, inside),
        options.get("index"),
    )


def _stop(draft: _Draft) -> Step:
    return Stop(draft.config.name, draft.where, Options(draft.config.options))


def _plugin_step(draft: _Draft) -> Step | None:
    """Compile a plugin's action."""
    config, resolver = draft.config, draft.compiler.resolver
    options = draft.options(config.options)
    registry = resolver.registry
    action = registry.actions.get(config.name)
    if action is None:
        if config.name not in registry.faulty and not resolver.gaps.plugins:
            known = (*BUILT_IN, *GRAMMAR, *registry.actions)
            draft.problem(resolver.unknown("action", config.name, known), of_key=True)
        return None
    for misfit in judge_shape(config.options, action.schema, is_template):
        draft.problem(f"{misfit.text} (says plugin {action.plugin})", *misfit.keys, of_key=misfit.of_key)
    effect = effect_of(action, config.options)
    return Leaf(config.name, draft.where, options, effect, waits=action.waits, code=str(action.code))


_GRAMMAR: Mapping[str, Callable[[_Draft], Step | None]] = {"if": _if, "for": _for, "stop": _stop}


def _flat(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield steps, and those inside them."""
    for step in steps:
        yield step
        if isinstance(step, Branch):
            yield from _flat((*step.then, *step.otherwise))
        elif isinstance(step, Loop):
            yield from _flat(step.body)


def effect_of(action: Action, options: Any) -> Effect:
    """Return the effect of the step.

    Args:
        action: valid, with a gate.
        options: from routes.yaml; if they contain templates, they are validated after each rendering.

    Returns:
        an ``async def`` if the action is one.
    """
    rendered, code = holds(options, is_template), action.code

    def ready(given: Any) -> Any:
        # Options without templates are validated already; but the function may change them, so it gets a copy.
        return _judged(action, given) if rendered else copy.deepcopy(given)

    async def handle(run: Run, given: Any) -> None:
        await code.run(action.function, given_to(run.event, code.seat), ready(given))

    def do(run: Run, given: Any) -> None:
        if inspect.isawaitable(outcome := code.call(action.function, given_to(run.event, code.seat), ready(given))):
            if inspect.iscoroutine(outcome):
                outcome.close()
            raise OptionError(f"{action.where} is no async def, so its result is not awaited: make it one")

    return handle if action.waits else do


def _judged(action: Action, options: Any) -> Any:
    if action.gate is not None and not action.gate.accepts(options):
        rejection = action.gate.explain(options)
        place = f" at {rejection.pointer}" if rejection.pointer else ""
        raise OptionError(f"its options{place}: {rejection.detail}")
    return options


def signal_shapes(signal: SignalConfig) -> Shapes:
    """Return all attributes of names in a signal's lists, for names with known attributes."""
    keys = allowed_keys(None if signal.schema is None else signal.schema.document)
    return _params(signal.path) | ({} if keys is None else {"data": keys | MESSAGE_KEYS})


def route_shapes(route: RouteConfig) -> Shapes:
    """Return all attributes of names in a route's list, for names with known attributes."""
    keys = allowed_keys(None if route.schema is None else route.schema.document)
    return _params(route.path) | ({} if keys is None else {"data": keys})


def allowed_keys(document: Any) -> frozenset[str] | None:
    """Return all keys that a JSON Schema allows in a mapping; None if others are allowed, too.

    ``{"properties": {"to": {}}, "additionalProperties": false}`` allows ``to``.
    """
    if not isinstance(document, Mapping) or document.get("additionalProperties") is not False:
        return None
    if "$ref" in document:  # before draft 2019-09 keywords beside it are ignored
        return None
    return None if document.get("patternProperties") else frozenset(document.get("properties", ()))


def _params(path: PathPattern) -> dict[str, frozenset[str]]:
    return {"params": frozenset(parameter.name for parameter in path.parameters)}
