"""Unions as people write them are explained by the form that the sender meant."""

import pytest

from signalpost.jsonschemas.gate import SchemaGate
from signalpost.jsonschemas.rejection import Rejection
from signalpost.jsonschemas.unions import without_unions

CHAT = {
    "type": "object",
    "required": ["kind", "text"],
    "properties": {"kind": {"const": "chat"}, "text": {"type": "string"}},
}
JOIN = {
    "type": "object",
    "required": ["kind", "room"],
    "properties": {"kind": {"enum": ["join"]}, "room": {"type": "integer"}},
}


def explain(schema, instance):
    gate = SchemaGate.compile(schema)
    assert not gate.accepts(instance)
    return gate.explain(instance)


BY_LABEL = [
    ({"kind": "chat"}, "", '"text" is a required property'),
    ({"kind": "chat", "text": 1}, "/text", "expected a string, got a number"),
    ({"kind": "join", "room": "a"}, "/room", "expected an integer, got a string"),
    ({"kind": "jion"}, "/kind", 'expected one of "chat", "join"'),
    ({"text": "a"}, "", '"kind" is a required property'),
    ("hello", "", "expected an object, got a string"),
]


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
@pytest.mark.parametrize(("instance", "pointer", "detail"), BY_LABEL)
def test_objects_are_told_apart_by_their_label(keyword, instance, pointer, detail):
    assert explain({keyword: [CHAT, JOIN]}, instance) == Rejection(pointer, detail)


@pytest.mark.parametrize(("instance", "pointer", "detail"), BY_LABEL)
def test_forms_may_stand_in_defs(instance, pointer, detail):
    schema = {
        "oneOf": [{"$ref": "#/$defs/chat"}, {"$ref": "#/$defs/a~1b%20c", "description": "comes in"}],
        "$defs": {"chat": {"$ref": "#/$defs/words"}, "words": CHAT, "a/b c": JOIN},
    }
    assert explain(schema, instance) == Rejection(pointer, detail)


@pytest.mark.parametrize(("instance", "pointer", "detail"), BY_LABEL)
def test_what_the_forms_have_looked_at_stays_evaluated(instance, pointer, detail):
    schema = {"oneOf": [CHAT, JOIN], "unevaluatedProperties": False}
    assert SchemaGate.compile(schema).accepts({"kind": "chat", "text": "a"})
    assert explain(schema, instance) == Rejection(pointer, detail)
    extra = {"kind": "chat", "text": "a", "room": 1}
    assert explain(schema, extra) == Rejection("", '"room" is not an allowed property')


def test_forms_are_told_apart_by_their_type():
    schema = {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "object", "required": ["text"]}, {"type": "null"}]}
    assert explain(schema, "long") == Rejection("", "expected at most 3 characters, got 4")
    assert explain(schema, {}) == Rejection("", '"text" is a required property')
    assert explain(schema, 5).detail == "expected null, a string or an object, got a number"


def test_an_integer_form_and_a_number_form_are_one_group():
    schema = {"anyOf": [{"type": "integer", "minimum": 10}, {"type": "number", "maximum": 1}, {"type": "string"}]}
    assert explain(schema, 5).detail == "matches none of the allowed forms"
    assert SchemaGate.compile(schema).accepts(0.5)


def test_forms_that_share_a_label_are_not_told_apart():
    schema = {"oneOf": [CHAT, {**CHAT, "required": ["kind", "lang"]}]}
    both = {"kind": "chat", "text": "a", "lang": "en"}
    assert explain(schema, both).detail == "must match exactly one of the allowed forms, and matches none or several"


def test_a_label_that_is_not_required_does_not_tell_forms_apart():
    optional = {**JOIN, "required": ["room"]}
    schema = {"anyOf": [CHAT, optional]}
    assert SchemaGate.compile(schema).accepts({"room": 1})
    assert explain(schema, {"room": "a"}).detail == "matches none of the allowed forms"


def test_a_label_does_not_tell_apart_what_is_no_object():
    either = ["object", "string"]
    schema = {"oneOf": [{**CHAT, "type": either, "maxLength": 3}, {**JOIN, "type": either, "minLength": 5}]}
    assert SchemaGate.compile(schema).accepts("abc")
    assert explain(schema, "abcd").detail == "must match exactly one of the allowed forms, and matches none or several"


def test_a_pointer_below_an_identifier_of_its_own_is_not_mistaken_for_one_of_the_document():
    inner = {"$id": "inner", "oneOf": [{"$ref": "#/$defs/chat"}, {"$ref": "#/$defs/join"}]}
    schema = {
        "$defs": {
            "inner": {**inner, "$defs": {"chat": CHAT, "join": JOIN}},
            "chat": {"type": "string"},
            "join": {"type": "null"},
        },
        "$ref": "#/$defs/inner",
    }
    for document in (schema, {"$id": "http://example.org/outer", **schema}):
        assert SchemaGate.compile(document).accepts({"kind": "chat", "text": "a"})
        assert explain(document, {"kind": "chat"}).detail == (
            "must match exactly one of the allowed forms, and matches none or several"
        )


def test_a_tree_of_expressions_is_explained_at_its_leaf():
    schema = {
        "$ref": "#/$defs/expression",
        "$defs": {
            "expression": {
                "oneOf": [
                    {"type": "number"},
                    {
                        "type": "object",
                        "required": ["op", "args"],
                        "properties": {"op": {"const": "add"}, "args": {"items": {"$ref": "#/$defs/expression"}}},
                    },
                    {
                        "type": "object",
                        "required": ["op", "args"],
                        "properties": {"op": {"const": "mul"}, "args": {"items": {"$ref": "#/$defs/expression"}}},
                    },
                ]
            }
        },
    }
    value = "five"
    for _ in range(30):
        value = {"op": "mul", "args": [1, value]}
    assert explain(schema, value) == Rejection("/args/1" * 30, "expected a number or an object, got a string")


def test_older_drafts_which_know_no_conditions_are_explained_more_briefly():
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "anyOf": [{"type": "string"}, {"type": "null"}]}
    assert explain(schema, 5) == Rejection("", "matches none of the allowed forms")


@pytest.mark.parametrize(
    ("schema", "instance"),
    [
        ({"anyOf": [{"minimum": 1}, {"required": ["a"]}], "unevaluatedProperties": False}, {"a": 1}),
        ({"anyOf": [{"minLength": 3}, {"$ref": "#/anyOf/0"}]}, "a"),
        ({"properties": {"a": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}}, {"a": {"type": "?"}}),
    ],
    ids=["unevaluated", "pointer into a union", "meta-schema"],
)
def test_where_a_union_cannot_be_rewritten_the_refusal_stays_and_is_brief(schema, instance):
    assert explain(schema, instance) == Rejection("", "does not match the schema")


def test_what_only_looks_like_a_union_is_left_alone():
    schema = {
        "properties": {"anyOf": {"type": "string"}, "const": {"type": "string"}},
        "const": {"anyOf": [1]},
        "default": {"oneOf": [2]},
        "dependentRequired": {"oneOf": ["anyOf"]},
    }
    assert without_unions({**schema, "anyOf": [{"const": 1}]}, conditions=True) == {
        **schema,
        "allOf": [{"not": {"not": {"anyOf": [{"const": 1}]}}}],
    }


def test_a_schema_without_unions_is_its_own_equivalent():
    schema = {"allOf": [CHAT], "unevaluatedProperties": False}
    assert without_unions(schema, conditions=True) is schema
