"""The record of messages: nothing without somebody who looks, the last hundred with their ways while somebody does."""

import asyncio

import pytest

from signalpost.plan.ways import facts_of
from signalpost.signals.watching import KEPT, LASTS, LONGEST, MOST_PATHS, Watch
from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: "/rooms/<room>", rebroadcast: path, targets: [path]}
  - {path: /all}
  - {path: /echo, rebroadcast: sender}
  - {path: /raw, format: raw, rebroadcast: sender}
  - {path: /strict, schema: {type: object, properties: {message: {type: string, maxLength: 5}}}}
  - {path: /guarded, may: {publish: "{{ message != 'no' }}"}}
  - {path: /handled, handler: shout}
  - {path: /broken, handler: fail}
  - {path: /list, do: [{broadcast: {value: told, path: /rooms/tea}}, {reply: {value: done}}]}
"""
PLUGIN = """
from signalpost import signal

@signal("shout")
async def shout(event):
    event.broadcast(event.data.message.upper(), path="/rooms/tea")
    return "done"

@signal("fail")
async def fail(event):
    raise RuntimeError("broken")
"""


class Time:
    """Seconds, which only the test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Record:
    """What is recorded at a running app."""

    def __init__(self, app):
        self.app = app
        self.watch = Watch(Time(), lambda: 1.0)
        app.server.node.count()
        app.server.node.counts.watch_by(self.watch)

    async def way(self, path, text, answers=1):
        """Send a text, and return what is told of it."""
        self.watch.look(path)
        async with self.app.connect(path) as client:
            await client.send_raw(text)
            for _ in range(answers):
                await client.receive()
        (way,) = self.watch.look(path)
        return list(facts_of(way))


@pytest.fixture
async def record():
    async with serve(APP, plugins={"loud": PLUGIN}) as app:
        yield Record(app)


async def test_nothing_is_recorded_while_nobody_looks():
    async with serve(APP, plugins={"loud": PLUGIN}) as app, app.connect("/rooms/tea") as client:
        app.server.node.count()
        await client.send("hello")
        await client.receive()
        assert app.server.node.counts.at("/rooms/tea").watch is None


async def test_only_the_path_is_recorded_that_somebody_looks_at(record):
    record.watch.look("/rooms/coffee")
    async with record.app.connect("/rooms/tea") as client:
        await client.send("hello")
        await client.receive()
    assert record.watch.paths == ("/rooms/coffee",)
    assert record.watch.look("/rooms/coffee") == ()


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        (
            "/all",
            '{"message": "hi"}',
            [
                ("decode", 'message = "hi"; asks for nothing'),
                ("schema", "none: every message passes"),
                ("decide", "re-broadcast to everyone"),
                ("receivers", "1 client here: everyone"),
            ],
        ),
        (
            "/echo",
            '{"message": "hi"}',
            [
                ("decode", 'message = "hi"; asks for nothing'),
                ("schema", "none: every message passes"),
                ("decide", "re-broadcast to the sender"),
                ("receivers", "1 client: the sender"),
            ],
        ),
        (
            "/rooms/tea",
            '{"message": 1, "path": "/rooms/tea"}',
            [
                ("decode", 'message = 1; asks for path = "/rooms/tea"'),
                ("schema", "none: every message passes"),
                ("decide", "re-broadcast to clients on /rooms/tea"),
                ("receivers", "1 client here: clients on /rooms/tea"),
            ],
        ),
        (
            "/raw",
            "anything",
            [
                ("decode", "nothing: raw frames are relayed as they are"),
                ("decide", "re-broadcast to the sender"),
                ("receivers", "1 client: the sender"),
            ],
        ),
        (
            "/list",
            '{"message": "hi"}',
            [
                ("decode", 'message = "hi"; asks for nothing'),
                ("schema", "none: every message passes"),
                ("decide", "its actions, in their order"),
                ("receivers", "0 clients here: clients on /rooms/tea"),
                ("receivers", "1 client here: clients whose id is ID"),
            ],
        ),
    ],
)
async def test_a_message_that_arrives_is_recorded_with_its_way(record, path, text, told):
    found = await record.way(path, text)
    assert [(label, words.partition(" whose id is ")[0]) for label, words in found] == [
        (label, words.partition(" whose id is ")[0]) for label, words in told
    ]


@pytest.mark.parametrize(
    ("path", "text", "label", "words"),
    [
        ("/all", "no json", "decode", "refused: bad-message: not JSON"),
        ("/strict", '{"message": "longer"}', "schema", "refused: schema-mismatch at /message"),
        ("/guarded", '{"message": "no"}', "publish", "no: may.publish ("),
        ("/rooms/tea", '{"message": 1, "group": "x"}', "decide", "refused: target-not-allowed at /group"),
    ],
)
async def test_a_message_that_is_refused_says_where_and_why(record, path, text, label, words):
    found = await record.way(path, text)
    assert any(each == label and told.startswith(words) for each, told in found), found
    assert found[-1] == ("receivers", "nobody")


async def test_what_a_handler_sends_later_is_noted_at_its_message(record):
    record.watch.look("/handled")
    async with record.app.connect("/rooms/tea") as other, record.app.connect("/handled") as client:
        await client.send("hi")
        assert await other.receive() == "HI"
        while record.app.server.node.running:
            await asyncio.wait(tuple(record.app.server.node.running))
    (way,) = record.watch.look("/handled")
    found = list(facts_of(way))
    assert ("decide", "handler shout (loud)") in found
    assert ("receivers", "1 client here: clients on /rooms/tea") in found
    assert "took" in dict(found)


async def test_a_handler_that_fails_is_noted_at_its_message(record):
    found = await record.way("/broken", '{"message": "hi"}')
    assert dict(found)["then"].startswith("refused: handler-failed")


async def test_a_message_by_the_shortcut_and_one_by_the_long_way_reach_the_same_clients(record):
    record.watch.look("/all")
    async with record.app.connect("/all") as client, record.app.connect("/elsewhere") as other:
        for text in ('{"message": "short"}', '{"message": "long", "x": 1}'):
            await client.send_raw(text)
            assert await client.receive() == await other.receive()
    short, long = record.watch.look("/all")
    assert [receipt.matched for _, receipt in (*short.published, *long.published)] == [2, 2]


class TestBounds:
    def watch(self):
        self.time = Time()
        return Watch(self.time, lambda: 0.0)

    async def test_a_path_keeps_its_last_messages_only(self, record):
        record.watch.look("/echo")
        async with record.app.connect("/echo") as client:
            for number in range(KEPT + 3):
                await client.send(number + 1)
                await client.receive()
        ways = record.watch.look("/echo")
        assert len(ways) == KEPT
        assert ways[-1].number - ways[0].number == KEPT - 1

    async def test_of_a_long_message_the_beginning_is_kept(self, record):
        record.watch.look("/echo")
        async with record.app.connect("/echo") as client:
            await client.send("x" * (2 * LONGEST))
            await client.receive()
        (way,) = record.watch.look("/echo")
        assert len(way.payload) == LONGEST < way.size

    def test_a_path_that_nobody_looks_at_any_more_is_forgotten(self):
        watch = self.watch()
        watch.look("/old")
        self.time.now = LASTS / 2
        watch.look("/new")
        self.time.now = LASTS
        watch.end_unseen()
        assert watch.paths == ("/new",)

    def test_the_path_that_was_looked_at_longest_ago_gives_way(self):
        watch = self.watch()
        for number in range(MOST_PATHS):
            watch.look(f"/{number}")
        watch.look("/0")
        watch.look("/another")
        assert len(watch.paths) == MOST_PATHS
        assert "/1" not in watch.paths
        assert "/0" in watch.paths
