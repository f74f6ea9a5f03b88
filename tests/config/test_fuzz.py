"""Whatever routes.yaml holds, it is a configuration or problems: never another exception."""

import json
import re

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import load_config, parse_config
from signalpost.errors import ConfigError
from signalpost.problemtext import Style, render_problems

SOUND = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
  - {name: live, address: "*", port: 8091, protocol: ws, origins: ["https://a.example"]}
  - {name: tls, address: "::1", port: 8092, protocol: wss, self_signed: true}
plugins: {folder: plugins, enable: [a], disable: [], settings: {clock: {format: "%H"}}}
routes:
  - {path: /, file: web/index.html, endpoint: web}
  - {path: /assets, static: web, method: [GET]}
  - {path: /hello/<name>, view: web/hello.html}
  - {path: /pub, handler: h, schema: {type: object, properties: {a: {$ref: "#/$defs/b"}}, $defs: {b: {pattern: x}}}}
  - {path: /news, broadcast: {value: &value {a: 1}, path: /x, group: g, client: c}}
undeclared: refuse
signals:
  - {path: "/rooms/<n:int>", rebroadcast: path, targets: [path], endpoint: [live, tls]}
  - {path: /yjs, format: raw}
timers: [{name: t, every: 250ms, broadcast: {value: *value}, limit: 1, skip: 1, on_start: true, arguments: {}}]
schedules:
  - {name: s, cron: "0 0 * * *", timezone: Europe/London, start: 2027-01-01, end: 2027-02-01T00:00:00Z, handler: h}
handlers: {tick: off}
limits: {message: 4MiB, connections: 10, handshake: 1m, outbox: 64KiB}
"""

ENVIRONMENT = {"A": "{a: [1", "HUNTER": "hunter4"}
SECRETS = "token: hunter2\nother: 'hunter3'\nthird: ${HUNTER}\n"
SECRETS_MISPLACED = "limits: {rate: !secret token, message: !secret other, drain: !secret third}\nundeclared: !secret x"

# Pieces that mean something to YAML, to a path, to a number or to a terminal.
pieces = st.sampled_from(
    ["", " ", "\n", "\t", ":", ": ", "- ", "{", "}", "[", "]", "'", '"', "#", "&a ", "*a", "<<: ", "!", "|", ">", "%",
     "@", "?", "\0", "\ud800", "\ufeff", "\u2028", "\x85", "日本", "1e999", "-1", "null", "true", "~", "off", "../..",
     "/", "//", "<", ">", "$ref", "0x", "\\", '"\\ud800"', '"\\0"', "9" * 40, "x" * 300, "---\n", "...\n",
     "$", "${", "${A}", "'${A}'", "${NONE}", "${NONE:-", "$${", "!include ", "!include part.yaml", "!include_dir parts",
     "!secret ", "!secret s", "!secret t"]
)  # fmt: skip


@st.composite
def mutations(draw, text=SOUND):
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(pieces) + text[end:]
    return text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | pieces,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def check(text, folder):
    """Read a text; whatever is raised but a ConfigError fails the test."""
    try:
        parse_config(text, file="routes.yaml", folder=folder, actions=BUILT_IN, environment=ENVIRONMENT)
    except ConfigError as error:
        assert_tellable(error.problems)


def assert_tellable(problems):
    assert problems
    assert all(str(problem).isprintable() for problem in problems)
    for style in Style:
        assert render_problems(problems, style).encode()


@pytest.fixture(scope="module")
def sound(app):
    """A folder in which the sound file is sound, so that mutations start beyond the first check."""
    assert parse_config(SOUND, file="routes.yaml", folder=app, actions=BUILT_IN).signals
    (app / "parts").mkdir()
    (app / "part.yaml").write_text("{path: /part, a: [${A}, 1e999]}")
    (app / "parts" / "a.yaml").write_text("- !include part.yaml\n- {path: /a, path: /b}\n")
    (app / "parts" / "b.yaml").write_text("- {path: /<c>}\n- [\n")
    (app / "secrets.yaml").write_text("s: 1\nt: !x y\n")
    return app


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Read a file of secrets, with a routes.yaml that has no place for them, and return all that is shown of it."""
    folder = tmp_path_factory.mktemp("secrets")

    def show(secrets):
        (folder / "secrets.yaml").write_text(secrets, encoding="utf-8", errors="replace")
        with pytest.raises(ConfigError) as caught:
            parse_config(
                SECRETS_MISPLACED, file="routes.yaml", folder=folder, actions=BUILT_IN, environment=ENVIRONMENT
            )
        return "\n".join(render_problems(caught.value.problems, style) for style in Style)

    return show


@given(text=st.text(max_size=60) | st.text(alphabet="ab:-{}[]&*!|>'\"%@,?# \n", max_size=60))
def test_any_text_is_a_configuration_or_problems(sound, text):
    check(text, sound)


@settings(max_examples=250)
@given(text=mutations())
def test_any_mutation_of_a_sound_file_is_a_configuration_or_problems(sound, text):
    check(text, sound)


@settings(max_examples=150)
@given(data=st.data())
def test_any_value_in_the_place_of_another_is_a_configuration_or_problems(sound, data):
    tree = yaml.safe_load(SOUND.replace("off", "'off'"))
    parents = list(containers(tree))
    parent, key = data.draw(st.sampled_from(parents))
    parent[key] = data.draw(values)
    check(json.dumps(tree, default=str), sound)


def containers(node):
    """Yield every place of the tree that holds a value."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in pairs:
        yield node, key
        yield from containers(child)


@settings(max_examples=60)
@given(text=mutations(SECRETS))
def test_no_mutation_of_a_file_of_secrets_is_shown(shown, text):
    assume(not re.search(r"unter[\w.-]*['\"]?\s*:", text))  # it has become a name, and names are shown
    assert "unter" not in shown(text).replace("HUNTER", "")


@given(content=st.binary(max_size=80))
def test_any_bytes_are_a_configuration_or_problems(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError):
        load_config(file, BUILT_IN)
