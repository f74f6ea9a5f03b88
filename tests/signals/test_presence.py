"""Presence: who is on a path, told whole to who comes, and in differences from then on."""

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import SimpleNamespace

import orjson
import pytest

from signalpost.config.model import PresenceConfig
from signalpost.signals.ledger import LONGEST_INFO
from signalpost.signals.presence import Presence
from signalpost.signals.sessions import PREFIX
from signalpost.testing import serve

V1 = "signalpost.v1"
LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
PACKED = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws, compression: true}]\n"
END = '{"signalpost":{"nothing":{}},"ref":"end"}'
QUICK = "presence: {every: 1ms, grace: 0}"
NOBODY = {"n": 1, "info": None}


class Visitor:
    """A client of v1 that keeps its own list of who is there, as the protocol says."""

    def __init__(self, client):
        self.client = client
        self.users = None
        self.count = self.version = 0
        self.frames = []

    async def read(self):
        """Read a frame; apply what it says of presence."""
        frame = await self.client.receive_json()
        self.frames.append(frame)
        told = frame.get("presence")
        if told is not None:
            self.version, self.count = told["version"], told["count"]
            if "users" in told:
                self.users = told["users"]
            elif "joined" in told and self.users is not None:
                self.users |= told["joined"]
                self.users = {user: seen for user, seen in self.users.items() if user not in told["left"]}
            elif "joined" not in told:
                self.users = None
        return frame

    async def until(self, condition):
        """Read until something holds."""
        while not condition(self):
            await self.read()

    async def rest(self):
        """Read everything that was sent before the answer to a request that is made now; return it."""
        await self.client.send_raw(END)
        begin = len(self.frames)
        while (await self.read()).get("error", {}).get("ref") != "end":
            pass
        return self.frames[begin:-1]

    async def whole(self):
        """Ask for the whole."""
        await self.client.send_raw('{"signalpost":{"presence":{}},"ref":"whole"}')
        while (frame := await self.read()).get("presence", {}).get("ref") != "whole":
            pass
        return frame["presence"]


@asynccontextmanager
async def visitor(app, path="/here", session=None):
    names = [V1] if session is None else [V1, PREFIX + session]
    async with app.connect(path, subprotocols=names) as client:
        one = Visitor(client)
        one.welcome = (await one.read())["welcome"]
        yield one


def signals(*lines):
    return "signals: [" + ", ".join("{" + line + "}" for line in lines) + "]"


@pytest.fixture
def app():
    return serve(LIVE + signals(f"path: /here, {QUICK}", f"path: '/rooms/<room>', {QUICK}", "path: /bare"))


class TestUsers:
    async def test_who_comes_reads_everyone_and_the_others_read_who_came_and_who_left(self, app):
        async with app as running, visitor(running) as one:
            await one.until(lambda it: it.users is not None)
            assert one.welcome["user"] == one.client.id
            assert one.users == {one.client.id: NOBODY}
            async with visitor(running) as two:
                await two.until(lambda it: it.users is not None)
                assert two.users.keys() == {one.client.id, two.client.id}
                await one.until(lambda it: it.count == 2)
                assert one.users == two.users
            await one.until(lambda it: it.count == 1)
            assert one.users == {one.client.id: NOBODY}

    async def test_a_user_of_several_reconnects_keeps_the_first_clients_id(self, app):
        async with app as running, visitor(running) as watcher, AsyncExitStack() as stack:
            one = await stack.enter_async_context(visitor(running))
            last = one
            for _ in range(3):
                last = await stack.enter_async_context(visitor(running, session=one.welcome["session"]))
                assert last.welcome["user"] == one.client.id != last.client.id
            await watcher.until(lambda it: it.count == 2)
            assert watcher.users.keys() == {watcher.client.id, one.client.id}

    async def test_plain_clients_are_users_by_their_ids(self, app):
        async with app as running, visitor(running) as watcher, running.connect("/here") as plain:
            await watcher.until(lambda it: it.count == 2)
            assert watcher.users[plain.id] == NOBODY

    async def test_each_path_of_a_pattern_has_users_of_its_own(self, app):
        async with app as running, visitor(running, "/rooms/blue") as blue, visitor(running, "/Rooms/blue") as same:
            async with visitor(running, "/rooms/red") as red:
                await red.until(lambda it: it.users is not None)
                assert red.users.keys() == {red.client.id}
            await blue.until(lambda it: it.count == 2)
            assert blue.users.keys() == {blue.client.id, same.client.id}
            assert {each["presence"]["path"] for each in blue.frames if "presence" in each} == {"/rooms/blue"}

    async def test_versions_grow_by_one_and_the_differences_agree_with_the_whole(self, app):
        async with app as running, visitor(running) as watcher:
            for _ in range(12):
                async with visitor(running) as one, running.connect("/here") as plain:
                    await watcher.until(lambda it: it.users is not None and {one.client.id, plain.id} <= set(it.users))
                    known = (watcher.version, watcher.users)
                    whole = await watcher.whole()
                    assert (whole["version"], whole["users"]) == known
                await watcher.until(lambda it: it.count == 1)
            told = [frame["presence"] for frame in watcher.frames if "presence" in frame]
            versions = [each["version"] for each in told if "ref" not in each]
            assert versions == list(range(versions[0], versions[0] + len(versions)))
            assert len(versions) >= 24

    async def test_a_signal_without_presence_tells_nobody_anything(self, app):
        async with app as running, visitor(running, "/bare") as one, visitor(running, "/bare") as two:
            assert "user" not in one.welcome
            assert await one.rest() == await two.rest() == []
            assert running.server.node.memory.present("/bare") == []


class TestInfo:
    INFO = signals(
        f"path: '/rooms/<room>', {QUICK[:-1]}, info: "
        "{name: '{{ request.query.name }}', room: '{{ params.room }}', id: '{{ client.id }}'}}",
        f"path: /sum, {QUICK[:-1]}, info: '{{{{ 1 // (request.query.by | int) }}}}'}}",
        f"path: /long, {QUICK[:-1]}, info: '{{{{ request.query.text }}}}'}}",
        f"path: /fixed, {QUICK[:-1]}, info: [1, {{a: null}}]}}",
    )

    async def test_info_is_rendered_from_the_handshake(self):
        async with serve(LIVE + self.INFO) as running, visitor(running, "/rooms/blue?name=Ann") as one:
            info = (await one.whole())["users"][one.client.id]["info"]
            assert info == {"name": "Ann", "room": "blue", "id": one.client.id}

    async def test_plain_clients_have_info_as_well(self):
        async with serve(LIVE + self.INFO) as running, running.connect("/rooms/blue?name=Bob") as plain:
            (present,) = running.server.node.memory.present("/rooms/blue")
            assert present.info == {"name": "Bob", "room": "blue", "id": plain.id}

    async def test_info_without_templates_is_as_it_stands(self):
        async with serve(LIVE + self.INFO) as running, visitor(running, "/fixed") as one:
            assert (await one.whole())["users"][one.client.id]["info"] == [1, {"a": None}]

    async def test_info_that_fails_is_null_and_logged_and_the_client_is_let_in(self, failures):
        async with serve(LIVE + self.INFO) as running, visitor(running, "/sum?by=0") as one:
            assert (await one.whole())["users"] == {one.client.id: NOBODY}
            async with visitor(running, "/sum?by=1") as two:
                assert (await two.whole())["users"][two.client.id]["info"] == 1
        (line,) = failures()
        assert line.startswith("presence.info of routes.yaml:2 failed") or "presence.info of " in line
        assert one.client.id in line

    @pytest.mark.parametrize("more", [0, 1])
    async def test_info_of_a_kibibyte_is_seen_and_one_of_more_is_null_and_logged(self, caplog, more):
        text = "x" * (LONGEST_INFO - 2 + more)
        async with serve(LIVE + self.INFO) as running, visitor(running, f"/long?text={text}") as one:
            info = (await one.whole())["users"][one.client.id]["info"]
        told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
        if more:
            assert info is None
            (line,) = told
            assert f"has {LONGEST_INFO + 1} bytes for client {one.client.id}, and 1024 are allowed" in line
        else:
            assert (info, told) == (text, [])

    async def test_another_info_of_a_user_who_is_back_is_told(self):
        text = signals("path: /here, presence: {every: 1ms, grace: 1m, info: '{{ request.query.name }}'}")
        async with serve(LIVE + text) as running, visitor(running, "/here?name=w") as watcher:
            async with visitor(running, "/here?name=Ann") as one:
                await watcher.until(lambda it: it.count == 2)
            async with visitor(running, "/here?name=Bob", one.welcome["session"]):
                await watcher.until(lambda it: it.users[one.client.id]["info"] == "Bob")
                assert watcher.count == 2


class Board:
    """Notes what is announced, in place of a hub."""

    def __init__(self):
        self.told = []

    def announce(self, place, publication, _besides=()):
        body = orjson.loads(publication.encoded(Telling()).decode())
        self.told.append((place, body))


class Telling:
    """An encoding that writes JSON."""

    def __init__(self):
        self.codec = self

    def noticed(self, kind, body):
        assert kind == "presence"
        return orjson.dumps(body)


@pytest.fixture
def clock(make_clock, monkeypatch):
    """A clock that also calls later what presence wants called later."""
    clock = make_clock(1_000.0)

    def call_later(seconds, function, *arguments):
        return clock.call_later(seconds, partial(function, *arguments))

    loop = SimpleNamespace(get_running_loop=lambda: SimpleNamespace(call_later=call_later))
    monkeypatch.setattr("signalpost.signals.presence.asyncio", loop)
    return clock


class TestTime:
    EVERY = PresenceConfig(every=1.0, grace=5.0)

    @pytest.fixture
    def board(self):
        return Board()

    @pytest.fixture
    def presence(self, board, clock):
        presence = Presence(board, clock)
        presence.config_of = lambda _place: self.EVERY
        return presence

    def test_ten_in_one_turn_are_one_difference(self, presence, board, clock):
        for number in range(10):
            presence.enter("/a", f"u{number}", None)
        assert board.told == [], "not before the turn ends"
        clock.advance(0)
        ((place, told),) = board.told
        assert (place, told["path"], told["version"], told["count"]) == ("/a", "/a", 1, 10)
        assert list(told["joined"]) == [f"u{number}" for number in range(10)]

    def test_the_first_is_told_at_once_and_the_next_once_every_is_over(self, presence, board, clock):
        presence.enter("/a", "u", None)
        clock.advance(0)
        presence.enter("/a", "v", None)
        clock.advance(0.5)
        presence.enter("/a", "w", None)
        clock.advance(0.25)
        assert len(board.told) == 1
        clock.advance(0.25)
        assert [list(told["joined"]) for _, told in board.told] == [["u"], ["v", "w"]]
        clock.advance(3.0)
        presence.enter("/a", "x", None)
        clock.advance(0)
        assert len(board.told) == 3, "after a quiet time at once again"

    def test_one_path_does_not_wait_for_another(self, presence, board, clock):
        presence.enter("/a", "u", None)
        clock.advance(0)
        presence.enter("/b", "v", None)
        clock.advance(0)
        assert [place for place, _ in board.told] == ["/a", "/b"]

    def test_who_is_back_within_grace_makes_no_difference_at_all(self, presence, board, clock):
        presence.enter("/a", "u", None)
        presence.enter("/a", "v", None)
        clock.advance(2.0)
        before = len(board.told)
        presence.leave("/a", "u")
        clock.advance(4.75)
        assert [(user, each.n) for user, each in presence.users("/a")] == [("u", 0), ("v", 1)]
        presence.enter("/a", "u", None)
        clock.advance(60.0)
        assert len(board.told) == before
        assert not clock.waiting

    def test_who_is_not_back_within_grace_has_left_exactly_then(self, presence, board, clock):
        presence.enter("/a", "u", None)
        presence.enter("/a", "v", None)
        clock.advance(2.0)
        presence.leave("/a", "u")
        clock.advance(4.75)
        assert len(board.told) == 1
        clock.advance(0.25)
        assert board.told[-1][1] == {"path": "/a", "version": 2, "count": 1, "joined": {}, "left": ["u"]}

    def test_without_grace_a_user_has_left_at_once_but_not_within_every(self, presence, board, clock):
        presence.config_of = lambda _place: PresenceConfig(every=1.0, grace=0.0)
        presence.enter("/a", "u", None)
        presence.enter("/a", "v", None)
        clock.advance(0.25)
        presence.leave("/a", "u")
        clock.advance(0)
        assert [user for user, _ in presence.users("/a")] == ["v"]
        assert len(board.told) == 1
        clock.advance(0.75)
        assert board.told[-1][1]["left"] == ["u"]

    def test_thousands_that_reconnect_make_no_difference(self, presence, board, clock):
        presence.config_of = lambda _place: PresenceConfig(most=5_000)
        for number in range(3_000):
            presence.enter("/a", f"u{number}", None)
        clock.advance(2.0)
        for number in range(3_000):
            presence.leave("/a", f"u{number}")
            clock.advance(2**-10)
        presence.config_of = lambda _place: PresenceConfig(most=5_000)
        for number in range(3_000):
            presence.enter("/a", f"u{number}", None)
        clock.advance(60.0)
        assert [told["version"] for _, told in board.told] == [1]

    def test_a_path_that_all_have_left_is_forgotten_and_begins_anew(self, presence, clock):
        presence.enter("/a", "u", None)
        clock.advance(2.0)
        presence.leave("/a", "u")
        clock.advance(60.0)
        assert presence.whole("/a") is None
        assert not presence._rooms
        assert not clock.waiting
        presence.enter("/a", "u", None)
        assert presence.whole("/a")["version"] == 0

    def test_after_a_stop_nothing_is_told(self, presence, board, clock):
        presence.enter("/a", "u", None)
        presence.stop()
        clock.advance(60.0)
        presence.leave("/a", "u")
        assert board.told == []


class TestMost:
    async def test_above_most_only_the_count_is_told_and_below_it_everyone_again(self):
        text = signals("path: /here, presence: {every: 1ms, grace: 0, most: 2}")
        async with serve(LIVE + text) as running, visitor(running) as one, visitor(running) as two:
            await one.until(lambda it: it.count == 2)
            assert len(one.users) == 2
            async with visitor(running) as three:
                await three.read()
                assert three.frames[-1]["presence"].keys() == {"path", "version", "count"}
                await one.until(lambda it: it.count == 3)
                assert one.users is None
                assert (await one.whole()).keys() == {"ref", "path", "version", "count"}
                present = running.server.node.memory.present("/here")
                assert len(present) == 3, "the app is told all the same"
            await one.until(lambda it: it.count == 2)
            assert one.users == {one.client.id: NOBODY, two.client.id: NOBODY}


class TestOrder:
    async def test_the_whole_comes_behind_the_welcome_and_what_was_missed_and_before_all_else(self):
        text = signals(
            "path: /here, rebroadcast: path, history: {keep: 10, replay: 5}, presence: {every: 1ms}, "
            "connected: [{reply: {value: hello}}]"
        )
        async with serve(LIVE + text) as running, visitor(running) as one:
            await one.until(lambda it: it.users is not None)
            await one.client.send("a")
            await one.client.send("b")
            await one.rest()
            async with visitor(running, f"/here?at={'x' * 6}:1:0000") as two:
                await two.until(lambda it: it.users is not None)
                kinds = [next(iter(frame)) for frame in two.frames]
                assert kinds == ["welcome", "signal", "gap", "signal", "signal", "presence"]
                assert [each["signal"]["value"] for each in two.frames if "signal" in each] == ["hello", "a", "b"]


REFUSING = """
import asyncio
from signalpost import hookimpl

GO = asyncio.Event()

@hookimpl
async def client_connected(client, request):
    if request.query.get("wait"):
        await GO.wait()
    if request.query.get("no"):
        client.close(4001)
"""
REFUSING_AT_ONCE = """
from signalpost import hookimpl

@hookimpl
def client_connected(client, request):
    if request.query.get("no"):
        client.close(4001)
"""


class TestArrival:
    def watched(self):
        return serve(LIVE + signals(f"path: /here, {QUICK}"), plugins={"p": REFUSING})

    async def test_a_client_that_is_still_arriving_does_not_appear_before_it_is_let_in(self):
        async with self.watched() as running, visitor(running) as watcher, visitor(running, "/here?wait=1") as slow:
            await watcher.until(lambda it: it.users is not None)
            assert (await watcher.whole())["users"].keys() == {watcher.client.id}
            (plugin,) = (each.module for each in running.server.plan.registry.plugins if each.name == "p")
            plugin.GO.set()
            await watcher.until(lambda it: it.count == 2)
            await slow.until(lambda it: it.users is not None)
            assert slow.users.keys() == {watcher.client.id, slow.client.id}

    @pytest.mark.parametrize("source", [REFUSING, REFUSING_AT_ONCE])
    async def test_a_client_that_a_hook_refuses_never_appears(self, source):
        app = serve(LIVE + signals(f"path: /here, {QUICK}"), plugins={"p": source})
        async with app as running, visitor(running) as watcher:
            async with running.connect("/here?no=1", subprotocols=[V1]) as refused:
                await refused.receive()
                await refused.socket.wait_closed()
                assert refused.socket.close_code == 4001
            async with visitor(running) as last:
                await watcher.until(lambda it: it.users is not None and last.client.id in it.users)
            assert refused.id not in str(watcher.frames)

    async def test_a_client_that_its_list_refuses_never_appears(self):
        refuses = "{if: '{{ request.query.no is defined }}', then: [{close: {}}]}"
        text = signals(f"path: /here, {QUICK}, connected: [{refuses}]")
        async with serve(LIVE + text) as running, visitor(running) as watcher:
            async with running.connect("/here?no=1", subprotocols=[V1]) as refused:
                await refused.receive()
                await refused.socket.wait_closed()
            async with visitor(running) as last:
                await watcher.until(lambda it: it.users is not None and last.client.id in it.users)
            assert refused.id not in str(watcher.frames)

    @pytest.mark.parametrize("abort", [True, False])
    async def test_a_client_that_goes_while_it_arrives_never_appears_nor_stays(self, abort):
        async with self.watched() as running, visitor(running) as watcher:
            async with running.connect("/here?wait=1", subprotocols=[V1]) as slow:
                await slow.receive()
                if abort:
                    slow.socket.transport.abort()
            while slow.id in running.server.node.hub.clients:
                await watcher.rest()
            (plugin,) = (each.module for each in running.server.plan.registry.plugins if each.name == "p")
            plugin.GO.set()
            async with visitor(running) as last:
                await watcher.until(lambda it: it.users is not None and last.client.id in it.users)
                assert (await watcher.whole())["users"].keys() == {watcher.client.id, last.client.id}
            assert slow.id not in str(watcher.frames)


class TestPlainClients:
    async def test_plain_clients_read_not_a_byte_more(self):
        text = signals(f"path: /here, rebroadcast: path, {QUICK}")
        async with serve(LIVE + text) as running, running.connect("/here") as plain, visitor(running) as watcher:
            for _ in range(5):
                async with visitor(running) as one:
                    await watcher.until(lambda it: it.users is not None and one.client.id in it.users)
                await watcher.until(lambda it: it.count == 2)
            await running.reload(LIVE + signals("path: /here, rebroadcast: path"))
            await running.reload(LIVE + text)
            await plain.send("mark", signalpost={"presence": {}})
            assert await plain.receive() == "mark"

    async def test_plain_clients_that_compress_read_not_a_byte_more_either(self):
        text = signals(f"path: /here, rebroadcast: path, {QUICK}")
        async with serve(PACKED + text) as running, running.connect("/here", compression="deflate") as plain:
            await plain.send("mark")
            assert await plain.receive() == "mark"

    async def test_a_plain_client_that_compresses_and_has_missed_something_is_let_in(self):
        text = signals("path: /here, rebroadcast: path, history: 5")
        async with serve(PACKED + text) as running, running.connect("/here?at=x", compression="deflate") as plain:
            await plain.send("mark")
            assert await plain.receive() == "mark"

    async def test_clients_of_v1_that_compress_are_told_too(self):
        text = signals(f"path: /here, {QUICK}")
        async with serve(PACKED + text) as running, AsyncExitStack() as stack:
            both = [
                await stack.enter_async_context(running.connect("/here", subprotocols=[V1], compression=how))
                for how in ("deflate", None)
            ]
            assert both[0].socket.protocol.extensions
            for client in both:
                one = Visitor(client)
                await one.until(lambda it: it.count == 2)
                assert one.users.keys() == {each.id for each in both}


SEEING = """
from signalpost import hookimpl, route, signal
from dataclasses import asdict

KEPT = {}

@hookimpl
def startup(context):
    KEPT["context"] = context

@signal("who")
async def who(event):
    asked = event.data.message
    return [asdict(each) for each in (event.presence() if asked == "own" else event.presence(asked))]
"""


class TestApps:
    async def test_templates_handlers_and_contexts_see_who_is_there(self):
        text = signals(
            f"path: /here, {QUICK[:-1]}, info: '{{{{ request.query.name }}}}'}}, "
            "do: [{reply: {value: ['{{ present }}', '{{ presence(message) }}']}}]",
            f"path: /who, handler: who, {QUICK}",
        )
        async with (
            serve(LIVE + text, plugins={"p": SEEING}) as running,
            visitor(running, "/here?name=Ann") as ann,
            visitor(running, "/who") as who,
            running.connect("/HERE?name=Bob") as bob,
        ):
            expected = [
                {"user": ann.client.id, "n": 1, "info": "Ann"},
                {"user": bob.id, "n": 1, "info": "Bob"},
            ]
            own = [{"user": who.client.id, "n": 1, "info": None}]
            await ann.client.send("/who", ref=1)
            await ann.until(lambda it: "reply" in it.frames[-1])
            assert ann.frames[-1]["reply"]["value"] == [expected, own]
            for asked, told in (("own", own), ("/Here", expected), ("/nowhere", []), ("no path", [])):
                await who.client.send(asked, ref=2)
                await who.until(lambda it: "reply" in it.frames[-1])
                assert who.frames.pop()["reply"]["value"] == told
            (plugin,) = (each.module for each in running.server.plan.registry.plugins if each.name == "p")
            context = plugin.KEPT["context"]
            assert [each.info for each in context.presence("/here")] == ["Ann", "Bob"]
            assert context.presence("/nowhere") == []


class TestReload:
    async def test_a_reload_that_adds_presence_tells_everyone_who_is_there(self):
        bare = LIVE + signals("path: /here")
        async with serve(bare) as running, visitor(running) as one, running.connect("/here") as plain:
            assert await one.rest() == []
            await running.reload(LIVE + signals(f"path: /here, {QUICK}"))
            await one.until(lambda it: it.count == 2)
            assert one.users.keys() == {one.client.id, plain.id}

    async def test_a_reload_that_removes_presence_tells_that_nobody_is_seen_and_no_more(self):
        with_it = LIVE + signals("path: /here, presence: {every: 1ms, grace: 1m}")
        async with serve(with_it) as running, visitor(running) as one, visitor(running):
            await one.until(lambda it: it.count == 2)
            await running.reload(LIVE + signals("path: /here"))
            await one.until(lambda it: it.count == 0)
            assert one.users == {}
            await one.client.send_raw('{"signalpost":{"presence":{}},"ref":1}')
            await one.until(lambda it: "error" in it.frames[-1])
            assert one.frames[-1]["error"]["code"] == "unknown-request"
            assert running.server.node.inspect().clients[0].path == "/here"

    async def test_a_client_is_told_nothing_of_presence_after_it_was_removed(self):
        with_it = LIVE + signals(f"path: /here, {QUICK}", "path: /clock")
        async with serve(with_it) as running, visitor(running) as one, visitor(running) as two:
            await one.until(lambda it: it.count == 2)
            await two.until(lambda it: it.count == 2)
            await one.rest()
            await running.reload(LIVE + signals("path: /here", "path: /clock"))
            await one.until(lambda it: it.count == 0)
            while running.server.node.memory.presence._rooms:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
            assert [frame for frame in await one.rest() if "presence" in frame] == []

    async def test_another_most_counts_from_the_reload_on(self):
        text = "path: /here, presence: {{every: 1ms, grace: 0, most: {}}}"
        async with serve(LIVE + signals(text.format(1_000))) as running, visitor(running) as one:
            await one.until(lambda it: it.users is not None)
            await running.reload(LIVE + signals(text.format(0)))
            assert "users" not in await one.whole()
