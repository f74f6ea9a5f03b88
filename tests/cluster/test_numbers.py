"""Numbers: whoever hears a node knows what it has missed, and nothing twice."""

from hypothesis import given
from hypothesis import strategies as st

from signalpost.cluster.numbers import HeardNumbers, OwnNumbers, Verdict

NEXT, KNOWN, MISSED = Verdict.NEXT, Verdict.KNOWN, Verdict.MISSED


@given(st.lists(st.sampled_from(["heard", "lost", "again"]), max_size=40))
def test_what_was_lost_is_known_with_the_next_one_and_what_comes_again_is_known(fates):
    own, heard = OwnNumbers(), HeardNumbers()
    gone, last = False, None
    for fate in fates:
        if fate == "again":
            if last is not None:
                assert heard.judge("x", 1, last.number, first=last.first) is KNOWN
            continue
        taken = own.take("x")
        if fate == "lost":
            gone = last is not None or gone  # before the first that is heard nobody knows of others
            continue
        expected = MISSED if gone and last is not None else NEXT
        assert heard.judge("x", 1, taken.number, first=taken.first) is expected
        gone, last = False, taken


def test_the_numbers_of_nodes_and_channels_are_apart():
    heard = HeardNumbers()
    assert heard.judge("x", 1, 10, first=True) is NEXT
    assert heard.judge("x", 2, 50, first=True) is NEXT
    assert heard.judge("y", 1, 99, first=True) is NEXT
    assert heard.judge("x", 1, 11, first=False) is NEXT
    assert heard.judge("x", 2, 52, first=False) is MISSED


def test_a_node_that_counts_anew_is_heard_again_and_a_repeat_of_its_first_is_known():
    heard = HeardNumbers()
    for number, first in ((10, True), (11, False), (5, True), (6, False)):
        assert heard.judge("x", 1, number, first=first) is NEXT
    assert heard.judge("x", 1, 5, first=True) is KNOWN
    assert heard.judge("x", 1, 6, first=False) is KNOWN


def test_a_node_counts_for_so_many_channels_and_no_more():
    own = OwnNumbers(most=2)
    assert [own.take(channel).first for channel in ("a", "b", "a", "c", "a", "b")] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


def test_what_is_not_followed_any_more_is_forgotten():
    heard = HeardNumbers()
    heard.judge("x", 1, 10, first=True)
    heard.forget_channel("x")
    assert heard.judge("x", 1, 12, first=False) is NEXT
    heard.forget_node(1)
    assert heard.judge("x", 1, 20, first=False) is NEXT
