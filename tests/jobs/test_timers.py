"""Timers on the real APScheduler, in virtual time (Pode: "Timers", behaviour 27)."""

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.jobstores.memory import MemoryJobStore
from hypothesis import given
from hypothesis import strategies as st

from signalpost.jobs.moments import next_runs
from signalpost.jobs.scheduler import MOST_A_TURN
from signalpost.signals.work import Work


async def test_a_timer_runs_at_its_interval_for_ever(world):
    await world.live(20.5, world.timer(5))
    assert world.began() == [5, 10, 15, 20]
    assert world.numbers == [1, 2, 3, 4]
    assert world.dues == [world.base + timedelta(seconds=each) for each in (5, 10, 15, 20)]


async def test_an_interval_may_be_below_a_second(world):
    await world.live(0.22, world.timer(0.05))
    assert world.began() == [0.05, 0.1, 0.15, 0.2]


async def test_the_pace_does_not_drift_with_what_runs_take(world):
    async def most_of_a_second(_):
        await asyncio.sleep(0.7)

    await world.live(3600.5, world.timer(1, most_of_a_second))
    assert world.began() == list(range(1, 3601))


async def test_a_limit_ends_a_timer(world):
    runner = await world.live(60, world.timer(5, limit=3))
    assert world.began() == [5, 10, 15]
    assert runner.status("tick").next_run is None


async def test_skip_leaves_out_exactly_the_first_runs(world):
    await world.live(31, world.timer(5, skip=2, limit=3))
    assert world.began() == [15, 20, 25]
    assert world.numbers == [1, 2, 3]


async def test_on_start_runs_at_once_and_then_at_the_interval(world):
    await world.live(11, world.timer(5, on_start=True))
    assert world.began() == [0, 5, 10]


async def test_the_run_on_start_counts_towards_the_limit(world):
    runner = await world.live(60, world.timer(5, on_start=True, limit=2))
    assert world.began() == [0, 5]
    assert runner.status("tick").next_run is None


async def test_a_limit_of_one_is_used_up_by_the_run_on_start(world):
    await world.live(60, world.timer(5, on_start=True, limit=1))
    assert world.began() == [0]


async def test_the_run_on_start_is_not_one_of_those_that_skip_leaves_out(world):
    await world.live(16, world.timer(5, on_start=True, skip=1))
    assert world.began() == [0, 10, 15]


async def test_a_handler_gets_the_arguments_and_what_all_events_share(world):
    runner = await world.live(1, world.timer(5, arguments={"room": "blue"}, on_start=True))
    event = world.runs[0][0]
    assert event.name == "tick"
    assert event.arguments == {"room": "blue"}
    assert event.broadcast == world.broadcast
    assert event.state == {}
    async with event.lock:
        pass
    await runner.stop()


async def test_a_slow_run_delays_no_other_timer(world):
    async def for_ever(_):
        await asyncio.Event().wait()

    await world.live(5.5, world.timer(1, for_ever, name="slow"), world.timer(1, name="quick"))
    assert world.began("slow") == [1]
    assert world.began("quick") == [1, 2, 3, 4, 5]


async def test_runs_of_a_timer_never_overlap_and_what_is_left_out_is_no_run(world, caplog):
    async def two_and_a_half_seconds(_):
        await asyncio.sleep(2.5)

    caplog.set_level(logging.DEBUG, "signalpost.jobs")
    runner = await world.live(20, world.timer(1, two_and_a_half_seconds, limit=3))
    assert world.began() == [1, 4, 7]
    assert world.numbers == [1, 2, 3]
    assert runner.status("tick").next_run is None
    assert [record.levelname for record in caplog.records] == ["DEBUG"] * 4
    assert caplog.messages[0] == (
        'timer "tick" (routes.yaml:14): left out the run of 2025-06-01 00:00:02+00:00, 1 still under way'
    )


async def test_a_timer_that_fails_is_logged_by_name_and_goes_on(world, caplog):
    async def fail(event):
        if event.run == 2:
            raise ValueError("no\nboats")

    runner = await world.live(15.5, world.timer(5, fail))
    assert world.began() == [5, 10, 15]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == (
        'timer "tick" (routes.yaml:14): handler "work" of plugin clock (plugins/clock.py:7) failed'
    )
    assert record.exc_info[0] is ValueError
    assert runner.statuses()[0].last_error == "ValueError: no"


async def test_a_timeout_of_a_handlers_own_is_a_failure_like_any_other(world, caplog):
    async def give_up(_):
        async with asyncio.timeout(0.5):
            await asyncio.sleep(1)

    await world.live(11, world.timer(5, give_up))
    assert world.began() == [5, 10]
    assert [record.exc_info[0] for record in caplog.records] == [TimeoutError, TimeoutError]


async def test_a_handler_that_is_cancelled_from_within_fails_and_the_timer_goes_on(world, caplog):
    async def await_what_is_cancelled(_):
        task = asyncio.ensure_future(asyncio.sleep(1))
        task.cancel()
        await task

    await world.live(11, world.timer(5, await_what_is_cancelled))
    assert world.began() == [5, 10]
    assert [record.exc_info[0] for record in caplog.records] == [asyncio.CancelledError] * 2


async def test_a_timer_without_a_handler_broadcasts_its_value(world):
    fixed = world.sending({"ResponseTimes": [123, 101]}, path="/response-times", group="ops", client="c1")
    everyone = world.sending("tick")
    await world.live(10.5, world.timer(5, fixed, name="times"), world.timer(10, everyone))
    times = ({"ResponseTimes": [123, 101]}, "/response-times", "ops", "c1")
    assert world.sent.count(times) == 2
    assert world.sent.count(("tick", None, None, None)) == 1


async def test_a_broadcast_that_fails_is_logged_and_the_timer_goes_on(world, caplog):
    failing = world.sending("tick")

    def refuse(*_, **__):
        raise TypeError("not JSON")

    world.broadcast = refuse
    runner = await world.live(10.5, world.timer(5, failing))
    assert caplog.messages == ['timer "tick" (routes.yaml:14): routes.yaml:16:9: broadcast: not JSON'] * 2
    assert runner.statuses()[0].runs == 2


async def test_a_blocked_loop_makes_one_run_late_and_keeps_the_pace(world):
    def block():
        asyncio.get_running_loop().virtual.now += 3.4

    asyncio.get_running_loop().call_later(1.5, block)
    await world.live(6.5, world.timer(1))
    # The run of 2 s is late and stands for those of 3 and 4 s.
    assert world.began() == [1, 4.9, 5, 6]
    assert world.dues[1] == world.base + timedelta(seconds=2)


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(days=-3000), timedelta(hours=5)])
async def test_a_timer_keeps_its_pace_when_the_clock_is_set(world, step):
    runner = await world.live(12, world.timer(5))
    world.base += step
    await asyncio.sleep(10)
    assert [began - world.base for _, began in world.runs[2:]] == [timedelta(seconds=15), timedelta(seconds=20)]
    assert world.dues[2:] == [world.base + timedelta(seconds=15), world.base + timedelta(seconds=20)]
    assert runner.status("tick").next_run == world.base + timedelta(seconds=25)


async def test_a_small_correction_of_the_clock_is_no_step(world, caplog):
    caplog.set_level(logging.INFO, "signalpost.jobs")
    await world.live(12, world.timer(5))
    world.base += timedelta(milliseconds=200)
    await asyncio.sleep(10)
    assert world.dues[2:] == [datetime(2025, 6, 1, 0, 0, 15, tzinfo=UTC), datetime(2025, 6, 1, 0, 0, 20, tzinfo=UTC)]
    assert caplog.messages == []


@given(
    every=st.sampled_from([0.001, 0.1, 1 / 3, 1, 2.5, 60, 86400]),
    limit=st.integers(0, 5),
    skip=st.integers(0, 5),
    on_start=st.booleans(),
)
def test_what_is_announced_is_what_runs(new_world, run_virtually, every, **counts):
    world = new_world()
    timer = world.timer(every, **counts)
    world.glance = every * 12
    announced = next_runs(timer, world.base, 20)

    async def live():
        runner = await world.live(every * 12, timer)
        await runner.stop()

    run_virtually(live)
    assert len(world.dues) >= min(counts["limit"] or 6, 6)
    assert world.dues == announced[: len(world.dues)]


async def test_two_thousand_timers_due_at_once_begin_a_few_in_each_turn_of_the_loop_and_all_of_them(world, monkeypatch):
    selector = asyncio.get_running_loop().virtual
    turn, begun, select = 0, Counter(), selector.select

    def count_turn(timeout):
        nonlocal turn
        turn += 1
        return select(timeout)

    async def note(_):
        begun[turn] += 1

    monkeypatch.setattr(selector, "select", count_turn)
    await world.live(2.5, *(world.timer(1, note, name=f"tick {number}") for number in range(2_000)))
    assert Counter(event.name for event, _ in world.runs) == {f"tick {number}": 2 for number in range(2_000)}
    assert max(begun.values()) <= MOST_A_TURN
    assert {event.due for event, _ in world.runs} == {world.base + timedelta(seconds=each) for each in (1, 2)}


async def test_jobs_that_are_due_are_found_without_going_through_all_others(world, monkeypatch):
    asked = []
    monkeypatch.setattr(MemoryJobStore, "get_all_jobs", lambda store: asked.append(store) or [])
    await world.live(3.5, *(world.timer(1, name=f"tick {number}") for number in range(50)))
    assert len(world.runs) == 150
    assert asked == []


async def test_a_job_that_is_forgotten_while_it_waits_for_its_turn_does_not_run(world):
    async def forget(_):
        runner.reload(jobs[:1], {jobs[0].name}, Work())

    jobs = [world.timer(1, forget, name="tick 0"), *(world.timer(1, name=f"tick {n:03}") for n in range(1, 100))]
    runner = world.runner(*jobs)
    runner.start()
    await asyncio.sleep(3.5)
    names = Counter(event.name for event, _ in world.runs)
    assert names["tick 0"] == 3
    assert len(names) <= 2 * MOST_A_TURN


async def test_a_run_that_takes_longer_than_timeout_is_cancelled_and_the_next_one_begins(world, caplog):
    async def for_ever(_):
        await asyncio.Event().wait()

    await world.live(11, world.timer(5, for_ever, timeout=2))
    assert world.began() == [5, 10]
    assert "took longer than 2 s and was cancelled" in caplog.records[0].getMessage()


async def test_a_run_that_hangs_is_told_of_once_when_it_has_taken_a_minute(world, caplog):
    async def for_ever(_):
        await asyncio.Event().wait()

    await world.live(300, world.timer(5, for_ever))
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "left out the run of" in record.getMessage()
    assert 'timer "tick"' in record.getMessage()
