"""Who waits for clients that are sent more than they can read, by a clock of the test's own."""

import pytest

from signalpost.config.model import SlowPolicy
from signalpost.delivery.strain import DOUBT, LEAST, LONGEST_HOLD, LOOK, WINDOW, Strain

LIMIT = 1 << 20


class Reader:
    """A client whose machine confirms what the test says."""

    def __init__(self, policy=SlowPolicy.DISCONNECT):
        self.policy = policy
        self.limit = LIMIT
        self.confirmed = 0


class Sender:
    """A connection that is told to go on."""

    def __init__(self, then=lambda: None):
        self.gone_on = 0
        self._then = then

    def go_on(self):
        self.gone_on += 1
        self._then()


@pytest.fixture
def clock(make_clock):
    clock = make_clock()
    clock.now = 100.0
    return clock


@pytest.fixture
def strain(clock):
    return Strain(clock, clock.call_later, lambda: None)


def fill(strain, clock, reader, taken, after=WINDOW / 5):
    """Let an outbox fill while its client takes some bytes."""
    strain.note_waiting(reader, 1_000)
    clock.now += after
    reader.confirmed += taken
    strain.note_waiting(reader, LIMIT // 2 + 1)


def test_who_reads_while_its_outbox_is_half_full_is_waited_for_until_a_quarter_is_left(strain, clock):
    reader, sender = Reader(), Sender()
    fill(strain, clock, reader, LEAST)
    assert strain.active
    strain.hold(sender)
    strain.note_waiting(reader, LIMIT // 4)
    assert strain.active
    strain.note_waiting(reader, LIMIT // 4 - 1)
    assert not strain.active
    clock.advance(0)
    assert sender.gone_on == 1


@pytest.mark.parametrize("taken", [0, 1, LEAST // 10])
def test_nobody_waits_for_who_takes_nothing_or_next_to_nothing(strain, clock, taken):
    fill(strain, clock, Reader(), taken)
    assert not strain.active


@pytest.mark.parametrize("policy", [SlowPolicy.DROP_OLDEST, SlowPolicy.LATEST])
def test_nobody_waits_for_whom_values_are_left_out(strain, clock, policy):
    fill(strain, clock, Reader(policy), LEAST)
    assert not strain.active


def test_senders_go_on_as_soon_as_who_was_waited_for_reads_no_more(strain, clock):
    reader, sender = Reader(), Sender()
    fill(strain, clock, reader, LEAST)
    strain.hold(sender)
    clock.advance(LOOK)
    assert sender.gone_on == 0
    for _ in range(round(WINDOW / LOOK) + 2):
        clock.advance(LOOK)
    assert (sender.gone_on, strain.active) == (1, False)


def test_nobody_waits_for_longer_than_a_second_in_a_row_and_then_not_again_for_as_long(strain, clock):
    reader, sender = Reader(), Sender()
    fill(strain, clock, reader, LEAST)
    strain.hold(sender)
    for _ in range(round(LONGEST_HOLD / LOOK) - 1):
        reader.confirmed += LEAST
        clock.advance(LOOK)
    assert (sender.gone_on, strain.active) == (0, True)
    reader.confirmed += LEAST
    clock.advance(LOOK * 2)
    assert (sender.gone_on, strain.active) == (1, False)
    reader.confirmed += LEAST
    clock.now += LONGEST_HOLD
    assert strain.active


def test_senders_that_go_on_do_so_only_until_somebody_is_strained_again(strain, clock):
    reader = Reader()
    first, second = Sender(lambda: fill(strain, clock, reader, LEAST)), Sender()
    fill(strain, clock, reader, LEAST)
    strain.hold(first)
    strain.hold(second)
    strain.note_waiting(reader, 0)
    clock.advance(0)
    assert (first.gone_on, second.gone_on, strain.active) == (1, 0, True)


def test_who_is_gone_is_neither_waited_for_nor_told(strain, clock):
    reader, gone, sender = Reader(), Sender(), Sender()
    fill(strain, clock, reader, LEAST)
    strain.hold(gone)
    strain.hold(sender)
    strain.release(gone)
    strain.note_waiting(reader, 0)
    clock.advance(0)
    assert (gone.gone_on, sender.gone_on) == (0, 1)
    assert not strain._samples


def test_of_whom_bytes_begin_to_wait_it_is_believed_that_it_reads_until_it_could_have_shown_it(strain, clock):
    reader, sender = Reader(), Sender()
    strain.note_waiting(reader, LIMIT // 2 + 1)
    assert strain.active
    strain.hold(sender)
    clock.advance(LOOK)
    assert LOOK > DOUBT
    assert (strain.active, sender.gone_on) == (False, 1)
    strain.note_waiting(reader, LIMIT)
    assert not strain.active


@pytest.mark.parametrize("taken", [0, LEAST])
def test_right_after_a_window_a_client_counts_as_it_did_in_it(strain, clock, taken):
    reader = Reader()
    fill(strain, clock, reader, taken, after=WINDOW)
    # Not a byte more than at that look, nor any time for one.
    strain.note_waiting(reader, LIMIT)
    strain._look()
    assert strain.active is bool(taken)


def test_senders_that_take_turns_have_not_waited_for_long(strain, clock):
    """Some of them always wait, but each has its turn; none is let go on before its time."""
    reader, senders = Reader(), [Sender(), Sender()]
    fill(strain, clock, reader, LEAST)
    strain.hold(senders[0])
    for number in range(round(2 * LONGEST_HOLD / LOOK)):
        reader.confirmed += LEAST
        strain.hold(senders[number % 2 - 1])
        clock.advance(LOOK)
        strain.release(senders[number % 2])
        assert strain.active
    assert [sender.gone_on for sender in senders] == [0, 0]
