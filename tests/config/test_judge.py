"""What the routes schema does not allow, in words."""

import json

import pytest
from jsonschema import Draft202012Validator

from signalpost.actions.builtin import routes_schema


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("signal: []", '4:1: signal: no key "signal" here; did you mean "signals"? (known: endpoints, plugins,'),
        ("signals: [{path: /, handlr: x}]", 'signals[0].handlr: no key "handlr" here; did you mean "handler"?'),
        ("signals: [{path: /, dew: []}]", 'signals[0].dew: no key "dew" here (known: path, handler, do, connected,'),
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
        ("routes: [{path: /}]", "routes[0]: needs one of file, static, view, client, handler, broadcast and do"),
        (
            "routes: [{path: /, handler: x, file: web/index.html}]",
            "routes[0]: exactly one of file, static, view, client, handler, broadcast and do must be given, not file and",
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
        ("handlers: {tick: false}", "handlers.tick: must be a word, not false (allowed: off, on)"),
        ("handlers: {tick: maybe}", '"maybe" is not allowed here (allowed: off, on)'),
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
    Draft202012Validator.check_schema(routes_schema())
    for where, _, key, each in _keys():
        assert {"title", "description", "examples"} <= each.keys(), f"{where}.{key}"


def test_the_routes_schema_says_of_every_key_what_holds_without_it():
    for where, mapping, key, each in _keys():
        one_of_several = where == "step"  # an action is named by its key
        needed = {name for part in (mapping, *mapping.get("oneOf", ())) for name in part.get("required", ())}
        said = "default" in each or "ithout it" in each["description"]
        assert said or key in needed or one_of_several, f"{where}.{key}"


def test_the_examples_of_the_routes_schema_are_allowed_by_it():
    schema = routes_schema()
    for where, _, key, each in _keys():
        judge = Draft202012Validator({"$defs": schema["$defs"], **each})
        for example in [*each.get("examples", []), *([each["default"]] if "default" in each else [])]:
            assert judge.is_valid(example), f"{where}.{key}: {example}"


def test_the_schema_is_a_fresh_copy():
    routes_schema()["properties"].clear()
    assert json.dumps(routes_schema()["properties"])


def _keys():
    """Yield every key of the schema: where it stands, the mapping that has it, its name, and what is said of it."""
    schema = routes_schema()
    waiting = [("", schema), *schema["$defs"].items()]
    while waiting:
        where, node = waiting.pop()
        for name, value in node.items():
            for number, each in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(each, dict) and name not in ("properties", "$defs", "default", "examples"):
                    waiting.append((f"{where}/{name}/{number}", each))
        for key, value in node.get("properties", {}).items():
            yield where, node, key, _resolved(value, schema)
            waiting.append((f"{where}.{key}", value))


def _resolved(node, schema):
    if "$ref" not in node:
        return node
    return {**_resolved(schema["$defs"][node["$ref"].rpartition("/")[2]], schema), **node}
