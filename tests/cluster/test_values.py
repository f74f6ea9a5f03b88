"""Values that are sent on one node and read on all."""

import pytest

ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: "/live/<room>", rebroadcast: path, targets: [path, clientId, group]}
  - {path: "/kept/<room>", rebroadcast: path, history: 10}
  - {path: /all, rebroadcast: everyone}
  - {path: /raw, rebroadcast: path, format: raw}
"""
SAYING = (
    ROOMS
    + """  - {path: /say, handler: say}
"""
)
SAY = """
from signalpost import signal

@signal("say")
async def say(event):
    what = event.data.message
    for name in what.get("join", ()):
        event.client.join(name)
    if "value" in what:
        event.broadcast(what["value"], **what["to"])
"""
V1 = {"subprotocols": ["signalpost.v1"]}


async def values(client, count):
    """Return the next values of a client of signalpost.v1; other frames are passed over."""
    found = []
    while len(found) < count:
        frame = await client.receive_json()
        if "signal" in frame:
            found.append(frame["signal"]["value"])
    return found


@pytest.mark.parametrize("path", ["/live/blue", "/kept/blue", "/all", "/raw"])
async def test_clients_of_all_nodes_read_what_one_says(nodes, path):
    async with nodes.pair(ROOMS) as (one, two), one.connect(path) as ann, two.connect(path) as bob:
        await ann.send_raw('{"message": "hi"}')
        said = ['{"message": "hi"}' if path == "/raw" else "hi"] * 2
        assert [await ann.receive(), await bob.receive()] == said


async def test_binary_frames_of_a_raw_signal_reach_the_other_node_as_they_are(nodes):
    async with nodes.pair(ROOMS) as (one, two), one.connect("/raw") as ann, two.connect("/raw") as bob:
        await ann.send_raw(b"\x00\xff")
        assert [await ann.receive(), await bob.receive()] == [b"\x00\xff"] * 2


async def test_all_clients_read_one_order_whoever_speaks(nodes):
    async with (
        nodes.pair(ROOMS) as (one, two),
        one.connect("/kept/x", **V1) as ann,
        two.connect("/kept/x", **V1) as bob,
    ):
        for number in range(50):
            await ann.send(f"ann {number}")
            await bob.send(f"bob {number}")
        assert await values(ann, 100) == await values(bob, 100)


async def test_a_message_to_a_client_of_another_node_reaches_it_alone(nodes):
    async with (
        nodes.pair(ROOMS) as (one, two),
        one.connect("/live/blue", **V1) as ann,
        two.connect("/live/blue", **V1) as bob,
        two.connect("/live/blue", **V1) as eve,
    ):
        welcome = (await bob.receive_json())["welcome"]
        await ann.send("psst", clientId=welcome["clientId"])
        assert await values(bob, 1) == ["psst"]
        await ann.send("all")
        assert await values(eve, 1) == ["all"]
        assert await values(ann, 1) == ["all"]
        tags = {app.server._cluster.origin.tag for app in (one, two)}
        assert len(tags) == 2
        assert welcome["clientId"].partition("-")[0] == two.server._cluster.origin.tag


async def test_a_node_hears_only_what_its_clients_are_on(nodes):
    async with nodes.pair(ROOMS) as (one, two), one.connect("/live/blue") as ann, two.connect("/live/red") as bob:
        heard = []
        cluster = two.server._cluster
        hear = cluster.heard
        cluster.heard = lambda channel, body: (heard.append(channel), hear(channel, body))
        await ann.send("hi")
        assert await ann.receive() == "hi"
        await bob.send("ho")
        assert await bob.receive() == "ho"
        assert {channel for channel in heard if not channel.startswith("n:")} == {"p:/live/red"}


async def test_an_acknowledged_message_has_the_position_that_all_read(nodes):
    async with (
        nodes.pair(ROOMS) as (one, two),
        one.connect("/kept/x", **V1) as ann,
        two.connect("/kept/x", **V1) as bob,
    ):
        await ann.send("hi", ref=7)
        frames = [await ann.receive_json() for _ in range(3)]
        ack = next(frame["ack"] for frame in frames if "ack" in frame)
        await bob.receive_json()
        signal = (await bob.receive_json())["signal"]
        assert ack == {"ref": 7, "at": signal["at"]}


@pytest.mark.parametrize("to", [{"group": "red"}, {"to": "everyone"}, {"path": "/say", "group": "red"}])
async def test_a_handler_reaches_groups_and_everyone_on_all_nodes(nodes, to):
    async with (
        nodes.pair(SAYING, plugins={"say": SAY}) as (one, two),
        one.connect("/say", **V1) as ann,
        two.connect("/say", **V1) as bob,
    ):
        for client in (ann, bob):
            await client.send({"join": ["red"]}, ref=1)
            await client.receive_json()
            assert (await client.receive_json())["ack"] == {"ref": 1}
        await ann.send({"value": "hi", "to": to})
        assert [await values(ann, 1), await values(bob, 1)] == [["hi"], ["hi"]]


async def test_others_are_all_but_the_sender_on_all_nodes(nodes):
    async with (
        nodes.pair(SAYING, plugins={"say": SAY}) as (one, two),
        one.connect("/say", **V1) as ann,
        one.connect("/say", **V1) as eve,
        two.connect("/say", **V1) as bob,
    ):
        await ann.send({"value": "hi", "to": {"to": "others"}})
        await ann.send({"value": "all", "to": {"to": "everyone"}})
        assert [await values(ann, 1), await values(bob, 1), await values(eve, 1)] == [["all"], ["hi"], ["hi"]]


async def test_who_joins_a_group_reads_what_it_says_there_itself(nodes):
    async with nodes.pair(SAYING, plugins={"say": SAY}) as (one, _), one.connect("/say", **V1) as ann:
        await ann.send({"join": ["new"], "value": "hi", "to": {"group": "new"}})
        assert await values(ann, 1) == ["hi"]
