"""Sessions over plain HTTP: what survives a stream's reconnect, and what a POST with its session does for it."""

import asyncio

import orjson
import pytest

from signalpost.signals.sessions import TAKEN_OVER

SIGNALS = """
signals:
  - {path: '/others/<room>', rebroadcast: others}
  - {path: '/group', rebroadcast: group}
  - {path: '/present', presence: {every: 1ms, grace: 0}, rebroadcast: path, history: 10}
  - {path: '/rooms/<room>', rebroadcast: path, history: 10}
  - {path: '/count', do: [{set: {n: "{{ state.n | default(0) + 1 }}"}}, {reply: {value: "{{ state.n }}"}}]}
  - {path: '/refuse', rebroadcast: path, schema: {type: object, properties: {message: {type: integer}}}}
"""
PLUGIN = """
import asyncio
from signalpost import signal

started = asyncio.Queue()
gates = []

@signal("join", path="/join")
async def join(event):
    if event.data.message.startswith("-"):
        event.client.leave(event.data.message[1:])
    else:
        event.client.join(event.data.message)
    event.reply(sorted(event.client.groups))

@signal("data", path="/data")
async def data(event):
    event.client.data.setdefault("seen", []).append(event.data.message)
    return event.client.data["seen"]

@signal("kept", path="/kept")
async def kept(event):
    event.broadcast(event.data.message, to="others")

@signal("hold", path="/hold", cancel_when_gone=True)
async def hold(event):
    gate = asyncio.Event()
    gates.append(gate)
    started.put_nowait(event)
    await gate.wait()
    event.client.join("late")
    return event.data.message
"""
V1 = "?v=1"


@pytest.fixture
def app(sse):
    return sse(SIGNALS, plugins={"p": PLUGIN})


def module_of(app):
    (found,) = (each.module for each in app.server.plan.registry.plugins if each.name == "p")
    return found


def named(session):
    return f"Signalpost-Session: {session}"


@pytest.fixture
def reader(plain):
    """Open a stream of v1; return it with its welcome."""

    async def reader(app, path, *headers):
        stream = await plain.stream(app, path + V1, *headers)
        return stream, (await stream.object())["welcome"]

    return reader


class TestReconnect:
    async def test_a_client_that_brings_its_session_has_its_groups_and_its_user_again(self, app, reader, settled):
        async with app as running:
            stream, welcome = await reader(running, "/present")
            stream.client.join("g")
            stream.close()
            await settled(running)
            again, told = await reader(running, "/present", named(welcome["session"]))
            assert (told["session"], told["user"]) == (welcome["session"], welcome["user"])
            assert again.id != stream.id
            assert again.client.groups == {"g"}

    @pytest.mark.parametrize("session", ["unknown", "", "x" * 1_000, "ÿ", "a,b"])
    async def test_a_session_that_is_not_known_is_ignored(self, app, reader, session):
        async with app as running:
            _, told = await reader(running, "/present", named(session))
            assert told["session"] not in {session, ""}

    async def test_a_session_is_not_known_on_another_path(self, app, reader, plain):
        async with app as running:
            stream, welcome = await reader(running, "/rooms/blue")
            other, told = await reader(running, "/rooms/red", named(welcome["session"]))
            assert told["session"] != welcome["session"]
            stream.client.join("g")
            answer = await plain.post(running, "/join", "h", session=welcome["session"])
            assert answer.json["reply"]["value"] == ["h"]
            assert stream.client.groups == {"g"}
            assert other.client.groups == frozenset()

    async def test_a_stream_that_is_taken_over_is_told_so_and_ends(self, app, reader):
        async with app as running:
            stream, welcome = await reader(running, "/rooms/blue")
            _, told = await reader(running, "/rooms/blue", named(welcome["session"]))
            assert told["session"] == welcome["session"]
            events = await stream.rest()
            assert [orjson.loads(data) for _, data, _ in events] == [{"close": {"code": 4410, "reason": TAKEN_OVER}}]
            assert len(running.server.node.hub.clients) == 1

    async def test_a_websocket_and_a_stream_take_a_session_from_each_other(self, both, reader):
        async with both(SIGNALS, plugins={"p": PLUGIN}) as running:
            stream, welcome = await reader(running, "/rooms/blue")
            protocols = ["signalpost.v1", f"signalpost.session.{welcome['session']}"]
            async with running.connect("/rooms/blue", subprotocols=protocols) as socket:
                assert (await socket.receive_json())["welcome"]["session"] == welcome["session"]
                assert b'"code":4410' in (await stream.rest())[-1][1].encode()
                _, told = await reader(running, "/rooms/blue", named(welcome["session"]))
                assert told["session"] == welcome["session"]
                with pytest.raises(Exception, match="4410"):
                    await socket.receive()

    async def test_a_plain_stream_has_no_session_and_takes_none(self, app, reader, plain):
        async with app as running:
            stream, welcome = await reader(running, "/rooms/blue")
            await plain.stream(running, "/rooms/blue", named(welcome["session"]))
            assert len(running.server.node.memory.sessions) == 1
            await plain.post(running, "/rooms/blue", "still here")
            assert (await stream.object())["signal"]["value"] == "still here"

    async def test_a_client_misses_nothing_while_it_is_away(self, app, reader, plain, settled):
        async with app as running:
            stream, welcome = await reader(running, "/rooms/blue")
            stream.close()
            await settled(running)
            for value in "ab":
                await plain.post(running, "/rooms/blue", value)
            again, told = await reader(
                running, "/rooms/blue", named(welcome["session"]), f"Last-Event-ID: {welcome['at']}"
            )
            assert (told["recovered"], told["missed"]) == (True, 2)
            assert [(await again.object())["signal"]["value"] for _ in "ab"] == ["a", "b"]


class TestPosts:
    async def test_what_goes_to_others_does_not_reach_the_stream_of_its_session(self, app, reader, plain):
        async with app as running:
            one, welcome = await reader(running, "/others/a")
            two, _ = await reader(running, "/others/a")
            await plain.post(running, "/others/a", "mine", session=welcome["session"])
            await plain.post(running, "/others/a", "nobody's")
            await plain.post(running, "/others/a", "unknown's", session="unknown")
            assert [(await two.object())["signal"]["value"] for _ in range(3)] == ["mine", "nobody's", "unknown's"]
            assert [(await one.object())["signal"]["value"] for _ in range(2)] == ["nobody's", "unknown's"]

    async def test_what_a_handler_sends_to_others_does_not_either(self, app, reader, plain):
        async with app as running:
            one, welcome = await reader(running, "/kept")
            two, _ = await reader(running, "/kept")
            await plain.post(running, "/kept", "mine", session=welcome["session"])
            await plain.post(running, "/kept", "nobody's")
            assert [(await two.object())["signal"]["value"] for _ in range(2)] == ["mine", "nobody's"]
            assert (await one.object())["signal"]["value"] == "nobody's"

    async def test_a_group_that_a_post_joins_is_the_streams_and_the_streams_groups_are_its_own(
        self, app, reader, plain
    ):
        async with app as running:
            stream, welcome = await reader(running, "/join")
            stream.client.join("before")
            answer = await plain.post(running, "/join", "g", session=welcome["session"])
            assert answer.json["reply"]["value"] == ["before", "g"]
            assert stream.client.groups == {"before", "g"}
            assert running.server.node.broadcaster("to it", group="g").matched == 1
            assert (await stream.object())["signal"]["value"] == "to it"
            answer = await plain.post(running, "/join", "-before", session=welcome["session"])
            assert answer.json["reply"]["value"] == ["g"]
            assert running.server.node.broadcaster("to nobody", group="before").matched == 0
            assert (await plain.post(running, "/join", "x")).json["reply"]["value"] == ["x"]
            assert stream.client.groups == {"g"}
            assert running.server.node.broadcaster("to nobody", group="x").matched == 0

    async def test_a_group_that_it_joins_while_the_stream_is_away_is_there_when_it_comes_back(
        self, app, reader, plain, settled
    ):
        async with app as running:
            stream, welcome = await reader(running, "/join")
            stream.close()
            await settled(running)
            await plain.post(running, "/join", "g", session=welcome["session"])
            answer = await plain.post(running, "/join", "h", session=welcome["session"])
            assert answer.json["reply"]["value"] == ["g", "h"]
            again, told = await reader(running, "/join", named(welcome["session"]))
            assert told["session"] == welcome["session"]
            assert again.client.groups == {"g", "h"}

    async def test_a_group_that_it_joins_reaches_the_stream_that_has_come_back_meanwhile(
        self, app, reader, plain, settled
    ):
        async with app as running:
            for away in (False, True):
                stream, welcome = await reader(running, "/hold")
                if away:
                    stream.close()
                    await settled(running)
                posting = asyncio.create_task(plain.post(running, "/hold", "v", session=welcome["session"]))
                await module_of(running).started.get()
                again, _ = await reader(running, "/hold", named(welcome["session"]))
                module_of(running).gates[-1].set()
                assert (await posting).json == {"reply": {"value": "v"}}
                assert again.client.groups == {"late"}, away
                again.close()
                await settled(running)

    async def test_a_value_to_the_groups_of_the_sender_goes_to_those_of_its_stream(self, app, reader, plain):
        async with app as running:
            one, welcome = await reader(running, "/group")
            two, _ = await reader(running, "/group")
            one.client.join("g")
            two.client.join("g")
            await plain.post(running, "/group", "to g", session=welcome["session"])
            await plain.post(running, "/group", "to none")
            running.server.node.broadcaster("end")
            for stream in (one, two):
                assert [(await stream.object())["signal"]["value"] for _ in range(2)] == ["to g", "end"]

    async def test_what_plugins_store_of_a_client_is_that_of_its_stream(self, app, reader, plain):
        async with app as running:
            stream, welcome = await reader(running, "/data")
            session = welcome["session"]
            seen = [(await plain.post(running, "/data", n, session=session)).json["reply"]["value"] for n in (1, 2)]
            assert seen == [[1], [1, 2]]
            assert stream.client.data == {"seen": [1, 2]}
            assert (await plain.post(running, "/data", 3)).json["reply"]["value"] == [3]

    async def test_who_sends_is_not_present_and_who_reads_is(self, app, reader, plain):
        async with app as running:
            stream, welcome = await reader(running, "/present")
            assert (await stream.object())["presence"]["users"].keys() == {welcome["user"]}
            await plain.post(running, "/present", "a", session=welcome["session"])
            await plain.post(running, "/present", "b")
            other, told = await reader(running, "/present")
            values, joined = [], {}
            while told["user"] not in joined.get("joined", {}):
                ((kind, body),) = (await stream.object()).items()
                values += [body["value"]] if kind == "signal" else []
                joined = body
            assert values == ["a", "b"]
            assert joined["count"] == 2
            other.close()
            while joined.get("left") != [told["user"]]:
                joined = (await stream.object())["presence"]
            assert joined["count"] == 1

    async def test_a_post_neither_ends_nor_takes_over_the_session_whose_text_it_brings(self, app, reader, plain):
        async with app as running:
            stream, welcome = await reader(running, "/rooms/blue")
            for number in range(50):
                await plain.post(running, "/rooms/blue", number, session=welcome["session"])
            assert [(await stream.object())["signal"]["value"] for _ in range(50)] == list(range(50))
            assert list(running.server.node.hub.clients) == [stream.id]

    async def test_a_session_that_the_app_has_ended_is_nobodys(self, app, reader, plain, settled):
        async with app as running:
            stream, welcome = await reader(running, "/join")
            stream.client.join("g")
            stream.client.close(4009)
            await settled(running)
            answer = await plain.post(running, "/join", "h", session=welcome["session"])
            assert answer.json["reply"]["value"] == ["h"]
            assert len(running.server.node.memory.sessions) == 0


class TestOnce:
    async def test_with_a_session_a_message_is_done_once_whatever_connection_brings_it(self, app, reader, plain):
        async with app as running:
            _, welcome = await reader(running, "/count")
            session = welcome["session"]
            first = await plain.post(running, "/count", 1, session=session, once="a")
            again = await plain.post(running, "/count", 1, session=session, once="a", ref=7)
            other = await plain.post(running, "/count", 1, session=session, once="b")
            assert first.json == {"reply": {"value": 1}}
            assert again.json == {"reply": {"value": 1, "again": True}}
            assert other.json == {"reply": {"value": 2}}

    async def test_the_position_of_a_repeated_message_is_the_first_ones(self, app, reader, plain):
        async with app as running:
            stream, welcome = await reader(running, "/rooms/blue")
            session = welcome["session"]
            first = await plain.post(running, "/rooms/blue", 1, session=session, once="a")
            again = await plain.post(running, "/rooms/blue", 1, session=session, once="a")
            assert (first.status, again.status) == (202, 202)
            assert again.json["ack"] == {**first.json["ack"], "again": True}
            await plain.post(running, "/rooms/blue", "end")
            assert [(await stream.object())["signal"]["value"] for _ in range(2)] == [1, "end"]

    async def test_a_websocket_and_a_post_of_one_session_share_what_is_known(self, both, plain):
        async with (
            both(SIGNALS, plugins={"p": PLUGIN}) as running,
            running.connect("/count", subprotocols=["signalpost.v1"]) as socket,
        ):
            session = (await socket.receive_json())["welcome"]["session"]
            await socket.send(1, once="a", ref=1)
            assert (await socket.receive_json())["reply"] == {"ref": 1, "value": 1}
            answer = await plain.post(running, "/count", 1, session=session, once="a")
            assert answer.json == {"reply": {"value": 1, "again": True}}

    async def test_without_a_session_that_is_known_nothing_is_remembered(self, app, reader, plain):
        async with app as running:
            _, welcome = await reader(running, "/count")
            await plain.post(running, "/count", 1, session=welcome["session"], once="mine")
            node = running.server.node
            for number in range(200):
                answer = await plain.post(running, "/count", 1, session="unknown" * (number % 2), once="same")
                assert answer.json == {"reply": {"value": 2 + number}}
            assert len(node.memory.repeats) == 1
            assert len(node.memory.sessions) == 1
            answer = await plain.post(running, "/count", 1, session=welcome["session"], once="mine")
            assert answer.json == {"reply": {"value": 1, "again": True}}

    async def test_what_was_refused_is_judged_anew(self, app, reader, plain):
        async with app as running:
            _, welcome = await reader(running, "/refuse")
            session = welcome["session"]
            assert (await plain.post(running, "/refuse", "x", session=session, once="a")).status == 422
            assert (await plain.post(running, "/refuse", 1, session=session, once="a")).status == 202

    async def test_a_repeat_of_what_is_under_way_waits_for_its_answer(self, app, reader, plain):
        async with app as running:
            _, welcome = await reader(running, "/hold")
            session = welcome["session"]
            first = asyncio.create_task(plain.post(running, "/hold", "v", session=session, once="a"))
            await module_of(running).started.get()
            repeats = [asyncio.create_task(plain.post(running, "/hold", "v", session=session, once="a")) for _ in "123"]
            while len(running.server.node.hub.clients) < 5:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0)
            module_of(running).gates[0].set()
            assert (await first).json == {"reply": {"value": "v"}}
            assert [(await each).json for each in repeats] == [{"reply": {"value": "v", "again": True}}] * 3
            assert module_of(running).started.empty()

    async def test_a_repeat_whose_first_is_cancelled_is_told_that_it_was_not_done(self, app, reader, plain):
        async with app as running:
            stream, welcome = await reader(running, "/hold")
            session = welcome["session"]
            connection = await plain.connect(running)
            body = orjson.dumps({"message": "v", "once": "a"})
            await connection.send(plain.request("POST", "/hold", (named(session),), body=body))
            await module_of(running).started.get()
            repeat = asyncio.create_task(plain.post(running, "/hold", "v", session=session, once="a"))
            while len(running.server.node.hub.clients) < 3:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0)
            connection.close()
            answer = await repeat
            assert (answer.status, answer.json["error"]["code"]) == (500, "handler-failed")
            assert list(running.server.node.hub.clients) == [stream.id]

    async def test_a_repeat_whose_client_hangs_up_while_it_waits_leaves_nothing(self, app, reader, plain, settled):
        async with app as running:
            _, welcome = await reader(running, "/hold")
            session = welcome["session"]
            first = asyncio.create_task(plain.post(running, "/hold", "v", session=session, once="a"))
            await module_of(running).started.get()
            connection = await plain.connect(running)
            body = orjson.dumps({"message": "v", "once": "a"})
            await connection.send(plain.request("POST", "/hold", (named(session),), body=body))
            while len(running.server.node.hub.clients) < 3:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0)
            connection.reset()
            await settled(running, 2)
            module_of(running).gates[0].set()
            assert (await first).json == {"reply": {"value": "v"}}
