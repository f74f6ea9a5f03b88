"""What plugins add to the routes schema: how it is put in, and that it means there what it meant alone."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from signalpost.actions.builtin import routes_schema, taken_names
from signalpost.config.schema.definition import DRAFT, embedded, part_faults

VOTE = {
    "$schema": DRAFT,
    "type": "object",
    "required": ["choice"],
    "properties": {
        "choice": {"$ref": "#/$defs/choice"},
        "$ref": {"type": "string"},
        "then": {"$ref": "#"},
        "default": {"const": {"$ref": "#/nowhere"}},
    },
    "$defs": {"choice": {"enum": ["tea", "cake"]}, "unused": {"$ref": "#/$defs/choice"}},
}


def app(**sections):
    return {"endpoints": [{"name": "live", "address": "*", "port": 1, "protocol": "ws"}], **sections}


def does(step):
    return app(signals=[{"path": "/", "do": [step]}])


def accepts(schema, data):
    return Draft202012Validator(schema).is_valid(data)


OPTIONS = st.recursive(
    st.sampled_from([1, "tea", "cake", "x"]),
    lambda inner: st.dictionaries(st.sampled_from(["choice", "$ref", "then", "other"]), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(OPTIONS)
def test_an_action_s_options_are_judged_in_the_whole_schema_as_alone(options):
    whole = routes_schema({"vote": VOTE})
    Draft202012Validator.check_schema(whole)
    assert accepts(whole, does({"vote": options})) is accepts(VOTE, options)


def test_references_move_with_what_they_refer_to_and_data_stays():
    before = copy.deepcopy(VOTE)
    definitions = embedded(VOTE, "vote")
    assert before == VOTE
    assert list(definitions) == ["vote", "vote.choice", "vote.unused"]
    properties = definitions["vote"]["properties"]
    assert properties["choice"] == {"$ref": "#/$defs/vote.choice"}
    assert properties["then"] == {"$ref": "#/$defs/vote"}
    assert properties["default"] == {"const": {"$ref": "#/nowhere"}}
    assert definitions["vote.unused"] == {"$ref": "#/$defs/vote.choice"}
    assert "$schema" not in definitions["vote"]


def test_every_reference_leads_to_a_definition_by_its_plain_name_whatever_the_action_is_called():
    schema = routes_schema({"a/b": VOTE, "a_b": VOTE, "ü ~1": True}, {"a/b": VOTE})
    step = schema["$defs"]["step"]["properties"]
    settings = schema["properties"]["plugins"]["properties"]["settings"]["properties"]
    references = [step[name]["$ref"] for name in ("a/b", "a_b", "ü ~1")] + [settings["a/b"]["$ref"]]
    assert len(set(references)) == 4
    assert all(reference.rpartition("/")[2] in schema["$defs"] for reference in references)
    assert accepts(schema, does({"a/b": {"choice": "tea"}}))
    assert not accepts(schema, does({"a/b": {"choice": "x"}}))


def test_a_step_that_no_plugin_has_is_wrong_once_the_plugins_are_known_and_only_then():
    assert accepts(routes_schema(), does({"ring": 1}))
    assert not accepts(routes_schema({}), does({"ring": 1}))
    assert accepts(routes_schema({"ring": True}), does({"ring": 1}))


def test_settings_are_judged_by_plugin_and_those_of_others_stay_free():
    schema = routes_schema(settings={"poll": VOTE})
    assert accepts(schema, app(plugins={"settings": {"poll": {"choice": "tea"}, "other": {"choice": "x"}}}))
    assert not accepts(schema, app(plugins={"settings": {"poll": {"choice": "x"}}}))


def test_no_action_may_be_called_like_a_built_in_one():
    assert "broadcast" in taken_names()


@pytest.mark.parametrize(
    ("part", "places"),
    [
        (VOTE, []),
        (True, []),
        ({"$anchor": "a"}, [("$anchor",)]),
        ({"items": {"$dynamicRef": "#a"}}, [("items", "$dynamicRef")]),
        ({"allOf": [{"$ref": "#/$defs/a/b"}], "$defs": {"a": {"b": {}}}}, [("allOf", 0, "$ref")]),
        ({"$ref": "#a"}, [("$ref",)]),
        (None, [()]),
    ],
)
def test_what_would_mean_something_else_in_the_whole_is_refused_at_its_place(part, places):
    assert [keys for keys, _ in part_faults(part)] == places
