"""What nobody gets of what a plugin returns is told once, with what may have been meant."""

import logging

import pytest

from signalpost.testing import serve

ENDPOINTS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: /act, do: [{roll: 6}]}]
"""

PLUGIN = """
from signalpost import action, hookimpl, signal, timer

@signal("shout", path="/shout")
async def shout(event):
    event.reply("heard")
    return str(event.data.message).upper()

@signal("early", path="/early")
async def early(event):
    return event.reply("a receipt is no answer")

@timer("tick", every="1h", on_start=True)
async def tick(event):
    return {"run": event.run}

@action("roll")
def roll(event, options):
    event.reply("rolled")
    return options

@hookimpl
def client_connected(client):
    return client.path != "/guarded"
"""


def told(caplog):
    records = [*caplog.get_records("setup"), *caplog.records]
    return [record.getMessage() for record in records if "nobody gets" in record.getMessage()]


@pytest.fixture
async def app(caplog):
    caplog.set_level(logging.WARNING)
    async with serve(ENDPOINTS, plugins={"chat": PLUGIN}) as app:
        yield app


async def test_a_value_that_a_signal_s_handler_returns_is_told_once_with_what_answers(app, caplog):
    async with app.connect("/shout") as client:
        for _ in range(3):
            await client.send("hello")
            assert await client.receive() == "heard"
    (line,) = [line for line in told(caplog) if "shout" in line]
    assert line.startswith(f'handler "shout" of plugin chat ({app.folder}/plugins/chat.py:4) returned a value (str) ')
    assert "what the handler of a signal returns is dropped: event.reply(…) answers the sender" in line


async def test_a_value_that_a_timer_s_handler_returns_is_told_with_what_sends_it(app, caplog):
    async with app.connect("/early") as client:
        await client.send("?")
        await client.receive()
    (line,) = [line for line in told(caplog) if "tick" in line]
    assert (
        "returned a value (dict) that nobody gets; what the handler of a timer returns is dropped: event.broadcast"
        in line
    )


async def test_a_value_that_an_action_returns_is_told(app, caplog):
    async with app.connect("/act") as client:
        await client.send("?")
        assert await client.receive() == "rolled"
    (line,) = [line for line in told(caplog) if "roll" in line]
    assert line.startswith('action "roll" of plugin chat')


async def test_a_value_that_a_hook_returns_is_told_with_what_refuses_a_client(app, caplog):
    async with app.connect("/guarded"):
        pass
    (line,) = [line for line in told(caplog) if "hook" in line]
    assert line.endswith("what the hook client_connected returns is dropped: client.close(…) refuses the client")


async def test_a_receipt_that_is_returned_is_nothing_to_tell(app, caplog):
    async with app.connect("/early") as client:
        await client.send("?")
        assert await client.receive() == "a receipt is no answer"
    assert not [line for line in told(caplog) if "early" in line]
