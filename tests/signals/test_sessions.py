"""Sessions: what survives the reconnect of a client of v1, who may have it, and who may not."""

import logging
import re
from contextlib import asynccontextmanager
from types import SimpleNamespace

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from signalpost.signals.sessions import LIFE, PREFIX, TAKEN_OVER, Sessions, offered

V1 = "signalpost.v1"
SIGNALS = """
signals:
  - {path: /chat, rebroadcast: none}
  - {path: /other, rebroadcast: none}
  - {path: /rooms/<room>, rebroadcast: none}
  - {path: /join, do: [{join: {client: "{{ client.id }}", group: "{{ message }}"}}]}
  - {path: /ends, do: [{close: {code: "{{ message }}"}}]}
  - {path: /never, connected: [{close: {code: 4001}}]}
  - {path: /present, presence: {grace: 0, every: 1ms}, history: 10, rebroadcast: path}
  - {path: /seen, do: [{reply: {value: "{{ clients }}"}}]}
"""
END = '{"signalpost":{"nothing":{}},"ref":"end"}'
SESSION = re.compile(r"[A-Za-z0-9_-]{22}")


class Visitor:
    """A client of v1 that has read its welcome."""

    def __init__(self, client, welcome):
        self.client = client
        self.welcome = welcome
        self.session = welcome["session"]

    async def rest(self):
        """Read everything that was sent before the answer to a request that is made now."""
        await self.client.send_raw(END)
        read = []
        while (frame := await self.client.receive_json()).get("error", {}).get("ref") != "end":
            read.append(frame)
        return read

    async def end(self):
        """Read up to the end of the connection; return its close."""
        try:
            while True:
                await self.client.receive()
        except ConnectionClosed as closed:
            return closed.rcvd


@asynccontextmanager
async def visitor(app, path="/chat", session=None, first=(V1,), **options):
    names = [*first] if session is None else [*first, PREFIX + session]
    async with app.connect(path, subprotocols=names, **options) as client:
        yield Visitor(client, (await client.receive_json())["welcome"])


async def gone(app, client_id):
    """Return once the server knows that a client has gone."""
    async with visitor(app) as other:
        while client_id in app.server.node.hub.clients or app.server.node.hub.closing:
            await other.rest()


@pytest.fixture
def app(live):
    return live(SIGNALS)


def known(app):
    return len(app.server.node.memory.sessions)


class TestGiven:
    async def test_every_client_of_v1_gets_a_session_of_its_own_in_its_welcome(self, app):
        async with (
            app as running,
            visitor(running) as one,
            visitor(running) as two,
            visitor(running, "/other") as three,
        ):
            sessions = [one.session, two.session, three.session]
            assert len(set(sessions)) == 3
            assert all(SESSION.fullmatch(each) for each in sessions), "16 bytes, in base64 of URLs"

    async def test_a_plain_client_gets_none_and_none_is_kept_for_it(self, app):
        async with app as running:
            async with running.connect("/join") as plain, running.connect("/join", subprotocols=["chat.v9"]) as other:
                assert known(running) == 0
                await plain.send("g")
                assert plain.socket.subprotocol is other.socket.subprotocol is None
            assert known(running) == 0

    async def test_a_plain_client_that_offers_a_session_stays_plain(self, app):
        async with app as running, visitor(running, "/join") as one:
            offer = [PREFIX + one.session]
            async with running.connect("/join", subprotocols=offer) as plain:
                assert plain.socket.subprotocol is None
                await one.client.send("g")
                assert await one.rest() == [], "it has not been sent away"

    async def test_the_bits_are_random_and_none_comes_twice(self, make_clock):
        sessions = Sessions(make_clock(), 10)
        texts = {sessions.open("", "/a", "u")[0].id for _ in range(2_000)}
        assert len(texts) == 2_000
        letters = "".join(sorted(texts))
        assert len(set(letters)) == 64, "every digit of base64 appears"


class TestGivenBack:
    async def test_a_session_comes_back_beside_v1_and_is_the_same(self, app):
        async with app as running:
            async with visitor(running) as one:
                pass
            async with visitor(running, session=one.session) as again:
                assert again.session == one.session
                assert again.client.id != one.client.id

    @pytest.mark.parametrize("first", [(V1,), ("chat.v9", V1), ("x", "y", V1)])
    async def test_the_server_chooses_v1_wherever_it_stands_and_never_the_session(self, app, first):
        async with app as running:
            async with visitor(running) as one:
                pass
            async with visitor(running, session=one.session, first=first) as again:
                assert again.client.socket.subprotocol == V1
                assert again.session == one.session

    async def test_a_session_before_v1_in_the_list_is_as_good(self, app):
        async with app as running:
            async with visitor(running) as one:
                pass
            async with visitor(running, first=(PREFIX + one.session, V1)) as again:
                assert again.session == one.session
                assert again.client.socket.subprotocol == V1

    @pytest.mark.parametrize("text", ["", "nothing", "A" * 22, "A" * 2_000, "%00", "signalpost.v1"])
    async def test_an_unknown_one_is_ignored_and_another_one_given(self, app, text):
        async with app as running, visitor(running, session=text) as one:
            assert SESSION.fullmatch(one.session)
            assert one.session != text

    async def test_the_first_of_two_counts(self, app):
        async with app as running:
            async with visitor(running) as one, visitor(running) as two:
                pass
            async with visitor(running, first=(V1, PREFIX + one.session, PREFIX + two.session)) as again:
                assert again.session == one.session
        assert offered([V1, PREFIX + "a", PREFIX + "b"]) == "a"
        assert offered([V1]) == offered([]) == offered([PREFIX]) == offered(["signalpost.session"]) == ""

    async def test_neither_address_nor_cookie_nor_header_gives_it_back(self, app):
        async with app as running:
            async with visitor(running) as one:
                pass
            headers = {"Cookie": f"session={one.session}", "X-Session": one.session}
            address = f"/chat?session={one.session}&{PREFIX}{one.session}"
            async with visitor(running, address, additional_headers=headers) as again:
                assert again.session != one.session

    @pytest.mark.parametrize("path", ["/other", "/rooms/chat", "/undeclared"])
    async def test_a_session_is_unknown_on_another_path_and_stays_good_on_its_own(self, app, path):
        async with app as running:
            async with visitor(running) as one:
                async with visitor(running, path, one.session) as elsewhere:
                    assert elsewhere.session != one.session
                assert await one.rest() == [], "it has not been sent away"
            async with visitor(running, session=one.session) as again:
                assert again.session == one.session

    async def test_paths_of_one_pattern_are_different_and_spellings_of_one_path_are_not(self, app):
        async with app as running:
            async with visitor(running, "/rooms/blue") as one:
                pass
            async with visitor(running, "/rooms/red", one.session) as red:
                assert red.session != one.session
            async with visitor(running, "/ROOMS/blue", one.session) as blue:
                assert blue.session == one.session


class TestSurvives:
    async def test_groups_survive_a_reconnect(self, app):
        async with app as running:
            async with visitor(running, "/join") as one:
                await one.client.send("a")
                await one.client.send("b")
                await one.rest()
            async with visitor(running, "/join", one.session) as again:
                (view,) = (each for each in running.server.node.inspect().clients if each.id == again.client.id)
                assert view.groups == ("a", "b")
                async with running.connect("/elsewhere") as other:
                    await other.send("hi", group="b")
                    assert (await again.client.receive_json())["signal"]["value"] == "hi"
            async with visitor(running, "/join") as stranger:
                (view,) = (each for each in running.server.node.inspect().clients if each.id == stranger.client.id)
                assert view.groups == ()

    async def test_groups_survive_several_reconnects_and_a_broken_line(self, app):
        async with app as running:
            async with visitor(running, "/join") as one:
                await one.client.send("a")
                await one.rest()
                one.client.socket.transport.abort()
            async with visitor(running, "/join", one.session) as again:
                await again.client.send("b")
                await again.rest()
            async with visitor(running, "/join", one.session) as third:
                view = next(each for each in running.server.node.inspect().clients if each.id == third.client.id)
                assert view.groups == ("a", "b")

    async def test_ten_minutes_away_are_not_too_long_and_more_are(self, app, make_clock):
        async with app as running:
            clock = make_clock(running.server.node.memory.sessions._clock())
            running.server.node.memory.sessions._clock = clock
            for seconds, survives in ((LIFE, True), (LIFE + 0.001, False)):
                async with visitor(running, "/join") as one:
                    await one.client.send("a")
                    await one.rest()
                await gone(running, one.client.id)
                clock.advance(seconds)
                async with visitor(running, "/join", one.session) as again:
                    assert (again.session == one.session) is survives
                    view = next(each for each in running.server.node.inspect().clients if each.id == again.client.id)
                    assert view.groups == (("a",) if survives else ())
        assert LIFE == 600.0

    async def test_a_connected_client_keeps_its_session_however_long_it_stays(self, app, make_clock):
        async with app as running:
            clock = make_clock(running.server.node.memory.sessions._clock())
            running.server.node.memory.sessions._clock = clock
            async with visitor(running) as one:
                clock.advance(10 * LIFE)
            await gone(running, one.client.id)
            async with visitor(running, session=one.session) as again:
                assert again.session == one.session

    @pytest.mark.parametrize(
        "code",
        [1000, 1001, 1008, 3000, 4000, 4008, 4009, 4410, 4999],
    )
    async def test_a_clients_own_close_leaves_its_session_whatever_the_code(self, app, code):
        async with app as running:
            async with visitor(running) as one:
                await one.client.socket.close(code)
            await gone(running, one.client.id)
            async with visitor(running, session=one.session) as again:
                assert again.session == one.session

    @pytest.mark.parametrize(
        ("code", "survives"),
        [(1000, True), (1011, True), (3000, True), (3999, True), (1008, False)]
        + [(code, False) for code in (4000, 4001, 4007, 4009, 4410, 4999)],
    )
    async def test_a_session_that_the_app_has_ended_is_forgotten(self, app, code, survives):
        async with app as running:
            async with visitor(running, "/ends") as one:
                await one.client.send(code)
                assert (await one.end()).code == code
            await gone(running, one.client.id)
            async with visitor(running, "/ends", one.session) as again:
                assert (again.session == one.session) is survives

    async def test_a_client_that_the_list_connected_refuses_has_no_session_to_come_back_with(self, app):
        async with app as running:
            async with visitor(running, "/never") as one:
                assert (await one.end()).code == 4001
            await gone(running, one.client.id)
            async with visitor(running, "/never", one.session) as again:
                assert again.session != one.session

    async def test_a_client_that_does_not_answer_the_close_of_the_app_has_no_session_either(self, app):
        async with app as running, visitor(running, "/ends") as one:
            one.client.socket.transport.pause_reading()
            await one.client.send(4001)
            async with visitor(running) as other:
                while not running.server.node.hub.closing and one.client.id in running.server.node.hub.clients:
                    if running.server.node.hub.clients[one.client.id].closing:
                        break
                    await other.rest()
            async with visitor(running, "/ends", one.session) as again:
                assert again.session != one.session
            one.client.socket.transport.resume_reading()


class TestTakenOver:
    async def test_the_older_connection_is_closed_with_4410(self, app):
        async with app as running, visitor(running) as one, visitor(running, session=one.session) as two:
            end = await one.end()
            assert (end.code, end.reason) == (4410, TAKEN_OVER)
            assert two.session == one.session
            assert await two.rest() == []

    async def test_its_groups_go_over(self, app):
        async with app as running, visitor(running, "/join") as one:
            await one.client.send("a")
            await one.rest()
            async with visitor(running, "/join", one.session) as two:
                await one.end()
                view = next(each for each in running.server.node.inspect().clients if each.id == two.client.id)
                assert view.groups == ("a",)

    async def test_a_session_can_be_taken_over_again_and_survives_the_last_one(self, app):
        async with app as running, visitor(running) as one, visitor(running, session=one.session) as two:
            await one.end()
            async with visitor(running, session=one.session) as three:
                assert (await two.end()).code == 4410
                assert await three.rest() == []
            await gone(running, three.client.id)
            async with visitor(running, session=one.session) as four:
                assert four.session == one.session

    async def test_the_count_of_those_who_are_present_stays_one(self, app):
        async with app as running, visitor(running, "/present") as watcher, visitor(running, "/present") as one:
            frames = await watcher.rest()
            while not frames or frames[-1].get("presence", {}).get("count") != 2:
                frames.append(await watcher.client.receive_json())
            async with visitor(running, "/present", one.session) as two:
                await one.end()
                present = running.server.node.memory.present("/present")
                assert [(each.user, each.n) for each in present] == [(watcher.client.id, 1), (one.client.id, 1)]
                assert two.welcome["user"] == one.welcome["user"] == one.client.id
                await two.client.send("mark")
                seen = [await watcher.client.receive_json()]
                while "signal" not in seen[-1]:
                    seen.append(await watcher.client.receive_json())
                assert all(
                    (each["presence"]["count"], each["presence"].get("left")) == (2, []) for each in seen[:-1]
                ), "nobody has left"

    async def test_the_older_one_is_not_present_any_more_even_if_it_never_answers_its_close(self, app):
        async with app as running, visitor(running, "/present") as one:
            one.client.socket.transport.pause_reading()
            async with visitor(running, "/present", one.session):
                (present,) = running.server.node.memory.present("/present")
                assert (present.user, present.n) == (one.client.id, 1)
            one.client.socket.transport.resume_reading()


class TestSecret:
    async def test_a_session_is_in_no_response_and_no_frame_but_the_clients_own_welcome(self, app, caplog):
        caplog.set_level(logging.DEBUG)
        async with app as running, running.connect("/present") as plain, visitor(running, "/present") as watcher:
            texts = []
            async with visitor(running, "/present") as one, visitor(running, "/present", one.session) as two:
                await one.end()
                texts.append(str(two.client.socket.response.headers))
                await two.client.send("hi", ref=1)
                await two.client.send_raw('{"signalpost":{"presence":{}},"ref":2}')
                await two.client.send_raw('{"signalpost":{"history":{}},"ref":3}')
                texts += [str(each) for each in await two.rest()]
                texts.append(await plain.receive())
                async with visitor(running, "/seen") as seer:
                    await seer.client.send("x")
                    texts += [str(each) for each in await seer.rest()]
            await gone(running, two.client.id)
            texts += [str(each) for each in await watcher.rest()]
            texts.append(str(running.server.node.inspect()))
        assert "joined" in "".join(texts)
        assert one.session not in "".join(texts)
        ours = [each for each in caplog.records if not each.name.startswith("websockets")]  # which is the client's
        assert ours
        assert not [each for each in ours if one.session in str(each.__dict__)]

    async def test_a_template_sees_no_session_in_its_clients(self, app):
        async with app as running, visitor(running, "/seen") as one:
            await one.client.send("x")
            (told,) = await one.rest()
            assert told["signal"]["value"] == [{"id": one.client.id, "path": "/seen", "groups": []}]

    async def test_a_handshake_that_is_refused_does_not_send_it_back(self, live, caplog):
        caplog.set_level(logging.DEBUG)
        async with live("undeclared: refuse\nsignals: [{path: /chat}]") as running:
            async with visitor(running) as one:
                pass
            with pytest.raises(Exception, match="404") as refused:
                async with visitor(running, "/nowhere", one.session):
                    pass
            response = refused.value.response
            assert one.session not in f"{response.headers} {response.body}"
        assert not [
            each for each in caplog.records if not each.name.startswith("websockets") and one.session in str(vars(each))
        ]


def guest(code=1006, groups=()):
    return SimpleNamespace(client=SimpleNamespace(close_code=code, groups=frozenset(groups), closing=False))


class TestBounds:
    @pytest.fixture
    def clock(self, make_clock):
        return make_clock(1_000.0)

    def left(self, sessions, place="/a", user="u"):
        session, _ = sessions.open("", place, user)
        session.guest = someone = guest()
        sessions.leave(session, someone, sent_away=False)
        return session.id

    def knows(self, sessions, text, place="/a"):
        return text in sessions._left and sessions._left[text].place == place

    def test_no_more_than_most_are_known_and_those_that_left_longest_ago_go(self, clock):
        sessions = Sessions(clock, 3)
        texts = []
        for _ in range(5):
            texts.append(self.left(sessions))
            clock.advance(1)
        assert len(sessions) == 3
        assert [self.knows(sessions, each) for each in texts] == [False, False, True, True, True]

    def test_connected_ones_do_not_count_for_most(self, clock):
        sessions = Sessions(clock, 1)
        for _ in range(10):
            sessions.open("", "/a", "u")[0].guest = guest()
        text = self.left(sessions)
        assert len(sessions) == 11
        assert self.knows(sessions, text)

    def test_one_that_comes_back_and_leaves_again_left_last(self, clock):
        sessions = Sessions(clock, 2)
        first, second = self.left(sessions), self.left(sessions)
        session, before = sessions.open(first, "/a", "x")
        assert (session.id, session.user, before) == (first, "u", None)
        session.guest = someone = guest()
        sessions.leave(session, someone, sent_away=False)
        self.left(sessions)
        assert self.knows(sessions, first)
        assert not self.knows(sessions, second)

    def test_time_is_counted_from_when_the_client_left_last(self, clock):
        sessions = Sessions(clock, 10)
        text = self.left(sessions)
        clock.advance(LIFE - 1)
        session, _ = sessions.open(text, "/a", "x")
        session.guest = someone = guest()
        clock.advance(LIFE)
        sessions.leave(session, someone, sent_away=False)
        clock.advance(LIFE)
        sessions.forget_old()
        assert self.knows(sessions, text)
        clock.advance(0.5)
        sessions.forget_old()
        assert len(sessions) == 0

    def test_a_client_whose_session_another_one_has_takes_nothing_with_it(self, clock):
        sessions = Sessions(clock, 10)
        session, _ = sessions.open("", "/a", "u")
        session.guest = older = guest(4001, ["a"])
        same, before = sessions.open(session.id, "/a", "v")
        assert same is session
        assert before is older
        assert session.groups == {"a"}
        session.guest = newer = guest(groups=["b"])
        sessions.leave(session, older, sent_away=True)
        assert len(sessions) == 1
        assert session.guest is newer

    @pytest.mark.parametrize("code", [1008, 4000, 4001, 4007, 4008, 4009, 4410, 4999])
    def test_an_apps_code_ends_a_session_only_if_the_server_sent_it(self, clock, code):
        for sent_away in (True, False):
            sessions = Sessions(clock, 10)
            session, _ = sessions.open("", "/a", "u")
            session.guest = someone = guest(code)
            sessions.leave(session, someone, sent_away=sent_away)
            assert len(sessions) == (0 if sent_away and code != 4008 else 1)

    def test_a_session_is_not_its_users_name(self, clock):
        sessions = Sessions(clock, 10)
        session, _ = sessions.open("", "/a", "u")
        assert session.id not in orjson.dumps({"user": session.user}).decode()
        assert sessions.open("u", "/a", "v")[0] is not session
