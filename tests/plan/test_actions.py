"""Compiling lists of actions: what only the plan can know of them."""

import contextlib
import json
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.actions.names import GETTERS
from signalpost.actions.program import Program
from signalpost.config.actions import GRAMMAR
from signalpost.errors import ConfigError, StepFailedError
from signalpost.plan import load_plan
from signalpost.testing import load_app

ENDPOINTS = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""
KEYS = {
    *("value", "to", "path", "group", "client", "status", "json", "text", "html", "redirect", "headers", "code"),
    *("reason", "message", "level", "each", "in", "_a", "X-Y", *BUILT_IN, *GRAMMAR, "then", "else", "do"),
}
PLUGIN = """
from signalpost import route, signal, timer

@signal("shout", path="/shout")
async def shout(event): ...

@route("publish")
async def publish(event): ...

@timer("tick")
async def tick(event): ...
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Load an app; what is wrong with it is in the ConfigError."""
    monkeypatch.chdir(tmp_path)

    def load(text, plugins=None):
        plan = load_app(ENDPOINTS + textwrap.dedent(text), tmp_path, plugins)
        plan.registry.unload()
        return plan

    return load


@pytest.fixture
def problems(plan):
    """Load an app that has mistakes; return them."""

    def load(text, plugins=None):
        with pytest.raises(ConfigError) as caught:
            plan(text, plugins)
        return [str(problem).partition("routes.yaml:")[2] for problem in caught.value.problems]

    return load


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            'do: [{log: "{{ mesage }}"}]',
            'do[0].log: nothing here is named "mesage"; did you mean "message"? (known: client,',
        ),
        ('do: [{log: "{{ client.nme }}"}]', 'do[0].log: client has no "nme" (known: groups, id, path)'),
        ('do: [{log: "{{ request.qery }}"}]', 'do[0].log: request has no "qery"; did you mean "query"?'),
        ('do: [{log: "{{ message | uper }}"}]', 'do[0].log: no filter "uper"; did you mean "upper"?'),
        ('connected: [{log: "{{ message }}"}]', 'connected[0].log: nothing here is named "message"'),
        ('connected: [{log: "{{ code }}"}]', 'connected[0].log: nothing here is named "code"'),
        ('do: [{log: "{{ run }}"}]', 'do[0].log: nothing here is named "run"'),
        ('do: [{set: {"a.{{ nobody }}": 1}}]', 'nothing here is named "nobody"'),
        ("do: [{shuot: {}}]", 'do[0].shuot: no action named "shuot"'),
        ("do: [{call: shuot}]", 'do[0].call: no handler named "shuot"; did you mean "shout"?'),
        ("do: [{call: publish}]", 'do[0].call: handler "publish" is made by @route (plugin p, '),
        (
            'do: [{for: {each: message, in: [1]}, do: [{log: "{{ message }}"}]}]',
            'do[0].for.each: the name "message" means something else here already: choose another',
        ),
        (
            'do: [{for: {each: x, in: [1]}, do: [{stop: true}]}, {log: "{{ x }}"}]',
            'do[1].log: nothing here is named "x"',
        ),
    ],
)
def test_what_a_step_names_is_known_where_it_stands(problems, text, says):
    (found,) = problems(f"signals: [{{path: /, {text}}}]", {"p": PLUGIN})
    assert says in found


def test_headers_that_are_fixed_are_judged_at_once(problems):
    (found,) = problems('routes: [{path: /, do: [{respond: {headers: {X-A: "a\\r\\nb"}}}]}]')
    assert "do[0].respond: headers: X-A has characters that a header must not have" in found


def test_a_step_behind_a_stop_is_noted(plan):
    built = plan("signals: [{path: /, do: [{stop: true}, {log: x}]}]")
    assert [note.rpartition("/")[2] for note in built.notes] == ["routes.yaml:5: nothing is done after stop"]


def test_a_schema_that_bounds_messages_to_little_is_noted(plan):
    schema = "schema: {properties: {message: {items: {dependentRequired: {%s}}}}}"
    many = ", ".join(f"k{number}: [a]" for number in range(100))
    (note,) = plan(f"signals: [{{path: /, {schema % many}}}]").notes
    assert "routes.yaml:5: messages with more than" in note
    assert "are refused: they would take too long to check against this schema" in note
    assert plan(f"signals: [{{path: /, {schema % 'k: [a]'}}}]").notes == ()


def test_parallel_beside_a_list_in_which_nothing_waits_is_noted(plan):
    built = plan(
        "signals: [{path: /, parallel: 4, do: [{log: x}]}, {path: /b, parallel: 4, do: [{call: shout}]}]", {"p": PLUGIN}
    )
    assert [note.rpartition("/")[2] for note in built.notes] == [
        "routes.yaml:5: parallel does nothing here: no action of do waits"
    ]


def test_handlers_that_are_called_count_as_named_and_are_known_to_be_bound(plan):
    text = """
        routes: [{path: /a, do: [{call: publish}]}]
        signals: [{path: /b, do: [{if: "{{ message }}", then: [{call: shout}]}]}]
        timers: [{name: t, every: 1s, do: [{call: tick}]}]
    """
    built = plan(text, {"p": PLUGIN})
    assert built.bound_to("publish") == ("route /a",)
    assert built.bound_to("shout") == ("signal /b",)  # and no more to the path of its decorator
    assert built.bound_to("tick") == ("timer t",)


def test_a_handler_that_is_called_by_what_could_not_be_read_counts_as_named(problems):
    one = '\nfrom signalpost import signal\n@signal("one", path="/x")\nasync def one(event): ...\n'
    text = "signals: [{path: nowhere, do: [{if: true, then: [{call: one}]}]}]"
    (found,) = problems(text, {"a": one, "b": one.replace("one", "two")})
    assert "signals[0].path: a path starts with" in found


def test_a_list_waits_only_if_something_in_it_does(plan):
    text = """
        signals:
          - {path: /a, do: [{reply: {value: 1}}]}
          - {path: /b, do: [{if: "{{ message }}", then: [{call: shout}]}]}
          - {path: /c, do: [{reply: {value: 1}}], connected: [{pause: null}]}
    """
    pause = "\nfrom signalpost import action\n@action('pause')\nasync def pause(event, options): ...\n"
    built = plan(text, {"p": PLUGIN + pause})
    assert [rule.do.waits for rule in built.signals[:3]] == [False, True, True]
    assert built.signals[2].connected.waits


def test_two_programs_are_equal_if_the_file_says_the_same_wherever_it_stands(plan):
    one = plan('signals: [{path: /a, do: [{log: "{{ message }}"}]}]').signals[0].do
    same = plan('undeclared: refuse\nsignals: [{path: /b, do: [{log: "{{ message }}"}]}]').signals[0].do
    other = plan('signals: [{path: /a, do: [{log: "{{ path }}"}]}]').signals[0].do
    assert one == same
    assert one != other


def test_a_program_says_what_it_does_and_what_its_templates_use(plan):
    do = '[{log: "{{ path }}"}, {for: {each: x, in: "{{ message }}"}, do: [{reply: {value: "{{ x }}"}}]}]'
    program = plan(f"signals: [{{path: /, do: {do}}}]").signals[0].do
    assert str(program) == "log, for, reply"
    assert program.names == {"path", "message", "x"}
    assert isinstance(program, Program)


class Event:
    """As much of an event as a list needs that only broadcasts, without any server."""

    class data:  # noqa: N801 - stands for an attribute
        message = 3

    def broadcast(self, value, **target):
        return (value, target)


def test_a_trace_is_told_of_every_step_with_its_place_its_values_and_what_came_of_it(plan):
    text = """
        signals:
          - path: /
            do:
              - for: {each: n, in: [1, 5]}
                do:
                  - if: "{{ n > message }}"
                    then: [{log: "{{ n }} is more"}]
              - stop: true
    """
    program = plan(text).signals[0].do
    told = []
    program.run(Event(), trace=lambda *step: told.append((step[0], step[1].rpartition("/")[2], *step[2:])))
    assert told == [
        ("for", "routes.yaml:9:9", [1, 5], None),
        ("if", "routes.yaml:11:13", False, "else"),
        ("if", "routes.yaml:11:13", True, "then"),
        ("log", "routes.yaml:12:21", {"message": "5 is more", "level": "info"}, None),
        ("stop", "routes.yaml:13:9", True, None),
    ]


def test_a_failure_names_the_place_of_the_template(plan):
    program = plan('signals: [{path: /, do: [{log: "{{ message.x }}"}]}]').signals[0].do
    with pytest.raises(StepFailedError) as caught:
        program.run(Event())
    assert caught.value.where.endswith("routes.yaml:5:32")
    assert (caught.value.step, caught.value.cause) == ("log", None)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 6000)
    | st.sampled_from(["", "x", "/x", "{{ message }}", "{{ x", "a.b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(KEYS)), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    st.lists(st.dictionaries(st.sampled_from([*BUILT_IN, *GRAMMAR, "then", "else", "do", "horn"]), VALUES, max_size=3))
)
def test_whatever_a_list_is_it_is_compiled_or_its_mistakes_are_told(tmp_path_factory, steps):
    parts = {
        "routes": [{"path": "/", "do": steps}],
        "signals": [{"path": "/", "do": steps, "connected": steps, "disconnected": steps}],
        "timers": [{"name": "t", "every": "1s", "do": steps}],
    }
    folder = tmp_path_factory.getbasetemp()
    with contextlib.suppress(ConfigError):
        load_app(ENDPOINTS + "\n".join(f"{key}: {json.dumps(part)}" for key, part in parts.items()), folder)


def test_what_is_known_everywhere_is_known_in_each_place():
    everywhere = {"now", "clients", "state", "matched"}
    assert all(everywhere <= set(getters) for getters in GETTERS.values())


def test_the_guide_names_all_names_of_all_places():
    from importlib.resources import files

    guide = files("signalpost.config").joinpath("actions.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1] for line in guide.splitlines() if line.startswith("| `")}
    assert {name for getters in GETTERS.values() for name in getters} | {"settings"} <= rows


def test_a_list_that_is_only_moved_is_loaded_again_as_the_same(plan, tmp_path):
    before = plan("signals: [{path: /, do: [{log: x}]}]")
    (tmp_path / "routes.yaml").write_text("\n\n" + (tmp_path / "routes.yaml").read_text())
    after = load_plan(tmp_path / "routes.yaml")
    after.registry.unload()
    assert before.config.signals[0].do == after.config.signals[0].do
