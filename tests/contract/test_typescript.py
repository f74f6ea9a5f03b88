"""JSON Schema -> TypeScript: what each keyword becomes."""

import pytest

from signalpost.jsonschemas.references import Part
from signalpost.jsonschemas.typescript import OBJECTS, Translator, comment_of, key_text, literal, type_name

DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}
DRAFT_4 = {"$schema": "http://json-schema.org/draft-04/schema#"}
ANYTHING_ELSE = "string | number | boolean | null"


def translated(schema):
    translator = Translator()
    type_ = translator.translate(translator.names.document(schema, "whole")).text
    return "\n".join([type_, *translator.declarations()]).rstrip("\n")


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        (True, "unknown"),
        (False, "never"),
        ({}, "unknown"),
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "number"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": ["integer", "number"]}, "number"),
        ({"type": "string", "minLength": 1, "format": "email", "pattern": "x"}, "string"),
        ({"type": "string", "nullable": True}, "string"),  # no keyword of JSON Schema, so the server refuses null
        ({"enum": ["a", 1, -1.5, True, None]}, '"a" | 1 | -1.5 | true | null'),
        ({"enum": ["a", 1], "type": "string"}, '"a"'),
        ({"const": "a"}, '"a"'),
        ({"const": {"a": [1, "b"], "c d": {}}}, '{ a: [1, "b"]; "c d": { [key: string]: never } }'),
        ({"const": "a", **DRAFT_4}, "unknown"),
        ({"enum": []}, "never"),
        ({"const": float("inf")}, "number"),
        ({"enum": list(range(1000))}, "unknown"),
        ({"enum": list(range(1000)), "type": "integer"}, "number"),
        ({"not": {"type": "string"}}, "unknown"),
        ({"if": {"type": "string"}, "then": {"minLength": 3}}, "unknown"),
        # lists
        ({"type": "array"}, "unknown[]"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "(string | null)[]"),
        ({"type": "array", "items": False}, "never[]"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {}]}, "[string?, unknown?, ...unknown[]]"),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "minItems": 2, "items": False},
            "[string, null]",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "number"}, "minItems": 1},
            "[string, ...number[]]",
        ),
        (
            {"type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "null"}, **DRAFT_7},
            "[string?, ...null[]]",
        ),
        ({"type": "array", "items": {"type": "string"}, "additionalItems": False, **DRAFT_7}, "string[]"),
        ({"items": {"type": "string"}}, f"{ANYTHING_ELSE} | string[] | {{ [key: string]: unknown }}"),
        # mappings
        ({"type": "object"}, "{ [key: string]: unknown }"),
        ({"type": "object", "additionalProperties": False}, "{ [key: string]: never }"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "{ [key: string]: number }"),
        ({"type": "object", "patternProperties": {"^a": {"type": "number"}}}, "{ [key: string]: unknown }"),
        (
            {"type": "object", "patternProperties": {"^a": {"type": "number"}}, "additionalProperties": False},
            "{ [key: string]: number }",
        ),
        ({"type": "object", "properties": {"a": {}, "b": {"type": "null"}}}, "{ a?: unknown; b?: null }"),
        ({"type": "object", "properties": {"a": {}}, "required": ["a", "b"]}, "{ a: unknown; b: unknown }"),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "number"}},
            "{ a?: string; [key: string]: unknown }",
        ),
        (
            {"type": "object", "properties": {"a b": {}, "1": {}, 'q"\n': {}, "größe": {}}},
            '{ "a b"?: unknown; "1"?: unknown; "q\\"\\n"?: unknown; "größe"?: unknown }',
        ),
        (
            {"required": ["a"]},
            f"{ANYTHING_ELSE} | unknown[] | {{ a: unknown }}",
        ),
        # combined
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"oneOf": [{"type": "string"}, {}]}, "unknown"),
        ({"anyOf": [{"type": "string"}, False]}, "string"),
        ({"allOf": [{"type": "string"}, {"minLength": 2}]}, "string"),
        ({"allOf": [{"type": "string"}, False]}, "never"),
        (
            {"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "{ a?: unknown } & ({ a: unknown } | { b: unknown })",
        ),
        (
            {
                "type": "array",
                "items": {"allOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]},
            },
            "({ a: unknown } & { b: unknown })[]",
        ),
        (
            {
                "anyOf": [
                    {"type": "null"},
                    {"type": "object", "allOf": [{"required": ["a"]}, {"required": ["b"]}]},
                ]
            },
            "null | ({ a: unknown } & { b: unknown })",
        ),
        ({"type": "string", "anyOf": [{"minLength": 1}, {"type": "object", "required": ["a"]}]}, "string"),
    ],
)
def test_a_schema_becomes_a_type(schema, type_):
    assert translated(schema) == type_


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        pytest.param(
            {"$ref": "#/$defs/chat-line", "$defs": {"chat-line": {"type": "string"}}},
            "ChatLine\nexport type ChatLine = string;",
            id="a name",
        ),
        pytest.param(
            {"$ref": "#/definitions/x", "minLength": 1, "definitions": {"x": {"type": "object"}}, **DRAFT_7},
            "X\nexport type X = { [key: string]: unknown };",
            id="what is beside a reference does not count in draft 7",
        ),
        pytest.param(
            {"$ref": "#/$defs/x", "required": ["b"], "type": "object", "$defs": {"x": {"type": "object"}}},
            "X & { b: unknown }\nexport type X = { [key: string]: unknown };",
            id="what is beside a reference counts",
        ),
        pytest.param(
            {"type": "object", "properties": {"next": {"$ref": "#"}}},
            "{ next?: Whole }\nexport type Whole = { next?: Whole };",
            id="the whole in itself",
        ),
        pytest.param(
            {
                "$ref": "#/$defs/tree",
                "$defs": {
                    "tree": {"type": "object", "properties": {"below": {"$ref": "#/$defs/trees"}}},
                    "trees": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                },
            },
            "Tree\nexport type Tree = { below?: Trees };\n\nexport type Trees = Tree[];",
            id="one in the other",
        ),
        pytest.param({"$ref": "#"}, "unknown", id="nothing but itself"),
        pytest.param(
            {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}},
            "unknown",
            id="a circle",
        ),
        pytest.param({"$ref": "http://json-schema.org/draft-07/schema#"}, "unknown", id="the schema of a draft"),
        pytest.param({"$dynamicRef": "#x", "$defs": {"x": {"$dynamicAnchor": "x"}}}, "unknown", id="a dynamic one"),
        pytest.param(
            {"items": {"$ref": "#a"}, "type": "array", "$defs": {"x": {"$anchor": "a", "type": "null"}}},
            "A[]\nexport type A = null;",
            id="an anchor",
        ),
        pytest.param(
            {"anyOf": [{"$ref": "#/$defs/a/b"}, {"$ref": "#/$defs/c/b"}], "$defs": {"a": {"b": {}}, "c": {"b": {}}}},
            "B | B2\nexport type B = unknown;\n\nexport type B2 = unknown;",
            id="two of one name",
        ),
        pytest.param(
            {"anyOf": [{"$ref": "#/$defs/yes"}, {"type": "null"}], "$defs": {"yes": True}}, "unknown", id="true"
        ),
        pytest.param(
            {
                "$id": "http://example.com/a",
                "$ref": "#/$defs/in",
                "$defs": {"in": {"$id": "b", "$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}}},
            },
            "In\nexport type In = X;\n\nexport type X = null;",
            id="a schema with an id in another",
        ),
    ],
)
def test_what_is_referred_to_becomes_a_type_with_a_name(schema, text):
    assert translated(schema) == text


def test_equal_documents_share_the_types_of_their_parts():
    translator = Translator()
    schema = {"$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}}
    for owner in ("one", "other"):
        whole = translator.names.document(dict(schema), owner)
        assert translator.translate(whole).text == "X"
    assert list(translator.declarations()) == ["export type X = null;\n"]


def test_an_object_that_fills_a_line_is_written_over_several():
    properties = {f"property{number}": {"type": "string"} for number in range(5)}
    below = {"type": "object", "properties": properties}
    text = translated({"type": "object", "properties": {"a": {"type": "array", "items": below}}})
    inner = "".join(f"    property{number}?: string;\n" for number in range(5))
    assert text == f"{{\n  a?: {{\n{inner}  }}[];\n}}"


def test_a_description_is_a_comment_that_nothing_in_it_ends():
    schema = {
        "type": "object",
        "properties": {"a": {"description": "ends */ here"}, "b": {"description": "two\nlines", "deprecated": True}},
    }
    assert translated(schema) == (
        "{\n"
        "  /** ends *\\/ here */\n"
        "  a?: unknown;\n"
        "  /**\n"
        "   * two\n"
        "   * lines\n"
        "   * @deprecated\n"
        "   */\n"
        "  b?: unknown;\n"
        "}"
    )
    assert comment_of({"description": " \n "}) == comment_of(True) == comment_of({"description": 5}) == ""


def test_values_of_one_kind_are_all_that_a_type_tells_where_others_cannot_be():
    schema = {"required": ["a"], "anyOf": [{"required": ["b"]}, {"type": "string"}]}
    part = Translator().names.document(schema, "whole")
    assert Translator().translate(part, OBJECTS).text == "{ a: unknown } & { b: unknown }"


def test_a_schema_that_is_nested_too_deeply_ends_in_unknown():
    schema = {"type": "string"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    assert translated(schema).count("[]") < 100
    assert translated(schema).startswith("unknown")


def test_an_intersection_of_many_forms_leaves_out_what_would_be_too_many():
    forms = {"anyOf": [{"type": "object", "required": [f"a{number}"]} for number in range(40)]}
    text = translated({"allOf": [forms, forms | {"minProperties": 1}, {"type": "object", "required": ["last"]}]})
    assert text.count("a7: unknown") <= 2


def test_names_of_types_are_ones_that_typescript_knows():
    assert [type_name(text) for text in ("chat-line", "1st", "größe", "", "a/b c")] == [
        "ChatLine",
        "Type1st",
        "GrE",
        "Type",
        "ABC",
    ]
    translator = Translator(("Signals",))
    part = translator.names.document({"$ref": "#/$defs/signals", "$defs": {"signals": {"type": "null"}}}, "whole")
    assert translator.translate(part).text == "Signals2"


def test_texts_are_written_so_that_no_character_breaks_a_line():
    assert key_text("a_$1") == "a_$1"
    assert literal("\u2028\0é") == '"\\u2028\\u0000\\u00e9"'
    assert literal("é'\"") == '"é\'\\""'


def test_a_part_of_a_document_keeps_what_its_references_mean():
    whole = Part.whole({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "null"}}})
    target = whole.below(whole.schema["properties"]["a"]).target()
    assert target is not None
    assert target.schema == {"type": "null"}
    assert whole.target() is None
