"""Ways through schemas: each mapping with its path, in the order of the document, and what a pointer points to."""

import pytest

from signalpost.jsonschemas.walk import inside, mappings, pairs, pointed, pointer_to

DOCUMENT = {
    "properties": {"const": {"type": "string"}, "a/b~": {"enum": [1]}},
    "allOf": [{"$ref": "#/properties/const"}, {"not": True}],
    "null": None,
}


def test_every_mapping_comes_with_its_path_in_the_order_of_the_document():
    assert [keys for keys, _ in mappings(DOCUMENT)] == [
        (),
        ("properties",),
        ("properties", "const"),
        ("properties", "a/b~"),
        ("allOf", 0),
        ("allOf", 1),
    ]
    assert [key for key, _ in pairs(DOCUMENT["allOf"])] == ["$ref", "not"]


@pytest.mark.parametrize("nothing", [None, True, 5, "text", []])
def test_what_holds_no_mapping_has_none(nothing):
    assert list(mappings(nothing)) == list(pairs(nothing)) == []


@pytest.mark.parametrize(
    ("reference", "part"),
    [
        ("#", DOCUMENT),
        ("#/properties/const", {"type": "string"}),
        ("#/properties/a~1b~0", {"enum": [1]}),
        ("#/properties/a%7E1b~0/enum/0", 1),
        ("#/allOf/1/not", True),
        ("#/allOf/2", None),
        ("#/allOf/-1", None),
        ("#/null/x", None),
        ("#/nowhere", None),
        ("#anchor", None),
        ("other.json#/allOf", None),
        ("", None),
    ],
)
def test_a_reference_points_to_a_part_of_the_document_or_nowhere(reference, part):
    assert pointed(DOCUMENT, reference) is part or pointed(DOCUMENT, reference) == part


def test_a_path_and_the_pointer_to_it_mean_the_same():
    assert pointer_to(["properties", "a/b~", 0]) == "/properties/a~1b~0/0"
    assert pointed(DOCUMENT, "#" + pointer_to(("properties", "a/b~"))) is DOCUMENT["properties"]["a/b~"]


@pytest.mark.parametrize(
    ("key", "value", "changed"),
    [
        ("const", {"a": 1}, {"a": 1}),
        ("properties", {"const": 1, "b": 2}, {"const": [1], "b": [2]}),
        ("properties", True, [True]),
        ("not", {"a": 1}, [{"a": 1}]),
    ],
)
def test_a_change_is_made_to_schemas_and_not_to_data(key, value, changed):
    assert inside(key, value, lambda schema: [schema]) == changed
