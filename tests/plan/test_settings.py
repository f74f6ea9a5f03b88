"""Settings of plugins are held against what the plugins say they may be, and their defaults are filled in."""

import re
import textwrap

import pytest

from signalpost.errors import ConfigError
from signalpost.plan import load_plan
from signalpost.testing import serve

ENDPOINT = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"

PLUGIN = """
from signalpost import hookimpl

@hookimpl
def settings_schema():
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["station"],
        "properties": {
            "station": {"type": "string", "examples": ["york"]},
            "format": {"type": "string", "default": "%H:%M"},
            "board": {"type": "object", "properties": {"rows": {"type": "integer", "minimum": 1, "default": 8}}},
            "mode": {"$ref": "#/$defs/mode"},
        },
        "$defs": {"mode": {"enum": ["day", "night"]}},
    }

@hookimpl
def startup(context):
    context.state["_settings"] = context.settings
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write an app whose plugin has a schema of its settings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "board.py").write_text(PLUGIN)

    def write(text):
        (tmp_path / "routes.yaml").write_text(ENDPOINT + textwrap.dedent(text))

    return write


@pytest.fixture
def problems(write):
    def load(text):
        write(text)
        with pytest.raises(ConfigError) as caught:
            load_plan("routes.yaml")
        return [str(problem).removeprefix("routes.yaml:") for problem in caught.value.problems]

    return load


def settings_of(plan):
    plan.registry.unload()
    return plan.config.plugins.settings


def test_defaults_stand_where_nothing_is_said_at_any_depth(write):
    write("plugins: {settings: {board: {station: york}, other: {x: 1}, clock: {}}}")
    with pytest.raises(ConfigError, match='no plugin named "other"'):
        load_plan("routes.yaml")
    write("plugins: {settings: {board: {station: york, mode: night}}}")
    whole = {"station": "york", "mode": "night", "format": "%H:%M", "board": {"rows": 8}}
    assert settings_of(load_plan("routes.yaml")) == {"board": whole}
    write("plugins: {settings: {board: {station: york, format: '', board: {rows: 2, wide: true}}}}")
    said = {"station": "york", "format": "", "board": {"rows": 2, "wide": True}}
    assert settings_of(load_plan("routes.yaml")) == {"board": said}


async def test_a_plugin_has_its_settings_whole(tmp_path):
    source = PLUGIN.replace('"required": ["station"],', "")
    async with serve(ENDPOINT, plugins={"board": source}) as app:
        assert app.server.plan.config.plugins.settings == {"board": {"format": "%H:%M", "board": {"rows": 8}}}


def test_what_does_not_fit_is_a_problem_at_its_place_that_names_the_plugin(problems):
    found = problems("""\
        plugins:
          settings:
            board:
              station: 5
              formt: "%H"
              board: {rows: 0}
              mode: noon
        """)
    assert [re.sub(r" \(known: .*?\)| \(says plugin board, plugins/board.py:4\)", "", text) for text in found] == [
        "5:16: plugins.settings.board.station: must be text, not the number 5: put it in quotes",
        '6:7: plugins.settings.board.formt: no key "formt" here; did you mean "format"?',
        "7:21: plugins.settings.board.board.rows: must be at least 1, not 0",
        '8:13: plugins.settings.board.mode: "noon" is not allowed here (allowed: day, night)',
    ]


def test_what_is_missing_is_a_problem_even_if_there_are_no_settings_at_all(problems):
    (found,) = problems("plugins: {settings: {}}")
    assert 'plugins.settings.board: the key "station" is missing, for example station: york' in found
    (found,) = problems("")
    assert 'plugins.settings.board: the key "station" is missing' in found


def test_settings_that_cannot_be_read_or_stand_under_another_name_are_not_missed_as_well(problems):
    (found,) = problems("plugins: {settings: {bord: {station: york}}}")
    assert 'no plugin named "bord"; did you mean "board"?' in found
    (found,) = problems("plugins: {settings: {board: 5}}")
    assert "plugins.settings.board: must be a mapping" in found
    (found,) = problems("plugins: {settings: []}")
    assert "plugins.settings: must be a mapping" in found
