"""Random schemas and instances: both engines agree, and what explains a refusal agrees with what refused."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.jsonschemas.gate import SchemaGate

TYPES = ["string", "number", "integer", "boolean", "null", "array", "object"]
NAMES = st.sampled_from(["message", "kind", "a"])
TEXTS = st.sampled_from(["", "chat", "join", "é", "🚂🚃", "a\u0301"])
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.5, 1.0, 2.0, 1e300, 2**60])
LENGTHS = st.integers(0, 3)

SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, max_size=3),
    max_leaves=6,
)


def unions(schemas):
    """Unions as people write them: by type, by a label, by nothing in particular."""
    labelled = st.lists(
        st.tuples(st.sampled_from(["chat", "join"]), NAMES, schemas).map(
            lambda form: {
                "type": "object",
                "required": ["kind"],
                "properties": {form[1]: form[2], "kind": {"const": form[0]}},
            }
        ),
        min_size=1,
        max_size=3,
    )
    typed = st.lists(
        st.tuples(st.sampled_from([*TYPES, ["object", "string"], ["array", "integer"]]), schemas).map(
            lambda form: {**(form[1] if isinstance(form[1], dict) else {}), "type": form[0]}
        ),
        min_size=1,
        max_size=3,
    )
    return labelled | typed | st.lists(schemas, min_size=1, max_size=3)


def keywords(schemas):
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "minimum": NUMBERS,
            "maximum": NUMBERS,
            "exclusiveMinimum": NUMBERS,
            "exclusiveMaximum": NUMBERS,
            "minLength": LENGTHS,
            "maxLength": LENGTHS,
            "minItems": LENGTHS,
            "maxItems": LENGTHS,
            "minProperties": LENGTHS,
            "maxProperties": LENGTHS,
            "uniqueItems": st.booleans(),
            "items": schemas,
            "prefixItems": st.lists(schemas, min_size=1, max_size=2),
            "contains": schemas,
            "properties": st.dictionaries(NAMES, schemas, max_size=2),
            "additionalProperties": schemas,
            "unevaluatedProperties": schemas,
            "unevaluatedItems": schemas,
            "propertyNames": schemas,
            "not": schemas,
            "if": schemas,
            "then": schemas,
            "else": schemas,
            "allOf": st.lists(schemas, min_size=1, max_size=2),
            "anyOf": unions(schemas),
            "oneOf": unions(schemas),
        },
    )


SCHEMAS = st.recursive(st.booleans() | keywords(st.nothing()), keywords, max_leaves=6)
REFERRING = st.tuples(SCHEMAS, keywords(st.just({"$ref": "#/$defs/form"}) | st.booleans())).map(
    lambda pair: {**pair[1], "$defs": {"form": pair[0]}}
)


@given(SCHEMAS, VALUES)
def test_both_engines_judge_alike(schema, instance):
    assert SchemaGate.compile(schema).accepts(instance) is jsonschema.Draft202012Validator(schema).is_valid(instance)


@pytest.mark.slow
@given(SCHEMAS | REFERRING, st.lists(VALUES, min_size=1, max_size=4))
def test_white_box_the_schema_that_explains_judges_like_the_schema(schema, instances):
    gate = SchemaGate.compile(schema)
    for instance in instances:
        if gate._explainer.validator is not None:
            assert gate._explainer.validator.is_valid(instance) is gate.accepts(instance)


@pytest.mark.slow
@given(SCHEMAS | REFERRING, st.lists(VALUES, min_size=1, max_size=4))
def test_white_box_long_messages_are_judged_as_short_ones_are(schema, instances):
    gate = SchemaGate.compile(schema)
    for instance in instances:
        gate._weighed.meter.start()
        assert gate._weighed.accepts(instance) is gate.accepts(instance)


@pytest.mark.slow
@given(SCHEMAS | REFERRING, VALUES)
def test_what_is_refused_is_explained_at_a_place_that_exists(schema, instance):
    gate = SchemaGate.compile(schema)
    if gate.accepts(instance):
        return
    mismatch = gate.explain(instance)
    assert mismatch.detail
    part = instance
    for step in mismatch.pointer.split("/")[1:]:
        part = part[int(step)] if isinstance(part, list) else part[step]
