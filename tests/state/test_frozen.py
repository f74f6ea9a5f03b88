"""Frozen values: what they weigh, how deep they are, and that a clock can end their making."""

import enum
import random

import pytest

from signalpost.state.frozen import FrozenDict, FrozenList, freeze, weight_of

SCALARS = [1, -1, 2**64 - 1, 0.5, 1e308, True, False, None, "", "ab", "é", "😀x"]


def some_value(rnd, level=0):
    kind = rnd.randrange(4 if level < 4 else 2)
    size = rnd.choice((0, 1, 3, 12))
    if kind == 2:
        return {rnd.choice(("k", "é")) + str(n): some_value(rnd, level + 1) for n in range(size)}
    if kind == 3:
        alike = rnd.randrange(3)
        return [SCALARS[alike * 4]] * size if alike else [some_value(rnd, level + 1) for _ in range(size)]
    return rnd.choice(SCALARS)


def weight(value):
    """Weigh a value part by part."""
    if isinstance(value, dict):
        return 2 + sum(weight(name) + weight(each) + 2 for name, each in value.items())
    if isinstance(value, list):
        return 2 + sum(weight(each) + 1 for each in value)
    return 2 + len(value.encode()) if isinstance(value, str) else 8


def depth(value):
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@pytest.mark.parametrize("seed", range(100))
def test_a_frozen_value_is_equal_and_knows_what_it_weighs_and_how_deep_it_is(seed):
    value = [some_value(random.Random(seed)) for _ in range(5)]
    frozen = freeze(value)
    assert frozen == value
    assert weight_of(frozen) == weight(value)
    assert frozen._depth == depth(value)
    assert type(frozen) is FrozenList
    assert all(type(each) in (FrozenList, FrozenDict) for each in frozen if isinstance(each, list | dict))


class Colour(str, enum.Enum):  # noqa: UP042 - as the test is about
    """As authors wrote it before `enum.StrEnum`: str() of a member is its name."""

    RED = "red"


@pytest.mark.parametrize("others", [0, 20])
def test_an_enum_s_member_that_is_a_text_is_that_text(others):
    frozen = freeze([*["x"] * others, Colour.RED, "é"])
    assert [type(each) for each in frozen] == [str] * (others + 2)
    assert frozen[-2] == str.__str__(frozen[-2]) == "red"
    assert list(freeze({**{f"k{n}": 1 for n in range(others)}, Colour.RED: 1}))[-1] == "red"


@pytest.mark.parametrize("item", [2**64, -(2**63) - 1, float("nan"), float("inf"), "\ud800", "é\udc00"])
@pytest.mark.parametrize("others", [0, 20])
def test_what_is_no_json_is_refused_alone_and_among_many(item, others):
    with pytest.raises(ValueError, match=r"64 bits|no number|surrogate"):
        freeze([*[item if others else None] * others, item])
    if isinstance(item, str):
        with pytest.raises(ValueError, match="surrogate"):
            freeze({**{f"k{n}": 1 for n in range(others)}, item: 1})


@pytest.mark.parametrize(
    "value",
    [
        [[n] for n in range(5_000)],
        [{"a": 1} for _ in range(5_000)],
        [1, "a"] * 500_000,
        {"a": [[[2], 1] for _ in "x" * 999]},
    ],
)
def test_the_clock_is_looked_at_often_while_a_value_is_frozen_and_may_end_it(value):
    ticks = 0

    def tick():
        nonlocal ticks
        ticks += 1
        if ticks > 900:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        freeze(value, tick)
