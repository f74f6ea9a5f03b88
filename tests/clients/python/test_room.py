"""The Python client, beyond what all clients do: its errors, its queue, its listeners."""

import asyncio
import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from signalpost.client import (
    Answer,
    ClosedError,
    ConnectError,
    DisconnectedError,
    Gap,
    History,
    Member,
    RefusedError,
    Signal,
    State,
    connect,
)
from signalpost.client.address import parse_address
from signalpost.client.waits import Waits
from signalpost.testing import serve

APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    undeclared: refuse
    signals:
      - {path: /rooms/<room>, rebroadcast: path, history: 100, presence: {every: 100ms, grace: 0s}}
      - {path: /strict, rebroadcast: path, schema: {properties: {message: {type: string}}}}
      - {path: /sum, do: [{reply: {value: {sum: "{{ message | length }}"}}}]}
      - {path: /raw, format: raw, rebroadcast: path}
      - {path: /close, do: [{close: {reason: enough}}]}
"""


def signal(value, at=None, path="/room"):
    return {"signal": {"path": path, "value": value} | ({"at": at} if at else {})}


async def take(room, count):
    taken = []
    async for each in room:
        taken.append(each)
        if len(taken) == count:
            return taken
    return taken


async def until(reached):
    """Wait for what nothing tells of."""
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0)


class TestARoomOfARealServer:
    async def test_signals_come_with_their_path_and_position(self):
        async with serve(APP) as app, connect(app.url() + "/rooms/blue") as room:
            answer = await room.ask({"message": {"text": "hi"}})
            async for each in room:
                assert each == Signal({"text": "hi"}, "/rooms/blue", answer.at)
                break
            assert answer == Answer("ack", None, answer.at, again=False)

    async def test_a_reply_is_the_answer(self):
        async with serve(APP) as app, connect(app.url() + "/sum") as room:
            assert await room.ask({"message": "four"}) == Answer("reply", {"sum": 4})

    async def test_a_message_of_the_same_once_is_done_once(self):
        async with serve(APP) as app, connect(app.url() + "/rooms/blue") as room:
            first = await room.ask({"message": "hi", "once": "mine"})
            second = await room.ask({"message": "hi", "once": "mine"})
            assert (first.again, second.again) == (False, True)
            assert [each.value for each in (await room.history()).signals] == ["hi"]

    async def test_what_is_refused_says_where_and_why(self):
        async with serve(APP) as app, connect(app.url() + "/strict") as room:
            with pytest.raises(RefusedError, match="expected a string, got a number") as refused:
                await room.ask({"message": 1})
            assert (refused.value.code, refused.value.pointer) == ("schema-mismatch", "/message")

    async def test_the_refusal_of_what_was_only_sent_is_told(self):
        async with serve(APP) as app, connect(app.url() + "/strict") as room:
            told = asyncio.Queue()
            room.on("error", told.put_nowait)
            await room.send({"message": 1})
            assert (await told.get()).code == "schema-mismatch"

    async def test_the_refusal_of_what_was_only_sent_is_logged_if_nobody_listens(self, caplog):
        async with serve(APP) as app, connect(app.url() + "/strict") as room:
            await room.send({"message": 1})
            await room.ask({"message": "behind it"})
            assert "a message was refused, and nobody waits for its answer: schema-mismatch" in caplog.text

    async def test_the_history_is_read_in_parts(self):
        async with serve(APP) as app, connect(app.url() + "/rooms/blue") as room:
            answers = [await room.ask({"message": number}) for number in range(3)]
            newest = await room.history(limit=2)
            older = await room.history(before=newest.signals[0].at)
            newer = await room.history(after=answers[0].at, limit=1)
            assert [each.value for each in newest.signals] == [1, 2]
            assert (newest.more, newest.at) == (True, answers[2].at)
            assert older == History((Signal(0, "/rooms/blue", answers[0].at),), answers[0].at, more=False)
            assert [each.value for each in newer.signals] == [1]
            with pytest.raises(RefusedError, match="bad-message"):
                await room.history(before="no position")

    async def test_who_is_present_is_kept(self):
        async with serve(APP) as app, connect(app.url() + "/rooms/blue") as room:
            changes = asyncio.Queue()
            room.on("presence", changes.put_nowait)
            async with connect(app.url() + "/rooms/blue") as other:
                while other.user not in room.present:
                    await asyncio.wait_for(changes.get(), 20)
                assert room.present[other.user] == Member(1, None)
                assert room.count == 2
            while other.user in room.present:
                gone = await asyncio.wait_for(changes.get(), 20)
            assert gone.left == (other.user,)
            assert dict(room.present) == {room.user: Member(1, None)}

    async def test_a_position_of_another_run_brings_what_was_missed(self):
        async with serve(APP) as app:
            async with connect(app.url() + "/rooms/blue") as room:
                first = await room.ask({"message": 1})
                await room.ask({"message": 2})
            async with connect(app.url() + "/rooms/blue", at=first.at) as room:
                assert [each.value for each in await take(room, 1)] == [2]
            async with connect(app.url() + f"/rooms/blue?at={first.at}") as room:
                assert [each.value for each in await take(room, 1)] == [2]

    async def test_frames_of_a_raw_signal_come_as_they_are(self):
        async with serve(APP) as app, connect(app.url() + "/raw") as room:
            await room.send_raw(b"\x00\x01")
            await room.send_raw("text")
            assert [each.value for each in await take(room, 2)] == [b"\x00\x01", "text"]

    async def test_a_close_for_good_ends_the_loop_with_its_code(self):
        async with serve(APP) as app, connect(app.url() + "/close") as room:
            await room.send({"message": 1})
            with pytest.raises(ClosedError) as closed:
                await take(room, 1)
            assert (closed.value.code, closed.value.reason) == (4009, "enough")
            assert room.state == State("closed", 0, "enough")
            with pytest.raises(ClosedError):
                await room.ask({"message": 1})
            with pytest.raises(ClosedError):
                await room.send({"message": 1})

    async def test_a_query_is_added_to_the_address(self):
        async with (
            serve("""
                endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
                signals: [{path: /, connected: [{reply: {value: "{{ request.query.a }}{{ request.query.b }}"}}]}]
            """) as app,
            connect(app.url() + "/?a=1", query={"b": "2&3"}) as room,
        ):
            assert [each.value for each in await take(room, 1)] == ["12&3"]


class TestTheFirstConnection:
    async def test_a_path_without_a_signal_says_so(self):
        async with serve(APP) as app:
            with pytest.raises(ConnectError, match="answered HTTP 404: there is no signal at this path") as refused:
                await connect(app.url() + "/nope").__aenter__()
            assert refused.value.status == 404

    async def test_a_port_where_nothing_listens_says_so(self):
        with pytest.raises(ConnectError, match=r"no welcome within 0\.2 s: nothing listens at 127\.0\.0\.1:1 "):
            await connect("ws://127.0.0.1:1", open_timeout=0.2).__aenter__()

    async def test_a_server_that_comes_late_is_waited_for(self, script, clock, states_of, room_of):
        async with script() as server:
            room = room_of(server.url, clock=clock, open_timeout=None)
            states = states_of(room)
            entering = asyncio.ensure_future(room.__aenter__())
            await (await server.visit()).breaks()
            assert (await states.until("waiting")).reason == "the connection broke"
            clock.advance(20)
            await (await server.visit()).welcome()
            assert await entering is room
            await room.close()

    async def test_another_kind_of_websocket_server_says_so(self, script):
        async with script(subprotocols=None) as server:
            with pytest.raises(ConnectError, match=r"has WebSockets, but speaks no signalpost.v1"):
                await connect(server.url).__aenter__()

    async def test_a_close_for_good_says_why(self, script):
        async with script() as server:
            entering = asyncio.ensure_future(connect(server.url).__aenter__())
            await (await server.visit()).close(1008, "not you")
            with pytest.raises(ConnectError, match=r"the server closed the connection \(1008: not you\)") as refused:
                await entering
            assert refused.value.code == 1008

    async def test_a_page_of_http_says_so(self, script, room_of):
        async with script(process_request=lambda connection, _: connection.respond(200, "hello")) as server:
            with pytest.raises(ConnectError, match="answered HTTP 200: this is a page of HTTP, and no WebSocket"):
                await room_of(server.url).__aenter__()

    async def test_a_refusal_is_told_in_the_words_of_the_server(self, room_of):
        async with serve("""
            endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
            routes: [{path: /, do: [{respond: {text: hello}}]}]
        """) as app:
            with pytest.raises(ConnectError, match=r"answered HTTP 400: There are no WebSockets at this address$"):
                await room_of(app.url()).__aenter__()

    async def test_a_certificate_that_is_not_trusted_says_so(self, trusting):
        async with serve("""
            endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}]
            signals: [{path: /}]
        """) as app:
            with pytest.raises(ConnectError, match=r"the certificate of .* is not trusted: self-signed certificate"):
                await connect(app.url()).__aenter__()
            with pytest.raises(ConnectError, match="did you mean wss:// "):
                await connect(app.url().replace("wss", "ws"), open_timeout=0.2).__aenter__()
            async with connect(app.url(), ssl=trusting) as room:
                assert (await room.ask({"message": 1})).kind == "ack"

    async def test_a_server_without_tls_says_so(self):
        async def refuse(reader, writer):
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectError, match=r"does not answer as TLS does .* did you mean ws:// "):
                await connect(f"wss://127.0.0.1:{port}").__aenter__()

    async def test_a_server_without_tls_that_waits_for_more_says_so(self):
        async with serve(APP) as app:
            with pytest.raises(ConnectError, match="does not answer; did you mean ws:// "):
                await connect(app.url().replace("ws", "wss"), open_timeout=0.2).__aenter__()

    async def test_what_the_token_function_raises_is_raised(self):
        def token():
            raise LookupError("no token")

        async with serve(APP) as app:
            with pytest.raises(LookupError, match="no token"):
                await connect(app.url() + "/strict", token=token).__aenter__()

    async def test_a_cancelled_connect_leaves_nothing_behind(self, script):
        async with script() as server:
            entering = asyncio.ensure_future(connect(server.url).__aenter__())
            visit = await server.visit()
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
            await asyncio.wait_for(visit.socket.wait_closed(), 20)

    async def test_a_room_is_entered_once(self, script, connected):
        async with script() as server, connected(server) as (room, _):
            with pytest.raises(RuntimeError, match="opened once"):
                await room.__aenter__()


class TestSignalsThatNobodyReads:
    async def test_the_room_reads_no_more_from_the_network_than_it_keeps_as_its_inside_shows(self, script, connected):
        async with script(compression=None) as server, connected(server, unread=2) as (room, visit):
            flood = asyncio.ensure_future(visit.say(*(signal(number) for number in range(500))))
            most = 0
            async for each in room:
                most = max(most, len(room._unread._items))
                if each.value == 499:
                    break
            await flood
            assert 1 <= most <= 2

    async def test_an_answer_is_read_that_comes_behind_them(self, script, connected):
        async with script() as server, connected(server, unread=1) as (room, visit):
            await visit.say(*(signal(number) for number in range(50)))
            await until(lambda: room._unread.waiting)
            asked = asyncio.ensure_future(room.ask({"message": "hi"}))
            ref = (await visit.hear())["ref"]
            await visit.say({"ack": {"ref": ref}})
            assert (await asked).kind == "ack"
            assert [each.value for each in await take(room, 50)] == list(range(50))

    async def test_none_are_kept_of_a_room_that_wants_none(self, script, connected):
        async with script() as server, connected(server, unread=0) as (room, visit):
            frames = asyncio.Queue()
            room.on("frame", lambda kind, body: frames.put_nowait((kind, body)))
            await visit.say(signal(1))
            assert await frames.get() == ("signal", {"path": "/room", "value": 1})
            with pytest.raises(RuntimeError, match="keeps no signals"):
                await take(room, 1)

    async def test_signals_that_came_before_a_close_for_good_are_read_first(self, script, connected):
        async with script() as server, connected(server) as (room, visit):
            await visit.say(signal(1), signal(2))
            await visit.close(4403, "out")
            assert [each.value for each in await take(room, 2)] == [1, 2]
            with pytest.raises(ClosedError, match="4403, out"):
                await take(room, 1)

    async def test_a_loop_ends_when_the_app_closes_the_room(self, script, connected):
        async with script() as server, connected(server) as (room, _):
            reading = asyncio.ensure_future(take(room, 1))
            await room.close()
            assert await reading == []
            with pytest.raises(ClosedError, match="1000"):
                await room.ask({"message": 1})


class TestGaps:
    GAP = {"gap": {"path": "/room", "at": "e:5:b", "why": "too-old"}}  # noqa: RUF012

    @pytest.mark.parametrize("coroutine", [False, True])
    async def test_a_gap_is_told_between_its_signals(self, coroutine, script, connected):
        async with script() as server, connected(server) as (room, visit):
            story = []

            async def load(gap):
                await asyncio.sleep(0)
                story.append(gap)

            room.on("gap", load if coroutine else story.append)
            await visit.say(signal(1), self.GAP, signal(2))
            async for each in room:
                story.append(each.value)
                if each.value == 2:
                    break
            assert story == [1, Gap("/room", "too-old", "e:5:b"), 2]

    async def test_a_listener_of_gaps_may_ask_the_room(self, script, connected):
        async with script() as server, connected(server, unread=1) as (room, visit):

            async def load(_):
                room.loaded = await room.history()

            room.on("gap", load)
            await visit.say(self.GAP, signal(1), signal(2))
            reading = asyncio.ensure_future(take(room, 2))
            asked = await visit.hear()
            assert asked["signalpost"] == {"history": {"limit": 100}}
            await visit.say({"history": {"ref": asked["ref"], "signals": [], "at": None, "more": False}})
            assert [each.value for each in await reading] == [1, 2]
            assert room.loaded == History((), None, more=False)

    async def test_a_gap_that_nobody_listens_to_is_logged_once(self, caplog, script, connected):
        async with script() as server, connected(server) as (room, visit):
            await visit.say(self.GAP, self.GAP, signal(1))
            await take(room, 1)
            (told,) = [each for each in caplog.records if each.name == "signalpost.client"]
            assert told.getMessage().startswith("values of /room are missing (too-old), and nobody listens: room.on(")
            assert told.levelno == logging.WARNING

    async def test_what_a_listener_of_gaps_raises_is_raised_by_the_loop(self, script, connected):
        async with script() as server, connected(server) as (room, visit):

            def fail(_):
                raise LookupError("nothing to load")

            room.on("gap", fail)
            await visit.say(self.GAP)
            with pytest.raises(LookupError, match="nothing to load"):
                await take(room, 1)


class TestListeners:
    async def test_a_listener_that_fails_is_logged_and_the_others_are_told(self, caplog, script, connected):
        async with script() as server, connected(server) as (room, visit):
            told = asyncio.Queue()

            async def fail_later(_):
                raise LookupError("later")

            def fail(_):
                raise LookupError("at once")

            for listener in (fail, fail_later, told.put_nowait):
                room.on("lagged", listener)
            await visit.say({"lagged": {"missed": 3}}, signal(1))
            assert await told.get() == {"missed": 3}
            await take(room, 1)
            assert "a listener of lagged failed" in caplog.text
            assert "at once" in caplog.text

    async def test_a_coroutine_function_hears_of_the_end_too(self, script, connected):
        async with script() as server, connected(server) as (room, _):
            told = asyncio.Queue()

            async def hear(state):
                await asyncio.sleep(0)
                told.put_nowait(state.name)

            room.on("state", hear)
            await room.close()
            assert await asyncio.wait_for(told.get(), 20) == "closed"

    async def test_a_listener_can_be_removed(self, script, connected):
        async with script() as server, connected(server) as (room, visit):
            told = []
            remove = room.on("lagged", told.append)
            remove()
            remove()
            await visit.say({"lagged": {"missed": 3}}, signal(1))
            await take(room, 1)
            assert told == []

    async def test_a_kind_that_does_not_exist_is_refused(self, script, connected):
        async with script() as server, connected(server) as (room, _):
            with pytest.raises(
                ValueError,
                match=r'nothing called "signals" to listen to .known: bye, close, error, expiring, frame',
            ):
                room.on("signals", print)


class TestAConnectionThatBreaks:
    async def test_the_room_goes_on_where_it_was(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock, welcome={"at": "e:1:a"}) as (room, visit):
            states = states_of(room)
            assert visit.at is None
            await visit.say(signal(2, "e:2:b"))
            await take(room, 1)
            await visit.breaks()
            wait = (await states.until("waiting")).seconds
            assert 0.5 <= wait <= 2
            clock.advance(wait)
            again = await server.visit()
            assert (again.at, again.one_offered("signalpost.session.")) == ("e:2:b", "s1")
            await again.welcome(at="e:3:c", recovered=True, missed=1)
            await again.say(signal(3, "e:3:c"))
            assert await take(room, 1) == [Signal(3, "/room", "e:3:c")]

    async def test_a_position_ahead_of_what_is_still_to_come_is_not_taken(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock, welcome={"at": "e:1:a"}) as (room, visit):
            states = states_of(room)
            for ahead in ({"recovered": True, "missed": 2}, {"recovered": False, "missed": 1}):
                await visit.breaks()
                clock.advance((await states.until("waiting")).seconds)
                visit = await server.visit()  # noqa: PLW2901
                assert visit.at == "e:1:a"
                await visit.welcome(at="e:3:c", **ahead)
                await states.until("connected")
            await visit.say({"ack": {"at": "e:9:z"}})
            await visit.breaks()
            clock.advance((await states.until("waiting")).seconds)
            assert (await server.visit()).at == "e:1:a"

    async def test_a_path_without_history_has_a_gap_wherever_the_connection_broke(
        self, script, connected, clock, states_of
    ):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states, gaps = states_of(room), []
            room.on("gap", gaps.append)
            await visit.breaks()
            clock.advance((await states.until("waiting")).seconds)
            again = await server.visit()
            await again.welcome()
            await again.say(signal(1))
            await take(room, 1)
            assert gaps == [Gap("/room", "unknown")]

    async def test_a_position_that_nobody_looked_at_is_a_gap(self, script, connected):
        async with script() as server, connected(server, at="e:1:a") as (room, visit):
            gaps = []
            room.on("gap", gaps.append)
            await visit.say(signal(1))
            await take(room, 1)
            assert gaps == [Gap("/room", "unknown")]

    async def test_waits_grow_to_twenty_seconds_and_begin_anew_with_a_welcome(
        self, script, connected, clock, states_of
    ):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            bounds = []
            for spread in (2, 4, 8, 16, 20, 20):
                await visit.breaks()
                wait = (await states.until("waiting")).seconds
                bounds.append(0.5 <= wait <= spread)
                clock.advance(wait)
                visit = await server.visit()  # noqa: PLW2901
            assert all(bounds)
            await visit.welcome()
            await states.until("connected")
            await visit.breaks()
            wait = (await states.until("waiting")).seconds
            assert 0.5 <= wait <= 2

    async def test_the_wish_of_the_server_is_the_least_wait(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            await visit.say({"bye": {"retry_ms": 30_000}})
            await visit.close(1012)
            assert 30 <= (await states.until("waiting")).seconds <= 60

    @pytest.mark.parametrize("status", [503, 429])
    async def test_a_status_that_names_a_time_is_a_wish_too(self, status, script, connected, clock, states_of):
        full = [False]

        def answer(connection, _):
            if full[0]:
                response = connection.respond(status, "full")
                response.headers["Retry-After"] = "40"
                return response
            return None

        async with script(process_request=answer) as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            full[0] = True
            await visit.breaks()
            clock.advance((await states.until("waiting")).seconds)
            waiting = await states.until("waiting")
            assert 40 <= waiting.seconds <= 80
            assert f"answered HTTP {status}" in waiting.reason

    async def test_what_was_asked_is_asked_again_in_its_order(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            asked = [asyncio.ensure_future(room.ask({"message": number})) for number in range(3)]
            before = [await visit.hear() for _ in asked]
            await visit.breaks()
            clock.advance((await states.until("waiting")).seconds)
            late = asyncio.ensure_future(room.ask({"message": "late"}))
            again = await server.visit()
            await again.welcome()
            assert [await again.hear() for _ in asked] == before
            last = await again.hear()
            assert last["message"] == "late"
            assert len({each["once"] for each in [*before, last]}) == 4
            for each in before:
                await again.say({"ack": {"ref": each["ref"], "again": True}})
            await again.say({"reply": {"ref": last["ref"], "value": 1}})
            assert {(await each).again for each in asked} == {True}
            assert (await late).value == 1

    async def test_nothing_is_sent_without_an_answer_while_there_is_no_connection(
        self, script, connected, clock, states_of
    ):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            await visit.breaks()
            await states.until("waiting")
            with pytest.raises(DisconnectedError, match=r"there is no connection now .waiting"):
                await room.send({"message": 1})
            asked = asyncio.ensure_future(room.ask({"message": 1}, timeout=0.01))
            await asyncio.sleep(0)  # it begins
            clock.advance(0.01)
            with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s \(the room is waiting\)"):
                await asked

    async def test_what_waits_for_an_answer_hears_of_a_close_for_good(self, script, connected):
        async with script() as server, connected(server) as (room, visit):
            asked = asyncio.ensure_future(room.ask({"message": 1}, timeout=None))
            await visit.hear()
            await visit.close(4410, "taken over")
            with pytest.raises(ClosedError, match="4410, taken over"):
                await asked

    async def test_a_frame_that_is_too_large_ends_the_connection_and_says_so(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock, max_size=1000) as (room, visit):
            states = states_of(room)
            await visit.say(signal("x" * 1000))
            assert "closed here (1009: " in (await states.until("waiting")).reason

    async def test_reconnect_ends_a_wait(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            await visit.breaks()
            await states.until("waiting")
            room.reconnect()
            await (await server.visit()).welcome()
            await states.until("connected")

    async def test_reconnect_replaces_a_connection_at_once(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states, ends = states_of(room), []
            room.on("close", ends.append)
            room.reconnect()
            again = await server.visit()
            await again.welcome(session="s2")
            await states.until("connected")
            assert again.one_offered("signalpost.session.") == "s1"
            assert ends == [{"code": 1006, "reason": ""}]
            await asyncio.wait_for(visit.socket.wait_closed(), 20)

    async def test_a_server_that_says_nothing_is_left_after_ten_seconds(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            await visit.breaks()
            clock.advance((await states.until("waiting")).seconds)
            await server.visit()
            clock.advance(10)
            assert (await states.until("waiting")).reason.endswith(" does not answer")

    async def test_a_token_that_is_refused_is_asked_for_again_at_once_but_not_twice(
        self, script, connected, clock, states_of
    ):
        made = []

        async def token():
            made.append(f"t{len(made)}")
            return made[-1]

        async with script() as server, connected(server, clock=clock, token=token) as (room, visit):
            states = states_of(room)
            assert visit.offered == ["signalpost.v1", "signalpost.bearer.t0"]
            await visit.close(4401, "expired")
            again = await server.visit()
            assert again.offered == ["signalpost.v1", "signalpost.session.s1", "signalpost.bearer.t1"]
            await again.close(4401, "expired")
            wait = (await states.until("waiting")).seconds
            assert wait >= 0.5

    async def test_a_fixed_token_that_is_refused_closes_the_room(self, script, connected):
        async with script() as server, connected(server, token="t") as (room, visit):
            await visit.close(4401, "expired")
            with pytest.raises(ClosedError, match="4401, expired"):
                await take(room, 1)

    async def test_a_token_function_that_fails_later_is_asked_again(self, caplog, script, connected, clock, states_of):
        answers = ["t0", LookupError("the office is closed"), "t2"]

        def token():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async with script() as server, connected(server, clock=clock, token=token) as (room, visit):
            states = states_of(room)
            await visit.breaks()
            clock.advance((await states.until("waiting")).seconds)
            clock.advance((await states.until("waiting")).seconds)
            assert (await server.visit()).one_offered("signalpost.bearer.") == "t2"
            assert "the office is closed" in caplog.text


class TestWaits:
    @pytest.mark.parametrize(
        ("drawn", "waits"),
        [(0.0, [0.5] * 6), (0.5, [1.25, 2.25, 4.25, 8.25, 10.25, 10.25]), (1.0, [2, 4, 8, 16, 20, 20])],
    )
    def test_they_are_drawn_between_half_a_second_and_a_bound_that_doubles(self, drawn, waits):
        made = Waits(SimpleNamespace(random=lambda: drawn))
        assert [made.following() for _ in waits] == waits
        made.reset()
        assert made.following() == waits[0]

    @pytest.mark.parametrize(("wish", "least"), [(0.1, 0.5), (30, 30), (9999, 300)])
    def test_a_wish_is_the_least_until_they_begin_anew(self, wish, least):
        made = Waits(SimpleNamespace(random=lambda: 0.0))
        made.ask_for(wish)
        assert [made.following(), made.following()] == [least, least]
        made.reset()
        assert made.following() == 0.5


class TestADeadConnection:
    async def test_a_connection_of_an_app_that_does_not_read_is_not_dead(self, script, connected, clock):
        async with script() as server, connected(server, clock=clock, unread=1) as (room, visit):
            await visit.say(signal(1), signal(2))
            await until(lambda: room._unread.waiting)
            for _ in range(20):
                await clock.timer()
                clock.advance(5)
            assert room.state.name == "connected"
            assert [each.value for each in await take(room, 2)] == [1, 2]

    async def test_a_quiet_server_is_asked_and_given_up(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            states = states_of(room)
            for _ in range(4):
                await clock.timer()
                clock.advance(5)
            assert await visit.hear_raw() == ""
            for _ in range(5):
                await clock.timer()
                clock.advance(5)
            assert (await states.until("waiting")).reason == "the server gave no sign of life"

    async def test_a_server_that_answers_stays(self, script, connected, clock):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            for _ in range(3):
                for _ in range(4):
                    await clock.timer()
                    clock.advance(5)
                assert await visit.hear_raw() == ""
                await visit.say({"alive": {}}, signal("still"))
                await take(room, 1)
            assert room.state.name == "connected"

    async def test_a_machine_that_slept_gives_the_server_its_time(self, script, connected, clock):
        async with script() as server, connected(server, clock=clock) as (room, visit):
            for _ in range(4):
                await clock.timer()
                clock.advance(5)
            assert await visit.hear_raw() == ""
            await clock.timer()
            clock.advance(3600)
            await clock.timer()
            assert room.state.name == "connected"


class TestPresence:
    @staticmethod
    def told(version, **more):
        return {"presence": {"path": "/room", "version": version, "count": 9, **more}}

    async def test_a_difference_that_is_missing_is_asked_for(self, script, connected):
        async with script() as server, connected(server, welcome={"user": "ann"}) as (room, visit):
            await visit.say(self.told(4, users={"ann": {"n": 1, "info": None}}))
            await visit.say(self.told(6, joined={"bob": {"n": 1, "info": 1}}, left=[]))
            asked = await visit.hear()
            assert asked["signalpost"] == {"presence": {}}
            await visit.say(self.told(6, users={"bob": {"n": 2, "info": None}}, ref=asked["ref"]))
            await visit.say(self.told(6, joined={"old": {"n": 1, "info": None}}, left=[]))
            await visit.say(self.told(7, joined={"eve": {"n": 1, "info": None}}, left=["bob"]), signal(1))
            await take(room, 1)
            assert room.present == {"eve": Member(1, None)}

    async def test_only_a_number_empties_the_map(self, script, connected):
        async with script() as server, connected(server, welcome={"user": "ann"}) as (room, visit):
            await visit.say(self.told(4, users={"ann": {"n": 1, "info": None}}), self.told(5), signal(1))
            await take(room, 1)
            assert (room.present, room.count) == ({}, 9)

    async def test_a_welcome_without_presence_empties_it(self, script, connected, clock, states_of):
        async with script() as server, connected(server, clock=clock, welcome={"user": "ann"}) as (room, visit):
            states = states_of(room)
            await visit.say(self.told(4, users={"ann": {"n": 1, "info": None}}), signal(1))
            await take(room, 1)
            await visit.breaks()
            clock.advance((await states.until("waiting")).seconds)
            again = await server.visit()
            assert dict(room.present) == {"ann": Member(1, None)}, "it is what was known last"
            await again.welcome()
            await again.say(signal(2))
            await take(room, 1)
            assert (room.present, room.count) == ({}, None)


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "becomes"),
        [
            ("ws://h:1/a", "ws://h:1/a"),
            ("http://h/a b/ü?x=1", "ws://h/a%20b/%C3%BC?x=1"),
            ("https://h", "wss://h/"),
            ("wss://u:p@h/a%20b?at=e:1:a&y=2", "wss://u:p@h/a%20b?y=2"),
        ],
    )
    def test_a_url_becomes_one_of_a_websocket(self, url, becomes):
        assert parse_address(url).websocket("") == becomes

    def test_a_position_is_added_percent_encoded(self):
        assert parse_address("ws://h/a?x=1").websocket("e:1:a") == "ws://h/a?x=1&at=e%3A1%3Aa"

    @pytest.mark.parametrize(
        ("url", "meant"),
        [
            ("localhost:8080/rooms", "ws://localhost:8080/rooms"),
            ("example.com/rooms", "ws://example.com/rooms"),
            ("/rooms", "ws://localhost:8080/rooms"),
            ("tcp://h:1/rooms", "ws://h:1/rooms"),
        ],
    )
    def test_a_url_of_another_scheme_says_what_was_meant(self, url, meant):
        with pytest.raises(ValueError, match=f"did you mean {meant}"):
            connect(url)

    @pytest.mark.parametrize("url", ["ws://", "ws:///a", "ws://:80/a", "ws://h:x/a", "ws://h:70000/a"])
    def test_a_url_without_a_host_or_with_a_wrong_port_is_refused(self, url):
        with pytest.raises(ValueError, match=r"names no host|has a port that is no number"):
            connect(url)


def test_the_client_imports_nothing_of_the_server():
    ask = "import json, sys, signalpost.client; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    assert not {"sanic", "uvloop", "pluggy", "yaml", "click", "rich", "jinja2", "httpx"} & set(modules)
    ours = {name for name in modules if name.startswith("signalpost") and not name.startswith("signalpost.client")}
    assert ours == {"signalpost"}


async def test_a_message_that_is_none_is_refused_before_it_is_sent(script, connected):
    async with script() as server, connected(server) as (room, _):
        with pytest.raises(ValueError, match="chooses ref itself"):
            await room.ask({"message": 1, "ref": 2})
        with pytest.raises(TypeError):
            await room.ask({"message": object()})
