"""Who is present, seen by clients, handlers and templates of several nodes."""

import weakref

import pytest

V1 = "signalpost.v1"
ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - path: /rooms/<room>
    presence: {every: 1ms, grace: %s, info: "{{ request.query.name | default('') }}"}
    may: {presence: "{{ params.room != 'none' }}"}
  - {path: /lobby, presence: {every: 1ms, grace: 0}}
  - {path: /ask, do: [{reply: {value: "{{ presence('/rooms/blue') | map(attribute='info') | list }}"}}]}
  - {path: /count, do: [{reply: {value: "{{ presence('/lobby') | length }}"}}]}
"""
QUICK = ROOMS % "0"
BARE = "\n".join(line for line in QUICK.splitlines() if "name | default" not in line and "may:" not in line)


KNOWN = weakref.WeakKeyDictionary()
"""By client, the users that it knows of."""


async def told(client, condition):
    """Read until what a client is told of presence is as it should be; return the last of it."""
    while True:
        seen = (await client.receive_json()).get("presence")
        if seen is None:
            continue
        users = dict(seen["users"]) if "users" in seen else KNOWN.get(client, {}) | seen["joined"]
        KNOWN[client] = {user: each for user, each in users.items() if user not in seen.get("left", ())}
        if condition([each["info"] for each in KNOWN[client].values()], seen):
            return seen


def names(*wanted):
    return lambda infos, _: sorted(infos) == sorted(wanted)


async def test_who_is_on_another_node_is_told_as_who_is_here(nodes):
    async with nodes.pair(QUICK) as (one, two), one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann:
        await told(ann, names("ann"))
        async with two.connect("/rooms/blue?name=bob", subprotocols=[V1]) as bob:
            await told(ann, names("ann", "bob"))
            await told(bob, names("ann", "bob"))
        await told(ann, names("ann"))


async def test_who_comes_reads_everyone_at_once_from_a_node_that_knew_nobody_before(nodes):
    one = await nodes.start(QUICK)
    async with one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann:
        await told(ann, names("ann"))
        two = await nodes.start(QUICK)
        async with two.connect("/rooms/blue?name=bob", subprotocols=[V1]) as bob:
            assert (await bob.receive_json()).keys() == {"welcome"}
            first = (await bob.receive_json())["presence"]
            assert sorted(each["info"] for each in first["users"].values()) == ["ann", "bob"]


async def test_plain_clients_of_other_nodes_are_users_as_well(nodes):
    async with (
        nodes.pair(QUICK) as (one, two),
        one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann,
        two.connect("/rooms/blue?name=bob"),
    ):
        await told(ann, names("ann", "bob"))


async def test_a_request_for_who_is_there_is_answered_with_all(nodes):
    async with (
        nodes.pair(QUICK) as (one, two),
        one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann,
        two.connect("/rooms/blue?name=bob"),
    ):
        await told(ann, names("ann", "bob"))
        await ann.send_raw('{"signalpost":{"presence":{}},"ref":1}')
        seen = await told(ann, lambda _, seen: seen.get("ref") == 1)
        assert sorted(each["info"] for each in seen["users"].values()) == ["ann", "bob"]


async def test_other_paths_and_their_users_stay_apart(nodes):
    async with (
        nodes.pair(QUICK) as (one, two),
        one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann,
        two.connect("/rooms/red?name=bob"),
        two.connect("/rooms/blue?name=cy"),
    ):
        await told(ann, names("ann", "cy"))


class TestPathsWithoutClientsHere:
    async def test_a_path_without_parameters_is_always_known(self, nodes):
        async with nodes.pair(QUICK) as (one, two), one.connect("/lobby", subprotocols=[V1]) as ann:
            await told(ann, lambda infos, _: infos)
            async with two.connect("/count") as asker:
                count = None
                while count != 1:
                    await asker.send("how many?")
                    count = await asker.receive_json()

    async def test_another_path_is_an_error_in_words_and_known_soon_after(self, nodes, caplog):
        async with nodes.pair(QUICK) as (one, two), one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann:
            await told(ann, names("ann"))
            async with two.connect("/ask", subprotocols=[V1]) as asker:
                await asker.receive_json()
                answers = []
                while not answers or "error" in answers[-1]:
                    await asker.send("who?", ref=len(answers))
                    answers.append(await asker.receive_json())
                assert len(answers) > 1
                assert answers[-1]["reply"]["value"] == ["ann"]
        assert "who is on /rooms/blue is known on the backplane, and read only now, as this node has no clients" in (
            caplog.text
        )

    async def test_a_handler_may_wait_for_it(self, nodes):
        text = QUICK + "  - {path: /wait, handler: wait}\n"
        plugin = """
            from signalpost import signal
            @signal("wait")
            async def wait(event):
                event.reply([each.info for each in await event.fetch_presence("/rooms/blue")])
        """
        async with (
            nodes.pair(text, plugins={"wait": plugin}) as (one, two),
            one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann,
            two.connect("/wait") as asker,
        ):
            await told(ann, names("ann"))
            await asker.send("who?")
            assert await asker.receive_json() == ["ann"]

    async def test_a_client_that_may_ask_for_it_is_told_to_ask_again(self, nodes):
        async with nodes.pair(QUICK) as (one, two), one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann:
            await told(ann, names("ann"))
            async with two.connect("/rooms/red", subprotocols=[V1]) as asker:
                await told(asker, lambda infos, _: infos)
                ask = '{"signalpost":{"presence":{"path":"/rooms/blue"}},"ref":1}'
                errors = []
                frame = {}
                await asker.send_raw(ask)
                while frame.get("presence", {}).get("ref") != 1:
                    frame = await asker.receive_json()
                    if "error" in frame:
                        errors.append(frame["error"]["code"])
                        await asker.send_raw(ask)
                assert set(errors) == {"unavailable"}
                assert [each["info"] for each in frame["presence"]["users"].values()] == ["ann"]


class TestReloads:
    async def test_presence_that_a_plan_brings_knows_the_others(self, nodes):
        async with (
            nodes.pair(BARE) as (one, two),
            one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann,
            two.connect("/rooms/blue?name=bob"),
        ):
            await two.reload(QUICK)
            await one.reload(QUICK)
            await told(ann, names("ann", "bob"))

    async def test_presence_that_a_plan_takes_is_taken_from_the_others(self, nodes):
        async with (
            nodes.pair(QUICK) as (one, two),
            one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann,
            two.connect("/rooms/blue?name=bob"),
        ):
            await told(ann, names("ann", "bob"))
            await two.reload(BARE)
            await told(ann, names("ann"))


async def test_a_node_that_stops_leaves_nothing_behind(nodes):
    one = await nodes.start(QUICK)
    async with one.connect("/rooms/blue?name=ann", subprotocols=[V1]) as ann:
        await told(ann, names("ann"))
    await one.server.stop()
    left = [name for name, (_, fields) in nodes.shared.store._tables.items() if fields]
    assert [name for name in left if not name.startswith("session:")] == []  # these last, for who comes back


@pytest.mark.parametrize("path", ["/bare", "/ask"])
async def test_a_path_without_presence_asks_the_backplane_for_nothing(nodes, path):
    text = QUICK + "  - {path: /bare}\n"
    async with nodes.pair(text) as (one, two), one.connect(path), two.connect(path):
        assert not [name for name in nodes.shared.store._tables if name.startswith(("who:", "at:"))]
        assert path not in one.server._cluster.parts[-2]._places
