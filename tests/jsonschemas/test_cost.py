"""What judging a message may cost: the work is counted, and what would be too much is refused unseen."""

import json
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.jsonschemas.cost import amount, amount_of_text, cost_of, without_strings
from signalpost.jsonschemas.gate import BUDGET, METERED, SchemaGate
from signalpost.jsonschemas.keywords import Meter, UniqueItems, key_of, pattern_cost
from signalpost.jsonschemas.rejection import TOO_DEEP, Rejection
from signalpost.signals.message import RejectedMessageError, read_message, read_value

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import schemas as bench

CASES = {f"{case.keyword}, {case.what}": case for case in bench.cases()}
DOCUMENT = Path(__file__).parents[2] / "core" / "docs" / "schema-costs.md"
MIB = 1 << 20
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def read(gate, text):
    return gate.rejection(orjson.loads(text), text)


def judged(gate, instance):
    return read(gate, orjson.dumps(instance))


def said(gate, instance):
    """Give the answer of the way that long messages take."""
    return gate._weighed.rejection(instance, orjson.dumps(instance))


def is_costly(mismatch):
    return mismatch is not None and mismatch.detail.startswith("takes too long to check against the schema")


def work(gate, text):
    """Give what the meter counts for a message."""
    gate.rejection(orjson.loads(text), text)
    return METERED - gate._weighed.meter.left


# The work


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("size", [64 << 10, MIB])
def test_white_box_what_the_engine_is_given_costs_no_more_than_it_may(case, size):
    try:
        gate = SchemaGate.compile(case.schema)
    except ValueError as error:
        assert "ms for any message" in str(error)  # noqa: PT017 - the only reason to refuse one of these
        return
    text = case.make(size)
    instance = orjson.loads(text)
    if is_costly(gate.rejection(instance, text)):
        return
    values, huge = amount(instance, MIB)
    assert gate._weighed.cost.of(values, huge, len(text)) <= BUDGET
    assert gate._weighed.meter.left >= 0


@pytest.mark.parametrize(
    "what",
    [
        "uniqueItems, integers from 10^19 down",
        "uniqueItems, lists of nothing but lists",
        "uniqueItems, lists of one integer",
        "uniqueItems, fractions",
    ],
)
def test_the_work_for_unique_items_is_in_proportion_to_the_message(what):
    case = CASES[what]
    gate = SchemaGate.compile({"uniqueItems": True})
    once, twice = work(gate, case.make(8_000)), work(gate, case.make(16_000))
    assert 0 < once < twice < 2.5 * once


class Counted(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_unique_items_are_not_compared_with_each_other():
    Counted.compared = 0
    UniqueItems(Meter(1 << 40), {}, True, []).validate([Counted(number) for number in range(2_000)])
    assert Counted.compared < 100


@given(st.lists(st.lists(st.integers(0, 3) | st.booleans() | st.floats(0, 3), max_size=3), max_size=4))
def test_white_box_values_have_the_same_key_where_json_has_them_equal(items):
    keys = [key_of(item, Meter(1 << 40)) for item in items]
    for one, key in zip(items, keys, strict=True):
        for other, another in zip(items, keys, strict=True):
            same = [(type(each) is bool, each) for each in one] == [(type(each) is bool, each) for each in other]
            assert (key == another) is same


def test_a_schema_that_is_dear_bounds_the_values_of_a_message_and_says_to_how_many():
    gate = SchemaGate.compile({"items": {"dependentRequired": {f"k{number}": ["a"] for number in range(100)}}})
    most = gate._weighed.most
    assert gate.bounds == (f"with more than {most} values",)
    assert judged(gate, [{}] * (most - 2)) is None
    assert judged(gate, [{}] * (most + 1)) == Rejection(
        "", f"takes too long to check against the schema: send less at once, and no more than {most} values"
    )


def test_what_stands_in_texts_are_no_values():
    gate = SchemaGate.compile(
        {"required": ["message"], "items": {"dependentRequired": {f"k{number}": ["a"] for number in range(100)}}}
    )
    assert judged(gate, {"message": ',[{"' * 100_000 + "1e99 " * 10_000}) is None


def test_what_is_said_of_one_value_bounds_no_others():
    gate = SchemaGate.compile(
        {"properties": {"at": {"minimum": 0.5}, "kind": {"enum": [1, 2]}, "all": {"items": True}}}
    )
    assert judged(gate, {"at": 1.5, "kind": 2, "all": [1] * 300_000}) is None
    assert judged(gate, {"at": 0.1, "kind": 2, "all": [1] * 1_000}).pointer == "/at"


@pytest.mark.parametrize("text", [b"[]", b'["a"]', b'{"a": [1, {"b": 1e300}]}', b'"1e300, [{"', b"-0.5e-300"])
def test_a_text_holds_at_least_what_is_counted_where_it_is_read(text):
    values, huge = amount(orjson.loads(text), 1_000)
    for counted in (text, without_strings(text)):
        most_values, most_huge = amount_of_text(counted)
        assert most_values >= values
        assert most_huge >= huge


def test_strings_are_left_out_whatever_is_escaped_in_them():
    assert without_strings(rb'{"a\"": ",,\\", "b": [1, "\\\","]}') == b'{": ", ": [1, "]}'


def test_a_part_that_is_referred_to_again_and_again_is_refused_with_its_schema():
    case = CASES["allOf, 2 of 2 of 2 …, 20 times"]
    with pytest.raises(
        ValueError, match=r"the schema takes up to \d+ ms for any message, and may take 20: what is ref"
    ):
        SchemaGate.compile(case.schema)


def test_a_schema_that_refers_to_itself_costs_a_message_no_power_of_its_depth():
    node = {"$ref": "#/$defs/node"}
    cost = cost_of({**node, "$defs": {"node": {"properties": {"left": node, "right": node}, "items": node}}})
    assert 0 < cost.each.value < 1_000


def test_what_refers_to_itself_twice_is_explained_while_that_is_cheap_and_no_deeper():
    gate = SchemaGate.compile({"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}], "type": "array"})
    assert judged(gate, [[["x"]]]) == Rejection("/0/0/0", "expected a list, got a string")
    nested = "x"
    for _ in range(100):
        nested = [nested]
    assert judged(gate, nested) == Rejection("", "does not match the schema, and is too large to say where")


def test_a_refused_message_that_is_large_is_not_looked_through_for_the_place():
    gate = SchemaGate.compile({"items": {"type": "integer"}})
    assert judged(gate, [1] * 10_000 + ["x"]).pointer == "/10000"
    assert judged(gate, [1] * 300_000 + ["x"]) == Rejection(
        "", "does not match the schema, and is too large to say where"
    )


# Patterns


@pytest.mark.parametrize(
    "pattern",
    ["^[a-z0-9_-]{3,16}$", r"^\d{4}-\d{2}-\d{2}$", "^#[0-9a-fA-F]{6}$", r"^\p{L}+$", "^(a+)+$", r"^\S*$", "^x-"],
)
def test_an_ordinary_pattern_is_cheap(pattern):
    assert pattern_cost(pattern) <= 10


def test_a_pattern_is_dearer_the_more_places_a_match_may_stand_at():
    costs = [pattern_cost(f"a{part}{{{times}}}[cd]") for part in ("[ab]", ".") for times in (20, 300, 3_000)]
    assert costs[0] < costs[1] < costs[2]
    assert costs[3] < costs[4] < costs[5]


def test_a_long_text_for_a_large_pattern_is_refused_and_a_longer_one_than_it_may_be_is_told_so():
    gate = SchemaGate.compile({"properties": {"a": {"pattern": "a[ab]{300}[cd]", "maxLength": 5_000}}})
    (bound,) = gate.bounds
    assert bound == "with a text of more than 1220 bytes for a pattern"
    assert judged(gate, {"a": "b" * 1_000}).detail.startswith("does not match the pattern")
    assert is_costly(judged(gate, {"a": "b" * 4_000}))
    assert judged(gate, {"a": "b" * 6_000}) == Rejection("/a", "expected at most 5000 characters, got 6000")


# What it says


@pytest.mark.parametrize("draft", [DRAFT_4, DRAFT_7, None])
@pytest.mark.parametrize(
    ("schema", "instance"),
    [
        ({"minimum": 0.5}, 0.25),
        ({"maximum": 2**63 + 5}, 2**64 - 1),
        ({"minimum": 5.0}, 4),
        ({"multipleOf": 0.01}, 4.021),
        ({"multipleOf": 3}, 10),
        ({"enum": [1, 2]}, 3),
        ({"enum": [[1], {"a": True}]}, [2]),
        ({"uniqueItems": True}, [1, [2, {"a": 1.0}], [2, {"a": 1}]]),
        ({"uniqueItems": True}, [True, 1, 1.0]),
        ({"pattern": "a[ab]{300}[cd]"}, "abc"),
        ({"properties": {"a": {"not": {"minimum": 0.5}}}}, {"a": 1}),
        ({"properties": {"a": {"anyOf": [{"enum": [1]}, {"type": "string", "pattern": "^b"}]}}}, {"a": "a"}),
    ],
)
def test_the_way_of_long_messages_says_what_that_of_short_ones_says(schema, instance, draft):
    gate = SchemaGate.compile(schema if draft is None else {"$schema": draft, **schema})
    assert said(gate, instance) == gate.explain(instance)
    assert not gate.accepts(instance)


@pytest.mark.parametrize(
    ("schema", "below", "above"),
    [
        ({"minimum": 0.1, "exclusiveMinimum": True}, 0.1, 0.2),
        ({"minimum": 0.1, "exclusiveMinimum": False}, 0.05, 0.1),
        ({"minimum": 0.1}, 0.05, 0.1),
        ({"minimum": 1, "exclusiveMinimum": True}, 1, 2),
    ],
)
def test_draft_4_makes_a_limit_exclusive_by_a_word_beside_it(schema, below, above):
    gate = SchemaGate.compile({"$schema": DRAFT_4, **schema})
    assert said(gate, above) is None
    assert said(gate, below) == gate.explain(below)


@pytest.mark.parametrize(
    ("schema", "instance", "fits"),
    [
        ({"multipleOf": 0.01}, 4.02, True),
        ({"multipleOf": 0.01}, 1e308, True),
        ({"multipleOf": 0.01}, 5e-324, False),
        ({"multipleOf": 5}, 1e308, False),  # the double is no multiple, whatever is written
        ({"multipleOf": 1e-7}, 3, True),
        ({"const": 10**19}, 1e19, True),
        ({"const": 1}, True, False),
        ({"enum": [False]}, 0, False),
        ({"enum": [{"a": 1, "b": 2}]}, {"b": 2.0, "a": 1}, True),
        ({"exclusiveMaximum": 2**63 + 1}, 2**63 + 1, False),
        ({"maximum": 0.1}, 0.1, True),
        ({"minimum": 0.5}, "text", True),
        ({"multipleOf": 0.5}, [], True),
        ({"uniqueItems": False}, [1, 1], True),
        ({"uniqueItems": True}, {"a": 1}, True),
        ({"uniqueItems": True}, [[], {}], True),
        ({"uniqueItems": True}, ["[]", []], True),
        ({"uniqueItems": True}, [-0.0, 0], False),
        ({"signalpost-pattern": 5, "properties": {"signalpost-enum": {"minimum": 0.5}}}, {"signalpost-enum": 1}, True),
        ({"signalpost-const": 5, "minimum": 0.5}, 1, True),
    ],
)
def test_a_long_message_is_judged_as_a_short_one_is(schema, instance, fits):
    gate = SchemaGate.compile(schema)
    assert (said(gate, instance) is None) is fits
    assert gate.accepts(instance) is fits


def test_a_part_that_is_only_true_or_false_beside_one_that_refers_to_the_whole_is_no_obstacle():
    part = {"anyOf": [{"type": "object"}], "$ref": "#", "dependentSchemas": {"a": False}}
    gate = SchemaGate.compile({"additionalProperties": part})
    assert [gate.accepts({"x": value}) for value in ({}, {"a": {}}, 5)] == [True, False, False]


def test_lists_that_are_nested_too_deeply_to_be_compared_are_refused():
    gate = SchemaGate.compile({"uniqueItems": True})
    assert read(gate, b"[" * 1_000 + b"1" + b"]" * 999 + b", 1]") == TOO_DEEP


# Where it stands


def test_a_long_message_is_read_once_and_by_the_long_way():
    gate = SchemaGate.compile(
        {"properties": {"message": {"items": {"multipleOf": 3}, "anyOf": [{"contains": {"minimum": 1}}]}}}
    )
    text = json.dumps({"message": [3] * gate.short}).encode()
    assert len(text) > gate.short
    assert read_value(text, gate) is None
    assert read_message(text, gate).message == [3] * gate.short
    assert gate.short < len(b'{"message":[3]}') or read_value(b'{"message":[3]}', gate) == [3]


def test_the_sender_of_a_message_that_costs_too_much_is_told_so():
    gate = SchemaGate.compile({"properties": {"message": {"uniqueItems": True}}})
    text = b'{"ref": 7, "message": ' + bench.numbered(b"[%d]")(500_000) + b"}"
    with pytest.raises(RejectedMessageError) as caught:
        read_message(text, gate)
    assert (caught.value.error.code.value, caught.value.ref) == ("schema-mismatch", 7)
    assert caught.value.error.detail == "takes too long to check against the schema: send less at once"


def test_the_table_has_every_keyword_that_says_something_of_a_message():
    table = DOCUMENT.read_text(encoding="utf-8")
    keywords = {case.keyword for case in CASES.values()}
    assert all(f"| `{keyword}` |" in table for keyword in keywords)
    silent = {"title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples", "contentSchema"}
    for name in ("applicator", "unevaluated", "validation", "content", "format-annotation"):
        from jsonschema_specifications import REGISTRY

        vocabulary = REGISTRY.contents(f"https://json-schema.org/draft/2020-12/meta/{name}")
        assert vocabulary["properties"].keys() - silent <= keywords
