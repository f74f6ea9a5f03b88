"""A table of rates lets each key use its quota, keeps few keys, and never refuses anybody for what others do."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.edge.rates import RateTable
from signalpost.units import Quota, parse_quota


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [("5/m", 5, 60), ("20/s", 20, 1), (20, 20, 1), ("100/h", 100, 3600), ("0.5/h", 1, 7200), (0.1, 1, 10)],
)
def test_a_quota_is_a_number_and_the_time_in_which_it_comes_back(text, count, seconds):
    quota = parse_quota(text)
    assert (quota.count, quota.seconds) == pytest.approx((count, seconds))


def test_a_quota_of_0_is_none():
    assert parse_quota(0) is None
    assert parse_quota("0/s") is None


def test_the_quota_may_be_used_at_once_and_comes_back_evenly():
    clock = Clock()
    table = RateTable(clock, Quota(5, 60))
    assert [table.charge("a") for _ in range(5)] == [0] * 5
    assert table.charge("a") == pytest.approx(12)
    clock.now = 11.9
    assert table.charge("a") == pytest.approx(0.1)
    clock.now = 12.1
    assert table.charge("a") == 0
    assert table.charge("a") == pytest.approx(11.9)
    assert table.charge("b") == 0


def test_without_a_quota_nothing_is_kept():
    table = RateTable(Clock())
    assert not any(table.charge(key) for key in range(1_000))
    assert len(table) == 0


def test_the_table_is_bounded_and_forgets_whom_it_has_not_seen_for_longest():
    table = RateTable(Clock(), Quota(1, 60), most=100)
    assert table.charge("first") == 0
    assert not any(table.charge(key) for key in range(99))
    assert table.charge("first") > 0, "used again, and so not the one that was used least recently"
    assert not any(table.charge(key) for key in range(1_000, 1_050))
    assert len(table) == 100
    assert table.charge("first") > 0
    assert table.charge(0) == 0, "forgotten"


def test_keys_that_have_their_whole_quota_again_go_as_others_come():
    clock = Clock()
    table = RateTable(clock, Quota(10, 1))
    for key in range(1_000):
        table.charge(key)
    clock.now = 10
    for key in range(2_000, 2_500):
        table.charge(key)
    assert len(table) == 500


def test_another_quota_applies_at_once_and_the_same_one_keeps_the_counts():
    table = RateTable(Clock(), Quota(1, 3_600))
    assert table.charge("a") == 0
    table.set_quota(Quota(1, 3_600))
    assert table.charge("a") > 0
    table.set_quota(Quota(1, 1))
    assert table.charge("a") == 0
    table.set_quota(None)
    assert len(table) == 0


@given(
    st.integers(1, 20),
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from("ab")), max_size=80),
)
def test_no_key_gets_more_than_its_quota_and_what_comes_back_meanwhile(count, seconds, steps):
    clock = Clock()
    table, taken = RateTable(clock, Quota(count, seconds)), {"a": [], "b": []}
    for wait, key in steps:
        clock.now += wait / 10
        if table.charge(key) == 0:
            taken[key].append(clock.now)
    for moments in taken.values():
        for begin, first in enumerate(moments):
            for end in range(begin, len(moments)):
                earned = count + Fraction(moments[end] - first) * count / seconds
                assert end - begin + 1 <= earned + Fraction(1, 1_000)
