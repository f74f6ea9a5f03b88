"""What handlers and lists are told of all nodes: how many clients, at which position, and what is kept elsewhere."""

import pytest

APP = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: web, address: 127.0.0.1, port: 0, protocol: http}
backplane: redis://127.0.0.1/0
signals:
  - {path: "/kept/<room>", rebroadcast: path, history: 10}
  - {path: /ask, handler: ask}
  - path: /count
    do: [{broadcast: {value: hi, path: "/kept/blue"}}, {reply: {value: {matched: "{{ matched }}"}}}]
routes: [{path: /say, method: POST, broadcast: {value: hi, path: "/kept/blue"}}]
"""
ASK = """
from signalpost import signal

@signal("ask")
async def ask(event):
    asked = event.data.message
    if asked == "publish":
        published = await event.publish("hi", path="/kept/blue")
        return {"at": published.at, "matched": published.matched}
    if asked == "fetch":
        found = await event.fetch_history("/kept/blue")
    else:
        found = event.history("/kept/blue")
    return {"values": [each.value for each in found.values], "at": found.at}
"""
V1 = {"subprotocols": ["signalpost.v1"]}


@pytest.fixture
async def three(nodes):
    return [await nodes.start(APP, plugins={"ask": ASK}) for _ in range(3)]


async def answer(client, message):
    """Return what the server answers to a message."""
    await client.send(message, ref=1)
    while True:
        frame = await client.receive_json()
        if "reply" in frame:
            return frame["reply"]["value"]
        if "error" in frame:
            return frame["error"]["code"]


async def test_publish_says_at_which_position_and_how_many_there_are_at_least(three):
    one, two, _ = three
    async with (
        one.connect("/ask", **V1) as asking,
        one.connect("/kept/blue", **V1) as ann,
        two.connect("/kept/blue") as _bob,
        two.connect("/kept/blue") as _cat,
    ):
        said = await answer(asking, "publish")
        await ann.receive_json()
        signal = (await ann.receive_json())["signal"]
    assert said == {"at": signal["at"], "matched": 2}  # ann, and a node that has some


async def test_publish_to_nobody_anywhere_matches_nobody(three):
    async with three[0].connect("/ask", **V1) as asking:
        assert (await answer(asking, "publish"))["matched"] == 0


async def test_a_list_that_asks_how_many_waits_for_all_nodes(three):
    one, two, three_ = three
    async with (
        one.connect("/count", **V1) as asking,
        two.connect("/kept/blue") as _bob,
        three_.connect("/kept/blue") as _cat,
    ):
        assert await answer(asking, "x") == {"matched": 2}


async def test_what_is_kept_of_a_path_without_clients_here_is_fetched(three):
    one, two, _ = three
    async with two.connect("/kept/blue", **V1) as bob, one.connect("/ask", **V1) as asking:
        for number in range(3):
            await bob.send(number, ref=number)
        while (await bob.receive_json()).get("ack", {}).get("ref") != 2:
            pass
        assert await answer(asking, "history") == "unavailable"
        found = await answer(asking, "fetch")
        assert found["values"] == [0, 1, 2]
        assert await answer(asking, "history") == found  # it is followed for a while


async def test_alone_publish_and_fetch_wait_for_nothing(app_alone):
    async with app_alone.connect("/ask", **V1) as asking, app_alone.connect("/kept/blue") as _ann:
        said = await answer(asking, "publish")
        assert said["matched"] == 1
        assert await answer(asking, "fetch") == {"values": ["hi"], "at": said["at"]}


@pytest.fixture
async def app_alone():
    from signalpost.testing import serve

    async with serve(APP.replace("backplane: redis://127.0.0.1/0", ""), plugins={"ask": ASK}) as app:
        yield app


async def test_a_publish_that_cannot_be_made_raises(three):
    one, *_ = three
    one.server._cluster.parcels._patience = 0.01
    one.backplane.cut()
    async with one.connect("/ask", **V1) as asking:
        assert await answer(asking, "publish") == "unavailable"
