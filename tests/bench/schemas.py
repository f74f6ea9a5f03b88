"""What each keyword of JSON Schema costs with the worst messages for it: the engine alone, and the gate before it.

::

    python tests/bench/schemas.py                        # print the table, in about five minutes
    python tests/bench/schemas.py --only uniqueItems     # one keyword
    python tests/bench/schemas.py --output core/docs/schema-costs.md

Milliseconds are of this thread's CPU, the best of three where it is short. Each is measured in a process of its own,
and given up after ten seconds. It exits 1 when the gate took longer than it may.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema_rs
import orjson

from signalpost.jsonschemas.gate import SchemaGate

KIB, MIB = 64 << 10, 1 << 20
ALLOWED = 50  # ms
PATIENCE = 10  # seconds
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"

Make = Callable[[int], bytes]


@dataclass(frozen=True)
class Case:
    """A schema, and messages of a size that are bad for it."""

    keyword: str
    what: str
    schema: object
    make: Make


def many(item: bytes) -> Make:
    """Make lists of the same item."""
    return lambda size: b"[" + b",".join([item] * ((size - 1) // (len(item) + 1))) + b"]"


def integers(start: int = 10**19, step: int = -1) -> Make:
    """Make lists of different integers: from 10^19 down, a thousand of them are one double."""

    def make(size: int) -> bytes:
        items, room, number = [], size - 1, start
        while room > 0:
            items.append(b"%d" % number)
            room -= len(items[-1]) + 1
            number += step
        return b"[" + b",".join(items[:-1]) + b"]"

    return make


def numbered(pattern: bytes, brackets: bytes = b"[]") -> Make:
    """Make lists, or mappings, of items that have a number in them."""

    def make(size: int) -> bytes:
        items, room, number = [], size - 1, 0
        while room > 0:
            items.append(pattern % number)
            room -= len(items[-1]) + 1
            number += 1
        return brackets[:1] + b",".join(items[:-1]) + brackets[1:]

    return make


def text(part: str) -> Make:
    """Make one long text."""
    coded = json.dumps(part, ensure_ascii=False)[1:-1].encode()
    return lambda size: b'"' + coded * ((size - 2) // len(coded)) + b'"'


def deep(leaf: bytes, depth: int) -> Make:
    """Make lists of a leaf, in so many lists."""
    return lambda size: b"[" * depth + many(leaf)(max(size - 2 * depth, 8)) + b"]" * depth


def nested(depth: int) -> Make:
    """Make lists in lists only."""
    return lambda size: b"[" * min(depth, size // 2) + b"1" + b"]" * min(depth, size // 2)


def empties(size: int) -> bytes:
    """Make a list of different lists in which there is nothing but lists: the engine hashes all of them alike."""
    shapes, level = [b"[]"], [b"[]"]
    while sum(map(len, shapes)) + len(shapes) < size:
        level = [b"[" + each + other + b"]" for each in level[:400] for other in (b"", b",[]", b",[[]]")]
        shapes += level
    taken = shapes[: max(2, size * len(shapes) // (sum(map(len, shapes)) + len(shapes)))]
    return b"[" + b",".join(taken) + b"]"


def each(schema: object, **others: object) -> dict[str, object]:
    """Apply a schema to every item."""
    return {"items": schema, **others}


def tried(schema: object) -> dict[str, object]:
    """Apply a schema to every item, whether it matches or not: so all are looked at."""
    return {"items": {"anyOf": [schema, True]}}


def shown_limit(limit: float) -> str:
    """Write a limit briefly."""
    return "-10^400" if limit < -1e308 else f"{limit:.3g}"


def names(count: int) -> list[str]:
    """Give so many names."""
    return [f"p{number}" for number in range(count)]


def cases() -> Iterator[Case]:
    """Give the worst that is known for each keyword."""
    yield from _numbers()
    yield from _texts()
    yield from _lists()
    yield from _mappings()
    yield from _applicators()
    yield from _formats()


def _numbers() -> Iterator[Case]:
    yield Case("type", "several types", each({"type": ["string", "null", "object"]}), many(b"{}"))
    for keyword, limit in (
        ("minimum", -(10**400)),
        ("maximum", 2**80),
        ("exclusiveMinimum", 0.1),
        ("exclusiveMaximum", 1.7e308),
    ):
        yield Case(keyword, shown_limit(limit), tried({keyword: limit}), many(b"1e308"))
        yield Case(keyword, "an integer, huge numbers", tried({keyword: 5}), many(b"1e99"))
        yield Case(keyword, "0.1, tiny numbers", tried({keyword: 0.1}), many(b"5e-324"))
        yield Case(keyword, "0.1, integers", tried({keyword: 0.1}), many(b"0"))
    yield Case(
        "minimum",
        "draft 4, exclusive",
        each({"minimum": 0.1, "exclusiveMinimum": True}, **{"$schema": DRAFT_4}),
        many(b"1"),
    )
    yield Case("multipleOf", "0.01 of 1e308", each({"multipleOf": 0.01}), many(b"1e308"))
    yield Case("multipleOf", "0.01 of 1", each({"multipleOf": 0.01}), many(b"1"))
    yield Case("multipleOf", "0.01 of 5e-324", tried({"multipleOf": 0.01}), many(b"5e-324"))
    yield Case("multipleOf", "1e-300 of 1", each({"multipleOf": 1e-300}), many(b"1"))
    yield Case("multipleOf", "7 of 1e308", tried({"multipleOf": 7}), many(b"1e308"))
    yield Case("const", "an integer", tried({"const": 10**19 + 1}), integers())
    yield Case("const", "a fraction", tried({"const": 1.5e300}), many(b"1e308"))
    yield Case("const", "a long list", tried({"const": [1] * 50 + [2]}), many(b"[" + b"1," * 50 + b"1]"))
    yield Case("enum", "200 integers above 2^63", tried({"enum": [2**63 + each for each in range(200)]}), integers())
    yield Case("enum", "200 fractions", tried({"enum": [1.5 + each for each in range(200)]}), many(b"1e9"))
    yield Case("enum", "200 texts", tried({"enum": names(200)}), many(b'"x"'))
    yield Case("enum", "200 lists", tried({"enum": [[each] for each in range(1, 201)]}), many(b"[0]"))
    yield Case("enum", "200 mappings", tried({"enum": [{"a": each} for each in range(1, 201)]}), many(b'{"a":0}'))
    yield Case(
        "enum",
        "200 long lists",
        tried({"enum": [[0] * 99 + [each] for each in range(1, 201)]}),
        many(b"[" + b"0," * 99 + b"0]"),
    )


def _texts() -> Iterator[Case]:
    yield Case("maxLength", "one text", {"maxLength": MIB}, text("é"))
    yield Case("minLength", "short texts", each({"minLength": 1}), many('"é"'.encode()))
    yield Case("pattern", "a simple one", {"pattern": "^[a-z]+$"}, text("a"))
    yield Case("pattern", "(a+)+$", {"pattern": "^(a+)+$"}, text("a"))
    yield Case("pattern", "a class of Unicode", {"pattern": r"^\p{L}+$"}, text("é"))
    yield Case("pattern", "a[ab]{12}[cd]", {"not": {"pattern": "a[ab]{12}[cd]"}}, _ab)
    yield Case("pattern", "a.{20}[cd]", {"not": {"pattern": "a.{20}[cd]"}}, _ab)
    yield Case("pattern", "a[ab]{3000}[cd]", {"not": {"pattern": "a[ab]{3000}[cd]"}}, _ab)
    yield Case("pattern", "(a.{0,500}b.{0,500}){3}c", {"not": {"pattern": "(a.{0,500}b.{0,500}){3}c"}}, _ab)
    yield Case("pattern", "short texts", each({"pattern": "^[a-z]+[0-9]?x?$"}), many(b'"a"'))
    yield Case("pattern", "short texts, a large one", tried({"pattern": "a[ab]{3000}[cd]"}), many(b'"a"'))
    for keyword in ("contentEncoding", "contentMediaType"):
        value = "base64" if keyword == "contentEncoding" else "application/json"
        yield Case(
            keyword,
            "one text",
            {"$schema": DRAFT_7, keyword: value},
            lambda size: b'"[' + b"{}," * (size // 3 - 2) + b'1]"',
        )
        yield Case(keyword, "short texts", each({keyword: value}, **{"$schema": DRAFT_7}), many(b'"e30="'))


def _ab(size: int) -> bytes:
    """Make a text of as and bs without order."""
    state, letters = 1, bytearray()
    while len(letters) < size - 2:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        letters += f"{state >> 33:b}".encode().translate(bytes.maketrans(b"01", b"ab"))
    return b'"' + bytes(letters[: size - 2]) + b'"'


def _lists() -> Iterator[Case]:
    unique = {"uniqueItems": True}
    yield Case("uniqueItems", "integers from 10^19 down", {**unique, "items": {"type": "string"}}, integers())
    yield Case("uniqueItems", "small integers", unique, integers(0, 1))
    yield Case("uniqueItems", "lists of nothing but lists", unique, empties)
    yield Case("uniqueItems", "lists of one integer", unique, numbered(b"[%d]"))
    yield Case("uniqueItems", "mappings", unique, numbered(b'{"a":%d}'))
    yield Case("uniqueItems", "fractions", unique, numbered(b"%d.5"))
    yield Case("uniqueItems", "texts", unique, numbered(b'"%d"'))
    yield Case("uniqueItems", "lists in lists, each unique", {**unique, "items": {"$ref": "#"}}, deep(b"[]", 200))
    yield Case("uniqueItems", "short lists", each(unique), many(b"[]"))
    yield Case("maxItems", "lists of few", each({"maxItems": 1}), many(b"[]"))
    yield Case("minItems", "lists of few", each({"minItems": 0}), many(b"[]"))
    yield Case("items", "integers", each({"type": "integer"}), many(b"1"))
    yield Case("prefixItems", "1,000 of them", each({"prefixItems": [{"type": "integer"}] * 1000}), many(b"[1]"))
    yield Case(
        "additionalItems",
        "draft 7",
        {"$schema": DRAFT_7, "items": [{"type": "integer"}], "additionalItems": {"type": "integer"}},
        many(b"1"),
    )
    yield Case("contains", "none of it", {"not": {"contains": {"type": "string"}}}, many(b"1"))
    yield Case(
        "contains",
        "20 of them",
        {"not": {"anyOf": [{"contains": {"minimum": each}} for each in range(2, 22)]}},
        many(b"1"),
    )
    yield Case("minContains", "more than there are", {"contains": {"type": "integer"}, "minContains": MIB}, many(b"1"))
    yield Case("maxContains", "as many as there are", {"contains": {"type": "integer"}, "maxContains": MIB}, many(b"1"))
    yield Case(
        "unevaluatedItems",
        "behind contains, 20 times",
        {
            "anyOf": [{"contains": {"maximum": -each}, "minContains": 0} for each in range(1, 21)],
            "unevaluatedItems": True,
        },
        many(b"1"),
    )
    yield Case(
        "unevaluatedItems",
        "recursion",
        {"$ref": "#/$defs/n", "$defs": {"n": {"allOf": [each({"$ref": "#/$defs/n"})], "unevaluatedItems": False}}},
        deep(b"[]", 500),
    )


def _mappings() -> Iterator[Case]:
    members = numbered(b'"%d":1', b"{}")
    yield Case(
        "properties",
        "1,000 of them",
        each({"properties": {name: {"type": "string"} for name in names(1000)}}),
        many(b'{"a":1}'),
    )
    yield Case(
        "patternProperties",
        "20 prefixes",
        {"patternProperties": {f"^{name}": {"type": "string"} for name in names(20)}},
        members,
    )
    yield Case(
        "patternProperties",
        "20 patterns",
        {"patternProperties": {f"[a-z]x{each}[0-9]*$": {"type": "string"} for each in range(20)}},
        members,
    )
    yield Case(
        "patternProperties",
        "a large pattern",
        {"patternProperties": {"a[ab]{300}[cd]": {"type": "string"}}},
        lambda size: b"{" + _ab(size - 4) + b":1}",
    )
    yield Case("additionalProperties", "integers", {"additionalProperties": {"type": "integer"}}, members)
    yield Case("propertyNames", "a pattern", {"propertyNames": {"maxLength": 9, "pattern": "^[a-z0-9]"}}, members)
    yield Case(
        "required",
        "20 that are there",
        each({"required": [str(each) for each in range(20)]}),
        many(b"{" + b",".join(b'"%d":1' % each for each in range(20)) + b"}"),
    )
    yield Case("maxProperties", "mappings of few", each({"maxProperties": 1}), many(b"{}"))
    yield Case("minProperties", "mappings of few", each({"minProperties": 0}), many(b"{}"))
    yield Case(
        "dependentRequired",
        "100 of them",
        each({"dependentRequired": {name: ["a"] for name in names(100)}}),
        many(b"{}"),
    )
    yield Case(
        "dependentSchemas",
        "100 of them",
        each({"dependentSchemas": {name: {"type": "object"} for name in names(100)}}),
        many(b"{}"),
    )
    yield Case(
        "dependencies",
        "draft 7, 100 of them",
        each({"dependencies": {name: ["a"] for name in names(100)}}, **{"$schema": DRAFT_7}),
        many(b"{}"),
    )
    yield Case(
        "unevaluatedProperties",
        "behind 20 patterns",
        {
            "anyOf": [{"patternProperties": {f"^{name}": True}} for name in names(20)],
            "unevaluatedProperties": {"type": "integer"},
        },
        members,
    )
    yield Case("unevaluatedProperties", "in itself, 12 times", _unevaluated(12), members)


def _unevaluated(times: int) -> object:
    schema: object = {"type": "object"}
    for _ in range(times):
        schema = {"allOf": [schema], "unevaluatedProperties": {"type": "integer"}}
    return schema


def _applicators() -> Iterator[Case]:
    forms = [{"minimum": each} for each in range(2, 12)]
    yield Case("allOf", "10 of them", each({"allOf": [{"minimum": -each} for each in range(10)]}), many(b"1"))
    yield Case("allOf", "2 of 2 of 2 …, 20 times", _doubled(20), many(b"1"))
    yield Case("anyOf", "10 of them", each({"anyOf": [*forms, {"type": "integer"}]}), many(b"1"))
    yield Case(
        "anyOf",
        "10 forms of mappings",
        each(
            {
                "anyOf": [
                    *({"properties": {"kind": {"const": name}}, "required": ["kind"]} for name in names(10)),
                    {"type": "object"},
                ]
            }
        ),
        many(b"{}"),
    )
    yield Case("oneOf", "10 of them", each({"oneOf": [*forms, {"type": "integer"}]}), many(b"1"))
    yield Case("not", "of each item", tried({"type": "string"}), many(b"1"))
    yield Case(
        "if",
        "then and else",
        each({"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "integer"}}),
        many(b"1"),
    )
    yield Case("then", "behind if", each({"if": {"type": "integer"}, "then": {"minimum": 0}}), many(b"1"))
    yield Case("else", "behind if", each({"if": {"type": "string"}, "else": {"minimum": 0}}), many(b"1"))
    yield Case(
        "$ref",
        "to each item's schema",
        {"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "integer"}}},
        many(b"1"),
    )
    yield Case("$ref", "to itself, wide", each({"$ref": "#"}), many(b"[]"))
    yield Case("$ref", "to itself, deep and wide", each({"$ref": "#"}), deep(b"[]", 1000))
    yield Case(
        "$ref",
        "to itself by two forms",
        {"anyOf": [{"items": {"$ref": "#"}, "minItems": 1}, {"items": {"$ref": "#"}, "type": "array"}, {"const": "x"}]},
        nested(1000),
    )
    yield Case(
        "$ref", "to itself twice", {"allOf": [each({"$ref": "#"}), each({"$ref": "#"})], "minItems": 2}, nested(1000)
    )
    yield Case(
        "$ref",
        "to itself by two forms, a list at the end",
        {
            "anyOf": [
                {"items": {"$ref": "#"}, "type": "array"},
                {"items": {"$ref": "#"}, "minItems": 1},
                {"type": "string"},
            ]
        },
        deep(b"1", 200),
    )
    yield Case(
        "$ref",
        "to a draft's own schema",
        {"$ref": DRAFT_2020},
        lambda size: b'{"required":' + integers()(size - 16) + b"}",
    )
    yield Case("$dynamicRef", "to itself", {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}}, deep(b"[]", 1000))
    yield Case(
        "$recursiveRef",
        "to itself, draft 2019-09",
        {"$schema": DRAFT_2019, "$recursiveAnchor": True, "items": {"$recursiveRef": "#"}},
        deep(b"[]", 1000),
    )


def _doubled(times: int) -> object:
    definitions: dict[str, object] = {f"a{times}": {"type": "array"}}
    for number in range(times):
        definitions[f"a{number}"] = {"allOf": [{"$ref": f"#/$defs/a{number + 1}"}] * 2}
    return {"$ref": "#/$defs/a0", "$defs": definitions}


FORMATS = {
    "date": ("2026-01-01", "1"),
    "time": ("12:00:00Z", "1"),
    "date-time": ("2026-01-01T12:00:00Z", "1"),
    "email": ("a@b.c", "a"),
    "idn-email": ("é@b.c", "é"),
    "hostname": ("a.b", "a."),
    "idn-hostname": ("é.b", "é."),
    "ipv4": ("1.1.1.1", "1"),
    "ipv6": ("::1", ":"),
    "uri": ("a:b", "a:"),
    "uri-reference": ("a", "/a"),
    "iri": ("a:é", "é"),
    "iri-reference": ("é", "é"),
    "uri-template": ("{a}", "{a}"),
    "json-pointer": ("/a", "/a"),
    "relative-json-pointer": ("0/a", "0"),
    "regex": ("a+", "("),
}


def _formats() -> Iterator[Case]:
    for name, (short, part) in FORMATS.items():
        item = json.dumps(short, ensure_ascii=False).encode()
        yield Case("format", f"{name}, short texts", each({"format": name}, **{"$schema": DRAFT_7}), many(item))
        yield Case("format", f"{name}, one text", {"$schema": DRAFT_7, "format": name}, text(part))
    yield Case("format", "idn-hostname, one label", {"$schema": DRAFT_7, "format": "idn-hostname"}, text("é"))
    yield Case(
        "format",
        "regex, many to compile",
        each({"format": "regex"}, **{"$schema": DRAFT_7}),
        numbered(rb'"(\\w\\W){99}%d"'),
    )


# Measuring


@dataclass(frozen=True)
class Figures:
    """Milliseconds for a case; None where it was given up.

    Attributes:
        engine: the engine alone, for 64 KiB and for 1 MiB.
        gate: what stands before it, for both, explaining included.
        border: the gate, for the longest message up to 1 MiB that is judged, and its bytes; None if none is.
        said: what becomes of 1 MiB.

    """

    engine: tuple[float | None, float | None]
    gate: tuple[float | None, float | None]
    border: tuple[float | None, int]
    said: str

    @property
    def worst(self) -> float:
        """The most that the gate took."""
        taken = (*self.gate, self.border[0] if self.border[1] else 0.0)
        return max(PATIENCE * 1000 if each is None else each for each in taken)


def apart(work: Callable[[], object]) -> object:
    """Do something in a process of its own; None when it takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        os.write(writer, orjson.dumps(work()))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    return orjson.loads(data) if data else None


def milliseconds(work: Callable[[], object]) -> float:
    """Return what something takes of this thread."""
    best = float("inf")
    for _ in range(3):
        start = time.thread_time()
        work()
        best = min(best, (time.thread_time() - start) * 1000)
        if best > 100:
            break
    return best


def of_engine(case: Case, size: int) -> float | None:
    """Measure the engine alone."""
    engine = jsonschema_rs.validator_for(case.schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True)
    instance = orjson.loads(case.make(size))
    return apart(lambda: milliseconds(lambda: engine.is_valid(instance)))


def of_gate(gate: SchemaGate, case: Case, size: int) -> tuple[float | None, str]:
    """Measure the gate, and give what it says."""
    made = case.make(size)
    instance = orjson.loads(made)

    def work() -> object:
        mismatch = gate.rejection(instance, made)
        said = "judged" if mismatch is None or "too long to check" not in mismatch.detail else "refused"
        return milliseconds(lambda: gate.rejection(instance, made)), said

    return apart(work) or (None, "given up")


def measure(case: Case) -> Figures | str:
    """Measure a case; a text if its schema is refused."""
    try:
        gate = SchemaGate.compile(case.schema)
    except ValueError as error:
        return str(error)
    (small, _), (large, said) = of_gate(gate, case, KIB), of_gate(gate, case, MIB)
    low, high = 0, MIB
    while said == "refused" and high - low > 4096:
        middle = (low + high) // 2
        if of_gate(gate, case, middle)[1] == "judged":
            low = middle
        else:
            high = middle
    border = (of_gate(gate, case, low)[0], low) if low else (None, 0)
    engine = of_engine(case, KIB), of_engine(case, MIB)
    return Figures(engine, (small, large), border, said)


def shown(figure: float | None) -> str:
    """Write milliseconds."""
    if figure is None:
        return f"> {PATIENCE} s"
    return f"{figure:,.0f}" if figure >= 10 else f"{figure:.1f}"


HEAD = """# What checking a message costs

The worst that we know for each keyword of JSON Schema, in milliseconds of CPU. A message must not hold the loop for longer
than 50 ms, whatever its schema. *Engine* is `jsonschema-rs` alone; *gate* is what signalpost does with the message:
`jsonschemas/cost.py` weighs it, `jsonschemas/keywords.py` does what the engine does slowly, and the time to explain a refusal is
in it. *Longest judged* is the longest message of this kind, up to 1 MiB, that is not refused as too costly, and what it
takes; it is where the gate takes longest.

`python tests/bench/schemas.py --output core/docs/schema-costs.md` makes this table; {machine}.

What bounds a message is the number of its values, not its length, so long texts and ordinary lists pass. `signalpost check`
notes schemas that leave little room: fewer than 30,000 values, less than 1 MiB, or less than 16 KiB of text for a pattern.
To allow more, say less with one schema: forms told apart by a `const` instead of ten that are tried, a `maxLength` beside
a `pattern`, integers as limits, texts in an `enum`.

| keyword | with | engine 64 KiB | engine 1 MiB | gate 64 KiB | gate 1 MiB | 1 MiB is | longest judged |
|---|---|--:|--:|--:|--:|---|--:|
"""  # noqa: E501 - lines of a document


def row(case: Case, figures: Figures | str) -> str:
    """Write a line of the table."""
    what = case.what.replace("|", "\\|")
    if isinstance(figures, str):
        return f"| `{case.keyword}` | {what} | | | | | the schema is refused | |"
    longest = "" if figures.said == "judged" else f"{figures.border[1] >> 10} KiB: {shown(figures.border[0])}"
    if figures.said != "judged" and not figures.border[1]:
        longest = "below 4 KiB"
    columns = (*map(shown, figures.engine), *map(shown, figures.gate), figures.said, longest)
    return f"| `{case.keyword}` | {what} | {' | '.join(columns)} |"


def main() -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="a keyword")
    parser.add_argument("--output", type=Path, help="where to write the table")
    options = parser.parse_args()
    lines, slow = [], []
    for case in cases():
        if options.only not in (None, case.keyword):
            continue
        figures = measure(case)
        lines.append(row(case, figures))
        print(lines[-1], flush=True)
        if isinstance(figures, Figures) and figures.worst > ALLOWED:
            slow.append(case)
    machine = f"on {os.cpu_count()} cores, Python {platform.python_version()}, jsonschema-rs "
    machine += __import__("importlib.metadata").metadata.version("jsonschema_rs")
    if options.output:
        options.output.write_text(HEAD.format(machine=machine) + "\n".join(lines) + "\n", encoding="utf-8")
    for case in slow:
        print(f"over {ALLOWED} ms: {case.keyword}, {case.what}")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
