import asyncio
import logging

import pytest

from signalpost.delivery.hub import Hub
from signalpost.errors import PluginError
from signalpost.events import Shared
from signalpost.plugins import running
from signalpost.plugins.running import RunningPlugins
from signalpost.signals.broadcast import Broadcaster
from signalpost.state.state import State

HEAD = "import asyncio\nfrom signalpost import hookimpl\n"


class Connection:
    """A client as far as hooks about it are concerned: plugins hand it on, they are handed it as it is."""

    def __init__(self, name):
        self.id = name


@pytest.fixture
def run(app):
    """Start plugins that are written as {file: text}; return them and what they wrote down in ``state["_log"]``."""

    def start(settings=None, **sources):
        for name, source in sources.items():
            (app.folder / f"{name}.py").write_text(HEAD + source)
        registry = app.load()
        assert registry.errors == ()
        log = []
        shared = Shared(asyncio.Lock(), State())
        shared.state["_log"] = log
        hub = Hub(asyncio.get_running_loop().call_soon)
        broadcast = Broadcaster(hub, hub.deliver)
        broadcast.canonical_path = str
        return RunningPlugins(registry, settings or {}, shared, broadcast), log

    return start


async def test_startup_gets_each_plugin_its_own_settings_and_one_state_for_all(run):
    source = (
        "@hookimpl\ndef startup(context):\n    context.state['_log'].append((context.plugin, dict(context.settings)))\n"
    )
    plugins, log = run({"a": {"x": 1}}, a=source, b=source)
    await plugins.start()
    assert log == [("a", {"x": 1}), ("b", {})]


async def test_startup_and_shutdown_may_be_async_and_shutdown_runs_in_reverse(run):
    source = (
        "@hookimpl\nasync def startup(context):\n    context.state['_log'].append('+{0}')\n    await asyncio.sleep(0)\n"
        "@hookimpl\nasync def shutdown(context):\n    await asyncio.sleep(0)\n"
        "    context.state['_log'].append('-{0}')\n"
    )
    plugins, log = run(a=source.format("a"), b=source.format("b"))
    await plugins.start()
    await plugins.stop()
    assert log == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("how", ["", "async "])
async def test_a_startup_that_raises_ends_the_start_with_plugin_and_file(run, how):
    bad = "@hookimpl\n{0}def startup(context):\n    raise RuntimeError('no')\n"
    good = "@hookimpl\ndef startup(context):\n    context.state['_log'].append('good')\n"
    plugins, log = run(a=good, b=bad.format(how), c=good)
    with pytest.raises(PluginError, match=r"^plugin b \(.*b\.py:\d+\): its startup failed: RuntimeError: no$"):
        await plugins.start()
    assert log == ["good"]


async def test_a_shutdown_that_raises_is_logged_with_plugin_hook_and_file_and_stops_nobody_else(run, caplog):
    bad = "@hookimpl\n{0}def shutdown(context):\n    raise RuntimeError('no')\n"
    good = "@hookimpl\ndef shutdown(context):\n    context.state['_log'].append('good')\n"
    plugins, log = run(a=good, b=bad.format(""), c=bad.format("async "))
    await plugins.start()
    await plugins.stop()
    assert log == ["good"]
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(" (")[0] for message in messages] == [
        "plugin c: hook shutdown failed",
        "plugin b: hook shutdown failed",
    ]
    assert "b.py:3)" in messages[1]


async def test_a_startup_that_hangs_is_told_of_and_ended_when_its_time_is_over(run, caplog, monkeypatch):
    monkeypatch.setattr(running, "NOTICE", 0.0)
    source = """
@hookimpl
async def startup(context):
    try:
        await asyncio.Event().wait()
    finally:
        context.state["_log"].append("cancelled")

@hookimpl
def shutdown(context):
    context.state["_log"].append("shut down")
"""
    plugins, log = run(a=source)
    with pytest.raises(PluginError, match=r"a\.py:\d+\): its startup was not over after 0\.01 s \(limits\.startup\)"):
        await plugins.start(0.01)
    await plugins.stop()
    assert log == ["cancelled", "shut down"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("plugin a: its startup (")
    assert "it is waited for, 0.01 s at most (limits.startup)" in line


async def test_a_startup_that_ignores_its_cancellation_is_left_behind(run, monkeypatch):
    monkeypatch.setattr(running, "_CANCEL_GRACE", 0.01)
    source = """
@hookimpl
async def startup(context):
    while not context.state["_log"]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
"""
    plugins, log = run(a=source)
    with pytest.raises(PluginError, match=r"its startup was not over after 0\.01 s"):
        await plugins.start(0.01)
    log.append("over")
    (left,) = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "run"]
    left.cancel()
    await asyncio.wait([left])


async def test_a_context_can_broadcast(run):
    source = "@hookimpl\ndef startup(context):\n    context.state['_log'].append(context.broadcast('x').matched)\n"
    plugins, log = run(a=source)
    await plugins.start()
    assert log == [0]


async def test_tasks_are_kept_and_cancelled_after_shutdown(run):
    source = """
async def forever(log):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise

@hookimpl
async def startup(context):
    context.create_task(forever(context.state["_log"]))
    await asyncio.sleep(0)

@hookimpl
def shutdown(context):
    context.state["_log"].append("shutdown")
"""
    plugins, log = run(a=source)
    await plugins.start()
    await plugins.stop()
    assert log == ["shutdown", "cancelled"]


async def test_a_task_that_fails_is_logged_with_the_plugin_s_name(run, caplog):
    source = """
async def fail():
    raise RuntimeError("no")

@hookimpl
async def startup(context):
    await asyncio.wait([context.create_task(fail(), name="feed")])
"""
    plugins, _ = run(a=source)
    await plugins.start()
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == ["plugin a: the task feed failed"]
    assert caplog.records[0].exc_info[0] is RuntimeError


async def test_a_task_that_does_not_end_is_given_up_and_named(run, caplog):
    source = """
async def stubborn(log):
    while "stop" not in log:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            log.append("no")

@hookimpl
async def startup(context):
    context.state["_task"] = context.create_task(stubborn(context.state["_log"]))
    await asyncio.sleep(0)
"""
    plugins, log = run(a=source)
    await plugins.start()
    await plugins.stop(patience=0)
    assert [record.getMessage() for record in caplog.records] == [
        "plugin a: the task stubborn does not end when it is cancelled"
    ]
    log.append("stop")
    task = plugins.contexts["a"].state["_task"]
    task.cancel()
    await asyncio.wait([task])


async def test_a_shutdown_that_takes_too_long_is_cancelled_and_logged(run, caplog):
    source = "@hookimpl\nasync def shutdown(context):\n    await asyncio.Event().wait()\n"
    plugins, _ = run(a=source)
    await plugins.start()
    await plugins.stop(patience=0)
    assert "plugin a: hook shutdown failed" in caplog.text


async def test_a_shutdown_that_ignores_that_it_is_cancelled_is_left_behind(run, caplog, monkeypatch):
    monkeypatch.setattr(running, "_CANCEL_GRACE", 0.001)
    source = """
@hookimpl
def startup(context):
    context.state["_end"], context.state["_over"] = asyncio.Event(), asyncio.Event()

@hookimpl
async def shutdown(context):
    while not context.state["_end"].is_set():
        try:
            await context.state["_end"].wait()
        except asyncio.CancelledError:
            context.state["_log"].append("ignored")
    context.state["_log"].append("over")
    context.state["_over"].set()
"""
    plugins, log = run(a=source, b="@hookimpl\ndef shutdown(context):\n    context.state['_log'].append('b')\n")
    await plugins.start()
    await plugins.stop(patience=0.001)
    assert log == ["b", "ignored"]
    assert "plugin a: hook shutdown failed" in caplog.text
    assert "TimeoutError: took longer than 0.001 s" in caplog.text
    plugins.contexts["a"].state["_end"].set()
    await plugins.contexts["a"].state["_over"].wait()


async def test_plain_hooks_about_a_client_have_run_when_the_call_returns(run):
    source = (
        "LOG = []\n@hookimpl\ndef client_connected(client):\n    LOG.append(('+', client.id))\n"
        "@hookimpl\ndef client_disconnected(client, code):\n    LOG.append(('-', client.id, code))\n"
    )
    plugins, _ = run(a=source)
    client = Connection("7")
    plugins.client_connected(client)
    plugins.client_disconnected(client, 1001)
    assert plugins.registry.plugins[0].module.LOG == [("+", "7"), ("-", "7", 1001)]


async def test_a_client_s_end_is_told_after_its_beginning_has_been_dealt_with(run):
    source = (
        "LOG = []\nGO = asyncio.Event()\n"
        "@hookimpl\nasync def client_connected(client):\n    await GO.wait()\n    LOG.append(('+', client.id))\n"
        "@hookimpl\ndef client_disconnected(client):\n    LOG.append(('-', client.id))\n"
    )
    plugins, _ = run(a=source)
    module = plugins.registry.plugins[0].module
    plugins.client_connected(Connection("1"))
    plugins.client_disconnected(Connection("1"), 1000)
    plugins.client_disconnected(Connection("2"), 1000)
    assert module.LOG == [("-", "2")]
    module.GO.set()
    await plugins.stop()
    assert module.LOG == [("-", "2"), ("+", "1"), ("-", "1")]


async def test_hooks_about_clients_that_raise_are_logged_and_stop_nobody_else(run, caplog):
    source = "@hookimpl\n{0}def client_connected(client):\n    raise RuntimeError\n"
    good = "LOG = []\n@hookimpl\ndef client_connected(client):\n    LOG.append(client.id)\n"
    plugins, _ = run(a=source.format(""), b=source.format("async "), c=good)
    plugins.client_connected(Connection("1"))
    await plugins.stop()
    assert plugins.registry.plugins[2].module.LOG == ["1"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "plugin a: hook client_connected failed" in caplog.text
    assert "plugin b: hook client_connected failed" in caplog.text


async def test_a_hook_about_a_client_that_does_not_end_is_cancelled_at_the_stop(run):
    source = (
        "@hookimpl\nasync def client_connected(client):\n    await asyncio.Event().wait()\n"
        "@hookimpl\nasync def client_disconnected(client):\n    await asyncio.Event().wait()\n"
    )
    plugins, _ = run(a=source)
    before = asyncio.all_tasks()
    plugins.client_connected(Connection("1"))
    plugins.client_disconnected(Connection("1"), 1000)
    assert len(asyncio.all_tasks() - before) == 2
    await plugins.stop(patience=0.01)
    assert asyncio.all_tasks() == before


async def test_call_asks_every_implementation_in_order(run):
    source = "@hookimpl\n{1}def client_connected(client):\n    client.append({0!r})\n"
    plugins, _ = run(a=source.format("a", ""), b=source.format("b", "async "))
    log = []
    await plugins.registry.call("client_connected", client=log)
    assert log == ["a", "b"]
