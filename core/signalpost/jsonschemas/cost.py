"""The maximum cost of validating a message by a schema, computed when the schema is compiled.

The engine cannot be interrupted, so the cost is estimated before a message is validated: a schema has a cost per value,
and a message has a number of values. The figures are upper bounds in nanoseconds, measured on the engine with the worst
input for each keyword: ``tests/bench/schemas.py`` measures them again, and ``core/docs/schema-costs.md`` is its table.

How the cost of a schema is found:

* Keywords of one schema and of those applied in place (``allOf``, ``$ref``) add up.
* A value is below one property only, so the most expensive of ``properties`` counts; patterns and ``contains`` add.
* A part reached only through ``properties`` applies once per message, and counts per message, not per value.
* The engine validates a list or mapping once by a schema that refers to itself, so such a schema counts once more, not
  as a power of the depth.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from signalpost.jsonschemas.walk import mappings, pointed

Schema = Any
"""A schema in plain dicts and lists, or any part of one."""

HUGE: Final = 1e19
"""From this size on, the engine compares numbers digit by digit."""

_ROOM = 1 << 62
_CONTAINERS = frozenset({dict, list})
_MANY_QUOTES = 100_000
_SHAPES = bytes(48 if byte in b"0123456789" else 101 if byte in b"eE" else 32 for byte in range(256))

# Nanoseconds for each value that a keyword inspects; other keywords take `_PLAIN`.
_PLAIN = 25
_BY_KEYWORD: Final = {"type": 10, "$ref": 40, "$dynamicRef": 60, "$recursiveRef": 60}
# Nanoseconds for each item or member of it.
_BY_CHILD: Final = {
    "properties": 40,
    "additionalProperties": 25,
    "propertyNames": 25,
    "required": 25,
    "unevaluatedProperties": 40,
    "unevaluatedItems": 40,
    "items": 10,
    "prefixItems": 10,
    "additionalItems": 10,
    "contains": 10,
}
LIMITS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_LENGTHS = frozenset({"minLength", "maxLength"})
_CONTENTS = frozenset({"contentEncoding", "contentMediaType"})
_EACH_ENTRY = frozenset({"dependentRequired", "dependentSchemas", "dependencies"})
_SILENT = frozenset({"$defs", "definitions", "$schema", "$id", "id", "$anchor", "title", "description", "default"})
_IN_PLACE = frozenset({"not", "if", "then", "else"})
_IN_PLACE_LISTS = frozenset({"allOf", "anyOf", "oneOf"})
_IN_PLACE_BY_NAME = frozenset({"dependentSchemas", "dependencies"})
_EACH_CHILD = frozenset({"additionalProperties", "items", "additionalItems", "prefixItems"})
_EVERY_CHILD = frozenset({"contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_DYNAMIC = frozenset({"$dynamicAnchor", "$recursiveAnchor"})
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
# The engine evaluates the schemas beside these again, to know what they have covered.
_ANEW = 3
_NUMBER = 60
_HUGE_NUMBER = 5_500
_ENTRY = 20
_NAME_PATTERN = 65
_FORMAT, _FORMAT_BYTE = 300, 6
_CONTENT, _CONTENT_BYTE = 100, 30
_LENGTH_BYTE = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """A maximum cost in nanoseconds.

    Attributes:
        value: for each value.
        huge: added for each number of `HUGE` or more.
        byte: added for each byte.
    """

    value: int = 0
    huge: int = 0
    byte: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(min(a + b, _ROOM) for a, b in zip(self.parts, other.parts, strict=True)))

    def __or__(self, other: "Cost") -> "Cost":
        return Cost(*map(max, self.parts, other.parts))

    def __mul__(self, times: int) -> "Cost":
        return Cost(*(min(part * times, _ROOM) for part in self.parts))

    @property
    def parts(self) -> tuple[int, int, int]:
        """The three figures."""
        return self.value, self.huge, self.byte


NOTHING: Final = Cost()
META_SCHEMA: Final = Cost(5_000, 5_500, 100)
"""The cost of a meta-schema of the drafts, which may be referenced."""

Keywords = Callable[[str, Any], Cost | None]
"""Returns the cost of a keyword with a value, if it differs from that of the engine at its best."""


@dataclass(frozen=True, slots=True)
class SchemaCost:
    """The maximum cost of validation by a schema.

    Attributes:
        once: nanoseconds for any message.
        each: for the contents of the message.
    """

    once: int
    each: Cost

    def of(self, values: int, huge: int, size: int) -> int:
        """Return the nanoseconds for a message with these numbers of values, huge numbers and bytes."""
        return self.once + self.each.value * values + self.each.huge * huge + self.each.byte * size


@dataclass(frozen=True, slots=True)
class _Part:
    """The cost of a schema where it applies to each value (`own`, `below`), and where to one (`once`, `many`)."""

    own: Cost = NOTHING
    below: Cost = NOTHING
    once: int = 0
    many: Cost = NOTHING

    @property
    def each(self) -> Cost:
        return self.own | self.below

    def beside(self, other: "_Part", times: int = 1) -> "_Part":
        """Add a part that applies to the same value."""
        return _Part(
            self.own + other.own * times,
            self.below + other.below * times,
            min(self.once + other.once * times, _ROOM),
            self.many + other.many * times,
        )


def cost_of(document: Schema, keywords: Keywords = lambda _key, _value: None) -> SchemaCost:
    """Compute the cost of validation by a schema.

    Args:
        document: a schema that compiles, in plain dicts and lists.
        keywords: returns the cost of keywords that differ.

    Raises:
        RecursionError: it is nested too deeply.
    """
    return _Reckoning(document, keywords).result()


def paths_of(document: Schema) -> int:
    """Return the maximum number of ways in which a part of the schema leads to itself at one child of its value.

    Explaining a mismatch follows each of them, so its time is a power of their number; only 0 and 1 are harmless.
    Keywords with a yes or no result (``if``, ``not``, ``contains``) do not count: the engine caches those.
    """
    reckoning = _Reckoning(document, lambda _key, _value: None)
    reckoning.result()
    return reckoning.paths()


class _Reckoning:
    """Computes the cost of one document."""

    def __init__(self, document: Schema, keywords: Keywords) -> None:
        self._document = document
        self._keywords = keywords
        self._nodes = {id(node): node for _, node in mappings(document)}
        self._done: dict[int, _Part] = {}
        self._under_way: set[int] = set()
        self._again: set[int] = set()
        """Targets of references from within themselves, or from an unknown place."""
        self._meta = False
        inner = [node for node in self._nodes.values() if node is not document]
        self._pointers_hold = not any(isinstance(node.get(key), str) for node in inner for key in ("$id", "id"))

    def result(self) -> SchemaCost:
        root = self._part(self._document)
        each, counted = root.many, set[int]()
        while left := self._again - counted:
            counted |= left
            for identity in left:
                each = each + self._part(self._nodes[identity]).each
        return SchemaCost(root.once, each + META_SCHEMA if self._meta else each)

    def paths(self) -> int:
        """Return the result of `paths_of`; call it after `result`."""
        known: dict[int, int] = {}
        return max((self._paths(self._nodes[each], known, start=True) for each in self._again), default=0)

    def _paths(self, schema: Schema, known: dict[int, int], *, start: bool = False) -> int:
        if not isinstance(schema, dict):
            return 0
        identity = id(schema)
        if identity in self._again and not start:
            return 1
        if start or identity not in known:
            apart = _apart(schema.get("allOf"))
            paths = max((self._paths(each, known) for each in apart), default=0)
            for each in self._in_place(schema):
                is_apart = isinstance(each, dict) and any(each.get("then") is then for then in apart)
                if not self._is_asked(schema, each) and not is_apart:
                    paths += self._paths(each, known)
            single = [child for key in _EACH_CHILD & schema.keys() for child in _listed(schema[key])]
            paths += max((self._paths(child, known) for child in (*_by_name(schema, "properties"), *single)), default=0)
            paths += sum(self._paths(child, known) for child in _by_name(schema, "patternProperties"))
            paths += sum(self._paths(schema[key], known) for key in _UNEVALUATED & schema.keys())
            if start:
                return paths
            known[identity] = min(paths, _ROOM)
        return known[identity]

    @staticmethod
    def _is_asked(schema: dict[str, Any], part: Schema) -> bool:
        return part is schema.get("if") or part is schema.get("not")

    def _part(self, schema: Schema) -> _Part:
        if not isinstance(schema, dict):
            return _Part()
        identity = id(schema)
        if identity in self._under_way:
            self._again.add(identity)
            return _Part()
        if identity not in self._done:
            self._under_way.add(identity)
            self._done[identity] = self._reckoned(schema)
            self._under_way.discard(identity)
        return self._done[identity]

    def _reckoned(self, schema: dict[str, Any]) -> _Part:
        own = NOTHING
        for key, value in schema.items():
            own = own + self._own(key, value)
        part = _Part(own, NOTHING, own.value + own.huge, Cost(0, 0, own.byte))
        times = _ANEW if _UNEVALUATED & schema.keys() else 1
        for beside in self._in_place(schema):
            part = part.beside(self._part(beside), times)
        below, many = self._children(schema)
        return _Part(part.own, part.below + below, *self._named(schema, part.once, part.many + many))

    def _named(self, schema: dict[str, Any], once: int, many: Cost) -> tuple[int, Cost]:
        """Add what applies once, because it is below a property."""
        dearest = NOTHING
        for child in _by_name(schema, "properties"):
            part = self._part(child)
            once = min(once + part.once, _ROOM)
            dearest = dearest | part.many
        return once, many + dearest

    def _children(self, schema: dict[str, Any]) -> tuple[Cost, Cost]:
        """Return the cost of each child, including those below properties; and without those."""
        one_of, all_of = NOTHING, NOTHING
        for key, value in schema.items():
            all_of = all_of + Cost(_for_each_child(key, value))
        for key in _EACH_CHILD & schema.keys():
            for child in _listed(schema[key]):
                one_of = one_of | self._part(child).each
        for key in _EVERY_CHILD & schema.keys():
            all_of = all_of + self._part(schema[key]).each
        for child in _by_name(schema, "patternProperties"):
            all_of = all_of + self._part(child).each
        named = one_of
        for child in _by_name(schema, "properties"):
            named = named | self._part(child).each
        return named + all_of, one_of + all_of

    def _own(self, key: str, value: Any) -> Cost:
        known = self._keywords(key, value)
        return _own(key, value) if known is None else known

    def _in_place(self, schema: dict[str, Any]) -> Iterator[Schema]:
        for key, value in schema.items():
            if key in _IN_PLACE:
                yield value
            elif key in _IN_PLACE_LISTS:
                yield from _listed(value)
            elif key in _IN_PLACE_BY_NAME:
                yield from _by_name(schema, key)
            elif key in _REFERENCES and isinstance(value, str):
                yield from self._targets(key, value)

    def _targets(self, key: str, reference: str) -> Iterator[Schema]:
        """Yield the possible targets of a reference; unknown ones count for every value."""
        if reference.startswith(("http://json-schema.org/", "https://json-schema.org/")):
            self._meta = True
            return
        if key != "$ref":
            self._again |= {each for each, node in self._nodes.items() if not node.keys().isdisjoint(_DYNAMIC)}
        target = self._pointed(reference) if self._pointers_hold else None
        if target is None:
            self._again |= self._nodes.keys()
            self._meta = self._meta or not reference.startswith("#")
        else:
            yield target

    def _pointed(self, reference: str) -> Schema | None:
        """Return the part of the document that ``#/a/b`` or ``#anchor`` names (RFC 6901 section 6), or None."""
        if reference != "#" and not reference.startswith("#/"):
            anchor = reference.removeprefix("#")
            named = (
                node for node in self._nodes.values() if anchor in (node.get("$anchor"), node.get("$dynamicAnchor"))
            )
            return next(named, None)
        return pointed(self._document, reference)


def _own(key: str, value: Any) -> Cost:
    """Return the engine's cost of a keyword, without the schemas in it."""
    if key in _SILENT:
        return NOTHING
    if key in LIMITS:
        return Cost(_NUMBER, _HUGE_NUMBER)
    if key in _LENGTHS:
        return Cost(_PLAIN, 0, _LENGTH_BYTE)
    if key == "format":
        return Cost(_FORMAT, 0, _FORMAT_BYTE)
    if key in _CONTENTS:
        return Cost(_CONTENT, 0, _CONTENT_BYTE)
    entries = len(value) if isinstance(value, dict | list) else 1
    if key in _EACH_ENTRY:
        return Cost(_PLAIN + _ENTRY * entries)
    return Cost(_BY_KEYWORD.get(key, _PLAIN))


def _for_each_child(key: str, value: Any) -> int:
    """Return the engine's cost for each item or member of what a keyword inspects."""
    entries = len(value) if isinstance(value, dict | list) else 1
    if key in _EACH_ENTRY:
        return _ENTRY * entries
    if key == "patternProperties":
        return _NAME_PATTERN * entries
    return _BY_CHILD.get(key, 0)


def _apart(parts: Any) -> list[Schema]:
    """Return the ``then`` of those parts of an ``allOf`` of which at most one applies to any value.

    `signalpost.jsonschemas.unions` produces these from forms that differ by a type, or by a text.
    """
    thens: list[Schema] = []
    seen: set[Any] = set()
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, dict) or part.keys() != {"if", "then"}:
            continue
        marks = _marks(part["if"])
        alike = {kind for kind, _ in seen | marks}
        if marks and len(alike) == 1 and not marks & seen:
            seen |= marks
            thens.append(part["then"])
    return thens


def _marks(test: Schema) -> set[tuple[str, str]]:
    """Return the types, or the text of a property, by which a test distinguishes values; empty for other tests."""
    match test:
        case {"type": [*types], **others} if not others:
            return {("type", "number" if name == "integer" else name) for name in types}
        case {"required": [name], "properties": {**tests}, **others} if not others and tests.keys() == {name}:
            text = _text(tests[name])
            return {(f"/{name}", text)} if isinstance(text, str) else set()
        case _:
            return set()


def _text(test: Any) -> Any:
    return test["const"] if isinstance(test, dict) and test.keys() == {"const"} else None


def _listed(value: Any) -> list[Schema]:
    return value if isinstance(value, list) else [value]


def _by_name(schema: Mapping[str, Any], key: str) -> list[Schema]:
    value = schema.get(key)
    return list(value.values()) if isinstance(value, dict) else []


def amount_of_text(text: bytes) -> tuple[int, int]:
    """Return how many values, and how many huge numbers among them, a text of JSON or of a form contains at most.

    The contents of strings are counted, too: `without_strings` removes them.
    """
    # A list or mapping has one value more than commas, unless it is empty.
    values = 1 + text.count(b",") + text.count(b"[") - text.count(b"[]") + text.count(b"{") - text.count(b"{}")
    values += text.count(b"&")  # of a form
    shapes = text.translate(_SHAPES, b"+")
    return values, shapes.count(b"0" * 19) + shapes.count(b"0e00")


def without_strings(text: bytes) -> bytes:
    """Return a text of JSON with each string replaced by a quotation mark; unchanged if it has very many strings.

    >>> without_strings(b'{"a": "one, two", "b": 3}') b'{": ", ": 3}'
    """
    bare = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text if bare.count(b'"') > _MANY_QUOTES else b'"'.join(bare.split(b'"')[::2])


def amount(value: Any, most: int) -> tuple[int, int]:
    """Count the values in a value, including itself, and how many of them are huge numbers; stop beyond `most`.

    For values without their text; otherwise see `amount_of_text`.

    >>> amount({"a": [1, 1e300]}, 1_000) (4, 1)
    """
    count, huge = 1, int(_is_huge(value))
    stack = [value] if type(value) in _CONTAINERS else []
    while stack and count <= most:
        part = stack.pop()
        held = part.values() if type(part) is dict else part
        count += len(held)
        if count > most:
            break
        stack += [each for each in held if type(each) in _CONTAINERS]
        huge += sum([_is_huge(each) for each in held if type(each) is float])
    return count, huge


def _is_huge(value: Any) -> bool:
    return type(value) is float and not -HUGE < value < HUGE
