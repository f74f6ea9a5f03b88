"""Admission hooks from outside: a plain function answers on the spot, an ``async def`` has its client wait."""

import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from signalpost.node import Seams
from signalpost.testing import serve
from signalpost.websocket.handshake import HandshakeRejection

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
limits: {connections: 2, handshake: 1s}
signals: [{path: "/rooms/<room>"}]
"""


calls = []


def no_kitchen(request):
    calls.append(request.path)
    return HandshakeRejection(403, "not in the kitchen") if request.path.endswith("kitchen") else None


async def status_of(app, path):
    with pytest.raises(InvalidStatus) as caught:
        await app.connect(path).__aenter__()
    return caught.value.response.status_code


async def test_a_plain_hook_from_outside_answers_each_handshake_once():
    calls.clear()
    async with serve(APP, seams=Seams(admission=[no_kitchen])) as app, app.connect("/rooms/hall") as client:
        await client.send("hello")
        assert await client.receive() == "hello"
        assert await status_of(app, "/rooms/kitchen") == 403
        assert calls == ["/rooms/hall", "/rooms/kitchen"]


async def test_an_async_hook_from_outside_has_its_client_wait_and_count():
    asked, may_answer = asyncio.Queue(), asyncio.Event()

    async def slowly(request):
        asked.put_nowait(request)
        await may_answer.wait()
        return no_kitchen(request)

    async with serve(APP, seams=Seams(admission=[slowly])) as app:
        waiting = [asyncio.create_task(status_of(app, "/rooms/kitchen")) for _ in range(2)]
        assert {(await asked.get()).path, (await asked.get()).path} == {"/rooms/kitchen"}
        assert app.server.inspect().asking == 2
        assert await status_of(app, "/rooms/hall") == 503  # both connections that there may be are taken
        may_answer.set()
        assert await asyncio.gather(*waiting) == [403, 403]
        async with app.connect("/rooms/hall") as client:
            assert [view.id for view in app.server.inspect().clients] == [client.id]
        may_answer.clear()  # limits.handshake ends this one
        assert await status_of(app, "/rooms/hall") == 503
