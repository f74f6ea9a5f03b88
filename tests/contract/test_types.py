"""`signalpost types`: the interface Signals, from real files."""

import re
import textwrap

import pytest

from signalpost.cli.types import types_text
from signalpost.testing import load_app

HEAD = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nundeclared: refuse\n"
ALL = "path?: string; clientId?: string; group?: string; direct?: boolean"
NEVER = "path?: never; clientId?: never; group?: never; direct?: never"
PLUGIN = """
from signalpost import signal

@signal("counted", path="/counted/<n:int>", schema={"required": ["message"], "properties": {"message": {"const": 1}}})
async def counted(event): ...
"""


@pytest.fixture
def types(tmp_path):
    """Return the module of an app's types, without its comments at the top."""

    def make(text, **plugins):
        text = textwrap.dedent(text)
        module = types_text(load_app(text if "endpoints:" in text else HEAD + text, tmp_path, plugins or None))
        return module.partition("export interface Signals ")[2]

    return make


def signal_of(module):
    """Return the type of the only signal: (params, sends, receives), each on one line."""
    flat = " ".join(module.split()).replace("; }", " }")
    found = re.search(r"params: (.*); sends: (.*); receives: (.*?) } }", flat)
    assert found is not None, module
    return found.groups()


def test_a_module_says_what_made_it_and_has_an_interface_with_a_key_for_each_path(tmp_path):
    text = """\
        endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
        signals:
          - path: /rooms/<room>
            targets: [path]
            schema: {required: [message], properties: {message: {type: string, description: What is said.}}}
            sends: {$ref: "#/$defs/line", $defs: {line: {type: object, properties: {text: {type: string}}}}}
          - {path: /, targets: []}
    """
    assert types_text(load_app(textwrap.dedent(text), tmp_path)) == textwrap.dedent(
        """\
        // Made by `signalpost types` from routes.yaml. Change that file, not this one.

        /** What clients send and read on each signal, by the path that it declares. */
        export interface Signals {
          "/rooms/<room>": {
            params: { room: string };
            sends: {
              /** What is said. */
              message: string;
              path?: string;
            };
            receives: Line;
          };
          "/": {
            params: {};
            sends: { message: unknown };
            receives: unknown;
          };
        }

        export type Line = { text?: string };
        """
    )


def test_an_app_without_signals_has_an_empty_interface(types):
    assert types("") == "{\n}\n"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/", "{}"),
        ("/a/<b>/<c_1>", "{ b: string; c_1: string }"),
        ("/orders/<number:int>", "{ number: number }"),
        ("/files/<name:path>", "{ name: string }"),
    ],
)
def test_params_are_those_of_the_path(types, path, params):
    assert signal_of(types(f"signals: [{{path: '{path}'}}]"))[0] == params


@pytest.mark.parametrize(
    ("signal", "sends"),
    [
        ("", f"{{ message: unknown; {ALL} }}"),
        ("targets: []", "{ message: unknown }"),
        ("targets: [direct, path]", "{ message: unknown; path?: string; direct?: boolean }"),
        ("targets: [], schema: {required: [message], properties: {message: {type: integer}}}", "{ message: number }"),
        ("targets: [], schema: {properties: {message: {type: string}}}", "{ message?: string }"),
        ("targets: [], schema: {required: [message, to]}", "{ message: unknown; to: unknown }"),
        ("targets: [], schema: {additionalProperties: false}", "{ [key: string]: never }"),
        (
            "targets: [path, group], schema: {properties: {message: {}, group: {enum: [a]}}}",
            '{ message?: unknown; path?: string; group?: "a" }',
        ),
        (
            "targets: [path, group], schema: {properties: {message: {}, group: {}}, additionalProperties: false}",
            "{ message?: unknown; group?: unknown }",
        ),
        ("targets: [], schema: {properties: {message: {}, path: {type: string}}}", "{ message?: unknown }"),
        (
            "schema: {oneOf: [{required: [a]}, {required: [b]}]}",
            f"{{ message?: unknown; {ALL} }} & ({{ a: unknown }} | {{ b: unknown }})",
        ),
        (
            "targets: [], schema: {$ref: '#/$defs/x', $defs: {x: {type: 'null'}}}",
            f"{{ message?: unknown; {NEVER} }} & X",
        ),
        ("targets: [], schema: false", "never"),
        ("format: raw", "unknown"),
    ],
)
def test_what_goes_up_is_the_whole_message_with_the_keys_that_targets_allows(types, signal, sends):
    assert signal_of(types(f"signals: [{{path: /, {signal}}}]"))[1] == sends


def test_a_list_of_actions_sees_keys_of_the_app_s_own_but_no_target_that_is_not_allowed(types):
    module = types("signals: [{path: /, targets: [path], do: [{log: x}]}]")
    never = "clientId?: never; group?: never; direct?: never"
    assert signal_of(module)[1] == f"{{ message: unknown; path?: string; {never}; [key: string]: unknown }}"


NUMBERS = "targets: [], schema: {required: [message], properties: {message: {type: integer}}}"


@pytest.mark.parametrize(
    ("app", "receives"),
    [
        pytest.param(f"signals: [{{path: /, {NUMBERS}, sends: {{type: string}}}}]", "string", id="what sends says"),
        pytest.param(f"signals: [{{path: /, {NUMBERS}}}]", "number", id="what is re-broadcast"),
        pytest.param(f"signals: [{{path: /, rebroadcast: path, {NUMBERS}}}]", "number", id="what goes to the path"),
        pytest.param(f"signals: [{{path: /, rebroadcast: none, {NUMBERS}}}]", "unknown", id="nothing re-broadcast"),
        pytest.param(f"signals: [{{path: /, do: [{{log: x}}], {NUMBERS}}}]", "unknown", id="a list of actions"),
        pytest.param("signals: [{path: /, rebroadcast: path}]", "unknown", id="no schema"),
        pytest.param(
            f"signals: [{{path: /, {NUMBERS}, connected: [{{reply: {{value: x}}}}]}}]", "unknown", id="a reply at first"
        ),
        pytest.param(
            f"signals: [{{path: /, {NUMBERS}}}]\ntimers: [{{name: t, every: 1s, broadcast: {{value: x, path: /}}}}]",
            "unknown",
            id="a timer that sends there",
        ),
        pytest.param(
            f"signals: [{{path: /, {NUMBERS}}}]\ntimers: [{{name: t, every: 1s, broadcast: {{value: x}}}}]",
            "unknown",
            id="a timer that sends to everyone",
        ),
        pytest.param(
            f"signals: [{{path: /, {NUMBERS}}}]\ntimers: [{{name: t, every: 1s, broadcast: {{value: x, path: /b}}}}]",
            "number",
            id="a timer that sends elsewhere",
        ),
    ],
)
def test_what_comes_down_is_what_sends_says_or_else_a_message_where_nothing_else_can_come(types, app, receives):
    assert signal_of(types(app))[2] == receives


def test_where_plugins_may_send_anything_only_sends_says_what_is_read(types):
    module = types(f"signals: [{{path: /, {NUMBERS}}}]", counted=PLUGIN)
    assert signal_of(module)[2] == "unknown"


def test_signals_of_plugins_have_types_too(types):
    module = types("", counted=PLUGIN)
    assert '"/counted/<n:int>": {' in module
    assert "params: { n: number };" in module
    assert "message: 1;" in module


def test_two_signals_with_one_path_at_two_endpoints_have_one_key(types):
    module = types(
        """\
        endpoints:
          - {name: a, address: 127.0.0.1, port: 0, protocol: ws}
          - {name: b, address: 127.0.0.1, port: 0, protocol: ws}
        signals:
          - {path: /x, endpoint: a, targets: [], sends: {type: string}}
          - {path: /x, endpoint: b, targets: [], sends: {type: number}}
        """
    )
    assert module.count('"/x"') == 1
    assert signal_of(module) == ("{}", "{ message: unknown }", "string | number")


def test_a_path_that_is_a_secret_is_not_told(types, tmp_path):
    (tmp_path / "secrets.yaml").write_text("door: /hidden-door\n")
    module = types("signals: [{path: !secret door, targets: []}]")
    assert "hidden-door" not in module
    assert '"!secret door"' in module
