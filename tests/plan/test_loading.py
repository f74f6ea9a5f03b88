"""A file and its plugins are judged together: every problem of both, and none that only follows from another."""

import json
import sys
import textwrap

import httpx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import judge_config
from signalpost.config.model import PluginsConfig
from signalpost.errors import ConfigError
from signalpost.plan import Plan, build_plan, load_plan
from signalpost.plugins.discovery import load_plugins
from signalpost.testing import serve

ENDPOINTS = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""

PLUGIN = """\
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

ANOTHER_ON_ITS_PATH = """\
from signalpost import signal

@signal("other", path="/echo")
async def other(event): ...
"""


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """Load a file beside plugins, and return its problems; two endpoints stand before it unless it has its own."""
    monkeypatch.chdir(tmp_path)

    def load(text, folder="plugins", **plugins):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, source in ({"demo": PLUGIN} | plugins).items():
            (tmp_path / folder / f"{name}.py").write_text(source)
        text = textwrap.dedent(text)
        (tmp_path / "routes.yaml").write_text(text if text.startswith("endpoint") else ENDPOINTS + text)
        with pytest.raises(ConfigError) as caught:
            load_plan("routes.yaml")
        return [str(problem).removeprefix("routes.yaml:") for problem in caught.value.problems]

    return load


def test_a_typo_in_a_key_hides_neither_an_unknown_handler_nor_a_bad_cron_nor_a_broken_plugin(problems):
    found = problems(
        """\
        signals:
          - {path: /a, rebroadcst: path}
          - {path: /b, handler: ecko}
        schedules:
          - {name: s, cron: "61 * * * *", handler: nightly}
        """,
        broken="import nothing_like_this\n",
    )
    assert [text.split(": ")[:2] for text in found] == [
        ["5:16", "signals[0].rebroadcst"],
        ["6:25", "signals[1].handler"],
        ["8:21", "schedules[0].cron"],
        ["plugins/broken.py:1:1", "plugin broken"],
    ]


def test_what_keeps_a_part_out_of_the_configuration_hides_nothing_else_of_it(problems):
    found = problems(
        """\
        routes: [{path: x, handler: publsh}]
        signals: [{path: /a<b, handler: ecko}]
        timers: [{name: t, every: 0s, handler: tck}]
        schedules: [{cron: [0 0 * * *, 0 0 0 * *], handler: nigtly}]
        """
    )
    assert [text.split(": ")[1] for text in found] == [
        "routes[0].path",
        "routes[0].handler",
        "signals[0].path",
        "signals[0].handler",
        "timers[0].every",
        "timers[0].handler",
        "schedules[0]",
        "schedules[0].cron[1]",
        "schedules[0].handler",
    ]


def test_a_handler_named_where_something_else_is_wrong_still_replaces_its_binding(problems):
    (only,) = problems("signals: [{path: /a<b, handler: other}]", another=ANOTHER_ON_ITS_PATH)
    assert only.startswith("4:18: signals[0].path: ")


@pytest.mark.parametrize(
    "section",
    [
        "plugins: {folder: nowhere}",
        "plugins: {foldr: app}",
        "plugin: {folder: app}",
        "plugins: [app]",
        "plugins: {enable: 5}",
    ],
)
def test_no_handler_is_unknown_while_it_is_open_which_plugins_are_meant(problems, section):
    (only,) = problems(f"{section}\nhandlers: {{gone: off}}\nsignals: [{{path: /a, handler: in_there}}]")
    assert only.startswith("4:")
    assert " plugin" in only


def test_no_plugin_is_imported_while_it_is_open_which_are_meant(problems, tmp_path):
    (only,) = problems("plugins: {folder: nowhere}", demo="open('imported', 'w').close()")
    assert "nowhere" in only
    assert not (tmp_path / "imported").exists()


def test_settings_of_an_unknown_plugin_are_found_beside_other_mistakes(problems):
    found = problems("plugins: {settings: {dmo: {}}}\nlimits: {mesage: 1MiB}")
    assert [text.split(": ")[1] for text in found] == ["plugins.settings.dmo", "limits.mesage"]


@pytest.mark.parametrize(
    "endpoints",
    [
        "endpoints: [{name: web, address: 127.0.0.1, port: 99999, protocol: http}]",
        "endpoints: [{name: web, address: 127.0.0.1, port: 80, protocl: http}]",
        "endpoint: [{name: web, address: 127.0.0.1, port: 80, protocol: http}]",
    ],
)
def test_nothing_lacks_an_endpoint_that_could_not_be_read(problems, endpoints):
    (only,) = problems(f"{endpoints}\nroutes: [{{path: /, handler: publish}}]\nsignals: [{{path: /}}]")
    assert only.startswith("1:")


def test_two_jobs_of_one_name_are_one_problem(problems):
    broadcast = "broadcast: {value: x}"
    (only,) = problems(f"timers: [{{name: t, every: 1s, {broadcast}}}, {{name: t, every: 1s, {broadcast}}}]")
    assert 'the name "t" is taken by the job at routes.yaml:4' in only


def test_a_misspelt_handler_key_does_not_make_its_job_clash_with_the_handlers_own(problems):
    (only,) = problems("timers: [{name: tick, every: 1s, handlr: tick}]")
    assert 'did you mean "handler"' in only


@pytest.mark.parametrize("section", ["handler: {echo: off}", "signal: [{path: /echo, handler: echo}]"])
def test_bindings_do_not_clash_while_it_is_open_which_are_unbound_or_replaced(problems, section):
    (only,) = problems(section, another=ANOTHER_ON_ITS_PATH)
    assert only.startswith("4:1: ")


def test_a_value_with_a_problem_is_not_judged_again(problems):
    (only,) = problems("signals: [{path: /a, format: raw, handler: ecko}]")
    assert "format: raw" in only


def test_a_file_that_holds_no_mapping_has_one_problem_and_loads_no_plugin(problems, tmp_path):
    (only,) = problems("endpoints", demo="open('imported', 'w').close()")
    assert "mapping" in only
    assert not (tmp_path / "imported").exists()


def test_problems_leave_no_module_of_the_plugins_behind(problems):
    before = set(sys.modules)
    problems("limits: {mesage: 1MiB}")
    assert not [name for name in set(sys.modules) - before if name.startswith("signalpost.plugins.folders.f")]


SOUND = """\
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
plugins: {folder: plugins, disable: [], settings: {demo: {a: 1}}}
routes:
  - {path: /a, handler: publish, schema: {type: object}}
  - {path: /b, method: POST, broadcast: {value: 1}, endpoint: web}
undeclared: refuse
signals:
  - {path: /a, handler: echo, endpoint: [live]}
  - {path: /raw, format: raw, rebroadcast: path}
timers: [{name: t, every: 250ms, handler: tick}]
schedules: [{name: s, cron: ["0 0 * * *"], timezone: UTC, handler: nightly}]
handlers: {other: 'off'}
limits: {message: 4MiB, connections: 10}
"""

words = st.sampled_from(
    ["", "echo", "ecko", "publish", "tick", "t", "s", "demo", "plugins", "nowhere", "/a", "/a<", "/<x>", "61 * * * *",
     "0s", "5s", "live", "web", "raw", "path", "off", "UTC", "Mars", "99999", "\0", "\ud800", "${x}", "handler", "name"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words | st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def containers(node):
    """Yield every place of the tree that holds a value."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in pairs:
        yield node, key
        yield from containers(child)


@st.composite
def mutations(draw):
    """Draw the sound file with values replaced, keys renamed, and parts taken away."""
    tree = yaml.safe_load(SOUND)
    for _ in range(draw(st.integers(1, 4))):
        places = list(containers(tree))
        if not places:
            break
        parent, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "rename", "remove"])):
            case "replace":
                parent[key] = draw(values)
            case "rename" if isinstance(parent, dict):
                parent[draw(words) if draw(st.booleans()) else f"{key}x"] = parent.pop(key)
            case _:
                parent.pop(key)
    return json.dumps(tree)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "demo.py").write_text(PLUGIN)
    (folder / "plugins" / "another.py").write_text(ANOTHER_ON_ITS_PATH)
    return folder


@pytest.fixture(scope="module")
def registry(home):
    registry = load_plugins(PluginsConfig(home / "plugins"), ())
    yield registry
    registry.unload()


def build(text, folder, registry):
    """Build a plan on what can be read of a text; return it, or the problems, and those of the text alone."""
    config, gaps = judge_config(text, file="routes.yaml", folder=folder, actions=BUILT_IN)
    if config is None:
        return gaps.problems, gaps.problems
    try:
        return build_plan(config, registry, gaps), gaps.problems
    except ConfigError as error:
        return error.problems, gaps.problems


def test_the_file_that_is_mutated_is_sound(home, registry):
    assert isinstance(build(SOUND, home, registry)[0], Plan)


@pytest.mark.slow
@settings(max_examples=150)
@given(text=mutations())
def test_what_can_be_read_of_any_file_gives_a_plan_or_all_problems_by_place_each_once(home, registry, text):
    built, earlier = build(text, home, registry)
    if isinstance(built, Plan):
        assert not earlier
        return
    assert built
    assert set(earlier) <= set(built)
    assert len(set(built)) == len(built)
    places = [(each.line, each.column) for each in built if each.file == "routes.yaml"]
    assert places == sorted(places)


@pytest.mark.slow
@settings(max_examples=100)
@given(data=st.data())
def test_what_is_wrong_with_a_file_does_not_make_up_anything_about_its_sound_parts(home, registry, data):
    """One value of one section becomes one that is of no use anywhere: only that section is complained of."""
    tree = yaml.safe_load(SOUND)
    parent, key = data.draw(st.sampled_from(list(containers(tree))))
    parent[key] = data.draw(st.sampled_from([None, -1, True, [[]]]))
    built, _ = build(json.dumps(tree), home, registry)
    if not isinstance(built, Plan):
        sections = {problem.keys.partition(".")[0].partition("[")[0] for problem in built}
        assert len(sections) == 1, built


USES_WHAT_PLUGINS_ADD = """\
        signals:
          - path: /
            do:
              - ring: {times: 3}
              - reply: {value: "{{ chime(message) }}{{ message | loud }}{{ bells }}"}
"""


@pytest.mark.parametrize(
    "source",
    [
        "import nothing_like_this\n",
        "from signalpost import hookimpl\n\n@hookimpl\ndef template_globals():\n    return {'bells': 1 / 0}\n",
    ],
)
def test_what_is_missing_may_be_of_a_plugin_that_did_not_load_whole(problems, source):
    *missing, of_plugin = problems(USES_WHAT_PLUGINS_ADD, bell=source)
    assert of_plugin.startswith("plugins/bell.py:")
    assert len(missing) == 4
    assert all(text.endswith("; it may belong to plugin bell, which did not load") for text in missing)


def test_where_it_is_open_which_plugins_are_meant_nothing_that_they_may_add_is_missed(problems):
    (found,) = problems(USES_WHAT_PLUGINS_ADD + " " * 8 + "plugins: {folder: nowhere}\n")
    assert "plugins.folder: no folder" in found


LOUD = "from signalpost import hookimpl\n\n@hookimpl\ndef template_filters():\n    return {'loud': str.upper}\n"


def test_the_filters_of_views_are_those_of_the_plugins_too(problems, tmp_path):
    (tmp_path / "page.html").write_text("<p>\n{{ path | laud }}")
    view = "routes: [{path: /, view: page.html}]\n"
    assert problems(view, loud=LOUD) == [
        '4:26: routes[0].view: page.html:2: no filter "laud"; did you mean "loud"?',
    ]
    (found, _) = problems(view, loud="import nothing_like_this\n")
    assert found.endswith('no filter "laud"; it may belong to plugin loud, which did not load')
    (found,) = problems(view + "plugins: {folder: nowhere}\n")
    assert "plugins.folder" in found


async def test_a_view_uses_what_plugins_add_and_after_a_reload_what_they_add_then(tmp_path):
    (tmp_path / "page.html").write_text("{{ path | loud }}")
    view = ENDPOINTS + "routes: [{path: /a, view: page.html}]\n"
    async with (
        serve(view, folder=tmp_path, plugins={"loud": LOUD}) as app,
        httpx.AsyncClient(base_url=app.url("web")) as web,
    ):
        assert (await web.get("/a")).text == "/A"
        await app.reload(plugins={"loud": LOUD.replace("str.upper", "len")})
        assert (await web.get("/a")).text == "2"
