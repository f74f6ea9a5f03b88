"""The life of a runner: start, invoke, status, stop."""

import asyncio
import logging
from datetime import timedelta

import pytest
import uvloop

from signalpost.config.model import TimerTiming
from signalpost.errors import OperatorError
from signalpost.events import Shared
from signalpost.handlers import Handler, HandlerKind
from signalpost.jobs.runner import JobRunner
from signalpost.jobstatus import JobStatus, LastRun
from signalpost.plan import Job
from signalpost.state.state import State


async def test_an_invoked_run_counts_neither_towards_the_limit_nor_in_the_series(world):
    runner = await world.live(6, world.timer(5, limit=2))
    assert await runner.run("tick")
    await asyncio.sleep(30)
    assert world.began() == [5, 6, 10]
    assert world.numbers == [1, 0, 2]


async def test_invoke_returns_at_the_end_of_the_run(world):
    async def a_while(_):
        await asyncio.sleep(2)

    runner = await world.live(1, world.schedule("0 0 1 1 *", then=a_while))
    assert await runner.run("nightly")
    assert world.now() == world.base + timedelta(seconds=3)


async def test_an_invoked_run_takes_a_place_like_any_other(world):
    async def four_seconds(_):
        await asyncio.sleep(4)

    runner = await world.live(1, world.timer(3, four_seconds))
    running = asyncio.ensure_future(runner.run("tick"))
    await asyncio.sleep(1)
    assert not await runner.run("tick")
    await asyncio.sleep(7.5)
    assert await running
    assert world.began() == [1, 6]  # the run of 3 s found the invoked one under way


async def test_who_stops_waiting_for_an_invoked_run_does_not_stop_it(world):
    ended = []

    async def a_while(_):
        await asyncio.sleep(2)
        ended.append(world.now())

    runner = await world.live(1, world.timer(100, a_while))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await runner.run("tick")
    await asyncio.sleep(2)
    assert ended == [world.base + timedelta(seconds=3)]


async def test_an_invoked_run_that_fails_is_logged_like_any_other(world, caplog):
    async def fail(_):
        raise ValueError("no boats")

    runner = await world.live(1, world.timer(100, fail))
    assert await runner.run("tick")
    assert len(caplog.records) == 1
    assert runner.statuses()[0].last_error == "ValueError: no boats"


async def test_status_tells_how_each_job_does(world):
    async def fail_or_wait(event):
        if event.run == 1:
            raise ValueError("no boats")
        await asyncio.sleep(100)

    runner = await world.live(11, world.timer(5, fail_or_wait), world.schedule("0 0 * * *", name="midnight"))
    tick, midnight = runner.statuses()
    fifth, tenth = (world.base + timedelta(seconds=each) for each in (5, 10))
    assert tick == JobStatus(
        "tick",
        HandlerKind.TIMER,
        2,
        1,
        world.base + timedelta(seconds=15),
        "ValueError: no boats",
        when="every 5 s",
        owner="routes.yaml:14",
        failed=1,
        last=LastRun(tenth),
        last_failed=fifth,
        longest=tick.longest,
    )
    assert midnight == JobStatus(
        "midnight",
        HandlerKind.SCHEDULE,
        0,
        0,
        world.base + timedelta(days=1),
        None,
        when="0 0 * * *",
        owner="routes.yaml:20",
    )


async def test_status_tells_how_long_the_last_run_took_and_whether_it_failed(world):
    async def fail_at_first(event):
        if event.run == 1:
            raise ValueError("no boats")

    runner = world.runner(world.timer(5, fail_at_first))
    runner.start()
    assert runner.status("tick").last is None
    await asyncio.sleep(6)
    failed = runner.status("tick")
    assert (failed.last.error, failed.failed) == ("ValueError: no boats", 1)
    assert failed.last.seconds == failed.longest > 0
    await asyncio.sleep(5)
    done = runner.status("tick")
    assert (done.last.at, done.last.error) == (world.base + timedelta(seconds=10), None)
    assert (done.failed, done.last_failed) == (1, failed.last.at)
    assert done.longest >= failed.longest


async def test_a_run_by_hand_is_the_last_one_and_counts_when_it_fails(world):
    async def fail(_):
        raise ValueError("no boats")

    runner = await world.live(1, world.timer(5, fail))
    assert await runner.run("tick")
    status = runner.status("tick")
    assert (status.runs, status.failed, status.last.error) == (0, 1, "ValueError: no boats")


async def test_an_unknown_job_is_named_with_the_nearest(world):
    runner = await world.live(1, world.timer(5))
    with pytest.raises(LookupError, match='no job is named "tock"'):
        runner.status("tock")
    with pytest.raises(LookupError, match=r'no job is named "ticks"; did you mean "tick"\?'):
        await runner.run("ticks")


async def test_stop_lets_a_run_finish(world, caplog):
    ended = []

    async def three_seconds(_):
        await asyncio.sleep(3)
        ended.append(world.now())

    runner = await world.live(5.5, world.timer(5, three_seconds))
    await runner.stop()
    assert ended == [world.base + timedelta(seconds=8)]
    assert world.now() == ended[0]
    assert caplog.records == []


async def test_stop_cancels_what_is_not_over_after_the_grace_period_and_that_is_no_error(world, caplog):
    cancelled = []

    async def for_ever(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(world.now())
            raise

    runner = await world.live(5.5, world.timer(5, for_ever))
    await runner.stop(grace=2)
    assert cancelled == [world.base + timedelta(seconds=7.5)]
    assert runner.statuses()[0].last_error is None
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", 'timer "tick" (routes.yaml:14): a run was cancelled, since it was not over 2 s after the stop')
    ]


async def test_stop_does_not_wait_for_ever_for_a_run_that_ignores_its_cancellation(world, caplog):
    release = asyncio.Event()

    async def stubborn(_):
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    runner = await world.live(5.5, world.timer(5, stubborn))
    await runner.stop(grace=2)
    assert world.now() == world.base + timedelta(seconds=8.5)
    assert caplog.messages[1:] == [
        'timer "tick" (routes.yaml:14): a run ignores that it was cancelled, and is left behind'
    ]
    release.set()


async def test_after_stop_nothing_runs(world):
    runner = await world.live(6, world.timer(5), world.schedule("* * * * *"))
    await runner.stop()
    await asyncio.sleep(1000)
    assert world.began() == [5]
    assert runner.status("tick").next_run is None
    with pytest.raises(RuntimeError, match="between start and stop only"):
        await runner.run("tick")


async def test_during_the_grace_period_nothing_begins(world):
    async def three_seconds(_):
        await asyncio.sleep(3)

    runner = await world.live(5.5, world.timer(5, three_seconds), world.timer(1, name="quick"))
    await runner.stop()
    assert world.began("quick") == [1, 2, 3, 4, 5]


async def test_stop_before_start_and_twice_is_no_error(world):
    runner = world.runner(world.timer(5))
    await runner.stop()
    runner.start()
    await runner.stop()
    await runner.stop()


async def test_a_runner_is_started_once(world):
    runner = await world.live(1)
    with pytest.raises(RuntimeError, match="started once"):
        runner.start()
    await runner.stop()
    with pytest.raises(RuntimeError, match="started once"):
        runner.start()


async def test_a_systems_zone_that_cannot_be_told_is_said_before_anything_runs(world, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Londn")
    runner = world.runner(world.timer(5, on_start=True), world.schedule("@daily"))
    with pytest.raises(OperatorError, match="Europe/Londn"):
        runner.start()
    await asyncio.sleep(10)
    assert world.runs == []


async def test_two_runners_on_one_loop_know_nothing_of_each_other(world):
    first = await world.live(1, world.timer(5))
    second = world.runner(world.timer(5))
    second.start()
    await first.stop()
    await asyncio.sleep(6)
    assert world.began() == [6]
    assert second.statuses()[0].runs == 1


def test_on_uvloop_and_by_the_real_clock_jobs_run_too(caplog):
    caplog.set_level(logging.WARNING)

    async def main():
        third = asyncio.Event()

        async def work(event):
            if event.run == 3:
                third.set()

        timer = Job("tick", Handler("work", HandlerKind.TIMER, work), "routes.yaml:14", TimerTiming(0.001))
        runner = JobRunner([timer], Shared(asyncio.Lock(), State()), broadcast=lambda *_, **__: None)
        runner.start()
        await third.wait()
        await runner.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main())
    assert caplog.records == []


async def test_white_box_a_wake_up_that_is_on_its_way_begins_nothing_after_stop(world):
    runner = await world.live(4.5, world.timer(5))
    asyncio.get_running_loop().virtual.now += 1
    runner._scheduler.wakeup()
    await runner.stop()
    assert world.runs == []


async def test_a_paused_job_begins_no_runs_until_it_goes_on_at_its_next_moment(world):
    runner = await world.live(6, world.timer(5))
    runner.pause("tick")
    await asyncio.sleep(11)
    assert world.began() == [5]
    runner.resume("tick")
    await asyncio.sleep(4)
    assert world.began() == [5, 20]
    assert world.numbers == [1, 2]
