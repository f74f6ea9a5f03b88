"""How many lists and mappings a JSON text may hold, whatever its texts look like."""

import json
import random

import pytest

from signalpost.jsontext import MOST_CONTAINERS, MOST_DEPTH, TooManyValuesError, load

PIECES = ["[", "{", "]", '"', "\\", '\\"', '""', "a", "[[", '["', "é", "\n", "\\\\"]


def counted(value):
    if isinstance(value, dict):
        return 1 + sum(map(counted, value.values()))
    return 1 + sum(map(counted, value)) if isinstance(value, list) else 0


def some_value(rnd, level=0):
    if level < 4 and rnd.randrange(3):
        items = [some_value(rnd, level + 1) for _ in range(rnd.randrange(4))]
        return items if rnd.randrange(2) else {some_text(rnd): item for item in items}
    return some_text(rnd)


def some_text(rnd):
    return "".join(rnd.choice(PIECES) for _ in range(rnd.randrange(6)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_lists_and_mappings_count_and_what_only_looks_like_them_in_texts_does_not(seed):
    rnd = random.Random(seed)
    value = [some_value(rnd) for _ in range(8)]
    missing = MOST_CONTAINERS - counted(value) - 1
    filled = json.dumps([value, *[[]] * (missing + 1)], ensure_ascii=bool(seed % 2)).encode()
    with pytest.raises(TooManyValuesError):
        load(filled)
    assert len(load(json.dumps([value, *[[]] * (missing - 1)], ensure_ascii=bool(seed % 2)).encode())) == missing


@pytest.mark.parametrize("around", ["%s", '{"a":"[[[","b":[%s]}', '["\\\\",{"\\"[":%s}]', '[[],[],"]]",[%s]]'])
@pytest.mark.parametrize("opening", ["[", '{"k":'])
def test_lists_and_mappings_stand_only_so_deep_inside_each_other(around, opening):
    levels = MOST_DEPTH - (0 if around == "%s" else 2)
    closing = "}" if opening[0] == "{" else "]"
    load((around % (opening * levels + "1" + closing * levels)).encode())
    with pytest.raises(TooManyValuesError, match="more than 240 lists and mappings inside each other"):
        load((around % (opening * (levels + 1) + "1" + closing * (levels + 1))).encode())
