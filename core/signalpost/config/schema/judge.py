"""Validates values against a schema (above all the file against that of routes), and words the problems."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from signalpost.config.schema.definition import ROUTES_ID
from signalpost.places import Keys
from signalpost.scalars import shorten
from signalpost.words import among, did_you_mean, given, listing, nearest, printable, quoted
from signalpost.yaml.report import Report

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_BOUNDS = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}
# The name of what is counted, and the fix if at least one is required.
_SIZES = {
    "minItems": ("least", "items", ": give at least one"),
    "minProperties": ("least", "keys", ": give at least one key"),
    "minLength": ("least", "characters", ""),
    "maxItems": ("most", "items", ""),
    "maxLength": ("most", "characters", ""),
}
_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}
# How many unknown keys are searched for the intended spelling of a missing key.
_STRANGERS = 20
_LONGEST = 200
_NO_CHOICE = "does not fit any of the things that are allowed here"
_STRUCTURAL = ("type", "required", "additionalProperties", "minItems", "maxItems", "minProperties", "maxProperties")
_EXAMPLES = {
    "endpoints": (
        'no key "endpoints", so the server would listen nowhere; add for example '
        "endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]"
    ),
}


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """A problem with a value, or with one of its keys.

    Attributes:
        keys: the path to it, from the validated value.
        of_key: whether the problem is about the key instead of its value.
    """

    keys: Keys
    text: str
    of_key: bool = False


def check_shape(data: Any, schema: Mapping[str, Any], report: Report) -> None:
    """Report every key and value of the file that its schema does not allow.

    Values with their own notation (paths, durations, sizes) are checked here by type only: their parsers report more
    precise problems.
    """
    for error in Draft202012Validator(schema).iter_errors(data):
        if "pattern" in error.schema and error.validator != "type":
            continue
        for misfit in _problems_of(error, schema):
            report.add(misfit.keys, misfit.text, of_key=misfit.of_key)


def judge_shape(
    data: Any, schema: Mapping[str, Any] | bool, is_open: Callable[[Any], bool] = lambda _value: False
) -> Iterator[SchemaProblem]:
    """Yield what a plugin's schema does not allow; each once.

    Args:
        data: plain.
        schema: valid; draft 2020-12.
        is_open: returns whether the value of a text is unknown yet: it may be anything.
    """
    seen: set[SchemaProblem] = set()
    whole = schema if isinstance(schema, Mapping) else {}
    for error in Draft202012Validator(schema).iter_errors(data):
        if _is_undecided(error, is_open):
            continue
        for misfit in _problems_of(error, whole):
            if misfit not in seen and not (misfit.of_key and is_open(misfit.keys[-1])):
                seen.add(misfit)
                yield misfit


def _is_undecided(error: ValidationError, is_open: Callable[[Any], bool]) -> bool:
    """Return whether a value may still become a matching one."""
    value = error.instance
    if isinstance(value, dict) and any(map(is_open, value)):
        return error.validator != "type"
    # Some rules of lists and mappings apply whatever they contain; the others wait until everything is known.
    return (isinstance(value, str) or error.validator not in _STRUCTURAL) and holds(value, is_open)


def holds(value: Any, is_open: Callable[[Any], bool]) -> bool:
    """Return whether a value is open, or contains one that is."""
    if isinstance(value, dict):
        return any(holds(part, is_open) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(holds(part, is_open) for part in value)
    return isinstance(value, str) and is_open(value)


@dataclass(frozen=True, slots=True)
class _Violation:
    """A value that breaks one rule of a schema.

    Attributes:
        keyword: the broken one.
        rule: its value.
        schema: the part of the schema that contains it.
        definitions: the ``$defs`` of the whole schema.
    """

    keyword: str
    instance: Any
    rule: Any
    schema: Any
    definitions: Mapping[str, Any]

    @property
    def described(self) -> Mapping[str, Any]:
        """The keys that the schema names, each with its own schema."""
        named: Mapping[str, Any] = self.schema.get("properties", {})
        return named


def _problems_of(error: ValidationError, whole: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    violation = _Violation(str(error.validator), error.instance, error.validator_value, schema, whole.get("$defs", {}))
    keys = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and violation.rule is False:
        known = list(violation.described)
        patterns = [re.compile(each) for each in schema.get("patternProperties", ())]
        for name in violation.instance:
            if name not in known and not any(each.search(name) for each in patterns):
                yield SchemaProblem((*keys, name), f"no key {quoted(name)} here{among(name, known)}", of_key=True)
    elif error.context and not _is_choice_of_keys(violation.rule):
        for misfit in _misfits_of_best(error.context, whole) or (SchemaProblem(keys, _NO_CHOICE),):
            yield replace(misfit, text=f"{misfit.text}, or something else that is allowed here")
    elif wording := _WORDINGS.get(violation.keyword):
        yield from (SchemaProblem(keys, text) for text in wording(violation))
    else:
        yield SchemaProblem(keys, shorten(printable(" ".join(str(error.message).split())), _LONGEST))


def _misfits_of_best(context: Sequence[ValidationError], whole: Mapping[str, Any]) -> list[SchemaProblem]:
    """Return the problems of the one of several schemas that matches furthest down.

    Some errors have no words, since another one of the same schema has them: then the next schema is used.
    """
    deepest_first = sorted(context, key=lambda each: len(each.absolute_path), reverse=True)
    return next(filter(None, (list(_problems_of(each, whole)) for each in deepest_first)), [])


def _type(violation: _Violation) -> Iterator[str]:
    allowed = [violation.rule] if isinstance(violation.rule, str) else list(violation.rule)
    words = " or ".join(_TYPES[each] for each in allowed)
    yield f"must be {words}, not {given(violation.instance)}{_type_hint(allowed, violation)}"


def _type_hint(allowed: list[str], violation: _Violation) -> str:
    value = violation.instance
    if value is None:
        return ": give it a value or leave the key out"
    if allowed == ["boolean"] and isinstance(value, str) and value.lower() in _SWITCHES:
        return f": write {_SWITCHES[value.lower()]}"
    if allowed == ["boolean"] and isinstance(value, str) and value.lower() in ("true", "false"):
        return ": leave out the quotes" if value.islower() else f": write {value.lower()}"
    if "string" in allowed and isinstance(value, bool | int | float):
        return ": put it in quotes"
    if allowed in (["integer"], ["number"]) and isinstance(value, str) and value.isdecimal():
        return ": leave out the quotes"
    if "array" in allowed and isinstance(value, dict):
        return ': begin each item with "- "'
    if allowed == ["array"] and isinstance(value, str) and value.isidentifier():
        return f": write [{value}]"
    if allowed == ["object"] and isinstance(value, str) and violation.schema.get("required") == ["path"]:
        return f": write path: {shorten(printable(value))}"
    if allowed == ["object"] and isinstance(value, str) and violation.schema.get("required") == ["value"]:
        return f": write {{value: {shorten(printable(value))}}}"
    return ""


def _required(violation: _Violation) -> Iterator[str]:
    for name in violation.rule:
        if name not in violation.instance and not _misspelt(name, violation):
            example = _EXAMPLES.get(name) if violation.schema.get("$id") == ROUTES_ID else None
            yield example or f'the key "{name}" is missing{_required_hint(violation, name)}'


def _misspelt(name: str, violation: _Violation) -> bool:
    """Return whether an unknown key beside it was probably meant: that one is reported, with this name."""
    known = violation.described
    if violation.schema.get("additionalProperties") is not False:
        return False
    strangers = (key for key in violation.instance if key not in known)
    return any(nearest(key, known) == name for key in islice(strangers, _STRANGERS))


def _required_hint(violation: _Violation, name: str) -> str:
    described = violation.described.get(name, {})
    if not isinstance(described, Mapping):
        return ""
    if "$ref" in described:
        described = {**violation.definitions.get(described["$ref"].rpartition("/")[2], {}), **described}
    example = next(iter(described.get("examples", ())), None)
    if isinstance(example, list) and all(isinstance(each, str) for each in example):
        example = f"[{', '.join(example)}]"
    return f", for example {name}: {example}" if isinstance(example, str | int) else ""


def _enum(violation: _Violation) -> Iterator[str]:
    allowed = [each if isinstance(each, str) else json.dumps(each) for each in violation.rule]
    known = f"(allowed: {listing(allowed)})"
    value = violation.instance
    if isinstance(value, str):
        yield f"{quoted(value)} is not allowed here{did_you_mean(value, allowed)} {known}"
    elif not _is_of_type(value, violation.schema):
        return  # which is reported already
    elif all(isinstance(each, str) for each in violation.rule):
        yield f"must be a word, not {given(value)} {known}"
    else:
        yield f"{given(value)} is not allowed here {known}"


def _is_of_type(value: Any, schema: Mapping[str, Any]) -> bool:
    return "type" not in schema or Draft202012Validator({"type": schema["type"]}).is_valid(value)


def _is_choice_of_keys(rule: Any) -> bool:
    """Return whether each of several schemas requires one key of its own and nothing else."""
    if not isinstance(rule, list) or not all(
        isinstance(each, Mapping) and each.keys() == {"required"} and len(each["required"]) == 1 for each in rule
    ):
        return False
    return len({each["required"][0] for each in rule}) == len(rule) > 1


def _one_of(violation: _Violation) -> Iterator[str]:
    if not _is_choice_of_keys(violation.rule):
        yield "fits more than one of the things that are allowed here"
        return
    if not isinstance(violation.instance, Mapping):
        # Each of the schemas accepts it, since it has no keys; a `type` beside them has reported it already.
        if _is_of_type(violation.instance, violation.schema):
            yield f"must be a mapping, not {given(violation.instance)}"
        return
    names = [option["required"][0] for option in violation.rule]
    present = [name for name in names if name in violation.instance]
    if not present and any(_misspelt(name, violation) for name in names):
        return
    found = f"not {' and '.join(present)} together" if present else "none of them is given"
    choice = f"{', '.join(names[:-1])} and {names[-1]}"
    yield f"exactly one of {choice} must be given, {found}" if present else f"needs one of {choice}: {found}"


def _any_of(violation: _Violation) -> Iterator[str]:
    names = [option["required"][0] for option in violation.rule]
    if not any(_misspelt(name, violation) for name in names):
        yield f"needs at least one of {', '.join(names[:-1])} and {names[-1]}: none of them is given"


def _bound(violation: _Violation) -> Iterator[str]:
    yield f"must be {_BOUNDS[violation.keyword]} {violation.rule}, not {violation.instance}"


def _size(violation: _Violation) -> Iterator[str]:
    bound, counted, remedy = _SIZES[violation.keyword]
    if bound == "least" and violation.rule <= 1:
        yield f"must not be empty{remedy}"
    else:
        yield f"must have at {bound} {violation.rule} {counted}, not {len(violation.instance)}"


def _pattern(violation: _Violation) -> Iterator[str]:
    yield f"{quoted(violation.instance)} does not match {violation.rule}"


def _nothing(violation: _Violation) -> Iterator[str]:
    yield f"nothing may stand here, not {given(violation.instance)}"


_WORDINGS: Mapping[str, Callable[[_Violation], Iterator[str]]] = {
    "type": _type,
    "required": _required,
    "enum": _enum,
    "oneOf": _one_of,
    "anyOf": _any_of,
    **dict.fromkeys(_BOUNDS, _bound),
    **dict.fromkeys(_SIZES, _size),
    "pattern": _pattern,
    "None": _nothing,  # the schema false, which has no keywords
}
