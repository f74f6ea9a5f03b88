"""Seats: what several nodes say of one user, added up."""

from hypothesis import given
from hypothesis import strategies as st

from signalpost.signals.seats import Seat, Seats

TAGS = ("n1", "n2", "n3")
STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "leave"]), st.sampled_from(TAGS), st.sampled_from("ab"), st.sampled_from("xyz"))
)


@given(STEPS, st.randoms())
def test_nodes_that_have_heard_the_same_say_the_same_in_whatever_order_they_heard_it(steps, random):
    nodes = {tag: Seats(tag) for tag in TAGS}
    for kind, tag, user, info in steps:
        if kind == "enter":
            nodes[tag].enter(user, info)
        else:
            nodes[tag].leave(user)
    said = [(tag, user, nodes[tag].own.get(user)) for tag in TAGS for user in "ab"]
    for tag, seats in nodes.items():
        random.shuffle(said)
        for other, user, seat in said:
            if other != tag:
                seats.put(other, user, seat)
    for user in "ab":
        first, *others = [nodes[tag].total(user) for tag in TAGS]
        assert all(each == first for each in others)
        n = sum(seat.n for _, whose, seat in said if whose == user and seat is not None)
        assert (first is None) is (n == 0)
        assert first is None or first.n == n


def test_the_info_that_came_last_is_shown_also_of_a_node_with_a_lower_tag():
    one, two = Seats("n1"), Seats("n2")
    two.enter("a", "x")
    one.put("n2", "a", two.own["a"])
    one.enter("a", "y")
    two.put("n1", "a", one.own["a"])
    assert one.total("a") == two.total("a") == Seat(2, "y", 2)


def test_a_node_that_is_forgotten_leaves_nothing():
    seats = Seats("n1")
    seats.put("n2", "a", Seat(1, None, 1))
    seats.enter("a", None)
    assert seats.forget("n2") == {"a": Seat(1, None, 1)}
    assert (seats.total("a"), seats.elsewhere, seats.forget("n2")) == (Seat(1, None, 2), [], {})


def test_one_who_was_never_there_leaves_without_a_trace():
    seats = Seats("n1")
    seats.leave("a")
    seats.put("n2", "a", None)
    assert (seats.total("a"), dict(seats.own)) == (None, {})
