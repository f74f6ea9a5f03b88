"""`backplane`, `on` of jobs, and what several nodes cannot have: what is read, and each mistake at its place."""

import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.backplanemodel import BackplaneConfig, Lost, RunsOn
from signalpost.config.backplaneurl import parse_url, secrets_of, shown_url
from signalpost.config.load import parse_config
from signalpost.errors import ConfigError

URL = "redis://10.0.0.5/0"
SHORT = f"backplane: {URL}\n"
FORMS = "(allowed: redis://[user:password@]host[:port][/db], rediss://… for TLS, or unix:///path?db=0)"
CODES = "in a user or a password, write %40 for @, %2F for /, %3A for :, %3F for ?, %23 for # and %25 for %"
TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
SECRET = "7mJ4gXvQkq0Jp1cW8nS5tZrY2uHbE6aD9fLxVwKi3oMR"


def of(url=URL, **said):
    return BackplaneConfig(("backplane",), url, **said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("", None),
        (SHORT, of()),
        (f"backplane: {{url: {URL}}}", of(name="signalpost", patience=5.0, lost=Lost.ALONE)),
        (f"backplane: {{url: {URL}, name: shop.2_x-y}}", of(name="shop.2_x-y")),
        (f"backplane: {{url: {URL}, patience: 250ms}}", of(patience=0.25)),
        (f"backplane: {{url: {URL}, patience: 0}}", of(patience=0.0)),
        (f"backplane: {{url: {URL}, lost: alone}}", of()),
        (f"backplane: {{url: {URL}, lost: stop}}", of(lost=Lost.STOP)),
    ],
)
def test_a_file_says_what_joins_its_nodes(config, said, read):
    assert config(said).backplane == read


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost/",
        "REDIS://localhost:6379/15",
        "redis://[::1]:6379/0",
        "redis://:secret@10.0.0.5/0",
        "rediss://app:s%2Fcret@redis.example.com:6380/1",
        "rediss://h/0?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=no",
        "unix:///run/redis/redis.sock",
        "unix:///run/redis/redis.sock?db=3",
        "unix://:secret@/run/redis/redis.sock?db=3",
    ],
)
def test_a_url_is_read_as_it_stands(config, url):
    assert config(f"backplane: {url}").backplane.url == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nats://10.0.0.5", f"nats:// is not known yet {FORMS}"),
        ("redis+sentinel://10.0.0.5/main", f"redis+sentinel:// is not known yet {FORMS}"),
        ("tls://10.0.0.5", f"tls:// is not known yet {FORMS}"),
        ("reddis://10.0.0.5", f'"reddis://" is no backplane; did you mean "redis://"? {FORMS}'),
        ("http://10.0.0.5", f'"http://" is no backplane {FORMS}'),
        ("10.0.0.5:6379", f"it does not say what it is: begin with redis:// {FORMS}"),
        ("redis:10.0.0.5", f"it does not say what it is: begin with redis:// {FORMS}"),
        ("redis://", f"it names no host; {CODES} {FORMS}"),
        ("redis:///0", f"it names no host; {CODES} {FORMS}"),
        ("redis://h:0", "port 0 is no server's (allowed: 1 to 65535)"),
        ("redis://h:65536", f"its host or port cannot be read: ports are 1 to 65535; {CODES} {FORMS}"),
        ("redis://[::1", f"its host or port cannot be read: ports are 1 to 65535; {CODES} {FORMS}"),
        ("redis://:a/b@h", f"its host or port cannot be read: ports are 1 to 65535; {CODES} {FORMS}"),
        ("redis://h/main", f"what follows the host is the number of a database, as in redis://127.0.0.1/0; {CODES}"),
        ("redis://h/0?ssl_ca_certs=ca.pem", f"nothing follows a ? here; {CODES}"),
        ("redis://h/0?", f"nothing follows a ? here; {CODES}"),
        (
            "rediss://h/0?ssl_ca_cert=ca.pem",
            f'only {", ".join(TLS)} may follow the ?; did you mean "ssl_ca_certs"?; {CODES}',
        ),
        ("redis://h/0#a", f"what follows # is not read; {CODES}"),
        ("redis://secret@h", "a user without a password: write redis://:password@host for a password alone"),
        ("redis://h /0", "an address has no blanks and no control characters: write %20 for a blank"),
        ("redis://{{ h }}", "it is read once, so it has no templates; a secret or a variable may stand for it"),
        (
            "unix://run/redis.sock",
            "the path of the socket is absolute, after three slashes, as in unix:///run/redis/redis.sock?db=0",
        ),
        (
            "unix:///run/redis.sock?password=x",
            "a password stands before the path, as in unix://:password@/run/redis/redis.sock?db=0",
        ),
        (
            "unix:///run/redis.sock?db=main",
            "only the number of a database may follow the ?, as in unix:///run/redis/redis.sock?db=0",
        ),
    ],
)
def test_a_url_that_is_none_is_a_problem_where_it_stands(problems, url, problem):
    assert problems(f'backplane: "{url}"') == [f"4:12: backplane: {problem}"]
    assert problems(f'backplane: {{name: shop, url: "{url}"}}') == [f"4:30: backplane.url: {problem}"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("backplane: true", "4:12: backplane: must be text or a mapping, not true: put it in quotes"),
        ("backplane: ''", "4:12: backplane: must not be empty"),
        ("backplane: {name: shop}", '4:12: backplane: the key "url" is missing, for example url: redis://10.0.0.5/0'),
        (
            f"backplane: {{url: {URL}, name: 'my shop'}}",
            '4:44: backplane.name: "my shop" is no name of an app here: 1 to 64 letters, digits and any of . _ -',
        ),
        (
            f"backplane: {{url: {URL}, lost: wait}}",
            '4:44: backplane.lost: "wait" is not allowed here (allowed: alone, stop)',
        ),
        (
            "timers: [{name: t, every: 1s, broadcast: {value: 1}, on: all}]",
            '4:58: timers[0].on: "all" is not allowed here (allowed: one, every)',
        ),
    ],
)
def test_what_is_said_wrongly_is_a_problem_where_it_stands(problems, said, problem):
    assert problems(said) == [problem]


@pytest.mark.parametrize(("said", "on"), [("", None), (", on: one", RunsOn.ONE), (", on: every", RunsOn.EVERY)])
def test_a_job_says_on_which_nodes_it_runs(config, said, on):
    read = config(f"""
        timers: [{{name: t, every: 1s, broadcast: {{value: 1}}{said}}}]
        schedules: [{{name: s, cron: "@daily", broadcast: {{value: 1}}{said}}}]
    """)
    assert [job.timing.on for job in read.jobs] == [on, on]


# Passwords

PASSWORDS = [
    "redis://:hunter-2@h/x",
    "redis://app:hunter-2@h/x",
    "redis://hunter-2@h",
    "http://app:hunter-2@h",
    "app:hunter-2@h",
    "redis://app:hunter-2@h:port",
    "unix:///run/redis.sock?password=hunter-2",
    "redis://app:a/hunter-2@h",
]


@pytest.mark.parametrize("url", PASSWORDS)
@pytest.mark.parametrize(
    "said", ["backplane: '{}'", "backplane: {{url: '{}', lots: alone}}", "backplane: {{ulr: '{}'}}"]
)
def test_no_problem_shows_a_password_also_if_it_stands_in_the_file(whole_problems, url, said):
    for each in whole_problems(said.format(url)):
        assert "hunter" not in f"{each}{each.source}"
        assert len(each.source) == len(said.format(url))


@pytest.fixture
def whole_problems(app):
    """Read a file that is not sound, and return its problems with their lines."""

    def read(text):
        with pytest.raises(ConfigError) as caught:
            parse_config(f"endpoints: []\n{text}", file="routes.yaml", folder=app, actions=BUILT_IN)
        found = [each for each in caught.value.problems if each.line == 2]
        assert found
        return found

    return read


def test_a_password_is_hidden_in_whatever_is_said_later(config):
    read = config("backplane: redis://app:s%2Fcret!word@h/0")
    assert read.source.has_secrets
    assert read.source.masked("AUTH s/cret!word, s%2Fcret!word") == "AUTH ***, ***"
    assert "cret" not in repr(read.backplane)


def test_a_url_without_a_password_hides_nothing(config):
    assert not config("backplane: redis://redis/0").source.has_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://app:pw@h:6379/0", "redis://h:6379/0"),
        ("unix://:pw@/run/r.sock?db=1", "unix:///run/r.sock?db=1"),
        ("redis://h/0", "redis://h/0"),
        ("!secret redis", "!secret redis"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url, shown):
    assert shown_url(url) == shown


@given(st.text(st.characters(codec="ascii"), min_size=8).filter(lambda text: "password=" not in text))
def test_no_password_is_in_the_words_of_a_problem_or_in_the_shown_url(password):
    url = f"redis://app:{password}@10.0.0.5/0"
    said = ""
    with suppress(ValueError):
        said = shown_url(parse_url(url))
    if not said:
        with pytest.raises(ValueError, match=r".") as caught:
            parse_url(url)
        said = str(caught.value)
    assert password not in said
    assert password in {found for found, _ in secrets_of(url)}


# Beside it


def test_a_file_of_the_history_is_a_problem_since_redis_keeps_it(problems):
    assert problems(SHORT + "history: {file: h.db}") == [
        "5:11: history.file: Redis keeps the histories of all nodes (backplane, routes.yaml:4): leave file out"
    ]


def test_sessions_need_a_secret_that_all_nodes_know(problems, config):
    (problem,) = problems(SHORT + f"auth: {{keys: {{shop: {{key: {SECRET}, may: [publish]}}}}}}")
    assert problem.startswith("5:1: auth: each node would sign sessions with a secret of its own")
    assert "add secret: !secret NAME" in problem
    assert config(SHORT + f"auth: {{secret: {SECRET}}}").auth.secret == SECRET.encode()
    assert config(f"auth: {{keys: {{shop: {{key: {SECRET}, may: [publish]}}}}}}").auth.secret is None


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ("state: {file: s.db}", "5: state.file keeps one node's own state"),
        ("limits: {per_address: {connections: 5}}", "5: limits.per_address: each node counts its own clients alone"),
        ("limits: {per_user: {rate: 5}}", "5: limits.per_user: each node counts its own clients alone"),
        (
            "routes: [{path: /a, client: true, rate: 5/m}, {path: /b, client: true, rate: 5/m}]",
            "5: rate (and 1 more): each node counts its own requests alone",
        ),
        ("signals: [{path: /a, once: 5m}]", "5: once: without history, a repeat is known by the node"),
        (
            "feeds: [{name: f, url: wss://h, broadcast: {value: 1}}]",
            "5: each node receives all feeds, so what they broadcast arrives once for each node",
        ),
        (
            "timers: [{name: t, every: 1s, limit: 3, broadcast: {value: 1}}]",
            "5: limit is counted by each node since its own start",
        ),
        (
            "schedules: [{name: t, cron: '@daily', limit: 3, broadcast: {value: 1}}]",
            "5: limit is counted by each node since its own start",
        ),
    ],
)
def test_what_stays_each_nodes_own_is_a_note(config, said, note):
    (found,) = config(SHORT + said).notes
    assert found.startswith(f"routes.yaml:{note}")
    assert config(said).notes == ()


@pytest.mark.parametrize(
    "said",
    [
        "signals: [{path: /a, rebroadcast: path, history: 5, once: 5m}]",
        "signals: [{path: /a}]",
        "timers: [{name: t, every: 1s, limit: 3, on: every, broadcast: {value: 1}}]",
        "timers: [{name: t, every: 1s, on: one, broadcast: {value: 1}}]",
        "limits: {connections: 5}",
        "state: {limit: 1MiB}",
    ],
)
def test_what_is_shared_or_is_no_nodes_own_is_not_noted(config, said):
    assert config(SHORT + said).notes == ()


def test_a_job_on_one_node_without_a_backplane_is_a_note(config):
    (note,) = config("timers: [{name: t, every: 1s, on: one, broadcast: {value: 1}}]").notes
    assert note.startswith("routes.yaml:4: on: one needs a backplane")


@pytest.mark.parametrize("package", ["redis", "hiredis"])
def test_a_package_that_is_missing_is_a_note(config, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert config(SHORT).notes == (
        "routes.yaml:4: backplane needs a package that is not installed here: pip install 'signalpost[redis]'",
    )
    assert config("").notes == ()
