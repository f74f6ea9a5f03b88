"""Broadcasts that are broader than ``broadest`` allows, found before the server starts, each at its place."""

import textwrap

import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app

HEAD = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nundeclared: refuse\n"
STRICT = "  - {path: /orders, rebroadcast: none, broadest: client}\n"


@pytest.fixture
def problems(tmp_path):
    """Load a file, and return each problem with its line and the word that it underlines."""

    def load(text, head=HEAD):
        try:
            load_app(head + textwrap.dedent(text), tmp_path)
        except ConfigError as failed:
            return [
                (each.line, each.source[each.column - 1 :][: each.width], each.text.replace(f"{tmp_path}/", ""))
                for each in failed.problems
            ]
        return []

    return load


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("{value: x}", "this goes to everyone"),
        ("{value: x, to: everyone}", "this goes to everyone"),
        ("{value: x, group: red}", "this goes to a group"),
        ("{value: x, path: /orders}", "this goes to a path"),
        ("{value: x, path: /ORDERS}", "this goes to a path"),
        ('{value: x, path: /orders, group: "{{ now }}"}', "this goes to a group"),
        ("{value: x, client: abc}", ""),
        ('{value: x, client: "{{ state.owner }}", path: /orders}', ""),
        ("{value: x, path: /free}", ""),
        ('{value: x, path: "/{{ state.where }}"}', ""),  # only a run shows it
    ],
)
def test_a_step_is_judged_by_the_signal_that_it_sends_to(problems, step, says):
    found = problems(f"signals:\n{STRICT}  - {{path: /free}}\ntimers:\n  - {{name: t, every: 1s, broadcast: {step}}}\n")
    assert [(line, word) for line, word, _ in found] == [(7, "broadcast")] * bool(says)
    assert all(
        text.startswith(f"{says}, and what reaches clients of /orders (routes.yaml:4) goes") for *_, text in found
    )


def test_a_template_that_no_path_of_the_app_could_allow_is_a_problem(problems):
    found = problems(
        'broadest: client\ntimers:\n  - {name: t, every: 1s, broadcast: {value: x, path: "/{{ state.where }}"}}\n'
    )
    assert [(line, word) for line, word, _ in found] == [(5, "broadcast")]


def test_a_signals_own_path_is_known(problems):
    text = """
        signals:
          - path: /rooms/<room>
            broadest: group
            do: [{broadcast: {value: x, path: "{{ path }}"}}]
            connected: [{broadcast: {value: x, path: "{{path}}", group: a}}]
    """
    assert [(line, word) for line, word, _ in problems(text)] == [(7, "broadcast")]


@pytest.mark.parametrize(
    ("signal", "allowed"),
    [
        ("broadest: path", "rebroadcast: path, group, sender or none"),
        ("broadest: path, rebroadcast: others", "rebroadcast: path, group, sender or none"),
        ("broadest: group, rebroadcast: path", "rebroadcast: group, sender or none"),
        ("broadest: client, rebroadcast: group", "rebroadcast: sender or none"),
    ],
)
def test_a_rebroadcast_is_judged_and_what_it_may_be_is_said(problems, signal, allowed):
    ((line, _, text),) = [
        each for each in problems(f"signals:\n  - {{path: /a, {signal}}}\n") if "history" not in each[2]
    ]
    assert (line, text.partition("; write ")[2]) == (4, allowed)


@pytest.mark.parametrize(
    "signal", ["broadest: path, rebroadcast: path", "broadest: group, rebroadcast: group", "broadest: client, do: []"]
)
def test_a_rebroadcast_within_the_level_is_none(problems, signal):
    text = f"signals:\n  - {{path: /a, {signal.replace('do: []', 'do: [{log: x}]')}}}\n"
    assert problems(text) == []


def test_a_rebroadcast_to_everyone_is_judged_by_other_signals_that_take_it(problems):
    chat = "  - {path: /chat}\n"
    assert problems(f"signals:\n{STRICT}{chat}") == []  # rebroadcast: none takes nothing from elsewhere
    open_to_others = STRICT.replace("none", "none, from_elsewhere: true")
    ((line, _, text),) = problems(f"signals:\n{open_to_others}{chat}")
    assert line == 5
    assert "clients of /orders (routes.yaml:4)" in text


def test_two_signals_on_one_path_are_the_only_problem(problems):
    ((line, word, text),) = problems(f"signals:\n{STRICT}{STRICT}")
    assert (line, word) == (5, "/orders")
    assert "is taken by" in text


def test_paths_without_a_signal_must_be_refused(problems):
    head = HEAD.replace("undeclared: refuse\n", "")
    ((line, word, text),) = problems("broadest: path\n", head)
    assert (line, word) == (2, "path")
    assert text.endswith("write undeclared: refuse")


def test_a_history_that_nothing_could_reach_is_a_problem(problems):
    found = problems("signals:\n  - {path: /a, history: 10, rebroadcast: none, targets: [], broadest: group}\n")
    assert [(line, word) for line, word, _ in found] == [(4, "history")]


def test_a_level_of_everyone_is_none(problems):
    assert problems("broadest: everyone\nsignals: [{path: /a, broadest: everyone}]\n") == []
