"""Both engines on the official cases of draft 2020-12, and every disagreement by name.

`jsonschema` is the reference and judges schemas at load; `jsonschema_rs` judges messages at run time, through
`SchemaGate`. A disagreement that appears or vanishes turns a test red: it is news for `PINS`, and for the reader of
the gate's documentation.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import orjson
import pytest
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

from signalpost.jsonschemas.gate import SchemaGate
from signalpost.jsonschemas.rejection import DETAIL_LIMIT

SUITE = Path(__file__).parents[1] / "fixtures" / "json-schema-test-suite" / "draft2020-12"
FILES = sorted(str(file.relative_to(SUITE).with_suffix("")) for file in SUITE.rglob("*.json"))

AGREES = "agrees with the suite"
DIFFERS = "says the opposite of the suite"
REFUSES = "cannot use the schema"

ALL = "*"

FETCH = "it refers to another document, and nothing is fetched"
DRAFT = "its $schema is a meta-schema of its own, at an address, and nothing is fetched"
BIG = "orjson reads integers beyond 64 bits as floats, so the two numbers are one when the engines see them"
OLD = "jsonschema leaves `dependencies` to the drafts that define it"
ECMA = (
    "jsonschema matches with Python's `re`, where \\d, \\w and \\s mean Unicode's; ECMA 262 means ASCII's and its own"
)
ESCAPE = "jsonschema matches with Python's `re`, which has no \\cX"
PROPERTY = "jsonschema matches with Python's `re`, which has no \\p{…}"


@dataclass(frozen=True)
class Pin:
    """A known disagreement: what the reference and what the gate makes of some cases, and why."""

    file: str
    group: str
    tests: str | tuple[str, ...]
    reference: str
    gate: str
    reason: str


PINS = [
    Pin("dynamicRef", "strict-tree schema, guards against misspelled properties", ALL, REFUSES, REFUSES, FETCH),
    Pin("dynamicRef", "tests for implementation dynamic anchor and reference link", ALL, REFUSES, REFUSES, FETCH),
    Pin("dynamicRef", "$ref and $dynamicAnchor are independent of order - $defs first", ALL, REFUSES, REFUSES, FETCH),
    Pin("dynamicRef", "$ref and $dynamicAnchor are independent of order - $ref first", ALL, REFUSES, REFUSES, FETCH),
    Pin("dynamicRef", "$ref to $dynamicRef finds detached $dynamicAnchor", ALL, REFUSES, REFUSES, FETCH),
    Pin("refRemote", ALL, ALL, REFUSES, REFUSES, FETCH),
    Pin(
        "vocabulary",
        "schema that uses custom metaschema with with no validation vocabulary",
        ("applicator vocabulary still works", "no validation: valid number"),
        AGREES,
        REFUSES,
        DRAFT,
    ),
    Pin(
        "vocabulary",
        "schema that uses custom metaschema with with no validation vocabulary",
        ("no validation: invalid number, but it still validates",),
        DIFFERS,  # it takes an unknown draft for the newest one
        REFUSES,
        DRAFT,
    ),
    Pin("vocabulary", "ignore unrecognized optional vocabulary", ALL, AGREES, REFUSES, DRAFT),
    Pin("optional/bignum", "minimum integer comparison", ALL, DIFFERS, DIFFERS, BIG),
    Pin(
        "optional/cross-draft", "refs to historic drafts are processed as historic drafts", ALL, REFUSES, REFUSES, FETCH
    ),
    Pin(
        "optional/dependencies-compatibility",
        "single dependency",
        ("missing dependency",),
        DIFFERS,
        AGREES,
        OLD,
    ),
    Pin(
        "optional/dependencies-compatibility",
        "multiple dependents required",
        ("missing dependency", "missing other dependency", "missing both dependencies"),
        DIFFERS,
        AGREES,
        OLD,
    ),
    Pin(
        "optional/dependencies-compatibility",
        "dependencies with escaped characters",
        ("CRLF missing dependent", "quoted quotes missing dependent"),
        DIFFERS,
        AGREES,
        OLD,
    ),
    Pin(
        "optional/dependencies-compatibility",
        "single schema dependency",
        ("wrong type", "wrong type other", "wrong type both"),
        DIFFERS,
        AGREES,
        OLD,
    ),
    Pin(
        "optional/dependencies-compatibility",
        "boolean subschemas",
        ("object with property having schema false is invalid", "object with both properties is invalid"),
        DIFFERS,
        AGREES,
        OLD,
    ),
    Pin(
        "optional/dependencies-compatibility",
        "schema dependencies with escaped characters",
        ("quoted quote", "quoted tab invalid under dependent schema", "quoted quote invalid under dependent schema"),
        DIFFERS,
        AGREES,
        OLD,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 regex escapes control codes with \\c and upper letter",
        ALL,
        REFUSES,
        AGREES,
        ESCAPE,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 regex escapes control codes with \\c and lower letter",
        ALL,
        REFUSES,
        AGREES,
        ESCAPE,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 \\d matches ascii digits only",
        ("NKO DIGIT ZERO does not match (unlike e.g. Python)", "NKO DIGIT ZERO (as \\u escape) does not match"),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 \\D matches everything but ascii digits",
        ("NKO DIGIT ZERO matches (unlike e.g. Python)", "NKO DIGIT ZERO (as \\u escape) matches"),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 \\w matches ascii letters only",
        ("latin-1 e-acute does not match (unlike e.g. Python)",),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 \\W matches everything but ascii letters",
        ("latin-1 e-acute matches (unlike e.g. Python)",),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 \\s matches whitespace",
        ("zero-width whitespace matches",),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "ECMA 262 \\S matches everything but whitespace",
        ("zero-width whitespace does not match",),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "\\w in patterns matches [A-Za-z0-9_], not unicode letters",
        ("literal unicode character in json string", "unicode character in hex format in string"),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "\\w in patternProperties matches [A-Za-z0-9_], not unicode letters",
        ("literal unicode character in json string", "unicode character in hex format in string"),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "\\d in pattern matches [0-9], not unicode digits",
        ("non-ascii digits (BENGALI DIGIT FOUR, BENGALI DIGIT TWO)",),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "\\d in patternProperties matches [0-9], not unicode digits",
        ("non-ascii digits (BENGALI DIGIT FOUR, BENGALI DIGIT TWO)",),
        DIFFERS,
        AGREES,
        ECMA,
    ),
    Pin(
        "optional/ecmascript-regex",
        "patterns always use unicode semantics with pattern",
        ALL,
        REFUSES,
        AGREES,
        PROPERTY,
    ),
    Pin(
        "optional/ecmascript-regex",
        "patterns always use unicode semantics with patternProperties",
        ALL,
        REFUSES,
        AGREES,
        PROPERTY,
    ),
    Pin("optional/ecmascript-regex", "pattern with non-ASCII digits", ALL, REFUSES, AGREES, PROPERTY),
    Pin("optional/ecmascript-regex", "patternProperties with non-ASCII digits", ALL, REFUSES, AGREES, PROPERTY),
]


@dataclass(frozen=True)
class Case:
    """One case of the suite, its instance read as the server reads it."""

    group: str
    test: str
    schema: dict | bool
    instance: object
    valid: bool


def cases_of(file: str) -> Iterator[Case]:
    for group in json.loads((SUITE / f"{file}.json").read_text(encoding="utf-8")):
        for test in group["tests"]:
            instance = orjson.loads(json.dumps(test["data"]))
            yield Case(group["description"], test["description"], group["schema"], instance, test["valid"])


def word(answer: bool | None, valid: bool) -> str:
    if answer is None:
        return REFUSES
    return AGREES if answer is valid else DIFFERS


def ask_reference(case: Case) -> bool | None:
    """Ask jsonschema, which would fetch references if it were not given a registry."""
    engine = jsonschema.validators.validator_for(case.schema, default=jsonschema.Draft202012Validator)
    try:
        return engine(case.schema, registry=REGISTRY).is_valid(case.instance)
    except (Unresolvable, re.error):
        return None


def compiled(case: Case) -> SchemaGate | None:
    try:
        return SchemaGate.compile(case.schema)
    except ValueError:
        return None


def ask_gate(case: Case) -> bool | None:
    gate = compiled(case)
    return None if gate is None else gate.accepts(case.instance)


def pinned(case: Case, pin: Pin) -> bool:
    return pin.group in (ALL, case.group) and (pin.tests == ALL or case.test in pin.tests)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The metaschema specified by")  # the reference's word for an unknown draft
@pytest.mark.parametrize("file", FILES)
def test_the_engines_disagree_where_it_is_pinned_and_nowhere_else(file):
    pins = [pin for pin in PINS if pin.file == file]
    found, expected = {}, {}
    for case in cases_of(file):
        key = (case.group, case.test)
        found[key] = (word(ask_reference(case), case.valid), word(ask_gate(case), case.valid))
        known = [pin for pin in pins if pinned(case, pin)]
        assert len(known) <= 1, f"{key} is pinned twice"
        expected[key] = (known[0].reference, known[0].gate) if known else (AGREES, AGREES)
    assert found == expected


def test_every_pin_is_about_cases_that_exist():
    for pin in PINS:
        named = {case.test for case in cases_of(pin.file) if pin.group in (ALL, case.group)}
        assert named, pin
        assert pin.tests == ALL or named.issuperset(pin.tests), pin


@pytest.mark.parametrize("file", FILES)
def test_white_box_the_schema_that_explains_says_what_the_schema_says(file):
    for case in cases_of(file):
        gate = compiled(case)
        if gate is not None and gate._explainer.validator is not None:
            assert gate._explainer.validator.is_valid(case.instance) is gate.accepts(case.instance), case


@pytest.mark.parametrize("file", FILES)
def test_white_box_long_messages_are_judged_as_short_ones_are(file):
    for case in cases_of(file):
        gate = compiled(case)
        if gate is not None:
            gate._weighed.meter.start()
            assert gate._weighed.accepts(case.instance) is gate.accepts(case.instance), case


@pytest.mark.parametrize("file", FILES)
def test_every_refusal_is_explained_at_a_place_that_exists(file):
    for case in cases_of(file):
        gate = compiled(case)
        if gate is None or gate.accepts(case.instance):
            continue
        mismatch = gate.explain(case.instance)
        assert 0 < len(mismatch.detail) <= DETAIL_LIMIT, case
        assert "\n" not in mismatch.detail, case
        part = case.instance
        for step in mismatch.pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            part = part[int(key)] if isinstance(part, list) else part[key]


def test_most_schemas_with_unions_can_be_explained_too():
    gates = [compiled(case) for file in ("anyOf", "oneOf") for case in cases_of(file)]
    assert all(gate is not None and gate._explainer.validator is not None for gate in gates)
