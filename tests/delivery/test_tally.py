"""A count that is told once a second at most."""

from signalpost.delivery.tally import PAUSE, Tally


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
