"""Users' JSON Schemas: read from routes.yaml or from a file, and judged sound by jsonschema."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema.exceptions import ValidationError
from jsonschema.validators import Draft202012Validator, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # comes with jsonschema
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from signalpost.config.bounds import MAX_CHARACTERS
from signalpost.config.files import find_file
from signalpost.config.model import Keys, SchemaConfig
from signalpost.config.nodes import plain
from signalpost.config.section import Section
from signalpost.config.source import Source
from signalpost.config.tree import read_tree
from signalpost.config.words import did_you_mean, format_keys, quoted
from signalpost.errors import Problem

_DRAFTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-04/schema#",
)
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
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
    """Read a schema's file; its mistakes are placed in that file."""
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


def schema_faults(document: Mapping[str, Any] | bool) -> Iterator[tuple[Keys, str]]:
    """Yield what is wrong with a schema, each with the path to it inside the schema."""
    if isinstance(document, bool):
        return
    try:
        draft = document.get("$schema", _DRAFTS[0])
        if not isinstance(draft, str) or draft.rstrip("#") not in {each.rstrip("#") for each in _DRAFTS}:
            meant = did_you_mean(draft, _DRAFTS) if isinstance(draft, str) else ""
            yield ("$schema",), f"{quoted(str(draft))} is no draft of JSON Schema{meant} (known: {', '.join(_DRAFTS)})"
            return
        validator = validator_for(document, default=Draft202012Validator)
        judge = validator(validator.META_SCHEMA, format_checker=validator.FORMAT_CHECKER)
        errors = {tuple(error.absolute_path): _word(error) for error in judge.iter_errors(document)}
        yield from errors.items() if errors else _references(document, draft)
    except RecursionError:
        yield (), "this schema is nested too deeply"


def _word(error: ValidationError) -> str:
    """Say why a schema is none: briefly, for jsonschema's own words repeat the whole schema."""
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
    """Yield references that lead out of the schema, or nowhere in it."""
    resource = Resource.from_contents(document, default_specification=specification_with(draft))
    registry: Registry[Any] = REGISTRY.with_resource(resource.id() or "", resource).crawl()
    places = dict(_places(document, ()))
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
            f"{quoted(reference)} leads out of this schema, and nothing is fetched: "
            "put what it means under $defs and refer to it as #/$defs/name"
        )
    return f"{quoted(reference)} leads nowhere in this schema"


def _places(value: Any, keys: Keys) -> Iterator[tuple[int, Keys]]:
    """Yield each mapping's identity with the path to it."""
    if isinstance(value, dict):
        yield id(value), keys
        for key, child in value.items():
            yield from _places(child, (*keys, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _places(child, (*keys, index))
