"""Clients that are sent away: by steps, by plugins, on sockets and event streams."""

import asyncio
import logging
import re

import httpx
import pytest
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signalpost.auth.identity import Identity
from signalpost.cli import cli
from signalpost.node import Seams
from signalpost.observe import Observer
from signalpost.testing import load_app

PLAIN = 'signals: [{path: "/rooms/<room>"}, {path: /other}]'


async def all_of(client):
    while True:
        await client.receive()


async def end_of(client):
    """Read until the connection has ended; return its code and its reason."""
    with pytest.raises(ConnectionClosed) as caught:
        await all_of(client)
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def status_of(app, path, options):
    with pytest.raises(InvalidStatus) as caught:
        await app.connect(path, **options).__aenter__()
    return caught.value.response.status_code


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("{user: ann}", {"ann1", "ann2"}),
        ('{user: "{{ data.who }}", path: /other}', {"ann2"}),
        ("{path: /rooms/blue}", {"ann1", "bob"}),
        ("{group: red}", {"bob"}),
        ('{client: "{{ data.id }}"}', {"bob"}),
        ("{user: red}", set()),
    ],
)
async def test_a_step_kicks_those_that_match_all_that_it_names(app, as_user, step, expected):
    text = f"""
    signals:
      - {{path: "/rooms/<room>"}}
      - {{path: /other}}
      - path: /admin
        do: [{{kick: {step}}}, {{reply: {{value: "{{{{ matched }}}}"}}}}]
    """
    async with (
        app(text) as running,
        running.connect("/rooms/blue", **as_user("ann")) as ann1,
        running.connect("/other", **as_user("ann")) as ann2,
        running.connect("/rooms/blue", **as_user("bob")) as bob,
        running.connect("/admin") as admin,
    ):
        running.server.node.hub.find(bob.id).join("red")
        clients = {"ann1": ann1, "ann2": ann2, "bob": bob}
        await admin.send("go", who="ann", id=bob.id)
        assert await admin.receive() == str(len(expected))
        assert {name: await end_of(clients[name]) for name in expected} == dict.fromkeys(expected, (4009, ""))
        assert {each.id for each in running.server.inspect().clients} == {
            admin.id,
            *(client.id for name, client in clients.items() if name not in expected),
        }


async def test_a_kick_says_code_and_reason_and_who_was_kicked_may_come_again_without_its_session(app, as_user):
    text = """
    signals: [{path: /x, do: [{kick: {user: ann, code: 4321, reason: "be {{ message }}"}}]}]
    """
    async with app(text) as running:
        async with running.connect("/x", **as_user("ann", v1=True)) as ann:
            session = (await ann.receive_json())["welcome"]["session"]
            await ann.send("polite")
            assert await end_of(ann) == (4321, "be polite")
        options = as_user("ann", v1=True)
        options["subprotocols"].append(f"signalpost.session.{session}")
        async with running.connect("/x", **options) as ann:
            assert (await ann.receive_json())["welcome"]["session"] != session


@pytest.mark.parametrize("v", ["", "?v=1"])
async def test_an_event_stream_of_a_kicked_user_ends(app, as_user, v, until):
    async with app(PLAIN) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.endpoints[1].port)
        writer.write(
            f"GET /other{v} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nX-User: ann\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: running.server.node.hub.of_user("ann"))
        assert running.server.node.moderation.kick(user="ann", reason="enough", by="a test") == 1
        rest = await reader.read()
        assert b'"code":4009,"reason":"enough"' in rest
        writer.close()
        assert running.server.clients == 0


async def test_a_client_that_ignores_its_close_frame_is_gone_all_the_same(app, as_user):
    text = "signals: [{path: /x, do: [{set: {said: '{{ message }}'}}]}]"
    async with app(text) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.endpoints[0].port)
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
        upgrade = f"Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}"
        writer.write(f"GET /x HTTP/1.1\r\n{upgrade}\r\nX-User: ann\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        node = running.server.node
        node.moderation.ban("ann", by="a test")
        hello = b'{"message":"still here"}'
        writer.write(bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
        assert (await reader.readexactly(2))[0] == 0x88
        keepalive = running.server._sockets.keepalive
        clock, keepalive._clock = keepalive._clock, lambda: clock() + 3_600.0
        while node.hub.closing:
            keepalive.look()
            await asyncio.sleep(0)
            keepalive._clock = lambda before=keepalive._clock: before() + 3_600.0
        await reader.read()
        assert reader.at_eof()
        assert "said" not in node.state
        writer.close()


@pytest.mark.parametrize("leaves", [True, False])
async def test_what_a_banned_client_had_sent_before_is_not_handled_any_more(app, as_user, until, leaves):
    plugin = """
    from signalpost import signal

    handled = []

    @signal("slow")
    async def slow(event):
        handled.append(event.data.message)
        if event.data.message == "first":
            event.state["_begun"].set()
            await event.state["_may_end"].wait()
        event.state["handled"] = handled
    """
    async with app("signals: [{path: /x, handler: slow}]", plugins={"slow": plugin}) as running:
        node = running.server.node
        node.state["_begun"], node.state["_may_end"] = asyncio.Event(), asyncio.Event()
        async with running.connect("/x", **as_user("ann")) as ann, running.connect("/x", **as_user("bob")) as bob:
            await ann.send("first")
            await ann.send("second")
            await node.state["_begun"].wait()
            await bob.send("from bob")
            await until(lambda: node.state.get("handled"))
            if leaves:
                await ann.close()
                await until(lambda: not node.hub.of_user("ann"))
            assert node.moderation.ban("ann", by="a test") == (not leaves)
            node.state["_may_end"].set()
            if not leaves:
                assert await end_of(ann) == (4403, "this user is banned")
            await until(lambda: not node.running)
            assert list(node.state["handled"]) == ["first", "from bob"]


async def test_a_ban_closes_who_is_here_and_refuses_who_comes_whatever_its_token(app, as_user):
    text = """
    signals:
      - {path: /x}
      - path: /admin
        do:
          - {ban: {user: "{{ data.who }}", for: "{{ data.for }}", reason: bye}}
          - {reply: {value: "{{ matched }}"}}
      - {path: /mercy, do: [{unban: "{{ data.who }}"}, {reply: {value: "{{ matched }}"}}]}
    """
    async with (
        app(text) as running,
        running.connect("/x", **as_user("ann", token_id="t1")) as one,
        running.connect("/x", **as_user("ann", token_id="t2")) as two,
        running.connect("/x", **as_user("bob")),
        running.connect("/admin") as admin,
        running.connect("/mercy") as mercy,
    ):
        await admin.send("", who="ann", **{"for": "1h"})
        assert await admin.receive() == "2"
        assert [await end_of(one), await end_of(two)] == [(4403, "bye")] * 2
        assert await status_of(running, "/x", as_user("ann", token_id="t3", issued=9e9)) == 403
        await mercy.send("", who="ann")
        assert await mercy.receive() == "1"
        await mercy.send("", who="ann")
        assert await mercy.receive() == "0"
        async with running.connect("/x", **as_user("ann")):
            assert len(running.server.node.hub.of_user("ann")) == 1


async def test_a_revoked_token_is_closed_with_4401_and_others_of_its_user_stay(app, as_user):
    text = """
    signals:
      - {path: /x}
      - {path: /logout, do: [{revoke: {token_id: "{{ message }}"}}, {reply: {value: "{{ matched }}"}}]}
    """
    async with (
        app(text) as running,
        running.connect("/x", **as_user("ann", token_id="t1")) as old,
        running.connect("/x", **as_user("ann", token_id="t2")) as other,
        running.connect("/x", **as_user("t1")),  # a user of that name
        running.connect("/logout") as logout,
    ):
        await logout.send("t1")
        assert await logout.receive() == "1"
        assert await end_of(old) == (4401, "this token has been revoked")
        assert await status_of(running, "/x", as_user("ann", token_id="t1")) == 401
        assert running.server.node.hub.find(other.id)
        assert running.server.node.hub.of_user("t1")


async def test_tokens_of_a_user_are_revoked_that_were_issued_before_a_moment(app, as_user):
    text = """
    signals:
      - {path: /x}
      - path: /admin
        do:
          - if: "{{ data.lift }}"
            then: [{revoke: {user: ann, lift: true}}]
            else: [{revoke: {user: ann, before: "{{ data.before }}", for: 1h}}]
          - {reply: {value: "{{ matched }}"}}
    """
    async with (
        app(text) as running,
        running.connect("/x", **as_user("ann", issued=100)) as old,
        running.connect("/x", **as_user("ann", issued=200)) as new,
        running.connect("/x", **as_user("ann")) as unknown,
        running.connect("/admin") as admin,
    ):
        await admin.send("", before=200, lift=False)
        assert await admin.receive() == "2"
        assert [(await end_of(each))[0] for each in (old, unknown)] == [4401, 4401]
        assert running.server.node.hub.of_user("ann") == [running.server.node.hub.find(new.id)]
        assert await status_of(running, "/x", as_user("ann", issued=199)) == 401
        await admin.send("", before=0, lift=True)
        assert await admin.receive() == "1"
        async with running.connect("/x", **as_user("ann", issued=199)):
            assert len(running.server.node.hub.of_user("ann")) == 2


async def test_a_plugin_kicks_bans_and_revokes_by_its_context(app, as_user):
    plugin = """
    from datetime import UTC, datetime
    from signalpost import signal

    @signal("moderate")
    async def moderate(event):
        context = event.context
        return [
            context.kick(user="ann", path="/x", reason="out"),
            context.ban("bob", "1h"),
            context.unban("bob"),
            context.unban("bob"),
            context.revoke(user="eve", before=datetime.now(UTC), duration="2h"),
            context.unrevoke(user="eve"),
            context.revoke(token_id="t9"),
        ]
    """
    text = "signals: [{path: /x}, {path: /admin, handler: moderate}]"
    async with (
        app(text, plugins={"moderator": plugin}) as running,
        running.connect("/x", **as_user("ann")) as ann,
        running.connect("/x", **as_user("bob")) as bob,
        running.connect("/x", **as_user("eve")) as eve,
        running.connect("/x", **as_user("dan", token_id="t9")) as dan,
        running.connect("/admin", **as_user("admin", v1=True)) as admin,
    ):
        await admin.receive()
        await admin.send("go", ref=1)
        assert (await admin.receive_json())["reply"] == {"ref": 1, "value": [1, 1, True, False, 1, True, 1]}
        assert [await end_of(each) for each in (ann, bob, eve, dan)] == [
            (4009, "out"),
            (4403, "this user is banned"),
            (4401, "this token has been revoked"),
            (4401, "this token has been revoked"),
        ]


@pytest.mark.parametrize("given", [{}, {"user": ""}, {"user": 5}, {"user": "ann", "code": 1005}])
async def test_a_kick_of_nobody_or_with_a_code_that_must_not_be_sent_is_an_error(app, given):
    async with app(PLAIN) as running:
        with pytest.raises((TypeError, ValueError)):
            running.server.node.moderation.kick(**given, by="a test")


async def test_each_deed_is_a_line_of_the_log_with_who_did_it_and_no_line_is_forged(app, as_user, caplog, until):
    caplog.set_level(logging.INFO, "signalpost.signals.moderation")
    text = """
    signals: [{path: /x, do: [{kick: {user: "{{ message }}"}}, {ban: {user: "{{ message }}", for: 90s}}]}]
    """
    async with app(text) as running, running.connect("/x") as client:
        running.server.node.hub.identify(running.server.node.hub.find(client.id), Identity("a\u2028b"))
        await client.send("a\u2028b")
        assert (await end_of(client))[0] == 4009
        await until(lambda: len(caplog.messages) == 2)
    kicked, banned = caplog.messages
    assert kicked.endswith("1 client closed with 4009")
    assert 'user "a\ufffdb" by ' in kicked
    assert "routes.yaml:3:28" in kicked
    assert "ban of user" in banned
    assert "for 90s by" in banned or "for 1.5m by" in banned


async def test_a_user_that_is_banned_while_its_handshake_waits_is_closed(app, as_user, monkeypatch):
    """The admission was decided before the ban, and the client comes after it."""
    async with app(PLAIN) as running:
        node = running.server.node
        admit = type(node.admitter).admit

        def late(self, request):
            accept = admit(self, request)
            node.moderation.ban("ann", by="a test")
            return accept

        monkeypatch.setattr(type(node.admitter), "admit", late)
        async with running.connect("/other", **as_user("ann")) as ann:
            assert await end_of(ann) == (4403, "this user is banned")


async def test_an_arriving_client_is_kicked_by_its_id_and_by_its_user(app, as_user):
    text = """
    signals:
      - {path: /id, endpoint: sockets, connected: [{kick: {client: "{{ client.id }}"}}]}
      - {path: /user, endpoint: sockets, connected: [{wait: 1ms}, {kick: {user: ann}}]}
    """
    async with app(text) as running:
        for path in ("/id", "/user"):
            async with running.connect(path, **as_user("ann")) as ann:
                assert (await end_of(ann))[0] == 4009


async def test_hostile_names_harm_nobody(app, as_user):
    text = """
    signals:
      - {path: /x}
      - {path: /admin, do: [{ban: {user: "{{ message }}"}}, {reply: {value: "{{ matched }}"}}]}
    """
    async with app(text) as running, running.connect("/x") as guest, running.connect("/admin") as admin:
        for name, answer in (
            ("x" * 5_000, "handler-failed"),
            ("\u0000", "0"),
            ("', '0'); --", "0"),
            ("__proto__", "0"),
        ):
            await admin.send(name)
            assert answer in await admin.receive()
        assert running.server.node.hub.find(guest.id)


async def test_a_message_by_post_of_a_banned_user_is_refused_and_so_is_one_that_is_on_its_way(app, as_user, until):
    text = "signals: [{path: /x, do: [{wait: 30s}, {set: {said: '{{ message }}'}}]}]"
    async with app(text) as running, httpx.AsyncClient() as web:
        node, url = running.server.node, f"{running.url('live')}/x"
        on_its_way = asyncio.create_task(web.post(url, json={"message": "hi"}, headers={"X-User": "ann"}))
        await until(lambda: node.hub.of_user("ann"))
        assert node.moderation.ban("ann", reason="no more", by="a test") == 1
        answer = await on_its_way
        assert (answer.status_code, answer.json()["error"]["detail"]) == (403, "no more")
        answer = await web.post(url, json={"message": "hi"}, headers={"X-User": "ann"})
        assert answer.status_code == 403
        answer = await web.get(url, headers={"X-User": "ann", "Accept": "text/event-stream"})
        assert answer.status_code == 403
        assert "said" not in node.state


async def test_an_observer_counts_who_is_sent_away(app, as_user):
    class Counts(Observer):
        def __init__(self):
            self.seen = []

        def kicked(self, code, count):
            self.seen.append((code, count))

    counts = Counts()
    async with (
        app("signals: [{path: /x}]", seams=Seams(observer=counts)) as running,
        running.connect("/x", **as_user("ann")),
        running.connect("/x", **as_user("ann")),
        running.connect("/x", **as_user("bob")),
    ):
        moderation = running.server.node.moderation
        moderation.kick(user="ann", by="a test")
        moderation.ban("bob", by="a test")
        moderation.ban("eve", by="a test")
    assert counts.seen == [(4009, 2), (4403, 1)]


def test_try_shows_whom_a_step_kicks(tmp_path):
    app = load_app(
        "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"
        "signals: [{path: /x, do: [{kick: {user: ann, reason: bye}}, {ban: {user: bob}}]}]",
        tmp_path,
    )
    app.registry.unload()
    message = '{"message": "go"}'
    others = ["--client", "phone@ann=/x", "--client", "b@bob=/x"]
    result = CliRunner().invoke(cli, ["try", "/x", message, str(tmp_path / "routes.yaml"), *others])
    assert re.search(r"phone@ann +/x +- +closed with 4009: bye", result.output)
    assert re.search(r"b@bob +/x +- +closed with 4403: this user is banned", result.output)
    assert "reaches 1 client" in result.output
