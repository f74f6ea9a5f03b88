"""Lists of actions of timers, and steps that call handlers."""

import logging


async def test_a_timer_does_its_list_and_knows_its_run_and_arguments(live):
    timers = """
timers:
  - name: tick
    every: 10ms
    limit: 2
    arguments: {city: London}
    do: [{broadcast: {value: ["{{ run }}", "{{ arguments.city }}", "{{ due.year > 2000 }}"], path: /}}]
"""
    async with live(timers.replace("10ms", "300ms")) as app, app.connect("/") as client:
        assert [await client.receive_json() for _ in range(2)] == [[1, "London", True], [2, "London", True]]


async def test_a_timer_whose_list_fails_is_logged_and_goes_on(live, caplog):
    timers = 'timers: [{name: t, every: 20ms, do: [{broadcast: {value: "{{ run }}"}}, {log: "{{ arguments.x }}"}]}]'
    async with live(timers) as app, app.connect("/") as client:
        first = int(await client.receive())
        assert int(await client.receive()) == first + 1
    assert any('timer "t"' in m and ": log: " in m for m in caplog.messages)


# Handlers

SHOUT = """
from signalpost import signal, route, timer

@signal("shout")
async def shout(event):
    event.broadcast(event.data.message.upper())

@route("double")
async def double(event):
    return {"twice": event.request.json["n"] * 2}

@timer("count")
async def count(event):
    event.broadcast(f"run {event.run}")
"""


async def test_handlers_are_called_with_the_event_of_their_kind_in_the_order_of_the_steps(ask, site):
    routes = """
routes: [{path: /double, do: [{call: double}, {broadcast: {value: doubled}}]}]
signals: [{path: /, do: [{reply: {value: before}}, {call: shout}, {reply: {value: after}}]}]
timers: [{name: t, every: 10ms, limit: 1, skip: 20, do: [{call: count}]}]
"""
    async with site(routes, plugins={"shout": SHOUT}) as app, app.connect("/") as client:
        await client.send("a")
        await client.send("b")
        said = [await client.receive() for _ in range(7)]
        assert [line for line in said if line != "run 1"] == ["before", "A", "after", "before", "B", "after"]
        answer = await ask(app, "/double", json={"n": 21})
        assert (answer.status_code, answer.json()) == (200, {"twice": 42})
        assert await client.receive() == "doubled"


async def test_what_a_called_handler_raises_is_logged_with_its_traceback_and_the_place_of_the_step(live, caplog):
    async with (
        live("signals: [{path: /, do: [{call: shout}, {reply: {value: no}}]}]", plugins={"shout": SHOUT}) as app,
        app.connect("/") as client,
    ):
        await client.send(5)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert ': call: handler "shout" of plugin shout (' in record.getMessage()
        assert record.exc_info[0] is AttributeError


async def test_a_route_may_let_a_called_handler_answer_with_an_error_of_its_own(ask, failures, site):
    plugin = """
from sanic.exceptions import Forbidden
from signalpost import route

@route("guard")
async def guard(event):
    raise Forbidden("no")
"""
    async with site("routes: [{path: /, do: [{call: guard}]}]", plugins={"guard": plugin}) as app:
        assert (await ask(app, "/")).status_code == 403
        assert failures() == []


async def test_coming_and_going_take_their_turn_with_messages_whose_handlers_wait(live):
    plugin = """
import asyncio
from signalpost import signal

@signal("slow")
async def slow(event):
    await asyncio.sleep(0)
    event.broadcast("slow", path="/watch")
"""
    signals = """
signals:
  - path: /
    connected: [{broadcast: {value: came, path: /watch}}]
    do: [{call: slow}]
    disconnected: [{broadcast: {value: went, path: /watch}}]
  - {path: /watch, rebroadcast: none}
"""
    async with live(signals, plugins={"slow": plugin}) as app, app.connect("/watch") as watch:
        async with app.connect("/") as client:
            await client.send(1)
            await client.send(2)
        assert [await watch.receive() for _ in range(4)] == ["came", "slow", "slow", "went"]
