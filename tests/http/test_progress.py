"""Whether enough moves; seconds here are numbers."""

from signalpost.http.exchange import LEAST_RATE, Progress


def test_what_rests_is_late_after_the_patience():
    progress = Progress(10, now=100)
    assert not progress.is_late(110)
    assert progress.is_late(110.1)


def test_what_moves_at_the_least_rate_is_never_late():
    progress = Progress(10, now=0)
    for second in range(1, 1_000):
        progress.note(LEAST_RATE, second)
        assert not progress.is_late(second + 9)


def test_a_byte_now_and_then_is_not_enough():
    progress = Progress(10, now=0)
    for second in (8, 10):
        progress.note(1, second)
    assert progress.is_late(10.5)


def test_half_the_least_rate_uses_the_patience_up_in_twice_the_time():
    progress = Progress(10, now=0)
    late = next(second for second in range(100) if progress.note(LEAST_RATE // 2, second) or progress.is_late(second))
    assert 18 <= late <= 21


def test_what_came_quickly_is_no_credit_for_a_rest():
    progress = Progress(10, now=0)
    progress.note(10**9, 1)
    assert not progress.is_late(11)
    assert progress.is_late(11.1)
