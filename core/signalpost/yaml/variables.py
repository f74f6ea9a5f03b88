"""Variables in texts: ``${NAME}``, ``${NAME:-default}``, and ``$${`` for a plain ``${``.

A variable is the value of that name in the environment of the process; the default applies if the value is missing or
empty, as in docker compose and in shells. The value is inserted as it is and never parsed again: it may contain ``${``,
quotes, or half a YAML file. ``$`` has a meaning only before ``{``: there, two stand for one, so that any text can be
written. ``${{``, ``${%`` and ``${#`` are a dollar sign before a template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO

from signalpost.words import did_you_mean, quoted
from signalpost.yaml.nodes import Hidden

# A run of dollars before a brace that opens no template, and the rest of a possible variable.
_OPENING = re.compile(r"(\$+)\{(?![{%#])")
_CLOSING = re.compile(r"([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Maximum of problems reported for one text: more would only repeat them.
_MOST_FLAWS = 20
_FORMS = "write ${NAME} or ${NAME:-default}, or $${ for a plain ${"


@dataclass(frozen=True, slots=True)
class VariableProblem:
    """A problem with a variable: its place in the text, in characters, and its words.

    Attributes:
        unset: whether the variable is valid but missing in the environment.
    """

    start: int
    end: int
    text: str
    unset: bool = False


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with its variables substituted.

    Attributes:
        whole: whether the text is one variable and nothing else.
        hidden: values from the environment; a default is in the file, so it is not hidden.
        flaws: variables that could not be substituted.
    """

    text: str
    whole: bool = False
    hidden: tuple[Hidden, ...] = ()
    flaws: tuple[VariableProblem, ...] = ()


def substitute(text: str, environment: Mapping[str, str]) -> Substituted:
    """Substitute the variables of a text. Text without ``${`` is returned as it is. Never raises."""
    made = StringIO()
    hidden: list[Hidden] = []
    flaws: list[VariableProblem] = []
    position = 0
    whole = False
    while len(flaws) < _MOST_FLAWS and (opening := _OPENING.search(text, position)):
        dollars = len(opening[1])
        start = opening.end() - 2  # of the ${
        made.write(text[position : opening.start()] + "$" * (dollars // 2))
        if dollars % 2 == 0:
            made.write("{")
            position = opening.end()
            continue
        closing = _CLOSING.match(text, opening.end())
        position = closing.end() if closing else opening.end()
        value = _value(closing[1] if closing else None, environment)
        if isinstance(value, _Unusable):
            flaws.append(VariableProblem(start, position, value.text, value.unset))
            continue
        whole = start == 0 and position == len(text)
        if value.name is not None:
            hidden.append(Hidden(f"${{{value.name}}}", value.text, start=made.tell()))
        made.write(value.text)
    made.write(text[position:])
    return Substituted(made.getvalue(), whole, tuple(hidden), tuple(flaws))


@dataclass(frozen=True, slots=True)
class _Value:
    """The value of a variable; `name` is None if that is the default."""

    text: str
    name: str | None


@dataclass(frozen=True, slots=True)
class _Unusable:
    """The reason why a variable has no value."""

    text: str
    unset: bool = False


def _value(inner: str | None, environment: Mapping[str, str]) -> _Value | _Unusable:
    """Return the value for the text between ``${`` and ``}``; None for one that is not closed."""
    if inner is None:
        return _Unusable(f"this ${{ is not closed by a }} before the next brace: {_FORMS}")
    match = _NAME.match(inner)
    name = match[0] if match else ""
    rest = inner[len(name) :]
    if not name or (rest and not rest.startswith(":-")):
        return _Unusable(_malformed(inner, name, rest))
    held = environment.get(name, "")
    if held or (name in environment and not rest):
        return _Value(held, name)
    if rest:
        return _Value(rest.removeprefix(":-"), None)
    meant = did_you_mean(name, environment)
    text = f"the variable {quoted(name)} is not set{meant} (${{{name}:-default}} would give it a default)"
    return _Unusable(text, unset=True)


def _malformed(inner: str, name: str, rest: str) -> str:
    if not inner.strip():
        return f"a variable needs a name: {_FORMS}"
    bare = inner.strip()
    if bare != inner and _NAME.fullmatch(bare):
        return f"no space stands around a variable's name: write ${{{bare}}}"
    if not name:
        return f"no variable is named {quoted(inner)}, since names are made of A-Z, a-z, 0-9 and _: {_FORMS}"
    if rest[0] in "-=?+:":
        operator = rest[: 2 if rest[0] == ":" else 1]
        return f'"{operator}" after a variable\'s name is not read here: {_FORMS}'
    return f"{quoted(rest[0])} cannot stand in a variable's name: {_FORMS}"
