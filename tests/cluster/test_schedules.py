"""For any schedule of trouble: no client of several nodes misses a value silently, or reads one twice.

The schedules and the nodes are in `schedules.py`, which also runs as a command; the model is in `schedulemodel.py`.
"""

import importlib.util
import logging
import sys
from pathlib import Path

import pytest

CHUNKS = 8
EACH = 250  # schedules of a chunk
K, L, F = "/kept/a", "/live/a", "/few/a"
FOUND = {
    "a_value_of_a_timeline_that_was_lost_is_not_looked_for_for_ever": (
        ((K, True),) * 4,
        (("connect", 3, 2, False), ("turn", 2), ("publish", 2, K, 1), ("turn", 3), ("fail_over", 2, None)),
        (("publish", 2, K, 1),),
    ),
    "an_answer_that_another_one_has_overtaken_ends_no_epoch": (
        ((K, True),) * 2,
        (("connect", 1, 0, True), ("publish", 2, K, 1), ("heal",), ("cut", None), ("publish", 1, K, 1), ("heal",)),
        (("wait", 1.0),),
    ),
    "a_client_that_knows_more_than_a_node_that_heals_waits_for_it": (
        ((K, True),) * 2,
        (("connect", 0, 0, True), ("turn", 3), ("connect", 1, 1, True), ("wait", 0.2), ("publish", 0, K, 1)),
        (("node_reconnect", 1), ("node_stall", 1), ("turn", 14), ("connect", 0, 1, True)),
    ),
    "a_channel_that_may_not_be_heard_counts_as_away": (
        ((L, True),) * 3,
        (("refuse",), ("connect", 1, 1, True), ("wait", 6.0)),
    ),
    "a_value_that_is_refused_behind_a_later_one_is_told_to_its_sender": (
        ((L, True),) * 4,
        (("connect", 1, 2, False), ("turn", 1), ("turn", 2), ("refuse",), ("publish", 2, L, 5), ("turn", 1)),
        (("publish", 2, L, 1),),
    ),
    "a_repeat_of_what_is_kept_no_more_has_no_position": (
        ((F, True),) * 3,
        (("connect", 2, 0, False), ("turn", 4), ("say", 2, 5), ("turn", 1), ("cut", None), ("heal",)),
    ),
    "a_value_that_was_lost_before_anybody_read_it_is_a_gap_for_who_comes_back": (
        ((K, True),) * 2,
        (("connect", 0, 2, False), ("turn", 14), ("stop", 2), ("publish", 1, K, 1), ("turn", 14), ("fail_over", 1, 1)),
    ),
    "a_value_that_was_lost_while_it_was_looked_for_is_a_gap": (
        ((K, True),) * 2,
        (("connect", 0, 2, True), ("turn", 14), ("wipe",), ("publish", 1, K, 2), ("turn", 2), ("wipe",)),
    ),
    "a_value_is_doubted_again_at_each_failover": (
        ((K, True),),
        (("connect", 0, 2, True), ("turn", 14), ("kill", 2, None), ("publish", 0, K, 1), ("publish", 1, K, 1)),
        (("stop", 1), ("fail_over", 1, 1), ("turn", 3), ("fail_over", 1, None)),
    ),
    "a_window_that_knows_another_value_at_an_offset_is_no_witness_of_the_first": (
        ((K, False), (K, True), (K, True), (K, True)),
        (("connect", 3, 0, False), ("connect", 0, 2, False), ("turn", 3), ("publish", 1, K, 1), ("wait", 0.2)),
        (("publish", 1, K, 5), ("turn", 1), ("publish", 2, K, 5), ("fail_over", 3, 0), ("connect", 2, 0, True)),
        (("turn", 3), ("fail_over", 3, 1), ("turn", 1), ("publish", 0, K, 5), ("turn", 2), ("publish", 2, K, 1)),
        (("fail_over", 1, None),),
    ),
    "a_doubted_value_is_asked_for_again_if_the_backplane_refuses_to_say": (
        ((F, True), (F, True), (K, True)),
        (("connect", 2, 1, False), ("turn", 2), ("turn", 14), ("publish", 1, K, 2), ("fail_over", 1, 0), ("turn", 3)),
        (("fail_over", 1, 0), ("refuse",), ("turn", 3)),
    ),
    "an_epoch_that_a_replica_brings_back_is_ended": (
        ((K, True),) * 5,
        (("connect", 2, 1, False), ("stop", 0), ("connect", 4, 1, True), ("lose", 4), ("publish", 1, K, 5)),
        (("connect", 3, 1, True), ("say", 3, 3), ("stop", 2), ("fail_over", 5, None), ("wait", 1.0), ("turn", 14)),
        (("fail_over", 2, None),),
    ),
    "what_is_left_when_an_epoch_has_ended_may_be_lost_at_the_next_failover": (
        ((K, True), (K, True)),
        (("connect", 0, 1, False), ("turn", 14), ("publish", 2, K, 5), ("turn", 2), ("fail_over", 3, 2), ("stop", 1)),
        (("fail_over", 5, None),),
    ),
    "a_client_that_knows_more_than_a_window_that_was_asked_for_before_waits_for_it": (
        ((K, True),),
        (("connect", 0, 1, True), ("turn", 14), ("connect", 0, 2, False), ("wait", 1.0), ("connect", 0, 1, True)),
        (("turn", 2), ("node_deafen", 2), ("publish", 2, K, 2), ("turn", 1), ("turn", 1), ("connect", 0, 2, True)),
    ),
    "a_repeat_of_the_first_value_that_was_missed_is_not_read_behind_later_ones": (
        ((L, True),) * 4,
        (("connect", 3, 2, False), ("turn", 14), ("publish", 0, L, 2), ("drop", 2, 2), ("turn", 1)),
        (("publish", 0, L, 2), ("node_reconnect", 0)),
    ),
    "a_node_alone_tells_its_clients_what_they_have_missed_before": (
        ((L, True),) * 5,
        (("connect", 4, 2, False), ("turn", 1), ("publish", 2, L, 2), ("turn", 4), ("node_deafen", 2)),
        (("publish", 2, L, 5), ("wait", 1.0), ("cut", 0), ("wait", 70.0), ("publish", 2, L, 2)),
    ),
    "what_was_lost_before_its_answer_is_kept_again_and_not_taken_for_a_repeat": (
        ((K, True),) * 3,
        (("publish", 2, K, 1), ("turn", 1), ("publish", 2, K, 1), ("wipe",), ("node_cut", 2, 1)),
    ),
    "who_has_waited_for_so_long_that_its_channel_was_let_go_of_hears_it_again": (
        ((L, True),) * 2,
        (("connect", 1, 1, True), ("refuse",), ("turn", 14), ("connect", 1, 0, False), ("connect", 0, 1, True)),
        (("wait", 70.0),),
    ),
}
"""Schedules that have failed once, without a step that they could do without."""


@pytest.fixture(scope="module")
def schedules():
    """Give the driver, which is a module beside this one and a command."""
    spec = importlib.util.spec_from_file_location("cluster_schedules", Path(__file__).with_name("schedules.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    module.close()
    del sys.modules[spec.name]


@pytest.fixture(autouse=True)
def _quiet():
    """Log nothing: thousands of troubles are meant."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("hears", [True, False])
def test_what_a_schedule_has_found_stays_mended(schedules, name, hears):
    fans, *steps = FOUND[name]
    for alone in (True, False):
        schedules.run(schedules.Schedule(0, fans, alone, hears, tuple(step for some in steps for step in some)))


def test_a_client_misses_no_value_silently_and_reads_none_twice_whatever_happens(schedules):
    assert schedules.run_many(range(300)) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_client_misses_nothing_silently_in_many_more_schedules(schedules, chunk):
    first = 1_000 + chunk * EACH
    assert schedules.run_many(range(first, first + EACH)) > 8_000


def test_the_same_seed_makes_the_same_schedule(schedules):
    assert schedules.make(7) == schedules.make(7) != schedules.make(8)


def test_a_schedule_that_fails_is_told_with_no_step_that_it_could_do_without(schedules, monkeypatch):
    def fail(_world):
        raise schedules.BreachError("nobody waits here")

    async def settle(_world):
        pass

    async def wait(world, _seconds):
        fail(world)

    monkeypatch.setattr(schedules.World, "settle", settle)
    monkeypatch.setattr(schedules.World, "do_wait", wait)
    schedule = next(each for each in map(schedules.make, range(50)) if any(step[0] == "wait" for step in each.steps))
    shorter, failure = schedules.shrink(schedule, schedules.failure_of(schedule))
    assert [step[0] for step in shorter.steps] == ["wait"]
    assert failure == "BreachError: nobody waits here"
    assert f"seed {schedule.seed}: {failure}" in schedules.told(shorter, failure)
