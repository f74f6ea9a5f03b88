"""What a plugin's schema does not allow, in words, and what is not judged since it is not known yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from signalpost.config.schema.judge import judge_shape


def is_open(text):
    return "{{" in text


def told(data, schema):
    return [(misfit.keys, misfit.text) for misfit in judge_shape(data, schema, is_open)]


@pytest.mark.parametrize(
    ("data", "schema", "text"),
    [
        (5, False, "nothing may stand here, not the number 5"),
        (3, {"type": "integer", "enum": [1, 2]}, "the number 3 is not allowed here (allowed: 1, 2)"),
        (3, {"enum": ["a"]}, "must be a word, not the number 3 (allowed: a)"),
        (3, {"type": "string", "enum": ["a"]}, "must be text, not the number 3: put it in quotes"),
        (0, {"exclusiveMinimum": 0}, "must be above 0, not 0"),
        (9, {"exclusiveMaximum": 9}, "must be below 9, not 9"),
        ([1], {"minItems": 2}, "must have at least 2 items, not 1"),
        ([1, 2], {"maxItems": 1}, "must have at most 1 items, not 2"),
        ("a", {"minLength": 2}, "must have at least 2 characters, not 1"),
        ("abc", {"maxLength": 2}, "must have at most 2 characters, not 3"),
        ("abc", {"pattern": "^[0-9]$"}, '"abc" does not match ^[0-9]$'),
        ({}, {"required": ["a"]}, 'the key "a" is missing'),
        ({"statoin": 1}, {"required": ["station"], "properties": {"station": {}}}, 'the key "station" is missing'),
        ({}, {"required": ["endpoints"]}, 'the key "endpoints" is missing'),
        (
            {},
            {"required": ["a"], "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"examples": ["x"]}}},
            ('the key "a" is missing, for example a: x'),
        ),
        (
            {"b": 1, "x-a": 1},
            {"patternProperties": {"^x-": {}}, "additionalProperties": False},
            ('no key "b" here (there are none)'),
        ),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, "must be text, not the number 1: put it in quotes"),
        ({}, {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, "needs one of a and b: none of them is given"),
        (
            {"a": 5},
            {"anyOf": [{"properties": {"a": {"type": "string"}}}, {"type": "string"}]},
            "must be text, not the number 5: put it in quotes, or something else that is allowed here",
        ),
        ([1, 1], {"uniqueItems": True}, "[1, 1] has non-unique elements"),
        (5, {"oneOf": [{"required": ["path"]}, {"required": ["group"]}]}, "must be a mapping, not the number 5"),
        (
            5,
            {"type": "object", "oneOf": [{"required": ["path"]}, {"required": ["group"]}]},
            "must be a mapping, not the number 5",
        ),
        (
            {},
            {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "needs at least one of a and b: none of them is given",
        ),
        (
            {},
            {"oneOf": [{"required": ["a"]}]},
            'the key "a" is missing, or something else that is allowed here',
        ),
        (
            {"a": 1, "b": 2, "c": 3},
            {"oneOf": [{"required": ["a", "b"]}, {"required": ["a", "c"]}]},
            "fits more than one of the things that are allowed here",
        ),
        (
            {"statoin": 1},
            {
                "anyOf": [
                    {"required": ["station"], "properties": {"station": {}}, "additionalProperties": False},
                    {"type": "string"},
                ]
            },
            'no key "statoin" here; did you mean "station"? (known: station), or something else that is allowed here',
        ),
    ],
)
def test_each_rule_has_its_words(data, schema, text):
    assert [words for _, words in told(data, schema)] == [text]


def test_a_message_is_short_however_long_the_value_is():
    ((_, text),) = told(["x" * 10_000] * 2, {"uniqueItems": True})
    assert len(text) <= 200


@pytest.mark.parametrize(
    ("data", "schema"),
    [
        ("{{ n }}", {"type": "integer"}),
        (["{{ n }}", 1], {"uniqueItems": True}),
        ({"{{ key }}": 1}, {"required": ["a"], "additionalProperties": False}),
        ({"a": {"b": "{{ n }}"}}, {"oneOf": [{"properties": {"a": {"properties": {"b": {"type": "integer"}}}}}, True]}),
    ],
)
def test_what_is_not_known_yet_is_not_judged(data, schema):
    assert told(data, schema) == []


def test_what_is_known_beside_an_open_value_is_judged():
    schema = {"required": ["b"], "properties": {"a": {"type": "array", "maxItems": 1}, "c": {"type": "integer"}}}
    assert told({"a": ["{{ n }}", 1], "c": "{{ n }}"}, schema) == [
        ((), 'the key "b" is missing'),
        (("a",), "must have at most 1 items, not 2"),
    ]
    assert told(["{{ n }}"], {"type": "object"}) == [((), "must be a mapping, not a list")]


CHOICES = st.lists(st.sampled_from(["a", "aa", "b"]), max_size=2, unique=True).map(lambda names: {"required": names})
SCHEMAS = st.recursive(
    st.sampled_from(
        [True, False, {"type": "integer"}, {"enum": [1, "a", None]}, {"minLength": 2}, {"const": 1}, {"multipleOf": 2}]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "aa", "b"]), inner, max_size=3),
            "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
            "additionalProperties": inner | st.just(False),
            "items": inner,
            "anyOf": st.lists(inner | CHOICES, min_size=1, max_size=2),
            "oneOf": st.lists(inner | CHOICES, min_size=1, max_size=2),
            "type": st.sampled_from(["object", "integer", ["string", "object"]]),
            "not": inner,
            "if": inner,
            "then": inner,
            "contains": inner,
            "propertyNames": inner,
        },
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["a", "aa", "b", "{{ k }}"])
DATA = st.recursive(
    st.sampled_from([None, True, 1, 2.5, "a", "", "{{ n }}"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "{{ k }}"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(DATA, SCHEMAS)
def test_any_schema_and_any_value_have_words_and_something_is_said_exactly_if_something_is_wrong(data, schema):
    found = list(judge_shape(data, schema))
    assert bool(found) is not Draft202012Validator(schema).is_valid(data)
    assert all(misfit.text and "\n" not in misfit.text and len(misfit.text) < 500 for misfit in found)
    assert all(misfit.keys for misfit in found if misfit.of_key)


@given(DATA, SCHEMAS)
def test_with_open_values_nothing_is_said_that_is_not_said_without_them(data, schema):
    assert {*judge_shape(data, schema, is_open)} <= {*judge_shape(data, schema)}
