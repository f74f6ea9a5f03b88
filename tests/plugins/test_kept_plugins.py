"""What plugins hold over saves: those that have not changed run on, and a changed one has a place of its own."""

import asyncio
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from signalpost.errors import ConfigError, PluginError
from signalpost.testing import serve

pytestmark = pytest.mark.anyio
SAVES = 50
PLUGINS = Path(__file__).parents[2] / "plugins"
DEPARTURES = Path(__file__).parents[1] / "fixtures" / "signalpost-departures" / "signalpost_departures"

TEXT = """
# save 0
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals:
  - {path: /, handler: use}
  - {path: /remind, do: [{remind: {text: tea, after: 0.2}}]}
"""

HTTP = """
import asyncio
from signalpost import hookimpl, signal

class Client:
    open = True

    async def aclose(self):
        self.open = False

    async def get(self):
        assert self.open, "Cannot send a request, as the client has been closed."
        return "got"

@hookimpl
async def startup(context):
    context.state["_http"] = Client()
    context.state["started"] = context.state.get("started", 0) + 1

@hookimpl
async def shutdown(context):
    await context.state["_http"].aclose()

@signal("use")
async def use(event):
    event.reply(await event.state["_http"].get())
"""

MODULE = """
import sqlite3, threading
from signalpost import hookimpl, signal

database = sqlite3.connect(":memory:")
database.execute("CREATE TABLE counts (n)")
REGISTERED = __import__("registry_of_metrics").register("messages")
imported = threading.get_ident()

@signal("count", path="/count")
async def count(event):
    assert threading.get_ident() == imported
    database.execute("INSERT INTO counts VALUES (1)")
    event.reply(database.execute("SELECT count(*) FROM counts").fetchone()[0])
"""

METRICS = """
names = set()

def register(name):
    if name in names:
        raise ValueError(f"Duplicated timeseries in CollectorRegistry: {name}")
    names.add(name)
    return name
"""


@pytest.fixture
def metrics(tmp_path_factory, monkeypatch):
    """A library that knows each name once for the whole process, as prometheus_client does."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "registry_of_metrics.py").write_text(METRICS)
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("registry_of_metrics", None)


@pytest.fixture
def departures(tmp_path):
    """The plugin of the fixture as drop-in files."""
    source = {file.stem: file.read_text() for file in DEPARTURES.glob("*.py")}
    plugin = source["plugin"].replace("from signalpost_departures.board", "from ._board")
    return {"_board": source["board"], "departures": plugin}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_plugins_that_have_not_changed_lose_nothing_over_fifty_saves(metrics, departures, tmp_path):
    settings = f"plugins: {{settings: {{departures: {{file: {tmp_path / 'boards.json'}}}}}}}\n"
    plugins = {"http": HTTP, "module": MODULE, "remind": (PLUGINS / "remind.py").read_text(), **departures}
    async with (
        serve(TEXT + settings, plugins=plugins) as app,
        app.connect("/") as client,
        app.connect("/count") as counter,
        app.connect("/remind") as reminded,
        app.connect("/departures/york") as board,
    ):
        await reminded.send("please")
        for save in range(1, SAVES + 1):
            await app.reload(TEXT.replace("save 0", f"save {save}") + settings)
            await client.send("?")
            assert await client.receive() == "got"
            await counter.send("?")
            assert await counter.receive_json() == save
            await board.send({"train": f"IC {save}", "due": "12:30", "platform": "3"})
            while (shown := (await board.receive_json())["departures"])[-1]["train"] != f"IC {save}":
                pass  # the board as a timer shows it from time to time
            assert len(shown) == save
        assert await reminded.receive() == "tea"
        assert app.server.node.state["started"] == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_plugin_that_changes_again_and_again_leaves_the_others_what_they_hold(metrics):
    changing = """
        from signalpost import hookimpl, signal

        @hookimpl
        def startup(context):
            context.own["version"] = {version}

        @hookimpl
        def shutdown(context):
            assert context.own["version"] == {version}
            context.state["down"] = context.state.get("down", 0) + 1

        @signal("version", path="/version")
        async def version(event):
            event.reply(event.context.own["version"])
    """
    async with (
        serve(
            TEXT.rpartition("  -")[0], plugins={"http": HTTP, "module": MODULE, "v": changing.format(version=0)}
        ) as app,
        app.connect("/") as client,
        app.connect("/count") as counter,
        app.connect("/version") as version,
    ):
        for save in range(1, SAVES + 1):
            await app.reload(plugins={"v": changing.format(version=save)})
            await client.send("?")
            assert await client.receive() == "got"
            await counter.send("?")
            assert await counter.receive_json() == save
            await version.send("?")
            assert await version.receive_json() == save
        assert app.server.node.state["down"] == SAVES


HELPED = """
from signalpost import signal
from ._shared import seen

@signal("{name}", path="/{name}")
async def handle(event):
    seen.append("{name}{mark}")
    event.reply(seen)
"""


async def test_a_helper_that_has_not_changed_is_shared_with_a_plugin_that_has():
    plugins = {"_shared": "seen = []\n", "a": HELPED.format(name="a", mark=""), "b": HELPED.format(name="b", mark="")}
    async with (
        serve(TEXT.partition("signals")[0], plugins=plugins) as app,
        app.connect("/a") as a,
        app.connect("/b") as b,
    ):
        await a.send("x")
        assert await a.receive_json() == ["a"]
        await app.reload(plugins={"a": HELPED.format(name="a", mark=" anew")})
        await b.send("x")
        assert await b.receive_json() == ["a", "b"]
        await a.send("x")
        assert await a.receive_json() == ["a", "b", "a anew"]
        await app.reload(plugins={"_shared": "seen = ['fresh']\n"})  # then both of them have changed
        await b.send("x")
        assert await b.receive_json() == ["fresh", "b"]
        await a.send("x")
        assert await a.receive_json() == ["fresh", "b", "a anew"]


LOGS = """
from signalpost import hookimpl

@hookimpl
def exclusive():
    return {exclusive}

@hookimpl
def startup(context):
    context.state["log"] = [*context.state.get("log", []), "{version} up"]
    {then}

@hookimpl
def shutdown(context):
    context.state["log"] = [*context.state.get("log", []), "{version} down"]
"""


async def test_a_plugin_that_asks_for_it_is_stopped_before_its_successor_starts():
    logs = LOGS.format(exclusive=True, version="VERSION", then="pass")
    async with serve(TEXT.partition("signals")[0], plugins={"p": logs.replace("VERSION", "old")}) as app:
        await app.reload(plugins={"p": logs.replace("VERSION", "new")})
        assert app.server.node.state["log"] == ["old up", "old down", "new up"]


async def test_a_plugin_whose_successor_cannot_start_is_started_again_and_messages_wait_meanwhile():
    plugins = {"p": LOGS.format(exclusive=True, version="old", then="pass"), "http": HTTP}
    async with serve(TEXT.rpartition("  -")[0], plugins=plugins) as app, app.connect("/") as client:
        with pytest.raises(PluginError, match="ZeroDivisionError"):
            await app.reload(plugins={"p": LOGS.format(exclusive=True, version="new", then="1 / 0")})
        assert app.server.node.state["log"] == ["old up", "old down", "new up", "new down", "old up"]
        await client.send("?")
        assert await client.receive() == "got"


async def test_a_plugin_with_other_settings_keeps_its_module_and_is_stopped_before_it_starts_again(metrics):
    settings = "\nplugins: {settings: {module: {a: 1}}}\n"
    source = MODULE + LOGS.format(exclusive=False, version="p", then="pass")
    text = TEXT.partition("signals")[0]
    async with serve(text, plugins={"module": source}) as app, app.connect("/count") as counter:
        await counter.send("?")
        assert await counter.receive_json() == 1
        await app.reload(text + settings)
        assert app.server.node.state["log"] == ["p up", "p down", "p up"]
        await counter.send("?")
        assert await counter.receive_json() == 2


async def test_imports_of_a_reload_run_in_the_thread_of_the_start_and_may_run_a_loop_of_their_own():
    source = """
        import asyncio, signal, threading
        asyncio.run(asyncio.sleep(0))
        signal.signal(signal.SIGUSR2, signal.getsignal(signal.SIGUSR2))
        THREAD = threading.get_ident()

        from signalpost import hookimpl

        @hookimpl
        def startup(context):
            context.state["thread"] = THREAD
    """
    async with serve(TEXT.partition("signals")[0], plugins={}) as app:
        await app.reload(plugins={"p": source})
        assert app.server.node.state["thread"] == threading.get_ident()
        assert asyncio.get_running_loop()


async def test_a_reload_that_is_refused_leaves_what_was_kept_to_the_plan_at_work(metrics):
    text = TEXT.rpartition("  -")[0]
    before = set(sys.modules)
    async with serve(text, plugins={"http": HTTP, "module": MODULE}) as app, app.connect("/count") as counter:
        for number in range(1, 4):
            with pytest.raises(ConfigError):
                await app.reload(plugins={"bad": "1 / 0\n"})
            await counter.send("?")
            assert await counter.receive_json() == number
        new = set(sys.modules) - before
        names = Counter(name.split(".")[3] for name in new if name.startswith("signalpost.plugins.folders.f"))
        assert len(names) == 1
