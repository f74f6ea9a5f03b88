"""What the routes schema does not allow, in words."""

import json

import pytest
from jsonschema import Draft202012Validator

from signalpost.config import routes_schema


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("signal: []", '4:1: signal: no key "signal" here; did you mean "signals"? (known: endpoints, plugins,'),
        ("signals: [{path: /, handlr: x}]", 'signals[0].handlr: no key "handlr" here; did you mean "handler"?'),
        ("signals: [{path: /, dew: []}]", 'signals[0].dew: no key "dew" here (known: path, handler, do, schema,'),
        ("limits: {workers: 5}", 'limits.workers: no key "workers" here (known: message,'),
        ("signals: [{path: 5}]", "signals[0].path: must be text, not the number 5: put it in quotes"),
        ("signals: [{handler: x}]", '4:11: signals[0]: the key "path" is missing, for example path: /'),
        ("signals: {path: /}", 'signals: must be a list, not a mapping: begin each item with "- "'),
        ("signals: [/]", 'signals[0]: must be a mapping, not the text "/": write path: /'),
        ("signals: [{path: /, targets: path}]", 'must be a list, not the text "path": write [path]'),
        ("signals:", "signals: must be a list, not nothing: give it a value or leave the key out"),
        ("signals: [5]", "signals[0]: must be a mapping, not the number 5"),
        ("signals: [{path: /, rebroadcast: al}]", '"al" is not allowed here (allowed: everyone, others,'),
        ("signals: [{path: /, format: Raw}]", '"Raw" is not allowed here; did you mean "raw"?'),
        ("signals: [{path: /, targets: [clientid]}]", 'signals[0].targets[0]: "clientid" is not allowed here; did'),
        ("routes: [{path: /}]", "routes[0]: needs one of file, static, view, handler and broadcast"),
        (
            "routes: [{path: /, handler: x, file: web/index.html}]",
            "routes[0]: exactly one of file, static, view, handler and broadcast must be given, not file and handler",
        ),
        ("routes: [{path: /, handler: x, method: post}]", '"post" is not allowed here; did you mean "POST"?'),
        ("routes: [{path: /, handler: x, method: []}]", "routes[0].method: must not be empty: give at least one"),
        ("routes: [{path: /, handler: ''}]", "routes[0].handler: must not be empty"),
        ("timers: [{name: t, handler: h}]", '"every" is missing, for example every: 5s'),
        ("timers: [{name: t, every: 1s, handler: h, limit: -1}]", "timers[0].limit: must be at least 0, not -1"),
        ("timers: [{name: t, every: 1s, handler: h, limit: '3'}]", 'not the text "3": leave out the quotes'),
        ("timers: [{name: t, every: 1s, handler: h, on_start: yes}]", 'must be true or false, not the text "yes": wri'),
        ("timers: [{name: t, every: [], handler: h}]", "timers[0].every: must be text or a number, not a list"),
        ("schedules: [{name: s, cron: 5, handler: h}]", "must be text or a list, not the number 5: put it in quotes"),
        ("handlers: {tick: false}", "handlers.tick: must be a word, not false (allowed: off)"),
        ("handlers: {tick: on}", '"on" is not allowed here (allowed: off)'),
        ("limits: {connections: 0}", "limits.connections: must be at least 1, not 0"),
        ("plugins: {settings: {clock: 5}}", "plugins.settings.clock: must be a mapping, not the number 5"),
    ],
)
def test_a_misshapen_value_is_told_what_it_should_be(problems, text, says):
    (found,) = problems(text)
    assert says in found


def test_a_misspelt_key_is_not_missed_as_well(problems):
    assert len(problems("signals: [{pth: /}]")) == 1
    assert len(problems("timers: [{nam: t, evry: 1s, handlr: h}]")) == 3


def test_a_very_long_word_is_cut(problems):
    assert len(problems(f"signals: [{{path: /, {'x' * 10_000}: 1}}]")[0]) < 300


def test_the_routes_schema_is_a_schema_and_documents_every_key():
    schema = routes_schema()
    Draft202012Validator.check_schema(schema)
    for name, properties in [("the file", schema["properties"]), *_properties(schema)]:
        for key, each in properties.items():
            text = each if "$ref" not in each else schema["$defs"][each["$ref"].rpartition("/")[2]] | each
            assert {"title", "description", "examples"} <= text.keys(), f"{name}: {key}"


def test_the_examples_of_the_routes_schema_are_allowed_by_it():
    schema = routes_schema()
    for _, properties in [("", schema["properties"]), *_properties(schema)]:
        for key, each in properties.items():
            judge = Draft202012Validator({**schema["$defs"], "$defs": schema["$defs"], **each})
            for example in [*each.get("examples", []), *([each["default"]] if "default" in each else [])]:
                judge.validate(example)
            assert key


def test_the_schema_is_a_fresh_copy():
    routes_schema()["properties"].clear()
    assert json.dumps(routes_schema()["properties"])


def _properties(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, dict) and isinstance(value.get("properties"), dict):
                yield key, value["properties"]
            yield from _properties(value)
