"""For any schedule of publishing, losing connections, reloading and restarting: nobody misses a value silently.

The schedules, the model and what it holds them to are in `schedules.py`, which also runs as a command.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

CHUNKS = 8
EACH = 250  # schedules of a chunk


@pytest.fixture(scope="module")
def schedules():
    """Give the driver, which is a module beside this one and a command."""
    spec = importlib.util.spec_from_file_location("history_schedules", Path(__file__).with_name("schedules.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    module.close()
    del sys.modules[spec.name]


def test_a_client_misses_no_value_silently_and_reads_none_twice_whatever_happens(schedules):
    assert schedules.run_many(range(100)) > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_client_misses_nothing_silently_in_many_more_schedules(schedules, chunk):
    first = 1_000 + chunk * EACH
    assert schedules.run_many(range(first, first + EACH)) > 1_000


def test_the_same_seed_makes_the_same_schedule(schedules):
    assert schedules.make(7) == schedules.make(7) != schedules.make(8)


def test_a_schedule_that_fails_is_told_with_no_step_that_it_could_do_without(schedules, monkeypatch):
    def fail(_world):
        raise schedules.BreachError("the clock moved")

    async def settle(_world):
        pass

    monkeypatch.setattr(schedules.World, "settle", settle)
    monkeypatch.setattr(schedules.World, "do_clock", lambda world, _: fail(world))
    schedule = next(each for each in map(schedules.make, range(50)) if any(step[0] == "clock" for step in each.steps))
    shorter, failure = schedules.shrink(schedule, schedules.failure_of(schedule))
    assert [step[0] for step in shorter.steps] == ["clock"]
    assert failure == "BreachError: the clock moved"
    assert f"seed {schedule.seed}: {failure}" in schedules.told(shorter, failure)
