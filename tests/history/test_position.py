"""Positions: texts that come back as they went, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.history.position import LONGEST, NO_ID, Position, epoch_after, id_of, new_epoch, precedes, read_position

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
POSITIONS = st.builds(
    Position, st.text(DIGITS, min_size=6, max_size=6), st.integers(0, 10**18 - 1), st.integers(0, 2**20 - 1)
)


@given(POSITIONS)
def test_a_position_is_read_as_it_was_written(position):
    assert read_position(str(position)) == position
    assert len(str(position)) <= LONGEST


@given(POSITIONS, POSITIONS)
def test_two_positions_have_one_text_only_if_they_are_one(one, other):
    assert (str(one) == str(other)) is (one == other)


@given(st.text() | st.text(DIGITS + ":", max_size=40))
def test_any_text_is_a_position_that_gives_the_same_text_or_none(text):
    position = read_position(text)
    assert position is None or str(position) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "::",
        "k3f9a2",
        "k3f9a2:1",
        "k3f9a2:1:",
        "k3f9a2:1:7hq",
        "k3f9a2:1:7hq22",
        "k3f9a2:01:7hq2",
        "k3f9a2:-1:7hq2",
        "k3f9a2:+1:7hq2",
        "k3f9a2:1 :7hq2",
        " k3f9a2:1:7hq2",
        "k3f9a2:1:7hq2\n",
        "k3f9a2:1:7hq2\0",
        "K3F9A2:1:7HQ2",
        "k3f9i2:1:7hq2",
        "k3f9a:1:7hq2",
        "k3f9a22:1:7hq2",
        "k3f9a2:1:7hq2:1",
        "k3f9a2:\u0661:7hq2",
        "k3f9a2:1000000000000000000:7hq2",
        "k3f9a2:" + "9" * 10_000 + ":7hq2",
        "k3f9a2:" + "9" * 5_000_000 + ":7hq2",
    ],
)
def test_what_is_nearly_a_position_is_none(text):
    assert read_position(text) is None


def test_the_position_before_the_first_value_is_read_back():
    assert str(Position("k3f9a2", 0, NO_ID)) == "k3f9a2:0:0000"
    assert read_position("k3f9a2:0:0000") == ("k3f9a2", 0, NO_ID)


def test_ids_of_neighbours_and_of_other_nodes_differ_as_chance_would_have_it():
    ids = [id_of(node, number) for node in range(40) for number in range(500)]
    assert all(0 <= each < 2**20 for each in ids)
    # 20,000 of 1,048,576: about 189 pairs would be equal by chance.
    assert len(ids) - len(set(ids)) < 300
    same = sum(id_of(1, number) == id_of(2, number) for number in range(20_000))
    assert same < 5


def test_an_epoch_precedes_those_after_it_for_five_hundred_generations():
    epochs = [epoch_after()]
    for _ in range(2_000):
        epochs.append(epoch_after(epochs[-1]))
        assert read_position(f"{epochs[-1]}:1:0000") is not None
    for distance in (1, 2, 500):
        assert all(precedes(one, other) for one, other in zip(epochs, epochs[distance:], strict=False))
        assert not any(precedes(other, one) for one, other in zip(epochs, epochs[distance:], strict=False))
    assert not precedes(epochs[0], epochs[0])


def test_two_epochs_after_one_differ_and_none_precedes_the_other():
    one = epoch_after()
    some = {epoch_after(one) for _ in range(100)}
    assert len(some) > 95  # of 20 random bits
    assert not any(precedes(each, other) for each in some for other in some)


def test_an_epoch_is_behind_all_that_are_known_in_any_order():
    old = epoch_after()
    new = epoch_after(epoch_after(old))
    for known in ((old, new), (new, old), (new, ""), ("", new)):
        assert precedes(new, epoch_after(*known))
    assert precedes(old, epoch_after("", old))


def test_no_epoch_precedes_none_and_what_is_no_epoch_is_taken_as_any():
    epoch = epoch_after()
    assert not precedes("", epoch)
    assert not precedes(epoch, "")
    assert not precedes("??????", epoch)
    assert precedes("??????", epoch_after("??????"))


def test_an_epoch_is_another_each_time():
    epochs = {new_epoch() for _ in range(1_000)}
    assert len(epochs) == 1_000
    assert all(read_position(f"{epoch}:1:0000") is not None for epoch in epochs)
