"""The gate: what it takes for a schema, what it lets pass, and what it tells whom it does not."""

import socket
from types import MappingProxyType

import jsonschema
import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.jsonschemas.gate import SchemaGate
from signalpost.jsonschemas.rejection import DETAIL_LIMIT, POINTER_LIMIT, Rejection

CHAT = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string", "maxLength": 5}},
    "additionalProperties": False,
}
EXACTLY_ONE = "must match exactly one of the allowed forms, and matches none or several"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def explain(schema, instance):
    gate = SchemaGate.compile(schema)
    assert not gate.accepts(instance)
    return gate.explain(instance)


def nested(depth, leaf=None):
    value = [] if leaf is None else leaf
    for _ in range(depth):
        value = [value]
    return value


# What passes


@pytest.mark.parametrize(
    ("instance", "accepted"),
    [({"message": "hello"}, True), ({"message": "hello!"}, False), ({}, False), ([], False), (None, False)],
)
def test_the_gate_lets_pass_what_matches(instance, accepted):
    assert SchemaGate.compile(CHAT).accepts(instance) is accepted


def test_true_lets_everything_pass_and_false_nothing():
    assert SchemaGate.compile(True).accepts({"any": "thing"})
    assert explain(False, 1) == Rejection("", "is not allowed here")


def test_a_schema_may_be_any_mapping():
    frozen = MappingProxyType({"properties": MappingProxyType({"message": MappingProxyType({"enum": ("a", "b")})})})
    gate = SchemaGate.compile(frozen)
    assert gate.accepts({"message": "a"})
    assert not gate.accepts({"message": "c"})


def test_the_draft_is_the_newest_unless_the_schema_names_another():
    positional = {"items": [{"type": "string"}]}
    assert not SchemaGate.compile({"$schema": DRAFT_7, **positional}).accepts([1])
    with pytest.raises(ValueError, match="/items"):
        SchemaGate.compile(positional)


def test_format_is_checked_by_the_drafts_that_mean_it_so():
    assert SchemaGate.compile({"format": "date"}).accepts("yesterday")
    assert explain({"$schema": DRAFT_7, "format": "date"}, "yesterday") == Rejection("", 'is not in the format "date"')


def test_white_box_the_hot_path_is_the_engines_own_method():
    assert type(SchemaGate.compile(CHAT).accepts) is type([].append)


# Schemas that are refused


def refusal(schema):
    with pytest.raises(ValueError, match=r"\S") as caught:
        SchemaGate.compile(schema)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) <= 300
    return text


@pytest.mark.parametrize("schema", [None, [], "true", 1])
def test_only_mappings_and_booleans_are_schemas(schema):
    assert refusal(schema) == "a schema is a mapping, true or false"


def test_a_mistake_in_a_schema_is_placed():
    assert refusal({"properties": {"a/b": {"required": "message"}}}) == (
        '/properties/a~1b/required: "message" is not of type "array"'
    )


@pytest.mark.parametrize(
    ("schema", "target"),
    [
        ({"$ref": "http://example.org/message.json"}, "http://example.org/message.json"),
        ({"properties": {"a": {"$ref": "file:///etc/hostname"}}}, "file:///etc/hostname"),
        ({"$ref": "message.json"}, "message.json"),
        ({"$id": "file:///etc/", "$ref": "hostname"}, "file:///etc/hostname"),
        ({"$dynamicRef": "urn:example:message"}, "urn:example:message"),
    ],
)
def test_a_reference_that_leaves_the_schema_is_refused(schema, target):
    assert refusal(schema) == (
        f'"$ref" to "{target}" leaves the schema, and nothing is fetched; move what it refers to into "$defs"'
    )


def test_nothing_is_fetched_neither_from_the_network_nor_from_a_file(tmp_path):
    file = tmp_path / "message.json"
    file.write_text('{"type": "string"}')
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/message.json"
        for target in (address, file.as_uri()):
            refusal({"$ref": target})
            refusal({"$schema": target})
            refusal({"$id": target, "$ref": "other.json"})
        with pytest.raises(BlockingIOError):  # nobody has knocked
            listener.accept()


def test_references_within_the_schema_and_to_the_meta_schema_work():
    within = {"$defs": {"text": {"type": "string"}}, "properties": {"message": {"$ref": "#/$defs/text"}}}
    assert not SchemaGate.compile(within).accepts({"message": 1})
    meta = SchemaGate.compile({"$ref": "https://json-schema.org/draft/2020-12/schema"})
    assert meta.accepts(within)
    assert not meta.accepts({"type": "strng"})
    assert meta.explain({"type": "strng"}) == Rejection("", "does not match the schema")


def test_a_reference_to_nowhere_is_named():
    assert refusal({"$ref": "#/$defs/text"}) == '"$ref" points to "/$defs/text", which the schema does not have'


def test_an_unknown_draft_is_named_with_the_known_ones():
    assert refusal({"$schema": "http://json-schema.org/draft-03/schema#"}) == (
        '"$schema" names "http://json-schema.org/draft-03/schema#", which is not a known draft '
        "(known: draft-04, draft-06, draft-07, 2019-09, 2020-12; without it, 2020-12)"
    )


@pytest.mark.parametrize("pattern", ["^(?=a)b", "(?!a)", "(?<=a)b", "(?<!a)b", r"(a)\1"])
@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_look_around_and_back_references_are_refused_in_words(pattern, keyword):
    schema = {"pattern": pattern} if keyword == "pattern" else {"patternProperties": {pattern: {}}}
    assert "uses look-around or a back-reference; patterns are matched in linear time here" in refusal(schema)


@pytest.mark.parametrize("pattern", ["(a", "[z-a]", "(?:a{1000}){1000}"])
def test_a_pattern_that_cannot_be_compiled_is_refused(pattern):
    assert refusal({"pattern": pattern}).endswith("is not a regular expression, or too large a one")


def test_a_schema_that_is_no_json_is_refused():
    assert refusal({"properties": {1: {}}}).startswith("the schema cannot be read as JSON: ")
    assert refusal({"default": object()}).startswith("the schema cannot be read as JSON: ")
    assert refusal({"maximum": float("inf")}) == '/maximum: null is not of type "number"'


def test_a_schema_that_is_too_deep_or_holds_itself_is_refused():
    deep = {}
    for _ in range(5000):
        deep = {"not": deep}
    assert refusal(deep) == "the schema is nested too deeply"
    circle = {}
    circle["not"] = circle
    assert refusal(circle) == "the schema is nested too deeply"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=8,
)
KEYWORDS = [
    "type", "required", "enum", "const", "pattern", "patternProperties", "properties", "items", "allOf", "anyOf",
    "oneOf", "not", "if", "then", "$ref", "$id", "$schema", "$defs", "$anchor", "multipleOf", "maxLength", "format",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYWORDS), JSON, max_size=4) | JSON)
def test_any_schema_is_compiled_or_refused_in_one_line(schema):
    try:
        gate = SchemaGate.compile(schema)
    except ValueError:
        refusal(schema)
    else:
        assert gate.accepts({"message": "hello"}) in (True, False)


# Instances that would stall or break a weaker gate


@pytest.mark.parametrize("count", [30, 50, 100_000])
@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(a+a+)+b", "^([a-z]+)*[0-9]$"])
def test_no_pattern_takes_exponential_time(pattern, count):
    assert explain({"pattern": pattern}, "a" * count + "!") == Rejection("", f'does not match the pattern "{pattern}"')


# Every keyword that looks into a value; the second instance differs from the first at the bottom alone.
DEEP = [
    {"type": "string"},
    {"const": [[1]]},
    {"enum": [[1], [[2]]]},
    {"not": {"const": [[1]]}},
    {"uniqueItems": True},
    {"not": {"uniqueItems": True}},
    {"contains": {"uniqueItems": True, "minItems": 2}},
    {"items": {"uniqueItems": True}},
    {"contains": {"const": [1]}},
    {"prefixItems": [{"type": "string"}]},
    {"unevaluatedItems": False},
    {"maxItems": 1},
    {"if": {"minItems": 2}, "then": {"const": 1}},
    {"$ref": "#/$defs/list", "$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}, "maxItems": 1}}},
    {"$dynamicAnchor": "list", "items": {"$dynamicRef": "#list"}, "maxItems": 1},
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#"}, "maxItems": 1}]},
]


@pytest.mark.parametrize("schema", DEEP, ids=str)
@pytest.mark.parametrize("text", ["[" * 1024 + "]" * 1024, f"[{'[' * 1023}{']' * 1023},{'[' * 1023}1{']' * 1023}]"])
def test_whatever_orjson_lets_through_is_answered_however_deep(schema, text):
    gate = SchemaGate.compile(schema)
    instance = orjson.loads(text)
    if not gate.accepts(instance):
        assert gate.explain(instance).detail


def test_items_too_deep_to_be_compared_do_not_pass():
    schema = {"uniqueItems": True}
    assert SchemaGate.compile(schema).accepts([nested(200), nested(200, 1)])
    assert explain(schema, [nested(300), nested(300, 1)]) == Rejection(
        "", "does not match the schema, and is nested too deeply to say where"
    )


def test_items_too_deep_to_be_compared_do_not_pass_by_way_of_a_reference_either():
    schema = {"properties": {"a": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}}
    deep = {"required": [nested(300), nested(300)], "dependentRequired": {"a": [nested(300), nested(300)]}}
    assert SchemaGate.compile(schema).accepts({"a": deep}) is False


def test_white_box_uniqueness_alone_can_make_the_engine_raise():
    """`_CAN_RAISE` in the gate says so; an engine that learns to raise elsewhere, or unlearns it, is news."""
    two = [nested(1020), nested(1020, 1)]
    raising = []
    for schema in DEEP:
        try:
            jsonschema_rs.validator_for(schema, offline=True).is_valid(two)
        except ValueError:
            raising.append(schema)
    assert raising
    assert all("uniqueItems" in str(schema) for schema in raising)


@pytest.mark.parametrize("number", [2**63, -(2**70), 1e300, 5e-324])
def test_numbers_of_any_size_are_judged(number):
    gate = SchemaGate.compile({"type": "number", "minimum": -10, "maximum": 10})
    assert gate.accepts(number) is (-10 <= number <= 10)


def test_a_long_list_under_a_union_is_explained_once_and_not_item_by_item():
    schema = {"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "object"}}]}
    assert explain(schema, [1] * 20_000) == Rejection("", "matches none of the allowed forms")


def test_forms_within_forms_do_not_multiply_the_work_of_explaining():
    forms = [
        {"type": "object", "properties": {"op": {"const": name}, "args": {"items": {"$ref": "#"}}}}
        for name in ("and", "or", "not")
    ]
    wrong = {"op": "xor"}
    for _ in range(60):
        wrong = {"op": "or", "args": [wrong]}
    assert explain({"anyOf": forms}, wrong).detail == "matches none of the allowed forms"


# What the sender is told


@pytest.mark.parametrize("instance", [{"": {"a": 1}}, {"": {"": 1}}, {"a": {"": 1}}, {"a": 1, "": {"a": 1}}])
def test_a_member_without_a_name_is_no_harm(instance):
    schema = {"additionalProperties": {"additionalProperties": {"type": "string"}}}
    assert explain(schema, instance).detail == "expected a string, got a number"


@pytest.mark.parametrize("name", ["0", "00", "7", "007", "+7", "-7", "1e3", "18446744073709551616", "+"])
def test_a_member_whose_name_looks_like_a_number_is_named_as_it_is(name):
    schema = {"additionalProperties": {"additionalProperties": {"type": "string"}}}
    assert explain(schema, {name: {name: 1}}) == Rejection(f"/{name}/{name}", "expected a string, got a number")


@pytest.mark.parametrize(
    ("schema", "instance", "pointer", "detail"),
    [
        (CHAT, {}, "", '"message" is a required property'),
        (CHAT, {"message": 5}, "/message", "expected a string, got a number"),
        (CHAT, {"message": "too long"}, "/message", "expected at most 5 characters, got 8"),
        (CHAT, {"message": "a", "mesage": 1}, "", '"mesage" is not an allowed property'),
        (CHAT, [], "", "expected an object, got a list"),
        (CHAT, None, "", "expected an object, got null"),
        ({"type": ["string", "null"]}, True, "", "expected null or a string, got true"),
        ({"type": ["boolean", "array", "object"]}, 1, "", "expected true or false, a list or an object, got a number"),
        ({"items": {"minimum": 1}}, [1, 0], "/1", "expected at least 1, got 0"),
        ({"maximum": 5}, 5.5, "", "expected at most 5, got 5.5"),
        ({"exclusiveMinimum": 1}, 1, "", "expected more than 1, got 1"),
        ({"exclusiveMaximum": 1}, 1, "", "expected less than 1, got 1"),
        ({"multipleOf": 2}, 3, "", "expected a multiple of 2, got 3"),
        ({"minLength": 1}, "", "", "expected at least 1 character, got 0"),
        ({"minItems": 2}, [1], "", "expected at least 2 items, got 1"),
        ({"maxItems": 1}, [1, 2], "", "expected at most 1 item, got 2"),
        ({"minProperties": 1}, {}, "", "expected at least 1 property, got 0"),
        ({"maxProperties": 0}, {"a": 1}, "", "expected at most 0 properties, got 1"),
        ({"uniqueItems": True}, [1, 1], "", "holds the same item more than once"),
        ({"contains": {"const": 1}}, [2], "", "does not hold the items that it must"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "/1", "is not allowed here"),
        ({"prefixItems": [{}], "unevaluatedItems": False}, [1, 2], "", "holds 1 item that is not allowed"),
        ({"unevaluatedProperties": False}, {"a": 1, "b": 2}, "", '"a" and 1 more are not allowed properties'),
        ({"const": {"a": [1]}}, 1, "", 'expected {"a": [1]}'),
        ({"enum": ["a", 2, None]}, 1, "", 'expected one of "a", 2, null'),
        ({"enum": []}, 1, "", "is not allowed here"),
        ({"pattern": "^a+$"}, "b", "", 'does not match the pattern "^a+$"'),
        ({"propertyNames": {"const": 1}}, {"ab": 1}, "", 'the property name "ab" is not allowed: expected 1'),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "", '"b" is a required property'),
        ({"not": {"type": "string"}}, "a", "", "is of a form that is not allowed"),
        ({"$schema": DRAFT_7, "items": [{}], "additionalItems": False}, [1, 2], "", "expected at most 1 item, got 2"),
        ({"$schema": DRAFT_7, "contentEncoding": "base64"}, "%", "", "is not valid base64"),
        ({"$schema": DRAFT_7, "contentMediaType": "application/json"}, "%", "", "is not valid application/json"),
        ({"anyOf": [{"minimum": 3}, {"multipleOf": 2}]}, 1, "", "matches none of the allowed forms"),
        ({"oneOf": [{"minimum": 3}, {"minimum": 5}]}, 6, "", EXACTLY_ONE),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_every_keyword_has_its_words(schema, instance, pointer, detail):
    assert explain(schema, instance) == Rejection(pointer, detail)


def test_the_pointer_escapes_what_rfc_6901_says():
    schema = {"additionalProperties": {"items": {"type": "string"}}}
    assert explain(schema, {"a/b~c": ["x", 1]}).pointer == "/a~1b~0c/1"


def test_neither_detail_nor_pointer_grows_with_what_the_client_sends():
    long = "x" * 100_000
    for schema, instance in [
        (CHAT, {long: 1, "message": "a"}),
        ({"additionalProperties": {"type": "string"}}, {long: 1}),
        ({"propertyNames": {"maxLength": 3}}, {long: 1}),
        ({"unevaluatedProperties": False}, {long + str(n): 1 for n in range(3)}),
        ({"maximum": 1}, 10**60 * 1.0),
        ({"enum": [long, long]}, 1),
        ({"required": [long]}, {}),
        ({"pattern": "^" + long[:1000]}, "a"),
        ({"const": [long] * 10}, 1),
        ({"propertyNames": {"pattern": "^" + long[:1000]}}, {"y" * 100: 1}),
    ]:
        mismatch = explain(schema, instance)
        assert len(mismatch.detail) <= DETAIL_LIMIT
        assert len(mismatch.pointer) <= POINTER_LIMIT


def test_a_place_too_long_to_be_named_is_named_by_its_parent():
    schema = {"additionalProperties": {"additionalProperties": {"type": "string"}}}
    assert explain(schema, {"near": {"x" * 300: 1}}).pointer == "/near"


def test_control_characters_of_the_client_come_back_escaped():
    assert explain(CHAT, {"message": "a", "x\n\x1b[31m": 1}).detail == r'"x\n\u001b[31m" is not an allowed property'


def test_explaining_what_passes_does_no_harm():
    assert SchemaGate.compile(CHAT).explain({"message": "a"}) == Rejection("", "does not match the schema")


# Where the two engines are known to differ, beyond the official cases


def reference(schema, instance):
    return jsonschema.Draft202012Validator(schema).is_valid(instance)


@pytest.mark.parametrize(
    ("number", "ours", "theirs"),
    [(0.07, True, False), (4.35, True, False), (19.99, True, False), (1.1, True, True), (0.015, False, False)],
)
def test_multiples_of_decimal_fractions_are_meant_as_written(number, ours, theirs):
    """19.99 is a multiple of 0.01, though not of the float that stands for 0.01; jsonschema divides floats."""
    schema = {"multipleOf": 0.01}
    assert SchemaGate.compile(schema).accepts(number) is ours
    assert reference(schema, number) is theirs


@pytest.mark.parametrize(
    ("pattern", "text", "ours", "theirs"),
    [
        (r"^\d$", "5", True, True),
        (r"^\d$", "\N{ARABIC-INDIC DIGIT FIVE}", False, True),
        (r"^\w$", "é", False, True),
        (r"^a$", "a\n", False, True),  # Python's $ also matches before a final line feed
        (r"^a$", "a", True, True),
    ],
)
def test_patterns_mean_what_ecma_262_says_and_not_what_python_says(pattern, text, ours, theirs):
    schema = {"pattern": pattern}
    assert SchemaGate.compile(schema).accepts(text) is ours
    assert reference(schema, text) is theirs


def test_unicode_properties_are_understood_here_and_not_by_the_reference():
    gate = SchemaGate.compile({"pattern": r"^\p{L}+$"})
    assert gate.accepts("é")
    assert not gate.accepts("5")
    with pytest.raises(Exception, match=r"bad escape \\p"):
        reference({"pattern": r"^\p{L}+$"}, "é")
