"""What values weigh: as their JSON, but looked at once for each part that is in memory."""

import random

import orjson
import pytest

from signalpost.delivery.publication import LARGEST, check_size
from signalpost.state.frozen import freeze
from signalpost.state.weight import VALUE, Weigher

SHARED = {
    "a list of one list": lambda: [[0] * 6000] * 6000,
    "a list of one text": lambda: ["x" * 900_000] * 60_000,
    "doubled lists": lambda: doubled([0], 40, lambda part: [part, part]),
    "doubled mappings": lambda: doubled({"a": 1}, 40, lambda part: {"a": part, "b": part}),
    "doubled tuples": lambda: doubled((1, 2), 40, lambda part: (part, part)),
    "a mapping in a list": lambda: [{"a": ["x" * 1000] * 1000}] * 1000,
    "a state in a list": lambda: [freeze([0] * 60_000)] * 60_000,
}


def doubled(value, times, double):
    for _ in range(times):
        value = double(value)
    return value


def length(value):
    """Write a value out, part by part, as far as that is possible."""
    if isinstance(value, dict):
        return VALUE + sum(length(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return VALUE + sum(map(length, value))
    return VALUE + (len(value) if isinstance(value, str) else 0)


def some_value(rnd, level=0):
    kind = rnd.randrange(7 if level < 4 else 4)
    if kind > 3:
        many = rnd.choice([0, 1, 3, 12])
        parts = [some_value(rnd, level + 1) for _ in range(many)]
        parts = parts * rnd.choice([1, 2])
        return {f"k{n}": part for n, part in enumerate(parts)} if kind == 4 else parts
    return ["text" * rnd.randrange(5), rnd.randrange(100), 1.5, None][kind]


@pytest.mark.parametrize("seed", range(200))
def test_a_value_weighs_what_it_is_written_out(seed):
    value = some_value(random.Random(seed))
    assert Weigher().measure(value) == (length(value), True)


@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
def test_a_part_that_stands_in_many_places_is_looked_at_once_and_counted_everywhere(make):
    looks = []
    weight, _ = Weigher(lambda: looks.append(1)).measure(make())
    assert weight > 100 * LARGEST or weight > 36_000_000
    assert len(looks) <= 200


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": [1, "b", None, {}]}, True),
        ({"a": freeze({"b": [1]})}, True),
        ({"a": (1, 2)}, False),
        ({1: 2}, False),
        ([{"a": {1}}], False),
        ([list(range(20)), (1,)], False),
        ([object()], False),
    ],
)
def test_plain_is_what_json_has_all_the_way_down(value, plain):
    assert Weigher().measure(value)[1] is plain
    if plain:
        assert orjson.dumps(value)


@pytest.mark.slow
@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
def test_what_would_end_the_process_is_refused_before_it_is_encoded(make):
    with pytest.raises(ValueError, match="a value that is sent holds at most 128 MiB, and this one holds more"):
        check_size(make())


@pytest.mark.parametrize(
    "value",
    ["x" * 1000, 5, None, [], {"a": 1}, [["x" * 1000] * 100] * 100, list(range(100_000)), freeze({"a": [1] * 1000})],
    ids=lambda value: type(value).__name__,
)
def test_what_is_usual_is_not_refused(value):
    check_size(value)


def test_a_list_that_holds_itself_is_left_to_the_encoder():
    value = []
    value.append(value)
    check_size(value)
    with pytest.raises(TypeError, match="Recursion limit reached"):
        orjson.dumps(value)
