"""The lists of actions of routes.yaml (``do``, ``connected``, ``disconnected``): their steps, and where each may be.

The built-in actions and their options are declared in `signalpost.actions.builtin` and passed to the reader of the
file. Only the grammar of a list is defined here: ``if``, ``for`` and ``stop``. A step with another name may be a
plugin's action, which only the plan can decide; templates are checked there, too.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from signalpost.config.model import StepConfig
from signalpost.config.section import Section
from signalpost.places import Keys
from signalpost.words import given, quoted

# Keys that belong to an action beside them.
_BESIDE: Mapping[str, tuple[str, ...]] = {"if": ("then", "else"), "for": ("do",)}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Place(StrEnum):
    """The place of a list of actions, in words for people."""

    SIGNAL = "a signal"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ROUTE = "a route"
    JOB = "a timer or schedule"
    FEED = "a feed"


ANYWHERE = frozenset(Place)
WITH_SENDER = frozenset({Place.SIGNAL, Place.CONNECTED})
MAY_HAVE_SENDER = WITH_SENDER | {Place.ROUTE}
NO_SENDER = "there is no sender here (allowed in do and connected of a signal)"


def _nothing(_step: Section, _place: Place) -> None:
    """Do nothing: there is nothing more to check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRule:
    """What an action requires of the file.

    Attributes:
        schema: a JSON Schema of its options, part of that of the whole file.
        places: where it is allowed.
        needs: why it is not allowed elsewhere.
        check: reports what the schema cannot.
    """

    schema: Mapping[str, Any]
    places: frozenset[Place] = ANYWHERE
    needs: str = ""
    check: Callable[[Section, Place], None] = _nothing


class StepReader:
    """Reads lists of actions.

    Args:
        actions: the built-in ones, by name.
    """

    def __init__(self, actions: Mapping[str, ActionRule]) -> None:
        self._actions = actions

    def steps(self, section: Section, name: str, place: Place) -> tuple[StepConfig, ...]:
        """Read the list of actions at the key `name`; empty if there is none."""
        read = (self._step(step, place) for step in section.sections(name))
        return tuple(step for step in read if step is not None)

    def steps_or_broadcast(self, section: Section, place: Place) -> tuple[StepConfig, ...]:
        """Read ``do``, or ``broadcast``, which is short for a list of that action; on a route, also of its response."""
        broadcast = section.data.get("broadcast")
        if not isinstance(broadcast, dict):
            return self.steps(section, "do", place)
        shorthand = self._step(Section(section.keys, {"broadcast": broadcast}, section.report), place)
        if shorthand is None:
            return ()
        if place is not Place.ROUTE:
            return (shorthand,)
        answer = {"status": HTTPStatus.ACCEPTED.value, "json": {"sent": True, "matched": "{{ matched }}"}}
        return (shorthand, StepConfig(section.keys, "respond", answer))

    def _step(self, step: Section, place: Place) -> StepConfig | None:
        """Read one step; None if its action is unknown."""
        name = _name_of(step)
        if name is None:
            return None
        rule = self._actions.get(name)
        if rule is not None and place not in rule.places:
            step.problem(name, f"{name} has no place in {place.value}: {rule.needs}", of_key=True)
            return None
        check = _GRAMMAR.get(name, _nothing) if rule is None else rule.check
        check(step, place)
        inner = {key: self.steps(step, key, place) for key in _BESIDE.get(name, ())}
        return StepConfig(
            step.keys,
            name,
            step.data[name],
            then=inner.get("then", ()),
            otherwise=inner.get("else", ()),
            body=inner.get("do", ()),
        )


def all_steps(steps: tuple[StepConfig, ...]) -> Iterator[StepConfig]:
    """Yield the steps of a list, and those inside them."""
    for step in steps:
        yield step
        for inner in (step.then, step.otherwise, step.body):
            yield from all_steps(inner)


def called(steps: tuple[StepConfig, ...]) -> Iterator[str]:
    """Yield the names of handlers that steps call."""
    for step in all_steps(steps):
        if step.name == "call" and isinstance(step.options, str):
            yield step.options


def calls_in(value: Any) -> Iterator[str]:
    """Yield the names of handlers that steps call anywhere in a value of the file, whatever other problems it has."""
    if isinstance(value, dict):
        name = value.get("call")
        if isinstance(name, str):
            yield name
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from calls_in(child)


def _name_of(step: Section) -> str | None:
    beside = {key for keys in _BESIDE.values() for key in keys}
    names = [name for name in step.data if name not in beside]
    if len(names) != 1:
        lost = next(((key, owner) for owner, keys in _BESIDE.items() for key in keys if key in step), None)
        if names:
            found = " and ".join(map(quoted, names[:3]))
            text = f'a step is one action, not {found}: begin each action with "- ", and put its options below it'
        elif lost:
            text = f"{lost[0]} stands beside {lost[1]}, which is missing here"
        else:
            text = "a step is one action, as in broadcast: {value: hello}, not nothing"
        step.problem(None, text)
        return None
    (name,) = names
    allowed = _BESIDE.get(name, ())
    for key in step.data:
        if key != name and key not in allowed:
            owner = next(owner for owner, keys in _BESIDE.items() if key in keys)
            step.problem(key, f"{key} stands beside {owner}, not beside {quoted(name)}", of_key=True)
    if allowed and allowed[0] not in step:
        step.problem(name, f"{name} needs a list of actions beside it: {allowed[0]}: [ … ]", of_key=True)
    return name


# What the schema cannot express


def check_expression(options: Section, name: str) -> None:
    """Report a text in place of a number, unless it is one expression, which returns one."""
    value = options.data.get(name)
    if isinstance(value, str) and not is_whole(value):
        options.problem(name, f"must be a whole number, or one expression that gives one, not {given(value)}")


def name_fault(name: str) -> str:
    """Return why templates cannot use a name; empty if they can."""
    if _NAME.fullmatch(name):
        return ""
    return f"{quoted(name)} is no name for templates: use letters, digits and _, a letter first"


def _check_if(step: Section, _place: Place) -> None:
    condition = step.data.get("if")
    if isinstance(condition, str) and not is_whole(condition):
        step.problem(
            "if", f"a condition is one expression, as in \"{{{{ message == 'hi' }}}}\", not {given(condition)}"
        )


def _check_for(step: Section, _place: Place) -> None:
    options = step.section("for")
    if options is None:
        return
    items = options.data.get("in")
    for key in ("each", "index"):
        name = options.data.get(key)
        if isinstance(name, str) and (fault := name_fault(name)):
            options.problem(key, fault)
    if "index" in options and options.data["index"] == options.data.get("each"):
        options.problem("index", "the item has this name already: choose another")
    if isinstance(items, str) and not is_whole(items):
        options.problem(
            "in", f'must be a list, or one expression that gives one, as in "{{{{ data.names }}}}", not {given(items)}'
        )


def _check_stop(step: Section, _place: Place) -> None:
    if step.data.get("stop") is False:
        step.problem("stop", "a step that does nothing: write stop: true, or leave it out")


_GRAMMAR: Mapping[str, Callable[[Section, Place], None]] = {"if": _check_if, "for": _check_for, "stop": _check_stop}

GRAMMAR = tuple(_GRAMMAR)
"""The names of the steps that are not actions, but control which steps run."""


# Texts with templates in them

_BRACES = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def has_template(text: str) -> bool:
    """Return whether a text is rendered when a step runs."""
    return "{{" in text or "{%" in text


def templates_in(value: Any) -> Iterator[Keys]:
    """Yield the paths of all texts with a template, in a value or its parts."""
    if isinstance(value, str) and has_template(value):
        yield ()
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from ((key, *inner) for inner in templates_in(part))


def split_key(key: str) -> tuple[str, ...]:
    """Split a key of state at its dots, except those in templates: ``names.{{ client.id }}`` is two parts."""
    parts, start = [""], 0
    for match in _BRACES.finditer(key):
        first, *more = key[start : match.start()].split(".")
        parts[-1] += first
        parts += more
        parts[-1] += match.group()
        start = match.end()
    first, *more = key[start:].split(".")
    parts[-1] += first
    return (*parts, *more)


def is_whole(text: str) -> bool:
    """Return whether a text is one expression and nothing else."""
    stripped = text.strip()
    return stripped.startswith("{{") and stripped.endswith("}}")
