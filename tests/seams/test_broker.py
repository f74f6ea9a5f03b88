"""A broker from outside, which delays all that is published and reorders nothing."""

import asyncio
import json

import pytest

from signalpost.delivery.target import NOBODY, Receipt
from signalpost.errors import UnavailableError
from signalpost.node import Seams
from signalpost.testing import serve

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: /chat}
  - {path: /others, rebroadcast: others}
  - {path: /raw, format: raw}
"""


class Delaying:
    """Keeps what is published until it is let go."""

    alone = True

    def __init__(self):
        self.kept, self.all_kept, self.may_go = asyncio.Queue(), asyncio.Event(), asyncio.Event()

    def publish(self, publication):
        self.kept.put_nowait(publication)
        if self.kept.qsize() == 5:
            self.all_kept.set()
        return NOBODY

    async def start(self, deliver):
        self.task = asyncio.create_task(self._bring(deliver))

    async def stop(self):
        self.task.cancel()

    async def _bring(self, deliver):
        await self.may_go.wait()
        while True:
            deliver(await self.kept.get())


async def test_a_broker_from_outside_brings_everything_late_and_in_order():
    broker = Delaying()
    async with (
        serve(APP, seams=Seams(broker=broker)) as app,
        app.connect("/chat") as ada,
        app.connect("/others") as eve,
        app.connect("/raw") as raw,
    ):
        await eve.send("from eve")
        for number in range(3):
            await ada.send(f"{number}")
        await raw.send_raw("as it is")
        await broker.all_kept.wait()
        assert app.server.node.hub.work == 0  # nothing has been delivered
        broker.may_go.set()
        assert sorted([await ada.receive() for _ in range(5)]) == ["0", "1", "2", "as it is", "from eve"]
        assert [text for text in [await eve.receive() for _ in range(4)] if text.isdigit()] == ["0", "1", "2"]


class Deaf:
    """Reaches nobody."""

    alone = False

    def publish(self, _publication):
        later = asyncio.get_running_loop().create_future()
        later.set_exception(UnavailableError("nobody is there"))
        later.exception()
        return Receipt(later=later)

    async def start(self, _deliver):
        """Reach nobody."""

    async def stop(self):
        """Hold nothing."""


@pytest.mark.parametrize("rebroadcast", ["everyone", "path", "others"])
async def test_a_sender_is_told_that_nobody_was_sent_its_message_though_it_asks_for_no_answer(rebroadcast):
    text = APP + f"  - {{path: /mine, rebroadcast: {rebroadcast}}}\n"
    async with serve(text, seams=Seams(broker=Deaf())) as app, app.connect("/mine") as ada:
        await ada.send("hello")
        assert json.loads(await ada.receive())["error"]["code"] == "unavailable"
