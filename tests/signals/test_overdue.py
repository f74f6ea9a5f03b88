"""Handlers that take long are named, those of clients who have gone are ended, and what they held is free."""

import asyncio
import logging

import pytest

from signalpost import foreign
from signalpost.signals import overdue
from signalpost.testing import serve

pytestmark = pytest.mark.anyio

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
limits: {handlers: 5}
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
        state = app.server._state
        for number in range(1, 6):
            async with app.connect("/wait") as client:
                await client.send("x")
                await client.send("y")  # it waits, and is not handled any more
                await until(lambda number=number: state.get("begun", 0) >= number)
        async with app.connect("/echo") as client:
            await client.send("free")
            assert await client.receive() == "free"
        await until(lambda: app.server._signals.work.open == 0)
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
