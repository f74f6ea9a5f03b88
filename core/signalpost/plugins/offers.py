"""What plugins offer by name: handlers, actions, names and filters of templates, and schemas of settings.

Each name belongs to one plugin. A repeated name is an error that names both places; the first one keeps it.
"""

import inspect
import keyword
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.filters import FILTERS

from signalpost.actions.builtin import taken_names
from signalpost.actions.names import GETTERS
from signalpost.config.schema.definition import part_faults
from signalpost.errors import PluginError
from signalpost.foreign import Code, in_templates
from signalpost.handlers import Handler, HandlerKind
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.plugins.action import Action, SettingsSchema
from signalpost.plugins.bindings import checked_all, text_of
from signalpost.plugins.exposed import exposed_marks
from signalpost.plugins.loaded import Loaded
from signalpost.plugins.marks import check_action, check_handler, check_name, where_is
from signalpost.plugins.problems import problem_of
from signalpost.plugins.registry import Plugin
from signalpost.plugins.returns import with_told_returns
from signalpost.templates.filters import all_filters
from signalpost.words import format_keys

REGISTER_HANDLERS = "register_handlers"
REGISTER_ACTIONS = "register_actions"
TEMPLATE_GLOBALS = "template_globals"
TEMPLATE_FILTERS = "template_filters"
SETTINGS_SCHEMA = "settings_schema"
EXCLUSIVE = "exclusive"
ASKED = (REGISTER_HANDLERS, REGISTER_ACTIONS, TEMPLATE_GLOBALS, TEMPLATE_FILTERS, SETTINGS_SCHEMA, EXCLUSIVE)
"""The hooks that are called once, before a loop runs, and return what a plugin offers."""

_KNOWN_NAMES = frozenset({"settings", *chain.from_iterable(GETTERS.values()), *DEFAULT_NAMESPACE})
"""The names that all templates have by default."""

_KNOWN_FILTERS = frozenset({*FILTERS, *all_filters({})})

Made = TypeVar("Made", Handler, Action)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The result of a hook, and the place of the hook."""

    where: str
    value: Any


class Offers:
    """What all plugins offer; the fields are those of `signalpost.plugins.registry.Registry`.

    Args:
        errors: receives the problems.
    """

    def __init__(self, errors: list[PluginError]) -> None:
        self.handlers: dict[str, Handler] = {}
        self.actions: dict[str, Action] = {}
        self.template_globals: dict[str, Any] = {}
        self.template_filters: dict[str, Callable[..., Any]] = {}
        self.settings_schemas: dict[str, SettingsSchema] = {}
        self.faulty: set[str] = set()
        self.incomplete: set[str] = set()
        self._errors = errors
        self._built_in = taken_names()
        self._owners: dict[tuple[str, str], tuple[str, str]] = {}  # by kind and name: the owner, and its place

    def take(self, loaded: Loaded, asked: Mapping[str, Sequence[Callable[[], Any]]], hooks: tuple[str, ...]) -> Plugin:
        """Add what a plugin offers, or its valid parts.

        Args:
            loaded: the plugin.
            asked: its implementations of the hooks `ASKED`.
            hooks: names of all hooks that it implements.
        """
        marks = exposed_marks(loaded.module)
        for each in marks.faults:
            self.faulty.add(each.name)
            self._fault(loaded, each.where, each.text)
        if not loaded.answers:
            loaded.answers.update((hook, list(self._ask(loaded, hook, functions))) for hook, functions in asked.items())
        answers = loaded.answers
        handlers = list(marks.handlers)
        handlers += self._registered(loaded, answers[REGISTER_HANDLERS], REGISTER_HANDLERS, Handler, _sound_handler)
        actions = list(marks.actions)
        actions += self._registered(loaded, answers[REGISTER_ACTIONS], REGISTER_ACTIONS, Action, _sound_action)
        for answer in answers[SETTINGS_SCHEMA]:
            self._take_settings(loaded, answer)
        return Plugin(
            loaded.name,
            loaded.version,
            loaded.source,
            loaded.module,
            hooks,
            tuple(each.name for each in handlers if self._take(loaded, "handler", each, self.handlers)),
            tuple(each.name for each in actions if self._take_action(loaded, each)),
            tuple(self._named(loaded, answers[TEMPLATE_GLOBALS], TEMPLATE_GLOBALS)),
            tuple(self._named(loaded, answers[TEMPLATE_FILTERS], TEMPLATE_FILTERS)),
            loaded.digest,
            loaded.package,
            any(self._is_exclusive(loaded, answer) for answer in answers[EXCLUSIVE]),
            loaded.seat,
        )

    def _is_exclusive(self, loaded: Loaded, answer: _Answer) -> bool:
        if not isinstance(answer.value, bool):
            self._fault(loaded, answer.where, f"{EXCLUSIVE} returns True or False, not {answer.value!r}")
        return answer.value is True

    def _ask(self, loaded: Loaded, hook: str, functions: Sequence[Callable[[], Any]]) -> Iterator[_Answer]:
        for function in functions:
            try:
                yield _Answer(where_is(function), function())
            except BaseException as error:  # noqa: BLE001 - a plugin's code may raise anything
                self._errors.append(problem_of(loaded.name, error, loaded.home, during=f"{hook} failed"))
                self.incomplete.add(loaded.name)

    def _registered(
        self, loaded: Loaded, answers: Sequence[_Answer], hook: str, kind: type[Made], sound: Callable[[Made], Made]
    ) -> Iterator[Made]:
        """Yield the valid ones of what a plugin created itself, without a decorator."""
        for answer in answers:
            if not isinstance(answer.value, list | tuple):
                self._fault(loaded, answer.where, f"{hook} returns a list of {kind.__name__}, not {answer.value!r}")
                continue
            for made in answer.value:
                if not isinstance(made, kind):
                    self._fault(loaded, answer.where, f"{hook}: not {_a(kind)}: {made!r}")
                    continue
                try:
                    found = sound(made)
                except ValueError as error:
                    self._fault(loaded, answer.where, f"{hook}: {error}")
                else:
                    yield replace(found, where=found.where or where_is(found.function))

    def _take_action(self, loaded: Loaded, action: Action) -> bool:
        """Add an action, unless its name or its schema cannot be used."""
        what = f'action "{action.name}"'
        if action.name in self._built_in:
            self._fault(loaded, action.where, f"{what}: there is a built-in action of this name; rename this one")
            return False
        gate = self._gate(loaded, action.where, action.schema, f"{what}: schema")
        if gate is None:
            self.faulty.add(action.name)
            return False
        return self._take(loaded, "action", replace(action, gate=gate), self.actions)

    def _gate(self, loaded: Loaded, where: str, document: object, what: str) -> SchemaGate | None:
        """Compile a schema; report all its problems."""
        faults = list(part_faults(document))
        for keys, text in faults:
            self._fault(loaded, where, f"{what}{f' at {format_keys(keys)}' if keys else ''}: {text}")
        if faults or not isinstance(document, Mapping | bool):
            return None
        try:
            return SchemaGate.compile(document)
        except ValueError as error:
            self._fault(loaded, where, f"{what}: {error}")
            return None

    def _take(self, loaded: Loaded, kind: str, made: Made, table: dict[str, Made]) -> bool:
        if not self._claim(loaded, kind, made.name, made.where):
            return False
        table[made.name] = with_told_returns(replace(made, plugin=loaded.name, seat=loaded.seat))
        return True

    def _take_settings(self, loaded: Loaded, answer: _Answer) -> None:
        """Add the schema of a plugin's settings."""
        document = answer.value
        if not isinstance(document, Mapping):
            text = f"{SETTINGS_SCHEMA} returns a JSON Schema of a mapping, not {document!r}"
            self._fault(loaded, answer.where, text)
        elif document.get("type", "object") != "object":
            text = f'{SETTINGS_SCHEMA}: settings are a mapping, so its type is "object", not {document["type"]!r}'
            self._fault(loaded, answer.where, text)
        elif self._gate(loaded, answer.where, document, SETTINGS_SCHEMA) is not None:
            self.settings_schemas[loaded.name] = SettingsSchema(document, loaded.name, answer.where)

    def _named(self, loaded: Loaded, answers: Sequence[_Answer], hook: str) -> Iterator[str]:
        """Add names for templates; yield the names."""
        filters = hook == TEMPLATE_FILTERS
        table = self.template_filters if filters else self.template_globals
        known = _KNOWN_FILTERS if filters else _KNOWN_NAMES
        kind = "filter" if filters else "template"
        for answer in answers:
            if not isinstance(answer.value, Mapping):
                self._fault(loaded, answer.where, f"{hook} returns a mapping of names, not {answer.value!r}")
                continue
            for name, value in answer.value.items():
                text = _name_fault(name, known) or _value_fault(value, callable_only=filters)
                if text:
                    self._fault(loaded, answer.where, f"{hook}: {text}")
                elif self._claim(loaded, kind, name, answer.where):
                    table[name] = _called(
                        value, loaded, f'{"filter" if filters else "function"} "{name}"', answer.where
                    )
                    yield name

    def _claim(self, loaded: Loaded, kind: str, name: str, where: str) -> bool:
        """Assign a name to a plugin; a repeated one is an error that names both places."""
        owner = self._owners.get((kind, name))
        if owner is None:
            self._owners[kind, name] = (loaded.name, where)
            return True
        self._fault(loaded, where, f'the {kind} name "{name}" is taken by plugin {owner[0]} ({owner[1]}); rename one')
        return False

    def _fault(self, loaded: Loaded, where: str, text: str) -> None:
        self._errors.append(PluginError(loaded.name, where, text))


def _sound_handler(handler: Handler) -> Handler:
    """Return a handler that no decorator has checked, with its bindings in canonical form.

    Raises:
        ValueError: it is invalid.
    """
    what = f'handler "{handler.name}"'
    kind: object = handler.kind
    if not isinstance(kind, HandlerKind):
        raise ValueError(f"{what}: its kind is a HandlerKind, not {kind!r}")  # noqa: TRY004 - a mistake of a plugin's
    try:
        bindings = checked_all(kind, handler.bindings)
        check_name(handler.name, "a handler")
        check_handler(handler.function)
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{what}: {text_of(error)}") from None
    return replace(handler, bindings=bindings)


def _sound_action(action: Action) -> Action:
    """Return an action that no decorator has checked.

    Raises:
        ValueError: it is invalid.
    """
    try:
        check_name(action.name, "an action")
        check_action(action.function)
    except ValueError as error:
        raise ValueError(f'action "{action.name}": {error}') from None
    return action


def _name_fault(name: object, known: Collection[str]) -> str:
    """Return what is wrong with a name for templates."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        return f"a name in templates is letters, digits and _, and begins with a letter, not {name!r}"
    if name in known:
        return f'templates have "{name}" by themselves; rename it'
    return ""


def _value_fault(value: object, *, callable_only: bool) -> str:
    """Return what is wrong with the value of a name for templates."""
    if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
        return f"templates wait for nothing: {value.__name__} is an async def"
    if callable_only and not callable(value):
        return f"a filter is a function, not {value!r}"
    return ""


def _called(value: Any, loaded: Loaded, what: str, where: str) -> Any:
    """Return the object for templates: a plugin's function is replaced by one that calls it through its `Code`."""
    cached = callable(value) and not inspect.isclass(value) and hasattr(value, "__wrapped__")  # functools.cache
    if not cached and not inspect.isfunction(value) and not inspect.ismethod(value) and type(value) is not partial:
        return value
    place = where_is(value) if inspect.isfunction(value) else where
    return in_templates(Code(what, loaded.name, place, loaded.seat), value)


def _a(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
