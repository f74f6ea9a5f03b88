"""Notes about guarded signals that clients on other paths can speak to, and none about others."""

import pytest

from signalpost.testing import load_app

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
TWO = LIVE[:-2] + ", {name: admin, address: 127.0.0.1, port: 0, protocol: ws}]\n"
DOOR = '[{if: "{{ request.query.key is undefined }}", then: [{close: {reason: "no key"}}]}]'
GREETING = '[{reply: {value: "welcome"}}]'


def notes(tmp_path, text):
    """Give the notes of an app, each from its line on."""
    plan = load_app(text, tmp_path)
    try:
        return [note.partition("routes.yaml:")[2] for note in plan.notes]
    finally:
        plan.registry.unload()


def test_a_path_that_lets_only_some_in_is_noted_with_what_keeps_others_out(tmp_path):
    (note,) = notes(tmp_path, f"{LIVE}signals:\n  - {{path: /staff, connected: {DOOR}}}\n  - {{path: /x}}\n")
    assert note == (
        "3: connected decides who is let in on /staff, but clients on other paths (any path that no signal "
        "declares, /x) can send to its clients; from_elsewhere: false prevents that, "
        "from_elsewhere: true confirms it"
    )


@pytest.mark.parametrize("other", ["{path: /x}", "{path: /x, targets: [group]}", "{path: /x, format: raw}"])
def test_a_path_of_one_who_may_choose_no_target_is_noted_where_another_signal_reaches_it(tmp_path, other):
    text = f"{LIVE}undeclared: refuse\nsignals:\n  - {{path: /wall, targets: []}}\n  - {other}\n"
    (note,) = notes(tmp_path, text)
    assert note.startswith("4: targets lets nobody choose where a message goes on /wall")
    assert "(/x)" in note


@pytest.mark.parametrize(
    "signals",
    [
        "{path: /wall, targets: []}",
        "{path: /wall, targets: [], rebroadcast: path}, {path: /x, rebroadcast: path, targets: [direct]}",
        "{path: /wall, targets: [], from_elsewhere: true}, {path: /x}",
        "{path: /wall, targets: [], from_elsewhere: false}, {path: /x}",
        "{path: /wall, targets: [], rebroadcast: none}, {path: /x, rebroadcast: path, targets: [direct]}",
        f"{{path: /a, connected: {GREETING}}}, {{path: /b, schema: {{}}}}, {{path: /c, do: [{{reply: {{value: x}}}}]}}",
    ],
)
def test_nothing_is_noted_where_nobody_reaches_a_path_or_nothing_guards_it_or_it_says_what_is_meant(tmp_path, signals):
    assert notes(tmp_path, f"{LIVE}undeclared: refuse\nsignals: [{signals}]\n") == []


def test_a_path_target_of_another_endpoint_reaches_nobody_so_it_is_not_noted(tmp_path):
    wall = "{path: /wall, targets: [], endpoint: admin}"
    other = "{path: /x, rebroadcast: path, targets: [path], endpoint: live}"
    assert notes(tmp_path, f"{TWO}undeclared: refuse\nsignals: [{wall}, {other}]\n") == []
