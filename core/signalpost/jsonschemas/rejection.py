"""Why an instance does not match its schema, in words for its sender.

The wording is ours, not the engine's: it is stable, contains at most an excerpt of the client's data, and is limited in
length.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs
from jsonschema_rs import ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

from signalpost.jsonschemas.walk import pointer_to
from signalpost.words import cut

DETAIL_LIMIT = 200
POINTER_LIMIT = 256
_EXCERPT_LIMIT = 40
_LIST_LIMIT = 120
_MANY = 500_000  # values: a message of 1 MiB has hardly more

_TYPE_NAMES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
WORDS: Final[Mapping[str, str]] = {
    "const": "expected {}",
    "enum": "expected one of {}",
    "minimum": "expected at least {}, got ",
    "maximum": "expected at most {}, got ",
    "exclusiveMinimum": "expected more than {}, got ",
    "exclusiveMaximum": "expected less than {}, got ",
    "multipleOf": "expected a multiple of {}, got ",
    "uniqueItems": "holds the same item more than once",
    "pattern": "does not match the pattern {}",
    "format": "is not in the format {}",
}
"""The words for a violated keyword; if they end in "got", the value follows."""

_COUNTED = {"Length": ("character",), "Items": ("item",), "Properties": ("property", "properties")}


@dataclass(frozen=True, slots=True)
class Rejection:
    """The first place where an instance does not match.

    Attributes:
        pointer: a JSON Pointer (RFC 6901) into the instance; empty for the whole. A place with a pointer longer
            than `POINTER_LIMIT` characters is named by the nearest parent that is not.
        detail: one sentence, `DETAIL_LIMIT` characters at most.
    """

    pointer: str
    detail: str


UNEXPLAINED: Final = Rejection("", "does not match the schema")
"""The engine rejects an instance without a place."""

TOO_DEEP: Final = Rejection("", "does not match the schema, and is nested too deeply to say where")
"""An instance is nested deeper than the engine can explain."""

TOO_LARGE: Final = Rejection("", "does not match the schema, and is too large to say where")
"""An instance is too large to search for the place of the mismatch."""


def too_costly(most: int | None = None) -> Rejection:
    """Return the rejection of an instance that takes too long to check; `most` is how many values may be checked."""
    bound = "" if most is None or most > _MANY else f", and no more than {most} values"
    return Rejection("", f"takes too long to check against the schema: send less at once{bound}")


def explain_error(error: ValidationError, instance: Any) -> Rejection:
    """Return the words for the engine's error about `instance`.

    >>> explain_error(error, {"message": 5}) Rejection(pointer='/message', detail='expected a string, got a number')
    """
    return Rejection(_pointer(_path(error, instance)), cut(_describe(error.kind, error.instance), DETAIL_LIMIT))


def _path(error: ValidationError, instance: Any) -> list[str | int]:
    """Return the path to the subject of the error, as far as the engine reports it: it leaves out empty names."""
    path: list[str | int] = []
    part = instance
    for step in error.instance_path:
        if isinstance(part, dict):
            name = _named(part, step)
            if name is None:
                break
            path.append(name)
        elif isinstance(part, list) and isinstance(step, int) and step < len(part):
            path.append(step)
        else:
            break
        part = part[path[-1]]
    return path


def _named(part: dict[str, Any], step: str | int) -> str | None:
    """Return the name of a member: the engine reports ``7`` for ``"7"``, ``"007"`` and ``"+7"``."""
    name = str(step)
    if name in part:
        return name
    alike = (each for each in part if each.isascii() and each.removeprefix("+").lstrip("0") == name.lstrip("0"))
    return next(alike, None)


def _pointer(path: Sequence[str | int]) -> str:
    """Return a path as a JSON Pointer, shortened to what may be sent."""
    pointer = ""
    for step in path:
        longer = pointer + pointer_to([step])
        if len(longer) > POINTER_LIMIT:
            break
        pointer = longer
    return pointer


def _describe(kind: Kind, value: Any) -> str:  # noqa: C901, PLR0911, PLR0912 - one case per keyword: a table in all but form
    """Return the words for one error. `value` is the part of the instance that it is about."""
    match kind:
        case Kind.Type(types=types):
            return f"expected {_types(types)}, got {type_of(value)}"
        case Kind.Required(property=name):
            return f"{_quote(name)} is a required property"
        case Kind.AdditionalProperties(unexpected=names) | Kind.UnevaluatedProperties(unexpected=names):
            return _unexpected(names)
        case Kind.FalseSchema():
            return "is not allowed here"
        case Kind.Constant(expected_value=expected):
            return WORDS["const"].format(_quote(expected))
        case Kind.Enum(options=options):
            return WORDS["enum"].format(_listed(options)) if options else "is not allowed here"
        case Kind.Minimum() | Kind.Maximum() | Kind.ExclusiveMinimum() | Kind.ExclusiveMaximum() | Kind.MultipleOf():
            return f"{WORDS[kind.name].format(_quote(kind.value))}{_quote(value)}"
        case Kind.MinLength() | Kind.MinItems() | Kind.MinProperties():
            return f"expected at least {_count(kind.value, *_COUNTED[kind.name[3:]])}, got {len(value)}"
        case Kind.MaxLength() | Kind.MaxItems() | Kind.MaxProperties():
            return f"expected at most {_count(kind.value, *_COUNTED[kind.name[3:]])}, got {len(value)}"
        case Kind.AdditionalItems(limit=limit):
            return f"expected at most {_count(limit, 'item')}, got {len(value)}"
        case Kind.UniqueItems():
            return WORDS["uniqueItems"]
        case Kind.Custom(message=text):  # one defined by us: see `signalpost.jsonschemas.keywords`
            return f"{text}{_quote(value)}" if text.endswith(", got ") else text
        case Kind.Contains():
            return "does not hold the items that it must"
        case Kind.UnevaluatedItems(unexpected=items):
            return f"holds {_count(len(items), 'item')} that {'is' if len(items) == 1 else 'are'} not allowed"
        case Kind.PropertyNames(error=inner):
            return f"the property name {_quote(inner.instance)} is not allowed: {_describe(inner.kind, inner.instance)}"
        case Kind.Pattern(pattern=pattern):
            return WORDS["pattern"].format(_quote(pattern, _LIST_LIMIT))
        case Kind.Format(format=name):
            return WORDS["format"].format(_quote(name))
        case Kind.ContentEncoding(content_encoding=name) | Kind.ContentMediaType(content_media_type=name):
            return f"is not valid {cut(name, _EXCERPT_LIMIT)}"
        case Kind.Not(schema={"not": {"anyOf": _}}):
            return "matches none of the allowed forms"
        case Kind.Not(schema={"not": {"oneOf": _}}):
            return "must match exactly one of the allowed forms, and matches none or several"
        case Kind.Not():
            return "is of a form that is not allowed"
        case _:
            return "does not match the schema"


def _unexpected(names: Sequence[str]) -> str:
    first = _quote(names[0])
    if len(names) == 1:
        return f"{first} is not an allowed property"
    return f"{first} and {len(names) - 1} more are not allowed properties"


def _types(types: Sequence[str]) -> str:
    names = [_TYPE_NAMES.get(name, name) for name in types]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def type_of(value: Any) -> str:
    """Return the JSON type of a value as orjson reads it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count} {one}" if count == 1 else f"{count} {many or one + 's'}"


def _quote(value: Any, limit: int = _EXCERPT_LIMIT) -> str:
    """Return a value as JSON, truncated to `limit` characters; a string is truncated inside its quotes."""
    if isinstance(value, str):
        return json.dumps(cut(value, limit), ensure_ascii=False)
    return cut(json.dumps(value, ensure_ascii=False, default=str), limit)


def _listed(values: Sequence[Any]) -> str:
    """Return values as a list in JSON, as many as fit."""
    text = _quote(values[0])
    for value in values[1:]:
        longer = f"{text}, {_quote(value)}"
        if len(longer) > _LIST_LIMIT:
            return f"{text}, …"
        text = longer
    return text


_LIMIT = 300
_UNREACHABLE = re.compile(r"Resource '(.*)' is not present in a registry", re.DOTALL)
_DANGLING = re.compile(r"(?:Pointer|Anchor) '(.*)' does not exist", re.DOTALL)
_UNKNOWN_DRAFT = re.compile(r"Unknown meta-schema: '(.*)'\. ", re.DOTALL)


def refusal_of(error: ValidationError) -> str:
    """Return the words for the engine's error about a schema, with its place in the schema as a JSON Pointer."""
    text = _without_place(error.message) or _of_pattern(error) or error.message
    place = pointer_to(error.instance_path)
    line = " ".join(f"{place}: {text}".split() if place else text.split())
    return cut(line, _LIMIT)


def _without_place(message: str) -> str:
    """Return the words for errors without a place from the engine: references and drafts."""
    if found := _UNREACHABLE.search(message):
        return (
            f'"$ref" to {json.dumps(found[1], ensure_ascii=False)} leaves the schema, and nothing is fetched; '
            'move what it refers to into "$defs"'
        )
    if found := _DANGLING.search(message):
        return f'"$ref" points to {json.dumps(found[1], ensure_ascii=False)}, which the schema does not have'
    if found := _UNKNOWN_DRAFT.search(message):
        return (
            f'"$schema" names {json.dumps(found[1], ensure_ascii=False)}, which is not a known draft '
            "(known: draft-04, draft-06, draft-07, 2019-09, 2020-12; without it, 2020-12)"
        )
    return ""


def _of_pattern(error: ValidationError) -> str:
    """Return the words for a rejected regular expression: invalid, or impossible to match in linear time."""
    match error.kind:
        case Kind.Format(format="regex"):
            pattern = error.instance
        case _:
            return ""
    quoted = json.dumps(pattern, ensure_ascii=False)
    if compiles(pattern, jsonschema_rs.FancyRegexOptions()):
        return (
            f"the pattern {quoted} uses look-around or a back-reference; patterns are matched in linear time here, "
            "which has neither"
        )
    return f"the pattern {quoted} is not a regular expression, or too large a one"


def compiles(pattern: object, options: Any) -> bool:
    """Return whether an engine with these options accepts a pattern; it is compiled, never run."""
    try:
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options, offline=True)
    except ValueError:
        return False
    return True
