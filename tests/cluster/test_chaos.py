"""Trouble with a real Redis: nothing is lost in silence, nothing is read twice, and what was acknowledged stays.

The classes are the rows of the table in core/docs/scaling.md, "When Redis is in trouble"; the clients hold each value
that they read against the invariants (`chaos.py`).
"""

import asyncio
import logging
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chaos import WINDOW, Chaos, post, until

sys.path.insert(0, str(Path(__file__).parents[1] / "backplanes"))

from proxy import Proxy
from redisserver import RedisServer

from signalpost.units import MEBIBYTE

IMPATIENT = {"patience": "300ms", "silence": 0.3}


@pytest.fixture
async def world():
    """Nodes and clients; all are ended."""
    async with Chaos() as made:
        yield made


@pytest.fixture
def redis(tmp_path):
    """A Redis of the test's own."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def ways(redis):
    """Two ways to the Redis, each through a proxy."""
    async with Proxy(redis.port) as one, Proxy(redis.port) as two:
        for each in (one, two):
            each.url = f"redis://127.0.0.1:{each.port}/0"
        yield one, two


async def pair(world, one, two, **options):
    """Return two nodes with readers of both paths on each."""
    nodes = [await world.node(getattr(each, "url", each), **options) for each in (one, two)]
    for app in nodes:
        for path in ("/kept", "/live"):
            await world.reader(path, app.url())
            await world.reader(path, app.url(), v1=False)
    return nodes


def close(*ways):
    """Let nobody through any more."""
    for way in ways:
        way.refusing = True
        way.cut()


def open_again(*ways):
    for way in ways:
        way.refusing = False


async def speakers(world, *nodes):
    """Return a speaker of each path at each node."""
    return [
        await world.speaker(f"{path}{at}", app.url(), f"/{path}")
        for path in ("kept", "live")
        for at, app in enumerate(nodes)
    ]


async def storm(talking, values=100):
    await asyncio.gather(*(each.storm(values) for each in talking))


async def all_agree(world, talking, *, gaps=None):
    """Let everybody end, and compare what was read: kept values with all that was acknowledged, too."""
    for each in talking:
        each.going = False
    for path in ("/kept", "/live"):
        of_path = [each for each in talking if each.path == path]
        for each in of_path[1:]:
            await until(lambda each=each: not each.waiting)
        if of_path:
            await world.agree(of_path[0], gaps=gaps if path == "/kept" else None)
    acknowledged = {name for each in talking if each.path == "/kept" for name in each.acknowledged}
    for reader in world.readers:
        if reader.path == "/kept" and not reader.gaps and gaps == 0:
            assert acknowledged <= set(reader.names)
    whole = [reader.names for reader in world.readers if reader.path == "/kept" and not reader.gaps]
    if gaps == 0:
        assert all(names == whole[0] for names in whole)


class TestAwayForNoLongerThanPatience:
    async def test_what_is_said_meanwhile_waits_in_order_and_then_goes_out(self, world, ways):
        one, two = await pair(world, *ways)
        talking = await speakers(world, one, two)
        for each in talking:
            assert await each.heard(each.say())
        await until(lambda: all(len(reader.names) == 2 for reader in world.readers))
        close(*ways)
        await until(lambda: one.away() and two.away())
        said = [[each.say() for _ in range(10)] for each in talking]
        open_again(*ways)
        for each, names in zip(talking, said, strict=True):
            assert await each.heard(names[-1])
        await all_agree(world, talking, gaps=0)
        for reader in world.readers:
            for each in talking:
                # Who is at the other node reads live values if that was back first.
                if each.path == reader.path and (each.path == "/kept" or each.home in reader.home):
                    assert reader.values(each.label)[:11] == list(range(1, 12))

    async def test_a_storm_that_is_cut_again_and_again_loses_no_kept_value(self, world, ways):
        nodes = await pair(world, *ways)
        talking = await speakers(world, *nodes)
        for round_ in range(6):
            await storm(talking, 60)
            close(*ways[: 1 + round_ % 2])
            await until(nodes[0].away)
            open_again(*ways)
        await storm(talking, 60)
        await all_agree(world, talking, gaps=0)

    async def test_more_than_16_mib_do_not_wait(self, world, ways):
        one = await world.node(ways[0].url, patience="1m")
        assert (await post(one, "/kept", "so that the node knows the path")).is_success
        close(*ways)
        await until(one.away)
        posts = [asyncio.ensure_future(post(one, "/kept", "-" * 900_000)) for _ in range(30)]
        await until(lambda: sum(each.done() for each in posts) >= 10)
        assert one.cluster.parcels.size > 15 * MEBIBYTE
        open_again(*ways)
        statuses = [response.status_code for response in await asyncio.gather(*posts)]
        assert 15 <= statuses.count(202) <= 19
        assert 503 in statuses


class TestAwayForLonger:
    async def test_live_values_reach_the_clients_of_their_node_and_are_a_gap_for_others(self, world, ways):
        one, two = await pair(world, *ways, **IMPATIENT)
        ann = await world.speaker("ann", one.url(), "/live")
        assert await ann.heard(ann.say())
        near, far = (next(r for r in world.readers if r.path == "/live" and app.url() in r.home) for app in (one, two))
        await until(lambda: far.names == near.names == ["ann:1"])
        close(*ways)
        await until(one.given_up)
        alone = [ann.say() for _ in range(5)]
        await until(lambda: near.names[1:] == alone)
        open_again(*ways)
        await until(lambda: not one.away() and not two.away())
        await all_agree(world, [ann])
        assert (near.gaps, far.gaps) == ([], ["lost"])
        assert far.names == ["ann:1", "ann:7"]

    async def test_live_values_are_refused_where_the_file_says_stop(self, world, ways):
        one, _ = await pair(world, *ways, **IMPATIENT, lost="stop")
        ann = await world.speaker("ann", one.url(), "/live")
        assert await ann.heard(ann.say())
        close(*ways)
        await until(one.given_up)
        refused = ann.say()
        assert not await ann.heard(refused)
        assert ann.errors == ["unavailable"]
        open_again(*ways)
        await all_agree(world, [ann])
        assert not any(refused in reader.names for reader in world.readers)

    async def test_kept_values_are_refused_to_senders_posts_and_lists_and_the_log_says_so(self, world, ways, caplog):
        one, two = await pair(world, *ways, **IMPATIENT)
        ann = await world.speaker("ann", one.url(), "/kept")
        lists = await world.speaker("lists", one.url(), "/list")
        assert await ann.heard(ann.say())
        close(*ways)
        await until(one.given_up)
        with caplog.at_level(logging.ERROR):
            refused = [ann.say() for _ in range(50)]
            assert not await ann.heard(refused[-1])
            response = await post(one, "/kept", "posted")
            lists.say()
            await until(lambda: lists.errors)
        assert set(ann.errors) == {"unavailable"}
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert lists.errors == ["handler-failed"]
        assert any("was not sent" in line for line in caplog.messages)
        assert sum("was not sent" in line for line in caplog.messages) < 10
        open_again(*ways)
        await until(lambda: not one.away() and not two.away())
        await all_agree(world, [ann], gaps=0)
        kept = next(reader for reader in world.readers if reader.path == "/kept")
        assert kept.names == list(ann.acknowledged)

    async def test_a_client_that_comes_reads_what_its_node_knows_and_then_what_is_sent(self, world, ways):
        one, two = await pair(world, *ways, **IMPATIENT)
        ann = await world.speaker("ann", one.url(), "/kept")
        assert await ann.heard(ann.say())
        close(ways[1])
        await until(two.given_up)
        late = await world.reader("/kept", two.url())
        assert await ann.heard(ann.say())
        open_again(ways[1])
        await world.agree(ann, gaps=0)
        assert late.names == list(ann.acknowledged)[1:]


class TestBack:
    async def test_a_redis_that_was_killed_and_started_with_its_file_is_noticed_by_nobody(self, world, tmp_path):
        with RedisServer(tmp_path, durable=True) as redis:
            nodes = await pair(world, redis, redis)
            talking = await speakers(world, *nodes)
            for _ in range(3):
                await storm(talking, 50)
                redis.kill()
                await until(nodes[0].away)
                redis.start()
            await storm(talking, 50)
            await all_agree(world, talking, gaps=0)

    async def test_what_a_node_has_missed_alone_it_reads_and_tells_no_kept_gap(self, world, ways):
        one, two = await pair(world, *ways, **IMPATIENT)
        talking = await speakers(world, one)
        await storm(talking, 20)
        close(ways[1])
        await until(two.given_up)
        await storm(talking, 100)
        open_again(ways[1])
        await storm(talking, 20)
        await all_agree(world, talking, gaps=0)
        assert any(reader.gaps for reader in world.readers if reader.path == "/live")


class TestCameBackEmpty:
    async def test_a_redis_that_was_killed_and_started_is_one_gap_and_then_all_goes_on(self, world, redis):
        nodes = await pair(world, redis, redis)
        talking = await speakers(world, *nodes)
        await storm(talking)
        redis.restart()
        await storm(talking)
        await all_agree(world, talking, gaps=1)

    async def test_a_flushed_redis_is_one_gap_and_then_all_goes_on(self, world, redis):
        nodes = await pair(world, redis, redis)
        talking = await speakers(world, *nodes)
        await storm(talking)
        redis.ask("FLUSHALL")
        await storm(talking)
        await all_agree(world, talking, gaps=1)

    async def test_a_client_that_comes_back_to_a_flushed_redis_is_told(self, world, redis):
        one = await world.node(redis.url)
        ann = await world.speaker("ann", one.url(), "/kept")
        reader = await world.reader("/kept", one.url())
        assert await ann.heard(ann.say())
        await until(lambda: reader.names)
        redis.restart()
        await until(one.away)
        await until(lambda: not one.away())
        await world.agree(ann, gaps=1)


class TestFailedOverToAReplica:
    @pytest.fixture
    async def replica(self, redis, tmp_path):
        with RedisServer(tmp_path, replica_of=redis) as replica:
            await until(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up")
            yield replica

    @staticmethod
    def fail_over(redis, replica, *ways):
        for way in ways:
            way.target = replica.port
        redis.kill()

    async def test_one_that_lags_is_one_gap_for_those_who_knew_more(self, world, redis, replica, ways):
        nodes = await pair(world, *ways)
        talking = await speakers(world, *nodes)
        await storm(talking)
        redis.wait_for_replica()
        replica.promote()  # so it has nothing of what follows
        await storm(talking)
        self.fail_over(redis, replica, *ways)
        await storm(talking)
        await all_agree(world, talking, gaps=1)

    async def test_one_that_has_everything_is_noticed_by_no_reader_of_kept_values(self, world, redis, replica, ways):
        nodes = await pair(world, *ways)
        talking = await speakers(world, *nodes)
        await storm(talking)
        for each in talking:
            each.going = False
        await until(lambda: not any(each.waiting for each in talking))
        redis.wait_for_replica()
        replica.promote()
        self.fail_over(redis, replica, *ways)
        await storm(talking)
        await all_agree(world, talking, gaps=0)

    async def test_one_that_lags_and_has_caught_up_by_offset_is_told_too(self, world, redis, replica, ways):
        one, two = await pair(world, *ways)
        talking = await speakers(world, one, two)
        kept = talking[:2]
        await storm(kept, 20)
        for each in kept:
            each.going = False
        await until(lambda: not any(each.waiting for each in kept))
        redis.wait_for_replica()
        replica.promote()
        lost = [kept[0].say() for _ in range(5)]
        assert await kept[0].heard(lost[-1])
        close(ways[0])
        self.fail_over(redis, replica, *ways)
        others = [kept[1].say() for _ in range(9)]  # at the same offsets, before the first node is there
        assert await kept[1].heard(others[-1])
        open_again(ways[0])
        await all_agree(world, talking, gaps=1)

    async def test_what_only_its_publisher_knew_of_is_a_gap_for_who_comes_back(self, world, redis, replica, ways):
        one, two = [await world.node(way.url) for way in ways]
        ann = await world.speaker("ann", one.url(), "/live")
        reader = await world.reader("/kept", two.url())
        assert (await post(one, "/kept", "first")).is_success
        await until(lambda: reader.names == ["first"])
        redis.wait_for_replica()
        replica.promote()
        close(ways[1])
        await until(two.away)
        assert (await post(one, "/kept", "lost")).is_success
        self.fail_over(redis, replica, *ways)
        await until(lambda: not one.away())
        open_again(ways[1])
        await until(lambda: not two.away())
        for name in ("later", "last"):  # of which the second one is surely in the next epoch
            assert (await post(one, "/kept", name)).is_success
            await until(lambda name=name: name in reader.names or reader.breach)
        assert reader.breach is None
        assert reader.gaps == ["lost"]
        assert [name for name in reader.names if name != "gap"] == ["first", "later", "last"]
        assert await ann.heard(ann.say())


class TestKillsUs:
    async def test_a_node_whose_output_buffer_was_too_large_reads_what_it_has_missed(self, world, redis):
        nodes = await pair(world, redis, redis)
        talking = await speakers(world, *nodes)
        await storm(talking, 30)
        redis.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32kb 0 0")
        large = await world.speaker("large", nodes[0].url(), "/kept")
        for number in range(40):
            large.say(f"{number}:{'-' * 60_000}")
        await until(lambda: "scheduled to be closed ASAP for overcoming of output buffer limits" in redis.log)
        redis.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
        await until(lambda: not large.waiting)
        await storm(talking, 30)
        await all_agree(world, [*talking, large], gaps=0)

    async def test_a_connection_that_is_killed_again_and_again_costs_no_kept_value(self, world, redis):
        nodes = await pair(world, redis, redis)
        talking = await speakers(world, *nodes)
        for kind in ("pubsub", "normal", "pubsub"):
            await storm(talking, 50)
            redis.ask("CLIENT", "KILL", "TYPE", kind)
        await storm(talking, 50)
        await all_agree(world, talking, gaps=0)


class TestANodeIsCutOffAlone:
    async def test_its_clients_hear_each_other_and_the_others_go_on(self, world, ways):
        one, two = await pair(world, *ways, **IMPATIENT)
        talking = await speakers(world, one, two)
        await storm(talking, 30)
        close(ways[0])
        await until(one.given_up)
        cut_off, others = [each for each in talking if each.label.endswith("0")], talking[1::2]
        for each in cut_off:
            each.going = False
        await until(lambda: not any(each.waiting for each in cut_off))
        kept, live = cut_off
        refused, alone = kept.say(), live.say()
        assert not await kept.heard(refused)
        near = [r for r in world.readers if r.path == "/live" and one.url() in r.home]
        far = [r for r in world.readers if r.path == "/live" and two.url() in r.home]
        await until(lambda: all(alone in reader.names for reader in near))
        await storm(others, 50)
        assert not any(alone in reader.names for reader in far)
        open_again(ways[0])
        await storm(talking, 30)
        await all_agree(world, talking, gaps=0)
        assert not any(refused in reader.names for reader in world.readers)


class TestAnswersSlowly:
    async def test_the_order_is_kept_and_nothing_is_lost(self, world, redis):
        nodes = await pair(world, redis, redis)
        talking = await speakers(world, *nodes)
        for _ in range(3):
            await storm(talking, 40)
            await asyncio.to_thread(redis.ask, "DEBUG", "SLEEP", "0.5")
        await storm(talking, 40)
        await all_agree(world, talking, gaps=0)
        assert not any(reader.gaps for reader in world.readers)

    async def test_a_way_on_which_everything_is_late_keeps_the_order(self, world, ways):
        nodes = await pair(world, *ways)
        talking = await speakers(world, *nodes)
        ways[0].seconds, ways[1].seconds = 0.02, 0.05
        await storm(talking, 60)
        await all_agree(world, talking, gaps=0)
        assert not any(reader.gaps for reader in world.readers)

    async def test_a_way_that_holds_everything_back_for_a_while_loses_nothing(self, world, ways):
        nodes = await pair(world, *ways)
        talking = await speakers(world, *nodes)
        for way in (*ways, ways[0]):
            await storm(talking, 30)
            way.hold()
            await until(lambda: len(talking[0].waiting) == WINDOW or len(talking[1].waiting) == WINDOW)
            way.release()
        await storm(talking, 30)
        await all_agree(world, talking, gaps=0)
        assert not any(reader.gaps for reader in world.readers)

    async def test_a_way_that_loses_bytes_is_given_up_and_made_anew(self, world, ways):
        nodes = await pair(world, *ways, silence=0.5)
        talking = await speakers(world, *nodes)
        for way, app in zip(ways, nodes, strict=True):
            await storm(talking, 30)
            way.silent = True
            await until(app.away)
            way.silent = False
        await storm(talking, 30)
        await all_agree(world, talking, gaps=0)


class TestStandsStill:
    async def test_for_a_second_it_costs_nobody_anything(self, world, redis):
        nodes = await pair(world, redis, redis)
        talking = await speakers(world, *nodes)
        await storm(talking, 40)
        redis.stall()
        await asyncio.sleep(1)  # that is the trouble
        redis.resume()
        await storm(talking, 40)
        await all_agree(world, talking, gaps=0)
        assert not any(reader.gaps for reader in world.readers)

    async def test_for_longer_than_a_silence_and_within_patience_it_costs_no_kept_value(self, world, redis):
        nodes = await pair(world, redis, redis, silence=0.5)
        talking = await speakers(world, *nodes)
        await storm(talking, 40)
        redis.stall()
        await until(lambda: all(app.away() for app in nodes))
        redis.resume()
        await storm(talking, 40)
        await all_agree(world, talking, gaps=0)
        assert not any(each.refused for each in talking)

    async def test_for_longer_than_patience_kept_values_are_refused_and_then_all_goes_on(self, world, redis):
        nodes = await pair(world, redis, redis, **IMPATIENT)
        talking = await speakers(world, *nodes)
        await storm(talking, 40)
        redis.stall()
        await until(lambda: all(each.refused for each in talking[:2]))
        redis.resume()
        await storm(talking, 40)
        await all_agree(world, talking, gaps=0)

    @pytest.mark.slow
    @pytest.mark.parametrize("seconds", [6, 20])
    async def test_for_so_many_seconds_as_nodes_are_set_up_by_default(self, world, redis, seconds):
        nodes = await pair(world, redis, redis)
        talking = await speakers(world, *nodes)
        await storm(talking, 40)
        redis.stall()
        await asyncio.sleep(seconds)  # that is the trouble
        refused = [bool(each.refused) for each in talking[:2]]
        redis.resume()
        await storm(talking, 40)
        await all_agree(world, talking, gaps=0)
        assert refused == [seconds == 20] * 2


class TestNodesThatAreKilled:
    async def test_readers_go_on_at_another_node_in_the_middle_of_a_storm_and_miss_nothing(
        self, world, redis, tmp_path
    ):
        stays = await world.node(redis.url)
        dies = [await world.process(tmp_path / f"node{number}", redis.url) for number in range(2)]
        readers = [await world.reader("/kept", each.url, stays.url()) for each in dies for _ in range(3)]
        talking = [
            await world.speaker("stays", stays.url(), "/kept"),
            await world.speaker("live", stays.url(), "/live"),
        ]
        gone = [await world.speaker(f"dies{number}", each.url, "/kept") for number, each in enumerate(dies)]
        await storm([*talking, *gone], 100)
        for number, node in enumerate(dies):
            await node.kill()
            await storm([*talking, *gone[number + 1 :]], 100)
        await until(lambda: all(reader.welcomes > 1 for reader in readers))
        await all_agree(world, talking, gaps=0)
        acknowledged = {name for each in gone for name in each.acknowledged}
        assert all(acknowledged <= set(reader.names) for reader in readers)

    @pytest.mark.slow
    async def test_nodes_are_killed_and_started_while_redis_is_killed_and_started(self, world, tmp_path):
        with RedisServer(tmp_path, durable=True) as redis:
            stays = await world.node(redis.url)
            nodes = [await world.process(tmp_path / f"node{number}", redis.url) for number in range(2)]
            urls = [stays.url(), *(each.url for each in nodes)]
            readers = [await world.reader("/kept", *urls[at:], *urls[:at]) for at in (0, 1, 2) for _ in range(2)]
            ann = await world.speaker("ann", stays.url(), "/kept")
            for node in (*nodes, *nodes):
                await ann.storm(100)
                await node.kill()
                await ann.storm(100)
                redis.kill()
                await until(stays.away)
                redis.start()
                await node.start()
            await ann.storm(100)
            await world.agree(ann, gaps=0)
            assert all(set(ann.acknowledged) <= set(reader.names) for reader in readers)
