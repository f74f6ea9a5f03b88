"""Users' JSON Schemas, inline and from files."""

import json

import pytest

from signalpost.testing import load_app


def signal(schema):
    return f"signals:\n  - path: /\n    schema: {schema}\n"


@pytest.mark.parametrize(
    "schema",
    [
        "true",
        "{}",
        "{type: object, properties: {a: {$ref: '#/$defs/a'}}, $defs: {a: {type: string}}}",
        "{$ref: '#/definitions/a', definitions: {a: {}}, $schema: 'http://json-schema.org/draft-07/schema#'}",
        "{$schema: 'https://json-schema.org/draft/2020-12/schema', $ref: '#a', $defs: {x: {$anchor: a}}}",
        "{$id: 'https://example.com/root', $ref: item, $defs: {x: {$id: item, type: string}}}",
        "{$ref: 'https://json-schema.org/draft/2020-12/schema'}",
        "{enum: [{$ref: 'http://not.a.reference'}], properties: {$ref: {type: string}}}",
        "{$ref: '#'}",
        r"{pattern: '^\p{L}+$'}",
        "{pattern: '(?<year>[0-9]{4})'}",
    ],
)
def test_a_sound_schema_is_kept(config, schema):
    (read,) = config(signal(schema)).signals
    assert read.schema is not None
    assert read.schema.keys == ("signals", 0, "schema")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (
            "{type: strng}",
            'signals[0].schema.type: no type "strng" in JSON Schema; did you mean "string"? (known: array,',
        ),
        ("{properties: {a: {minLength: -1}}}", "signals[0].schema.properties.a.minLength: not a JSON Schema"),
        ("{properties: 5}", 'signals[0].schema.properties: not a JSON Schema: "5" must be of type object'),
        ("{required: message}", 'signals[0].schema.required: not a JSON Schema: "message" must be of type array'),
        ("{pattern: '('}", 'signals[0].schema.pattern: not a JSON Schema: "(" is no regex'),
        ("{properties: {a: {$ref: '#/nope'}}}", 'signals[0].schema.properties.a.$ref: "#/nope" leads nowhere in this'),
        ("{items: {$ref: 'http://127.0.0.1:9/x'}}", "is outside this schema, and nothing is fetched: put its target"),
        ("{$ref: 'file:///etc/passwd'}", "nothing is fetched"),
        ("{$ref: 'other.json'}", "nothing is fetched"),
        ("{prefixItems: [true], $ref: '#/prefixItems/x'}", "leads nowhere"),
        ("{$schema: 'http://x/y'}", 'signals[0].schema.$schema: "http://x/y" is no draft of JSON Schema'),
        ("{$schema: 5}", "is no draft of JSON Schema"),
        ("5", "signals[0].schema: must be a mapping or true or false or text, not the number 5"),
    ],
)
def test_a_bad_schema_is_a_problem_at_its_place_inside(problems, schema, says):
    (found,) = problems(signal(schema))
    assert says in found


def test_every_mistake_of_a_schema_is_reported(problems):
    assert len(problems(signal("{properties: {a: {type: x}, b: {maximum: y}}}"))) == 2
    assert len(problems(signal("{properties: {a: {$ref: '#/x'}, b: {$ref: '#/y'}}}"))) == 2


def test_a_deep_schema_is_kept_or_refused(problems):
    text = "{not: " * 58 + "{}" + "}" * 58
    found = problems(signal(text) + "limits: {x: 1}")
    assert len(found) in (1, 2)


def test_a_schema_comes_from_a_json_or_yaml_file(config, app):
    (app / "s.json").write_text(json.dumps({"type": "object"}))
    (app / "s.yaml").write_text("type: object # indeed")
    for name in ("s.json", "s.yaml"):
        (read,) = config(signal(name)).signals
        assert read.schema is not None
        assert read.schema.document == {"type": "object"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("bad.json", b'{"type": }', "bad.json:1:10: this is not JSON: expecting value"),
        ("nan.json", b"[NaN]", "nan.json: this is not JSON: NaN is no number that JSON knows"),
        ("deep.json", b"[" * 100_000, "deep.json: nested too deeply to be read"),
        ("latin.json", b'"\xe9"', 'schema: "latin.json" is not UTF-8 text (byte 1)'),
        ("list.json", b"[1]", '"list.json" does not hold a JSON Schema: that is a mapping, true or false'),
        ("type.json", b'{"properties": {"a": {"type": "x"}}}', '"type.json" at properties.a.type: no type "x" in JSON'),
        (
            "twice.yaml",
            b"a: 1\na: 2",
            'twice.yaml:2:1: a: the key "a" stands here a second time (first in twice.yaml:1)',
        ),
        ("empty.yaml", b"", '"empty.yaml" does not hold a JSON Schema'),
    ],
)
def test_a_mistake_in_a_schemas_file_names_that_file(problems, app, name, content, says):
    (app / name).write_bytes(content)
    (found,) = problems(signal(name))
    assert says in found


def test_a_schemas_file_that_is_missing(problems):
    assert 'no file "nope.json" in the folder of routes.yaml' in problems(signal("nope.json"))[0]


DRAFT_7 = "$schema: 'http://json-schema.org/draft-07/schema#'"


@pytest.mark.parametrize(
    ("schema", "notes"),
    [
        (
            "{type: string, maxlength: 3}",
            ['maxlength: no keyword "maxlength" in this draft of JSON Schema; did you mean'],
        ),
        ("{items: {nullable: true}}", ['items.nullable: no keyword "nullable"']),
        ("{properties: {maxlength: {const: {typ: 1}}}, x-mine: 1, $comment: hi}", []),
        (
            "{properties: {mail: {format: email}}}",
            ['properties.mail.format: format: "email" checks nothing in this draft'],
        ),
        (f"{{{DRAFT_7}, format: email}}", []),
        (f"{{{DRAFT_7}, format: emial}}", ['format: format: "emial" checks nothing; did you mean "email"?']),
        ("{$ref: '#/$defs/a', $defs: {a: {type: string}}, additionalProperties: false}", []),
        (
            "{$ref: '#/$defs/a', $defs: {a: {properties: {x: {}}}}, properties: {y: {}}, additionalProperties: false}",
            [
                (
                    "additionalProperties: this refuses x, too: only properties beside it count; to allow these, write "
                    "unevaluatedProperties: false"
                )
            ],
        ),
        (
            "{allOf: [{properties: {x: {}, y: {}}}], properties: {y: {}}, additionalProperties: false}",
            ["additionalProperties: this refuses x, too"],
        ),
        ("{allOf: [{properties: {x: {}}}], properties: {x: true}, additionalProperties: false}", []),
        (
            f"{{{DRAFT_7}, $ref: '#/definitions/a', minLength: 3, definitions: {{a: {{}}}}}}",
            ["$ref: this draft ignores what is beside $ref: minLength; put both in allOf"],
        ),
        (f"{{{', '.join(f'k{n}: 1' for n in range(50))}}}", ["no keyword"] * 20),
    ],
)
def test_what_a_schema_says_in_vain_is_noted(schema, notes, tmp_path):
    text = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n" + signal(schema)
    found = [note for note in load_app(text, tmp_path).notes if "routes.yaml:4: signals[0].schema" in note]
    assert len(found) == len(notes)
    assert all(begin in note for begin, note in zip(notes, found, strict=True))


def test_a_pattern_of_letters_of_all_languages_judges_messages(tmp_path):
    text = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
    text += signal(r"{properties: {message: {pattern: '^\p{L}+$'}}}")
    (rule,) = load_app(text, tmp_path).signals
    assert rule.gate.accepts({"message": "Zoë"})
    assert not rule.gate.accepts({"message": "4"})
