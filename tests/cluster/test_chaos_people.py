"""People and jobs while a real Redis is in trouble: the other columns of the table in core/docs/scaling.md.

The classes are its rows, as in `test_chaos.py`. What only time shows is in `test_crowd_troubles.py` and
`tests/jobs/test_one_node.py`, in virtual time.
"""

import logging
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chaos import Chaos, until

sys.path.insert(0, str(Path(__file__).parents[1] / "backplanes"))

from proxy import Proxy
from redisserver import RedisServer

IMPATIENT = {"patience": "300ms", "silence": 0.3}
JOB = 'timers: [{{name: tick, every: 250ms, on: one, handler: note, arguments: {{file: "{}"}}}}]\n'
NOTE = """
from signalpost import TickEvent, timer


@timer("note")
async def note(event: TickEvent):
    with open(event.arguments["file"], "a") as file:
        file.write(f"{event.due.timestamp()}\\n")
"""


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


@pytest.fixture
def runs(tmp_path):
    """Return how often each moment of the job has run, on all nodes together."""
    file = tmp_path / "runs"
    file.touch()

    def runs():
        return Counter(file.read_text().split())

    runs.options = {"more": JOB.format(file), "plugins": {"notes": NOTE}}
    return runs


async def pair(world, runs, one, two, **options):
    """Return two nodes that have the job, and two people at each, who know of each other."""
    nodes = [await world.node(getattr(each, "url", each), **runs.options, **options) for each in (one, two)]
    people = [await world.reader("/here", app.url()) for app in nodes for _ in range(2)]
    await all_are_there(people)
    return nodes, people


def everybody(people):
    return {each.user for each in people}


async def all_are_there(people):
    await until(lambda: all(each.users == everybody(people) or each.breach for each in people))
    assert not any(each.breach for each in people)


async def more_runs(runs, moments=3):
    """Return when so many more moments have run, and none of all more than once."""
    wanted = len(runs()) + moments
    await until(lambda: len(runs()) >= wanted)
    assert set(runs().values()) == {1}


async def one_more_comes(world, app, people):
    """Let one come to a node; everybody must know, by what nodes tell each other then."""
    people.append(await world.reader("/here", app.url()))
    await all_are_there(people)


def close(*ways):
    """Let nobody through any more."""
    for way in ways:
        way.refusing = True
        way.cut()


def open_again(*ways):
    for way in ways:
        way.refusing = False


class TestAwayForNoLongerThanPatience:
    async def test_presence_stands_still_and_jobs_wait(self, world, runs, ways):
        nodes, people = await pair(world, runs, *ways)
        await more_runs(runs)
        close(*ways)
        await until(lambda: all(app.away() for app in nodes))
        before = runs()
        open_again(*ways)
        await until(lambda: not any(app.away() for app in nodes))
        await more_runs(runs)
        assert before.keys() <= runs().keys()
        await one_more_comes(world, nodes[0], people)
        assert not any(each.left for each in people)


class TestAwayForLonger:
    async def test_presence_stands_still_and_jobs_are_left_out_until_it_is_back(self, world, runs, ways, caplog):
        nodes, people = await pair(world, runs, *ways, **IMPATIENT)
        await more_runs(runs)
        caplog.set_level(logging.INFO, "signalpost.jobs")
        close(*ways)
        await until(lambda: all(app.given_up() for app in nodes))
        await until(lambda: any("left out, as the backplane is away" in line for line in caplog.messages))
        here = await world.reader("/here", nodes[0].url())  # knows who was there when all was well
        await until(lambda: here.users >= everybody(people))
        open_again(*ways)
        await until(lambda: not any(app.away() for app in nodes))
        await all_are_there([*people, here])
        await more_runs(runs)
        assert any("jobs on: one go on" in line for line in caplog.messages)
        assert not any(each.left for each in people)


class TestCameBackEmpty:
    @pytest.mark.parametrize("trouble", ["restart", "FLUSHALL"])
    async def test_people_are_entered_again_and_jobs_go_on(self, world, runs, redis, trouble):
        nodes, people = await pair(world, runs, redis.url, redis.url)
        await more_runs(runs)
        if trouble == "restart":
            redis.restart()
        else:
            redis.ask("FLUSHALL")
        wanted = len(runs()) + 3
        await until(lambda: len(runs()) >= wanted)
        assert set(runs().values()) <= {1, 2}, "a moment that was under way may run twice"
        late = await world.node(redis.url)
        people.append(await world.reader("/here", late.url()))  # who knows only what is in Redis again
        await all_are_there(people)
        await one_more_comes(world, nodes[1], people)
        assert not any(each.left for each in people)


class TestFailedOverToAReplica:
    async def test_people_are_entered_again_and_jobs_go_on(self, world, runs, redis, tmp_path, ways):
        with RedisServer(tmp_path, replica_of=redis) as replica:
            await until(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up")
            nodes, people = await pair(world, runs, *ways)
            await more_runs(runs)
            replica.promote()  # so it has nothing of what follows
            await one_more_comes(world, nodes[0], people)
            for way in ways:
                way.target = replica.port
            redis.kill()
            await until(lambda: len(runs()) >= 6)
            assert set(runs().values()) <= {1, 2}
            late = await world.node(f"redis://127.0.0.1:{replica.port}/0")
            people.append(await world.reader("/here", late.url()))
            await all_are_there(people)


class TestANodeIsCutOffAlone:
    @pytest.mark.slow
    async def test_others_see_its_people_leave_and_come_back_and_run_the_jobs(self, world, runs, ways):
        nodes, people = await pair(world, runs, *ways, **IMPATIENT)
        close(ways[0])
        await until(nodes[0].given_up)
        await more_runs(runs)
        here, there = people[:2], people[2:]
        await until(lambda: all(each.users == everybody(there) for each in there), 40)
        assert all(each.users == everybody(people) for each in here)
        open_again(ways[0])
        await all_are_there(people)
        await more_runs(runs)


class TestNodesThatAreKilled:
    @pytest.mark.slow
    async def test_others_see_their_people_leave(self, world, runs, redis, tmp_path):
        stays = await world.node(redis.url, **runs.options)
        dies = await world.process(tmp_path / "dies", redis.url)
        near, far = await world.reader("/here", stays.url()), await world.reader("/here", dies.url)
        await all_are_there([near, far])
        await dies.kill()
        await until(lambda: near.users == {near.user}, 40)
        await more_runs(runs)
