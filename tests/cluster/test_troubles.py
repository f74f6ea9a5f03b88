"""What clients read while the backplane is in trouble: nothing is lost in silence, and nothing is read twice."""

import asyncio
from types import SimpleNamespace

import pytest

from signalpost.cluster import cluster as cluster_module

ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: /live, rebroadcast: path}
  - {path: /kept, rebroadcast: path, history: 10}
"""
V1 = {"subprotocols": ["signalpost.v1"]}


async def frames(client, *kinds, until):
    """Return what a client reads of these kinds, up to a value."""
    found = []
    while True:
        try:
            frame = await asyncio.wait_for(client.receive_json(), 5)
        except TimeoutError:
            raise AssertionError(f"only {found} came") from None
        (kind, body), *_ = frame.items()
        if kind in kinds:
            found.append((kind, body.get("value", body.get("why"))))
        if kind == "signal" and body["value"] == until:
            return found


def signals(*values):
    return [("signal", value) for value in values]


async def heal(app):
    """Let a node reach the backplane again."""
    app.backplane.heal()
    while not app.backplane.connected:  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0)


@pytest.fixture
async def pair(nodes):
    """Two nodes, with a client each on both paths: ann and cat on one, bob and dan on the other."""
    async with (
        nodes.pair(ROOMS) as (one, two),
        one.connect("/kept", **V1) as ann,
        two.connect("/kept", **V1) as bob,
        one.connect("/live", **V1) as cat,
        two.connect("/live", **V1) as dan,
    ):
        for each in (ann, bob, cat, dan):
            await each.receive_json()
        yield SimpleNamespace(shared=nodes.shared, one=one, two=two, ann=ann, bob=bob, cat=cat, dan=dan)


async def test_a_kept_value_that_a_node_has_not_heard_is_read_with_the_next_one(pair):
    pair.two.backplane.drop_next()
    for value in ("one", "two"):
        await pair.ann.send(value)
    assert await frames(pair.bob, "signal", "gap", until="two") == signals("one", "two")
    assert pair.two.server._cluster.windows.healed == 1


async def test_a_live_value_that_a_node_has_not_heard_is_told_with_the_next_one(pair):
    await pair.cat.send("zero")
    await frames(pair.dan, until="zero")
    pair.two.backplane.drop_next()
    for value in ("one", "two"):
        await pair.cat.send(value)
    assert await frames(pair.dan, "signal", "gap", until="two") == [("gap", "lost"), ("signal", "two")]


async def test_a_short_outage_costs_no_kept_value_and_no_live_one_of_those_who_speak_in_it(pair):
    await pair.ann.send("before")
    await pair.cat.send("before")
    pair.shared.cut()
    for value in ("one", "two"):
        await pair.ann.send(value)
        await pair.cat.send(value)
    pair.shared.heal()
    for client in (pair.ann, pair.bob, pair.cat, pair.dan):
        assert await frames(client, "signal", "gap", until="two") == signals("before", "one", "two")


async def test_what_was_kept_but_not_answered_before_a_cut_is_kept_once(pair):
    await pair.ann.send("one", ref=1)
    await asyncio.sleep(0)
    pair.shared.cut(done=None)
    pair.shared.heal()
    await pair.ann.send("two", ref=2)
    for client in (pair.ann, pair.bob):
        assert await frames(client, "signal", "gap", until="two") == signals("one", "two")


async def test_a_wiped_backplane_is_a_gap_and_then_all_goes_on(pair):
    await pair.ann.send("one")
    await frames(pair.bob, until="one")
    pair.shared.wipe()
    for value in ("two", "three"):
        await pair.ann.send(value)
    for client, before in ((pair.ann, signals("one")), (pair.bob, [])):
        assert await frames(client, "signal", "gap", until="three") == [
            *before,
            ("gap", "lost"),
            *signals("two", "three"),
        ]


async def test_a_replica_that_lags_is_a_gap_for_those_who_knew_more(pair):
    for value in ("one", "two", "three"):
        await pair.ann.send(value)
    await frames(pair.bob, until="three")
    pair.shared.fail_over(lag=2)
    await pair.ann.send("four")
    found = await frames(pair.bob, "signal", "gap", until="four")
    assert found == [("gap", "lost"), *signals("four")]


async def test_a_replica_that_does_not_lag_is_noticed_by_nobody(pair):
    await pair.ann.send("one")
    await frames(pair.bob, until="one")
    pair.shared.fail_over()
    await pair.ann.send("two")
    assert await frames(pair.bob, "signal", "gap", until="two") == signals("two")


async def test_a_node_that_is_deaf_makes_its_connection_anew_and_misses_no_kept_value(pair, monkeypatch):
    monkeypatch.setattr(cluster_module, "LOOK", 0.01)
    pair.two.backplane.deafen()
    await pair.ann.send("one")
    assert await frames(pair.bob, "signal", "gap", until="one") == signals("one")


async def test_values_of_a_node_alone_reach_its_own_clients_and_are_a_gap_for_others(pair):
    for app in (pair.one, pair.two):
        app.server._cluster.parcels._patience = 0.01
    await pair.cat.send("before")
    await frames(pair.dan, until="before")
    pair.one.backplane.cut()
    await pair.cat.send("alone")
    assert await frames(pair.cat, "signal", "gap", until="alone") == signals("before", "alone")
    await heal(pair.one)
    await pair.cat.send("after")
    assert await frames(pair.cat, "signal", "gap", until="after") == signals("after")
    assert await frames(pair.dan, "signal", "gap", until="after") == [("gap", "lost"), ("signal", "after")]


async def test_a_kept_value_is_refused_when_the_backplane_is_away_for_too_long(pair):
    pair.one.server._cluster.parcels._patience = 0.01
    pair.one.backplane.cut()
    for ref in (1, 2):
        await pair.ann.send("hi", ref=ref)
        error = (await pair.ann.receive_json())["error"]
        assert (error["code"], error["ref"]) == ("unavailable", ref)
    await heal(pair.one)
    await pair.ann.send("later", ref=3)
    assert await frames(pair.bob, "signal", "gap", until="later") == signals("later")


async def test_a_value_that_is_kept_before_a_new_channel_is_heard_is_known_to_who_waits_for_it(nodes):
    async with nodes.pair(ROOMS) as (one, two), one.connect("/kept", **V1) as ann:
        await ann.receive_json()
        follow, asked, heard = two.backplane.follow, asyncio.Event(), asyncio.get_running_loop().create_future()

        def follow_late(channels):
            if "p:/kept" not in channels:
                return follow(channels)
            asked.set()
            return heard

        two.backplane.follow = follow_late  # as over Redis, where it takes another connection than what is read
        coming = two.connect("/kept", **V1)
        bob = asyncio.create_task(coming.__aenter__())
        await asked.wait()
        await two.backplane.now()  # what else was asked for with it is answered
        await ann.send("early")
        signal = (await ann.receive_json())["signal"]
        await follow(["p:/kept"])
        heard.set_result(None)
        try:
            assert (await (await bob).receive_json())["welcome"]["at"] == signal["at"]
        finally:
            await coming.__aexit__(None, None, None)
