"""A node that stops while others go on."""

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
limits: {drain: 30s}
signals:
  - {path: "/kept/<room>", rebroadcast: path, history: 10}
  - {path: "/live/<room>", rebroadcast: path}
"""
V1 = {"subprotocols": ["signalpost.v1"]}


async def frames_until_the_end(client):
    found = []
    try:
        while True:
            found.append(await client.receive_json())
    except ConnectionClosed as closed:
        return found, closed.rcvd.code


async def read_by_server(client):
    """Return when the server has read all that was sent before."""
    await client.send_raw("")
    while "alive" not in await client.receive_json():
        pass


@pytest.mark.parametrize("path", ["/kept/blue", "/live/blue"])
async def test_a_client_is_not_sent_away_before_its_value_has_a_place_and_it_its_answer(nodes, path):
    app = await nodes.start(APP)
    async with app.connect(path, **V1) as asking, app.connect("/live/red") as idle:
        app.backplane.stall()
        await asking.send("hi", ref=1, once="a")
        await read_by_server(asking)
        stopping = asyncio.ensure_future(app.server.stop())
        assert await frames_until_the_end(idle) == ([], 1001)  # so those who may go have gone
        app.backplane.resume()
        frames, code = await frames_until_the_end(asking)
        await stopping
    kinds = [kind for frame in frames for kind in frame]
    assert sorted(kinds[:2]) == ["ack", "signal"]  # in any order
    assert kinds[2:] == ["bye"]
    assert code == 1012
