"""Jobs that go over to those of another plan, in virtual time: what is unchanged keeps its phase, the rest does not."""

import asyncio
from zoneinfo import ZoneInfo

import pytest

from signalpost.errors import OperatorError
from signalpost.jobs import runner as runner_module
from signalpost.signals.work import Work


async def test_an_unchanged_timer_keeps_its_phase_and_its_count_and_calls_the_new_code(world):
    calls = []

    def told(text):
        async def tell(event):
            calls.append((text, event.run))

        return tell

    runner = await world.live(12, world.timer(5, told("old")))
    runner.reload([world.timer(5, told("new"))], {"tick"}, Work())
    await asyncio.sleep(10)
    assert world.began() == [5, 10, 15, 20]
    assert calls == [("old", 1), ("old", 2), ("new", 3), ("new", 4)]


async def test_the_zone_of_the_system_is_looked_for_once_for_all_jobs_and_anew_by_each_reload(world, monkeypatch):
    jobs = [world.schedule("0 0 * * *", name=f"job {number}") for number in range(20)]
    runner = await world.live(1)
    looked = []

    def look():
        looked.append(True)
        return ZoneInfo("Europe/London")

    monkeypatch.setattr(runner_module, "system_zone", look)
    runner.reload(jobs, (), Work())
    assert len(looked) == 1
    runner.reload(jobs, (), Work())
    assert len(looked) == 2


async def test_a_limit_counts_the_runs_of_before(world):
    runner = await world.live(12, world.timer(5, limit=3))
    runner.reload([world.timer(5, limit=3)], {"tick"}, Work())
    await asyncio.sleep(60)
    assert world.began() == [5, 10, 15]


async def test_a_timer_that_is_over_stays_over_and_its_name_is_still_known(world):
    runner = await world.live(12, world.timer(5, limit=1))
    runner.reload([world.timer(5, limit=1)], {"tick"}, Work())
    await asyncio.sleep(60)
    assert world.began() == [5]
    assert runner.status("tick").next_run is None


async def test_a_changed_timer_starts_anew(world):
    runner = await world.live(12, world.timer(5, limit=3))
    runner.reload([world.timer(7, limit=2, on_start=True)], (), Work())
    await asyncio.sleep(60)
    assert world.began() == [5, 10, 12, 19]
    assert world.numbers == [1, 2, 1, 2]


async def test_what_is_gone_runs_no_more_and_what_is_new_begins(world):
    runner = await world.live(12, world.timer(5, name="gone"), world.timer(5, name="kept"))
    runner.reload([world.timer(3, name="new"), world.timer(5, name="kept")], {"kept"}, Work())
    await asyncio.sleep(7)
    assert world.began("gone") == [5, 10]
    assert world.began("kept") == [5, 10, 15]
    assert world.began("new") == [15, 18]
    assert [status.name for status in runner.statuses()] == ["new", "kept"]
    with pytest.raises(LookupError):
        runner.status("gone")


async def test_an_unchanged_schedule_goes_on_too(world):
    runner = await world.live(90, world.schedule("* * * * *", limit=3))
    runner.reload([world.schedule("* * * * *", limit=3)], {"nightly"}, Work())
    await asyncio.sleep(600)
    assert world.began() == [60, 120, 180]


async def test_a_run_under_way_finishes_and_is_waited_for_by_the_work_it_began_under(world):
    async def ten_seconds(_):
        await asyncio.sleep(10)

    old, new = Work(), Work()
    runner = await world.live(1, world.timer(60))
    runner.reload([world.timer(5, ten_seconds)], (), old)
    await asyncio.sleep(6)
    runner.reload([world.timer(60)], (), new)
    assert (old.open, new.open) == (1, 0)
    assert await old.over(60)
    assert world.now() == world.base.replace(second=16)


async def test_a_run_of_a_job_that_is_gone_is_waited_for_when_the_server_stops(world):
    done = []

    async def ten_seconds(_):
        await asyncio.sleep(10)
        done.append(1)

    runner = await world.live(6, world.timer(5, ten_seconds))
    runner.reload([], (), Work())
    await runner.stop(60)
    assert done == [1]


async def test_jobs_that_cannot_start_leave_the_others_as_they_were(world, monkeypatch):
    runner = await world.live(6, world.timer(5))
    monkeypatch.setenv("TZ", "Nowhere/Land")
    with pytest.raises(OperatorError, match="TZ"):
        runner.reload([world.schedule("* * * * *")], (), Work())
    await asyncio.sleep(5)
    assert world.began() == [5, 10]


async def test_a_runner_that_does_not_run_loads_nothing(world):
    with pytest.raises(RuntimeError, match="between start and stop"):
        world.runner().reload([], (), Work())


async def test_work_is_over_at_once_when_there_is_none_and_never_before_it_is_done():
    work = Work()
    assert await work.over(1)
    work.begin()
    work.begin()
    waiting = asyncio.ensure_future(work.over(60))
    await asyncio.sleep(1)
    work.end()
    await asyncio.sleep(1)
    assert not waiting.done()
    work.end()
    assert await waiting


async def test_nobody_waits_for_work_longer_than_patience_or_than_it_is_abandoned():
    work = Work()
    work.begin()
    assert not await work.over(5)
    waiting = asyncio.ensure_future(work.over(60))
    await asyncio.sleep(1)
    work.abandon()
    assert not await waiting
