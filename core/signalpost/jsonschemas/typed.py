"""Converts texts to the types of a JSON Schema: fields of forms, parameters of queries and paths. Pure.

All of them arrive as texts. A value stays text if its property's schema allows that. Otherwise ``21.5`` becomes a
number for ``number``, ``on`` becomes true for ``boolean``, an empty value becomes null for ``null``, and for ``array``
all values of the name become a list. A value that cannot be converted is unchanged, so that the schema reports it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from signalpost.jsonschemas.walk import pointed

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_WHOLES = range(-(2**63), 2**64)  # that JSON keeps to the last digit here; larger ones are parsed as JSON does
_LONGEST = 64
_BOOLEANS: Mapping[str, bool] = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_DEEPEST = 16  # maximum of references and parts of schemas that are followed
_KIND_OF = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", list: "array"}

Kinds = frozenset[str]


@dataclass(frozen=True, slots=True)
class Property:
    """The types that a property may have.

    Attributes:
        kinds: names of types; none if every type is allowed.
        items: types of the items of a list.
    """

    kinds: Kinds
    items: Kinds


@dataclass(frozen=True, slots=True)
class FieldTypes:
    """The types of the properties of a schema. Create one with `of`.

    Attributes:
        properties: by name.
        further: of other properties.
    """

    properties: Mapping[str, Property]
    further: Property

    @classmethod
    def of(cls, document: Any) -> "FieldTypes":
        """Read the types of a mapping's properties from a JSON Schema."""
        properties: dict[str, Property] = {}
        further = _property({}, document)
        for part in _parts(document, document):
            found = part.get("properties")
            for name, schema in found.items() if isinstance(found, Mapping) else ():
                properties.setdefault(name, _property(schema, document))
            if isinstance(part.get("additionalProperties"), Mapping):
                further = _property(part["additionalProperties"], document)
        return cls(properties, further)

    def read(self, fields: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Return the typed values of fields, given with all their values; of several the first, unless it is a list."""
        return {name: self._value(name, values) for name, values in fields.items() if values}

    def _value(self, name: str, values: Sequence[Any]) -> Any:
        known = self.properties.get(name, self.further)
        if "array" in known.kinds and "string" not in known.kinds:
            return [_typed(value, known.items) for value in values]
        return _typed(values[0], known.kinds)


def _typed(value: Any, kinds: Kinds) -> Any:
    if not isinstance(value, str) or not kinds or "string" in kinds or len(value) > _LONGEST:
        return value
    text = value.strip()
    if not text:
        return None if "null" in kinds else value
    if "number" in kinds or "integer" in kinds:
        if _WHOLE.fullmatch(text) and (whole := int(text)) in _WHOLES:
            return whole
        if _NUMBER.fullmatch(text) and isfinite(number := float(text)):  # JSON has no other numbers
            return number
    return _BOOLEANS.get(text.lower(), value) if "boolean" in kinds else value


def _property(schema: Any, root: Any) -> Property:
    parts = list(_parts(schema, root))
    items = [part["items"] for part in parts if isinstance(part.get("items"), Mapping)]
    return Property(_kinds(parts), _kinds([each for item in items for each in _parts(item, root)]))


def _kinds(parts: Sequence[Mapping[str, Any]]) -> Kinds:
    return frozenset(kind for part in parts for kind in _said(part))


def _said(part: Mapping[str, Any]) -> Iterator[str]:
    said = part.get("type")
    if isinstance(said, str):
        yield said
    elif isinstance(said, Sequence):
        yield from (kind for kind in said if isinstance(kind, str))
    else:
        values = part.get("enum", [part["const"]] if "const" in part else [])
        if isinstance(values, Sequence):
            yield from (_KIND_OF[type(value)] for value in values if type(value) in _KIND_OF)


def _parts(schema: Any, root: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield a schema, what it references, and the parts that it combines."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return
    yield schema
    reference = schema.get("$ref")
    target = pointed(root, reference) if isinstance(reference, str) else None
    for part in (target, *(each for word in ("allOf", "anyOf", "oneOf") for each in _listed(schema, word))):
        yield from _parts(part, root, depth + 1)


def _listed(schema: Mapping[str, Any], word: str) -> Sequence[Any]:
    found = schema.get(word)
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()
