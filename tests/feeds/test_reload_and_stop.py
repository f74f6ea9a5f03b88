"""Feeds over a reload, and at the end of a server."""

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

FEED = "feeds: [{{name: prices, url: '{url}', handler: work{more}}}]"
WORK = """
from signalpost import FeedEvent, feed

@feed("work")
async def work(event: FeedEvent) -> None:
    event.broadcast("WORD " + event.message)
"""


def said(app):
    return (app.folder / "routes.yaml").read_text()


def without_feeds(app):
    return said(app).partition("feeds:")[0]


async def closed(feed):
    """Read what is left, and return the code of the close."""
    try:
        while True:
            await feed.recv()
    except ConnectionClosed as ended:
        return ended.rcvd.code


async def test_an_unchanged_feed_stays_connected_and_its_messages_go_to_the_new_code(run_app, elsewhere):
    text = FEED.format(url=elsewhere.url, more="")
    async with run_app(text, plugins={"work": WORK.replace("WORD", "old")}) as app, app.connect("/") as ada:
        feed = await elsewhere.accept()
        await feed.send("one")
        assert await ada.receive() == "old one"
        file = said(app)
        done = await app.reload("# moved by a line\n" + file, plugins={"work": WORK.replace("WORD", "new")})
        assert not done.changes.feeds
        await feed.send("two")
        assert await ada.receive() == "new two"
        assert len(elsewhere.requests) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", ", headers: {x-a: b}", id="a header"),
        pytest.param("", ", send: 1", id="what is sent first"),
        pytest.param(", send: 1", ", send: true", id="one that equals it in Python"),
        pytest.param("", ", timeout: 5s", id="the time"),
        pytest.param("", ", max_message: 1KiB", id="the size"),
        pytest.param("", "}]\nlimits: {message: 1KiB}\nx-y: [{", id="the size for all"),
    ],
)
async def test_a_feed_of_which_anything_has_changed_is_closed_and_opened(run_app, elsewhere, before, after):
    async with run_app(FEED.format(url=elsewhere.url, more=before), plugins={"work": WORK}) as app:
        feed = await elsewhere.accept()
        head = without_feeds(app)
        done = await app.reload(head + FEED.format(url=elsewhere.url, more=after))
        assert done.changes.feeds.changed == ("prices",)
        assert await closed(feed) == 1000
        await elsewhere.accept()


async def test_a_feed_that_is_gone_is_closed_and_a_new_one_opened(run_app, elsewhere, another):
    other = await another()
    async with run_app(FEED.format(url=elsewhere.url, more=""), plugins={"work": WORK}) as app:
        feed = await elsewhere.accept()
        head = without_feeds(app)
        done = await app.reload(head + FEED.format(url=other.url, more="").replace("prices", "rates"))
        assert str(done) == "reloaded: +1 feed, -1 feed"
        assert await closed(feed) == 1000
        await other.accept()
        assert app.server.feeds.names() == ("rates",)
        with pytest.raises(LookupError, match='no feed is named "rate"; did you mean "rates"'):
            app.server.feeds.status("rate")


async def test_a_feed_that_is_away_is_given_up_by_a_reload_while_it_waits(run_app, elsewhere, time):
    elsewhere.refusals = [(503, {})]
    async with run_app(FEED.format(url=elsewhere.url, more=""), plugins={"work": WORK}) as app:
        await time.waited()
        head = without_feeds(app)
        await app.reload(head)
        assert app.server.feeds.statuses() == ()


SLOW = """
import asyncio
from signalpost import FeedEvent, feed, hookimpl

@hookimpl
def shutdown(context):
    context.shared.state["_down"].append("NAME")

@feed("work")
async def work(event: FeedEvent) -> None:
    event.broadcast("in")
    await event.state["_gate"].wait()
    event.broadcast("NAME done, " + ",".join(event.state["_down"]))
    await event.send("done")
"""


async def test_a_message_under_way_is_finished_by_the_old_plan_before_its_feed_is_closed(run_app, elsewhere):
    text = FEED.format(url=elsewhere.url, more="")
    async with run_app(text, plugins={"work": SLOW.replace("NAME", "old")}) as app, app.connect("/") as ada:
        state = app.server.node.shared.state
        gate = state["_gate"] = asyncio.Event()
        state["_down"] = []
        feed = await elsewhere.accept()
        await feed.send("x")
        await feed.send("is left to the next connection")
        assert await ada.receive() == "in"
        head = without_feeds(app)
        new = head + FEED.format(url=elsewhere.url, more=", send: 1")
        await app.reload(new, plugins={"work": SLOW.replace("NAME", "new")})
        second = await elsewhere.accept()
        assert await second.recv() == "1"
        gate.set()
        assert await ada.receive() == "old done, "
        assert await feed.recv() == "done"
        assert await closed(feed) == 1000
        await second.send("y")
        assert await ada.receive() == "in"
        assert await ada.receive() == "new done, old"
        assert await second.recv() == "done"


async def test_a_stop_closes_with_1001_and_lets_a_message_finish_and_answer(run_app, elsewhere):
    text = FEED.format(url=elsewhere.url, more="")
    async with run_app(text, plugins={"work": SLOW.replace("NAME", "it")}) as app, app.connect("/") as ada:
        state = app.server.node.shared.state
        gate = state["_gate"] = asyncio.Event()
        state["_down"] = []
        feed = await elsewhere.accept()
        await feed.send("x")
        await feed.send("never handled")
        assert await ada.receive() == "in"
        assert app.server.under_way()[0].startswith('feed "prices" (')
        stopping = asyncio.create_task(app.server.stop())
        while not app.server.feeds._links["prices"]._leaving:  # noqa: ASYNC110 - of the inside
            await asyncio.sleep(0)
        gate.set()
        assert await feed.recv() == "done"
        assert await closed(feed) == 1001
        await stopping
        assert app.server.feeds.status("prices").messages == 1


async def test_a_drain_of_nothing_cancels_a_message_and_closes_all_the_same(run_app, elsewhere, told):
    text = FEED.format(url=elsewhere.url, more="") + "\nlimits: {drain: 0s}"
    async with run_app(text, plugins={"work": SLOW}) as app, app.connect("/") as ada:
        app.server.node.shared.state["_gate"] = asyncio.Event()
        app.server.node.shared.state["_down"] = []
        feed = await elsewhere.accept()
        await feed.send("x")
        assert await ada.receive() == "in"
    assert await closed(feed) == 1001
    assert [line for line in told() if "was cancelled" in line]


async def test_a_stop_does_not_wait_for_a_feed_that_does_not_answer_its_close(run_app):
    async def silent(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(line[19:] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept_key(key.decode()).encode()
            + b"\r\n\r\n\x81\x02hi"
        )
        rest.append(await reader.read())
        writer.close()

    rest = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = FEED.format(url=f"ws://127.0.0.1:{port}", more="") + "\nlimits: {drain: 10ms}"
    async with server, run_app(text, plugins={"work": WORK}) as app, app.connect("/") as ada:
        assert await ada.receive() == "WORD hi"
    assert rest[0][0] == 0x88 or not rest[0]


async def test_a_plugin_that_cancels_all_tasks_ends_no_feed(run_app, elsewhere):
    source = """
import asyncio
from signalpost import FeedEvent, feed

@feed("work")
async def work(event: FeedEvent) -> None:
    if event.message == "all":
        for task in asyncio.all_tasks():
            if task.get_name().startswith("feed"):
                task.cancel()
    event.broadcast(event.message)
    await asyncio.sleep(0)
"""
    async with (
        run_app(FEED.format(url=elsewhere.url, more=""), plugins={"work": source}) as app,
        app.connect("/") as ada,
    ):
        feed = await elsewhere.accept()
        await feed.send("all")
        assert await ada.receive() == "all"
        await feed.send("next")
        assert await ada.receive() == "next"
