"""Lists of actions of timers, and steps that call handlers."""

import logging

import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app

ENDPOINTS = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"


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


ARGUED = """
from signalpost import timer

@timer("tell")
async def tell(event):
    event.broadcast(event.arguments)
"""


async def test_templates_in_the_arguments_of_a_job_are_rendered_for_each_run(live):
    timers = """
constants: {city: London}
timers:
  - name: told
    every: 50ms
    handler: tell
    arguments: {"{{ constants.city }}": "{{ run + 1 }}", deep: [{at: "no {{ state.x | default('x') }}"}], plain: "{x}"}
"""
    async with live(timers, plugins={"tell": ARGUED}) as app, app.connect("/") as client:
        first = (await client.receive_json())["London"]
        assert await client.receive_json() == {"London": first + 1, "deep": [{"at": "no x"}], "plain": "{x}"}


async def test_a_list_of_actions_has_the_arguments_rendered(live):
    timers = """
timers:
  - {name: t, every: 50ms, arguments: {n: "{{ run * 2 }}"}, do: [{broadcast: {value: "{{ arguments.n }}"}}]}
"""
    async with live(timers) as app, app.connect("/") as client:
        assert int(await client.receive()) % 2 == 0


async def test_arguments_whose_template_fails_are_told_of_at_their_place(live, failures):
    timers = 'timers: [{name: t, every: 20ms, handler: tell, arguments: {n: "{{ state.x }}"}}]\n'
    timers += 'signals: [{path: /, do: [{set: {x: "{{ message }}"}}]}]'
    async with live(timers, plugins={"tell": ARGUED}) as app, app.connect("/") as client:
        await client.send("there")
        assert await client.receive_json() == {"n": "there"}
    assert all("routes.yaml:" in told and "arguments: " in told for told in failures())


def test_a_mistake_in_the_arguments_of_a_job_is_found_by_check(tmp_path):
    timers = 'timers: [{name: t, every: 1s, handler: tell, arguments: {n: "{{ runn }}"}}]'
    with pytest.raises(ConfigError) as caught:
        load_app(ENDPOINTS + timers, tmp_path, plugins={"tell": ARGUED})
    (problem,) = caught.value.problems
    assert 'nothing here is named "runn"; did you mean "run"?' in problem.text
    assert problem.keys == "timers[0].arguments.n"


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
