"""Ten thousand clients that reconnect: how many frames, writes and notes that is."""

import asyncio
from collections import Counter

import pytest
from virtualnodes import VirtualApp, run

from signalpost.testing import load_app

CLIENTS = 10_000
SECONDS = 5
ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: "/rooms/<room>", presence: {most: %d, grace: %s}}]
"""


def counted(app):
    total = Counter()
    for node in app.nodes:
        total += node.backplane.asked
    return total


@pytest.mark.slow
@pytest.mark.parametrize(("most", "grace", "frames_each"), [(1_000, "5s", 0), (0, "5s", 0), (1_000, "0", SECONDS + 2)])
def test_who_reconnects_to_any_node_costs_a_few_notes_and_no_frame_for_each(most, grace, frames_each, tmp_path):
    async def story():
        app = VirtualApp(load_app(ROOMS % (most, grace), tmp_path))
        nodes = [await app.start(), await app.start()]
        watchers = [await node.connect(user=f"watcher {number}") for number, node in enumerate(nodes)]
        clients = []
        for number in range(CLIENTS):
            clients.append(await nodes[number % 2].connect(user=f"u{number}"))
            if number % 20 == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(10)
        for watcher in watchers:
            assert watcher.frames()[-1]["count"] == CLIENTS + 2
        before, seen = counted(app), [len(watcher.frames()) for watcher in watchers]

        # All go, and come back within five seconds, half of them to the other node.
        for number, client in enumerate(clients):
            client.leave()
            if number % 20 == 19:
                await asyncio.sleep(0.001)
        for number in range(CLIENTS):
            await nodes[number // 2 % 2].connect(user=f"u{number}")
            if number % 20 == 19:
                await asyncio.sleep((SECONDS - 1.0) / CLIENTS * 20)
        await asyncio.sleep(20)

        asked = counted(app) - before
        frames = [watcher.frames()[count:] for watcher, count in zip(watchers, seen, strict=True)]
        for watcher, told in zip(watchers, frames, strict=True):
            assert watcher.node.presence.whole("/rooms/blue")["count"] == CLIENTS + 2
            assert len(told) <= frames_each, "nobody was ever away; without grace, a frame a second"
        ticks = (SECONDS + 1) * 10  # tenths of seconds in which anything changed
        assert asked["note"] <= 2 * ticks
        assert asked["put who"] <= 2 * ticks
        assert asked["put at"] <= 4
        assert asked["get who"] <= 4

    run(story())
