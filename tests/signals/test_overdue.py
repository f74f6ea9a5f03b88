"""Handlers that take long are named, those of clients who have gone are ended, and what they held is free."""

import asyncio
import logging

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from signalpost import foreign
from signalpost.errors import PluginError
from signalpost.signals import overdue
from signalpost.testing import serve

pytestmark = pytest.mark.anyio

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
limits: {handlers: 5, drain: 100ms}
signals:
  - {path: /wait, handler: wait}
  - {path: /limited, handler: wait, timeout: 20ms}
  - {path: /echo, handler: echo}
  - {path: /steps, do: [{call: wait}], timeout: 20ms}
"""
PLUGIN = """
import asyncio
import time
from signalpost import action, route, signal, timer

@signal("wait")
async def wait(event):
    event.state["begun"] = event.state.get("begun", 0) + 1
    await asyncio.Event().wait()

@signal("bound", path="/bound", timeout="20ms")
async def bound(event):
    await asyncio.Event().wait()

@signal("echo")
async def echo(event):
    event.reply(event.data.message)

@signal("block", path="/block")
async def block(event):
    await asyncio.sleep(0)
    time.sleep(0.002)
    event.reply("done")

@action("blocks")
def blocks(event, options):
    time.sleep(0.002)
"""


async def until(true):
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.005)


async def test_handlers_of_clients_who_have_gone_are_ended_and_named_and_their_places_are_free(monkeypatch, caplog):
    monkeypatch.setattr(overdue, "LONGEST_ABSENCE", 0.05)
    async with serve(APP, plugins={"p": PLUGIN}) as app:
        state = app.server.node.state
        for number in range(1, 6):
            async with app.connect("/wait") as client:
                await client.send("x")
                await client.send("y")  # it waits, and is not handled any more
                await until(lambda number=number: state.get("begun", 0) >= number)
        async with app.connect("/echo") as client:
            await client.send("free")
            assert await client.receive() == "free"
        await until(lambda: app.server.inspect().under_way == 0)
        assert state["begun"] == 5
    (line, *_) = [record.getMessage() for record in caplog.records]
    assert line.startswith('handler "wait" of plugin p (')
    assert "p.py:" in line
    assert " on /wait for client " in line
    assert line.endswith("was cancelled: the client went 0.05 s ago")


@pytest.mark.parametrize("path", ["/limited", "/bound", "/steps"])
async def test_a_message_that_is_handled_for_longer_than_timeout_is_answered_and_the_next_one_is_handled(path, caplog):
    async with serve(APP, plugins={"p": PLUGIN}) as app, app.connect(path) as client:
        for _ in range(2):
            await client.send("x")
            assert (await client.receive_json())["error"]["code"] == "handler-failed"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert f"on {path} for client " in lines[0]
    assert lines[0].endswith("took longer than 0.02 s and was cancelled")


async def test_a_handler_that_hangs_is_named_once(monkeypatch, caplog):
    monkeypatch.setattr(overdue, "HUNG", 0.02)
    async with serve(APP, plugins={"p": PLUGIN}) as app, app.connect("/wait") as client:
        await client.send("x")
        await until(lambda: caplog.records)
        await asyncio.sleep(0.05)
        (line,) = [record.getMessage() for record in caplog.records]
        assert 'handler "wait" of plugin p (' in line
        assert "on /wait for client" in line
        assert "has been at work for" in line


async def test_code_that_blocks_the_loop_is_named_with_its_path(monkeypatch, caplog):
    monkeypatch.setattr(foreign, "LONGEST_TURN", 0.001)
    caplog.set_level(logging.WARNING)
    text = APP + "  - {path: /act, do: [{blocks: {}}, {reply: {value: done}}]}\n"
    async with serve(text, plugins={"p": PLUGIN}) as app:
        for path in ("/block", "/act"):
            async with app.connect(path) as client:
                await client.send("x")
                assert await client.receive() == "done"
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith('handler "block" of plugin p (') and "s on /block: nobody" in line for line in lines)
    assert any(line.startswith('action "blocks" of plugin p (') and "s on /act: nobody" in line for line in lines)


async def test_timeout_without_a_handler_is_a_problem():
    with pytest.raises(Exception, match="only handlers take time: name one, or leave this out"):
        async with serve(APP + "  - {path: /none, timeout: 5s}\n", plugins={"p": PLUGIN}):
            pass


OVERDUE = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
limits: {handshake: 50ms}
signals:
  - {path: /handler, handler: slow, timeout: 20ms}
  - {path: /stubborn, handler: stubborn, timeout: 20ms}
  - {path: /steps, do: [{wait-long: {}}], timeout: 20ms}
  - {path: /arriving, connected: [{wait-long: {}}]}
  - {path: /gate}
timers:
  - {name: tick, every: 1d, handler: tick, timeout: 20ms}
  - {name: stubborn tick, every: 1d, handler: stubborn tick, timeout: 20ms}
  - {name: steps, every: 1d, do: [{wait-long: {}}], timeout: 20ms}
"""
SLOW = """
import asyncio
from signalpost import action, hookimpl, signal, timer

async def wait():
    await asyncio.Event().wait()

@signal("slow")
async def slow(event):
    await wait()

@signal("stubborn")
async def stubborn(event):
    try:
        await wait()
    except asyncio.CancelledError:
        pass

@action("wait-long")
async def wait_long(event, options):
    await wait()

@timer("tick")
async def tick(event):
    await wait()

@timer("stubborn tick")
async def stubborn_tick(event):
    try:
        await wait()
    except asyncio.CancelledError:
        pass

@hookimpl
async def client_connected(client):
    if client.path == "/gate":
        await wait()
"""
LISTENING = """
from signalpost import hookimpl
SEEN = []

@hookimpl
def on_error(error, what, plugin, event, client):
    SEEN.append((type(error).__name__, str(error), what.partition(" (")[0]))
"""


async def heard(app):
    (module,) = (each.module for each in app.server.plan.registry.plugins if each.name == "listening")
    await until(lambda: module.SEEN)
    return module.SEEN


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/handler", 'handler "slow" of plugin slow'),
        ("/stubborn", 'handler "stubborn" of plugin slow'),
        ("/steps", 'action "wait-long" of plugin slow'),
    ],
)
async def test_on_error_is_told_of_a_handler_and_an_action_whose_time_was_over(path, what, caplog):
    async with serve(OVERDUE, plugins={"slow": SLOW, "listening": LISTENING}) as app, app.connect(path) as client:
        await client.send("x", ref=1)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        assert await heard(app) == [("TimeoutError", "took longer than 0.02 s", what)]
    assert "took longer than 0.02 s and was cancelled" in caplog.text


@pytest.mark.parametrize(
    ("job", "what"),
    [
        ("tick", 'handler "tick" of plugin slow'),
        ("stubborn tick", 'handler "stubborn tick" of plugin slow'),
        ("steps", 'action "wait-long" of plugin slow'),
    ],
)
async def test_on_error_is_told_of_a_job_whose_time_was_over(job, what):
    async with serve(OVERDUE, plugins={"slow": SLOW, "listening": LISTENING}) as app:
        await app.run_job(job)
        assert await heard(app) == [("TimeoutError", "took longer than 0.02 s", what)]


@pytest.mark.parametrize(
    ("path", "what"),
    [("/arriving", 'action "wait-long" of plugin slow'), ("/gate", "hook client_connected of plugin slow")],
)
async def test_on_error_is_told_of_who_kept_a_client_waiting_too_long(path, what, caplog):
    async with serve(OVERDUE, plugins={"slow": SLOW, "listening": LISTENING}) as app, app.connect(path) as client:
        with pytest.raises(ConnectionClosed):
            await client.receive()
        assert await heard(app) == [("TimeoutError", "took longer than limits.handshake (0.05 s)", what)]
    assert f"{what} (" in caplog.text or "connected (" in caplog.text


async def test_on_error_is_told_of_a_handler_that_was_cancelled_since_its_client_had_gone(monkeypatch):
    monkeypatch.setattr(overdue, "LONGEST_ABSENCE", 0.02)
    routes = OVERDUE.replace(", timeout: 20ms", "")
    async with serve(routes, plugins={"slow": SLOW, "listening": LISTENING}) as app:
        async with app.connect("/handler") as client:
            await client.send("x")
            await until(lambda: app.server.inspect().under_way)
        seen = [("TimeoutError", "was cancelled, since its client had gone", 'handler "slow" of plugin slow')]
        assert await heard(app) == seen


async def test_on_error_is_told_of_a_startup_whose_time_was_over():
    hanging = "import asyncio\nfrom signalpost import hookimpl\n@hookimpl\nasync def startup(context):\n    pass\n"
    routes = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nlimits: {startup: 50ms}\n"
    async with serve(routes, plugins={"hanging": hanging, "listening": LISTENING}) as app:
        with pytest.raises(PluginError, match="was not over after"):
            await app.reload(plugins={"hanging": hanging.replace("pass", "await asyncio.Event().wait()")})
        seen = [("TimeoutError", "took longer than limits.startup (0.05 s)", "hook startup of plugin hanging")]
        assert await heard(app) == seen


LATE = """
import asyncio
from signalpost import action, route

@route("hang", path="/hang", methods=["GET"])
async def hang(event):
    await asyncio.Event().wait()

@action("hang-on")
async def hang_on(event, options):
    await asyncio.Event().wait()
"""


@pytest.mark.parametrize(("path", "what"), [("/hang", 'handler "hang"'), ("/do", 'action "hang-on"')])
async def test_on_error_is_told_of_who_kept_a_request_waiting_too_long(path, what):
    routes = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
limits: {response: 100ms}
routes: [{path: /do, method: GET, do: [{hang-on: {}}]}]
"""
    async with serve(routes, plugins={"late": LATE, "listening": LISTENING}) as app:
        async with httpx.AsyncClient(base_url=app.url("web"), trust_env=False) as web:
            assert (await web.get(path)).status_code == 503
        assert await heard(app) == [("TimeoutError", "took longer than limits.response", f"{what} of plugin late")]


CANCELLABLE = """
import asyncio
import time
from signalpost import signal

@signal("raises", path="/raises", cancel_when_gone=True)
async def raises(event):
    await asyncio.sleep(0)
    raise SystemExit(2)

@signal("blocks", path="/blocks", cancel_when_gone=True)
async def blocks(event):
    await asyncio.sleep(0)
    time.sleep(0.002)
    event.reply("done")

@signal("cancels itself", path="/itself", cancel_when_gone=True)
async def itself(event):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)
"""


async def test_handlers_that_are_cancelled_with_their_client_run_under_the_guard_like_others(monkeypatch, caplog):
    monkeypatch.setattr(foreign, "LONGEST_TURN", 0.001)
    async with serve(OVERDUE, plugins={"cancellable": CANCELLABLE, "slow": SLOW, "listening": LISTENING}) as app:
        for path in ("/raises", "/itself"):
            async with app.connect(path) as client:
                for _ in range(2):
                    await client.send("x")
                    assert (await client.receive_json())["error"]["code"] == "handler-failed"
        async with app.connect("/blocks") as client:
            await client.send("x")
            assert await client.receive() == "done"
        assert [(name, what) for name, _, what in await heard(app)] == [
            *[("SystemExit", 'handler "raises" of plugin cancellable')] * 2,
            *[("CancelledError", 'handler "cancels itself" of plugin cancellable')] * 2,
        ]
    told = [text for text in map(logging.LogRecord.getMessage, caplog.records) if "blocked the loop" in text]
    (line,) = (text for text in told if text.startswith('handler "blocks" of plugin cancellable ('))  # any may be slow
    assert line.endswith("on /blocks: nobody else was served meanwhile")
