"""Answers: each message with `ref` gets exactly one, whatever becomes of it, and a repeat of it the same one."""

import asyncio
from contextlib import asynccontextmanager

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from signalpost.signals.answers import MOST_KNOWN, MOST_KNOWN_BYTES, SHARE, Repeats
from signalpost.signals.sessions import PREFIX, Session
from signalpost.testing import serve

V1 = ["signalpost.v1"]
LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
ASK = '{"signalpost":{"nothing":{}},"ref":"end"}'
PLUGIN = """
import asyncio
from signalpost import Veto, hookimpl, signal

GO = asyncio.Event()
BEGUN = asyncio.Event()
DONE = []

@signal("nothing")
async def nothing(event):
    await asyncio.sleep(0)

@signal("value")
async def value(event):
    return {"said": event.data.message}

@signal("falsy")
async def falsy(event):
    return 0

@signal("empty")
async def empty(event):
    return ""

@signal("not_json")
async def not_json(event):
    return {1, 2}

@signal("replies_not_json")
async def replies_not_json(event):
    event.reply({1, 2})

@signal("too_large")
async def too_large(event):
    return ["x" * 2**20] * 200

@signal("raises")
async def raises(event):
    raise ValueError("no")

@signal("replies")
async def replies(event):
    event.reply("first")
    return "second"

@signal("replies_twice")
async def replies_twice(event):
    event.reply("first")
    event.reply("second")

@signal("replies_raises")
async def replies_raises(event):
    event.reply("first")
    raise ValueError("no")

@signal("replies_nothing")
async def replies_nothing(event):
    event.reply("")
    event.reply(None)

@signal("exits")
async def exits(event):
    raise SystemExit(1)

@signal("late")
async def late(event):
    await asyncio.Event().wait()

@signal("stubborn")
async def stubborn(event):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "too late"

@signal("waits")
async def waits(event):
    BEGUN.set()
    await GO.wait()
    DONE.append(event.data.message)
    return event.data.message

@signal("cancelled", cancel_when_gone=True)
async def cancelled(event):
    BEGUN.set()
    await GO.wait()
    DONE.append(event.data.message)

@signal("counts")
async def counts(event):
    DONE.append(event.data.message)
    return len(DONE)

@signal("shares")
async def shares(event):
    DONE.append(event.data.message)
    return DONE

@signal("parallel")
async def parallel(event):
    await asyncio.sleep(0.001 * (4 - event.data.message % 4))
    return event.data.message

@hookimpl
def filter_message(message):
    if message.message == "veto":
        raise Veto
    if message.message == "veto with a code":
        raise Veto("not-now", "later", "/message")

@hookimpl
def filter_broadcast(outgoing):
    if outgoing.value == "veto going out":
        raise Veto
    if outgoing.value == "veto going out with a code":
        raise Veto("not-now", "later")
"""
SIGNALS = """
limits: {rate: 0}
signals:
  - {path: /everyone}
  - {path: /others, rebroadcast: others}
  - {path: /path, rebroadcast: path}
  - {path: /kept, rebroadcast: path, history: 10}
  - {path: /group, rebroadcast: group}
  - {path: /sender, rebroadcast: sender}
  - {path: /none, rebroadcast: none}
  - {path: /closed, targets: []}
  - {path: /schema, schema: {type: object, required: [message], properties: {message: {type: integer}}}}
  - {path: /strict, from_elsewhere: false, rebroadcast: none}
  - {path: /do, do: [{log: did}]}
  - {path: /do_reply, do: [{reply: {value: first}}, {reply: {value: second}}]}
  - {path: /do_fails, do: [{broadcast: {value: "{{ 1 // 0 }}"}}]}
  - {path: /do_reply_fails, do: [{reply: {value: first}}, {broadcast: {value: "{{ 1 // 0 }}"}}]}
  - {path: /do_waits, do: [{wait: 1ms}]}
  - {path: /do_waits_reply, do: [{wait: 1ms}, {reply: {value: first}}]}
  - {path: /do_waits_fails, do: [{wait: 1ms}, {broadcast: {value: "{{ 1 // 0 }}"}}]}
  - {path: /do_reply_waits_fails, do: [{reply: {value: first}}, {wait: 1ms}, {broadcast: {value: "{{ 1 // 0 }}"}}]}
  - {path: /do_late, do: [{wait: 1m}], timeout: 20ms}
  - {path: /do_broadcast, do: [{broadcast: {value: "{{ message }}", path: /do_broadcast}}]}
  - {path: /nothing, handler: nothing}
  - {path: /value, handler: value}
  - {path: /falsy, handler: falsy}
  - {path: /empty, handler: empty}
  - {path: /not_json, handler: not_json}
  - {path: /replies_not_json, handler: replies_not_json}
  - {path: /too_large, handler: too_large}
  - {path: /raises, handler: raises}
  - {path: /replies, handler: replies}
  - {path: /replies_twice, handler: replies_twice}
  - {path: /replies_raises, handler: replies_raises}
  - {path: /replies_nothing, handler: replies_nothing}
  - {path: /exits, handler: exits}
  - {path: /late, handler: late, timeout: 20ms}
  - {path: /stubborn, handler: stubborn, timeout: 20ms}
  - {path: /waits, handler: waits}
  - {path: /brief, handler: waits, once: 1s}
  - {path: /cancelled, handler: cancelled}
  - {path: /counts, handler: counts}
  - {path: /shares, handler: shares}
  - {path: /parallel, handler: parallel, parallel: 4}
"""
ANSWERS = ("ack", "reply", "error")


class Asker:
    """A client of v1 that tells its answers from what else it reads; a missing answer fails a test, it hangs none."""

    def __init__(self, app, client, session):
        self.client = client
        self.session = session
        self._app = app

    async def ask(self, message, ref, **keys):
        """Send a message; give its answer, without the ref, once nothing is under way any more."""
        await self.client.send(message, ref=ref, **keys)
        return only(await self.all(), ref)

    async def all(self):
        """Read everything that comes of what was sent, until nothing is under way any more."""
        read = await self.rest()
        await idle(self._app)
        return read + await self.rest()

    async def rest(self):
        """Read everything up to the answer of a request that is made now."""
        await self.client.send_raw(ASK)
        read = []
        while (frame := await self.client.receive_json()).get("error", {}).get("ref") != "end":
            read.append(frame)
        return read


async def idle(app):
    """Give the loop turns until no message is under way."""
    while app.server.node.running or app.server.node.inspect().under_way:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


def answers_in(frames):
    return [frame for frame in frames if frame.keys() & set(ANSWERS)]


def only(frames, ref):
    """Give the one answer of a ref."""
    found = [frame for frame in answers_in(frames) if next(iter(frame.values())).get("ref") == ref]
    assert len(found) == 1, f"{ref} has {len(found)} answers: {frames}"
    ((kind, body),) = found[0].items()
    return {kind: {name: value for name, value in body.items() if name != "ref"}}


@asynccontextmanager
async def asker(app, path, session=""):
    offered = [*V1, PREFIX + session] if session else V1
    async with app.connect(path, subprotocols=offered) as client:
        welcome = (await client.receive_json())["welcome"]
        yield Asker(app, client, welcome["session"])


@pytest.fixture
def app():
    return serve(LIVE + SIGNALS, plugins={"answering": PLUGIN})


def plugin_of(app):
    return next(each.module for each in app.server.plan.registry.plugins if each.name == "answering")


FAILED = {"error": {"code": "handler-failed", "pointer": "", "detail": "the server could not handle this message"}}
CASES = [
    *(
        (path, "hi", {}, "ack")
        for path in ("/everyone", "/others", "/path", "/kept", "/group", "/sender", "/none", "/undeclared")
    ),
    *(("/everyone", "hi", keys, "ack") for keys in ({"path": "/path"}, {"group": "g"}, {"direct": True})),
    ("/everyone", "hi", {"clientId": "nobody"}, "ack"),
    *((path, empty, {}, "ack") for path in ("/everyone", "/none", "/nothing", "/kept") for empty in ("", None)),
    ("/everyone", "hi", {"path": "/strict"}, "target-not-allowed"),
    ("/closed", "hi", {"path": "/x"}, "target-not-allowed"),
    ("/closed", "hi", {"path": ""}, "bad-message"),
    ("/schema", "hi", {}, "schema-mismatch"),
    ("/everyone", "hi", {"path": "/schema"}, "schema-mismatch"),
    ("/everyone", {"error": {"code": "x", "pointer": "", "detail": ""}}, {}, "bad-message"),
    ("/everyone", "veto", {}, "ack"),
    ("/everyone", "veto with a code", {}, "not-now"),
    ("/everyone", "veto going out", {}, "ack"),
    ("/everyone", "veto going out with a code", {}, "not-now"),
    ("/sender", "veto going out", {}, "ack"),
    ("/do", "hi", {}, "ack"),
    ("/do", "", {}, "ack"),
    ("/do_reply", "hi", {}, "reply"),
    ("/do_fails", "hi", {}, "handler-failed"),
    ("/do_reply_fails", "hi", {}, "reply"),
    ("/do_waits", "hi", {}, "ack"),
    ("/do_waits_reply", "hi", {}, "reply"),
    ("/do_waits_fails", "hi", {}, "handler-failed"),
    ("/do_reply_waits_fails", "hi", {}, "reply"),
    ("/do_late", "hi", {}, "handler-failed"),
    ("/do_broadcast", "veto going out", {}, "ack"),
    ("/nothing", "hi", {}, "ack"),
    ("/value", "hi", {}, "reply"),
    ("/falsy", "hi", {}, "reply"),
    ("/not_json", "hi", {}, "handler-failed"),
    ("/replies_not_json", "hi", {}, "handler-failed"),
    ("/too_large", "hi", {}, "handler-failed"),
    ("/raises", "hi", {}, "handler-failed"),
    ("/replies", "hi", {}, "reply"),
    ("/replies_twice", "hi", {}, "reply"),
    ("/replies_raises", "hi", {}, "reply"),
    ("/replies_nothing", "hi", {}, "ack"),
    ("/exits", "hi", {}, "handler-failed"),
    ("/late", "hi", {}, "handler-failed"),
    ("/stubborn", "hi", {}, "reply"),
]


class TestOne:
    @pytest.mark.parametrize(("path", "message", "keys", "expected"), CASES)
    async def test_a_message_with_ref_gets_exactly_one_answer(self, app, path, message, keys, expected):
        async with app as running, asker(running, path) as one:
            answer = await one.ask(message, 7, **keys)
            ((kind, body),) = answer.items()
            assert expected in (kind, body.get("code"))
            rest = await one.rest()
            assert not answers_in(rest)

    @pytest.mark.parametrize(("path", "message", "keys", "expected"), CASES)
    async def test_a_message_with_once_and_no_ref_is_answered_to_its_repeat_alone(
        self, app, path, message, keys, expected
    ):
        async with app as running, asker(running, path) as one:
            await one.client.send(message, once="a", **keys)
            await one.all()
            ((kind, body),) = (await one.ask(message, 7, once="a", **keys)).items()
            assert expected in (kind, body.get("code"))
            assert not answers_in(await one.rest())

    @pytest.mark.parametrize("ref", [0, -1, 2**53, "", "r" * 64, "é"])
    async def test_any_ref_comes_back_as_it_is(self, app, ref):
        async with app as running, asker(running, "/none") as one:
            assert await one.ask("hi", ref) == {"ack": {}}

    @pytest.mark.parametrize("ref", [1.5, True, [], {}, "r" * 65])
    async def test_what_is_no_ref_is_an_error_without_one(self, app, ref):
        async with app as running, asker(running, "/none") as one:
            await one.client.send("hi", ref=ref)
            ((kind, body),) = (await one.client.receive_json()).items()
            assert (kind, body["code"], body["pointer"], body.get("ref")) == ("error", "bad-message", "/ref", None)

    async def test_a_reply_is_what_the_handler_has_returned_or_said_first(self, app):
        async with app as running:
            for path, value in (
                ("/value", {"said": "hi"}),
                ("/falsy", 0),
                ("/replies", "first"),
                ("/do_reply", "first"),
            ):
                async with asker(running, path) as one:
                    assert await one.ask("hi", 1) == {"reply": {"value": value}}

    async def test_a_second_reply_is_a_signal(self, app):
        async with app as running, asker(running, "/replies_twice") as one:
            await one.client.send("hi", ref=1)
            assert await one.all() == [
                {"reply": {"ref": 1, "value": "first"}},
                {"signal": {"path": "/replies_twice", "value": "second"}},
            ]

    async def test_an_ack_of_a_kept_message_says_its_position_and_no_other_does(self, app):
        async with app as running, asker(running, "/kept") as one:
            await one.client.send("hi", ref=1)
            signal, ack = [await one.client.receive_json() for _ in range(2)]
            assert ack == {"ack": {"ref": 1, "at": signal["signal"]["at"]}}
            assert await one.ask("hi", 2, clientId=one.client.id) == {"ack": {}}
            assert await one.ask("hi", 3, path="/path") == {"ack": {}}
            assert await one.ask("", 4) == {"ack": {}}
            assert await one.ask("veto going out", 5) == {"ack": {}}
            assert (await one.ask("hi", 6, path="/KEPT"))["ack"]["at"].split(":")[1] == "2"

    async def test_the_position_of_an_ack_is_one_for_another_path_too(self, app):
        async with app as running, asker(running, "/everyone") as one, asker(running, "/kept") as other:
            at = (await one.ask("hi", 1, path="/kept"))["ack"]["at"]
            assert (await other.client.receive_json())["signal"]["at"] == at

    async def test_handlers_in_parallel_answer_each_its_own(self, app):
        async with app as running, asker(running, "/parallel") as one:
            for number in range(40):
                await one.client.send(number, ref=number)
            answers = [frame["reply"] for frame in await one.all()]
            assert sorted(each["ref"] for each in answers) == [*range(40)]
            assert all(each["ref"] == each["value"] for each in answers)

    async def test_a_message_without_ref_gets_no_answer_but_an_error(self, app):
        async with app as running:
            for path in ("/everyone", "/none", "/nothing", "/value", "/do"):
                async with asker(running, path) as one:
                    await one.client.send("hi")
                    assert not answers_in(await one.all())

    @pytest.mark.parametrize("path", ["/everyone", "/none", "/nothing", "/value", "/do", "/kept"])
    async def test_a_plain_client_reads_no_answer(self, app, path):
        async with app as running, running.connect(path) as plain, running.connect("/sender") as other:
            await plain.send("hi", ref=1, once="a")
            await plain.send("hi", ref=1, once="a")
            if path in ("/everyone", "/kept"):
                assert [await plain.receive() for _ in range(2)] == ["hi", "hi"]
            await plain.send("end", clientId=plain.id, ref=[])
            assert (await plain.receive_json())["error"]["pointer"] == "/ref"
            assert other is not None


class TestOnce:
    async def test_a_repeat_is_not_done_and_gets_the_first_ones_answer(self, app):
        async with app as running, asker(running, "/counts") as one:
            assert await one.ask("a", 1, once="x") == {"reply": {"value": 1}}
            assert await one.ask("b", 2, once="x") == {"reply": {"value": 1, "again": True}}
            assert await one.ask("c", 3, once="y") == {"reply": {"value": 2}}
            assert plugin_of(running).DONE == ["a", "c"]

    async def test_a_repeat_of_a_kept_message_gets_its_position(self, app):
        async with app as running, asker(running, "/kept") as one:
            first = await one.ask("a", 1, once="x")
            assert await one.ask("a", 2, once="x") == {"ack": {**first["ack"], "again": True}}
            assert running.server.node.memory.streams.entries == 1

    async def test_a_failure_is_told_again(self, app):
        async with app as running, asker(running, "/raises") as one:
            assert await one.ask("a", 1, once="x") == FAILED
            assert await one.ask("a", 2, once="x") == {"error": {**FAILED["error"], "again": True}}

    async def test_the_first_answer_is_told_again_though_the_handler_has_changed_the_value_since(self, app):
        async with app as running, asker(running, "/shares") as one:
            assert await one.ask("a", 1, once="x") == {"reply": {"value": ["a"]}}
            assert await one.ask("b", 2, once="y") == {"reply": {"value": ["a", "b"]}}
            assert await one.ask("a", 3, once="x") == {"reply": {"value": ["a"], "again": True}}

    async def test_one_that_is_under_way_is_waited_for(self, app):
        async with app as running, asker(running, "/waits") as one:
            plugin = plugin_of(running)
            for ref in (1, 2, 3):
                await one.client.send("a", ref=ref, once="x")
            await plugin.BEGUN.wait()
            assert await one.rest() == []
            plugin.GO.set()
            assert await one.all() == [
                {"reply": {"ref": 1, "value": "a"}},
                {"reply": {"ref": 2, "value": "a", "again": True}},
                {"reply": {"ref": 3, "value": "a", "again": True}},
            ]
            assert plugin.DONE == ["a"]

    async def test_a_repeat_after_a_reconnect_with_the_session_is_known(self, app):
        async with app as running:
            async with asker(running, "/counts") as one:
                assert await one.ask("a", 1, once="x") == {"reply": {"value": 1}}
            async with asker(running, "/counts", one.session) as again:
                assert again.session == one.session
                assert await again.ask("a", 1, once="x") == {"reply": {"value": 1, "again": True}}
            async with asker(running, "/counts") as other:
                assert await other.ask("a", 1, once="x") == {"reply": {"value": 2}}

    async def test_a_repeat_after_a_reconnect_waits_for_the_one_under_way(self, app):
        async with app as running:
            plugin = plugin_of(running)
            async with asker(running, "/waits") as one:
                await one.client.send("a", ref=1, once="x")
                await plugin.BEGUN.wait()
            async with asker(running, "/waits", one.session) as again:
                await again.client.send("a", ref=2, once="x")
                assert await again.rest() == []
                plugin.GO.set()
                assert only(await again.all(), 2) == {"reply": {"value": "a", "again": True}}
            assert plugin.DONE == ["a"]

    async def test_a_message_whose_handler_was_cancelled_since_its_client_had_gone_is_never_said_to_be_done(self, app):
        async with app as running:
            plugin = plugin_of(running)
            async with asker(running, "/cancelled") as one:
                await one.client.send("a", ref=1, once="x")
                await plugin.BEGUN.wait()
            await idle(running)
            plugin.GO.set()
            async with asker(running, "/cancelled", one.session) as again:
                answer = await again.ask("a", 2, once="x")
            assert "error" in answer or plugin.DONE == ["a"]

    async def test_a_message_that_was_dropped_with_its_client_is_done_when_it_is_repeated(self, app):
        async with app as running:
            plugin = plugin_of(running)
            async with asker(running, "/cancelled") as one:
                await one.client.send("a", once="x")
                await one.client.send("b", once="y")
                await plugin.BEGUN.wait()
            await idle(running)
            plugin.GO.set()
            async with asker(running, "/cancelled", one.session) as again:
                assert await again.ask("b", 2, once="y") in ({"ack": {}}, FAILED)

    async def test_a_refused_message_is_judged_anew(self, app):
        async with app as running, asker(running, "/schema") as one:
            assert (await one.ask("no", 1, once="x"))["error"]["code"] == "schema-mismatch"
            assert await one.ask(5, 2, once="x") == {"ack": {}}
            assert await one.ask(6, 3, once="x") == {"ack": {"again": True}}
        async with serve(LIVE + SIGNALS, plugins={"answering": PLUGIN}) as running, asker(running, "/everyone") as one:
            assert (await one.ask("veto with a code", 1, once="x"))["error"]["code"] == "not-now"
            assert await one.ask("fine", 2, once="x") == {"ack": {}}
            assert (await one.ask("hi", 3, once="y", path="/strict"))["error"]["code"] == "target-not-allowed"
            assert await one.ask("hi", 4, once="y", path="/path") == {"ack": {}}

    async def test_a_message_and_its_repeat_may_have_refs_or_not(self, app):
        async with app as running, asker(running, "/counts") as one:
            await one.client.send("a", once="x")
            await one.client.send("a", once="x")
            assert await one.ask("a", 1, once="x") == {"reply": {"value": 1, "again": True}}
            assert await one.rest() == []

    @pytest.mark.parametrize("once", ["", "o" * 65, 5, True, [], {}, 1.5])
    async def test_what_is_no_once_is_an_error_with_the_ref(self, app, once):
        async with app as running, asker(running, "/counts") as one:
            answer = await one.ask("a", 1, once=once)
            assert (answer["error"]["code"], answer["error"]["pointer"]) == ("bad-message", "/once")
            assert plugin_of(running).DONE == []

    async def test_null_is_no_once(self, app):
        async with app as running, asker(running, "/counts") as one:
            assert await one.ask("a", 1, once=None) == {"reply": {"value": 1}}
            assert await one.ask("a", 2, once=None) == {"reply": {"value": 2}}

    async def test_once_may_be_in_any_case(self, app):
        async with app as running, asker(running, "/counts") as one:
            assert await one.ask("a", 1, ONCE="x") == {"reply": {"value": 1}}
            assert await one.ask("a", 2, once="x") == {"reply": {"value": 1, "again": True}}

    async def test_once_of_a_plain_client_is_a_key_of_its_own(self):
        signals = 'signals: [{path: /do, do: [{reply: {value: "{{ data }}"}}]}]'
        async with serve(LIVE + signals) as app, app.connect("/do") as plain, asker(app, "/do") as one:
            for _ in range(2):
                await plain.send("a", once=[5], signalpost={"history": {}})
                said = orjson.loads(await plain.receive())
                assert (said["once"], said["signalpost"]) == ([5], {"history": {}})
            await one.client.send("a", once="x")
            (signal,) = await one.all()
            assert "once" not in signal["signal"]["value"]

    @pytest.mark.parametrize(
        ("path", "message", "code"), [("/closed", "a", "target-not-allowed"), ("/raises", "a", "handler-failed")]
    )
    async def test_an_error_is_told_without_a_ref_too_whether_the_message_has_once_or_not(
        self, app, path, message, code
    ):
        keys = {"path": "/x"} if path == "/closed" else {}
        async with app as running, asker(running, path) as one:
            for once in ({}, {"once": "x"}):
                await one.client.send(message, **keys, **once)
                assert [frame["error"]["code"] for frame in await one.all()] == [code]

    async def test_a_client_that_goes_while_its_message_is_handled_breaks_nothing(self, app):
        async with app as running:
            plugin = plugin_of(running)
            async with asker(running, "/waits") as one:
                await one.client.send("a", ref=1, once="x")
                await plugin.BEGUN.wait()
                one.client.socket.transport.abort()
                with pytest.raises(ConnectionClosed):
                    await one.client.receive()
            plugin.GO.set()
            async with asker(running, "/waits", one.session) as again:
                assert "again" in str(await again.ask("a", 2, once="x")) or plugin.DONE == ["a"]


class Recorder:
    """A client that notes its answers."""

    def __init__(self):
        self.said = []
        self.told = {}
        self.encoding = self.codec = self

    def noticed(self, kind, body):
        frame = f"{len(self.told)} {orjson.dumps(body)}".encode()
        self.told[frame] = (kind, orjson.loads(orjson.dumps(body)))
        return frame

    def send(self, frame):
        self.said.append(self.told[frame])


@pytest.fixture
def clock(make_clock):
    return make_clock(100.0)


class TestBounds:
    def test_a_message_is_known_for_its_time_and_then_done_anew(self, clock):
        repeats, client, session = Repeats(clock), Recorder(), Session("/a", "u")
        repeats.answer(client, session, 1, "x", 10.0).acknowledge()
        clock.advance(9.9)
        assert repeats.answer(client, session, 2, "x", 10.0) is None
        clock.advance(0.1)
        assert repeats.answer(client, session, 3, "x", 10.0) is not None

    def test_one_that_is_under_way_is_known_however_long_it_takes(self, clock):
        repeats, client = Repeats(clock), Recorder()
        session, other = Session("/a", "u"), Session("/a", "v")
        answer = repeats.answer(client, session, 1, "x", 10.0)
        clock.advance(60)
        repeats.answer(Recorder(), other, 1, "y", 10.0).acknowledge()
        assert repeats.answer(client, session, 2, "x", 10.0) is None, "it is not done twice"
        answer.acknowledge()
        assert client.said == [("ack", {"ref": 1}), ("ack", {"ref": 2, "again": True})]

    def test_one_session_has_a_tenth_at_most_and_others_stay_known(self, clock):
        repeats, client = Repeats(clock), Recorder()
        session, greedy = Session("/a", "u"), Session("/a", "v")
        repeats.answer(client, session, 1, "x", 300.0).acknowledge()
        for number in range(MOST_KNOWN):
            repeats.answer(client, greedy, None, str(number), 300.0).acknowledge()
        assert len(repeats) == MOST_KNOWN // SHARE + 1
        assert repeats.answer(client, session, 2, "x", 300.0) is None
        assert repeats.answer(client, greedy, 2, str(MOST_KNOWN - 1), 300.0) is None
        assert repeats.answer(client, greedy, 2, "0", 300.0) is not None

    @pytest.mark.parametrize("ref", [1, None])
    def test_the_bytes_of_answers_are_bounded_whether_they_were_asked_for_or_not(self, clock, ref):
        repeats, client = Repeats(clock), Recorder()
        for number in range(60):
            session = Session("/a", str(number))
            for once in "abc":
                repeats.answer(client, session, ref, once, 300.0).reply(f"{number}{once}" * 200_000)
        held = sum(len(str(each.outcome)) for each in repeats._known.values())
        assert held <= MOST_KNOWN_BYTES

    def test_no_more_than_20000_are_known_whoever_sends_them(self, clock):
        repeats, client = Repeats(clock), Recorder()
        for number in range(MOST_KNOWN + 100):
            repeats.answer(client, Session("/a", str(number)), None, "x", 300.0).acknowledge()
        assert len(repeats) == MOST_KNOWN

    def test_what_was_forgotten_while_under_way_still_answers_those_that_wait(self, clock):
        repeats, client, session = Repeats(clock), Recorder(), Session("/a", "u")
        answer = repeats.answer(client, session, 1, "x", 300.0)
        assert repeats.answer(client, session, 2, "x", 300.0) is None
        for number in range(MOST_KNOWN // SHARE + 5):
            repeats.answer(client, session, None, str(number), 300.0).acknowledge()
        answer.reply("done")
        assert client.said == [
            ("reply", {"ref": 1, "value": "done"}),
            ("reply", {"ref": 2, "value": "done", "again": True}),
        ]
