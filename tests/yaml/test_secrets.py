"""``!secret``: where it looks, and that nothing that people are shown holds what it found."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import load_config, parse_config
from signalpost.errors import ConfigError
from signalpost.problemtext import Style, render_problems

APP = """\
endpoints:
  - {name: live, address: 127.0.0.1, port: 8091, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 8090, protocol: http}
"""


@pytest.fixture
def write(tmp_path):
    """Write a file of secrets."""

    def write(text):
        (tmp_path / "secrets.yaml").write_text(text)
        (tmp_path / "secrets.yaml").chmod(0o600)
        return tmp_path

    return write


@pytest.fixture
def config(tmp_path):
    """Read a routes.yaml that is sound but for what the test is about."""

    def read(text, **environment):
        return parse_config(
            APP + text, file="app/routes.yaml", folder=tmp_path, actions=BUILT_IN, environment=environment
        )

    return read


@pytest.fixture
def problems(config):
    """Read one that is not sound, and return everything that is shown of its problems, in every style."""

    def read(text, **environment):
        with pytest.raises(ConfigError) as caught:
            config(text, **environment)
        assert caught.value.__cause__ is None
        shown = "\n".join(render_problems(caught.value.problems, style) for style in Style)
        return f"{shown}\n{caught.value}\n{caught.value.problems!r}"

    return read


def test_a_secret_stands_for_what_the_file_holds(write, config):
    write('token: hunter2\npin: 1234\nquoted: "0123"\nfrom_outside: ${TOKEN}\n')
    text = "plugins: {settings: {p: {a: !secret token, b: !secret pin, c: !secret quoted, d: !secret from_outside}}}"
    settings = config(text, TOKEN="hunter3").plugins.settings
    assert settings == {"p": {"a": "hunter2", "b": 1234, "c": "0123", "d": "hunter3"}}


@pytest.mark.parametrize(
    ("secrets", "said", "says"),
    [
        ("token: hunter2", "!secret tokn", 'secret in secrets.yaml named "tokn"; did you mean "token"? (known: token)'),
        ("token: hunter2", "!secret", "a space and a name are missing behind this tag"),
        ("token: hunter2", "!secret hunter2", "(known: token)"),
        ("token: [hunter2]", "!secret token", 'the secret "token" (app/secrets.yaml:1) must be text or a number'),
        ("token: true", "!secret token", "must be text or a number; quotes make it text"),
        ("token:", "!secret token", "must be text or a number"),
        ("- hunter2", "!secret token", "app/secrets.yaml:1:1: a file of secrets is a mapping, each line as in token"),
        ("token: [hunter2", "!secret token", 'app/secrets.yaml:1:8: this "[" is opened but never closed'),
        ("", "!secret token", 'no secret in secrets.yaml named "token" (there are none)'),
        ("a: !include hunter2.yaml\ntoken: x", "!secret a", "app/secrets.yaml:1:4: tags are not read: leave out ***"),
        ("token hunter2: x\nother: y", "!secret token", 'no secret in secrets.yaml named "token" (known: other)'),
        ("a: ${TOKEN}", "!secret a", 'app/secrets.yaml:1:4: the variable "TOKEN" is not set (${TOKEN:-default} would'),
        ("a: x${HUNTER2}", "!secret a", "app/secrets.yaml:1:5: what stands here cannot be used: quote it"),
        ("a: ${HUNTER2-x}", "!secret a", "app/secrets.yaml:1:4: what stands here cannot be used: quote it"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_found_has_words(write, problems, secrets, said, says):
    write(secrets)
    shown = problems(f"plugins: {{settings: {{p: {{a: {said}}}}}}}")
    assert says in shown
    if said != "!secret hunter2":
        assert "hunter2" not in shown.lower()


def test_without_a_file_of_secrets_it_is_said_what_to_make(problems):
    shown = problems("plugins: {settings: {p: {a: !secret token}}}")
    assert 'no file "app/secrets.yaml": secrets stand there, beside routes.yaml, each line as in token: s3' in shown


def test_a_file_of_secrets_that_cannot_be_read_is_told_once(write, problems):
    write("token: hunter2\nother: 'hunter3")
    shown = problems("limits: {rate: !secret token, message: !secret other}\nplugins: {folder: !secret x}")
    assert shown.startswith("app/secrets.yaml:2:8: this quote is opened but never closed\n    other: ***\n")
    assert "\n1 problem\n" in shown


def test_a_file_of_secrets_is_only_read_when_one_is_named(write, config):
    folder = write("a: [")
    assert config("").files == (folder / "routes.yaml",)


def test_secrets_are_not_included(write, problems):
    folder = write("token: hunter2")
    (folder / "hard.yaml").hardlink_to(folder / "secrets.yaml")
    (folder / "soft.yaml").symlink_to(folder / "secrets.yaml")
    for name in ("secrets.yaml", "hard.yaml", "soft.yaml"):
        assert "holds secrets and is not included" in problems(f"limits: !include {name}")


HUNTER = "hunter2-Correct/Horse"
# Each holds one secret in a place where it is wrong, and where the words repeat what stands there.
WRONG = [
    "limits: {connections: !secret s}",
    "limits: {rate: !secret s}",
    "limits: {message: !secret s}",
    "limits: {handshake: !secret s}",
    "limits: {handshke: !secret s}",
    "limits: !secret s",
    "undeclared: !secret s",
    "signals: !secret s",
    "signals: [!secret s]",
    "signals: [{path: !secret s}]",
    "signals: [{path: /x, endpoint: !secret s}]",
    "signals: [{path: /x, endpoint: [web, !secret s]}]",
    "signals: [{path: /x, rebroadcast: !secret s}]",
    "signals: [{path: /x, targets: [!secret s]}]",
    "signals: [{path: /x, schema: !secret s}]",
    "signals: [{path: /x, schema: {const: !secret s}}]",
    "signals: [{path: /x, schema: {type: !secret s}}]",
    "signals: [{path: /x, schema: {properties: {a: {$ref: !secret s}}}}]",
    "signals: [{path: /x, slow: {policy: !secret s}}]",
    "routes: [{path: /x, file: !secret s}]",
    "routes: [{path: /x, static: !secret s}]",
    "routes: [{path: /x, view: !secret s}]",
    "routes: [{path: /x, method: !secret s}]",
    "routes: [{path: /x, broadcast: {value: 1, path: !secret s}}]",
    "timers: [{name: t, every: !secret s, handler: h}]",
    "schedules: [{name: t, cron: x, handler: h, timezone: !secret s}]",
    "schedules: [{name: t, cron: x, handler: h, start: !secret s}]",
    "schedules: [{name: t, cron: x, handler: h, timeout: !secret s}]",
    "timers: [{name: !secret s, every: 1s, handler: h}, {name: !secret s, every: 1s, handler: h}]",
    "plugins: {folder: !secret s}",
    "plugins: {enable: !secret s, disable: 5}",
]


@pytest.mark.parametrize("text", WRONG)
def test_no_problem_shows_a_secret(write, problems, text):
    write(f"s: {HUNTER}")
    shown = problems(text).lower()
    for piece in ("hunter2", "correct", "horse"):
        assert piece not in shown


@pytest.mark.parametrize("text", WRONG)
def test_no_problem_shows_what_a_variable_holds(write, problems, text):
    write("")
    text = text.replace("!secret s", '"x${S}y"')
    if "const:" in text:
        return  # a schema may hold variables
    shown = problems(text, S=HUNTER).lower()
    for piece in ("hunter2", "correct", "horse"):
        assert piece not in shown


@pytest.mark.parametrize(
    "secret", ["/abc123", "/abc123/<name>/<name>", "'1e400000'", "99999999", "-7", "0x1F", "1e5", '"\\t\\x1b\\"\'"']
)
@pytest.mark.parametrize("text", ["port: !secret s", "path: !secret s"])
def test_numbers_and_short_pieces_are_hidden_where_they_are_wrong(write, problems, text, secret):
    write(f"s: {secret}")
    text = f"signals: [{{{text}}}, {{path: !secret s}}, {{path: !secret s}}]\nlimits: {{connections: !secret s}}"
    shown = problems(text)
    for piece in ("abc123", "99999999", "-7", "31", "1e5", "100000", "1e400000"):
        assert f'"{piece}' not in shown.replace("max_runs", "")
        assert f"not {piece}" not in shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], max_codepoint=0x2FF), min_size=6, max_size=60),
    st.sampled_from([text for text in WRONG if "const" not in text]),
)
def test_whatever_a_secret_is_no_problem_shows_the_whole_of_it(write, problems, secret, text):
    escaped = secret.replace("'", "''")
    folder = write(f"s: '{escaped}'")
    before = problems(text.replace("!secret s", "'?'"))
    try:
        shown = problems(text)
    except pytest.fail.Exception:
        return  # it is what may stand there, as 000000 is a moment
    if secret.strip() not in before and secret.strip() not in str(folder):
        assert secret not in shown
        assert secret.lower() not in shown.lower()


def test_short_values_beside_a_problem_leave_its_words_alone(problems):
    shown = problems('limits: {rate: x, connections: "${N}"}', N="0")
    assert "or 0 for no limit" in shown
    assert 'must be a whole number, not the text "${N}"' in shown


def test_a_number_is_hidden_however_it_is_written(problems):
    shown = problems("limits:\n  connections: ${N}", N="1e-3")
    assert "must be a whole number, not the number ${N}" in shown
    assert "0.001" not in shown


def test_a_problem_does_not_show_the_value_beside_it(problems):
    shown = problems(
        'schedules: [{name: t, cron: "@daily", handler: h, start: "${START}", end: 2026-01-01}]', START="2027-02-03"
    )
    assert "must be after start (${START})" in shown


def test_a_schema_holds_no_secrets_since_clients_are_told_what_it_asks_for(write, problems):
    write("s: hunter2")
    assert (
        "signals[0].schema.properties.a.const: a schema holds no secrets, since clients are told what it asks for"
        in problems("signals: [{path: /, schema: {properties: {a: {const: !secret s}}}}]")
    )


def test_no_representation_shows_a_secret(write, config):
    write(f"s: {HUNTER}\np: /{HUNTER}")
    read = config(
        "plugins: {settings: {p: {a: !secret s}}}\n"
        "routes: [{path: !secret p, broadcast: {value: [!secret s], group: !secret s, client: !secret s}}]\n"
        "signals: [{path: !secret p, handler: !secret s}]\n"
        "timers: [{name: t, every: 1s, handler: !secret s, arguments: {a: !secret s}}]\n"
        "schedules: [{name: u, cron: '@daily', handler: !secret s, arguments: {a: !secret s}}]\n"
        "handlers: {h: off}"
    )
    assert read.timers[0].timing.arguments == {"a": HUNTER}
    parts = (*read.routes, *read.signals, *read.timers, *read.schedules, *read.endpoints, *read.routes[0].do)
    timings = (job.timing for job in read.jobs)
    for shown in map(repr, (read, read.plugins, read.source, *parts, *timings)):
        assert HUNTER not in shown


def test_a_text_is_masked_wherever_it_holds_a_secret(write, config):
    write("long: hunter2-very-long\nword: abc\ntiny: ab")
    source = config(
        "timers: [{name: t, every: 1s, handler: h, arguments: {a: [!secret long, !secret word, !secret tiny]}}]"
    ).source
    assert source.masked("xhunter2-very-longx abc abcd ab") == "x!secret longx !secret word abcd ab"


def test_a_secret_that_everybody_on_the_machine_may_read_is_noted(write, config):
    folder = write("s: hunter2")
    assert config("limits: {message: 1MiB}").notes == ()
    text = "plugins: {settings: {p: {a: !secret s}}}"
    assert config(text).notes == ()
    (folder / "secrets.yaml").chmod(0o644)
    (note,) = config(text).notes
    assert note == (
        "other users of this machine can read app/secrets.yaml (its mode is 644): chmod 600 app/secrets.yaml"
    )


@pytest.mark.parametrize("said", ["static: .", "file: secrets.yaml", "view: secrets.yaml", "static: linked"])
def test_no_route_shows_the_file_of_secrets(write, problems, said):
    folder = write("s: hunter2")
    (folder / "linked").symlink_to(folder)
    key = said.partition(":")[0]
    shown = problems(f"routes: [{{path: /x, {said}}}]")
    assert f"routes[0].{key}: this would show secrets.yaml to everyone: keep served files in a folder of their" in shown


def test_a_file_of_secrets_is_among_what_was_read(write):
    folder = write("s: 1MiB")
    (folder / "routes.yaml").write_text(APP + "limits: {message: !secret s}")
    assert set(load_config(folder / "routes.yaml", BUILT_IN, os.environ).files) == {
        folder / "routes.yaml", folder / "secrets.yaml",
    }  # fmt: skip


def test_the_lines_of_a_long_secret_are_hidden_one_by_one(write, config):
    write("key: |\n  -----BEGIN KEY-----\n  MIIEvQIBADANBg\n  x=\n  -----END KEY-----\n")
    source = config("timers: [{name: t, every: 1s, handler: h, arguments: {a: !secret key}}]").source
    assert source.masked("read MIIEvQIBADANBg") == "read !secret key"
    assert (
        source.masked("it is '-----BEGIN KEY-----\\nMIIEvQIBADANBg\\nx=\\n-----END KEY-----\\n'")
        == "it is '!secret key'"
    )


def test_a_label_that_looks_like_a_piece_of_a_value_stays(write, problems):
    write("secret-of-rate: a secret of rate")
    assert 'limits.rate: "!secret secret-of-rate" is not a rate' in problems("limits: {rate: !secret secret-of-rate}")


def test_a_secret_is_hidden_in_problems_about_something_else(write):
    folder = write("s: hunter2")
    endpoints = "endpoints: [{name: !secret s, address: 127.0.0.1, port: 1, protocol: ws}]\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(
            endpoints + "signals: [{path: /, endpoint: live}]", file="routes.yaml", folder=folder, actions=BUILT_IN
        )
    assert [each.text for each in caught.value.problems] == ['no endpoint named "live" (known: !secret s)']
