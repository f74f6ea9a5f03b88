"""The apps of the cookbook, each as it stands, on a real server with real clients."""

import contextlib
import re
import socket
from datetime import datetime

import httpx
import pytest
import yaml

from signalpost.config import COOKBOOK
from signalpost.testing import serve

MOST_LINES = 30
WITH_A_PLUGIN = "signin"
LINES_WITH_A_PLUGIN = 50


@pytest.fixture
def cook():
    """Serve an app of the cookbook; only its port is another."""
    return lambda name: serve((COOKBOOK / f"{name}.yaml").read_text(encoding="utf-8").replace("port: 8090", "port: 0"))


@pytest.mark.parametrize("app", sorted(COOKBOOK.glob("*")), ids=lambda app: app.name)
def test_an_app_is_short_and_only_yaml_unless_it_has_a_plugin(app):
    lines = app.read_text(encoding="utf-8").splitlines()
    assert app.suffix == ".yaml"
    assert lines[0].startswith("# ")
    if app.stem == WITH_A_PLUGIN:
        assert len(lines) <= LINES_WITH_A_PLUGIN
    else:
        assert len(lines) <= MOST_LINES
        assert "handler" not in str(yaml.safe_load(app.read_text(encoding="utf-8")))


def test_the_cookbook_has_fifteen_apps():
    assert len(list(COOKBOOK.glob("*.yaml"))) == 15


async def test_chat_has_rooms_and_nicknames(cook):
    async with cook("chat") as app, app.connect("/rooms/blue") as ada, app.connect("/rooms/red") as eve:
        assert await ada.receive() == f"guest {ada.id[:4]} came in"
        assert await eve.receive() == f"guest {eve.id[:4]} came in"
        await ada.send("/nick Ada")
        assert await ada.receive() == "You are Ada now"
        async with app.connect("/rooms/blue") as bob:
            assert await ada.receive() == await bob.receive() == f"guest {bob.id[:4]} came in"
            await bob.send("/nick Bob")
            assert await bob.receive() == "You are Bob now"
            await ada.send("hello")
            assert await ada.receive() == await bob.receive() == "Ada: hello"
        assert await ada.receive() == "Bob went out"
        await eve.send("alone?")
        assert await eve.receive() == f"guest {eve.id[:4]}: alone?"  # of the blue room she has read nothing
        assert list(app.server.node.shared.state["names"]) == [ada.id, eve.id]


async def test_the_bot_tells_the_date_and_passes_on_all_else(cook):
    async with cook("date") as app, app.connect("/messages") as ada, app.connect("/messages") as bob:
        before = datetime.now().astimezone()
        await ada.send("[DATE]")
        told = {await ada.receive(), await bob.receive()}
        assert len(told) == 1
        assert told <= {f"{moment:%A, %d %B %Y}" for moment in (before, datetime.now().astimezone())}
        await ada.send({"n": 1})
        assert await bob.receive_json() == {"n": 1}


async def test_the_poll_counts_a_client_once_and_lets_it_change_its_mind(cook):
    async with cook("poll") as app, app.connect("/poll") as ada:
        assert await ada.receive_json() == {}
        await ada.send("tea")
        assert await ada.receive_json() == {"tea": 1, "coffee": 0, "water": 0}
        async with app.connect("/poll") as bob:
            assert await bob.receive_json() == {"tea": 1, "coffee": 0, "water": 0}
            await bob.send("tea")
            assert await ada.receive_json() == await bob.receive_json() == {"tea": 2, "coffee": 0, "water": 0}
            await ada.send("water")
            assert await bob.receive_json() == {"tea": 1, "coffee": 0, "water": 1}
            await bob.send("beer")
            assert (await bob.receive_json())["error"]["code"] == "schema-mismatch"
        async with httpx.AsyncClient(base_url=app.url("web")) as client:
            assert (await client.get("/tally")).json() == {"tea": 1, "coffee": 0, "water": 1}
            assert (await client.get("/liked")).json() == ["tea", "water"]
            assert (await client.get("/liked", params={"by": "2"})).json() == []
            assert (await client.get("/liked", params={"by": "all"})).status_code == 422


async def test_the_ticker_sends_a_price_that_wanders_and_shows_the_last_to_those_who_come(cook):
    async with cook("ticker") as app, app.connect("/ticker") as ada:
        first, second = await ada.receive_json(), await ada.receive_json()
        assert {first["symbol"], second["symbol"]} == {"SGNL"}
        assert abs(first["price"] - second["price"]) <= 1
        assert re.fullmatch(r"\d\d:\d\d:\d\d", second["at"])
        async with app.connect("/ticker") as bob:
            assert (await bob.receive_json())["symbol"] == "SGNL"


async def test_the_relay_sends_on_what_the_other_server_sends_and_shows_the_last_to_those_who_come():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (COOKBOOK / "relay.yaml").read_text(encoding="utf-8").replace("8090", str(port))
    async with serve(text) as app, app.connect("/prices") as ada:
        assert list(await ada.receive_json()) == ["prices"]
        while not app.server.feeds.status("prices").messages:
            await app.run_job("elsewhere")
        read = await ada.receive_json()
        assert read["symbol"] in {"OIL", "TEA", "TIN"}
        assert abs(read["price"] - 100) <= 2
        async with app.connect("/prices") as bob:
            assert (await bob.receive_json())["prices"][read["symbol"]] > 90


async def test_what_is_posted_is_shouted_from_the_wall(cook):
    async with cook("shout") as app, httpx.AsyncClient(base_url=app.url("web")) as client:
        answer = await client.post("/shout", json={"text": "anybody"})
        assert (answer.status_code, answer.json()) == (404, {"heard": False})
        async with app.connect("/wall") as wall:
            answer = await client.post("/shout", data={"text": "hello there"})
            assert (answer.status_code, answer.json()) == (202, {"heard_by": 1})
            assert await wall.receive() == "HELLO THERE!"
            assert (await client.post("/shout", json={"text": ""})).status_code == 422


async def test_everyone_reads_who_is_here_and_who_comes_and_goes(cook):
    v1 = {"subprotocols": ["signalpost.v1"]}
    async with cook("presence") as app, app.connect("/here?name=Bob", **v1) as bob:
        me = (await bob.receive_json())["welcome"]["user"]
        assert (await bob.receive_json())["presence"]["users"] == {me: {"n": 1, "info": {"name": "Bob"}}}
        await bob.receive()  # that he came, as everybody reads it
        async with app.connect("/here?name=Ada", **v1) as ada:
            user = (await ada.receive_json())["welcome"]["user"]
            assert (await bob.receive_json())["presence"]["joined"] == {user: {"n": 1, "info": {"name": "Ada"}}}
            there = (await ada.receive_json())["presence"]["users"]
            assert [each["info"]["name"] for each in there.values()] == ["Bob", "Ada"]
        assert (await bob.receive_json())["presence"] == {
            "path": "/here", "version": 3, "count": 1, "joined": {}, "left": [user],
        }  # fmt: skip


async def test_the_feed_is_read_by_those_who_come_later_and_by_those_who_were_away(cook):
    async with cook("feed") as app, httpx.AsyncClient(base_url=app.url("web")) as client:

        async def post(title):
            answer = await client.post("/news", json={"title": title})
            assert answer.status_code == 202
            return answer.json()["read_by"]

        v1 = {"subprotocols": ["signalpost.v1"]}
        async with app.connect("/feed", **v1) as ada:
            assert "welcome" in await ada.receive_json()
            assert await post("first") == 1
            read = (await ada.receive_json())["signal"]
            assert read["value"]["title"] == "first"
            assert isinstance(read["value"]["at"], float)
        assert [await post(f"number {number}") for number in range(3)] == [0, 0, 0]
        async with app.connect(f"/feed?at={read['at']}", **v1) as ada:
            welcome = (await ada.receive_json())["welcome"]
            assert (welcome["recovered"], welcome["missed"]) == (True, 3)
            assert (await ada.receive_json())["signal"]["value"]["title"] == "number 0"
        async with app.connect("/feed") as bob:
            titles = [(await bob.receive_json())["title"] for _ in range(4)]
            assert titles == ["first", "number 0", "number 1", "number 2"]
        assert (await client.post("/news", json={"title": ""})).status_code == 422


async def test_a_cursor_is_seen_by_everyone_until_it_is_gone(cook):
    async with cook("cursors") as app, app.connect("/board") as ada:
        async with app.connect("/board") as bob:
            await bob.send({"x": 3, "y": 4.5})
            seen = await ada.receive_json()
            assert isinstance(seen.pop("at"), float)
            assert seen == {"of": bob.id, "x": 3, "y": 4.5}
            await bob.receive()
            await bob.send({"x": -1, "y": 0})
            assert (await bob.receive_json())["error"]["code"] == "schema-mismatch"
        assert await ada.receive_json() == {"of": bob.id, "gone": True}


@pytest.mark.slow
async def test_the_lobby_remembers_lines_and_who_loads_the_page_anew_has_not_left(cook):
    async with cook("lobby") as app, app.connect("/lobby/Ada") as ada:
        assert await ada.receive_json() == {"lines": []}
        assert await ada.receive_json() == {"came": "Ada"}
        async with app.connect("/lobby/Bob") as bob:
            assert await ada.receive_json() == {"came": "Bob"}
            await bob.send("hello")
            line = await ada.receive_json()
            assert (line["from"], line["text"]) == ("Bob", "hello")
        async with app.connect("/lobby/Bob") as bob:
            assert await bob.receive_json() == {"lines": [line]}
            await bob.send("back")
            assert (await ada.receive_json())["text"] == "back"
        assert await ada.receive_json() == {"left": "Bob"}


async def test_a_private_message_is_read_by_one_name_alone(cook):
    async with cook("private") as app, contextlib.AsyncExitStack() as stack:
        ada, bob, eve = [
            await stack.enter_async_context(app.connect(f"/users/{name}")) for name in ("ada", "Bob", "eve")
        ]
        await ada.send("psst", to="bob")
        assert await ada.receive_json() == {"sent": "psst", "to": "bob"}
        assert await bob.receive_json() == {"from": "ada", "text": "psst"}
        await eve.send("hm", to="nobody")
        assert await eve.receive_json() == {"error": "nobody is not here"}  # and nothing before it


async def test_the_notice_is_read_by_those_who_are_there_and_by_those_who_come_that_day(cook):
    async with cook("notice") as app, app.connect("/office") as ada:
        await app.server._jobs.run("notice")
        notice = await ada.receive()
        assert notice.partition(": ")[2] == "Stand-up in five minutes"
        async with app.connect("/office") as bob:
            assert await bob.receive() == notice


async def test_a_posted_figure_is_read_on_all_dashboards_and_the_last_ones_by_those_who_come(cook):
    async with (
        cook("dashboard") as app,
        app.connect("/dashboard") as ada,
        httpx.AsyncClient(base_url=app.url("web")) as client,
    ):
        assert list(await ada.receive_json()) == ["figures"]
        answer = await client.post("/figures", json={"name": "orders.today", "value": 12.5})
        assert (answer.status_code, answer.json()) == (202, {"read_by": 1})
        while (read := await ada.receive_json())["name"] == "load":  # the timer's
            assert isinstance(read["value"], int)
        assert read == {"name": "orders.today", "value": 12.5}
        async with app.connect("/dashboard") as bob:
            assert (await bob.receive_json())["figures"]["orders.today"] == 12.5
        assert (await client.post("/figures", json={"name": "x", "value": "many"})).status_code == 422


async def test_a_figure_may_stand_in_an_address(cook):
    async with (
        cook("dashboard") as app,
        app.connect("/dashboard") as ada,
        httpx.AsyncClient(base_url=app.url("web")) as client,
    ):
        await ada.receive_json()
        assert (await client.post("/figures/oil/81.5")).status_code == 204
        while (read := await ada.receive_json())["name"] == "load":  # the timer's
            pass
        assert read == {"name": "oil", "value": 81.5}
        assert (await client.post("/figures/oil/much")).status_code == 422


async def test_what_is_posted_takes_the_place_of_the_notice(cook):
    async with (
        cook("notice") as app,
        app.connect("/office") as ada,
        httpx.AsyncClient(base_url=app.url("web")) as client,
    ):
        answer = await client.post("/notice", json={"text": "Cake"})
        assert (answer.status_code, answer.json()) == (202, {"read_by": 1})
        notice = await ada.receive()
        assert notice.partition(": ")[2] == "Cake"
        await ada.send("not a notice")
        async with app.connect("/office") as bob:
            assert await bob.receive() == notice


async def test_a_figure_that_curl_sends_is_read_as_an_event_and_by_those_who_come_later(cook):
    async with cook("figures") as app, httpx.AsyncClient(base_url=app.url("web")) as client:
        answer = await client.post("/figures", content='{"message": {"name": "orders", "value": 12}}')
        assert (answer.status_code, list(answer.json()["ack"])) == (202, ["at"])
        assert (await client.post("/figures", json={"message": {"name": "orders"}})).status_code == 422
        async with client.stream("GET", "/figures", headers={"Accept": "text/event-stream"}) as events:
            assert events.headers["content-type"] == "text/event-stream"
            lines = (line async for line in events.aiter_lines() if '"orders"' in line)
            assert await anext(lines) == 'data: {"name":"orders","value":12}'
