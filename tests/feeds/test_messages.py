"""What becomes of a feed's messages: lists of actions, handlers, what fails, what is no text."""

import asyncio

import pytest

from signalpost.node import Seams
from signalpost.observe import Observer

RELAY = """
feeds:
  - name: prices
    url: {url}/ticker
    broadcast: {{value: "{{{{ message }}}}", path: /prices}}
"""


async def test_a_message_is_relayed_to_the_clients_of_a_path(run_app, elsewhere):
    async with run_app(RELAY.format(url=elsewhere.url)) as app, app.connect("/prices") as ada:
        feed = await elsewhere.accept()
        await feed.send('{"symbol": "SGNL", "price": 12.5}')
        assert await ada.receive_json() == {"symbol": "SGNL", "price": 12.5}
        await feed.send("not JSON: {")
        assert await ada.receive() == "not JSON: {"
        assert elsewhere.requests[0].path == "/ticker"


async def test_a_list_has_the_message_its_text_and_the_name_of_its_feed(run_app, elsewhere):
    text = f"""
feeds:
  - name: prices
    url: {elsewhere.url}
    do:
      - set: {{count: "{{{{ state.count | default(0) + 1 }}}}"}}
      - let: {{all: "{{{{ [feed, message.n, data.n, text, state.count] }}}}"}}
      - broadcast: {{value: "{{{{ all }}}}"}}
"""
    async with run_app(text) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        await feed.send('{"n":  7}')
        assert await ada.receive_json() == ["prices", 7, 7, '{"n":  7}', 1]


HANDLER = """
from signalpost import FeedEvent, feed

@feed("gather")
async def gather(event: FeedEvent) -> None:
    event.broadcast([event.name, repr(event.message), event.text, repr(event.data), event.timestamp.isoformat()])
    await event.send({"got": event.text} if event.text else b"binary")
"""


async def test_a_handler_has_text_json_and_bytes_and_answers_the_feed(run_app, elsewhere):
    text = f"feeds: [{{name: prices, url: '{elsewhere.url}', handler: gather}}]"
    async with run_app(text, plugins={"gather": HANDLER}) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        moment = "2030-01-01T00:00:00+00:00"
        await feed.send("[1]")
        assert await ada.receive_json() == ["prices", "[1]", "[1]", "[1]", moment]
        assert await feed.recv() == '{"got":"[1]"}'
        await feed.send(b"\x00\xff")
        assert await ada.receive_json() == ["prices", repr(b"\x00\xff"), "", repr(b"\x00\xff"), moment]
        assert await feed.recv() == b"binary"


async def test_a_plugin_binds_a_feed_of_its_own(run_app, elsewhere):
    source = HANDLER.replace(
        '@feed("gather")',
        f'@feed("gather", url="{elsewhere.url}", headers={{"X-Who": "me"}}, send=["hello", {{"n": 1}}], timeout="5s")',
    )
    async with run_app("", plugins={"gather": source}) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        assert [await feed.recv(), await feed.recv()] == ["hello", '{"n":1}']
        assert elsewhere.requests[0].headers["x-who"] == "me"
        await feed.send("x")
        assert (await ada.receive_json())[0] == "gather"


async def test_what_is_to_be_sent_first_is_sent_each_time(run_app, elsewhere, time):
    text = f"""
feeds:
  - name: prices
    url: {elsewhere.url}
    headers: {{Authorization: Bearer 1f3a}}
    subprotocols: [other, json]
    send: [hello, {{op: subscribe, list: [1]}}, [[a]]]
    broadcast: {{value: x}}
"""
    async with run_app(text):
        for _ in range(2):
            feed = await elsewhere.accept()
            assert [await feed.recv() for _ in range(3)] == ["hello", '{"op":"subscribe","list":[1]}', '[["a"]]']
            await feed.close()
            await time.skip()
    request = elsewhere.requests[0]
    assert request.headers["Authorization"] == "Bearer 1f3a"
    assert request.headers["Sec-WebSocket-Protocol"] == "other, json"
    assert request.headers["User-Agent"].startswith("signalpost/")


async def test_a_list_takes_no_binary_messages_and_the_log_says_so(run_app, elsewhere, told):
    async with run_app(RELAY.format(url=elsewhere.url)) as app, app.connect("/prices") as ada:
        feed = await elsewhere.accept()
        for _ in range(20):
            await feed.send(b"\x00")
        await feed.send("text")
        assert await ada.receive() == "text"
    (line,) = [line for line in told() if "binary" in line]
    assert line.startswith('WARNING feed "prices" (routes.yaml:4): binary messages are left out: a list of actions')


SLOW = """
import asyncio
from signalpost import FeedEvent, feed, signal

@feed("slow")
async def slow(event: FeedEvent) -> None:
    event.broadcast(f"begun {event.message}")
    event.state["_gate"] = gate = asyncio.Event()
    await gate.wait()
    event.broadcast(f"done {event.message}")

@signal("go", path="/go")
async def go(event):
    event.state["_gate"].set()
"""


async def test_messages_are_handled_in_order_and_never_two_at_once(run_app, elsewhere):
    text = f"feeds: [{{name: prices, url: '{elsewhere.url}', handler: slow}}]"
    async with run_app(text, plugins={"slow": SLOW}) as app, app.connect("/go") as ada:
        feed = await elsewhere.accept()
        for number in range(3):
            await feed.send(str(number))
        seen = []
        for _ in range(3):
            seen.append(await ada.receive())
            await ada.send("on")
            seen.append(await ada.receive())
        assert seen == [f"{word} {number}" for number in range(3) for word in ("begun", "done")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("raise KeyError('x')", "failed", id="an exception"),
        pytest.param("raise SystemExit(3)", "failed", id="an exit"),
        pytest.param("await asyncio.Event().wait()", "took longer than 0.05 s and was cancelled", id="no end"),
    ],
)
async def test_a_handler_that_fails_is_told_by_its_place_and_the_feed_goes_on(run_app, elsewhere, told, body, said):
    source = f"""
import asyncio
from signalpost import FeedEvent, feed

@feed("work")
async def work(event: FeedEvent) -> None:
    if event.message == "ok":
        event.broadcast("fine")
        return
    {body}
"""
    text = f"feeds: [{{name: prices, url: '{elsewhere.url}', handler: work, timeout: 50ms}}]"
    async with run_app(text, plugins={"work": source}) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        await feed.send("bad")
        await feed.send("ok")
        assert await ada.receive() == "fine"
        assert app.server.feeds.status("prices").messages == 2
        assert app.server.feeds.status("prices").last_error
    (line,) = [line for line in told() if line.startswith("ERROR")]
    assert line.startswith('ERROR feed "prices" (routes.yaml:2): handler "work" of plugin work (')
    assert line.endswith(said)


async def test_a_step_that_fails_a_thousand_times_is_a_few_lines(run_app, elsewhere, told):
    text = f"""
feeds:
  - name: prices
    url: {elsewhere.url}
    do:
      - broadcast: {{value: "{{{{ message.price / message.count }}}}"}}
"""
    async with run_app(text) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        for _ in range(1_000):
            await feed.send('{"price": 1, "count": 0}')
        await feed.send('{"price": 4, "count": 2}')
        assert await ada.receive() == "2.0"
    lines = [line for line in told() if line.startswith("ERROR")]
    assert lines[0].startswith('ERROR feed "prices" (routes.yaml:4): routes.yaml:7:28: broadcast: ')
    assert len(lines) < 10


async def test_a_clients_list_is_served_between_two_messages_of_a_flood(run_app, elsewhere):
    text = f"""
signals: [{{path: /ask, do: [{{reply: {{value: "{{{{ state.count | default(0) }}}}"}}}}]}}]
feeds:
  - name: flood
    url: {elsewhere.url}
    do: [{{set: {{count: "{{{{ state.count | default(0) + 1 }}}}"}}}}]
"""
    many = 3_000
    async with run_app(text) as app, app.connect("/ask") as ada:
        feed = await elsewhere.accept()

        async def flood():
            for _ in range(many):
                await feed.send("x")

        flooding = asyncio.create_task(flood())
        answers = [0]
        while answers[-1] < many:
            await ada.send("?")
            answers.append(await ada.receive_json())
        await flooding
    assert len({answer for answer in answers if 0 < answer < many}) > 10


async def test_garbage_is_a_text_and_harms_nobody(run_app, elsewhere, told):
    deep = "[" * 5_000 + "]" * 5_000
    async with run_app(RELAY.format(url=elsewhere.url)) as app, app.connect("/prices") as ada:
        feed = await elsewhere.accept()
        for garbage in (deep, "[" * 500_000, "NaN", '{"a":1,', "\x00", "\ufeff{}"):
            await feed.send(garbage)
            assert await ada.receive() == garbage
        for nothing in ("", "null", '""'):
            await feed.send(nothing)
        await feed.send("1e999")
        assert await ada.receive() == "1e999"
    assert not [line for line in told() if line.startswith("ERROR")]


async def test_an_observer_counts_connections_and_messages(run_app, elsewhere, time):
    class Counting(Observer):
        def __init__(self):
            self.seen = []

        def feed_connected(self, name):
            self.seen.append(f"connected {name}")

        def feed_lost(self, name):
            self.seen.append(f"lost {name}")

        def feed_handled(self, name, seconds, *, failed):
            assert seconds >= 0
            self.seen.append(f"{'failed' if failed else 'done'} {name}")

    observer = Counting()
    text = f"""
feeds:
  - name: prices
    url: {elsewhere.url}
    do: [{{broadcast: {{value: "{{{{ 1 // message }}}}"}}}}]
"""
    async with run_app(text, seams=Seams(observer=observer)) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        await feed.send("0")
        await feed.send("1")
        assert await ada.receive() == "1"
        await feed.close()
        await time.waited()
    assert observer.seen == [f"{word} prices" for word in ("connected", "failed", "done", "lost")]


async def test_a_list_that_waits_is_awaited_before_the_next_message(run_app, elsewhere):
    text = f"""
feeds:
  - name: prices
    url: {elsewhere.url}
    do:
      - wait: 1ms
      - broadcast: {{value: "{{{{ message }}}}"}}
"""
    async with run_app(text) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        for number in range(5):
            await feed.send(f"number {number}")
        assert [await ada.receive() for _ in range(5)] == [f"number {number}" for number in range(5)]


async def test_an_answer_to_a_feed_that_is_gone_is_an_error_of_its_handler(run_app, elsewhere, told, time):
    source = """
from signalpost import FeedEvent, feed

@feed("late")
async def late(event: FeedEvent) -> None:
    event.broadcast("in")
    await event.state["_gate"].wait()
    try:
        await event.send("too late")
    except ConnectionError as error:
        event.broadcast(str(error))
"""
    text = f"feeds: [{{name: prices, url: '{elsewhere.url}', handler: late}}]"
    async with run_app(text, plugins={"late": source}) as app, app.connect("/") as ada:
        gate = app.server.node.shared.state["_gate"] = asyncio.Event()
        feed = await elsewhere.accept()
        await feed.send("x")
        assert await ada.receive() == "in"
        await feed.close()
        gate.set()
        assert await ada.receive() == 'feed "prices" is not connected any more'
        await time.waited()
