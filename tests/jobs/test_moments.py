"""When jobs are due, without a clock; what `signalpost routes` shows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from signalpost.jobs.moments import moments_of, next_runs

LONDON = ZoneInfo("Europe/London")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_next_runs_of_a_timer(world):
    after = at("2025-06-01T00:00+00:00")
    runs = next_runs(world.timer(90, skip=1), after, 3)
    assert [f"{run:%H:%M:%S}" for run in runs] == ["00:03:00", "00:04:30", "00:06:00"]


def test_the_next_runs_of_a_schedule_are_in_its_zone(world):
    runs = next_runs(world.schedule("30 1 * * *", timezone=LONDON), at("2025-03-29T00:00-05:00"), 2)
    assert [run.isoformat() for run in runs] == ["2025-03-30T02:00:00+01:00", "2025-03-31T01:30:00+01:00"]


def test_a_run_on_start_is_the_first(world):
    after = at("2025-06-01T00:10+00:00")
    for job in (world.timer(60, on_start=True, limit=2), world.schedule("0 * * * *", on_start=True, limit=2)):
        runs = next_runs(job, after, 10)
        assert runs[0] == after
        assert len(runs) == 2


def test_no_more_than_asked_for(world):
    assert next_runs(world.timer(60, on_start=True), at("2025-06-01T00:00+00:00"), 0) == []
    assert len(next_runs(world.timer(60, limit=9), at("2025-06-01T00:00+00:00"), 4)) == 4


def test_nothing_outside_of_start_and_end(world):
    window = {"start": at("2025-06-02T00:00+00:00"), "end": at("2025-06-03T00:00+00:00")}
    runs = next_runs(world.schedule("@daily", timezone=ZoneInfo("UTC"), on_start=True, **window), window["start"], 9)
    assert [run.day for run in runs] == [2, 3]
    runs = next_runs(
        world.schedule("@daily", timezone=ZoneInfo("UTC"), on_start=True, **window), at("2025-06-01T12:00+00:00"), 9
    )
    assert [run.day for run in runs] == [2, 3]


def test_two_expressions_count_a_common_moment_once_even_in_a_doubled_hour(world):
    job = world.schedule("*/30 * * * *", "0 * * * *", timezone=LONDON)
    runs = next_runs(job, at("2025-10-26T00:00+01:00"), 6)
    assert [run.astimezone(UTC).strftime("%H:%M") for run in runs] == [
        "23:30",
        "00:00",
        "00:30",
        "01:00",
        "01:30",
        "02:00",
    ]


@pytest.mark.parametrize("every", [0.000_000_1, 0.000_001])
def test_an_interval_is_a_microsecond_at_least(world, every):
    after = at("2025-06-01T00:00+00:00")
    assert next_runs(world.timer(every), after, 2) == [after + timedelta(microseconds=each) for each in (1, 2)]


def test_a_timers_moments_are_multiples_of_its_interval_wherever_one_asks(world):
    started = at("2025-06-01T00:00+00:00")
    moments = moments_of(world.timer(0.3), started)
    for count in (0, 1, 7, 10**9):
        moment = started + count * timedelta(seconds=0.3)
        assert moments.after(moment) == moment + timedelta(seconds=0.3)
        assert moments.after(moment + timedelta(microseconds=1)) == moment + timedelta(seconds=0.3)
    assert moments.after(started - timedelta(days=1)) == started + timedelta(seconds=0.3)
