"""`signalpost schema` and `reference`: what the keys of routes.yaml are, for editors and for people."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from signalpost.actions.builtin import routes_schema
from signalpost.config.schema.editor import CUSTOM_TAGS, editor_schema

README = Path(__file__).parents[2] / "README.md"


def test_the_schema_is_a_sound_json_schema_for_the_file(signalpost):
    schema = json.loads(signalpost("schema").stdout)
    assert schema == editor_schema(routes_schema())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"endpoints": [{"name": "web", "address": "*", "port": 80, "protocol": "http"}]})
    assert not validator.is_valid({"endpoints": [{"name": "web", "address": "*", "port": 80, "protocol": "ftp"}]})


PLUGIN = """
    from signalpost import action, hookimpl, signal, timer

    @action("applaud", schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {"times": {"type": "integer", "title": "Times", "default": 3}},
    })
    def applaud(event, options):
        \"\"\"Claps its hands.\"\"\"

    @signal("echo")
    async def echo(event): ...

    @timer("tick", every="5s")
    async def tick(event): ...

    @hookimpl
    def settings_schema():
        return {"type": "object", "properties": {"loud": {"type": "boolean"}}, "additionalProperties": False}
"""
LIVE = {"endpoints": [{"name": "live", "address": "*", "port": 80, "protocol": "ws"}]}


@pytest.fixture
def allows(signalpost):
    """Give a part of a routes.yaml; tell whether the schema lets it pass."""
    return lambda **part: Draft202012Validator(json.loads(signalpost("schema").stdout)).is_valid(LIVE | part)


@pytest.mark.parametrize("rest", ["", "limits: {mesage: 1MiB}", "signals: [{path: /, handler: nobody}]"])
def test_the_schema_has_the_actions_and_settings_of_the_plugins_even_if_the_file_has_problems(write, allows, rest):
    write(rest, claps=PLUGIN)

    def does(**step):
        return allows(signals=[{"path": "/", "do": [step]}])

    assert does(applaud={"times": 5})
    assert does(applaud={"times": "{{ data.times }}"})
    assert not does(applaud={"times": "often"})
    assert not does(aplaud={})
    assert allows(plugins={"settings": {"claps": {"loud": True}}})
    assert not allows(plugins={"settings": {"claps": {"lout": True}}})


def test_as_long_as_nobody_knows_the_plugins_every_action_may_be_theirs(write, allows):
    write("plugins: {folder: nowhere}", claps=PLUGIN)
    assert allows(signals=[{"path": "/", "do": [{"anything": {}}]}])
    write("", claps="import not_there_at_all\n")
    assert allows(signals=[{"path": "/", "do": [{"anything": {}}]}])


def test_handlers_are_offered_where_they_may_stand(write, signalpost):
    write("", claps=PLUGIN)
    parts = json.loads(signalpost("schema").stdout)["$defs"]
    offered = {name: parts[name]["properties"]["handler"].get("examples") for name in ("route", "signal", "schedule")}
    assert offered == {"route": ["shout"], "signal": ["echo"], "schedule": ["tick"]}


def test_the_schema_is_written_where_the_file_lets_editors_look(signalpost, folder):
    signalpost("new", "chat")
    written = folder / "chat" / ".signalpost" / "routes.schema.json"
    before = written.read_text()
    written.write_text("old")
    result = signalpost("schema", "chat/routes.yaml", "--write")
    assert (result.exit_code, result.stdout) == (0, "chat/.signalpost/routes.schema.json\n")
    assert written.read_text() == before


def test_a_folder_that_is_not_there_is_one_line(signalpost):
    result = signalpost("schema", "chat/routes.yaml", "--write")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "signalpost: chat/.signalpost/routes.schema.json cannot be written: no such file or directory\n"
    )


def test_the_readme_has_the_tags_that_an_editor_must_be_told():
    assert re.findall(r'"(![a-z_]+ [a-z:]+)"', README.read_text()) == list(CUSTOM_TAGS)


def test_the_reference_has_every_section(signalpost):
    text = signalpost("reference").stdout
    assert re.findall("^## (.*)$", text, re.MULTILINE) == [
        "Values from outside",
        *routes_schema()["properties"],
        "Actions",
        "Templates",
        "Cookbook",
    ]
