"""The JSON Schema of routes.yaml, and the parts that plugins add: their checks, and their insertion.

A part is a JSON Schema of draft 2020-12 that refers only to its own ``$defs``. These are moved to those of the routes
schema, under unique names, since that is the only place that all editors support::

    {"$ref": "#/$defs/choice", "$defs": {"choice": {"enum": ["tea", "cake"]}}}

is inserted as ``vote``: ``{"$ref": "#/$defs/vote.choice"}``, and ``"vote.choice"`` beside ``"vote"`` in ``$defs``.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any

from signalpost.config.userschemas import is_python_pattern, schema_faults
from signalpost.jsonschemas.walk import BY_NAME, DATA, inside
from signalpost.places import Keys
from signalpost.words import quoted

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_OWN_NAMES = ("$id", "$anchor", "$dynamicAnchor", "$dynamicRef")
_DEFS = "#/$defs/"


def part_faults(document: object) -> Iterator[tuple[Keys, str]]:
    """Yield the problems of a part, each with its path inside the part."""
    if isinstance(document, bool):
        return
    if not isinstance(document, dict):
        yield (), f"a JSON Schema is a dict, True or False, not {document!r}"
        return
    draft = document.get("$schema", DRAFT)
    if draft != DRAFT:
        yield ("$schema",), f"what plugins add is draft 2020-12: leave out $schema, or write {DRAFT}"
        return
    found = list(schema_faults(document, is_python_pattern))
    yield from found or _far_references(document, document.get("$defs", {}), ())


def embedded(document: Mapping[str, Any] | bool, name: str) -> dict[str, Any]:
    """Return the definitions from a valid part: itself under `name`, and its own ``$defs`` below that name."""
    if isinstance(document, bool):
        return {name: document}

    def moved(reference: str) -> str:
        return _DEFS + (f"{name}.{reference.removeprefix(_DEFS)}" if reference != "#" else name)

    own = {f"{name}.{key}": _mapped(part, moved) for key, part in document.get("$defs", {}).items()}
    whole = {key: value for key, value in document.items() if key not in ("$defs", "$schema")}
    return {name: _mapped(whole, moved), **own}


def _far_references(schema: Any, definitions: Mapping[str, Any], keys: Keys) -> Iterator[tuple[Keys, str]]:
    """Yield references that would have another meaning inside the routes schema."""
    for inner, part in _parts(schema, keys):
        for word in _OWN_NAMES:
            if word in part:
                yield (*inner, word), f"what plugins add is part of a larger schema: leave out {word}"
        reference = part.get("$ref", "#")
        name = reference.removeprefix(_DEFS)
        if reference != "#" and (name == reference or name not in definitions):
            yield (*inner, "$ref"), f"{quoted(reference)} cannot be moved: refer to {_DEFS}name, a name without / and ~"


def _parts(schema: Any, keys: Keys) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
    """Yield a schema and every schema inside it, with the path to it."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from _parts(each, (*keys, index))
    if not isinstance(schema, dict):
        return
    yield keys, schema
    for word, value in schema.items():
        if word in BY_NAME and isinstance(value, dict):
            for name, each in value.items():
                yield from _parts(each, (*keys, word, name))
        elif word not in DATA:
            yield from _parts(value, (*keys, word))


def _mapped(schema: Any, moved: Callable[[str], str]) -> Any:
    """Copy a schema with every reference changed."""
    if isinstance(schema, list):
        return [_mapped(each, moved) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: moved(value) if word == "$ref" else inside(word, value, lambda each: _mapped(each, moved))
        for word, value in schema.items()
    }


Part = Mapping[str, Any] | bool

ROUTES_ID = "urn:signalpost:routes"
"""The schema's own ``$id``."""

_STRANGE = re.compile(r"[^A-Za-z0-9_.-]")


def compose_schema(
    built_in: Mapping[str, Part], actions: Mapping[str, Part] | None = None, settings: Mapping[str, Part] | None = None
) -> dict[str, Any]:
    """Return a fresh copy of the schema (draft 2020-12).

    Args:
        built_in: the schema of the options of each built-in action, by name.
        actions: plugins' additions to the steps of ``do``: by name the schema of the options, valid by
            `part_faults`. With them a step of another name is wrong; without them it
            may be one of a plugin that is not known here.
        settings: by plugin, the schema of its settings.
    """
    text = files("signalpost.config").joinpath("routes.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    step = schema["$defs"]["step"]
    step["properties"] = copy.deepcopy(dict(built_in)) | step["properties"]
    if "broadcast" in built_in:  # allowed without a list around it, too
        schema["$defs"]["broadcast"] = step["properties"]["broadcast"]
        step["properties"]["broadcast"] = {"$ref": "#/$defs/broadcast"}
    if actions is not None:
        step["additionalProperties"] = False
        step["properties"] |= _put_in(schema, "action", actions)
    if settings:
        described = schema["properties"]["plugins"]["properties"]["settings"]
        described["properties"] = _put_in(schema, "settings", settings)
    return schema


def _put_in(schema: dict[str, Any], kind: str, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Add parts to the definitions, and return the references to them by name."""
    definitions = schema["$defs"]
    references: dict[str, Any] = {}
    for number, (name, part) in enumerate(parts.items()):
        own = f"{kind}{number}.{_STRANGE.sub('_', name)}"
        definitions |= embedded(part, own)
        references[name] = {"$ref": f"#/$defs/{own}"}
    return references
