"""What a plan changes: only what is said counts, and what one way adds the other way removes."""

import textwrap
from dataclasses import fields
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.plan import Part, build_plan, diff, load_plan
from signalpost.plan.diff import Changes, alike, unchanged_jobs
from signalpost.plugins.registry import Registry

ENDPOINTS = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""
HANDLERS = """
from signalpost import route, schedule, signal, timer

@signal("echo", path="/echo")
async def echo(event): ...

@route("publish", path="/publish")
async def publish(event): ...

@timer("tick", every="5s")
async def tick(event): ...

@schedule("nightly", cron="0 0 * * *")
async def nightly(event): ...
"""


@pytest.fixture
def load(tmp_path):
    """Load a plan of what stands beside two endpoints, and of plugins and files by name."""
    plans = []

    def load(text="", *, files=None, **plugins):
        (tmp_path / "plugins").mkdir(exist_ok=True)
        for old in (tmp_path / "plugins").glob("*.py"):
            old.unlink()
        for name, source in plugins.items():
            (tmp_path / "plugins" / f"{name}.py").write_text(source)
        for name, content in (files or {}).items():
            (tmp_path / name).write_text(content)
        text = textwrap.dedent(text)
        (tmp_path / "routes.yaml").write_text(text if "endpoints:" in text else ENDPOINTS + text)
        plans.append(load_plan(tmp_path / "routes.yaml"))
        return plans[-1]

    yield load
    for plan in plans:
        plan.registry.unload()


ALL = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws, origins: ["https://a.example"], compression: true}
routes: [{path: /a, broadcast: {value: {n: 1.0}}}, {path: /page, view: page.html}]
signals: [{path: /, schema: {type: object}, slow: {policy: latest}}, {path: "/rooms/<room>", rebroadcast: path}]
timers: [{name: t, every: 1s, broadcast: {value: x}}]
schedules: [{name: s, cron: "0 0 * * *", timezone: Europe/London, broadcast: {value: x}}]
limits: {rate: 10/s}
plugins: {settings: {all: {greeting: hello}}}
"""


def test_the_same_file_read_twice_says_the_same_though_every_plugin_is_imported_anew(load):
    files = {"page.html": "hello"}
    old, new = load(ALL, files=files, all=HANDLERS), load(ALL, files=files, all=HANDLERS)
    assert old.registry.handlers["tick"].function is not new.registry.handlers["tick"].function
    assert diff(old, new) == Changes()
    assert not diff(old, new)
    assert str(diff(old, new)) == "nothing changed"
    assert unchanged_jobs(old, new) == {"t", "s", "tick", "nightly"}


def test_lines_that_move_change_nothing(load):
    old = load(ALL, files={"page.html": ""}, all=HANDLERS)
    new = load("# a comment\n\n" + ALL.replace("signals:", "\n\nsignals:"), files={}, all=HANDLERS)
    assert old.signals[0].owner != new.signals[0].owner
    assert not diff(old, new)


CHANGES = {
    "an endpoint's origins": ("a.example", "b.example", "~1 endpoint"),
    "an endpoint's compression": ("compression: true", "compression: {level: 1}", "~1 endpoint"),
    "an endpoint's name": ("name: live", "name: sockets", "+1 endpoint, -1 endpoint"),
    "an endpoint's protocol": ("protocol: ws", "protocol: wss, self_signed: true", "~1 endpoint"),
    "a route's value, by its type alone": ("n: 1.0", "n: 1", "~1 route"),
    "a route's method": ("{path: /a,", "{path: /a, method: PUT,", "~1 route"),
    "a route's path": ("{path: /a,", "{path: /b,", "+1 route, -1 route"),
    "a signal's schema": ("type: object", "type: object, required: [message]", "~1 signal"),
    "a signal's policy": ("policy: latest", "policy: drop_oldest", "~1 signal"),
    "a signal's spelling": ("/rooms/", "/ROOMS/", "~1 signal"),
    "a signal's parameter": ("<room>", "<name>", "~1 signal"),
    "a parameter's type": ("<room>", "<room:int>", "+1 signal, -1 signal"),
    "a timer's interval": ("every: 1s", "every: 2s", "~1 timer"),
    "a timer's name": ("name: t,", "name: u,", "+1 timer, -1 timer"),
    "a schedule's zone": ("Europe/London", "Europe/Paris", "~1 schedule"),
    "a schedule's expression": ("0 0 * * *", "0 1 * * *", "~1 schedule"),
    "a limit": ("10/s", "20/s", "~limits.rate"),
    "a plugin's setting": ("greeting: hello", "greeting: bye", "~1 plugin"),
    "what becomes of other paths": ("limits:", "undeclared: refuse\nlimits:", "~undeclared"),
}


@pytest.mark.parametrize(("before", "after", "line"), CHANGES.values(), ids=CHANGES.keys())
def test_each_change_is_counted_for_what_it_is(load, before, after, line):
    old = load(ALL, files={"page.html": ""}, all=HANDLERS)
    assert before in ALL
    new = load(ALL.replace(before, after), all=HANDLERS)
    assert str(diff(old, new)) == line


def test_a_value_that_python_takes_for_equal_is_another_one(load):
    text = "timers: [{name: t, every: 1s, broadcast: {value: {on: %s}}}]"
    old, new = load(text % "true"), load(text % "1")
    assert diff(old, new).timers == Part(changed=("t",))
    assert unchanged_jobs(old, new) == set()


def test_source_that_changes_is_the_plugins_change_and_its_timer_goes_on(load):
    old = load(all=HANDLERS)
    new = load(all=HANDLERS.replace("...", "pass"))
    assert diff(old, new) == Changes(plugins=Part(changed=("all",)))
    assert unchanged_jobs(old, new) == {"tick", "nightly"}


def test_a_helper_that_changes_changes_the_plugin_that_imports_it(load):
    source = "from ._words import WORD\n" + HANDLERS
    old, new = load(all=source, _words="WORD = 1"), load(all=source, _words="WORD = 2")
    assert str(diff(old, new)) == "~1 plugin"


def test_what_decorators_bind_is_compared_by_what_they_say(load):
    old = load(all=HANDLERS)
    changed = HANDLERS.replace('every="5s"', 'every="6s"').replace(
        'path="/echo"', 'path="/echo", schema={"type": "object"}'
    )
    changed = changed.replace('path="/publish"', 'path="/publish", methods=["PUT"]')
    found = diff(old, load(all=changed))
    assert (found.timers.changed, found.signals.changed, found.schedules) == (("tick",), ("/echo",), Part())
    assert found.routes.changed == ("PUT /publish",)
    assert str(diff(old, load())) == "-1 route, -1 signal, -1 timer, -1 schedule, -1 plugin"
    side_by_side = load(all=HANDLERS.replace('path="/echo"', 'path="/echo", parallel=2'))
    assert diff(old, side_by_side).signals.changed == ("/echo",)


def test_a_route_has_changed_when_a_template_that_its_view_extends_has(load):
    text = "routes: [{path: /, view: page.html}, {path: /other, view: other.html}]"
    files = {"page.html": '{% extends "base.html" %}', "base.html": "one", "other.html": ""}
    old, new = load(text, files=files), load(text, files={"base.html": "two"})
    assert diff(old, new) == Changes(routes=Part(changed=("GET /",)))


def test_a_schema_in_a_file_is_compared_by_what_it_says(load):
    text = "signals: [{path: /, schema: shape.json}]"
    old = load(text, files={"shape.json": '{"type": "object"}'})
    assert not diff(old, load(text, files={"shape.json": '{\n "type": "object"}'}))
    assert str(diff(old, load(text, files={"shape.json": '{"type": "string"}'}))) == "~1 signal"


def test_of_two_signals_on_one_path_the_one_at_the_same_endpoint_is_the_counterpart(load):
    endpoints = ENDPOINTS + "  - {name: more, address: 127.0.0.1, port: 0, protocol: ws}\n"
    one, two = "{path: /a, endpoint: live, rebroadcast: %s}", "{path: /a, endpoint: more}"
    old = load(endpoints + f"signals: [{one % 'path'}, {two}]")
    assert not diff(old, load(endpoints + f"signals: [{two}, {one % 'path'}]"))
    assert str(diff(old, load(endpoints + f"signals: [{two}, {one % 'none'}]"))) == "~1 signal"
    assert str(diff(old, load(endpoints + f"signals: [{two}]"))) == "-1 signal"


def test_the_line_counts_by_kind_and_names_the_keys_of_settings():
    changes = Changes(
        signals=Part(("/a",)), timers=Part((), ("t", "u"), ("v",)), settings=("limits.rate", "undeclared")
    )
    assert str(changes) == "+1 signal, ~2 timers, -1 timer, ~limits.rate, ~undeclared"


# Any two plans

_NAMES = st.sampled_from(["a", "b", "c"])
_ROUTES = st.lists(
    st.tuples(_NAMES, st.sampled_from(["GET", "POST", "PUT"]), st.sampled_from(["1", "1.0", "true", "[x]"])),
    max_size=4,
    unique_by=lambda route: route[:2],
)
_SIGNALS = st.lists(
    st.tuples(_NAMES, st.sampled_from(["everyone", "path", "none"])), max_size=3, unique_by=itemgetter(0)
)
_TIMERS = st.lists(st.tuples(_NAMES, st.integers(1, 2)), max_size=3, unique_by=itemgetter(0))
_LIMITS = st.sampled_from(["1/s", "2/s"])


@st.composite
def plans(draw):
    routes = (
        f"{{path: /{path}, method: {method}, broadcast: {{value: {value}}}}}" for path, method, value in draw(_ROUTES)
    )
    signals = (f"{{path: /{path}, rebroadcast: {who}}}" for path, who in draw(_SIGNALS))
    timers = (f"{{name: {name}, every: {every}s, broadcast: {{value: x}}}}" for name, every in draw(_TIMERS))
    text = ENDPOINTS + f"limits: {{rate: {draw(_LIMITS)}}}\n"
    for section, parts in {"routes": routes, "signals": signals, "timers": timers}.items():
        text += f"{section}: [{', '.join(parts)}]\n"
    return build_plan(parse_config(text, file="routes.yaml", folder=ROOT, actions=BUILT_IN), Registry())


ROOT = Path("/nowhere")


@given(plans())
def test_a_plan_changes_nothing_about_itself(plan):
    assert not diff(plan, plan)
    assert str(diff(plan, plan)) == "nothing changed"
    assert unchanged_jobs(plan, plan) == {job.name for job in plan.jobs}


@pytest.mark.slow
@given(plans(), plans())
def test_what_is_added_one_way_is_removed_the_other_way(one, other):
    there, back = diff(one, other), diff(other, one)
    for kind in there.parts():
        forth, backwards = there.parts()[kind], back.parts()[kind]
        assert set(forth.added) == set(backwards.removed)
        assert set(forth.removed) == set(backwards.added)
        assert len(forth.changed) == len(backwards.changed)
    assert there.settings == back.settings
    assert bool(there) is bool(back)


@pytest.mark.slow
@given(plans(), plans())
def test_everything_is_added_changed_removed_or_as_it_was(one, other):
    for kind, of in {"route": "routes", "signal": "signals"}.items():
        part = diff(one, other).parts()[kind]
        assert len(getattr(one, of)) - len(part.removed) + len(part.added) == len(getattr(other, of))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=1), inner, max_size=3),
)


@given(_JSON, _JSON)
def test_values_are_alike_when_they_are_written_alike(one, other):
    assert alike(one, one)
    assert alike(one, other) is (written(one) == written(other))


def written(value):
    """Write a value so that the order of keys says nothing."""
    if isinstance(value, dict):
        return "{}" + str(sorted((key, written(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return str([written(inner) for inner in value])
    return repr(0.0 if isinstance(value, float) and value == 0 else value)


def test_every_kind_of_thing_has_its_part():
    assert [each.name for each in fields(Changes)][-1] == "settings"
    assert list(Changes().parts()) == [
        "endpoint",
        "route",
        "signal",
        "timer",
        "schedule",
        "feed",
        "plugin",
        "permission",
    ]
