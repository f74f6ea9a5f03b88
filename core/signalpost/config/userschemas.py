"""Users' JSON Schemas: read from routes.yaml or from a file, and checked by jsonschema."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import Draft202012Validator, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # comes with jsonschema
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from signalpost.config.model import SchemaConfig
from signalpost.config.section import Section, find_file
from signalpost.errors import Problem
from signalpost.jsonschemas.rejection import compiles
from signalpost.jsonschemas.walk import mappings, pointed
from signalpost.places import Keys
from signalpost.words import did_you_mean, format_keys, listing, quoted
from signalpost.yaml.bounds import MAX_CHARACTERS
from signalpost.yaml.nodes import plain
from signalpost.yaml.source import Source
from signalpost.yaml.tree import read_tree

_DRAFTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-04/schema#",
)
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_WITH_NEIGHBOURS = (_DRAFTS[0], _DRAFTS[1])
# For people, or for references; allowed beside a $ref.
_ANNOTATIONS = frozenset(
    {
        *("$ref", "$schema", "$id", "id", "$comment", "$defs", "definitions"),
        *("title", "description", "default", "examples"),
    }
)
_EVERYWHERE = frozenset({"$comment", "$defs", "definitions", "dependencies", "examples", "deprecated", "$anchor"})
_NOT_BY_THE_ENGINE: Mapping[str, frozenset[str]] = {_DRAFTS[0]: frozenset({"additionalItems"})}
_FORMATS = (
    *("date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri"),
    *("iri-reference", "json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference"),
    *("uri-template", "uuid"),
)
_MOST_NOTES = 20
_OF_NO_FORMAT = ("\0", "(", " ", "{")  # texts of which each format rejects one
_YAML_SUFFIXES = (".yaml", ".yml")


def read_schema(section: Section, folder: Path, name: str = "schema") -> SchemaConfig | None:
    """Return the schema of a key; None if there is none, or, with a problem, if it cannot be used."""
    value = section.data.get(name)
    keys = (*section.keys, name)
    if isinstance(value, str):
        path = find_file(section, name, folder)
        return None if path is None else _from_file(section, path, keys)
    if not isinstance(value, dict | bool):
        return None
    for place in section.report.source.secrets(keys):
        section.report.add(place, "a schema holds no secrets, since clients are told what it asks for")
    faults = list(schema_faults(value))
    for inner, text in faults:
        section.report.add((*keys, *inner), text)
    return None if faults else SchemaConfig(keys, value)


def _from_file(section: Section, path: Path, keys: Keys) -> SchemaConfig | None:
    key = str(keys[-1])
    name = str(section.data[key])
    try:
        with path.open("rb") as file:
            text = file.read(4 * MAX_CHARACTERS).decode("utf-8-sig")
    except OSError as error:
        section.problem(key, f"{quoted(name)} cannot be read: {(error.strerror or 'unknown error').lower()}")
        return None
    except UnicodeDecodeError as error:
        section.problem(key, f"{quoted(name)} is not UTF-8 text (byte {error.start})")
        return None
    document, problems = _parse(name, text, yaml=path.suffix in _YAML_SUFFIXES)
    for problem in problems:
        section.report.add_problem(problem)
    if problems:
        return None
    if not isinstance(document, dict | bool):
        section.problem(key, f"{quoted(name)} does not hold a JSON Schema: that is a mapping, true or false")
        return None
    faults = list(schema_faults(document))
    for inner, fault in faults:
        where = f" at {format_keys(inner)}" if inner else ""
        section.problem(key, f"{quoted(name)}{where}: {fault}")
    return None if faults else SchemaConfig(keys, document)


def _parse(name: str, text: str, *, yaml: bool) -> tuple[Any, list[Problem]]:
    """Parse a schema's file; its problems have places in that file."""
    if yaml:
        tree = read_tree(text, name)
        source = Source(tree)
        return tree.root and plain(tree.root), [source.fault(fault) for fault in tree.faults]
    try:
        return json.loads(text, parse_constant=_refuse_constant), []
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        line = lines[error.lineno - 1] if error.lineno <= len(lines) else ""
        problem = Problem(name, error.lineno, error.colno, "", f"this is not JSON: {error.msg.lower()}", line)
    except RecursionError:
        problem = Problem(name, 0, 0, "", "nested too deeply to be read")
    except ValueError as error:
        problem = Problem(name, 0, 0, "", f"this is not JSON: {error}")
    return None, [problem]


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number that JSON knows")


def is_pattern(text: str) -> bool:
    """Return whether the engine that validates messages accepts a pattern; it reports look-around itself."""
    return any(compiles(text, options) for options in (jsonschema_rs.RegexOptions(), jsonschema_rs.FancyRegexOptions()))


def is_python_pattern(text: str) -> bool:
    """Return whether Python accepts a pattern."""
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _formats_of(validator: type[Any], patterns: Callable[[str], bool]) -> FormatChecker:
    """Return the checker of the formats in a schema, with another definition of a pattern."""
    checker = FormatChecker(formats=())
    checker.checkers = {
        **validator.FORMAT_CHECKER.checkers,
        "regex": (lambda value: not isinstance(value, str) or patterns(value), ()),
    }
    return checker


def schema_notes(document: Mapping[str, Any] | bool) -> Iterator[tuple[Keys, str]]:
    """Yield parts of a valid schema that do not do what they seem to, each with its path; the first of many."""
    if not isinstance(document, bool):
        yield from islice(_all_notes(document), _MOST_NOTES)


def _all_notes(document: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    default = specification_with(str(document.get("$schema", _DRAFTS[0])))
    places = {id(each): keys for keys, each in mappings(document)}
    stack = [Resource.from_contents(document, default_specification=default)]
    while stack:
        resource = stack.pop()
        stack.extend(resource.subresources())
        contents = resource.contents
        if isinstance(contents, dict):
            draft = str(contents.get("$schema", document.get("$schema", _DRAFTS[0])))
            yield from _notes_on(contents, document, draft.rstrip("#"), places.get(id(contents), ()))


def _notes_on(schema: Mapping[str, Any], root: Mapping[str, Any], draft: str, keys: Keys) -> Iterator[tuple[Keys, str]]:
    """Yield notes on one mapping of a schema, the `root`, not on those in it."""
    known = _keywords(draft)
    for key in schema:
        if key not in known and not key.startswith("x-"):
            yield (*keys, key), f"no keyword {quoted(key)} in this draft of JSON Schema{did_you_mean(key, known)}"
    name = schema.get("format")
    if isinstance(name, str):
        checked = _checked_formats(draft)
        if not checked:
            text = f"format: {quoted(name)} checks nothing in this draft; a pattern does, and so does"
            yield (*keys, "format"), f'{text} draft 7: $schema: "{_DRAFTS[2]}"'
        elif name not in checked:
            yield (*keys, "format"), f"format: {quoted(name)} checks nothing{did_you_mean(name, checked)}"
    beside = [key for key in schema if key not in _ANNOTATIONS]
    if "$ref" in schema and draft not in _WITH_NEIGHBOURS and beside:
        yield (*keys, "$ref"), f"this draft ignores what is beside $ref: {listing(beside)}; put both in allOf"
    elif schema.get("additionalProperties") is False and not schema.get("patternProperties"):
        beyond = sorted(_named_beside(schema, root, set()) - schema.get("properties", {}).keys())
        if beyond:
            says = "write unevaluatedProperties: false" if draft in _WITH_NEIGHBOURS else "put them in properties, too"
            yield (
                (*keys, "additionalProperties"),
                f"this refuses {listing(beyond)}, too: only properties beside it count; to allow these, {says}",
            )


def _named_beside(schema: Any, root: Mapping[str, Any], seen: set[int]) -> set[str]:
    """Return the properties named by what a schema refers to, or by its parts for the same value."""
    if not isinstance(schema, dict) or id(schema) in seen:
        return set()
    seen.add(id(schema))
    parts = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ())]
    parts += [schema.get(key) for key in ("if", "then", "else")]
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference != "#":
        parts.append(pointed(root, reference))
    named: set[str] = set()
    for part in parts:
        if isinstance(part, dict):
            named |= part.get("properties", {}).keys() | _named_beside(part, root, seen)
    return named


@cache
def _keywords(draft: str) -> frozenset[str]:
    """Return all keywords of a draft, and those of others that the engine accepts in it."""
    validator = validator_for({"$schema": draft})
    named = {key for schema in _meta_schemas(validator.META_SCHEMA) for key in schema.get("properties", ())}
    return frozenset({*named, *validator.VALIDATORS, *_EVERYWHERE} - _NOT_BY_THE_ENGINE.get(draft, frozenset()))


def _meta_schemas(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schema of a draft, and those of its vocabularies."""
    yield root
    resolver = REGISTRY.resolver(root.get("$id", ""))
    for part in root.get("allOf", ()):
        yield resolver.lookup(part["$ref"]).contents


@cache
def _checked_formats(draft: str) -> frozenset[str]:
    """Return the formats that the engine checks in a draft."""
    return frozenset(
        name
        for name in _FORMATS
        if not all(map(jsonschema_rs.validator_for({"$schema": draft, "format": name}).is_valid, _OF_NO_FORMAT))
    )


def schema_faults(
    document: Mapping[str, Any] | bool, patterns: Callable[[str], bool] = is_pattern
) -> Iterator[tuple[Keys, str]]:
    """Yield the problems of a schema, each with its path inside the schema.

    Args:
        document: of a draft from 4 on.
        patterns: checks regular expressions for the validator of the schema: `is_pattern` for messages,
            `is_python_pattern` for `signalpost.config.schema.judge`.
    """
    if isinstance(document, bool):
        return
    try:
        draft = document.get("$schema", _DRAFTS[0])
        if not isinstance(draft, str) or draft.rstrip("#") not in {each.rstrip("#") for each in _DRAFTS}:
            meant = did_you_mean(draft, _DRAFTS) if isinstance(draft, str) else ""
            yield ("$schema",), f"{quoted(str(draft))} is no draft of JSON Schema{meant} (known: {', '.join(_DRAFTS)})"
            return
        validator = validator_for(document, default=Draft202012Validator)
        judge = validator(validator.META_SCHEMA, format_checker=_formats_of(validator, patterns))
        errors = {tuple(error.absolute_path): _word(error) for error in judge.iter_errors(document)}
        yield from errors.items() if errors else _references(document, draft)
    except RecursionError:
        yield (), "this schema is nested too deeply"


def _word(error: ValidationError) -> str:
    """Return why a schema is invalid, briefly: jsonschema's own words repeat the whole schema."""
    value: Any = error.instance
    rule: Any = error.validator_value
    shown = quoted(value) if isinstance(value, str) else quoted(json.dumps(value, default=str))
    match error.validator:
        case _ if error.absolute_path and error.absolute_path[-1] == "type" and isinstance(value, str):
            return f"no type {shown} in JSON Schema{did_you_mean(value, _TYPES)} (known: {', '.join(_TYPES)})"
        case "type":
            allowed = [rule] if isinstance(rule, str) else rule
            return f"not a JSON Schema: {shown} must be of type {' or '.join(allowed)}"
        case "format":
            return f"not a JSON Schema: {shown} is no {rule}"
        case "minimum" | "exclusiveMinimum":
            return (
                f"not a JSON Schema: {shown} must be {'at least' if error.validator == 'minimum' else 'above'} {rule}"
            )
        case _:
            return f"not a JSON Schema: {shown} breaks the rule {error.validator} of the draft's own schema"


def _references(document: Mapping[str, Any], draft: str) -> Iterator[tuple[Keys, str]]:
    """Yield references out of the schema, or to nothing in it."""
    resource = Resource.from_contents(document, default_specification=specification_with(draft))
    registry: Registry[Any] = REGISTRY.with_resource(resource.id() or "", resource).crawl()
    places = {id(each): keys for keys, each in mappings(document)}
    stack = [(resource, registry.resolver_with_root(resource))]
    while stack:
        resource, resolver = stack.pop()
        contents = resource.contents
        stack.extend((each, resolver.in_subresource(each)) for each in resource.subresources())
        if not isinstance(contents, dict):
            continue
        for keyword in _REFERENCES:
            reference = contents.get(keyword)
            if not isinstance(reference, str):
                continue
            try:
                resolver.lookup(reference)
            except (Unresolvable, LookupError, TypeError, ValueError):
                yield (*places.get(id(contents), ()), keyword), _unresolved(reference)


def _unresolved(reference: str) -> str:
    if not reference.startswith("#"):
        return (
            f"{quoted(reference)} is outside this schema, and nothing is fetched: "
            "put its target under $defs and refer to it as #/$defs/name"
        )
    return f"{quoted(reference)} leads nowhere in this schema"
