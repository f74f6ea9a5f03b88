"""Clients of another process, brought near by a broker: paths that accept nothing from elsewhere stay closed there."""

import pytest

from signalpost.node import Seams
from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: /open}
  - {path: /closed, from_elsewhere: false}
  - {path: /numbers, schema: {properties: {message: {type: integer}}}}
"""


class Bus:
    """A broker of each of several servers; what one publishes, all deliver at once."""

    alone = False

    def __init__(self, members):
        self._members = members

    def publish(self, publication):
        receipts = [deliver(publication) for deliver in self._members]
        return receipts[0]

    async def start(self, deliver):
        self._members.append(deliver)

    async def stop(self):
        self._members.clear()


@pytest.fixture
async def servers():
    members = []
    async with (
        serve(APP, seams=Seams(broker=Bus(members))) as one,
        serve(APP, seams=Seams(broker=Bus(members))) as other,
    ):
        yield one, other


async def test_a_message_to_everyone_goes_round_paths_of_another_process_that_take_nothing_from_elsewhere(servers):
    one, other = servers
    async with one.connect("/open") as ada, other.connect("/closed") as eve, other.connect("/numbers") as bob:
        await ada.send("hello")
        assert await ada.receive() == "hello"
        await ada.send(7)
        assert [await ada.receive(), await bob.receive()] == ["7", "7"]
        await eve.send("among us")
        assert await eve.receive() == "among us"


async def test_a_client_of_another_process_is_reached_by_its_id_unless_its_path_takes_nothing_from_elsewhere(servers):
    one, other = servers
    async with one.connect("/open") as ada, other.connect("/open") as eve, other.connect("/closed") as bob:
        await ada.send("to eve", clientId=eve.id)
        assert await eve.receive() == "to eve"
        await ada.send("to bob", clientId=bob.id)
        await bob.send("from bob")
        assert await bob.receive() == "from bob"
        assert await ada.receive() == "from bob"
