"""Numbers: whoever hears a node knows what it has missed, and nothing twice."""

from hypothesis import given
from hypothesis import strategies as st

from signalpost.cluster.numbers import HeardNumbers, OwnNumbers, Verdict

NEXT, KNOWN, MISSED = Verdict.NEXT, Verdict.KNOWN, Verdict.MISSED
NEW = 1 << 32  # numbers of a series


@given(st.lists(st.sampled_from(["heard", "lost", "again"]), max_size=40))
def test_what_was_lost_is_known_with_the_next_one_and_what_comes_again_is_known(fates):
    own, heard = OwnNumbers(), HeardNumbers()
    gone, last = False, None
    for fate in fates:
        if fate == "again":
            if last is not None:
                assert heard.judge("x", 1, last) is KNOWN
            continue
        taken = own.take("x")
        if fate == "lost":
            gone = last is not None or gone  # before the first that is heard nobody knows of others
            continue
        expected = MISSED if gone and last is not None else NEXT
        assert heard.judge("x", 1, taken) is expected
        gone, last = False, taken


def test_the_numbers_of_nodes_and_channels_are_apart():
    heard = HeardNumbers()
    assert heard.judge("x", 1, 10) is NEXT
    assert heard.judge("x", 2, 50) is NEXT
    assert heard.judge("y", 1, 99) is NEXT
    assert heard.judge("x", 1, 11) is NEXT
    assert heard.judge("x", 2, 52) is MISSED


def test_a_node_that_counts_anew_is_heard_again_and_what_was_missed_of_that_is_known():
    heard = HeardNumbers()
    for number in (10, 11, NEW, NEW + 1):
        assert heard.judge("x", 1, number) is NEXT
    assert heard.judge("x", 1, NEW) is KNOWN
    assert heard.judge("x", 1, 2 * NEW + 3) is MISSED
    assert heard.judge("x", 1, 2 * NEW + 4) is NEXT


def test_a_repeat_of_the_first_that_was_missed_is_no_beginning():
    own, heard = OwnNumbers(), HeardNumbers()
    numbers = [own.take("x") for _ in range(3)]
    verdicts = [heard.judge("x", 1, number) for number in (*numbers[1:], *numbers)]
    assert verdicts == [NEXT, NEXT, KNOWN, KNOWN, KNOWN]


def test_a_node_counts_for_so_many_channels_and_no_more():
    own = OwnNumbers(most=2)
    counts = [own.take(channel) % NEW for channel in ("a", "b", "a", "c", "a", "b")]
    assert counts == [0, 0, 1, 0, 2, 0]


def test_what_is_not_followed_any_more_is_forgotten():
    heard = HeardNumbers()
    heard.judge("x", 1, 10)
    heard.forget_channel("x")
    assert heard.judge("x", 1, 12) is NEXT
    heard.forget_node(1)
    assert heard.judge("x", 1, 20) is NEXT
