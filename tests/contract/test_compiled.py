"""The types of real apps, and of random schemas, before the compiler."""

import json
from collections.abc import Mapping

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.cli.new import starters
from signalpost.cli.types import types_text
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.jsonschemas.typescript import Translator
from signalpost.paths import ParameterType
from signalpost.plan import load_plan

CLIENT = """\
import type { Signals } from "./signals";

interface Room<S extends { sends: unknown; receives: unknown }> {
  send(message: S["sends"]): void;
  on(kind: "signal", hear: (value: S["receives"]) => void): void;
}
type Shape<S> = { [P in keyof S]: { params: unknown; sends: unknown; receives: unknown } };
interface Line<S extends Shape<S>> {
  open<P extends keyof S & string>(
    path: P,
    ...params: keyof S[P]["params"] extends never ? [] : [S[P]["params"]]
  ): Room<S[P]>;
}
declare function connect<S extends Shape<S>>(url: string): Line<S>;
export const line = connect<Signals>("ws://localhost");
export type Receives<P extends keyof Signals> = Signals[P]["receives"];
"""


def sample_of(schema, root=None):
    """Return a value that a plain schema accepts; the caller asks the schema itself whether it is one."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping):
        return "anything"
    if "$ref" in schema:
        return sample_of(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return sample_of(schema["anyOf"][0], root)
    match schema.get("type", "object" if "properties" in schema else "string"):
        case "integer" | "number":
            return 5
        case "array":
            return [sample_of(schema.get("items", True), root)]
        case "object":
            known = schema.get("properties", {})
            named = {name: sample_of(below, root) for name, below in known.items()}
            return {**dict.fromkeys(schema.get("required", ()), "anything"), **named}
        case _:
            return "text"


def program_of(plan):
    """Return a program that opens each signal of a plan, sends there what its schema takes, and reads what it sends."""
    lines = [CLIENT]
    paths = {rule.config.path.text: True for rule in plan.signals}
    lines.append(f"export const all: {{ [P in keyof Signals]: true }} = {json.dumps(paths)};")
    for number, rule in enumerate(plan.signals):
        path = json.dumps(rule.config.path.text)
        params = {each.name: 7 if each.type is ParameterType.INT else "x" for each in rule.config.path.parameters}
        message = {"message": "text"} if rule.gate is None else sample_of(rule.gate.document)
        assert rule.gate is None or rule.gate.accepts(message)
        value = "text" if rule.sends is None else sample_of(rule.sends.document)
        assert rule.sends is None or rule.sends.accepts(value)
        lines += [
            f"const room{number} = line.open({path}{', ' + json.dumps(params) if params else ''});",
            f"room{number}.send({json.dumps(message)});",
            f'room{number}.on("signal", (value) => {{ const read: Receives<{path}> = value; void read; }});',
            f"export const value{number}: Receives<{path}> = {json.dumps(value)};",
        ]
    return "\n".join(lines)


@pytest.mark.parametrize("name", starters())
def test_a_program_that_uses_every_signal_of_an_app_compiles(tsc, apps, name):
    plan = load_plan(apps[name])
    try:
        assert plan.signals
        assert tsc(signals=types_text(plan), program=program_of(plan)) == []
    finally:
        plan.registry.unload()


WRONG = [
    'line.open("/room");',
    'line.open("/board");',
    'line.open("/board/<n:int>", { n: "seven" });',
    'line.open("/board/<n:int>", { number: 7 });',
    'line.open("/wall", { room: "x" });',
    'line.open("/board/<n:int>", { n: 7 }).send({ message: { x: 1 } });',
    'line.open("/board/<n:int>", { n: 7 }).send({ message: { x: 1, y: "2" } });',
    'line.open("/board/<n:int>", { n: 7 }).send({});',
    'line.open("/board/<n:int>", { n: 7 }).send({ message: { x: 1, y: 2 }, path: "/wall" });',
    'line.open("/board/<n:int>", { n: 7 }).on("signal", (value) => { const text: string = value; void text; });',
    'line.open("/wall").send({ message: "x", group: 5 });',
    'line.open("/wall").on("signal", (value) => { value.toFixed(); });',
    'export const wall: Receives<"/wall"> = 5;',
]
RIGHT = [
    'line.open("/board/<n:int>", { n: 7 }).send({ message: { x: 1, y: 2 }, group: "g" });',
    'line.open("/board/<n:int>", { n: 7 }).on("signal", (value) => { if (value.of) value.of.toUpperCase(); });',
    'line.open("/wall").send({ message: [1, null], path: "/wall", direct: true });',
    'line.open("/wall").on("signal", (value) => { value.toUpperCase(); });',
]
DRAWN = """\
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - path: /board/<n:int>
    targets: [group]
    schema:
      required: [message]
      properties:
        message: {type: object, required: [x, y], properties: {x: {type: number}, y: {type: number}}}
    sends: {type: object, properties: {of: {type: string}}}
  - {path: /wall, sends: {type: string}}
"""


def test_a_wrong_program_does_not_compile_and_each_of_its_lines_is_refused(tsc, load):
    signals = types_text(load(DRAWN))
    found = tsc(signals=signals, program="\n".join([CLIENT, *RIGHT, *WRONG]))
    first = len([CLIENT, *RIGHT]) + CLIENT.count("\n") + 1
    assert {file for file, _, _ in found} == {"program"}
    assert sorted({line for _, line, _ in found}) == list(range(first, first + len(WRONG)))


def test_a_program_that_forgets_a_signal_does_not_compile(tsc, load):
    plan = load(DRAWN)
    program = program_of(plan).replace('"/wall": true', '"/was": true')
    assert [line for _, line, _ in tsc(signals=types_text(plan), program=program)] == [CLIENT.count("\n") + 2]


# Keys and comments that hold any character


@pytest.mark.parametrize(
    "text", ["*/ export const evil = 1; /*", "a\u2028b", 'q"uote', "back\\slash", "${x}`", "größe"]
)
def test_no_text_of_a_schema_breaks_out_of_its_place(tsc, text):
    schema = {"type": "object", "description": text, "properties": {text: {"description": text, "const": text}}}
    translator = Translator()
    whole = translator.names.document({"$ref": "#/$defs/x", "$defs": {"x": schema, text: {}}}, text)
    module = f"export type Whole = {translator.translate(whole).text};\n" + "".join(translator.declarations())
    use = f'import type {{ Whole }} from "./module";\nexport const made: Whole = {json.dumps({text: text})};'
    assert tsc(module=module, use=use) == []


# Random schemas

KEYS = ("a", "b", "c d")
NAMES = ("x", "y")
scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b"]) | st.just(0.5)
values = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS), below, max_size=3)
)
kinds = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])


def keywords(below):
    """Return a strategy for schemas with some keywords, whose parts are from `below`."""
    named = st.dictionaries(st.sampled_from(KEYS), below, max_size=3)
    forms = st.lists(below, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kinds | st.lists(kinds, min_size=1, max_size=3, unique=True),
            "enum": st.lists(values, min_size=1, max_size=3),
            "const": values,
            "properties": named,
            "required": st.lists(st.sampled_from(KEYS), max_size=2, unique=True),
            "additionalProperties": below,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "d$", "."]), below, max_size=2),
            "items": below,
            "prefixItems": forms,
            "minItems": st.integers(0, 3),
            "anyOf": forms,
            "oneOf": forms,
            "allOf": forms,
            "not": below,
            "if": below,
            "then": below,
            "minLength": st.integers(0, 2),
            "description": st.text(max_size=8),
            "$ref": st.sampled_from(["#", *(f"#/$defs/{name}" for name in NAMES)]),
        },
    )


parts = st.recursive(st.booleans() | st.just({}) | kinds.map(lambda kind: {"type": kind}), keywords, max_leaves=8)
schemas = st.builds(lambda schema, x, y: {**schema, "$defs": {"x": x, "y": y}}, keywords(parts), parts, parts)


COMMON = [None, True, 1, 0.5, "a", [], {}, ["a", 1], [[], None], {"a": 1}, {"b": "a", "c d": {}}, {"a": [], "b": 0}]


def type_of(value):
    """Return the type of a JSON value, written by hand: it must fit the type of each schema that accepts the value.

    Every key that a schema may name is there, absent ones as such. Else TypeScript would refuse a value that has none
    of the keys that a type names, though all of them are optional.
    """
    if isinstance(value, dict):
        fields = [f"{json.dumps(key)}: {type_of(each)}" for key, each in value.items()]
        return f"{{ {'; '.join([*fields, *(f'{json.dumps(key)}?: never' for key in KEYS if key not in value)])} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(type_of, value))}]"
    return json.dumps(value)


def accepts(schema, value):
    try:
        return jsonschema_rs.validator_for(schema).is_valid(value)
    except ValueError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_type_of_a_random_schema_parses_and_has_every_value_that_the_schema_accepts(tsc):
    lines = ["export type Fits<T extends true> = T;"]

    @settings(max_examples=400, suppress_health_check=[HealthCheck.filter_too_much], database=None)
    @given(schemas, st.lists(values, max_size=6))
    def collect(schema, tried):
        number = len(lines)
        translator = Translator()
        type_ = translator.translate(translator.names.document(schema, "whole")).text
        body = [f"export type It = {type_};", *translator.declarations()]
        fitting = [value for value in [*COMMON, *tried] if accepts(schema, value)]
        body += [
            f"export type V{index} = Fits<{type_of(value)} extends It ? true : false>;"
            for index, value in enumerate(fitting)
        ]
        lines.append(f"export namespace N{number} {{\n" + "\n".join(body) + "\n}")

    collect()
    module = "\n".join(lines)
    found = tsc(module=module)
    source = module.splitlines()
    assert [(text, source[line - 1]) for _, line, text in found] == []
    assert module.count("Fits<") > 400


def test_the_type_of_a_schema_that_does_not_accept_a_value_does_not_have_it_where_types_can_tell(tsc):
    translator = Translator()
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"enum": [1, 2]}}}
    type_ = translator.translate(translator.names.document(schema, "whole")).text
    gate = SchemaGate.compile(schema)
    tried = [{"a": 1}, {"a": 3}, {}, 5, {"a": 2, "b": None}]
    fits = (
        f"export type V{number} = Fits<{type_of(value)} extends It ? true : false>;"
        for number, value in enumerate(tried)
    )
    lines = ["export type Fits<T extends true> = T;", f"type It = {type_};", *fits]
    refused = [tried[line - 3] for _, line, _ in tsc(module="\n".join(lines))]
    assert refused == [value for value in tried if not gate.accepts(value)] == [{"a": 3}, {}, 5]
