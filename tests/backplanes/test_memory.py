"""The troubles that a test may make with the backplane in memory: each is as it says, and nothing besides."""

import asyncio

import pytest

from signalpost.backplanes.backplane import AwayError, Keep, RefusedError
from signalpost.backplanes.memory import MemoryBackplane, MemoryServer

KEEP = Keep(10, 60, 600)


@pytest.fixture
def clock(make_clock):
    return make_clock(1_000.0)


@pytest.fixture
async def server(clock):
    return MemoryServer(clock)


@pytest.fixture
async def node(server, make_ear):
    """Start nodes at the server; each is a backplane and its ear."""

    async def node(*channels):
        backplane, ear = MemoryBackplane(server), make_ear()
        await backplane.start(ear)
        await backplane.follow(channels)
        return backplane, ear

    return node


async def outcomes(calls):
    """Return what calls have ended with: values, and kinds of errors."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [type(result) if isinstance(result, Exception) else result for result in results]


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_calls_are_done_at_the_end_of_the_loop_turn_and_what_comes_of_them_arrives_in_the_next(node):
    a, ear = await node("x")
    call = a.publish("x", b"1")
    await asyncio.sleep(0)
    assert (call.done(), ear.bodies) == (False, [])
    await asyncio.sleep(0)
    assert (call.done(), ear.bodies) == (True, [b"1"])


@pytest.mark.parametrize("done", [0, 1, 2, None])
async def test_of_the_calls_that_wait_when_a_connection_is_cut_so_many_are_done_as_the_test_says(node, done):
    a, _ = await node()
    b, ear = await node("x")
    calls = [a.publish("x", b"1"), a.publish("x", b"2"), a.publish("x", b"3")]
    a.cut(done)
    assert await outcomes(calls) == [AwayError] * 3
    await turns()
    assert ear.bodies == [b"1", b"2", b"3"][:done]
    assert not a.connected
    assert b.connected
    a.heal()
    await turns()
    assert a.connected


async def test_what_is_done_already_has_no_answer_when_the_connection_is_cut(node):
    a, _ = await node()
    _, ear = await node("x")
    call = a.publish("x", b"1")
    await asyncio.sleep(0)
    a.cut(0)
    assert await outcomes([call]) == [AwayError]
    await turns()
    assert ear.bodies == [b"1"]


async def test_what_is_under_way_to_a_node_is_lost_when_its_connection_is_cut(node):
    a, _ = await node()
    b, ear = await node("x")
    call = a.publish("x", b"1")
    await asyncio.sleep(0)
    b.cut()
    b.heal()
    assert await call == 1
    await turns()
    assert ear.log == ["connected", "lost", "connected"]
    assert await a.publish("x", b"2") == 1
    assert ear.bodies == [b"2"]


async def test_a_node_that_is_cut_itself_stays_so_when_the_server_is_back(server, node):
    a, ear = await node()
    b, other = await node()
    server.cut()
    a.cut()
    server.heal()
    await turns()
    assert (a.connected, b.connected) == (False, True)
    assert (ear.log, other.log) == (["connected", "lost"], ["connected", "lost", "connected"])


async def test_dropped_bodies_are_counted_and_not_heard(node):
    a, ear = await node("x")
    a.drop_next(2)
    assert [await a.publish("x", body) for body in (b"1", b"2", b"3")] == [1, 1, 1]
    assert ear.bodies == [b"3"]


async def test_nothing_goes_through_a_stalled_connection_until_it_is_resumed(node):
    a, ear = await node("x")
    b, _ = await node()
    a.stall()
    calls = [a.publish("x", b"1"), a.now()]
    assert await b.publish("x", b"2") == 1
    await turns()
    assert ear.bodies == []
    assert [call.done() for call in calls] == [False, False]
    a.resume()
    assert await outcomes(calls) == [1, 1_000.0]
    assert ear.bodies == [b"2", b"1"]


async def test_nothing_is_done_by_a_stalled_server_until_it_is_resumed(server, node):
    a, ear = await node("x")
    server.stall()
    call = a.publish("x", b"1")
    await turns()
    assert (call.done(), ear.bodies) == (False, [])
    server.resume()
    assert await call == 1
    assert ear.bodies == [b"1"]


async def test_a_deaf_node_is_answered_before_it_hears(node):
    a, ear = await node("x")
    a.deafen()
    assert (await a.keep("x", b"1", 1, "n1", 1, KEEP)).offset == 1
    await turns()
    assert ear.bodies == []
    a.resume()
    await turns()
    assert ear.bodies == [b"1"]


async def test_what_a_deaf_node_would_have_heard_is_lost_with_its_connection(node):
    a, ear = await node("x")
    a.deafen()
    await a.publish("x", b"1")
    a.reconnect()
    await turns()
    assert a.connected
    assert await a.publish("x", b"2") == 1
    assert ear.bodies == [b"2"]


async def test_a_replica_that_lags_lacks_the_newest_entries_under_the_same_epochs(server, node):
    a, ear = await node()

    def keep(number, channel="x"):
        return a.keep(channel, b"%d" % number, number, "n1", number, KEEP)

    kept = [await keep(1), await keep(2), await keep(3), await keep(1, "y")]
    server.fail_over(2)
    await turns()
    assert ear.log == ["connected", "lost", "connected"]
    assert await a.tops(["x", "y"]) == [kept[1][:3], ("", 0, 0)]
    assert await keep(3) == kept[2]
    assert (await keep(4)).offset == 4
    assert [item.body for item in (await a.read("x", None, 9)).items] == [b"1", b"2", b"3", b"4"]


async def test_a_refusal_is_the_answer_to_all_calls_and_to_a_start(server, node, make_ear):
    a, ear = await node("x")
    server.refusal = "no memory left"
    with pytest.raises(RefusedError, match="no memory left"):
        await a.publish("x", b"1")
    with pytest.raises(RefusedError, match="no memory left"):
        await MemoryBackplane(server).start(make_ear())
    server.refusal = None
    assert await a.publish("x", b"2") == 1
    assert ear.bodies == [b"2"]


async def test_lifetimes_go_by_the_clock_of_the_test(clock, node):
    a, _ = await node()
    await a.keep("x", b"", 1, "n1", 1, KEEP)
    await a.lease("job", "n1", 10)
    clock.advance(10)
    assert await a.lease("job", "n2", 10) is True
    assert (await a.read("x", None, 9)).items[0].age == 10
    clock.advance(50)
    assert not (await a.read("x", None, 9)).items
    assert (await a.tops(["x"]))[0].offset == 1
    clock.advance(600)
    assert (await a.tops(["x"]))[0].offset == 0
    assert await a.now() == 1_660
