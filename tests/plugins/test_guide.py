"""plugins/README.md is complete and true: what it says of names and signatures is the code's, and its examples load."""

import inspect
import re
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path

import pluggy
import pytest

import signalpost
from signalpost.plugins import hookspecs
from signalpost.plugins.context import PluginContext
from signalpost.state.state import State
from signalpost.testing import load_app

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
EXAMPLES = {
    match["name"]: match["text"]
    for match in re.finditer(
        r"^```python\n(?P<text># plugins/(?P<name>\w+)\.py\n.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL
    )
}
HOOKS = sorted(
    name
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
    if pluggy.PluginManager(hookspecs.PROJECT).parse_hookspec_opts(hookspecs, name) is not None
)
HANDLER_DECORATORS = ["feed", "route", "schedule", "signal", "timer"]
DECORATORS = ["action", *HANDLER_DECORATORS]
EVENTS = {
    "SignalEvent": signalpost.SignalEvent,
    "ClientEvent": signalpost.ClientEvent,
    "RouteEvent": signalpost.RouteEvent,
    "TickEvent": signalpost.TickEvent,
    "FeedEvent": signalpost.FeedEvent,
    "PluginContext": PluginContext,
    "Broadcasting": signalpost.Receipt,
}


def heading_of(function):
    """Write a signature without types: ``signal(name, *, path=None, schema=None)``."""
    signature = inspect.signature(function)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return f"{function.__name__}{inspect.Signature(bare)}"


def section(heading):
    """Return the text below a third-level heading, up to the next heading."""
    found = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    assert found, f"plugins/README.md has no heading: ### {heading}"
    return found[1]


def rows(text):
    """Return the names that the first columns of a section's tables explain."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.fixture
def demo(app):
    """The plugins of this repository, loaded from copies."""
    for file in (ROOT / "plugins").glob("*.py"):
        (app.folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    return app.load()


@pytest.mark.parametrize("name", DECORATORS)
def test_every_decorator_has_its_signature_as_heading_its_arguments_and_an_example(name):
    decorator = getattr(signalpost, name)
    text = section(f"`{heading_of(decorator)}`")
    assert rows(text) == set(inspect.signature(decorator).parameters)
    assert re.search(rf"^@{name}\(", text, re.MULTILINE)
    assert "\nUsed by: " in text


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_its_signature_as_heading_its_arguments_and_an_example(name):
    hook = getattr(hookspecs, name)
    text = section(f"`{heading_of(hook)}`")
    assert rows(text) >= set(inspect.signature(hook).parameters)
    assert re.search(rf"^@hookimpl\ndef {name}\(", text, re.MULTILINE)
    assert "\nUsed by: " in text


def test_no_hook_or_decorator_is_explained_that_does_not_exist():
    explained = re.findall(r"^### `(\w+)\(", GUIDE, re.MULTILINE)
    assert sorted(explained) == sorted([*DECORATORS, *HOOKS])


def test_the_decorators_that_are_tested_here_are_all_there_are():
    from signalpost.handlers import HandlerKind

    assert sorted(kind.value for kind in HandlerKind) == HANDLER_DECORATORS


@pytest.mark.parametrize("heading", EVENTS)
def test_every_public_attribute_of_an_event_is_explained(heading):
    public = {name for name in dir(EVENTS[heading]) if not name.startswith("_")}
    explained = rows(section(heading))
    assert public <= explained
    if heading != "Broadcasting":
        assert explained <= public, "no attribute is explained that does not exist"


def test_what_the_state_has_beyond_a_mapping_is_explained():
    explained = rows(section("State"))
    own = {name for name in set(dir(State)) - set(dir(MutableMapping)) if not name.startswith("_")}
    assert own <= explained
    assert explained <= set(dir(State))


def test_the_means_of_broadcasting_are_the_code_s():
    from signalpost.events import Broadcast

    parameters = dict(inspect.signature(Broadcast.__call__).parameters)
    del parameters["self"]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters.values()]
    assert f"`broadcast{inspect.Signature(bare)}`" in section("Broadcasting")
    assert set(parameters) <= rows(section("Broadcasting"))


def test_what_is_said_of_clients_exists():
    explained = rows(section("Client"))
    assert explained == {
        "id",
        "path",
        "params",
        "user",
        "identity",
        "groups",
        "data",
        "join",
        "leave",
        "close",
        "visiting",
    }
    assert all(hasattr(signalpost.Client, name) for name in explained)


@pytest.mark.parametrize("owner", [signalpost.SignalEvent, signalpost.Client])
def test_the_code_that_close_has_by_itself_is_the_code_s(owner):
    code = inspect.signature(owner.close).parameters["code"].default
    assert f'`close(code={int(code)}, reason="")`' in section(owner.__name__)


def test_every_example_loads_beside_all_others(app):
    assert len(EXAMPLES) >= len(DECORATORS) + len(HOOKS)
    for name, text in EXAMPLES.items():
        (app.folder / f"{name}.py").write_text(text, encoding="utf-8")
    registry = app.load()
    assert registry.errors == ()
    assert registry.notes == ()
    assert [plugin.name for plugin in registry.plugins] == sorted(EXAMPLES)
    assert all(plugin.hooks or plugin.handlers or plugin.actions for plugin in registry.plugins)


def test_the_test_that_is_shown_passes_as_copied(tmp_path):
    shown = re.search(r"(?ms)^```python\n(# tests/test_shout\.py\n.*?)^```$", GUIDE)[1]
    for name, text in {"plugins/shout.py": EXAMPLES["shout"], "tests/test_shout.py": shown}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout


def test_what_is_said_of_jobs_and_of_the_test_kit_exists():
    from signalpost import testing
    from signalpost.jobs.runner import JobRunner

    assert all(hasattr(JobRunner, name) for name in ("run", "pause", "resume", "status", "names"))
    table = GUIDE[GUIDE.index("## Testing plugins") :]
    told = rows(table.replace("app.", "")) - {"app"}
    assert {
        "serve",
        "connect",
        "reload",
        "run_job",
        "advance",
        "signal_event",
        "route_event",
        "tick_event",
        "feed_event",
    } <= told
    assert all(hasattr(testing, name) or hasattr(testing.App, name) for name in told)


def test_every_python_block_is_such_an_example_or_that_test():
    assert len(re.findall(r"^```python$", GUIDE, re.MULTILINE)) == len(EXAMPLES) + 1


def test_what_is_shown_of_routes_yaml_is_right(app, tmp_path):
    """The YAML blocks, as one file beside the examples, whose names they use."""
    sections = re.findall(r"(?ms)^```yaml\n(.*?)^```$", GUIDE)
    assert len(sections) == 3
    demo = {file.stem: file.read_text(encoding="utf-8") for file in (ROOT / "plugins").glob("*.py")}
    tick = "from signalpost import timer\n\n@timer('tick', every=5)\nasync def tick(event): ...\n"
    endpoint = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
    bindings, rolling, loading = sections
    (tmp_path / "bindings").mkdir()
    plan = load_app(endpoint + bindings, tmp_path / "bindings", {"shout": EXAMPLES["shout"], "tick": tick})
    assert [str(rule.config.path) for rule in plan.signals] == ["/loud"]
    assert plan.jobs == ()
    plan.registry.unload()
    (tmp_path / "rolling").mkdir()
    plan = load_app(endpoint + rolling, tmp_path / "rolling", {"dice": EXAMPLES["dice"]})
    assert [str(rule.do) for rule in plan.signals] == ["roll"]
    plan.registry.unload()
    (tmp_path / "loading").mkdir()
    plan = load_app(endpoint + loading, tmp_path / "loading", demo)
    assert [plugin.name for plugin in plan.registry.plugins] == ["clock"]
    plan.registry.unload()


def test_the_plugins_of_this_repository_load(demo):
    assert demo.errors == ()
    assert {name: handler.plugin for name, handler in demo.handlers.items()} == {
        "clock": "clock",
        "time": "clock",
        "nightly": "nightly",
        "publish": "publish",
    }


def test_whoever_is_said_to_use_a_hook_or_decorator_does(demo):
    departures = ROOT / "tests" / "fixtures" / "signalpost-departures" / "signalpost_departures" / "plugin.py"
    for name in [*HOOKS, *DECORATORS]:
        thing = getattr(hookspecs if name in HOOKS else signalpost, name)
        users = re.search(r"\nUsed by: (.*)", section(f"`{heading_of(thing)}`"))[1]
        marked = rf"^@hookimpl\n(async )?def {name}\(" if name in HOOKS else rf"^@{name}\("
        for plugin in demo.plugins:
            uses = re.search(marked, inspect.getsource(plugin.module), re.MULTILINE) is not None
            assert uses is (f"[{plugin.name}.py]({plugin.name}.py)" in users), (name, plugin.name)
        uses = re.search(marked, departures.read_text(encoding="utf-8"), re.MULTILINE) is not None
        assert uses is ("signalpost-departures" in users), name
