"""The plugins of this repository at work, over real sockets."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest

from signalpost.errors import ConfigError
from signalpost.testing import load_app, serve

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


REMINDING = (
    ENDPOINTS
    + """
signals:
  - path: /remind
    do:
      - remind: {text: "{{ message.text }}", after: "{{ message.after }}"}
      - reply: {value: "In {{ in_words(message.after) }}: {{ message.text }}"}
"""
)


async def test_whoever_asks_is_reminded_and_nobody_else():
    async with (
        serve(REMINDING, plugins=PLUGINS) as app,
        app.connect("/remind") as asking,
        app.connect("/remind") as other,
    ):
        await asking.send({"text": "tea", "after": 0.01})
        assert [await asking.receive(), await asking.receive()] == ["In 0.01 s: tea", "tea"]
        await other.send({"text": "cake", "after": 0})
        assert [await other.receive(), await other.receive()] == ["In 0 s: cake", "cake"]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"text": "tea", "after": "soon"}, "remind: its options at /after: expected a number, got a string"),
        ({"text": "tea", "after": 99_999}, "ValueError: a reminder waits 24 h at most"),
        ({"text": ["tea"], "after": 1}, "remind: its options at /text: expected a string, got a list"),
    ],
)
async def test_a_reminder_that_cannot_be_is_refused_and_the_log_says_why(caplog, message, says):
    async with serve(REMINDING, plugins=PLUGINS) as app, app.connect("/remind") as client:
        await client.send(message)
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert says in caplog.text


async def test_there_are_no_more_reminders_than_the_settings_say_and_none_is_left_when_the_server_stops(caplog):
    few = REMINDING + "plugins: {settings: {remind: {most: 1}}}\n"
    async with serve(few, plugins=PLUGINS) as app, app.connect("/remind") as client:
        await client.send({"text": "late", "after": 3600})
        assert await client.receive() == "In 1 h: late"
        await client.send({"text": "later", "after": 3600})
        assert (await client.receive_json())["error"]["code"] == "handler-failed"
    assert "1 reminders are waiting already" in caplog.text


def test_settings_of_reminders_are_checked_at_their_place(tmp_path):
    with pytest.raises(ConfigError, match=r'no key "longst" here; did you mean "longest"\?'):
        load_app(REMINDING + "plugins: {settings: {remind: {longst: 1}}}\n", tmp_path, PLUGINS)
