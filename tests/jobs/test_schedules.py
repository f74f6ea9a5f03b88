"""Schedules on the real APScheduler, in virtual time (Pode: "Schedules", behaviour 28)."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

HOUR = 3600
DAY = 24 * HOUR
LONDON = ZoneInfo("Europe/London")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
ACTOR = 'schedule "nightly" (routes.yaml:20): handler "work" of plugin clock (plugins/clock.py:7)'


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def shown(world, name: str) -> list[str]:
    return [f"{event.due:%m-%d %H:%M}" for event, _ in world.runs if event.name == name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zone", "skipped", "after_it", "doubled"),
    [
        (LONDON, "03-30 01:30", "03-30 02:00", "10-26 01:30"),
        (NEW_YORK, "03-09 02:30", "03-09 03:00", "11-02 01:30"),
        (LORD_HOWE, "10-05 02:15", "10-05 02:30", "04-06 01:45"),
    ],
)
async def test_a_year_with_its_clock_changes(world, zone, skipped, after_it, doubled):
    world.base = datetime(2025, 1, 1, tzinfo=zone).astimezone(UTC)
    world.glance = DAY  # no one sets the clock in this year
    jobs = []
    for name, moment in (("skipped", skipped), ("doubled", doubled)):
        hour, minute = moment[6:].split(":")
        jobs.append(world.schedule(f"{minute} {int(hour)} * * *", name=name, timezone=zone))
    jobs.append(world.schedule("0 * * * *", name="hourly", timezone=zone))
    await world.live(365 * DAY - 1, *jobs)

    days = [f"{datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=day):%m-%d}" for day in range(365)]
    for name, usual in (("skipped", skipped[5:]), ("doubled", doubled[5:])):
        in_the_gap = usual[:3] == skipped[5:8]  # London skips and doubles the same hour
        assert shown(world, name) == [after_it if in_the_gap and day == skipped[:5] else day + usual for day in days]
    (twice,) = [event.due for event, _ in world.runs if event.name == "doubled" and shown_day(event) == doubled[:5]]
    assert twice.fold == 0
    # Every hour keeps real time: whenever clocks show a whole hour, however often they do.
    hourly = [event.due.astimezone(UTC) for event, _ in world.runs if event.name == "hourly"]
    assert hourly == [each for each in every_half_hour(world.base, 365) if each.astimezone(zone).minute == 0][1:]


def shown_day(event) -> str:
    return f"{event.due:%m-%d}"


def every_half_hour(begin: datetime, days: int) -> list[datetime]:
    return [begin + timedelta(minutes=30 * count) for count in range(days * 48)]


async def test_runs_begin_when_they_are_due(world):
    await world.live(2 * DAY, world.schedule("0 6 * * *", timezone=LONDON))
    assert [due.isoformat() for due in world.dues] == ["2025-06-01T06:00:00+01:00", "2025-06-02T06:00:00+01:00"]
    assert world.began() == [5 * HOUR, 29 * HOUR]
    assert world.numbers == [1, 2]


async def test_a_schedule_can_run_every_second(world):
    await world.live(5.5, world.schedule("* * * * * *"))
    assert world.began() == [1, 2, 3, 4, 5]


async def test_any_of_several_expressions_fires_and_two_at_one_moment_run_once(world):
    await world.live(16 * 60, world.schedule("0/3 * * * *", "0/5 * * * *"))
    assert world.began() == [each * 60 for each in (3, 5, 6, 9, 10, 12, 15)]


async def test_start_and_end_are_the_first_and_the_last_moment_allowed(world):
    window = {"start": at("2025-06-01T04:00+02:00"), "end": at("2025-06-01T04:00+00:00")}
    runner = await world.live(DAY, world.schedule("0 * * * *", timezone=LONDON, **window))
    assert world.began() == [2 * HOUR, 3 * HOUR, 4 * HOUR]
    assert runner.status("nightly").next_run is None


async def test_a_schedule_whose_end_has_passed_never_runs(world):
    runner = await world.live(DAY, world.schedule("0 * * * *", end=at("2025-05-31T00:00+00:00"), on_start=True))
    assert world.runs == []
    assert runner.status("nightly").next_run is None


async def test_a_limit_ends_a_schedule(world):
    runner = await world.live(DAY, world.schedule("0 * * * *", limit=2))
    assert world.began() == [HOUR, 2 * HOUR]
    assert runner.status("nightly").next_run is None


async def test_a_limit_of_two_with_on_start_is_two_runs_and_then_no_next(world):
    runner = await world.live(1, world.schedule("0 * * * *", limit=2, on_start=True))
    assert world.began() == [0]
    assert runner.status("nightly").next_run == world.base + timedelta(hours=1)
    await asyncio.sleep(DAY)
    assert world.began() == [0, HOUR]
    assert runner.status("nightly").next_run is None


async def test_on_start_waits_for_no_start_of_the_window(world):
    await world.live(4.5 * HOUR, world.schedule("0 * * * *", on_start=True, start=at("2025-06-01T02:30+00:00")))
    assert world.began() == [3 * HOUR, 4 * HOUR]


async def test_a_run_that_takes_too_long_is_cancelled_and_logged(world, caplog):
    cleaned = []

    async def hang(_):
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(world.now())

    runner = await world.live(2.5 * HOUR, world.schedule("0 * * * *", then=hang, timeout=90))
    assert world.began() == [HOUR, 2 * HOUR]
    assert cleaned == [at("2025-06-01T01:01:30+00:00"), at("2025-06-01T02:01:30+00:00")]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"{ACTOR} took longer than 90 s and was cancelled")
    ] * 2
    assert runner.statuses()[0].last_error == "took longer than 90 s"


async def test_a_run_that_outlives_its_cancellation_is_reported_as_too_long(world, caplog):
    async def stubborn(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(10)

    await world.live(1.5 * HOUR, world.schedule("0 * * * *", then=stubborn, timeout=90))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_within_its_timeout_a_run_is_left_alone(world, caplog):
    async def a_minute(_):
        await asyncio.sleep(60)

    await world.live(2.5 * HOUR, world.schedule("0 * * * *", then=a_minute, timeout=90))
    assert caplog.records == []


async def test_no_more_runs_at_once_than_allowed(world, caplog):
    async def half_past_two(_):
        await asyncio.sleep(2.5 * HOUR)

    runner = await world.live(4.2 * HOUR, world.schedule("0 * * * *", then=half_past_two, max_runs=2))
    assert world.began() == [HOUR, 2 * HOUR, 4 * HOUR]
    assert runner.statuses()[0].running == 2
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            'schedule "nightly" (routes.yaml:20): left out the run of 2025-06-01 03:00:00+00:00, 2 still under way',
        )
    ]


async def test_ten_runs_at_once_are_the_default(world):
    async def for_ever(_):
        await asyncio.Event().wait()

    await world.live(15 * 60, world.schedule("* * * * *", then=for_ever))
    assert len(world.runs) == 10


async def test_an_exception_does_not_stop_later_runs(world, caplog):
    async def fail(_):
        raise RuntimeError("night falls")

    await world.live(2.5 * HOUR, world.schedule("0 * * * *", then=fail))
    assert world.began() == [HOUR, 2 * HOUR]
    assert caplog.messages == [f"{ACTOR} failed"] * 2


async def test_a_schedule_can_broadcast_to_one_path(world):
    await world.live(2.5 * HOUR, world.schedule("0 * * * *", then=world.sending({"hour": True}, path="/news")))
    assert world.sent == [({"hour": True}, "/news", None, None)] * 2


async def test_a_schedule_without_a_time_zone_has_the_systems(world, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    await world.live(DAY, world.schedule("0 6 * * *"))
    assert [due.isoformat() for due in world.dues] == ["2025-06-01T06:00:00-04:00"]


async def test_a_clock_that_is_set_ahead_makes_the_run_late_but_not_lost(world):
    await world.live(HOUR / 2, world.schedule("0 * * * *"))
    world.base += timedelta(hours=2, minutes=45)  # from 0:30 to 3:15
    await asyncio.sleep(HOUR)
    assert [due.isoformat() for due in world.dues] == ["2025-06-01T01:00:00+00:00", "2025-06-01T04:00:00+00:00"]
    # It is noticed within a minute; the run of 1:00 stands for those of 2:00 and 3:00.
    assert at("2025-06-01T03:15+00:00") <= world.runs[0][1] <= at("2025-06-01T03:16+00:00")


async def test_a_clock_that_is_set_back_a_little_runs_nothing_twice(world):
    await world.live(1.5 * HOUR, world.schedule("0 * * * *"))
    world.base -= timedelta(hours=1)  # from 1:30 to 0:30
    await asyncio.sleep(2 * HOUR)
    assert [due.hour for due in world.dues] == [1, 2]


async def test_a_clock_that_was_wrong_by_years_does_not_stop_a_schedule(world, caplog):
    caplog.set_level(logging.INFO, "signalpost.jobs")
    await world.live(1.5 * HOUR, world.schedule("0 * * * *"))
    world.base -= timedelta(days=3000)
    await asyncio.sleep(2 * HOUR)
    assert [due.date().isoformat() for due in world.dues] == ["2025-06-01", "2017-03-15", "2017-03-15"]
    assert caplog.messages == ["the system's clock was set by -259200000.000 s; timers keep their pace"]
