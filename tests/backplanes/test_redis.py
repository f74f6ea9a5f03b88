"""What a real Redis may do to its nodes: each trouble ends with an error in words, and then all is well again."""

import asyncio
import logging
import time

import pytest
from proxy import Proxy
from redisserver import RedisServer

from signalpost.backplanes.backplane import AwayError, Keep, Once, RefusedError, chained
from signalpost.backplanes.redis import RedisBackplane

KEEP = Keep(100, 60, 600)


def keep(backplane, number, channel="x", publisher="n1", once=None):
    return backplane.keep(channel, b"%d" % number, number, publisher, number, KEEP, once)


async def outcomes(calls):
    """Return what calls have ended with: offsets or other values, and kinds of errors."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [type(each) if isinstance(each, Exception) else getattr(each, "offset", each) for each in results]


@pytest.fixture
def away_and_back(until):
    """Wait until a node was away and is connected again, since the time of the call before."""
    seen = {}

    async def away_and_back(backplane, ear, times=1):
        wanted = seen.get(id(ear), 0) + times
        await until(lambda: ear.turns.count("lost") >= wanted and backplane.connected)
        seen[id(ear)] = ear.turns.count("lost")

    return away_and_back


# Connections that are lost


async def test_what_is_under_way_is_answered_when_only_the_connection_that_listens_is_killed(server, connect, until):
    a, ear = await connect(server, "x")
    server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    kept = keep(a, 1)
    await asyncio.sleep(0)
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: not a.connected)
    with pytest.raises(AwayError):
        await keep(a, 2)
    server.ask("CLIENT", "UNPAUSE")
    assert (await kept).offset == 1
    await until(lambda: a.connected)
    assert ear.turns == ["connected", "lost", "connected"]


async def test_a_node_that_is_too_slow_for_what_it_hears_is_killed_and_comes_back(server, connect, away_and_back):
    server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 0 0")
    a, ear = await connect(server, "x")
    while server.ask("PUBSUB", "NUMSUB", "app:0:x")[1]:  # the loop of the node does not turn meanwhile
        server.ask("PUBLISH", "app:0:x", "\0" + "x" * 500_000)
    await away_and_back(a, ear)
    assert await a.publish("x", b"1") == 1


async def test_a_server_that_stands_still_is_given_up_and_connected_again_when_it_goes_on(
    server, connect, away_and_back
):
    a, ear = await connect(server, "x", silence=0.2)
    server.stall()
    calls = [a.publish("x", b"1"), keep(a, 1)]
    assert await outcomes(calls) == [AwayError, AwayError]
    assert not a.connected
    server.resume()
    await away_and_back(a, ear)
    assert (await keep(a, 1)).id == chained(0, 1)
    assert (await a.tops(["x"]))[0].offset == 1  # it was done, though nobody was answered


async def test_a_server_that_stands_still_for_a_moment_loses_nothing(server, connect):
    a, ear = await connect(server, "x")
    server.stall()
    calls = [a.publish("x", b"%d" % number) for number in range(3)]
    await asyncio.sleep(0)
    server.resume()
    assert await outcomes(calls) == [1, 1, 1]
    assert ear.turns == ["connected"]


async def test_a_start_at_a_server_that_stands_still_ends_and_a_stop_does_too(server, connect, until):
    server.stall()
    a, ear = await connect(server, silence=0.1)
    assert ear.turns == ["lost"]
    b, _ = await connect(server, silence=0.1)
    await b.stop()
    server.resume()
    await until(lambda: a.connected)


@pytest.mark.slow
async def test_a_stop_waits_no_longer_than_a_second_for_a_server_that_stands_still(server, connect):
    a, _ = await connect(server, silence=60)
    server.stall()
    call = a.now()
    await a.stop()
    assert await outcomes([call]) == [AwayError]


async def test_a_server_that_takes_nothing_is_given_up_before_memory_runs_out(server, connect, until):
    a, _ = await connect(server, silence=60)
    server.stall()
    body = bytes(4_000_000)
    for _ in range(40):
        a.publish("x", body)
        await asyncio.sleep(0)
    assert not a.connected
    server.resume()
    await until(lambda: a.connected)


async def test_a_restart_of_a_server_that_forgets_begins_a_new_epoch(server, connect, away_and_back):
    a, ear = await connect(server, "x")
    first = await keep(a, 1)
    server.restart()
    await away_and_back(a, ear)
    second = await keep(a, 2)
    assert second.offset == 1
    assert second.epoch != first.epoch


async def test_a_restart_of_a_server_that_remembers_changes_nothing(tmp_path, connect, away_and_back):
    with RedisServer(tmp_path, durable=True) as server:
        a, ear = await connect(server, "x")
        first = await keep(a, 1)
        server.restart()
        await away_and_back(a, ear)
        assert await keep(a, 1) == first._replace(nodes=0, again=True)
        assert await keep(a, 2) == first._replace(offset=2, id=chained(first.id, 2))
        await a.stop()


@pytest.mark.slow
async def test_a_server_that_is_loading_is_waited_for(tmp_path, connect, until, caplog):
    with RedisServer(tmp_path, loading_process_events_interval_bytes="1024") as server:
        server.ask("DEBUG", "POPULATE", 2_000, "key", 100)
        server.ask("SAVE")
        server.kill()
        server.options["key-load-delay"] = "500"  # microseconds a key
        server.start()
        caplog.set_level(logging.DEBUG)
        a, ear = await connect(server)
        await until(lambda: a.connected)
        assert ear.turns == ["lost", "connected"]
        assert "is loading its data" in ear.why[0]
        await a.stop()


async def test_all_that_is_followed_is_heard_again_before_a_node_says_that_it_is_connected(
    server, connect, make_ear, until
):
    class Counting(make_ear):
        def connected(self):
            super().connected()
            self.log.append(("subscribed", len(server.ask("PUBSUB", "CHANNELS"))))

    channels = [f"p:/{number}" for number in range(3_000)]
    a, ear = await connect(server, ear=Counting())
    await a.follow(channels)
    a.reconnect()
    await until(lambda: a.connected)
    assert ear.log == ["connected", ("subscribed", 0), "lost", "connected", ("subscribed", 3_000)]


async def half_connected(server, backplane):
    """Connect anew; return when "p:/0" is heard again, and the last of very many channels is not yet."""
    backplane.reconnect()
    for wanted in (0, 1):
        while server.ask("PUBSUB", "NUMSUB", "app:0:p:/0")[1] != wanted:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
    assert not backplane.connected


async def test_what_is_followed_and_left_while_a_node_connects_is_as_it_was_asked_last(server, connect, until):
    a, _ = await connect(server, *(f"p:/{number}" for number in range(2_000)))
    b, _ = await connect(server)
    await half_connected(server, a)
    a.unfollow(["p:/0", "p:/1999"])
    a.follow(["late"])
    await until(lambda: a.connected)
    await a.follow(["end"])
    assert await outcomes([b.publish(channel, b"") for channel in ("p:/0", "p:/1", "p:/1999", "late")]) == [0, 1, 0, 1]


async def test_what_comes_while_a_node_connects_is_heard_when_it_has_said_that_it_is_connected(server, connect, until):
    channels = [f"p:/{number}" for number in range(2_000)]
    a, ear = await connect(server, *channels)
    await half_connected(server, a)
    assert server.ask("PUBLISH", "app:0:p:/0", "\0early") == 1
    assert not a.connected
    await until(lambda: a.connected)
    assert ear.log == ["connected", "lost", "connected", ("p:/0", b"early")]


@pytest.mark.slow
async def test_a_lost_server_is_logged_once_for_each_reason(tmp_path, connect, until, caplog):
    tries = []
    with RedisServer(tmp_path, password="s3cret") as server:
        a, ear = await connect(server, chance=lambda: tries.append(1) or 0.0)
        server.kill()
        await until(lambda: len(tries) > 4)
        lines = [record.getMessage() for record in caplog.records]
        assert [("cannot be reached" in line, "s3cret" in line) for line in lines] == [(True, False)]
        server.start()
        await until(lambda: a.connected)
        assert ear.turns == ["connected", "lost", "connected"]
        await a.stop()


async def test_nothing_is_left_open_when_all_has_ended(server, connect, count_descriptors, away_and_back, until):
    a, ear = await connect(server, "x")
    both = count_descriptors()
    for _ in range(3):
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        await away_and_back(a, ear)
    await until(lambda: count_descriptors() == both)
    await a.stop()
    await until(lambda: count_descriptors() == both - 2)


# Servers that forget, and servers that refuse


async def test_forgotten_scripts_cost_a_new_connection_and_no_entry(server, connect, away_and_back, until):
    a, ear = await connect(server, "x")
    assert await outcomes([keep(a, 1), keep(a, 2)]) == [1, 2]
    server.ask("SCRIPT", "FLUSH")
    assert await outcomes([keep(a, number) for number in (3, 4, 5)]) == [AwayError] * 3
    await away_and_back(a, ear)
    assert await outcomes([keep(a, number) for number in (3, 4, 5)]) == [3, 4, 5]
    await until(lambda: ear.bodies == [b"1", b"2", b"3", b"4", b"5"])


async def test_an_entry_waits_for_the_one_before_it_which_a_server_has_forgotten_before_it_was_answered(
    server, connect, away_and_back, until
):
    a, ear = await connect(server, "x")
    server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    first = keep(a, 1)
    await asyncio.sleep(0)
    server.ask("CLIENT", "UNPAUSE")
    while not server.ask("EXISTS", "{app:x}:m"):
        pass
    server.ask("FLUSHALL")
    second = keep(a, 2)  # the answer about the first has not been read
    assert await outcomes([first, second]) == [1, AwayError]
    await away_and_back(a, ear)
    assert await outcomes([keep(a, 2)]) == [1]
    await until(lambda: ear.bodies == [b"1", b"2"])


async def test_an_entry_does_not_overtake_one_that_is_refused(server, connect, until):
    a, ear = await connect(server, "x")
    server.ask("RPUSH", "{app:x}:o:k", "no text")
    calls = [keep(a, 1), keep(a, 2, once=Once("k", 60)), keep(a, 3), keep(a, 1, publisher="n2"), keep(a, 4)]
    assert await outcomes(calls) == [1, RefusedError, RefusedError, 2, RefusedError]
    assert await outcomes([keep(a, 3), keep(a, 4)]) == [3, 4]
    await until(lambda: ear.bodies == [b"1", b"1", b"3", b"4"])
    assert a.connected


async def test_a_full_server_refuses_what_is_kept_until_it_has_room(server, connect):
    a, ear = await connect(server, "x")
    server.ask("CONFIG", "SET", "maxmemory", 1)
    calls = [keep(a, 1), keep(a, 2), a.put("t", {"a": b"1"}), a.lease("l", "o", 60)]
    assert await outcomes(calls) == [RefusedError] * 4
    with pytest.raises(RefusedError, match="has no memory left"):
        await keep(a, 3)
    assert await a.publish("x", b"live") == 1
    server.ask("CONFIG", "SET", "maxmemory", 0)
    assert await outcomes([keep(a, 3)]) == [1]
    assert ear.turns == ["connected"]


async def test_a_server_that_cannot_save_refuses_what_is_kept(tmp_path, connect, until):
    with RedisServer(tmp_path, save="3600 1", dbfilename="dump.rdb") as server:
        a, _ = await connect(server)
        (server.folder / "dump.rdb").mkdir()  # nothing can take its place
        server.ask("BGSAVE")
        await until(lambda: server.ask("INFO", "persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(RefusedError, match="could not save its data to disk"):
            await keep(a, 1)
        assert a.connected
        await a.stop()


async def test_other_data_under_a_key_of_the_app_is_told(server, connect):
    a, _ = await connect(server)
    server.ask("SET", "{app:x}:m", "text")
    server.ask("HSET", "{app:y}:m", "e", "abcdef", "o", "many", "i", "1")
    server.ask("HSET", "{app:z}:m", "e", "abcdef", "o", "1", "i", "1", "s", "60000")
    server.ask("XADD", "{app:z}:h", f"1-{time.time_ns() // 1_000_000}", "v", "short")
    for call in (keep(a, 1), a.read("x", None, 1), a.tops(["y", "x"]), a.tops(["x"]), a.read("z", None, 1)):
        with pytest.raises(RefusedError, match=r"has (other )?data (of another program )?under"):
            await call
    assert a.connected


async def test_what_others_publish_on_a_channel_of_the_app_is_no_body(server, connect, until):
    a, ear = await connect(server, "x")
    for payload in ("", "text", "\2", "\1short", "\1\377\377\377\377\377\377" + "\0" * 20):
        server.ask("PUBLISH", "app:0:x", payload.encode("latin-1"))
    server.ask("PUBLISH", "app:0:x", "\0body")
    await a.publish("x", b"end")
    await until(lambda: ear.bodies[:1] == [b"body"])
    assert a.connected


async def test_apps_of_other_names_and_in_other_databases_are_apart(server, connect):
    nodes = [
        await connect(server, "x"),
        await connect(server, "x", name="other"),
        await connect(server.url.removesuffix("0") + "1", "x"),
    ]
    for at, (node, _) in enumerate(nodes):
        assert await node.publish("x", b"%d" % at) == 1
        assert (await keep(node, 7)).offset == 1
        assert await node.lease("l", f"o{at}", 60) is True
        await node.put("t", {str(at): b""})
    assert [await node.get("t") for node, _ in nodes] == [{"0": b""}, {"1": b""}, {"2": b""}]


# Failovers


async def test_a_master_that_becomes_a_replica_is_left_until_it_is_the_master(tmp_path, server, connect, until):
    with RedisServer(tmp_path) as other:
        tries = []
        a, ear = await connect(server, "x", chance=lambda: tries.append(1) or 0)
        await keep(a, 1)
        server.ask("REPLICAOF", "127.0.0.1", other.port)
        with pytest.raises(AwayError, match="is a replica now"):
            await keep(a, 2)
        await until(lambda: len(tries) > 2)
        assert ear.turns == ["connected", "lost"]
        server.promote()
        await until(lambda: a.connected)
        assert [type(await keep(a, 2)).__name__, ear.turns[-1]] == ["Kept", "connected"]


async def test_a_replica_that_lags_goes_on_in_the_same_epoch_and_takes_again_what_it_did_not_have(
    tmp_path, server, connect, away_and_back, until
):
    with RedisServer(tmp_path, replica_of=server) as replica:
        await until(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up")
        replica.catch_up(server)
        async with Proxy(server.port) as proxy:
            a, ear = await connect(f"redis://127.0.0.1:{proxy.port}", "x")
            first = await keep(a, 1)
            replica.catch_up(server)
            replica.promote()  # so it has nothing of what follows
            assert await outcomes([keep(a, 2), keep(a, 3)]) == [2, 3]
            await until(lambda: ear.bodies == [b"1", b"2", b"3"])
            proxy.target = replica.port
            server.kill()
            await away_and_back(a, ear)
            assert (await a.tops(["x"]))[0] == first[:3]
            assert await keep(a, 1) == first._replace(nodes=0, again=True)
            assert await keep(a, 3) == first._replace(offset=2, id=chained(first.id, 3))
            wanted = [0, first.id, chained(first.id, 2), first.id]
            await until(lambda: [entry[2] for entry in ear.log if entry[0] == "x"] == wanted)  # the chain tells
            await a.stop()


async def test_a_silent_way_to_the_server_is_given_up(server, connect, until):
    async with Proxy(server.port) as proxy:
        a, _ = await connect(f"redis://127.0.0.1:{proxy.port}", silence=0.2)
        proxy.silent = True
        assert await outcomes([a.now()]) == [AwayError]
        proxy.silent = False
        await until(lambda: a.connected)
        await a.stop()


async def test_tcp_looks_for_peers_that_are_gone(server, connect):
    backplane, _ = await connect(server)
    session = backplane._session
    import socket

    for line in (session.pipeline, session.subscription):
        options = line._transport.get_extra_info("socket")
        assert options.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert options.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


# What it costs, counted by the server


def calls_of(server, command):
    return server.ask("INFO", "commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)


async def test_thousands_of_channels_take_a_command_for_each_500(server, connect):
    a, _ = await connect(server, *(f"p:/{number}" for number in range(5_000)))
    assert calls_of(server, "subscribe") == 10
    a.unfollow([f"p:/{number}" for number in range(5_000)])
    await a.follow(["x"])
    assert (calls_of(server, "unsubscribe"), calls_of(server, "subscribe")) == (10, 11)


async def test_what_is_asked_for_in_a_loop_turn_is_written_at_once(server, connect):
    a, _ = await connect(server)
    before = server.ask("INFO", "stats")["total_reads_processed"]
    await asyncio.gather(*(a.publish("x", b"1") for _ in range(200)))
    assert server.ask("INFO", "stats")["total_reads_processed"] - before < 20


async def test_lifetimes_are_set_only_when_half_of_one_is_over(server, connect):
    a, _ = await connect(server)
    await asyncio.gather(*(keep(a, number) for number in range(1, 101)))
    assert calls_of(server, "pexpire") == 2
    await a.keep("x", b"", 200, "n1", 200, Keep(100, 120, 600))
    assert calls_of(server, "pexpire") == 4


async def test_keys_have_lifetimes_that_are_up_to_half_as_long_again(server, connect):
    a, _ = await connect(server)
    await keep(a, 1, once=Once("k", 30))
    await a.lease("l", "o", 10)
    await a.put("t", {"a": b""}, 20)
    await a.end_epoch("x", (await a.tops(["x"]))[0].epoch, 60)
    await keep(a, 2)
    least = {"{app:x}:h": 60, "{app:x}:m": 660, "{app:x}:o:k": 30, "app:l:l": 10, "app:t:t": 20}
    assert set(server.ask("KEYS", "*")) == set(least)
    for key, seconds in least.items():
        left = server.ask("PTTL", key) / 1000
        assert seconds - 9 < left <= seconds + (30 if "}:m" in key or "}:h" in key else 0), key


async def test_publishers_that_are_gone_for_long_are_forgotten(server, connect):
    a, _ = await connect(server)
    short = Keep(10, 0.2, 0.2)

    async def publishers():
        await asyncio.gather(*(a.keep("x", b"", 1, f"old{number}", 1, short) for number in range(100)))
        kept = await a.keep("x", b"", 1, "n1", 1, short)
        for number in range(2, 10_000):
            if (await a.keep("x", b"", 1, "n1", number, short)).epoch != kept.epoch:
                return None  # the machine stood still for so long that all is forgotten
            if server.ask("HLEN", "{app:x}:m") < 100:
                return server.ask("HLEN", "{app:x}:m")
        return 0

    while (left := await publishers()) is None:
        server.ask("FLUSHALL")
    assert 7 <= left < 40


def test_a_backplane_shows_no_password():
    assert "s3cret" not in repr(RedisBackplane("redis://:s3cret@h", "app"))
