"""JSON Schema -> TypeScript: types that every value has which a schema accepts.

A type says as much as it can, and never more than the schema. What TypeScript cannot tell (``minLength``, ``not``,
``if``) is left out, and what would need it becomes ``unknown``. So a schema without ``type`` has a type with all that
it lets pass, texts and numbers included, and not only the mappings that its author thought of.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from signalpost.jsonschemas.references import Names, Part
from signalpost.words import printable

Kinds = frozenset[str]

_GENERIC = {
    "string": "string",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
    "array": "unknown[]",
    "object": "{ [key: string]: unknown }",
}
ALL_KINDS: Kinds = frozenset(_GENERIC)
OBJECTS: Kinds = frozenset({"object"})

_OF_ARRAYS = frozenset({"items", "prefixItems"})
_OF_OBJECTS = frozenset({"properties", "required", "additionalProperties", "patternProperties"})
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_WORD = re.compile(r"[A-Za-z0-9]+")
_DEEPEST = 48  # levels; below them everything is unknown
_MOST_VALUES = 500  # of an enum
_MOST_FORMS = 1_000  # of an intersection of unions, each with each
_MOST_ITEMS = 64  # of a tuple
_WIDEST = 88  # characters of a type on one line


@dataclass(frozen=True, slots=True)
class Type:
    """A type: the union of its members.

    Attributes:
        members: none is ``never``.
        is_intersection: whether the only member is one, which needs parentheses in other types.
    """

    members: tuple[str, ...]
    is_intersection: bool = False

    @property
    def text(self) -> str:
        """As it is written."""
        return " | ".join(self.members) or "never"

    @property
    def enclosed(self) -> str:
        """As it is written in front of ``[]`` or beside ``&``."""
        return f"({self.text})" if len(self.members) > 1 or self.is_intersection else self.text


UNKNOWN = Type(("unknown",))
NEVER = Type(())


def union(types: Iterable[Type]) -> Type:
    """Return the type of values that have any of some types."""
    types = list(dict.fromkeys(types))
    if UNKNOWN in types:
        return UNKNOWN
    if len(types) == 1:
        return types[0]
    members = (member for each in types for member in ((each.enclosed,) if each.is_intersection else each.members))
    return Type(tuple(dict.fromkeys(members)))


def intersection(types: Iterable[Type]) -> Type:
    """Return the type of values that have all of some types; of too many forms the first ones."""
    said = [each for each in dict.fromkeys(types) if each != UNKNOWN]
    if NEVER in said:
        return NEVER
    while len(said) > 1 and prod(len(each.members) for each in said) > _MOST_FORMS:
        said.pop()
    if len(said) > 1:
        return Type((" & ".join(each.text if each.is_intersection else each.enclosed for each in said),), True)
    return said[0] if said else UNKNOWN


class Translator:
    """Translates the schemas of one file; what they refer to become types with names.

    Args:
        reserved: names that the file has already.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self.names = Names(type_name)
        for name in reserved:
            self.names.reserve(name)

    def translate(self, part: Part, kinds: Kinds = ALL_KINDS) -> Type:
        """Return the type of a schema for values of some kinds."""
        return self._type(part, kinds, 0)

    def declarations(self) -> Iterator[str]:
        """Yield the declaration of each type with a name, in the order of their first use."""
        while new := self.names.take_new():
            for name, part in new:
                comment = comment_of(part.schema)
                yield f"{comment}export type {name} = {self._type(part, ALL_KINDS, 0).text};\n"

    def _type(self, part: Part, kinds: Kinds, depth: int) -> Type:
        schema = part.schema
        if schema is False:
            return NEVER
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return _generic(kinds)
        types = [] if part.reference is None else [self._referred(part, part.reference)]
        if part.is_alone:
            return types[0]
        kinds &= _kinds_of(schema)
        combined = [self._type(part.below(each), kinds, depth + 1) for each in _listed(schema, "allOf")]
        combined += [
            union(self._type(part.below(each), kinds, depth + 1) for each in _listed(schema, key))
            for key in ("anyOf", "oneOf")
            if key in schema
        ]
        own = self._own(part, kinds, depth)
        # What these combine is of these kinds already; what is referred to is of those that it says itself.
        if own != _generic(kinds) or (types and "type" in schema) or not (types or combined):
            types.append(own)
        return intersection([*types, *combined])

    def _referred(self, part: Part, reference: str) -> Type:
        target = part.target()
        if target is None or target.schema is True or target.leads_to_itself():
            return UNKNOWN
        return NEVER if target.schema is False else Type((self.names.of(target, reference),))

    def _own(self, part: Part, kinds: Kinds, depth: int) -> Type:
        """Return the type by the keywords of a schema itself."""
        schema = part.schema
        values = [schema["const"]] if "const" in schema and part.has_const else schema.get("enum")
        if isinstance(values, list) and len(values) <= _MOST_VALUES:
            return union(literal_type(value) for value in values if _kind(value) in kinds)
        arrays, objects = not _OF_ARRAYS.isdisjoint(schema), not _OF_OBJECTS.isdisjoint(schema)
        if kinds == ALL_KINDS and not arrays and not objects:
            return UNKNOWN
        types = {kind: Type((text,)) for kind, text in _GENERIC.items() if kind in kinds}
        if arrays and "array" in kinds:
            types["array"] = self._array(part, depth + 1)
        if objects and "object" in kinds:
            types["object"] = self._object(part, depth + 1)
        return union(types.values())

    def _array(self, part: Part, depth: int) -> Type:
        schema = part.schema
        items = schema.get("items", True)
        first, rest = schema.get("prefixItems", []), items
        if part.has_lists:
            first, rest = (items, schema.get("additionalItems", True)) if isinstance(items, list) else ([], items)
        each = self._type(part.below(rest), ALL_KINDS, depth)
        if not isinstance(first, list) or len(first) > _MOST_ITEMS:
            return Type(("unknown[]",))
        if not first:
            return Type((f"{each.enclosed}[]",))
        least = schema.get("minItems", 0)
        texts = []
        for index, item in enumerate(first):
            type_ = self._type(part.below(item), ALL_KINDS, depth)
            texts.append(type_.text if index < least else f"{type_.enclosed}?")
        if rest is not False:
            texts.append(f"...{each.enclosed}[]")
        return Type((f"[{', '.join(texts)}]",))

    def _object(self, part: Part, depth: int) -> Type:
        schema = part.schema
        properties, patterns = _mapping(schema, "properties"), _mapping(schema, "patternProperties")
        further = schema.get("additionalProperties")
        required = [name for name in _listed(schema, "required") if isinstance(name, str)]
        fields = [
            _field(name, self._type(part.below(below), ALL_KINDS, depth), below, required=name in required)
            for name, below in properties.items()
        ]
        fields += [_field(name, UNKNOWN, True, required=True) for name in required if name not in properties]
        if not fields:
            others = [self._type(part.below(below), ALL_KINDS, depth) for below in patterns.values()]
            others.append(self._type(part.below(True if further is None else further), ALL_KINDS, depth))
            fields.append(f"[key: string]: {union(others).text}")
        elif patterns or further not in (None, False):
            fields.append("[key: string]: unknown")
        return Type((braces(fields),))


def braces(fields: Sequence[str]) -> str:
    """Return the type of an object with some fields, on one line if they fit there."""
    line = f"{{ {'; '.join(fields)} }}" if fields else "{}"
    if "\n" not in line and len(line) <= _WIDEST:
        return line
    inner = "".join(f"{field};\n" for field in fields)
    return f"{{\n{indented(inner)}}}"


def indented(text: str) -> str:
    """Return text with each line moved to the right by a level."""
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))


def key_text(name: str) -> str:
    """Return the key of a property as it is written."""
    return name if _IDENTIFIER.fullmatch(name) else literal(name)


def literal(value: Any) -> str:
    """Return a text, a number, a truth value or null as TypeScript writes it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def literal_type(value: Any) -> Type:
    """Return the type of one value of JSON, nested ones included."""
    if isinstance(value, Mapping):
        fields = [f"{key_text(str(name))}: {literal_type(each).text}" for name, each in value.items()]
        return Type((braces(fields or ["[key: string]: never"]),))
    if isinstance(value, list | tuple):
        return Type((f"[{', '.join(literal_type(each).text for each in value)}]",))
    if isinstance(value, float) and not isfinite(value):
        return Type(("number",))
    return Type((literal(value),))


def comment_of(schema: Any) -> str:
    """Return the description of a schema as a comment, with a line end; empty if it has none."""
    if not isinstance(schema, Mapping):
        return ""
    description = schema.get("description")
    lines = description.strip().splitlines() if isinstance(description, str) else []
    if schema.get("deprecated") is True:
        lines.append("@deprecated")
    lines = [printable(line.rstrip().replace("\t", " ")).replace("*/", "*\\/") for line in lines]
    if len(lines) > 1:
        return "/**\n" + "".join(f" * {line}".rstrip() + "\n" for line in lines) + " */\n"
    return f"/** {lines[0]} */\n" if lines else ""


def type_name(text: str) -> str:
    """Return the name of a type: ``chat-line`` is ``ChatLine``."""
    name = "".join(word[0].upper() + word[1:] for word in _WORD.findall(text))
    return name if name and not name[0].isdigit() else f"Type{name}"


def _field(name: str, type_: Type, schema: Any, *, required: bool) -> str:
    return f"{comment_of(schema)}{key_text(name)}{'' if required else '?'}: {type_.text}"


def _generic(kinds: Kinds) -> Type:
    return UNKNOWN if kinds == ALL_KINDS else union(Type((text,)) for kind, text in _GENERIC.items() if kind in kinds)


def _kinds_of(schema: Mapping[str, Any]) -> Kinds:
    said = schema.get("type")
    if said is None:
        return ALL_KINDS
    return frozenset("number" if kind == "integer" else kind for kind in ([said] if isinstance(said, str) else said))


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "array"


def _listed(schema: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = schema.get(key)
    return found if isinstance(found, list | tuple) else ()


def _mapping(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = schema.get(key)
    return found if isinstance(found, Mapping) else {}
