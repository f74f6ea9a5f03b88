"""`signalpost schema` and `reference`: what the keys of routes.yaml are, for editors and for people."""

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator

from signalpost.config import routes_schema
from signalpost.config.editor import CUSTOM_TAGS, editor_schema

README = Path(__file__).parents[2] / "README.md"


def test_the_schema_is_a_sound_json_schema_for_the_file(signalpost):
    schema = json.loads(signalpost("schema").stdout)
    assert schema == editor_schema(routes_schema())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"endpoints": [{"name": "web", "address": "*", "port": 80, "protocol": "http"}]})
    assert not validator.is_valid({"endpoints": [{"name": "web", "address": "*", "port": 80, "protocol": "ftp"}]})


def test_it_is_written_where_the_file_lets_editors_look(signalpost, folder):
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
    ]
