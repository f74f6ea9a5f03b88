"""The lists of actions of routes.yaml (``do``, ``connected``, ``disconnected``): what a step is, and what stands where.

The routes schema has judged the type of every option. A step of a name that it does not know may be a plugin's action,
which only the plan can tell; templates, too, are judged there.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from signalpost.config.model import StepConfig
from signalpost.config.section import Section
from signalpost.paths import PathPattern, split_path
from signalpost.places import Keys
from signalpost.units import format_duration, parse_wait
from signalpost.words import given, quoted

LONGEST_WAIT = 60.0
"""Seconds that the steps of a run may wait, all together."""

# Keys that belong to an action that stands beside them.
_BESIDE: Mapping[str, tuple[str, ...]] = {"if": ("then", "else"), "for": ("do",)}
_BODIES = ("json", "text", "html", "redirect")
_TARGETS = ("path", "group", "client")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What the name of a header is (RFC 9110 section 5.6.2)."""

_OURS = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "date", "server"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Place(StrEnum):
    """Where a list of actions stands, as people call it."""

    SIGNAL = "a signal"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ROUTE = "a route"
    JOB = "a timer or schedule"


_ANYWHERE = frozenset(Place)
_WITH_SENDER = frozenset({Place.SIGNAL, Place.CONNECTED})


def read_steps(section: Section, name: str, place: Place) -> tuple[StepConfig, ...]:
    """Read the list of actions at the key `name`; empty if there is none."""
    return tuple(_read_all(section, name, place))


def read_broadcast(section: Section, place: Place) -> tuple[StepConfig, ...]:
    """Read the key ``broadcast``, which is short for a list of that one action; on a route, of its answer, too."""
    if not isinstance(section.data.get("broadcast"), dict):
        return ()
    shorthand = _read_step(Section(section.keys, {"broadcast": section.data["broadcast"]}, section.report), place)
    if shorthand is None:
        return ()
    if place is not Place.ROUTE:
        return (shorthand,)
    answer = {"status": HTTPStatus.ACCEPTED.value, "json": {"sent": True, "matched": "{{ matched }}"}}
    return (shorthand, StepConfig(section.keys, "respond", answer))


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
    """Yield the names of handlers that steps call anywhere in a value of the file, whatever else is wrong with it."""
    if isinstance(value, dict):
        name = value.get("call")
        if isinstance(name, str):
            yield name
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from calls_in(child)


def _read_all(section: Section, name: str, place: Place) -> Iterator[StepConfig]:
    for step in section.sections(name):
        read = _read_step(step, place)
        if read is not None:
            yield read


def _read_step(step: Section, place: Place) -> StepConfig | None:
    """Read one step; None if it cannot be told what it does."""
    name = _name_of(step)
    if name is None:
        return None
    rule = _RULES.get(name)
    if rule is not None:
        if place not in rule.places:
            step.problem(name, f"{name} has no place in {place.value}: {rule.needs}", of_key=True)
            return None
        rule.check(step, place)
    inner = {key: read_steps(step, key, place) for key in _BESIDE.get(name, ())}
    return StepConfig(
        step.keys,
        name,
        step.data[name],
        then=inner.get("then", ()),
        otherwise=inner.get("else", ()),
        body=inner.get("do", ()),
    )


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


# What the schema cannot say about the options of single actions


def _nothing(_step: Section, _place: Place) -> None:
    """Find nothing more to check."""


def _check_broadcast(step: Section, place: Place) -> None:
    options = step.section("broadcast")
    if options is None:
        return
    reach = options.text("to")
    if "to" in options and reach != "others" and any(target in options for target in _TARGETS):
        options.problem(
            "to", "to stands alone, unless it is others: leave it out, or leave out path, group and client", of_key=True
        )
    if reach in ("sender", "others") and place not in _WITH_SENDER:
        options.problem("to", f"in {place.value} there is no sender (allowed: everyone)")
    if not has_template(options.text("path") or ""):
        options.parsed("path", _parse_target)


def _parse_target(text: str) -> str:
    """Check the path of a broadcast: one that a client can be connected on."""
    if "<" in text or ">" in text:
        raise ValueError(f"a broadcast goes to one path, as in /rooms/blue: {text!r} has parameters")
    PathPattern.parse(text)
    return text if split_path(text) == [] else text.rstrip("/")


def _check_respond(step: Section, _place: Place) -> None:
    options = step.section("respond")
    if options is None:
        return
    bodies = [name for name in _BODIES if name in options]
    for name in bodies[1:]:
        options.problem(name, f"one answer has one of {', '.join(_BODIES)}, and {bodies[0]} is given", of_key=True)
    _check_expression(options, "status")
    status = options.whole("status", 0)
    if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) and bodies:
        options.problem("status", f"{status} has no body: leave {bodies[0]} out, or the status")
    elif "redirect" in options and status and status not in range(300, 400):
        options.problem("status", f"a redirect has a status from 300 to 399, not {status}; 303 if there is none here")
    for name in options.mapping("headers"):
        if not TOKEN.fullmatch(name):
            options.report.add((*options.keys, "headers", name), "this is no name of a header", of_key=True)
        elif name.lower() in _OURS:
            text = f"the server sets {name} itself: leave it out"
            options.report.add((*options.keys, "headers", name), text, of_key=True)


def _check_close(step: Section, _place: Place) -> None:
    options = step.section("close")
    if options is not None:
        _check_expression(options, "code")
    code = options.whole("code", 4009) if options else 4009
    if options and not may_be_sent(code):
        options.problem("code", f"{code} must not be sent {CODES_ALLOWED}")


CODES_ALLOWED = "(allowed: 1000 to 1014 but 1004 to 1006, 3000 to 4999)"


def may_be_sent(code: int) -> bool:
    """Tell whether a close frame may have a code (RFC 6455 section 7.4)."""
    return code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)


def _check_set(step: Section, _place: Place) -> None:
    for key in step.mapping("set"):
        parts = split_key(key)
        if not all(parts):
            text = f"{quoted(key)} has an empty part: write keys of state with single dots between them"
        elif parts[0].startswith("_"):
            text = 'keys of state that start with "_" belong to plugins: choose another'
        else:
            continue
        step.report.add((*step.keys, "set", key), text, of_key=True)
    if step.data.get("set") == {}:
        step.problem("set", "must not be empty: give at least one key of state and its value")


def _check_expression(options: Section, name: str) -> None:
    """Report a text in place of a number, unless it is one expression, which gives one."""
    value = options.data.get(name)
    if isinstance(value, str) and not _is_whole(value):
        options.problem(name, f"must be a whole number, or one expression that gives one, not {given(value)}")


def _check_membership(name: str) -> Callable[[Section, Place], None]:
    """Return the check of ``join`` or ``leave``."""

    def check(step: Section, place: Place) -> None:
        if not isinstance(step.data.get(name), dict) and place not in _WITH_SENDER:
            text = f"{name} has no place in {place.value}: {_NO_SENDER}; name one: {{group: …, client: …}}"
            step.problem(name, text, of_key=True)

    return check


def _check_append(step: Section, _place: Place) -> None:
    options = step.section("append")
    if options is None or not isinstance(options.data.get("to"), str):
        return
    parts = split_key(options.data["to"])
    if not all(parts):
        options.problem("to", "it has an empty part: write keys of state with single dots between them")
    elif parts[0].startswith("_"):
        options.problem("to", 'keys of state that start with "_" belong to plugins: choose another')


def _check_let(step: Section, _place: Place) -> None:
    for name in step.mapping("let"):
        if not _NAME.fullmatch(name):
            step.report.add((*step.keys, "let", name), _no_name(name), of_key=True)


def _no_name(name: str) -> str:
    return f"{quoted(name)} is no name for templates: use letters, digits and _, a letter first"


def _check_wait(step: Section, _place: Place) -> None:
    value = step.data.get("wait")
    if not isinstance(value, str) or not has_template(value):
        seconds = step.quantity("wait", parse_wait)
        if seconds is not None and seconds > LONGEST_WAIT:
            step.problem("wait", f"a step waits {format_duration(LONGEST_WAIT)} at most")
    elif not _is_whole(value):
        step.problem("wait", f"must be a time, or one expression that gives one, not {given(value)}")


def _check_if(step: Section, _place: Place) -> None:
    condition = step.data.get("if")
    if isinstance(condition, str) and not _is_whole(condition):
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
        if isinstance(name, str) and not _NAME.fullmatch(name):
            options.problem(key, _no_name(name))
    if "index" in options and options.data["index"] == options.data.get("each"):
        options.problem("index", "the item has this name already: choose another")
    if isinstance(items, str) and not _is_whole(items):
        options.problem(
            "in", f'must be a list, or one expression that gives one, as in "{{{{ data.names }}}}", not {given(items)}'
        )


def _check_stop(step: Section, _place: Place) -> None:
    if step.data.get("stop") is False:
        step.problem("stop", "a step that does nothing: write stop: true, or leave it out")


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is known of a built-in action.

    Attributes:
        places: where it may stand.
        needs: why it may not stand elsewhere.
        check: reports what the schema cannot.

    """

    places: frozenset[Place] = _ANYWHERE
    needs: str = ""
    check: Callable[[Section, Place], None] = _nothing


_NO_SENDER = "there is no client to whom it could be done (allowed in do and connected of a signal)"
_NO_EVENT = "handlers get messages, requests and runs (allowed in do); plugins hear of clients by their hooks"

_RULES: Mapping[str, _Rule] = {
    "broadcast": _Rule(check=_check_broadcast),
    "reply": _Rule(_WITH_SENDER, _NO_SENDER),
    "respond": _Rule(
        frozenset({Place.ROUTE}), "only a request has a response (allowed in do of a route)", _check_respond
    ),
    "close": _Rule(_WITH_SENDER, _NO_SENDER, _check_close),
    "log": _Rule(),
    "set": _Rule(check=_check_set),
    "append": _Rule(check=_check_append),
    "let": _Rule(check=_check_let),
    "wait": _Rule(check=_check_wait),
    "join": _Rule(check=_check_membership("join")),
    "leave": _Rule(check=_check_membership("leave")),
    "call": _Rule(frozenset({Place.SIGNAL, Place.ROUTE, Place.JOB}), _NO_EVENT),
    "if": _Rule(check=_check_if),
    "for": _Rule(check=_check_for),
    "stop": _Rule(check=_check_stop),
}

BUILT_IN = tuple(_RULES)
"""The names of the actions that need no plugin."""

CHANGING = frozenset({"broadcast", "set"})
"""Those of them that change something for others than who has them done."""


# Texts with templates in them

_BRACES = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def has_template(text: str) -> bool:
    """Whether a text is rendered when a step is done."""
    return "{{" in text or "{%" in text


def templates_in(value: Any) -> Iterator[Keys]:
    """Yield where a value, or a part of it, is a text with a template in it."""
    if isinstance(value, str) and has_template(value):
        yield ()
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from ((key, *inner) for inner in templates_in(part))


def split_key(key: str) -> tuple[str, ...]:
    """Split a key of state at its dots, but for those in templates: ``names.{{ client.id }}`` is two parts."""
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


def _is_whole(text: str) -> bool:
    stripped = text.strip()
    return stripped.startswith("{{") and stripped.endswith("}}")
