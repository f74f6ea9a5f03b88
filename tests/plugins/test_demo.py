"""The plugins of this repository at work, over real sockets."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest

from signalpost.testing import serve

PLUGINS = {file.stem: file.read_text(encoding="utf-8") for file in (Path(__file__).parents[2] / "plugins").glob("*.py")}
ENDPOINTS = """
endpoints:
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
"""
# strftime gives text without directives back as it is: an answer that no clock changes.
FIXED = ENDPOINTS + "plugins: {settings: {clock: {format: today}}}\n"
ON_MESSAGES = "signals: [{path: /messages, handler: clock}]\n"


@pytest.mark.parametrize("question", ["[date]", "[DATE]", "[Date]"])
async def test_the_clock_answers_a_date_question_to_everyone_in_the_format_of_its_settings(question):
    async with (
        serve(FIXED + ON_MESSAGES, plugins=PLUGINS) as app,
        app.connect("/messages") as asking,
        app.connect("/elsewhere") as other,
    ):
        await asking.send(question)
        assert [await asking.receive(), await other.receive()] == ["today", "today"]


async def test_the_clock_answers_where_the_client_asks(tmp_path):
    async with (
        serve(FIXED + ON_MESSAGES, plugins=PLUGINS) as app,
        app.connect("/messages") as asking,
        app.connect("/news") as news,
    ):
        await asking.send("[date]", path="/news")
        await asking.send("after", direct=True)
        assert await news.receive() == "today"
        assert await asking.receive() == "after"


async def test_the_clock_sends_every_other_message_on_as_it_is():
    async with serve(FIXED + ON_MESSAGES, plugins=PLUGINS) as app, app.connect("/messages") as client:
        for message in ("the [date]", ["[date]"], {"date": 1}, 7):
            await client.send(message)
        assert await client.receive() == "the [date]"
        assert [await client.receive_json() for _ in range(3)] == [["[date]"], {"date": 1}, 7]


async def test_the_clock_has_a_format_of_its_own():
    async with serve(ENDPOINTS + ON_MESSAGES, plugins=PLUGINS) as app, app.connect("/messages") as client:
        await client.send("[date]")
        assert datetime.strptime(await client.receive(), "%Y-%m-%d %H:%M:%S").astimezone().year >= 2024


async def test_the_clock_s_timer_tells_the_time_on_its_path_again_and_again():
    timers = "timers: [{name: often, every: 10ms, handler: time}]\n"
    async with serve(FIXED + timers, plugins=PLUGINS) as app, app.connect("/clock") as client:
        assert [await client.receive() for _ in range(3)] == ["today"] * 3


async def test_the_nightly_greeting_names_the_day_and_says_what_routes_yaml_says():
    timers = "timers: [{name: often, every: 10ms, handler: nightly, arguments: {text: Good morning}}]\n"
    async with serve(ENDPOINTS + timers, plugins=PLUGINS) as app, app.connect("/") as client:
        text, _, day = (await client.receive()).partition(": ")
        assert text == "Good morning"
        assert datetime.strptime(day, "%A, %d %B %Y").astimezone().year >= 2024


async def test_other_programs_publish_by_http_to_everyone_or_to_a_path():
    async with (
        serve(ENDPOINTS, plugins=PLUGINS) as app,
        app.connect("/") as reader,
        app.connect("/news") as news,
        httpx.AsyncClient(base_url=app.url("web")) as http,
    ):
        everyone = await http.post("/broadcast", json={"message": "late"})
        a_path = await http.post("/broadcast", json={"message": {"train": 7}, "path": "/news"})
        assert (everyone.json(), a_path.json()) == ({"sent": 2}, {"sent": 1})
        assert [await news.receive(), await news.receive_json()] == ["late", {"train": 7}]
        assert await reader.receive() == "late"


async def test_publishing_without_a_message_is_refused_by_the_plugin_s_own_schema():
    async with serve(ENDPOINTS, plugins=PLUGINS) as app, httpx.AsyncClient(base_url=app.url("web")) as http:
        answer = await http.post("/broadcast", json={"path": "/news"})
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "schema-mismatch"
