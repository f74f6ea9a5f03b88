"""Sessions of clients that come back to another node than before."""

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from signalpost.cluster import sessions as shared
from signalpost.cluster.part import Note
from signalpost.signals.sessions import LIFE, PREFIX

PEOPLE = """
from signalpost import Identity, hookimpl

@hookimpl
def authenticate(request):
    name = request.headers.get("x-user")
    return Identity(name) if name else None
"""
APP = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
signals:
  - {path: /chat, rebroadcast: path, presence: {grace: 0, every: 1ms}}
  - {path: /other, rebroadcast: none}
  - {path: /others, rebroadcast: others}
  - {path: /kept, history: 10, do: [{broadcast: {value: "{{ message }}", to: others, path: /kept}}]}
  - {path: /join, do: [{join: "{{ message }}"}, {reply: {value: "{{ client.groups | sort | join(' ') }}"}}]}
  - {path: /leave, do: [{leave: "{{ message }}"}, {reply: {value: left}}]}
  - {path: /seen, do: [{reply: {value: "{{ client.groups | sort | join(' ') }}"}}]}
  - {path: /ends, do: [{close: {code: "{{ message }}"}}]}
"""
WHO = """
from signalpost import route

@route("whoami", path="/whoami", methods=["GET"])
async def whoami(event):
    return {"client": event.client and event.client.id}

@route("tell", path="/tell", methods=["GET"])
async def tell(event):
    event.reply("told")
    return {}
"""
USERS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
undeclared: refuse
auth: {secret: "%s"}
signals: [{path: /join, may: {connect: anyone, publish: anyone}, do: [{join: "{{ message }}"}, {reply: {value: ok}}]}]
"""


class Visitor:
    """A client of v1 that has read its welcome."""

    def __init__(self, client, welcome):
        self.client = client
        self.id = client.id
        self.welcome = welcome
        self.session = welcome["session"]

    async def say(self, text, **keys):
        await self.client.send(text, **keys)

    async def read(self, kind="signal"):
        """Read on to the next frame of a kind, and return its body."""
        while kind not in (frame := await self.client.receive_json()):
            pass
        return frame[kind]

    async def said(self, text):
        """Say something that is answered; return the answer."""
        await self.say(text, ref=1)
        return (await self.read("reply"))["value"]

    async def end(self):
        with pytest.raises(ConnectionClosed) as caught:
            await self.read("nothing")
        return caught.value.rcvd.code


@asynccontextmanager
async def visitor(app, path="/join", session=None, at=None, **options):
    names = ["signalpost.v1", *([] if session is None else [PREFIX + session])]
    place = path if at is None else f"{path}?at={at}"
    async with app.connect(place, endpoint="live", subprotocols=names, **options) as client:
        yield Visitor(client, (await client.receive_json())["welcome"])


def groups_of(app, visitor):
    return app.server.node.hub.clients[visitor.id].groups


def kept(nodes):
    """Return all that the backplane keeps of sessions, by the names of their tables."""
    tables = nodes.shared.store._tables
    return {name: json.loads(fields["session"]) for name, (_, fields) in tables.items() if name.startswith("session:")}


@pytest.fixture
def pair(nodes):
    return lambda text=APP, plugins=None: nodes.pair(text, plugins={"who": WHO} if plugins is None else plugins)


@pytest.fixture
def written(nodes, until):
    """Wait until the backplane knows of each session whether its client is connected."""

    async def written(*here):
        await until(lambda: sorted(row.get("here") for row in kept(nodes).values()) == sorted(here))

    return written


class TestComesBack:
    async def test_a_client_that_comes_back_to_another_node_is_who_it_was(self, pair, written):
        async with pair() as (one, two):
            async with visitor(one) as ann:
                assert await ann.said("red") == "red"
                assert await ann.said("blue") == "blue red"
            await written(False)
            async with visitor(two, session=ann.session) as again:
                assert again.session == ann.session
                assert groups_of(two, again) == {"red", "blue"}
                two.server.node.broadcaster("to all of red", group="red")
                assert (await again.read())["value"] == "to all of red"

    async def test_others_know_it_by_the_name_that_it_had(self, pair, written):
        async with pair() as (one, two):
            async with visitor(one, "/chat") as ann:
                assert ann.welcome["user"] == ann.id
            await written(False)
            async with visitor(two, "/chat", ann.session) as again:
                assert again.welcome["user"] == ann.id != again.id

    async def test_what_it_has_said_to_others_it_does_not_read_there(self, pair, written):
        async with pair() as (one, two), visitor(one, "/kept") as bob:
            async with visitor(one, "/kept") as ann:
                at = ann.welcome["at"]
                await ann.say("mine")
                assert (await bob.read())["value"] == "mine"
                await bob.say("bob's")
                assert (await ann.read())["value"] == "bob's"
            await written(True, False)
            async with visitor(two, "/kept", ann.session, at) as again:
                assert again.welcome["recovered"]
                assert (await again.read())["value"] == "bob's"
            async with visitor(two, "/kept", at=at) as stranger:
                assert [(await stranger.read())["value"] for _ in range(2)] == ["mine", "bob's"]

    async def test_it_comes_and_goes_between_nodes_and_its_groups_are_always_those_of_last_time(self, pair, written):
        async with pair() as (one, two):
            async with visitor(one) as ann:
                await ann.said("first")
            await written(False)
            async with visitor(two, session=ann.session) as again:
                await again.said("second")
                two.server.node.hub.clients[again.id].leave("first")
            await written(False)
            async with visitor(one, session=ann.session) as third:
                assert groups_of(one, third) == {"second"}

    async def test_on_another_path_or_when_nobody_knows_it_any_more_it_is_a_new_client(self, pair, nodes, written):
        async with pair() as (one, two):
            async with visitor(one) as ann:
                await ann.said("red")
            await written(False)
            for path, session in (("/other", ann.session), ("/join", "no" + ann.session), ("/join", "x" * 5_000)):
                async with visitor(two, path, session) as other:
                    assert other.session != ann.session
                    assert groups_of(two, other) == set()
            nodes.shared.wipe()
            async with visitor(two, session=ann.session) as other:
                assert other.session != ann.session
            async with visitor(one, session=ann.session) as again:
                assert again.session == ann.session, "the node itself knows it"

    async def test_an_event_stream_comes_back_to_another_node_too(self, pair, written):
        async def welcome_of(app, session=""):
            headers = {"Accept": "text/event-stream", **({"Signalpost-Session": session} if session else {})}
            url = app.server.url("web") + "/join?v=1"
            async with httpx.AsyncClient() as http, http.stream("GET", url, headers=headers) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data:") and "welcome" in line:
                        return json.loads(line.removeprefix("data:"))["welcome"]
            return None

        async with pair() as (one, two):
            first = await welcome_of(one)
            await written(False)
            assert (await welcome_of(two, first["session"]))["session"] == first["session"]


class TestUsers:
    SECRET = "0123456789abcdef0123456789abcdef"

    async def test_a_signed_session_of_a_user_is_good_on_all_nodes_for_nobody_else(self, pair, written):
        ann_s = {"additional_headers": {"X-User": "ann"}}
        async with pair(USERS % self.SECRET, {"people": PEOPLE}) as (one, two):
            async with visitor(one, **ann_s) as ann:
                await ann.said("red")
            await written(False)
            for headers in ({"X-User": "bob"}, {}):
                async with visitor(two, session=ann.session, additional_headers=headers) as thief:
                    assert thief.session != ann.session
                    assert groups_of(two, thief) == set()
            async with visitor(two, session=ann.session, **ann_s) as again:
                assert again.session == ann.session
                assert groups_of(two, again) == {"red"}

    async def test_a_session_that_no_node_has_signed_is_not_even_looked_for(self, pair):
        async with pair(USERS % self.SECRET, {"people": PEOPLE}) as (_, two):
            asked = []
            get = two.backplane.get
            two.backplane.get = lambda table: (asked.append(table), get(table))[1]
            for headers in ({"X-User": "ann"}, {}):
                async with visitor(two, session="made.up", additional_headers=headers):
                    pass
            assert not [table for table in asked if table.startswith("session:")]


class TestTakenOver:
    async def test_a_client_that_is_still_connected_elsewhere_is_closed_there(self, pair, written):
        async with pair() as (one, two), visitor(one) as ann:
            await ann.said("red")
            async with visitor(two, session=ann.session) as again:
                assert again.session == ann.session
                assert await ann.end() == 4410
                assert groups_of(two, again) == {"red"}
                await written(True)
                assert await again.said("blue") == "blue red"
            await written(False)
            async with visitor(one, session=ann.session) as third:
                assert groups_of(one, third) == {"red", "blue"}, "who was closed has changed nothing of it"

    async def test_a_note_that_comes_late_closes_nobody_who_has_come_back_since(self, pair, written):
        async with pair() as (one, two):
            async with visitor(one) as ann:
                pass
            await written(False)
            async with visitor(two, session=ann.session):
                pass
            await written(False)
            async with visitor(one, session=ann.session) as third:
                name = shared.name_of(ann.session)
                one.server._cluster.notes["session"](Note(two.server._cluster.origin.node, "", [name, 2]))
                assert await third.said("red") == "red"
                one.server._cluster.notes["session"](Note(two.server._cluster.origin.node, "", [name, 4]))
                assert await third.end() == 4410

    async def test_who_loses_its_session_changes_nothing_of_it_any_more(self, pair, nodes, written):
        async with pair() as (one, two), visitor(one) as ann:
            await written(True)
            one.server._cluster.sessions._clock = lambda: 0.0
            one.server.node.hub.clients[ann.id].join("late")  # which is to be written at the end of the loop turn
            one.server._cluster.notes["session"](Note(0, "", [shared.name_of(ann.session), 2]))
            assert await ann.end() == 4410
            async with visitor(two):
                await written(True, True)
            assert not any(row["groups"] for row in kept(nodes).values())

    async def test_what_leaves_a_session_out_leaves_its_client_out_on_whatever_node_it_is(self, pair):
        async with pair() as (one, two), visitor(one, "/others") as ann, visitor(two, "/others") as bob:
            async with httpx.AsyncClient() as http:
                url = two.server.url("web") + "/others"
                answer = await http.post(
                    url, json={"message": "by another way"}, headers={"Signalpost-Session": ann.session}
                )
            assert answer.status_code == 202
            await bob.say("from bob")
            assert (await ann.read())["value"] == "from bob"
            assert (await bob.read())["value"] == "by another way"


class TestEnds:
    @pytest.mark.parametrize(("code", "goes_on"), [("4001", False), ("4009", False), ("1008", False), ("1000", True)])
    async def test_a_code_that_ends_a_session_ends_it_on_all_nodes(self, pair, nodes, until, code, goes_on):
        async with pair() as (one, two):
            async with visitor(two, "/ends") as ann:
                pass
            await until(lambda: [row["here"] for row in kept(nodes).values()] == [False])
            async with visitor(one, "/ends", ann.session) as again:
                await again.say(code)
                assert await again.end() == int(code)
            await until(lambda: all(not row.get("here") for row in kept(nodes).values()))
            for app in (two, one):
                async with visitor(app, "/ends", ann.session) as third:
                    assert (third.session == ann.session) is goes_on

    async def test_a_session_is_known_for_ten_minutes_after_its_client_has_left(self, pair, nodes, written):
        now = [1_000.0]
        nodes.shared.store.clock = lambda: now[0]
        async with pair() as (one, two):
            async with visitor(one) as ann, visitor(one) as bob:
                pass
            await written(False, False)
            now[0] += LIFE - 1
            async with visitor(two, session=ann.session) as again:
                assert again.session == ann.session
            now[0] += 1
            async with visitor(two, session=bob.session) as late:
                assert late.session != bob.session

    async def test_that_of_a_connected_client_is_known_as_long_as_it_is_connected(self, pair, nodes, written):
        now = [1_000.0]
        nodes.shared.store.clock = lambda: now[0]
        async with pair() as (one, two), visitor(one) as ann:
            await written(True)
            part = one.server._cluster.sessions
            part._clock, part._anew_before = lambda: now[0], 0.0
            for known in part._here.values():
                known.written = now[0]
            for _ in range(5):
                now[0] += shared.REFRESH + 1
                part.look()
            async with visitor(two, session=ann.session) as again:
                assert again.session == ann.session


class TestAway:
    async def test_a_client_waits_for_a_backplane_that_is_away_for_a_moment(self, pair, written, until):
        async with pair() as (one, two), visitor(two):
            async with visitor(one) as ann:
                await ann.said("red")
            await written(True, False)
            two.backplane.cut()
            coming = visitor(two, session=ann.session)
            entering = asyncio.ensure_future(coming.__aenter__())
            await until(lambda: two.server.node.admitter.waiting)
            two.backplane.heal()
            again = await entering
            assert again.session == ann.session
            await coming.__aexit__(None, None, None)

    async def test_without_a_backplane_for_long_it_is_a_new_client(self, pair, written):
        async with pair() as (one, two), visitor(two):
            async with visitor(one) as ann:
                pass
            await written(True, False)
            two.backplane.cut()
            two.server._cluster.parcels._give_up()
            async with visitor(two, session=ann.session) as again:
                assert again.session != ann.session
            two.backplane.heal()

    async def test_what_a_backplane_has_lost_is_written_again(self, pair, nodes, written):
        async with pair() as (one, two), visitor(one, "/leave") as ann:
            await written(True)
            assert await ann.said("nothing") == "left"  # so that the backplane has answered by now
            nodes.shared.wipe()
            nodes.shared.fail_over()
            one.server._cluster.sessions.look()
            await written(True)
            async with visitor(two, "/leave", ann.session) as again:
                assert again.session == ann.session

    async def test_who_has_left_while_it_was_away_is_known_when_it_is_back(self, pair, written):
        async with pair() as (one, two):
            async with visitor(one) as ann:
                await ann.said("red")
                await written(True)
                one.backplane.cut()
            one.backplane.heal()
            await written(False)
            async with visitor(two, session=ann.session) as again:
                assert groups_of(two, again) == {"red"}

    async def test_what_was_on_its_way_to_a_backplane_that_was_lost_is_written_when_it_is_back(
        self, pair, written, until
    ):
        async with pair() as (one, two):
            async with visitor(one) as ann:
                await written(True)
                one.backplane.stall()
            await until(lambda: any("put" in repr(call.run) for call in one.backplane._calls))
            one.backplane.cut(done=0)
            one.backplane.heal()
            await written(False)
            async with visitor(two, session=ann.session) as again:
                assert again.session == ann.session


class TestPlainRequests:
    async def test_a_post_to_another_node_knows_the_groups_of_its_session(self, pair):
        async with pair() as (one, two), visitor(one, "/seen") as ann, httpx.AsyncClient() as http:
            one.server.node.hub.clients[ann.id].join("red")
            for app in (one, two):
                url = app.server.url("web") + "/seen"
                answer = await http.post(url, json={"message": "x"}, headers={"Signalpost-Session": ann.session})
                assert answer.json()["reply"]["value"] == "red"
            assert await ann.said("still here") == "red"

    async def test_a_route_knows_the_client_of_a_session_on_the_node_that_has_it_alone(self, pair):
        async with pair() as (one, two), visitor(one) as ann, httpx.AsyncClient() as http:
            headers = {"Signalpost-Session": ann.session}
            found = [
                (await http.get(app.server.url("web") + "/whoami", headers=headers)).json()["client"]
                for app in (one, two)
            ]
            assert found == [ann.id, None]
            told = [
                (await http.get(app.server.url("web") + "/tell", headers=headers)).status_code for app in (one, two)
            ]
            assert told == [200, 409]


async def test_the_text_of_a_session_is_nowhere_on_the_backplane(pair, nodes, written):
    published = []
    publish = nodes.shared.publish
    nodes.shared.publish = lambda channel, hear: (published.append(channel), publish(channel, hear))[1]
    bodies = []
    keep = nodes.shared.store.keep
    nodes.shared.store.keep = lambda channel, body, *more: (bodies.append(body), keep(channel, body, *more))[1]
    async with pair() as (one, two), visitor(one, "/kept") as ann, visitor(two, "/kept") as bob:
        await ann.say("hello")
        assert (await bob.read())["value"] == "hello"
        async with visitor(two, "/kept", ann.session):
            assert await ann.end() == 4410
        await written(True, False)
    seen = repr((published, bodies, nodes.shared.store._tables))
    assert "hello" in seen
    assert ann.session not in seen


async def test_a_storm_costs_a_read_and_a_write_for_each_client(pair, nodes, written):
    count = 100
    async with pair() as (one, two):
        sessions = []
        for _ in range(count):
            async with visitor(one) as ann:
                sessions.append(ann.session)
        await written(*[False] * count)
        calls = Counter()
        for name in ("get", "put", "drop", "read", "tops", "keep", "publish", "lease", "follow"):
            call = getattr(two.backplane, name)

            def counted(*given, name=name, call=call, **more):
                if name not in {"get", "put"} or given[0].startswith("session:"):
                    calls[name, "beat" if str(given[0]).startswith("n:") else ""] += 1
                return call(*given, **more)

            setattr(two.backplane, name, counted)
        for session in sessions:
            async with visitor(two, session=session) as again:
                assert again.session == session
        await written(*[False] * count)
        calls.pop(("publish", "beat"), None)
        assert calls == {("get", ""): count, ("put", ""): 2 * count, ("follow", ""): 1}, "each came, and left"


@given(
    st.binary(max_size=40) | st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(st.text(), st.none()))
)
def test_whatever_a_later_version_has_written_is_no_session_and_no_error(body):
    assert shared._read(body) is None


async def test_an_app_without_a_backplane_has_none_of_this(live):
    async with live("signals: [{path: /join}]") as app:
        node = app.server.node
        assert node.memory.sessions.elsewhere is node.moderation.elsewhere is node.hub.regrouped is None
