"""Keepalive by a clock that the test sets: who is pinged, who is given up, and who is left alone."""

import pytest

from signalpost.config.model import KeepaliveConfig
from signalpost.delivery.client import NO_DESCRIPTOR
from signalpost.sockets.keepalive import CLOSING, INTERVAL, PATIENCE, SILENCE, Keepalive
from signalpost.websocket.frames import CloseCode


class Watched:
    """A connection that notes what is done to it and when."""

    def __init__(self, clock, keepalive):
        self._clock = clock
        self._keepalive = keepalive
        self.heard_at = keepalive.now
        self.pinged_at = 0.0
        self.suspended = False
        self.pace = KeepaliveConfig()
        self.confirmed = None
        self.pings = []
        self.given_up = []
        keepalive.connections.add(self)

    def ping(self):
        self.pings.append(self._clock.now - 1_000)

    def give_up(self):
        self.given_up.append(self._clock.now - 1_000)
        self._keepalive.connections.discard(self)  # the connection is lost

    def hear(self):
        """Get bytes, as `Connection.data_received` does."""
        self.heard_at = self._keepalive.now


class Closing:
    """A client that was sent a close frame, of which its peer's machine may not have everything before it."""

    def __init__(self, unconfirmed=1, *, tls=False, heeded=False):
        self.unconfirmed = unconfirmed
        self.heeded = heeded
        self.descriptor = NO_DESCRIPTOR if tls else 7
        self.dropped = []
        self.finished = 0

    def drop(self, code):
        self.dropped.append(code)

    def finish(self):
        self.finished += 1


class Hub:
    def __init__(self):
        self.closing = set()


@pytest.fixture
def clock(make_clock):
    return make_clock(1_000.0)


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def keepalive(clock, hub):
    keepalive = Keepalive(hub, set(), clock, clock.call_later)
    keepalive.start()
    return keepalive


@pytest.fixture
def connection(clock, keepalive):
    return Watched(clock, keepalive)


def test_the_figures_are_those_that_are_promised():
    assert (SILENCE, PATIENCE, CLOSING) == (25, 10, 5)


def test_who_is_silent_is_pinged_once_and_without_an_answer_given_up(clock, connection):
    clock.advance(24.5)
    assert connection.pings == []
    clock.advance(60)
    assert (connection.pings, connection.given_up) == ([25], [35])


def test_who_reads_on_towards_the_ping_is_waited_for_and_given_up_when_it_stops(clock, connection):
    connection.confirmed = 0
    for _ in range(20):
        clock.advance(5)
        connection.confirmed += 1
    assert connection.given_up == []
    connection.confirmed -= 1  # what came since the last look
    clock.advance(20)
    assert (connection.pings, len(connection.given_up)) == ([25], 1)


def test_who_has_not_got_the_ping_and_reads_nothing_is_given_up_in_the_same_time(clock, connection):
    connection.confirmed = 7
    clock.advance(60)
    assert connection.given_up == [35]


def test_who_has_everything_at_last_gets_its_time_to_answer(clock, connection, keepalive):
    connection.confirmed = 7
    clock.advance(30)
    connection.confirmed = None
    clock.advance(30)
    assert (connection.pings, connection.given_up) == ([25], [45])
    assert not keepalive._slow


def test_any_bytes_are_an_answer(clock, connection):
    clock.advance(34.5)
    connection.hear()
    clock.advance(20)
    assert (connection.pings, connection.given_up) == ([25], [])


def test_bytes_in_the_very_second_of_the_ping_are_an_answer(clock, connection):
    clock.advance(25)
    assert connection.pings == [25]
    connection.hear()
    clock.advance(20)
    assert connection.given_up == []


def test_who_answered_is_pinged_again_after_as_long_a_silence(clock, connection):
    clock.advance(30)
    connection.hear()
    clock.advance(24)
    assert connection.pings == [25]
    clock.advance(1)
    assert connection.pings == [25, 55]
    clock.advance(10)
    assert connection.given_up == [65]


def test_who_talks_is_never_pinged(clock, connection):
    for _ in range(20):
        clock.advance(24)
        connection.hear()
    assert connection.pings == []


def test_who_the_server_does_not_read_from_is_left_alone(clock, connection):
    connection.suspended = True
    clock.advance(1_000)
    assert (connection.pings, connection.given_up) == ([], [])


def test_reading_again_gives_a_silent_connection_its_full_time(clock, connection):
    clock.advance(25)
    connection.suspended = True
    clock.advance(100)
    connection.suspended = False
    connection.hear()  # as `Connection.read_on` does
    clock.advance(24)
    assert (connection.pings, connection.given_up) == ([25], [])
    clock.advance(1)
    assert connection.pings == [25, 150]


def test_a_peer_that_does_not_answer_a_close_frame_is_given_up(clock, hub, keepalive):
    client = Closing()
    clock.advance(100)
    hub.closing.add(client)
    clock.advance(CLOSING + INTERVAL - 0.5)
    assert client.dropped == []
    clock.advance(0.5)
    assert (client.dropped, client.finished) == ([CloseCode.ABNORMAL], 0)


def test_a_peer_that_has_gone_while_its_messages_wait_has_a_time_of_its_own(clock, hub, keepalive):
    gone = Closing(heeded=True)
    hub.closing.add(gone)
    clock.advance(60)
    assert (gone.dropped, gone.finished) == ([], 0)


def test_a_peer_whose_machine_has_the_close_frame_is_given_up_without_a_reset_which_could_take_it_away(
    clock, hub, keepalive
):
    clear, tls = Closing(0), Closing(0, tls=True)
    hub.closing |= {clear, tls}
    clock.advance(CLOSING + INTERVAL)
    assert (clear.dropped, clear.finished) == ([], 1)
    assert (tls.dropped, tls.finished) == ([CloseCode.ABNORMAL], 0)  # its transport would wait for the peer's answer


def test_a_peer_that_reads_on_towards_the_close_frame_is_waited_for_and_given_up_when_it_stops(clock, hub, keepalive):
    client = Closing(1_000_000)
    hub.closing.add(client)
    for _ in range(20):
        clock.advance(4)
        client.unconfirmed -= 10_000
    assert (client.dropped, client.finished) == ([], 0)
    clock.advance(INTERVAL + CLOSING - 0.5)
    assert client.dropped == []
    clock.advance(0.5)
    assert client.dropped == [CloseCode.ABNORMAL]


def test_a_peer_that_answered_in_time_is_not_given_up(clock, hub, keepalive):
    client = Closing()
    hub.closing.add(client)
    clock.advance(5)
    hub.closing.discard(client)
    clock.advance(100)
    assert client.dropped == []
    hub.closing.add(client)  # a time of its own, not the old one's
    clock.advance(5)
    assert client.dropped == []


def test_the_keepalive_looks_once_a_second_until_it_is_stopped(clock, keepalive, connection):
    clock.advance(10)
    assert keepalive.now == 1_010
    assert len(clock.later) == 1
    keepalive.stop()
    keepalive.stop()
    clock.advance(1_000)
    assert connection.pings == []


def test_a_peer_that_is_given_up_while_others_are_looked_at_disturbs_nobody(clock, keepalive):
    connections = [Watched(clock, keepalive) for _ in range(5)]
    clock.advance(25)
    connections[2].hear()
    clock.advance(15)
    assert [each.given_up for each in connections] == [[35], [35], [], [35], [35]]


def test_each_peer_is_pinged_and_given_up_by_the_pace_of_its_own_endpoint(clock, keepalive):
    hasty, other = Watched(clock, keepalive), Watched(clock, keepalive)
    hasty.pace = KeepaliveConfig(every=3.0, patience=2.0)
    keepalive.shortest = 3.0
    clock.advance(30)
    assert (hasty.pings, hasty.given_up) == ([3], [5])
    assert (other.pings, other.given_up) == ([25], [])
