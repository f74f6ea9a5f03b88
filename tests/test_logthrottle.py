"""Counts that are told once a second at most."""

import pytest

from signalpost.logthrottle import FEW, PAUSE, LineTally, Tally


def test_the_first_is_told_at_once_and_all_others_once_a_second():
    told, later = [], []
    tally = Tally(told.append, lambda *call: later.append(call))

    def second():
        ((seconds, tell),) = later
        assert seconds == PAUSE
        later.clear()
        tell()

    tally.add()
    tally.add(300)
    tally.add(2)
    assert told == [1]
    second()
    assert told == [1, 302]
    second()
    assert not later
    tally.add(7)
    assert told == [1, 302, 7]
    second()
    assert told == [1, 302, 7]


@pytest.fixture
def told():
    return []


@pytest.fixture
def lines(told):
    """Give a tally of lines; its ``second`` lets one pass."""
    later = []

    class Lines(LineTally):
        def second(self):
            while later:
                seconds, tell = later.pop()
                assert seconds == PAUSE
                tell()
                return

        @property
        def waits(self):
            return bool(later)

    return Lines(told.append, lambda *call: later.append(call))


def test_lines_that_differ_are_told_at_once_and_what_repeats_is_counted(lines, told):
    for line in ("a", "b", "a", "a"):
        lines.add(line)
    assert told == ["a", "b"]
    lines.second()
    assert told == ["a", "b", "a; so were 1 more before it"]
    lines.add("a")
    lines.second()
    assert told[3:] == ["a"]
    lines.second()
    assert not lines.waits
    lines.add("a")
    assert told[4:] == ["a"]


def test_of_many_lines_a_few_are_told_each_second_and_none_is_lost_from_the_count(lines, told):
    for number in range(100):
        lines.add(f"line {number}")
    assert told == [f"line {number}" for number in range(FEW)]
    lines.second()
    assert told[FEW:] == [f"line 99; so were {100 - FEW - 1} more before it"]


def test_what_comes_with_a_line_goes_on_with_it():
    told, later = [], []
    tally = LineTally(lambda line, **more: told.append((line, more)), lambda *call: later.append(call))
    for number in range(FEW + 2):
        tally.add(f"line {number}", extra=number)
    assert told == [(f"line {number}", {"extra": number}) for number in range(FEW)]
    later[0][1]()
    assert told[FEW:] == [(f"line {FEW + 1}; so were 1 more before it", {"extra": FEW + 1})]
