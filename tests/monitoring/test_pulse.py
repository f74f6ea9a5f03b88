"""The pulse, with a clock of the test's."""

from hypothesis import given
from hypothesis import strategies as st

from signalpost.monitoring.pulse import EVERY, REMEMBERED, Pulse


class Loop:
    """A loop whose time the test moves; a call may be late."""

    def __init__(self):
        self.now = 100.0
        self.calls = []

    def call_later(self, seconds, run):
        self.calls.append((self.now + seconds, run))
        return self

    def cancel(self):
        self.calls.clear()

    def turn(self, late):
        due, run = self.calls.pop()
        self.now = due + late
        run()


@given(st.lists(st.floats(0, 60), min_size=1, max_size=2 * REMEMBERED))
def test_the_lag_is_the_largest_delay_of_the_last_half_minute(delays):
    loop = Loop()
    pulse = Pulse(lambda: loop.now, loop.call_later)
    pulse.start()
    for late in delays:
        loop.turn(late)
    assert abs(pulse.lag - max(delays[-REMEMBERED:])) < 1e-9


def test_a_delay_that_has_not_ended_counts():
    loop = Loop()
    pulse = Pulse(lambda: loop.now, loop.call_later)
    pulse.start()
    loop.now += EVERY + 3
    assert pulse.lag == 3


def test_a_pulse_that_has_stopped_has_no_timer_and_no_lag():
    loop = Loop()
    pulse = Pulse(lambda: loop.now, loop.call_later)
    pulse.start()
    pulse.start()
    assert len(loop.calls) == 1
    loop.turn(2)
    pulse.stop()
    assert not loop.calls
    assert pulse.lag == 0
