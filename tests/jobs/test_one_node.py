"""Jobs that run on one of several nodes, in virtual time: real runners, and leases that all of them share."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.config.backplanemodel import RunsOn
from signalpost.jobs.leases import LATE, SKEW
from signalpost.jobstatus import Taken
from signalpost.signals.work import Work

BASE = datetime(2025, 6, 1, 12, 0, 0, 500_000, tzinfo=UTC)
"""When the loop's time is 0: half a second after a moment of all timers here."""


@dataclass
class Shared:
    """What all nodes share: names, by the loop's own time, which is no node's clock.

    Attributes:
        away: whether nobody can tell.
        asked: every name that was asked for, with the node.
    """

    away: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    taken: dict[str, tuple[str, float]] = field(default_factory=dict)

    def take(self, name: str, owner: str, seconds: float) -> Taken | None:
        now = asyncio.get_running_loop().time()
        self.asked.append((name, owner))
        if self.away:
            return None
        had, until = self.taken.get(name, (owner, now))
        if had != owner and now < until:
            return Taken(False, had)
        self.taken[name] = owner, now + seconds
        return Taken(True)


@dataclass
class Node:
    """The leases of one node.

    Attributes:
        delays: seconds before the others' leases are looked at, and until the answer is back; one pair after the other.
    """

    shared: Shared
    owner: str
    delays: list[tuple[float, float]] = field(default_factory=list)

    async def take(self, name: str, seconds: float) -> Taken | None:
        there, back = self.delays.pop(0) if self.delays else (0.0, 0.0)
        await asyncio.sleep(there)
        taken = self.shared.take(name, self.owner, seconds)
        await asyncio.sleep(back)
        return taken


@pytest.fixture
def shared():
    return Shared()


@pytest.fixture
def node(shared, new_world):
    """Make a world with a clock that is ahead by some seconds, whose jobs agree with those of the others."""

    def node(name: str, ahead: float = 0.0):
        return new_world(BASE + timedelta(seconds=ahead), leases=Node(shared, name))

    return node


def moments(*worlds) -> list[float]:
    """Return the moments of all runs, in seconds since 12:00."""
    noon = BASE.replace(microsecond=0)
    return sorted((event.due - noon).total_seconds() for world in worlds for event, _ in world.runs)


async def test_each_moment_of_a_timer_is_run_by_one_node(node):
    one, other = node("one"), node("other")
    first, second = one.runner(one.timer(5)), other.runner(other.timer(5))
    first.start()
    await asyncio.sleep(3.3)
    second.start()
    await asyncio.sleep(20)
    assert moments(one, other) == [5, 10, 15, 20]


async def test_the_moments_of_a_timer_are_whole_multiples_of_its_interval_since_1970(node):
    one = node("one")
    await one.live(25, one.timer(7))
    seconds = [each.timestamp() for each in one.dues]
    assert len(seconds) == 3
    assert not any(each % 7 for each in seconds)


async def test_each_moment_of_a_schedule_is_run_by_one_node(node):
    one, other = node("one"), node("other")
    for world in (one, other):
        world.runner(world.schedule("* * * * *", timezone=UTC)).start()
    await asyncio.sleep(190)
    assert moments(one, other) == [60, 120, 180]


async def test_a_fast_clock_runs_it_early_and_a_slow_one_finds_it_taken(node):
    fast, slow = node("fast", SKEW), node("slow")
    for world in (fast, slow):
        world.runner(world.timer(10)).start()
    await asyncio.sleep(120)
    assert moments(slow) == [10, 20, 30, 40, 50, 60]  # of which the fast one had all behind it when it started
    assert moments(fast) == list(range(70, 190, 10))


async def test_a_lease_outlives_the_slowest_clock_and_the_latest_answer_within_the_bounds(node):
    fast, slow = node("fast", SKEW), node("slow")
    slow.leases.delays = [(LATE - 1, 0.0)]
    for world in (fast, slow):
        world.runner(world.schedule("2 12 * * *", timezone=UTC)).start()
    await asyncio.sleep(300)
    assert [len(each.runs) for each in (fast, slow)] == [1, 0]


async def test_a_job_on_every_node_runs_on_each_from_its_own_start(node, shared):
    one, other = node("one"), node("other")
    one.runner(one.timer(5, on=RunsOn.EVERY)).start()
    await asyncio.sleep(2)
    other.runner(other.timer(5, on=RunsOn.EVERY)).start()
    await asyncio.sleep(9)
    assert one.began() == [5, 10]
    assert other.began() == [7]
    assert not shared.asked


async def test_a_job_on_one_node_runs_as_ever_where_there_are_no_others(new_world):
    alone = new_world(BASE)
    await alone.live(11, alone.timer(5, on=RunsOn.ONE))
    assert alone.began() == [5, 10]


async def test_nodes_that_come_and_go_leave_no_moment_out(node):
    one, other = node("one"), node("other")
    first, second = one.runner(one.timer(1)), other.runner(other.timer(1))
    first.start()
    await asyncio.sleep(5)
    second.start()
    await asyncio.sleep(5)
    await first.stop()
    await asyncio.sleep(5)
    assert moments(one, other) == list(range(1, 16))
    assert moments(other)[-5:] == [11, 12, 13, 14, 15]


async def test_runs_are_left_out_while_the_backplane_is_away_and_the_log_says_so_once(node, shared, caplog):
    caplog.set_level(logging.INFO, "signalpost.jobs")
    one = node("one")
    one.runner(one.timer(5), one.timer(2, name="quick")).start()
    await asyncio.sleep(5)
    shared.away = True
    await asyncio.sleep(10)
    shared.away = False
    await asyncio.sleep(10)
    shared.away = True
    await asyncio.sleep(10)
    assert [each for each in moments(one) if 5 < each < 16] == []
    assert len(moments(one)) == 1 + 2 + 2 + 5
    assert caplog.messages == [
        'timer "quick" (routes.yaml:14): left out, as the backplane is away; so are all jobs on: one until it is back',
        "jobs on: one go on, as the backplane is back; 7 runs were left out",
        'timer "quick" (routes.yaml:14): left out, as the backplane is away; so are all jobs on: one until it is back',
    ]


async def test_a_run_that_is_left_out_while_the_backplane_is_away_is_none_of_the_limit(node, shared):
    one = node("one")
    one.runner(one.timer(5, limit=2)).start()
    shared.away = True
    await asyncio.sleep(11)
    shared.away = False
    await asyncio.sleep(60)
    assert moments(one) == [15, 20]
    assert one.numbers == [1, 2]


async def test_a_limit_counts_the_runs_of_other_nodes(node):
    fast, slow = node("fast", 1), node("slow")
    runners = [world.runner(world.timer(5, limit=3)) for world in (fast, slow)]
    for runner in runners:
        runner.start()
    await asyncio.sleep(60)
    assert moments(fast, slow) == [5, 10, 15]
    assert [runner.status("tick").next_run for runner in runners] == [None, None]


async def test_a_limit_is_kept_while_it_is_not_known_yet_whose_a_run_is(node, shared):
    one = node("one")
    one.leases.delays = [(0.0, 70.0)]
    one.runner(one.schedule("* * * * *", timezone=UTC, on_start=True, limit=1)).start()
    await asyncio.sleep(180)
    assert moments(one) == [0.5]
    assert len(shared.asked) == 1


async def test_the_run_at_the_start_is_on_one_of_the_nodes_that_start_together(node):
    one, other, later = node("one"), node("other"), node("later")
    one.runner(one.timer(3600, on_start=True)).start()
    await asyncio.sleep(SKEW - 1)
    other.runner(other.timer(3600, on_start=True)).start()
    await asyncio.sleep(SKEW)
    later.runner(later.timer(3600, on_start=True)).start()
    await asyncio.sleep(1)
    assert [len(each.runs) for each in (one, other, later)] == [1, 0, 1]


async def test_a_node_that_is_too_late_runs_nothing_since_it_cannot_know_whether_another_one_has(node, shared, caplog):
    asleep, awake = node("asleep"), node("awake")
    for world in (asleep, awake):
        world.runner(world.schedule("1 12 * * *", timezone=UTC)).start()
    await asyncio.sleep(1)
    asleep.base -= timedelta(hours=1)  # its clock stands still while it is suspended
    await asyncio.sleep(3600)
    asleep.base += timedelta(hours=1)
    await asyncio.sleep(120)
    assert moments(awake) == [60]
    assert moments(asleep) == []
    assert [owner for _, owner in shared.asked] == ["awake"]
    assert "late: another node may have run it" in caplog.text


async def test_an_answer_that_comes_too_late_runs_nothing(node, caplog):
    one = node("one")
    one.leases.delays = [(0.0, LATE + 1)]
    one.runner(one.schedule("1 12 * * *", timezone=UTC)).start()
    await asyncio.sleep(200)
    assert not one.runs
    assert "61 s late: another node may have run it" in caplog.text


async def test_a_clock_that_is_set_back_within_the_bound_runs_nothing_twice(node):
    one = node("one")
    one.glance = 1
    one.runner(one.timer(10)).start()
    await asyncio.sleep(31)
    one.base -= timedelta(seconds=25)
    await asyncio.sleep(60)
    assert moments(one) == [10, 20, 30, 40, 50, 60]


async def test_a_timer_follows_a_clock_that_is_set_back_further(node):
    one = node("one")
    one.glance = 1
    one.runner(one.timer(10)).start()
    await asyncio.sleep(31)
    one.base -= timedelta(hours=1)
    await asyncio.sleep(60)
    assert moments(one)[:6] == [-3560, -3550, -3540, -3530, -3520, -3510]


async def test_a_reload_keeps_an_unchanged_job_and_its_count(node):
    one = node("one")
    runner = one.runner(one.timer(5))
    runner.start()
    await asyncio.sleep(12)
    runner.reload([one.timer(5)], {"tick"}, Work())
    await asyncio.sleep(10)
    assert moments(one) == [5, 10, 15, 20]
    assert one.numbers == [1, 2, 3, 4]


async def test_a_reload_that_moves_a_job_to_every_node_asks_nobody_any_more(node, shared):
    one = node("one")
    runner = one.runner(one.timer(5))
    runner.start()
    await asyncio.sleep(6)
    runner.reload([one.timer(5, on=RunsOn.EVERY)], set(), Work())
    await asyncio.sleep(10.5)
    assert len(shared.asked) == 1
    assert one.began() == [4.5, 11, 16]


async def test_a_stop_waits_for_a_run_whose_claim_is_under_way(node):
    one = node("one")
    one.leases.delays = [(1.0, 1.0)]
    runner = one.runner(one.timer(5))
    runner.start()
    await asyncio.sleep(5)
    await runner.stop(5)
    assert moments(one) == [5]


async def test_a_run_by_hand_asks_nobody(node, shared):
    one = node("one")
    runner = one.runner(one.timer(5))
    runner.start()
    assert await runner.run("tick")
    assert not shared.asked


async def test_the_lease_is_named_after_the_job_and_the_moment(node, shared):
    one = node("one")
    await one.live(5, one.timer(0.5, name="a job"))
    assert shared.asked[1][0] == "job:a job:2025-06-01T12:00:01.500000+00:00"


@st.composite
def lives(draw):
    """Draw an interval, and nodes: how far each clock is ahead, when it starts, and how slowly it is answered."""
    every = draw(st.sampled_from([2.0, 7.0, 60.0, 90.0, 300.0]))
    slowest = min(0.9 * every, LATE - 1)
    delay = st.tuples(st.just(0.0) | st.just(slowest) | st.floats(0, slowest), st.floats(0, 1)).map(
        lambda drawn: (drawn[0] * drawn[1], drawn[0] * (1 - drawn[1]))
    )
    node = st.tuples(
        st.just(-SKEW / 2) | st.just(SKEW / 2) | st.floats(-SKEW / 2, SKEW / 2),
        st.floats(0, 3 * every),
        st.lists(delay, max_size=12),
    )
    return every, draw(st.lists(node, min_size=2, max_size=4))


@settings(max_examples=40)
@given(lives())
def test_each_moment_is_run_once_whatever_the_clocks_within_the_bound_and_the_order(new_world, run_virtually, life):
    every, nodes = life
    lasts = 2 * SKEW + 6 * every
    worlds, began = [], {}

    async def main():
        shared = Shared()

        async def live(number, ahead, start, delays):
            world = new_world(BASE + timedelta(seconds=ahead), leases=Node(shared, str(number), list(delays)))
            worlds.append(world)
            await asyncio.sleep(start)
            runner = world.runner(world.timer(every))
            runner.start()
            began[number] = world.now()
            await asyncio.sleep(lasts - start)
            await runner.stop(LATE)

        await asyncio.gather(*(live(number, *each) for number, each in enumerate(nodes)))

    run_virtually(main)
    runs = Counter(event.due for world in worlds for event, _ in world.runs)
    assert set(runs.values()) == {1}
    # From when all have begun, by the clock of each, until the first has ended by its own, no moment is missing.
    first = max(began.values())
    last = BASE + timedelta(seconds=lasts + min(ahead for ahead, _, _ in nodes) - every)
    step = timedelta(seconds=every)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    numbers = range((first - epoch) // step + 1, (last - epoch) // step)
    assert {epoch + step * number for number in numbers} <= runs.keys()


async def test_a_node_knows_which_one_ran_a_job_last(node):
    one, other = node("one"), node("other")
    first, second = one.runner(one.timer(5)), other.runner(other.timer(5))
    first.start()
    second.start()
    await asyncio.sleep(6)
    ours, theirs = first.status("tick"), second.status("tick")
    assert (ours.runs, theirs.runs) == (1, 0)
    assert (ours.last.elsewhere, ours.last.node) == (False, "")
    assert (theirs.last.elsewhere, theirs.last.node, theirs.last.seconds) == (True, "one", None)
    assert theirs.last.at == ours.last.at
    assert (ours.when, theirs.failed) == ("every 5 s, on one node", 0)
