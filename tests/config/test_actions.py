"""Lists of actions in routes.yaml: what is a step, what may stand where, and what is told of mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN, routes_schema
from signalpost.config.actions import GRAMMAR, all_steps, split_key
from signalpost.config.model import StepConfig


def in_signal(step):
    return f"signals: [{{path: /, do: [{step}]}}]"


def in_route(step):
    return f"routes: [{{path: /, do: [{step}]}}]"


def test_every_action_of_the_schema_is_known_and_every_known_one_is_in_the_schema():
    beside = {"then", "else", "do"}
    assert set(routes_schema()["$defs"]["step"]["properties"]) - beside == {*BUILT_IN, *GRAMMAR}


def test_steps_are_read_with_those_inside_them(config):
    text = """
signals:
  - path: /
    do:
      - if: "{{ message }}"
        then: [{reply: {value: 1}}]
        else: [{stop: true}]
      - for: {each: x, in: [1]}
        do: [{log: "{{ x }}"}]
    connected: [{join: a}]
    disconnected: [{horn: {loud: true}}]
"""
    (signal,) = config(text).signals
    assert signal.do == (
        StepConfig(
            (), "if", "{{ message }}", (StepConfig((), "reply", {"value": 1}),), (StepConfig((), "stop", True),)
        ),
        StepConfig((), "for", {"each": "x", "in": [1]}, body=(StepConfig((), "log", "{{ x }}"),)),
    )
    assert signal.do[1].body[0].keys == ("signals", 0, "do", 1, "do", 0)
    assert [step.name for step in all_steps(signal.do)] == ["if", "reply", "stop", "for", "log"]
    assert signal.connected == (StepConfig((), "join", "a"),)
    assert signal.disconnected == (StepConfig((), "horn", {"loud": True}),)  # a plugin's, for all that is known here


def test_broadcast_on_a_job_is_short_for_a_list_of_it(config):
    read = config(
        "timers: [{name: a, every: 1s, broadcast: {value: 1}}, {name: b, every: 1s, do: [{broadcast: {value: 1}}]}]"
    )
    assert read.timers[0].do == read.timers[1].do


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("{}", "do[0]: a step is one action, as in broadcast: {value: hello}, not nothing"),
        ("{then: [{stop: true}]}", "do[0]: then stands beside if, which is missing here"),
        ("{do: [{stop: true}]}", "do[0]: do stands beside for, which is missing here"),
        ("{reply: {value: 1}, path: /x}", 'do[0]: a step is one action, not "reply" and "path": begin each'),
        ("reply", 'do[0]: must be a mapping, not the text "reply"'),
        ("{reply: hi}", 'do[0].reply: must be a mapping, not the text "hi": write {value: hi}'),
        ("{reply: {vale: 1}}", 'do[0].reply.vale: no key "vale" here; did you mean "value"?'),
        ("{log: x, else: [{stop: true}]}", 'do[0].else: else stands beside if, not beside "log"'),
        ('{if: "{{ message }}"}', "do[0].if: if needs a list of actions beside it: then: [ … ]"),
        ("{for: {each: x, in: [1]}}", "do[0].for: for needs a list of actions beside it: do: [ … ]"),
        ("{if: message, then: [{stop: true}]}", 'do[0].if: a condition is one expression, as in "{{ message == '),
        ('{for: {each: "a b", in: [1]}, do: [{stop: true}]}', 'do[0].for.each: "a b" is no name for templates'),
        ("{for: {each: x, in: abc}, do: [{stop: true}]}", "do[0].for.in: must be a list, or one expression that"),
        ("{for: {in: [1]}, do: [{stop: true}]}", 'do[0].for: the key "each" is missing'),
        ("{stop: false}", "do[0].stop: a step that does nothing: write stop: true, or leave it out"),
        ("{set: {}}", "do[0].set: must not be empty: give at least one key of state"),
        ("{set: {a..b: 1}}", 'do[0].set["a..b"]: "a..b" has an empty part'),
        ("{set: {_a: 1}}", 'do[0].set._a: keys of state that start with "_" belong to plugins'),
        ("{close: {code: 1005}}", "do[0].close.code: 1005 must not be sent (allowed: 1000 to 1014 but 1004 to 1006"),
        ("{log: {message: x, level: loud}}", 'do[0].log.level: "loud" is not allowed here (allowed: debug, info'),
        ("{broadcast: {value: 1, to: sender, path: /x}}", "do[0].broadcast.to: to stands alone, unless it is others"),
        ("{broadcast: {value: 1, path: /rooms/<room>}}", "do[0].broadcast.path: one path is meant, as in"),
        ("{kick: {path: /rooms/<room>}}", "do[0].kick.path: one path is meant, as in"),
        ("{broadcast: {value: 1, path: x}}", "do[0].broadcast.path: a path starts with"),
        ("{respond: {text: x}}", "do[0].respond: respond has no place in a signal: only a request has a response"),
    ],
)
def test_a_mistake_in_a_step_of_a_signal_is_told(problems, step, says):
    (found,) = problems(in_signal(step))
    assert says in found


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("{close: {}}", "do[0].close: close has no place in a route"),
        ("{join: a}", "do[0].join: join has no place in a route"),
        ("{leave: a}", "do[0].leave: leave has no place in a route"),
        (
            "{respond: {json: 1, text: a}}",
            "do[0].respond.text: one answer has one of json, text, html, redirect, and json",
        ),
        ("{respond: {status: 204, text: a}}", "do[0].respond.status: 204 has no body: leave text out, or the status"),
        ("{respond: {status: 100}}", "do[0].respond.status: must be at least 200, not 100"),
        ("{respond: {status: 200, redirect: /}}", "do[0].respond.status: a redirect has a status from 300 to 399"),
        ('{respond: {headers: {"a b": x}}}', 'do[0].respond.headers["a b"]: this is no name of a header'),
        ("{respond: {headers: {content-length: '5'}}}", "content-length: the server sets content-length itself"),
    ],
)
def test_a_mistake_in_a_step_of_a_route_is_told(problems, step, says):
    (found,) = problems(in_route(step))
    assert says in found


@pytest.mark.parametrize("name", ["reply: {value: 1}", "close: {}", "join: a", "leave: a", "respond: {}"])
def test_no_step_about_a_sender_or_a_request_stands_in_a_timer(problems, name):
    (found,) = problems(f"timers: [{{name: t, every: 1s, do: [{{{name}}}]}}]")
    assert f"do[0].{name.partition(':')[0]}: " in found
    assert "has no place in a timer or schedule" in found


def test_a_client_that_is_gone_is_not_answered_and_no_handler_is_called_for_it(problems):
    steps = "disconnected: [{reply: {value: 1}}, {call: shout}]"
    found = problems(f"signals: [{{path: /, {steps}}}]")
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "signals[0].disconnected[0].reply",
        "signals[0].disconnected[1].call",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("routes: [{path: /, handler: x, do: [{stop: true}]}]", "routes[0]: exactly one of file, static, view,"),
        ("signals: [{path: /, handler: x, do: [{stop: true}]}]", "signals[0].do: exactly one of handler and do"),
        ("signals: [{path: /, format: raw, do: [{stop: true}]}]", "signals[0].do: format: raw relays frames unread"),
        ("timers: [{name: t, every: 1s}]", "timers[0]: needs one of handler, broadcast and do"),
        ("signals: [{path: /, do: []}]", "signals[0].do: must not be empty"),
        ("signals: [{path: /, connected: {stop: true}}]", "signals[0].connected: must be a list, not a mapping"),
    ],
)
def test_do_stands_alone_and_is_a_list(problems, text, says):
    (found,) = problems(text)
    assert says in found


def test_mistakes_inside_other_steps_are_told_at_their_place(problems):
    (found,) = problems(in_signal("{if: true, then: [{for: {each: x, in: [1]}, do: [{respond: {}}]}]}"))
    assert "signals[0].do[0].then[0].do[0].respond: respond has no place" in found


PARTS = st.text("ab{}% .", max_size=8)
TEMPLATES = st.sampled_from(["{{ a.b }}", "{{ x['.'] }}", "{% if a.b %}", "{{ '}' }}"])


@given(st.lists(st.one_of(st.text("ab_-", min_size=1, max_size=4), TEMPLATES), min_size=1, max_size=4))
def test_a_key_is_split_at_its_dots_but_not_inside_of_templates(parts):
    assert split_key(".".join(parts)) == tuple(parts)


@given(PARTS)
def test_splitting_a_key_loses_nothing(key):
    assert ".".join(split_key(key)) == key
