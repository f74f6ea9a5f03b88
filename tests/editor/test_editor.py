"""routes.yaml in an editor, as `signalpost new` leaves it: what is offered, shown and underlined."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from signalpost.cli import cli
from signalpost.config import COOKBOOK

README = Path(__file__).parents[2] / "README.md"
MODELINE = "# yaml-language-server: $schema=./.signalpost/routes.schema.json\n"
ENDPOINTS = MODELINE + "endpoints:\n  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}\n"
DO = "signals:\n  - path: /\n    do:\n"
# What the README tells users to put into their editor's settings.
TAGS = re.findall(r'"(![a-z_]+ [a-z:]+)"', README.read_text())


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """A folder made by `signalpost new`."""
    folder = tmp_path_factory.mktemp("editor") / "app"
    assert CliRunner().invoke(cli, ["new", str(folder)]).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def editor(open_editor, app):
    return open_editor(app, {"yaml.customTags": TAGS})


def test_nothing_is_underlined_in_the_app_as_it_is_made(editor, app):
    text = (app / "routes.yaml").read_text()
    assert text.startswith(MODELINE)
    assert editor.open(text) == []


@pytest.mark.parametrize("recipe", sorted(COOKBOOK.glob("*.yaml")), ids=lambda file: file.stem)
def test_nothing_is_underlined_in_the_apps_of_the_cookbook(editor, recipe):
    assert editor.open(MODELINE + recipe.read_text()) == []


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        pytest.param("|\n", {"routes", "signals", "timers", "schedules", "limits"}, id="a section"),
        pytest.param("signals:\n  - path: /\n    |\n", {"handler", "schema", "rebroadcast"}, id="a key of a signal"),
        pytest.param("signals:\n  - path: /\n    rebroadcast: |\n", {"everyone", "others", "none"}, id="a word"),
        pytest.param("limits:\n  me|\n", {"message"}, id="a key of the limits"),
        pytest.param("limits:\n  rate: |\n", {"1000/s"}, id="an example"),
        pytest.param("timers:\n  - name: t\n    |\n", {"every", "handler", "on_start"}, id="a key of a timer"),
        pytest.param("signals:\n  - path: /\n    handler: |\n", {"clock"}, id="a plugin's handler"),
        pytest.param("plugins:\n  settings:\n    remind:\n      |\n", {"longest", "most"}, id="a plugin's setting"),
        pytest.param(DO + "      - |\n", {"broadcast", "reply", "set", "if", "remind"}, id="an action"),
        pytest.param(DO + "      - broadcast:\n          |\n", {"value", "path", "group"}, id="an option"),
        pytest.param(DO + "      - remind:\n          |\n", {"after", "text"}, id="an option of a plugin's action"),
    ],
)
def test_what_fits_is_offered(editor, text, offered):
    assert offered <= editor.type(ENDPOINTS + text).keys()


def test_a_section_that_is_a_list_is_begun_as_one(editor):
    offered = editor.type(ENDPOINTS + "|\n")
    assert offered["signals"]["insertText"] == "signals:\n  - "


def test_what_is_pointed_at_is_explained_with_default_and_example(editor):
    shown = editor.point(ENDPOINTS + "limits:\n  ra|te: 5\n")
    assert shown.startswith("#### What one client may send\n\nHow fast frames")
    assert "Default: 1000/s" in shown
    assert "1000/s" in shown


def test_a_long_example_is_shown_as_it_would_be_written(editor):
    shown = editor.point(ENDPOINTS + "signals:\n  - path: /\n    sl|ow: {policy: latest}\n")
    assert "```yaml\nslow: {policy: drop_oldest, buffer: 1MiB}\n```" in shown


def test_a_misspelt_key_and_a_misspelt_word_are_underlined(editor):
    text = "signals:\n  - path: /\n    rebraodcast: path\n  - path: /b\n    rebroadcast: pth\n"
    (key, word) = editor.open(ENDPOINTS + text)
    assert key == (6, "Property rebraodcast is not allowed.")
    assert word == (
        8,
        'Value is not accepted. Valid values: "everyone", "others", "path", "group", "sender", "none".',
    )


def test_a_misspelt_action_and_a_misspelt_option_are_underlined(editor):
    steps = "      - brodcast: {value: x}\n      - remind: {after: 5s, txt: x}\n"
    found = editor.open(ENDPOINTS + DO + steps)
    assert (7, "Property brodcast is not allowed.") in found
    assert (8, "Property txt is not allowed.") in found
    assert {line for line, _ in found} == {7, 8}


def test_templates_stand_for_values_of_actions(editor):
    steps = """\
      - if: "{{ message == 'x' }}"
        then:
          - broadcast: {value: "{{ data }}", path: "{{ path }}"}
          - log: "{{ client.id }} came"
        else: [{stop: true}]
      - for: {each: room, in: "{{ state.rooms }}"}
        do: [{remind: {after: "{{ data.seconds }}", text: x}}]
"""
    assert editor.open(ENDPOINTS + DO + steps) == []


def test_a_value_of_the_wrong_kind_is_underlined(editor):
    found = editor.open(ENDPOINTS + "limits:\n  connections: many\n  message: large\n")
    assert found == [
        (5, 'Incorrect type. Expected "integer | tag".'),
        (6, "A number and a unit (B, KB, MB, GB, KiB, MiB, GiB), or a number of bytes; at least 1 byte."),
    ]


def test_tags_and_variables_stand_for_any_value(editor):
    text = """\
endpoints:
  - {name: web, address: !secret address, port: !secret port, protocol: "${PROTOCOL}"}
  - !include endpoint.yaml
routes: !include_dir routes
signals: !include signals.yaml
limits:
  connections: ${CONNECTIONS:-100}
  handshake: !secret patience
  message: ${MESSAGE}
timers:
  - !include timer.yaml
  - name: tick
    every: ${EVERY}
    on_start: ${ON_START}
    broadcast: {value: !include value.yaml}
"""
    assert editor.open(MODELINE + text) == []
