"""Messages with `once` that are repeated on another node: what is kept, is kept once."""

import json
from contextlib import asynccontextmanager

import pytest

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: /kept, rebroadcast: path, history: 10, once: 5m}
  - {path: /live, rebroadcast: path, once: 5m}
"""


@asynccontextmanager
async def sender(app, path="/kept", session=None):
    names = ["signalpost.v1", *([] if session is None else [f"signalpost.session.{session}"])]
    async with app.connect(path, subprotocols=names) as client:
        client.session = (await client.receive_json())["welcome"]["session"]
        yield client


async def answer_to(client, text, **keys):
    """Say something; return the answer, and what was read before it."""
    await client.send(text, ref=1, **keys)
    read = []
    while "ack" not in (frame := await client.receive_json()):
        read.append(frame["signal"]["value"])
    return {key: value for key, value in frame["ack"].items() if key != "ref"}, read


def kept(nodes):
    return [item.body[18:] for item in nodes.shared.store.read("p:/kept", None, 10).items]


@pytest.fixture
async def pair(nodes):
    async with nodes.pair(APP) as pair:
        yield pair


@pytest.fixture
def left(nodes, until):
    """Wait until the backplane knows that the client of a session has left."""

    async def left():
        def is_so():
            rows = [fields for name, (_, fields) in nodes.shared.store._tables.items() if name.startswith("session:")]
            return rows and not any(json.loads(row["session"])["here"] for row in rows)

        await until(is_so)

    return left


async def test_a_repeat_on_another_node_is_kept_once_and_gets_the_first_ones_position(pair, nodes, left):
    one, two = pair
    async with sender(one) as ann:
        first, _ = await answer_to(ann, "two tickets", once="a")
    await left()
    async with sender(two, session=ann.session) as ann:
        again, read = await answer_to(ann, "two tickets", once="a")
        assert (again, read) == ({**first, "again": True}, []), "and nobody reads it twice"
        third, read = await answer_to(ann, "three tickets", once="b")
        assert "again" not in third
        assert read == ["three tickets"]
        assert (await answer_to(ann, "two tickets", once="a"))[0] == again, "of this node's own knowledge"
    assert kept(nodes) == [b"two tickets", b"three tickets"]


async def test_the_same_mark_of_another_session_or_without_it_is_another_message(pair, nodes):
    one, two = pair
    async with sender(one) as ann, sender(two) as bob:
        for client in (ann, bob):
            answer, _ = await answer_to(client, "hello", once="a")
            assert "again" not in answer
    assert kept(nodes) == [b"hello", b"hello"]


async def test_a_message_whose_answer_was_lost_with_the_backplane_is_kept_once_and_no_repeat(pair, nodes, until):
    one, _ = pair
    async with sender(one) as ann:
        one.backplane.stall()
        await ann.send("two tickets", ref=1, once="a")
        await until(lambda: len(one.server._cluster.parcels))
        one.backplane.cut()  # it was done, and nobody has heard that
        one.backplane.heal()
        while "ack" not in (frame := await ann.receive_json()):
            pass
        assert frame["ack"].keys() == {"ref", "at"}
    assert kept(nodes) == [b"two tickets"]


async def test_what_is_not_kept_is_known_by_its_own_node_alone(pair, left):
    one, two = pair
    async with sender(one, "/live") as ann:
        await answer_to(ann, "hello", once="a")
        assert (await answer_to(ann, "hello", once="a"))[0] == {"again": True}
    await left()
    async with sender(two, "/live", ann.session) as ann:
        assert (await answer_to(ann, "hello", once="a"))[0] == {}


async def test_a_repeat_that_does_not_come_back_is_not_waited_for(pair, left):
    one, two = pair
    async with sender(one) as ann:
        await answer_to(ann, "hello", once="a")
    await left()
    async with sender(two, session=ann.session) as ann:
        await answer_to(ann, "hello", once="a")
        assert not two.server._cluster.publisher._waiting
