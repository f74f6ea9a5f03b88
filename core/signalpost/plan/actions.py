"""Compiles the lists of actions of routes.yaml: finds handlers and plugins' actions, and compiles templates, once."""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from signalpost.actions import effects
from signalpost.actions.execution import Run
from signalpost.actions.given import OptionError
from signalpost.actions.names import ATTRIBUTES, GETTERS, MESSAGE_KEYS, Getter, constant, variable
from signalpost.actions.program import Program
from signalpost.actions.respond import respond, response_of
from signalpost.actions.steps import Branch, Effect, Leaf, Loop, Options, Step, Stop, joined, options_of, paired
from signalpost.config.actions import BUILT_IN, Place, called, split_key
from signalpost.config.model import RouteConfig, SignalConfig, StepConfig
from signalpost.config.schema.judge import SchemaProblem, judge_shape
from signalpost.events import given_to
from signalpost.handlers import HandlerKind
from signalpost.paths import PathPattern
from signalpost.places import Keys, Part
from signalpost.plan.resolver import JOB_KINDS, Resolver
from signalpost.plugins.action import Action
from signalpost.templates.check import Names
from signalpost.templates.compiler import Compiler, is_template

_KINDS: Mapping[Place, tuple[HandlerKind, ...]] = {
    Place.SIGNAL: (HandlerKind.SIGNAL,),
    Place.ROUTE: (HandlerKind.ROUTE,),
    Place.JOB: JOB_KINDS,
}
_LOG_LEVEL = "info"
Shapes = Mapping[str, frozenset[str]]
"""All attributes of names of a list, for the names of which they are known."""

_NO_SHAPES: Shapes = MappingProxyType({})


class StepCompiler:
    """Compiles the lists of one plan.

    Args:
        resolver: finds handlers, and is told what is wrong.

    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        registry = resolver.registry
        self._compiler = Compiler(registry.template_globals, registry.template_filters)
        self._markup = Compiler(registry.template_globals, registry.template_filters, escape=True)
        self._has_additions = bool(registry.template_globals or registry.template_filters)
        self._constants = resolver.config.constants
        everywhere = {"settings": constant(resolver.config.plugins.settings), "constants": constant(self._constants)}
        self._getters = {place: {**getters, **everywhere} for place, getters in GETTERS.items()}

    def program(self, configs: tuple[StepConfig, ...], place: Place, shapes: Shapes = _NO_SHAPES) -> Program | None:
        """Compile a list of actions; what is wrong with it is reported. None if there is none.

        Args:
            configs: the list.
            place: where it stands.
            shapes: what names have, besides what is known of them everywhere.

        """
        if not configs:
            return None
        known = {**ATTRIBUTES, "constants": frozenset(self._constants), **shapes}
        steps = self.steps(configs, _Scope(place, self._getters[place], known))
        leaves = [step for step in _flat(steps) if isinstance(step, Leaf)]
        names = frozenset().union(*(step.options.names for step in _flat(steps)))
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
        options = self.options(value, StepConfig(keys, name, value), _Scope(Place.JOB, getters, known))
        return None if options.render is None else options

    def steps(self, configs: tuple[StepConfig, ...], scope: "_Scope") -> tuple[Step, ...]:
        """Compile steps that see the same names."""
        return tuple(self._steps(configs, scope))

    def _steps(self, configs: tuple[StepConfig, ...], scope: "_Scope") -> Iterator[Step]:
        for index, config in enumerate(configs):
            step = _COMPILERS.get(config.name, _plugin_step)(self, config, scope)
            if step is not None:
                yield step
            if config.name == "let":
                scope = scope.knowing(*_names_of(config))
            if config.name == "stop" and index + 1 < len(configs):
                self.note(f"{self.place(configs[index + 1].keys)}: nothing is done after stop")

    def let_step(self, config: StepConfig, scope: "_Scope") -> Step:
        """Compile a ``let``: its names are known behind it."""
        for name in _names_of(config):
            self.check_name(config, scope, name, name, of_key=True)
        options = self.options(config.options, config, scope)
        return Leaf(config.name, self.where_step(config), options, effects.let)

    def has_meaning(self, name: str) -> bool:
        """Tell whether a name means something in every template."""
        return self._compiler.has_meaning(name)

    def check_name(self, config: StepConfig, scope: "_Scope", name: str, *below: str, of_key: bool = False) -> None:
        """Report that a name means something else already, unless a ``let`` above has given it its meaning."""
        if (name in scope.getters and name not in scope.given) or self.has_meaning(name):
            self.problem(config, _taken(name), *below, of_key=of_key)

    def options(
        self,
        value: Any,
        config: StepConfig,
        scope: "_Scope",
        *below: str | int,
        markup: bool = False,
        of_key: bool = False,
    ) -> Options:
        """Compile the options of a step, or what stands at the keys `below` them."""
        resolver = self._resolver
        keys = (*config.keys, config.name, *below)
        names = Names(scope.getters, scope.attributes)
        compiled = (self._markup if markup else self._compiler).compile(
            value,
            keys,
            names,
            resolver.template_problem,
            self.where,
            of_key=of_key,
            outside=resolver.config.source.outside,
        )
        return options_of(compiled, scope.getters)

    def where(self, keys: Keys, *, of_key: bool = False, part: Part | None = None) -> str:
        """Name the place of a value, or of its key, or of a part of it: ``routes.yaml:14:9``."""
        return _place(self._resolver, keys, of_key=of_key, part=part)

    def where_step(self, config: StepConfig) -> str:
        """Name the place of a step."""
        return _place(self._resolver, (*config.keys, config.name), of_key=True)

    def place(self, keys: Keys) -> str:
        """Name the line of a value: ``routes.yaml:14``."""
        return self._resolver.config.source.place(keys)

    def note(self, text: str) -> None:
        """Report what is right but may not be meant."""
        self._resolver.report.note(text)

    def problem(self, config: StepConfig, text: str, *below: str | int, of_key: bool = False) -> None:
        """Report a mistake in a step, or at the keys `below` it."""
        self._resolver.report.problem((*config.keys, config.name, *below), text, of_key=of_key)

    def handler_step(self, config: StepConfig, place: Place) -> Step | None:
        """Compile a ``call``."""
        handler = self._resolver.handler(config.options, config.keys, *_KINDS[place], key=config.name)
        if handler is None:
            return None
        code, function = handler.code, handler.function

        async def call(run: Any, _options: Any) -> None:
            answer = await code.run(function, given_to(run.event, code.seat))
            if answer is not None:
                run.answer = answer

        return Leaf(config.name, self.where_step(config), Options(handler.name), call, waits=True, code=str(code))

    def action_step(self, config: StepConfig, options: Options) -> Step | None:
        """Compile a plugin's action."""
        registry = self._resolver.registry
        action = registry.actions.get(config.name)
        if action is None:
            if config.name not in registry.faulty and not self._resolver.gaps.plugins:
                known = (*BUILT_IN, *registry.actions)
                self.problem(config, self._resolver.unknown("action", config.name, known), of_key=True)
            return None
        for misfit in option_problems(config, action):
            self.problem(config, f"{misfit.text} (says plugin {action.plugin})", *misfit.keys, of_key=misfit.of_key)
        effect = effect_of(action, config.options)
        return Leaf(config.name, self.where_step(config), options, effect, waits=action.waits, code=str(action.code))


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the steps of a list see.

    Attributes:
        place: where the list stands.
        getters: of all names that they may use.
        attributes: what some names have, as far as it is known.
        given: those names that steps of the list have given.

    """

    place: Place
    getters: Mapping[str, Getter]
    attributes: Shapes
    given: frozenset[str] = frozenset()

    def knowing(self, *names: str) -> "_Scope":
        """Give the scope of steps that know these names, too, which the list itself has given."""
        getters = {**self.getters, **{name: variable(name) for name in names}}
        return replace(self, getters=getters, given=self.given.union(names))


def _names_of(config: StepConfig) -> tuple[str, ...]:
    return tuple(config.options) if isinstance(config.options, dict) else ()


_CompileStep = Callable[[StepCompiler, StepConfig, _Scope], Step | None]


def _leaf(effect: Effect) -> _CompileStep:
    """Make the compiler of a step that only has options."""

    def compile_leaf(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
        options = compiler.options(config.options, config, scope)
        return Leaf(config.name, compiler.where_step(config), options, effect)

    return compile_leaf


def _respond(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
    """Compile a ``respond``: what templates put into HTML is escaped."""
    if not isinstance(config.options, dict):
        return Leaf(config.name, "", Options(None), respond)
    parts = {
        name: compiler.options(value, config, scope, name, markup=name == "html")
        for name, value in config.options.items()
    }
    options = joined(parts)
    headers = config.options.get("headers", {})
    if options.render is None and isinstance(headers, dict):
        try:
            response_of({name: value for name, value in options.fixed.items() if name != "status"})
        except ValueError as error:
            compiler.problem(config, str(error))
    return Leaf(config.name, compiler.where_step(config), options, respond)


def _log(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
    """Compile a ``log``, which may be only its message."""
    if isinstance(config.options, dict):
        message = compiler.options(config.options.get("message"), config, scope, "message")
        level = config.options.get("level", _LOG_LEVEL)
    else:
        message, level = compiler.options(config.options, config, scope), _LOG_LEVEL
    options = joined({"message": message, "level": Options(level)})
    return Leaf(config.name, compiler.where_step(config), options, effects.log)


def _set(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
    """Compile a ``set``: keys are split at their dots before anything is rendered."""
    entries = config.options if isinstance(config.options, dict) else {}
    pairs = [
        (
            compiler.options(list(split_key(key)), config, scope, key, of_key=True),
            compiler.options(value, config, scope, key),
        )
        for key, value in entries.items()
    ]
    return Leaf(config.name, compiler.where_step(config), paired(pairs), effects.put)


def _append(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
    """Compile an ``append``: where its list stands is split as the keys of ``set`` are."""
    given = config.options if isinstance(config.options, dict) else {}
    options = joined(
        {
            "to": compiler.options(list(split_key(str(given.get("to", "")))), config, scope, "to"),
            "value": compiler.options(given.get("value"), config, scope, "value"),
            "keep": Options(given.get("keep", effects.ITEMS_KEPT)),
        }
    )
    return Leaf(config.name, compiler.where_step(config), options, effects.append)


def _wait(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
    options = compiler.options(config.options, config, scope)
    return Leaf(config.name, compiler.where_step(config), options, effects.wait, waits=True)


def _membership(own: Effect, of_another: Effect) -> _CompileStep:
    """Make the compiler of ``join`` or ``leave``, which may name a client; a template cannot make it so."""

    def compile_membership(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
        effect = of_another if isinstance(config.options, dict) else own
        return _leaf(effect)(compiler, config, scope)  # type: ignore[return-value]

    return compile_membership


def _call(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step | None:
    return compiler.handler_step(config, scope.place) if isinstance(config.options, str) else None


def _if(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
    return Branch(
        config.name,
        compiler.where_step(config),
        compiler.options(config.options, config, scope),
        compiler.steps(config.then, scope),
        compiler.steps(config.otherwise, scope),
    )


def _taken(name: str) -> str:
    return f'the name "{name}" means something else here already: choose another'


def _for(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step:
    options = config.options if isinstance(config.options, dict) else {}
    names = [str(options[key]) for key in ("each", "index") if key in options]
    for key, name in zip(("each", "index"), names, strict=False):
        if name in scope.getters or compiler.has_meaning(name):
            compiler.problem(config, _taken(name), key)
    inside = replace(scope, getters={**scope.getters, **{name: variable(name) for name in names}})
    return Loop(
        config.name,
        compiler.where_step(config),
        compiler.options(options.get("in"), config, scope, "in"),
        str(options.get("each", "")),
        compiler.steps(config.body, inside),
        options.get("index"),
    )


def _stop(compiler: StepCompiler, config: StepConfig, _scope: _Scope) -> Step:
    return Stop(config.name, compiler.where_step(config), Options(config.options))


def _plugin_step(compiler: StepCompiler, config: StepConfig, scope: _Scope) -> Step | None:
    return compiler.action_step(config, compiler.options(config.options, config, scope))


_COMPILERS: Mapping[str, _CompileStep] = {
    "broadcast": _leaf(effects.broadcast),
    "reply": _leaf(effects.reply),
    "respond": _respond,
    "close": _leaf(effects.close),
    "log": _log,
    "set": _set,
    "append": _append,
    "let": StepCompiler.let_step,
    "wait": _wait,
    "join": _membership(effects.join, effects.join_another),
    "leave": _membership(effects.leave, effects.leave_another),
    "call": _call,
    "if": _if,
    "for": _for,
    "stop": _stop,
}


def _flat(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield steps, and those inside them."""
    for step in steps:
        yield step
        if isinstance(step, Branch):
            yield from _flat((*step.then, *step.otherwise))
        elif isinstance(step, Loop):
            yield from _flat(step.body)


def _place(resolver: Resolver, keys: Keys, *, of_key: bool, part: Part | None = None) -> str:
    problem = resolver.config.source.problem(keys, "", of_key=of_key, part=part)
    return f"{problem.file}:{problem.line}:{problem.column}"


def option_problems(config: StepConfig, action: Action) -> Iterator[SchemaProblem]:
    """Yield what is wrong with a step's options, as far as that can be told before their templates are rendered."""
    yield from judge_shape(config.options, action.schema, is_template)


def effect_of(action: Action, options: Any) -> Effect:
    """Make what does the step.

    Args:
        action: sound, with a gate.
        options: as routes.yaml has them; if templates are in them, they are judged anew whenever they are rendered.

    Returns:
        an ``async def`` if the action is one.

    """
    rendered, code = _has_templates(options), action.code

    def ready(given: Any) -> Any:
        # Options without templates are judged already; but the function may take them apart, so it has its own.
        return _judged(action, given) if rendered else copy.deepcopy(given)

    async def handle(run: Run, given: Any) -> None:
        await code.run(action.function, given_to(run.event, code.seat), ready(given))

    def do(run: Run, given: Any) -> None:
        if inspect.isawaitable(outcome := code.call(action.function, given_to(run.event, code.seat), ready(given))):
            if inspect.iscoroutine(outcome):
                outcome.close()
            raise OptionError(f"{action.where} is no async def, so what it returns is not awaited: make it one")

    return handle if action.waits else do


def _judged(action: Action, options: Any) -> Any:
    if action.gate is not None and not action.gate.accepts(options):
        rejection = action.gate.explain(options)
        place = f" at {rejection.pointer}" if rejection.pointer else ""
        raise OptionError(f"its options{place}: {rejection.detail}")
    return options


def _has_templates(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_templates(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_has_templates(part) for part in value)
    return isinstance(value, str) and is_template(value)


def signal_shapes(signal: SignalConfig) -> Shapes:
    """Return all attributes of names of a signal's lists, for the names of which they are known."""
    keys = allowed_keys(None if signal.schema is None else signal.schema.document)
    return _params(signal.path) | ({} if keys is None else {"data": keys | MESSAGE_KEYS})


def route_shapes(route: RouteConfig) -> Shapes:
    """Return all attributes of names of a route's list, for the names of which they are known."""
    keys = allowed_keys(None if route.schema is None else route.schema.document)
    return _params(route.path) | ({} if keys is None else {"data": keys})


def allowed_keys(document: Any) -> frozenset[str] | None:
    """Return all keys that a JSON Schema lets a mapping have; None if it may have others, too.

    ``{"properties": {"to": {}}, "additionalProperties": false}`` allows ``to``.
    """
    if not isinstance(document, Mapping) or document.get("additionalProperties") is not False:
        return None
    if "$ref" in document:  # before draft 2019-09 nothing beside it counts
        return None
    return None if document.get("patternProperties") else frozenset(document.get("properties", ()))


def _params(path: PathPattern) -> dict[str, frozenset[str]]:
    return {"params": frozenset(parameter.name for parameter in path.parameters)}
