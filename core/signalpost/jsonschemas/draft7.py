"""JSON Schemas of any draft as draft 7, the one that AsyncAPI documents speak.

What draft 7 cannot say is left out (``unevaluatedProperties``, ``$dynamicRef``), so the result accepts everything that
the schema accepts. What references lead to gets a name, and a place of its own in the document.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from signalpost.jsonschemas.references import Names, Part

_DEEPEST = 48  # levels; below them everything is accepted
_SCHEMAS = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "additionalItems"}
)
_LISTS = frozenset({"allOf", "anyOf", "oneOf"})
_BY_NAME = frozenset({"properties", "patternProperties"})
_SWITCHES = frozenset({"additionalProperties", "additionalItems"})  # of these, false is what people write
_KEPT = frozenset(
    {
        *("type", "enum", "const", "format", "pattern", "required", "title", "description", "default", "examples"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "contentEncoding"),
        *("contentMediaType", "readOnly", "writeOnly", "deprecated"),
    }
)
_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class Rewriter:
    """Rewrites the schemas of one document.

    Args:
        place: of what references lead to, without the name: ``#/components/schemas/``.
    """

    def __init__(self, place: str) -> None:
        self.names = Names(component_name)
        self._place = place

    def rewrite(self, part: Part) -> dict[str, Any]:
        """Return a schema as draft 7."""
        return self._schema(part, 0)

    def components(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each part with a name, in the order of their first use."""
        while new := self.names.take_new():
            yield from ((name, self._schema(part, 0)) for name, part in new)

    def _schema(self, part: Part, depth: int) -> dict[str, Any]:
        schema = part.schema
        if schema is False:
            return {"not": {}}
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return {}
        referred = self._referred(part)
        if part.is_alone:
            return referred
        made = dict(self._keywords(part, depth + 1))
        if not referred:
            return made
        # Draft 7 ignores what is beside a $ref.
        return {"allOf": [referred, made]} if made else referred

    def _referred(self, part: Part) -> dict[str, Any]:
        target, reference = part.target(), part.reference
        if target is None or reference is None or target.schema is True or target.leads_to_itself():
            return {}
        if target.schema is False:
            return {"not": {}}
        return {"$ref": f"{self._place}{self.names.of(target, reference)}"}

    def _keywords(self, part: Part, depth: int) -> Iterator[tuple[str, Any]]:
        schema = part.schema
        for key, value in schema.items():
            if key in _BOUNDS and isinstance(value, bool):  # draft 4
                if value and _BOUNDS[key] in schema:
                    yield key, schema[_BOUNDS[key]]
            elif key.startswith("x-") or (key in _KEPT and (key != "const" or part.has_const)):
                if _is_json(value):
                    yield key, value
            elif key in _LISTS or key in _SCHEMAS or key in _BY_NAME or key == "prefixItems":
                yield from self._applied(part, key, value, depth)
        if dependencies := self._dependencies(part, depth):
            yield "dependencies", dependencies

    def _applied(self, part: Part, key: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
        """Yield a keyword that holds schemas, under the name that draft 7 has for it."""
        made: Any
        if key in _BY_NAME:
            made = {name: self._schema(part.below(each), depth) for name, each in value.items()}
        elif isinstance(value, list):
            made = [self._schema(part.below(each), depth) for each in value]
        else:
            made = self._schema(part.below(value), depth)
        if part.has_lists:
            names: Mapping[str, str] = {"prefixItems": ""}
        else:
            names = {"prefixItems": "items", "additionalItems": ""}
            if "prefixItems" in part.schema:
                names = {**names, "items": "additionalItems"}
            if part.schema.get("minContains") == 0:
                names = {**names, "contains": ""}
        if name := names.get(key, key):
            yield name, value if name in _SWITCHES and isinstance(value, bool) else made

    def _dependencies(self, part: Part, depth: int) -> dict[str, Any]:
        schema, found = part.schema, dict[str, Any]()
        for key in ("dependencies", "dependentRequired", "dependentSchemas"):
            value = schema.get(key)
            for name, each in value.items() if isinstance(value, Mapping) else ():
                listed = isinstance(each, list)
                said = list(each) if listed else self._schema(part.below(each), depth)
                if name in found:
                    both = (found[name], said)
                    said = {"allOf": [{"required": one} if isinstance(one, list) else one for one in both]}
                found[name] = said
        return found


def _is_json(value: Any) -> bool:
    """Return whether a value can be written as JSON: 1e999 in a file is infinite to Python."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def component_name(text: str) -> str:
    """Return a name that a component may have: ``chat line`` is ``chat-line``."""
    return _NO_NAME.sub("-", text).strip("-") or "schema"
