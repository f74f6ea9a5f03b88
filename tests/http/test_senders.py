"""Requests that name a connected client by its session: what a route knows of it, and answers over its connection."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app, route_event, sent, serve

HEADER = "signalpost-session"
APP = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
undeclared: refuse
signals: [{path: "/rooms/<room>", rebroadcast: path, history: 5}]
routes:
  - path: /who
    method: [GET, POST]
    do: [{respond: {json: {id: "{{ client.id if client else none }}", path: "{{ client.path if client else none }}"}}}]
  - path: /later
    do: [{reply: {value: {done: "{{ data.n }}"}}}, {respond: {status: 202, json: {matched: "{{ matched }}"}}}]
  - path: /slow
    sender: required
    do: [{wait: 50ms}, {respond: {text: "{{ client.id }}"}}]
  - path: /steps
    do: [{set: {touched: true}}, {broadcast: {value: x, to: sender}}]
  - {path: /shout, broadcast: {value: "{{ data.n }}", to: others, path: "{{ client.path }}"}, sender: required}
  - {path: /required, sender: required, do: [{set: {ran: true}}, {respond: {text: "{{ client.path }}"}}]}
  - {path: /state, method: GET, do: [{respond: {json: "{{ state }}"}}]}
  - {path: /handler, handler: handler}
  - {path: /reply, handler: reply}
  - {path: /everyone, handler: everyone}
  - {path: /history, handler: history}
"""
PLUGIN = """
from signalpost import route

@route("handler")
async def handler(event):
    return {"id": None if event.client is None else event.client.id}

@route("reply")
async def reply(event):
    return {"matched": event.reply({"n": event.request.json}).matched}

@route("everyone")
async def everyone(event):
    return {"matched": event.broadcast("to all").matched}

@route("history")
async def history(event):
    return [kept.value for kept in event.history().values]
"""


@asynccontextmanager
async def line(app, path="/rooms/blue"):
    """Connect a client of signalpost.v1; return it with its welcome."""
    async with app.connect(path, subprotocols=["signalpost.v1"]) as client:
        yield client, (await client.receive_json())["welcome"]


async def value(client):
    return (await client.receive_json())["signal"]["value"]


@pytest.fixture
async def app():
    async with serve(APP, plugins={"p": PLUGIN}) as running:
        yield running


@pytest.fixture
async def http(app):
    async with httpx.AsyncClient(base_url=app.url("web")) as client:
        yield client


def by(welcome):
    return {HEADER: welcome["session"]}


class TestARequestThatNamesItsClient:
    async def test_it_is_known_to_templates_and_to_handlers(self, app, http):
        async with line(app) as (_, welcome):
            who = (await http.post("/who", headers=by(welcome))).json()
            assert who == {"id": welcome["clientId"], "path": "/rooms/blue"}
            assert (await http.get("/who", headers=by(welcome))).json() == who
            assert (await http.post("/handler", headers=by(welcome))).json() == {"id": welcome["clientId"]}

    async def test_a_step_and_a_handler_answer_over_its_connection_alone(self, app, http):
        async with line(app) as (asking, welcome), line(app) as (other, _):
            answer = await http.post("/later", json={"n": 7}, headers=by(welcome))
            assert (answer.status_code, answer.json()) == (202, {"matched": 1})
            assert await value(asking) == {"done": 7}
            assert (await http.post("/reply", json=8, headers=by(welcome))).json() == {"matched": 1}
            assert await value(asking) == {"n": 8}
            await asking.send("mark")
            assert await value(other) == "mark"

    async def test_others_leaves_it_out(self, app, http):
        async with line(app) as (asking, welcome), line(app) as (other, _):
            assert (await http.post("/shout", json={"n": "hi"}, headers=by(welcome))).status_code == 202
            assert await value(other) == "hi"
            await other.send("mark")
            assert await value(asking) == "mark"

    async def test_a_broadcast_without_a_target_still_goes_to_everyone(self, app, http):
        async with line(app) as (asking, welcome), line(app, "/rooms/red") as (other, _):
            assert (await http.post("/everyone", headers=by(welcome))).json() == {"matched": 2}
            assert [await value(asking), await value(other)] == ["to all", "to all"]

    async def test_its_path_is_meant_where_a_handler_names_none(self, app, http):
        async with line(app) as (client, welcome):
            await client.send("kept")
            assert await value(client) == "kept"
            assert (await http.post("/history", headers=by(welcome))).json() == ["kept"]

    async def test_it_is_answered_even_if_its_client_leaves_meanwhile(self, app, http):
        async with line(app) as (client, welcome):
            asked = asyncio.create_task(http.post("/slow", headers=by(welcome)))
            while not any("/slow" in each for each in app.server.under_way()):  # noqa: ASYNC110 - nothing signals that it has begun
                await asyncio.sleep(0)
            await client.close()
        assert (await asked).text == welcome["clientId"]

    async def test_it_may_be_an_event_stream(self, http):
        ask = {"accept": "text/event-stream"}
        async with http.stream("GET", "/rooms/blue?v=1", headers=ask) as stream:
            lines = stream.aiter_lines()
            events = (json.loads(text[6:]) async for text in lines if text.startswith("data: "))
            welcome = (await anext(events))["welcome"]
            assert (await http.post("/later", json={"n": 1}, headers=by(welcome))).json() == {"matched": 1}
            assert (await anext(events))["signal"]["value"] == {"done": 1}


class TestARequestThatNamesNone:
    @pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: "unknown"}])
    async def test_it_has_no_client(self, http, headers):
        assert (await http.post("/who", headers=headers)).json() == {"id": None, "path": None}
        assert (await http.post("/handler", headers=headers)).json() == {"id": None}

    @pytest.mark.parametrize("path", ["/later", "/reply", "/required", "/shout", "/steps"])
    async def test_what_is_for_the_sender_is_answered_with_409_in_plain_words(self, http, caplog, path):
        answer = await http.post(path, json={"n": 1})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (409, "not-connected")
        assert HEADER in error["detail"]
        assert not caplog.records

    async def test_a_route_that_requires_one_does_nothing_without(self, http):
        await http.post("/required")
        assert "ran" not in (await http.get("/state")).json()

    async def test_the_session_of_a_client_that_has_left_names_none(self, app, http):
        async with line(app) as (_, welcome):
            assert (await http.post("/required", headers=by(welcome))).text == "/rooms/blue"
        async with app.connect("/rooms/blue") as after:  # the server has seen the end by then
            await after.send("x")
            await after.receive()
        assert (await http.post("/required", headers=by(welcome))).status_code == 409

    async def test_the_client_that_comes_back_with_a_session_is_named_by_it(self, app, http):
        async with line(app) as (_, welcome):
            pass
        offered = ["signalpost.v1", f"signalpost.session.{welcome['session']}"]
        async with app.connect("/rooms/blue", subprotocols=offered) as again:
            assert (await again.receive_json())["welcome"]["session"] == welcome["session"]
            who = (await http.post("/who", headers=by(welcome))).json()
            assert who["id"] == again.id


def test_files_and_views_know_no_sender(tmp_path):
    (tmp_path / "page.html").write_text("x")
    text = APP.partition("undeclared")[0] + "routes: [{path: /, file: page.html, sender: required}]\n"
    with pytest.raises(ConfigError, match="only a handler, a broadcast and do know who sends"):
        load_app(text, tmp_path)


@pytest.mark.parametrize("step", ["{close: {}}", "{join: a}", "{leave: a}"])
def test_what_is_done_to_a_connection_is_no_step_of_a_route(tmp_path, step):
    with pytest.raises(ConfigError, match="there is no sender here"):
        load_app(APP.partition("routes:")[0] + f"routes: [{{path: /a, do: [{step}]}}]\n", tmp_path)


async def test_the_event_of_a_test_may_have_a_client():
    event = route_event({"n": 1}, client="/rooms/blue")
    assert event.client.path == "/rooms/blue"
    event.reply("done")
    assert sent(event)[0].to == "sender"
    assert route_event().client is None
