"""Kicks, bans and revocations that are done on one node, and reach the clients of all of them."""

import asyncio
import logging

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signalpost.control.commands import Request, run_command
from signalpost.node import Seams
from signalpost.operations.operator import Operator

BELIEVED = """
from signalpost import Identity, hookimpl

@hookimpl
def authenticate(request):
    user = request.headers.get("x-user")
    issued = request.headers.get("x-issued", "0")
    return user and Identity(user, token_id=request.headers.get("x-token-id", ""), issued=float(issued))
"""
ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: "/rooms/<room>", rebroadcast: path}
  - {path: /other}
  - {path: /join, do: [{join: {client: "{{ client.id }}", group: "{{ message }}"}}, {reply: {value: joined}}]}
  - path: /admin
    do:
      - if: "{{ message == 'kick' }}"
        then: [{kick: {user: "{{ data.who }}", code: 4321, reason: "be polite"}}]
        else: [{ban: {user: "{{ data.who }}", reason: "for a while"}}]
      - reply: {value: "{{ matched }}"}
"""


def as_user(user, **more):
    headers = {"X-User": user, **{f"X-{name.replace('_', '-')}": str(value) for name, value in more.items()}}
    return {"additional_headers": headers}


async def all_of(client):
    while True:
        await client.receive()


async def end_of(client):
    """Read until the connection has ended; return its code and its reason."""
    with pytest.raises(ConnectionClosed) as caught:
        await all_of(client)
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def status_of(app, path, **options):
    with pytest.raises(InvalidStatus) as caught:
        await app.connect(path, **options).__aenter__()
    return caught.value.response.status_code


async def talks(client, text):
    await client.send(text)
    return await client.receive() == text


def moderation(app):
    return app.server.node.moderation


async def ask(app, command, **options):
    """Ask a server as the control socket does."""
    return await run_command(command, Request(Operator(app.server.node), "a test", options))


@pytest.fixture
def pair(nodes):
    """Start two nodes whose clients are believed who they say they are."""
    return lambda text=ROOMS, **options: nodes.pair(text, plugins={"believed": BELIEVED}, **options)


class TestKick:
    @pytest.mark.parametrize(
        ("whom", "expected"),
        [
            ({"user": "ann"}, {"ann1", "ann2"}),
            ({"user": "ann", "path": "/other"}, {"ann2"}),
            ({"path": "/rooms/blue"}, {"ann1", "bob"}),
            ({"group": "red"}, {"eve"}),
            ({"group": "red", "user": "bob"}, set()),
        ],
    )
    async def test_it_closes_clients_of_all_nodes_that_match_all_that_it_names(self, pair, whom, expected):
        async with (
            pair() as (one, two),
            two.connect("/rooms/blue", **as_user("ann")) as ann1,
            one.connect("/other", **as_user("ann")) as ann2,
            two.connect("/rooms/blue", **as_user("bob")) as bob,
            two.connect("/join", **as_user("eve")) as eve,
            two.connect("/join", **as_user("zoe")) as zoe,
        ):
            for client, group in ((eve, "red"), (zoe, "green")):
                await client.send(group)
                assert await client.receive() == "joined"
            clients = {"ann1": ann1, "ann2": ann2, "bob": bob, "eve": eve, "zoe": zoe}
            moderation(one).kick(**whom, code=4321, reason="bye", by="a test")
            assert {name: await end_of(clients[name]) for name in expected} == dict.fromkeys(expected, (4321, "bye"))
            moderation(one).kick(user="zoe", by="a test")  # behind the first one
            assert await end_of(zoe) == (4009, "")
            there = [each.id for app in (one, two) for each in app.server.inspect().clients]
            assert len(there) == 4 - len(expected)

    async def test_a_client_of_another_node_is_kicked_by_its_id_and_only_that_node_is_told(self, pair, nodes):
        async with (
            pair() as (one, two),
            two.connect("/other") as ann,
            two.connect("/other") as bob,
            one.connect("/other") as eve,
        ):
            third = await nodes.start(ROOMS, plugins={"believed": BELIEVED})
            heard = []
            third.server._cluster.notes["kick"] = heard.append
            assert moderation(one).kick(client_id=ann.id, by="a test") == 0, "the number is of this node's clients"
            assert await end_of(ann) == (4009, "")
            assert await talks(bob, "still here")
            assert await eve.receive() == "still here"
            assert not heard

    async def test_an_id_that_names_no_node_goes_over_no_backplane(self, pair):
        async with pair() as (one, _), one.connect("/other") as ann:
            publish, own, sent = one.backplane.publish, one.server._cluster.origin.tag, set()
            one.backplane.publish = lambda channel, body: (sent.add(channel), publish(channel, body))[1]
            for unknown in ("someone", "no-one", "nABCDEFGH-1", f"{ann.id}x"):
                assert moderation(one).kick(client_id=unknown, by="a test") == 0
                assert one.server.node.broadcaster("hello", client=unknown).matched == 0
            assert await talks(ann, "still here")
            assert sent <= {"all", f"n:{own}"}, "which is the message of ann, and the beat of the node"

    async def test_a_step_counts_the_clients_of_its_own_node(self, pair):
        async with (
            pair() as (one, two),
            one.connect("/rooms/blue", **as_user("ann")) as here,
            two.connect("/rooms/blue", **as_user("ann")) as there,
            one.connect("/admin") as admin,
        ):
            await admin.send("kick", who="ann")
            assert await admin.receive() == "1"
            assert [await end_of(here), await end_of(there)] == [(4321, "be polite")] * 2


class TestBans:
    async def test_a_ban_closes_the_users_clients_on_all_nodes_and_lets_it_in_on_none(self, pair):
        async with (
            pair() as (one, two),
            one.connect("/other", **as_user("ann")) as here,
            two.connect("/other", **as_user("ann")) as there,
            two.connect("/other", **as_user("bob")) as bob,
            one.connect("/admin") as admin,
        ):
            await admin.send("ban", who="ann")
            assert await admin.receive() == "1"
            assert [await end_of(here), await end_of(there)] == [(4403, "for a while")] * 2
            assert [await status_of(app, "/other", **as_user("ann")) for app in (one, two)] == [403, 403]
            assert await talks(bob, "still here")

    async def test_a_ban_is_known_to_a_node_that_starts_later_before_it_lets_anybody_in(self, pair, nodes):
        async with pair() as (one, _):
            moderation(one).ban("ann", by="a test")
            third = await nodes.start(ROOMS, plugins={"believed": BELIEVED})
            assert await status_of(third, "/other", **as_user("ann")) == 403

    async def test_while_a_node_that_was_away_asks_who_is_banned_clients_wait_for_the_answer(self, pair, until):
        async with pair() as (one, two):
            async with two.connect("/other", **as_user("ann")):
                pass  # so that what is sent to ann and to her path is heard already
            two.backplane.cut()
            moderation(one).ban("ann", by="a test")
            two.backplane.heal()
            two.backplane.stall()
            coming = asyncio.create_task(status_of(two, "/other", **as_user("ann")))
            await until(lambda: two.server.node.admitter.waiting)
            two.backplane.resume()
            assert await coming == 403

    async def test_a_ban_is_lifted_on_any_node_and_for_all(self, pair, until):
        async with pair() as (one, two):
            moderation(one).ban("ann", by="a test")
            await until(moderation(two).revocations.rows)
            assert moderation(two).unban("ann", by="a test")
            await until(lambda: not moderation(one).revocations.rows())
            async with one.connect("/other", **as_user("ann")), two.connect("/other", **as_user("ann")):
                pass

    async def test_a_ban_ends_everywhere_by_itself(self, pair, until):
        now = [1_700_000_000.0]
        async with pair(seams=Seams(clock=lambda: now[0])) as (one, two):
            moderation(one).ban("ann", 60.0, by="a test")
            await until(moderation(two).revocations.rows)
            assert await status_of(two, "/other", **as_user("ann")) == 403
            now[0] += 60.0
            async with one.connect("/other", **as_user("ann")), two.connect("/other", **as_user("ann")):
                pass


class TestRevocations:
    async def test_one_token_is_refused_on_all_nodes_and_others_of_its_user_are_not(self, pair):
        async with (
            pair() as (one, two),
            two.connect("/other", **as_user("ann", token_id="t1")) as old,
            two.connect("/other", **as_user("ann", token_id="t2")) as new,
        ):
            moderation(one).revoke(token_id="t1", by="a test")
            assert await end_of(old) == (4401, "this token has been revoked")
            assert await talks(new, "still here")
            assert await status_of(two, "/other", **as_user("ann", token_id="t1")) == 401

    async def test_tokens_of_a_user_from_before_a_moment_are_refused_on_all_nodes(self, pair):
        async with (
            pair() as (one, two),
            two.connect("/other", **as_user("ann", issued=100)) as old,
            two.connect("/other", **as_user("ann", issued=300)) as new,
        ):
            moderation(one).revoke(user="ann", before=200.0, by="a test")
            assert (await end_of(old))[0] == 4401
            assert await talks(new, "still here")


class TestAway:
    async def test_a_ban_holds_here_while_the_backplane_is_away_and_everywhere_when_it_is_back(self, pair, caplog):
        caplog.set_level(logging.INFO, "signalpost.signals.moderation")
        async with (
            pair() as (one, two),
            one.connect("/other", **as_user("ann")) as here,
            two.connect("/other", **as_user("ann")) as there,
        ):
            one.backplane.cut()
            assert await ask(one, "ban", user="ann") == {"closed": 1, "others": False}
            assert "the backplane is away, so the other nodes do not know yet" in caplog.text
            assert (await end_of(here))[0] == 4403
            assert await talks(there, "still here")
            one.backplane.heal()
            assert (await end_of(there))[0] == 4403

    async def test_a_ban_that_all_have_heard_is_on_a_backplane_that_came_back_empty(self, pair, nodes, until):
        async with pair() as (one, two):
            moderation(one).ban("ann", by="a test")
            await until(moderation(two).revocations.rows)
            await one.server.stop()
            nodes.shared.wipe()
            nodes.shared.fail_over()
            third = await nodes.start(ROOMS, plugins={"believed": BELIEVED})
            await until(moderation(third).revocations.rows)
            assert await status_of(third, "/other", **as_user("ann")) == 403

    async def test_a_command_says_whether_the_others_are_told_and_counts_the_clients_here(self, pair, caplog):
        caplog.set_level(logging.INFO, "signalpost.signals.moderation")
        async with pair() as (one, two), two.connect("/other", **as_user("ann")) as ann:
            assert await ask(one, "kick", user="bob") == {"closed": 0, "others": True}
            assert await ask(one, "revoke", user="ann") == {"closed": 0, "others": True}
            assert (await end_of(ann))[0] == 4401
            assert await ask(one, "unrevoke", user="ann") == {"lifted": True, "others": True}
            assert "0 clients closed with 4009 here, and the other nodes are told" in caplog.text
            one.backplane.cut()
            assert await ask(one, "kick", user="ann") == {"closed": 0, "others": False}
            assert await ask(one, "unban", user="ann") == {"lifted": False, "others": False}
            assert "clients of other nodes may stay" in caplog.text
            one.backplane.heal()


class TestOnPathsThatTakeNothingFromElsewhere:
    CLOSED = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: /say, do: [{broadcast: {value: "{{ message }}"}}], may: {connect: anyone, publish: anyone}}
  - {path: /open, may: {connect: anyone, publish: anyone}}
  - {path: /closed, from_elsewhere: false, may: {connect: anyone, publish: anyone}}
  - {path: /users, may: {connect: anyone, publish: anyone, target: users}}
"""

    @pytest.mark.parametrize("closed", ["/closed", "/users"])
    async def test_a_list_reaches_a_client_of_another_node_by_its_id_only_where_its_path_takes_it(self, pair, closed):
        async with (
            pair(self.CLOSED) as (one, two),
            one.connect("/say") as ada,
            two.connect("/open") as eve,
            two.connect(closed) as bob,
        ):
            await ada.send("to bob", clientId=bob.id)
            await ada.send("to eve", clientId=eve.id)
            assert await eve.receive() == "to eve"
            await bob.send("from bob")
            assert await bob.receive() == "from bob"
