"""What all that comes in unfinished may take together."""

from signalpost.delivery.inbound import Inbound


def test_bytes_beyond_the_bound_are_not_held_and_those_before_them_stay():
    inbound = Inbound(100)
    assert inbound.acquire(60)
    assert inbound.acquire(40)
    assert not inbound.acquire(1)
    assert inbound.held == 100


def test_what_is_given_back_may_be_taken_again():
    inbound = Inbound(100)
    inbound.acquire(100)
    inbound.release_bytes(30)
    assert not inbound.acquire(31)
    assert inbound.acquire(30)


def test_a_bound_that_shrinks_takes_nothing_back():
    inbound = Inbound(100)
    inbound.acquire(80)
    inbound.most = 50
    assert not inbound.acquire(1)
    inbound.release_bytes(40)
    assert inbound.acquire(10)


def test_without_a_bound_everything_is_held():
    assert Inbound().acquire(10**15)


def test_the_log_tells_of_refusals_once_a_second_at_most(caplog):
    later = []
    inbound = Inbound(1024, lambda _, tell: later.append(tell))
    for _ in range(300):
        inbound.acquire(2000)
    later.pop()()
    line = (
        "unfinished messages and request bodies refused: %d; more than 1KiB would be held for all clients together "
        "(limits.inbound)"
    )
    assert caplog.messages == [line % 1, line % 299]
