"""The Python client where WebSockets do not come through: server-sent events, and messages by POST."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.client import Answer, ClosedError, ConnectError, DisconnectedError, RefusedError, Signal
from signalpost.client.eventreader import Event, EventReader, EventTooLargeError
from signalpost.client.way import Way

WATCH = {5}  # seconds between two looks at a connection


def signal(value, at=None):
    return {"signal": {"path": "/room", "value": value} | ({"at": at} if at else {})}


async def values(room, count):
    taken = []
    async for each in room:
        taken.append(each.value)
        if len(taken) == count:
            break
    return taken


class TestTheStream:
    async def test_the_third_try_reads_events(self, event_script, by_events):
        async with event_script() as server, by_events(server, headers={"X-Mine": "1"}) as (room, _, reader):
            assert (reader.path, reader.query) == ("/room", "v=1")
            assert (reader.headers["accept"], reader.headers["x-mine"]) == ("text/event-stream", "1")
            assert "signalpost-session" not in reader.headers
            assert room.transport == "sse"
            await reader.say(signal({"a": "\u2028"}, "e:2:b"))
            async for each in room:
                assert each == Signal({"a": "\u2028"}, "/room", "e:2:b")
                break

    async def test_a_stream_that_breaks_is_read_on(self, event_script, by_events, clock):
        async with event_script() as server, by_events(server) as (room, states, reader):
            await reader.say(signal(2, "e:2:b"))
            assert await values(room, 1) == [2]
            await reader.breaks()
            clock.advance((await states.until("waiting")).seconds)
            again = await server.reader()
            assert again.query == "v=1&at=e%3A2%3Ab"
            assert again.headers["signalpost-session"] == "s1"

    async def test_after_a_failure_of_events_two_websockets_are_tried(self, event_script, by_events, clock):
        async with event_script() as server, by_events(server) as (_, states, reader):
            await reader.breaks()
            clock.advance((await states.until("waiting")).seconds)
            await (await server.reader()).answer(503, {}, Retry_After=30)
            waiting = await states.until("waiting")
            assert waiting.seconds >= 30
            clock.advance(waiting.seconds)
            for _ in range(2):
                await server.websocket()
                clock.advance((await states.until("waiting")).seconds)
            assert (await server.reader()).query == "v=1&at=e%3A1%3Aa"

    @pytest.mark.parametrize("tells", [True, False])
    async def test_a_server_that_cannot_say_where_they_are_is_tried_itself(self, event_script, by_events, tells):
        async with event_script() as server:
            server.tells = tells
            async with by_events(server) as (room, _, _reader):
                assert room.transport == "sse"

    async def test_a_server_that_says_that_it_has_none_is_not_asked_for_them(
        self, event_script, clock, room_of, states_of
    ):
        async with event_script() as server:
            server.sse = {}
            room = room_of(server.url, clock=clock, events=True, open_timeout=None)
            states = states_of(room)
            entering = asyncio.ensure_future(room.__aenter__())
            for _ in range(4):
                await server.websocket()
                clock.advance((await states.until("waiting")).seconds)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering

    async def test_a_close_for_good_ends_the_room(self, event_script, by_events):
        async with event_script() as server, by_events(server) as (room, _, reader):
            await reader.say(signal(1), {"close": {"code": 4009, "reason": "enough"}})
            assert await values(room, 1) == [1]
            with pytest.raises(ClosedError, match="4009, enough"):
                await values(room, 1)

    async def test_a_goodbye_is_the_least_wait(self, event_script, by_events):
        async with event_script() as server, by_events(server) as (_, states, reader):
            await reader.say({"bye": {"retry_ms": 30_000}}, {"close": {"code": 1012, "reason": "restart"}})
            waiting = await states.until("waiting")
            assert waiting.reason == "the server closed the connection (1012: restart)"
            assert 30 <= waiting.seconds <= 60

    async def test_a_stream_without_a_sign_of_life_is_left(self, event_script, by_events, clock):
        async with event_script() as server, by_events(server) as (room, states, reader):
            for seconds in (35, 35):
                for _ in range(seconds // 5):
                    await clock.timer()
                    clock.advance(5)
                await reader.write(b": alive\n\n")
                await reader.say(signal("sign"))
                assert await values(room, 1) == ["sign"]
            for _ in range(8):
                await clock.timer()
                clock.advance(5)
            assert (await states.until("waiting")).reason == "the server gave no sign of life"

    async def test_a_refusal_is_final_and_worded_as_of_the_websocket(self, event_script, clock, room_of, states_of):
        async with event_script() as server:
            room = room_of(server.url, clock=clock, events=True, open_timeout=None)
            states = states_of(room)
            entering = asyncio.ensure_future(room.__aenter__())
            for _ in range(2):
                await server.websocket()
                clock.advance((await states.until("waiting")).seconds)
            await (await server.reader()).answer(404, {})
            with pytest.raises(ConnectError, match="answered HTTP 404: there is no signal at this path"):
                await entering

    async def test_bytes_of_a_raw_signal_are_bytes(self, event_script, by_events):
        async with event_script() as server, by_events(server) as (room, _, reader):
            await reader.write(b"event: binary\ndata: AAE=\n\ndata: plain text\n\n")
            assert await values(room, 2) == [b"\x00\x01", "plain text"]


class TestMessages:
    async def test_a_message_is_posted_with_the_session_and_its_answer_is_the_answer(self, event_script, by_events):
        async with event_script() as server, by_events(server) as (room, _, _reader):
            asked = asyncio.ensure_future(room.ask({"message": "hi"}, timeout=None))
            post = await server.post()
            assert (post.path, post.query) == ("/room", "")
            assert post.headers["signalpost-session"] == "s1"
            assert post.json == {"message": "hi", "once": post.json["once"], "ref": 1}
            await post.answer(202, {"ack": {"at": "e:2:b"}, "signals": [{"path": "/room", "value": "for you"}]})
            assert await asked == Answer("ack", None, "e:2:b")
            assert await values(room, 1) == ["for you"]

    async def test_a_reply_and_a_refusal_are_answers_too(self, event_script, by_events):
        async with event_script() as server, by_events(server) as (room, _, _reader):
            asked = asyncio.ensure_future(room.ask({"message": 1}, timeout=None))
            await (await server.post()).answer(200, {"reply": {"value": [2]}})
            assert await asked == Answer("reply", [2])
            asked = asyncio.ensure_future(room.ask({"message": 1}, timeout=None))
            error = {"code": "schema-mismatch", "pointer": "/message", "detail": "no"}
            await (await server.post()).answer(422, {"error": error})
            with pytest.raises(RefusedError, match="schema-mismatch at /message: no"):
                await asked
            asked = asyncio.ensure_future(room.ask({"message": 1}, timeout=None))
            await (await server.post()).answer(500, ["what?"])
            with pytest.raises(RefusedError, match="the server answered HTTP 500"):
                await asked

    async def test_a_request_is_posted(self, event_script, by_events):
        async with event_script() as server, by_events(server) as (room, _, _reader):
            asked = asyncio.ensure_future(room.history(limit=1, timeout=None))
            post = await server.post()
            assert post.json["signalpost"] == {"history": {"limit": 1}}
            await post.answer(200, {"history": {"path": "/room", "signals": [], "at": None, "more": False}})
            assert (await asked).signals == ()

    @pytest.mark.parametrize("status", [429, 503])
    async def test_a_server_that_is_full_gets_the_same_message_later(self, event_script, by_events, clock, status):
        async with event_script() as server, by_events(server) as (room, _, _reader):
            asked = asyncio.ensure_future(room.ask({"message": "hi"}, timeout=None))
            post = await server.post()
            await post.answer(status, {"error": {"detail": "later"}}, Retry_After=3)
            wait = await clock.timer(but=WATCH)
            assert 3 <= wait <= 6
            clock.advance(wait)
            again = await server.post()
            assert again.json == post.json
            await again.answer(202, {"ack": {}})
            assert (await asked).kind == "ack"

    async def test_a_message_whose_answer_was_lost_is_sent_again(self, event_script, by_events, clock):
        async with event_script() as server, by_events(server) as (room, _, _reader):
            asked = asyncio.ensure_future(room.ask({"message": "hi"}, timeout=None))
            post = await server.post()
            await post.breaks()
            clock.advance(await clock.timer(but=WATCH))
            again = await server.post()
            assert again.json == post.json
            await again.answer(202, {"ack": {"again": True}})
            assert (await asked).again

    async def test_a_message_without_an_answer_is_not_repeated(self, event_script, by_events):
        async with event_script() as server, by_events(server) as (room, _, _reader):
            sent = asyncio.ensure_future(room.send({"message": "hi"}))
            await (await server.post()).breaks()
            with pytest.raises(DisconnectedError, match="not sent: the server cannot be reached"):
                await sent

    async def test_a_token_that_is_refused_is_asked_for_again(self, event_script, by_events):
        made = []

        def token():
            made.append(f"t{len(made)}")
            return made[-1]

        async with event_script() as server, by_events(server, token=token) as (room, _, reader):
            assert reader.headers["authorization"] == "Bearer t2"
            asked = asyncio.ensure_future(room.ask({"message": "hi"}, timeout=None))
            post = await server.post()
            await post.answer(401, {})
            again = await server.reader()
            assert again.headers["authorization"] == "Bearer t3"
            await again.stream({"welcome": {"clientId": "c", "path": "/room", "session": "s1"}})
            repeated = await server.post()
            assert repeated.json == post.json
            await repeated.answer(202, {"ack": {}})
            assert (await asked).kind == "ack"


class TestTheWay:
    def test_without_httpx_it_is_always_websockets(self):
        way = Way(may_use_events=False)
        for _ in range(5):
            assert way.choose() == "websocket"
            assert not way.has_another
            way.ended(1006)

    def test_what_a_server_closes_by_a_code_of_its_own_came_through(self):
        way = Way(may_use_events=True)
        for _ in range(5):
            assert way.choose() == "websocket"
            way.ended(4401)

    def test_a_server_that_has_no_events_leaves_no_other_way_until_a_welcome(self):
        way = Way(may_use_events=True)
        assert way.has_another
        way.denied()
        assert not way.has_another
        way.welcomed()
        assert way.has_another

    def test_who_is_told_that_there_are_no_websockets_need_not_ask_again(self):
        way = Way(may_use_events=True)
        way.choose()
        way.ended(None)
        way.refused()
        assert way.choose() == "sse"
        assert not way.has_another

    def test_a_welcome_by_websocket_begins_the_count_anew(self):
        way = Way(may_use_events=True)
        way.choose()
        way.ended(1006)
        way.choose()
        way.welcomed()
        way.ended(1006)
        assert way.choose() == "websocket"
        way.ended(1006)
        assert way.choose() == "websocket"
        way.ended(1006)
        assert way.choose() == "sse"


class TestTheReaderOfEvents:
    STREAM = (
        b'retry: 2000\n\n: alive\n\nid: e:1:a\ndata: {"a": 1}\n\nevent: gap\rdata: one\rdata:two\r\r'
        b"data:  \xc3\xbc\r\ndata\r\nunknown: x\r\n\r\n\n\ndata: cut off"
    )
    EVENTS = (Event("", ""), Event("", '{"a": 1}'), Event("gap", "one\ntwo"), Event("", " ü\n"))

    @given(st.lists(st.integers(0, len(STREAM)), max_size=12))
    def test_it_does_not_matter_where_the_stream_is_cut(self, cuts):
        reader, found, begin = EventReader(None), [], 0
        for end in [*sorted(cuts), len(self.STREAM)]:
            found += reader.feed(self.STREAM[begin:end])
            begin = end
        assert tuple(found) == self.EVENTS

    def test_an_event_that_is_too_large_is_refused(self):
        reader = EventReader(100)
        assert reader.feed(b"data: " + b"x" * 80 + b"\n\n") != []
        assert reader.feed(b"data: " + b"x" * 90 + b"\n") == []
        with pytest.raises(EventTooLargeError):
            reader.feed(b"data: " + b"x" * 20)
