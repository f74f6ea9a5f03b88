"""Values that are sent on one node and read on all."""

import pytest

V1 = "signalpost.v1"
ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: "/live/<room>", rebroadcast: path}
  - {path: "/kept/<room>", rebroadcast: path, history: 10}
"""


@pytest.mark.parametrize("path", ["/live/blue", "/kept/blue"])
async def test_clients_of_all_nodes_read_what_one_says(nodes, path):
    async with nodes.pair(ROOMS) as (one, two), one.connect(path) as ann, two.connect(path) as bob:
        await ann.send("hi")
        assert [await ann.receive(), await bob.receive()] == ["hi", "hi"]
        await bob.send("ho")
        assert [await ann.receive(), await bob.receive()] == ["ho", "ho"]
