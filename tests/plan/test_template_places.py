"""A mistake in a template is told where it is written: the very word, in texts over several lines too."""

import textwrap

import pytest

from signalpost.errors import ConfigError
from signalpost.plan import load_plan
from signalpost.plan.actions import allowed_keys

HEAD = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals:
  - path: /
    do:
"""


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Load a file whose signal does these steps, and return what each problem underlines, with its line."""
    monkeypatch.chdir(tmp_path)

    def run(steps):
        (tmp_path / "routes.yaml").write_text(HEAD + textwrap.indent(textwrap.dedent(steps), "      "))
        with pytest.raises(ConfigError) as failed:
            load_plan("routes.yaml")
        found = []
        for each in failed.value.problems:
            before, word = each.source[: each.column - 1], each.source[each.column - 1 :][: each.width]
            assert not (before[-1:] + word[:1]).isidentifier(), f"{word!r} is the end of a word"
            found.append((each.line, word))
        return found

    return run


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ('- reply: {value: "{{ mesage }}"}', [(6, "mesage")]),
        ('- reply: {value: "{{ message | uper }} {{ mesage }}"}', [(6, "uper"), (6, "mesage")]),
        ("- reply: {value: '{{ client.idd }}'}", [(6, "idd")]),
        ("- reply: {value: '{{ message_id }} {{ id }} {{ client.idd }}'}", [(6, "message_id"), (6, "id"), (6, "idd")]),
        ("- log: >-\n    one {{ message }}\n    two {{ mesage }}", [(8, "mesage")]),
        ("- log: |\n    one\n    {{ message }\n    {% if x %}", [(8, "{{ message }")]),
        ("- log: |\n    {{ message }}\n    {% if message %}\n    one", [(8, "{% if message %}")]),
        ("- log: |\n    {{ a }}\n    {{ a.b }}\n    {{ message is odd and message is ood }}", [(7, "a"), (9, "ood")]),
        ("- log: |\n    {{ message\n", [(7, "{{ message")]),
        ("- log: |+\n    {{ message\n\n\n", [(7, "{{ message")]),
        ("- log: |\n    mesage\n    {{ mesage }}", [(8, "mesage")]),
        ('- log: "one\\rtwo\\r{{ message }"', [(6, "{{ message }")]),
        ('- log: "\n    one\n\n    {{ mesage }}"', [(9, "mesage")]),
        ('- log: "one\\nmesage\\n{{ mesage }}"', [(6, "mesage")]),
        ('- log: "{{ \\"\\\\ud800\\" }}"', [(6, '"{{ \\"\\\\ud800\\" }}"')]),
        ("- set: {'{{ mesage }}': '{{ pth }}'}", [(6, "mesage"), (6, "pth")]),
        ("- for: {each: x, in: '{{ clints }}'}\n  do: [{log: '{{ y }}'}]", [(6, "clints"), (7, "y")]),
    ],
)
def test_a_mistake_is_underlined_where_it_is_written(places, steps, expected):
    assert sorted(places(steps)) == sorted(expected)


SCHEMA = "{type: object, properties: {message: {}, text: {}}, additionalProperties: false}"


@pytest.mark.parametrize(
    ("signal", "told"),
    [
        (
            "{path: /a/<room>, do: [{log: '{{ params.rom }}'}]}",
            'params has no "rom"; did you mean "room"? (known: room)',
        ),
        ("{path: /a, connected: [{log: '{{ params.room }}'}]}", 'params has no "room" (there are none)'),
        (
            f"{{path: /a, schema: {SCHEMA}, do: [{{log: '{{{{ data.txt }}}}'}}]}}",
            'data has no "txt"; did you mean "text"? (known: clientId, direct, group, message, path, ref, text)',
        ),
        (
            "{path: /a, do: [{log: '{{ client.idd }}'}]}",
            'client has no "idd"; did you mean "id"? (known: groups, id, path)',
        ),
    ],
)
def test_what_a_name_cannot_have_is_told(signal, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(HEAD.partition("  - path")[0] + f"  - {signal}\n")
    with pytest.raises(ConfigError) as failed:
        load_plan("routes.yaml")
    assert [each.text for each in failed.value.problems] == [told]


def test_what_a_request_cannot_hold_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(
        "endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]\n"
        f"routes: [{{path: /a/<n:int>, method: POST, schema: {SCHEMA}, do: [{{log: '{{{{ data.path }}}}'}}]}}]\n"
    )
    with pytest.raises(ConfigError) as failed:
        load_plan("routes.yaml")
    assert [each.text for each in failed.value.problems] == ['data has no "path" (known: message, text)']


@pytest.mark.parametrize(
    ("schema", "keys"),
    [
        ({"properties": {"a": True}, "additionalProperties": False}, {"a"}),
        ({"additionalProperties": False}, set()),
        ({"properties": {"a": True}}, None),
        ({"properties": {"a": True}, "additionalProperties": {}}, None),
        ({"properties": {"a": True}, "additionalProperties": False, "patternProperties": {"b": True}}, None),
        (False, None),
        (None, None),
    ],
)
def test_a_schema_allows_no_other_keys_only_if_it_says_so(schema, keys):
    assert allowed_keys(schema) == keys
