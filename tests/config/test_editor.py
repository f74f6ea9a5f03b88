"""The schema for editors allows what the routes schema allows, and what the server makes of tags and variables."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from signalpost.actions.builtin import routes_schema
from signalpost.config.schema.editor import editor_schema

SCHEMA = editor_schema(routes_schema())
EDITOR = Draft202012Validator(SCHEMA)
SERVER = Draft202012Validator(routes_schema())
ENDPOINT = {"name": "live", "address": "*", "port": 80, "protocol": "ws"}


def test_the_schema_for_editors_is_sound_and_the_routes_schema_is_left_as_it_is():
    Draft202012Validator.check_schema(SCHEMA)
    schema = routes_schema()
    editor_schema(schema)
    assert schema == routes_schema()


@pytest.mark.parametrize(
    "part",
    [
        {"limits": {"connections": "${CONNECTIONS}"}},
        {"limits": {"message": "${MESSAGE:-1MiB}"}},
        {"undeclared": "${UNDECLARED}"},
        {"signals": [{"path": "/", "slow": {"policy": "${POLICY}"}, "targets": ["${WISH}"]}]},
        {"timers": [{"name": "t", "every": "${EVERY}", "on_start": "${ON}", "handler": "h"}]},
    ],
)
def test_a_variable_may_stand_for_any_scalar(part):
    assert not SERVER.is_valid({"endpoints": [ENDPOINT], **part})
    EDITOR.validate({"endpoints": [ENDPOINT], **part})


@pytest.mark.parametrize(
    "part",
    [
        {"limits": {"connections": "many"}},
        {"limits": {"mesage": "1MiB"}},
        {"limits": "${LIMITS}"},
        {"signals": {}},
        {"signals": "${SIGNALS}"},
        {"signals": [{"path": "/", "rebroadcast": {}}]},
        {"signals": [{"path": "/", "rebroadcast": "al"}]},
        {"routes": [{"path": "/", "file": "a", "static": "b"}]},
        {"timers": [{"every": "1s", "handler": "h"}]},
    ],
)
def test_a_mistake_in_the_file_is_a_mistake_to_an_editor(part):
    assert not EDITOR.is_valid({"endpoints": [ENDPOINT], **part})


@given(
    st.recursive(
        st.sampled_from([None, True, 0, 1, 2.5, "/", "1s", "${X}", "everyone", "POST", "h", "http"]),
        lambda below: (
            st.lists(below, max_size=2)
            | st.dictionaries(st.sampled_from(["path", "file", "handler", "name", "every", "slow"]), below, max_size=4)
        ),
        max_leaves=8,
    ),
    st.sampled_from(["routes", "signals", "timers", "schedules", "limits", "endpoints", "undeclared"]),
)
def test_what_the_server_takes_an_editor_does_not_underline(value, section):
    for data in (value, [value]):
        document = {"endpoints": [ENDPOINT], section: data}
        assert EDITOR.is_valid(document) or not SERVER.is_valid(document)


def test_every_key_says_what_it_means_and_what_holds_without_it():
    level = SCHEMA["properties"]["limits"]["properties"]["message"]
    assert level["title"] == "Largest message"
    assert level["description"].endswith("\n\nDefault: 1MiB")
    assert level["examples"] == ["1MiB", "64KiB"]


def test_an_example_that_is_no_word_is_shown_as_yaml_and_not_offered():
    slow = SCHEMA["$defs"]["signal"]["properties"]["slow"]
    assert "examples" not in slow
    assert "default" not in slow
    shown = slow["markdownDescription"].partition("```yaml\n")[2].removesuffix("\n```")
    assert yaml.safe_load(shown) == {"slow": {"policy": "drop_oldest", "buffer": "1MiB"}}
