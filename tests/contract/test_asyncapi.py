"""`signalpost asyncapi`: a document that AsyncAPI's own parser accepts, and schemas that accept what ours accept."""

import json
import textwrap

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.cli.asyncapi import asyncapi_text
from signalpost.jsonschemas.draft7 import Rewriter, component_name
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.plan import load_plan

# 3.0 is what is written; that there is a newer version is all that the parser may say.
NEWER = "asyncapi-latest-version"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
APP = """\
endpoints:
  - {name: "live one", address: 127.0.0.1, port: 8091, protocol: ws}
  - {name: safe, address: "*", port: 443, protocol: wss, self_signed: true}
  - {name: local, address: "unix:/run/app.sock", protocol: ws}
undeclared: refuse
signals:
  - path: /rooms/<room>/<number:int>
    targets: [path]
    history: 10
    rebroadcast: path
    schema: {required: [message], additionalProperties: false, properties: {message: {$ref: "#/$defs/text"}, path: {}},
             $defs: {text: {type: string, minLength: 1}}}
    sends:
      $ref: "#/$defs/tree"
      $defs: {tree: {type: object, properties: {below: {type: array, prefixItems: [{$ref: "#/$defs/tree"}]}}}}
  - {path: "/a{b}c/größe", endpoint: safe, sends: {type: string}}
  - {path: /raw, format: raw}
  - {path: /Rooms-room, sends: false}
  - {path: /rooms/<room>, sends: true}
  - {path: /}
"""


@pytest.fixture
def document(load):
    return json.loads(asyncapi_text(load(APP), None, "1.2.3"))


def parsed(parse, *texts):
    """Give documents to the parser, and return what it makes of the channels of each."""
    found = parse(*texts)
    for each in found:
        assert [told for told in each["told"] if told["code"] != NEWER] == []
        assert each["accepted"]
    return [{channel["id"]: channel for channel in each["channels"]} for each in found]


@pytest.mark.slow
def test_the_documents_of_the_demo_and_of_each_app_of_the_cookbook_are_accepted_without_a_word(parse, apps):
    plans = [load_plan(app) for app in apps.values()]
    try:
        found = parsed(parse, *(asyncapi_text(plan, None, "1.0.0") for plan in plans))
        for plan, channels in zip(plans, found, strict=True):
            assert len(channels) == len(plan.signals)
            for channel in channels.values():
                assert len(channel["operations"]) == 2
    finally:
        for plan in plans:
            plan.registry.unload()


def test_a_document_with_all_that_there_is_is_accepted_without_a_word(parse, load):
    (channels,) = parsed(parse, asyncapi_text(load(APP), None, "1.0.0"))
    assert {name: channel["address"] for name, channel in channels.items()} == {
        "rooms-room-number": "/rooms/{room}/{number}",
        "a-b-c-gr-e": "/a%7Bb%7Dc/gr%C3%B6%C3%9Fe",
        "raw": "/raw",
        "Rooms-room": "/Rooms-room",
        "rooms-room": "/rooms/{room}",
        "root": "/",
    }
    assert channels["raw"]["messages"] == ["frame", "value", "signal", "error", "notice"]
    assert channels["root"]["messages"] == ["message", "value", "signal", "reply", "error", "notice"]


@pytest.mark.slow
def test_a_document_that_is_wrong_is_refused(parse, load):
    text = asyncapi_text(load(APP), None, "1.0.0").replace('"#/components/messages/error"', '"#/components/x"')
    (found,) = parse(text)
    assert not found["accepted"]


def test_servers_are_the_endpoints_for_websockets(document):
    assert document["servers"] == {
        "live-one": {"host": "127.0.0.1:8091", "protocol": "ws"},
        "safe": {"host": "localhost", "protocol": "wss"},
        "local": {"host": "localhost", "protocol": "ws", "description": "At the Unix socket unix:/run/app.sock."},
    }
    assert document["channels"]["a-b-c-gr-e"]["servers"] == [{"$ref": "#/servers/safe"}]
    assert len(document["channels"]["root"]["servers"]) == 3


def test_a_channel_has_its_parameters_and_where_there_is_a_history_the_query_at(document):
    channel = document["channels"]["rooms-room-number"]
    assert list(channel["parameters"]) == ["room", "number"]
    assert list(channel["bindings"]["ws"]["query"]["properties"]) == ["at"]
    assert document["channels"]["root"]["bindings"]["ws"]["query"]["properties"] == {}
    assert channel["title"] == "/rooms/<room>/<number:int>"


def test_the_server_receives_what_clients_send_and_sends_what_they_read(document):
    operations = document["operations"]
    assert [operations[f"{action}-root"]["action"] for action in ("receive", "send")] == ["receive", "send"]
    names = {key: [each["$ref"].rpartition("/")[2] for each in it["messages"]] for key, it in operations.items()}
    assert names["receive-root"] == ["message"]
    assert names["send-root"] == ["value", "signal", "reply", "error", "notice"]
    assert names["receive-raw"] == ["frame"]


def test_a_message_has_the_keys_that_its_signal_allows_and_those_of_the_protocol(document):
    payload = document["channels"]["rooms-room-number"]["messages"]["message"]["payload"]
    assert list(payload["properties"]) == ["message", "path", "ref", "once"]
    assert payload["properties"]["message"] == {"$ref": "#/components/schemas/text"}
    assert (payload["required"], payload["additionalProperties"]) == (["message"], False)
    assert "$defs" not in payload
    assert document["components"]["schemas"]["text"] == {"type": "string", "minLength": 1}


def test_a_value_stands_alone_for_plain_clients_and_in_an_envelope_for_the_others(document):
    messages = document["channels"]["rooms-room-number"]["messages"]
    tree = {"$ref": "#/components/schemas/tree"}
    assert messages["value"]["payload"] == tree
    assert messages["signal"]["payload"]["properties"]["signal"]["properties"]["value"] == tree
    assert messages["reply"]["payload"]["properties"]["reply"]["properties"]["value"] == tree
    schemas = document["components"]["schemas"]
    assert schemas["tree"]["properties"]["below"] == {"type": "array", "items": [tree]}
    assert document["channels"]["a-b-c-gr-e"]["messages"]["value"]["payload"] == {
        "$ref": "#/components/schemas/a-b-c-gr-e-value"
    }
    assert schemas["a-b-c-gr-e-value"] == {"type": "string"}


def test_title_and_version_are_as_asked_or_say_whose_signals_these_are(load):
    plan = load(APP)
    for title, told in ((None, "Signals of routes.yaml"), ("Shop", "Shop")):
        info = json.loads(asyncapi_text(plan, title, "2.0.0"))["info"]
        assert (info["title"], info["version"]) == (told, "2.0.0")


def test_a_secret_is_in_no_document(load, tmp_path):
    (tmp_path / "app" / "secrets.yaml").write_text("door: /hidden-door\nhost: hidden.example\n")
    text = """\
        endpoints: [{name: live, address: !secret host, port: 80, protocol: ws}]
        signals: [{path: !secret door}]
    """
    made = asyncapi_text(load(textwrap.dedent(text)), None, "1")
    assert "hidden" not in made
    assert "!secret door" in made


# Schemas as draft 7


def rewritten(schema):
    """Return a schema as draft 7, in one document with what it refers to."""
    rewriter = Rewriter("#/definitions/")
    made = rewriter.rewrite(rewriter.names.document(schema, "whole"))
    definitions = dict(rewriter.components())
    return {"allOf": [made], "definitions": definitions} if definitions else made


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        (True, {}),
        (False, {"not": {}}),
        ({"const": float("inf"), "maximum": 5}, {"maximum": 5}),
        ({"$schema": DRAFT_7, "$id": "http://example.com/x", "$comment": "x", "type": "string"}, {"type": "string"}),
        (
            {"prefixItems": [{"type": "null"}], "items": False},
            {"items": [{"type": "null"}], "additionalItems": False},
        ),
        ({"items": {"type": "null"}}, {"items": {"type": "null"}}),
        ({"items": {"type": "null"}, "additionalItems": False}, {"items": {"type": "null"}}),
        (
            {"$schema": DRAFT_7, "items": [{"type": "null"}], "additionalItems": False},
            {"items": [{"type": "null"}], "additionalItems": False},
        ),
        ({"dependentRequired": {"a": ["b"]}}, {"dependencies": {"a": ["b"]}}),
        ({"dependentSchemas": {"a": {"minProperties": 2}}}, {"dependencies": {"a": {"minProperties": 2}}}),
        (
            {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"a": {}}},
            {"dependencies": {"a": {"allOf": [{"required": ["b"]}, {}]}}},
        ),
        ({"unevaluatedProperties": False, "propertyNames": {"maxLength": 1}}, {"propertyNames": {"maxLength": 1}}),
        ({"contains": {"type": "null"}, "minContains": 0}, {}),
        ({"contains": {"type": "null"}, "minContains": 2}, {"contains": {"type": "null"}}),
        (
            {"$schema": DRAFT_4, "minimum": 1, "exclusiveMinimum": True, "const": 5},
            {"minimum": 1, "exclusiveMinimum": 1},
        ),
        ({"$schema": DRAFT_4, "minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
        ({"$dynamicRef": "#x", "$defs": {"x": {"$dynamicAnchor": "x"}}}, {}),
        ({"$ref": "#"}, {}),
        ({"$ref": DRAFT_7}, {}),
        ({"$ref": "#/$defs/no", "$defs": {"no": False}}, {"not": {}}),
        (
            {"$ref": "#/$defs/x", "minLength": 1, "$defs": {"x": {"type": "string"}}},
            {
                "allOf": [{"allOf": [{"$ref": "#/definitions/x"}, {"minLength": 1}]}],
                "definitions": {"x": {"type": "string"}},
            },
        ),
        (
            {"x-note": {"$ref": "kept"}, "unheard": 5, "properties": {"$ref": {}}},
            {"x-note": {"$ref": "kept"}, "properties": {"$ref": {}}},
        ),
    ],
)
def test_a_schema_of_any_draft_is_said_in_draft_7(schema, made):
    assert rewritten(schema) == made


def test_names_of_components_are_ones_that_asyncapi_allows():
    assert [component_name(text) for text in ("chat line", "a/b", "größe", "§")] == [
        "chat-line",
        "a-b",
        "gr-e",
        "schema",
    ]


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a"])
keys = st.sampled_from(["a", "b"])
values = st.recursive(scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=2))
kinds = st.sampled_from(["string", "integer", "null", "array", "object"])


def keywords(below):
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kinds,
            "properties": st.dictionaries(keys, below, max_size=2),
            "additionalProperties": below,
            "prefixItems": st.lists(below, min_size=1, max_size=2),
            "items": below,
            "contains": below,
            "minContains": st.integers(0, 2),
            "anyOf": st.lists(below, min_size=1, max_size=2),
            "not": below,
            "dependentRequired": st.dictionaries(keys, st.lists(keys, max_size=1), max_size=1),
            "dependentSchemas": st.dictionaries(keys, below, max_size=1),
            "const": values,
            "$ref": st.sampled_from(["#", "#/$defs/x"]),
        },
    )


parts = st.recursive(st.booleans() | kinds.map(lambda kind: {"type": kind}), keywords, max_leaves=6)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.filter_too_much], database=None)
@given(st.builds(lambda schema, x: {**schema, "$defs": {"x": x}}, keywords(parts), parts), st.lists(values, max_size=8))
def test_what_a_schema_accepts_its_form_in_draft_7_accepts_too(schema, tried):
    try:
        ours = SchemaGate.compile(schema)
    except ValueError:
        return
    theirs = jsonschema_rs.Draft7Validator(rewritten(schema))
    for value in tried:
        assert theirs.is_valid(value) or not ours.accepts(value)


def test_who_must_show_a_token_is_said_of_each_operation(load, parse):
    text = APP.replace(
        "undeclared: refuse", "undeclared: refuse\nauth: {tokens: {keys: {secret: SECRET}, algorithms: [HS256]}}"
    )
    text = text.replace("SECRET", "a secret of the tests that is long enough").replace(
        "  - {path: /}\n", "  - {path: /, may: {connect: anyone}}\n"
    )
    made = asyncapi_text(load(text), None, "1")
    parsed(parse, made)
    document = json.loads(made)
    secured = {name for name, each in document["operations"].items() if "security" in each}
    assert secured == set(document["operations"]) - {"receive-root", "send-root"}
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "expiring" in document["components"]["messages"]["notice"]["payload"]["properties"]


def test_an_app_without_tokens_has_no_security_in_its_document(document):
    assert "securitySchemes" not in document["components"]
    assert "expiring" not in json.dumps(document)
