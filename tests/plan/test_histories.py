"""What a plan says of its histories: lists that send past them, paths that nothing is sent to, too many values."""

import textwrap

import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app

HEAD = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
REFUSED = "undeclared: refuse\n"
KEPT = "history: 10, rebroadcast: none, targets: []"
PLUGIN = """
from signalpost import signal

@signal("handled")
async def handled(event): ...
"""


@pytest.fixture
def notes(tmp_path):
    """Load a file, and return the notes about histories, without the file's name."""

    def load(text, **plugins):
        found = load_app(HEAD + textwrap.dedent(text), tmp_path, plugins or None).notes
        return [each.removeprefix(f"{tmp_path}/routes.yaml:") for each in found if "histor" in each]

    return load


@pytest.fixture
def problems(tmp_path):
    """Load a file that is not sound, and return each problem with its line and the word that it underlines."""

    def load(text):
        with pytest.raises(ConfigError) as failed:
            load_app(HEAD + textwrap.dedent(text), tmp_path)
        return [
            (each.line, each.source[each.column - 1 :][: each.width], str(each).removeprefix(f"{tmp_path}/"))
            for each in failed.value.problems
        ]

    return load


STAYS_EMPTY = "3: nothing is ever sent to /feed as a whole, so its history stays empty"


@pytest.mark.parametrize(
    ("signal", "rest"),
    [
        (KEPT, ""),
        ("history: 10, rebroadcast: sender, targets: [group, clientId, direct]", ""),
        (KEPT + ", connected: [{broadcast: {value: x}}]", ""),
        (KEPT + ", connected: [{broadcast: {value: x, path: /other}}]", ""),
        (KEPT + ", connected: [{reply: {value: x}}]", ""),
        ("history: 10, do: [{log: x}]", ""),
        ("history: 10, do: [{reply: {value: x}}]", ""),
        ("history: 10, do: [{broadcast: {value: x, to: sender}}]", ""),
        ("history: 10, do: [{broadcast: {value: x, group: g}}]", ""),
        ("history: 10, do: [{broadcast: {value: x, path: /other}}]", ""),
        ("history: 10, targets: [path], do: [{log: x}]", ""),
        (KEPT, "timers: [{name: tick, every: 1s, do: [{broadcast: {value: x, path: /other}}]}]"),
        (KEPT, "timers: [{name: tick, every: 1s, do: [{broadcast: {value: x}}]}]"),
    ],
)
def test_a_history_to_which_nothing_is_sent_is_noted(notes, signal, rest):
    assert notes(f"{REFUSED}signals: [{{path: /feed, {signal}}}]\n{rest}") == [STAYS_EMPTY]


@pytest.mark.parametrize(
    ("signal", "rest"),
    [
        ("history: 10, rebroadcast: path, targets: []", ""),
        ("history: 10, rebroadcast: none, targets: [path]", ""),
        ("history: 10, do: [{broadcast: {value: x, path: /feed}}]", ""),
        ("history: 10, do: [{broadcast: {value: x, path: /FEED}}]", ""),
        ('history: 10, do: [{broadcast: {value: x, path: "{{ path }}"}}]', ""),
        ('history: 10, do: [{if: "{{ message }}", then: [{broadcast: {value: x, path: /feed}}]}]', ""),
        (KEPT + ", connected: [{broadcast: {value: x, path: /feed}}]", ""),
        (KEPT + ', disconnected: [{broadcast: {value: x, path: "{{ path }}"}}]', ""),
        (KEPT, "timers: [{name: tick, every: 1s, do: [{broadcast: {value: x, path: /feed}}]}]"),
        (KEPT, 'timers: [{name: tick, every: 1s, do: [{broadcast: {value: x, path: "{{ state.path }}"}}]}]'),
    ],
)
def test_a_history_to_which_something_may_be_sent_is_not_noted(notes, signal, rest):
    assert notes(f"{REFUSED}signals: [{{path: /feed, {signal}}}]\n{rest}") == []


def test_clients_of_other_paths_may_send_there_too(notes):
    feed = f"{{path: /feed, {KEPT}}}"
    assert notes(f"signals: [{feed}]") == [], "clients of undeclared paths may"
    assert notes(f"{REFUSED}signals: [{feed}, {{path: /other, targets: [path]}}]") == []
    assert notes(f"{REFUSED}signals: [{feed}, {{path: /other, targets: [group]}}]") == [STAYS_EMPTY]
    assert notes(f"{REFUSED}signals: [{feed}, {{path: /other, targets: [path], do: [{{log: x}}]}}]") == [STAYS_EMPTY]


def test_a_pattern_is_met_by_its_paths_alone(notes):
    signals = "signals: [{path: /rooms/<number:int>, history: 10, rebroadcast: none, targets: []}]"
    jobs = "timers: [{{name: tick, every: 1s, do: [{{broadcast: {{value: x, path: {}}}}}]}}]"
    assert notes(f"{REFUSED}{signals}\n{jobs.format('/rooms/5')}") == []
    (note,) = notes(f"{REFUSED}{signals}\n{jobs.format('/rooms/five')}")
    assert "nothing is ever sent to /rooms/<number:int> as a whole" in note


def test_plugins_may_send_anything_so_nothing_is_noted_beside_their_handlers(notes):
    assert notes(f"{REFUSED}signals: [{{path: /feed, {KEPT}}}, {{path: /h, handler: handled}}]", p=PLUGIN) == []


def test_what_is_sent_to_a_group_of_the_path_is_in_no_history_either(notes):
    text = (
        f"{REFUSED}signals: [{{path: /feed, {KEPT}, connected: [{{broadcast: {{value: x, path: /feed, group: g}}}}]}}]"
    )
    assert notes(text) == [STAYS_EMPTY]


PAST = (
    "without path this goes where the client asks, or to everyone, and history keeps what is sent to a path "
    '(routes.yaml:3); add path: "{{ path }}"'
)


@pytest.mark.parametrize(
    "steps",
    [
        "- broadcast: {value: x}",
        "- broadcast: {value: x, to: everyone}",
        "- broadcast: {value: x, to: others}",
        "- log: x\n- broadcast: {value: x}\n- broadcast: {value: y}",
        '- if: "{{ message }}"\n  then:\n    - broadcast: {value: x}',
        '- if: "{{ message }}"\n  then: [{log: x}]\n  else:\n    - broadcast: {value: x}',
        '- for: {each: one, in: "{{ clients }}"}\n  do:\n    - broadcast: {value: x}',
    ],
)
def test_a_list_that_sends_past_its_history_is_told_at_the_first_step_that_does(problems, tmp_path, steps):
    text = "signals:\n  - path: /feed\n    history: 10\n    do:\n" + textwrap.indent(steps, "      ")
    ((line, word, told),) = problems(text)
    assert word == "broadcast"
    assert line == 5 + 1 + steps.splitlines().index(next(each for each in steps.splitlines() if "broadcast" in each)), (
        told
    )
    assert PAST.replace("routes.yaml:3", f"{tmp_path}/routes.yaml:4") in told


@pytest.mark.parametrize(
    "steps",
    [
        '[{broadcast: {value: x, path: "{{ path }}"}}]',
        '[{broadcast: {value: x}}, {broadcast: {value: x, path: "{{ path }}"}}]',
        "[{broadcast: {value: x, path: /other}}, {broadcast: {value: x}}]",
        "[{broadcast: {value: x, to: sender}}]",
        "[{broadcast: {value: x, group: g}}]",
        '[{broadcast: {value: x, client: "{{ message }}"}}]',
        "[{reply: {value: x}}]",
    ],
)
def test_a_list_that_names_a_path_or_sends_to_fewer_is_no_mistake(notes, steps):
    assert not [each for each in notes(f"signals: [{{path: /feed, history: 10, do: {steps}}}]") if "empty" not in each]


def test_a_list_without_history_may_send_to_everyone(notes):
    assert notes("signals: [{path: /feed, do: [{broadcast: {value: x}}]}]") == []


@pytest.mark.parametrize(
    ("keep", "limits", "noted"),
    [
        (10_000, "", True),
        (1_000, "", True),
        (999, "", False),
        (1_000, "limits: {message: 64KiB}", False),
        (1_025, "limits: {message: 64KiB}", True),
        (1_000, "history: {limit: 1000MiB}", False),
        (10_000, "history: {limit: 1000MiB}", True),
    ],
)
def test_many_large_values_that_the_memory_may_not_hold_are_noted(notes, keep, limits, noted):
    found = notes(f"signals: [{{path: /feed, rebroadcast: path, history: {keep}}}]\n{limits}")
    assert bool(found) is noted
    if keep == 10_000 and not limits:
        (note,) = found
        assert note.startswith("2: 10,000 values of up to 1MiB can be more than history.limit (64MiB): the oldest")


@pytest.mark.parametrize(
    ("info", "word", "problem"),
    [
        ("'{{ nme }}'", "nme", 'nothing here is named "nme"'),
        ("'{{ message }}'", "message", 'nothing here is named "message"'),
        ("'{{ data.name }}'", "data", 'nothing here is named "data"'),
        ("'{{ code }}'", "code", 'nothing here is named "code"'),
        ("{name: '{{ client.nme }}'}", "nme", "nme"),
        ("{list: ['{{ params.room | uper }}']}", "uper", "uper"),
        ("'{{ params.rom }}'", "rom", "rom"),
        ("'{{ x'", "{{ x", "unexpected end of template"),
    ],
)
def test_a_slip_in_what_others_see_is_shown_at_its_word(problems, info, word, problem):
    ((line, shown, told),) = problems(f"signals: [{{path: /rooms/<room>, presence: {{info: {info}}}}}]")
    assert (line, shown) == (2, word)
    assert problem in told
    assert "presence.info" in told


@pytest.mark.parametrize(
    "info",
    ["{{ path }}", "{{ params.room }}", "{{ client.id }}", "{{ request.query.name }}", "{{ state.x }}", "{{ now }}"],
)
def test_what_is_known_of_a_client_that_comes_may_be_in_what_others_see(tmp_path, info):
    plan = load_app(f"{HEAD}signals: [{{path: /rooms/<room>, presence: {{info: '{info}'}}}}]", tmp_path)
    assert plan.signals[0].info is not None


def test_names_of_history_and_presence_are_known_in_every_list(tmp_path):
    both = '[{log: \'{{ history("/feed", 5) }} {{ presence("/feed") }}\'}]'
    own = both.replace("presence(", "present }} {{ presence(")
    load_app(
        f"{HEAD}signals: [{{path: /feed, connected: {own}, disconnected: {own}, do: {own}}}]\n"
        f"timers: [{{name: t, every: 1s, do: {both}}}]\n"
        f"schedules: [{{name: s, cron: '@daily', timezone: UTC, do: {both}}}]",
        tmp_path,
    )
    with pytest.raises(ConfigError, match='nothing here is named "present"'):
        load_app(f"{HEAD}timers: [{{name: t, every: 1s, do: [{{log: '{{{{ present }}}}'}}]}}]", tmp_path)
