"""Holds the file against the routes schema, and words what does not fit for whoever wrote it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from signalpost.config.report import Report
from signalpost.config.scalars import shorten
from signalpost.config.schema import routes_schema
from signalpost.config.words import did_you_mean, given, listing, nearest, printable, quoted

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}
# How many unknown keys are looked through for the one that a missing key was meant to be.
_STRANGERS = 20
_EXAMPLES = {
    "endpoints": (
        'no key "endpoints", so the server would listen nowhere; add for example '
        "endpoints: [{name: web, address: 127.0.0.1, port: 8090, protocol: http}]"
    ),
}


def check_shape(data: Any, report: Report) -> None:
    """Report every key and value of the file that the routes schema does not allow.

    Values that are written in a form of their own (paths, durations, sizes) are judged here by type only: whoever
    reads them knows better what is wrong with them.
    """
    for error in Draft202012Validator(routes_schema()).iter_errors(data):
        mismatch = _Mismatch(error.instance, error.validator_value, error.schema)
        if "pattern" in mismatch.schema and error.validator != "type":
            continue
        keys = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known = list(mismatch.schema["properties"])
            for name in mismatch.instance:
                if name not in known:
                    report.add((*keys, name), _unknown_key(name, known), of_key=True)
            continue
        wording = _WORDINGS.get(str(error.validator))
        for text in wording(mismatch) if wording else (" ".join(str(error.message).split()),):
            report.add(keys, text)


@dataclass(frozen=True, slots=True)
class _Mismatch:
    """A value that breaks one rule of the routes schema.

    Attributes:
        rule: what the broken keyword says.
        schema: the part of the schema in which it stands.

    """

    instance: Any
    rule: Any
    schema: Any


def _unknown_key(name: str, known: list[str]) -> str:
    return f"no key {quoted(name)} here{did_you_mean(name, known)} (known: {listing(known)})"


def _type(mismatch: _Mismatch) -> Iterator[str]:
    allowed = [mismatch.rule] if isinstance(mismatch.rule, str) else list(mismatch.rule)
    words = " or ".join(_TYPES[each] for each in allowed)
    yield f"must be {words}, not {given(mismatch.instance)}{_type_hint(allowed, mismatch)}"


def _type_hint(allowed: list[str], mismatch: _Mismatch) -> str:
    value = mismatch.instance
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
    if allowed == ["object"] and isinstance(value, str) and mismatch.schema.get("required") == ["path"]:
        return f": write path: {shorten(printable(value))}"
    return ""


def _required(mismatch: _Mismatch) -> Iterator[str]:
    for name in mismatch.rule:
        if name not in mismatch.instance and not _misspelt(name, mismatch):
            yield _EXAMPLES.get(name) or f'the key "{name}" is missing{_required_hint(mismatch, name)}'


def _misspelt(name: str, mismatch: _Mismatch) -> bool:
    """Whether an unknown key beside it was probably meant: that one is reported, with this name."""
    known = mismatch.schema["properties"]
    strangers = (key for key in mismatch.instance if key not in known)
    return any(nearest(key, known) == name for key in islice(strangers, _STRANGERS))


def _required_hint(mismatch: _Mismatch, name: str) -> str:
    described = mismatch.schema["properties"][name]
    if "$ref" in described:
        described = routes_schema()["$defs"][described["$ref"].rpartition("/")[2]] | described
    example = next(iter(described.get("examples", ())), None)
    return f", for example {name}: {example}" if isinstance(example, str | int) else ""


def _enum(mismatch: _Mismatch) -> Iterator[str]:
    allowed = [str(each) for each in mismatch.rule]
    word = mismatch.instance if isinstance(mismatch.instance, str) else str(mismatch.instance).lower()
    known = f"(allowed: {listing(allowed)})"
    if isinstance(mismatch.instance, str):
        yield f"{quoted(word)} is not allowed here{did_you_mean(word, allowed)} {known}"
    elif "type" not in mismatch.schema:
        yield f"must be a word, not {given(mismatch.instance)} {known}"


def _one_of(mismatch: _Mismatch) -> Iterator[str]:
    if not isinstance(mismatch.instance, Mapping):
        return
    names = [option["required"][0] for option in mismatch.rule]
    present = [name for name in names if name in mismatch.instance]
    if not present and any(_misspelt(name, mismatch) for name in names):
        return
    found = f"not {' and '.join(present)} together" if present else "none of them is given"
    choice = f"{', '.join(names[:-1])} and {names[-1]}"
    yield f"exactly one of {choice} must be given, {found}" if present else f"needs one of {choice}: {found}"


def _least(mismatch: _Mismatch) -> Iterator[str]:
    yield f"must be at least {mismatch.rule}, not {mismatch.instance}"


def _most(mismatch: _Mismatch) -> Iterator[str]:
    yield f"must be at most {mismatch.rule}, not {mismatch.instance}"


def _too_few(_mismatch: _Mismatch) -> Iterator[str]:
    yield "must not be empty: give at least one"


def _empty(_mismatch: _Mismatch) -> Iterator[str]:
    yield "must not be empty"


_WORDINGS: Mapping[str, Callable[[_Mismatch], Iterator[str]]] = {
    "type": _type,
    "required": _required,
    "enum": _enum,
    "oneOf": _one_of,
    "minimum": _least,
    "maximum": _most,
    "minItems": _too_few,
    "minLength": _empty,
}
