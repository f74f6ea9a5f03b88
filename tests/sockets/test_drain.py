"""The goodbye by a clock that the test sets: who is closed when, with how many others, and when it is to come back."""

from collections import Counter
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.delivery.codec import PLAIN, V1
from signalpost.sockets.drain import FEWEST, INTERVAL, RESTART, RETURN_RATE, ClientDrain, Timetable
from signalpost.websocket.frames import CloseCode, encode_close


class Client:
    """A client that notes how it is closed, and answers at once unless it is slow."""

    def __init__(self, world, *, encoding=PLAIN, slow=False, waiting=0):
        self._world = world
        self._slow = slow
        self.encoding = encoding
        self.waiting = waiting
        self.closing = False
        self.closed_at = self.retry = self.code = None
        self.ended = ""
        world.hub.clients[id(self)] = self

    def send_away(self, code, reason, retry_ms=None):
        assert reason
        assert not self.closing
        codec = self.encoding.codec
        self.closing, self.code, self.closed_at = True, codec.close_code(code), self._world.clock.now
        notice = codec.goodbye(self.code, "", retry_ms).removesuffix(encode_close(self.code))
        if notice:
            self.retry = orjson.loads(notice[2:])["bye"]["retry_ms"]
        del self._world.hub.clients[id(self)]
        self._world.hub.closing.add(self)
        if not self._slow:
            self.leave()

    def leave(self):
        """End the connection, as the peer's answer does."""
        self.closing = True
        self._world.hub.clients.pop(id(self), None)
        self._world.hub.forget(self)

    def dismiss(self):
        """Let go of nothing: it had left nothing behind to be handled."""

    def drop(self, code):
        self.ended = f"dropped {code}"
        self.leave()

    def finish(self):
        self.ended = "finished"
        self.leave()


class Hub:
    """Who is there; `forget` and `when_closed` are as the real hub's."""

    def __init__(self):
        self.clients = {}
        self.closing = set()
        self._callback = None

    def forget(self, client):
        self.closing.discard(client)
        if not self.closing and self._callback is not None:
            callback, self._callback = self._callback, None
            callback()

    def when_closed(self, callback):
        if self.closing:
            self._callback = callback
        else:
            callback()


class World:
    def __init__(self, clock):
        self.clock = clock
        self.hub = Hub()
        self.busy = set()
        self.over_at = []

    def clients(self, count, **options):
        return [Client(self, **options) for _ in range(count)]

    def say_goodbye(self, seconds=30.0):
        drain = ClientDrain(self.hub, seconds, lambda: self.busy, self.clock.call_later)
        drain.begin(lambda: self.over_at.append(self.clock.now))


@pytest.fixture
def world(make_clock):
    return World(make_clock())


def batches(clients):
    """Give how many were closed at each time."""
    return dict(sorted(Counter(client.closed_at for client in clients).items()))


def test_nobody_is_said_goodbye_to_in_no_time(world):
    world.say_goodbye()
    assert world.over_at == [0]
    assert not world.clock.waiting


@pytest.mark.parametrize("count", [1, 10, FEWEST])
def test_a_few_clients_go_at_once(world, count):
    clients = world.clients(count)
    world.say_goodbye()
    assert batches(clients) == {0: count}
    assert {client.code for client in clients} == {CloseCode.GOING_AWAY}
    assert world.over_at == [0]
    assert not world.clock.waiting


def test_ten_thousand_go_two_in_a_hundred_at_a_time_four_times_a_second(world):
    clients = world.clients(10_000)
    world.say_goodbye()
    world.clock.advance(30)
    assert batches(clients) == {number * INTERVAL: 200 for number in range(50)}
    assert world.over_at == [12.25]
    assert not world.clock.waiting


def test_clients_go_in_the_order_in_which_they_came(world):
    clients = world.clients(1_000)
    world.say_goodbye()
    world.clock.advance(30)
    assert all(one.closed_at <= other.closed_at for one, other in pairwise(clients))


@given(st.integers(0, 200_000), st.floats(0, 3_600))
def test_whatever_the_number_and_the_time_three_quarters_of_it_are_enough_for_all_batches(count, seconds):
    table = Timetable.plan(count, seconds)
    assert table.size * table.batches >= count
    assert max(0, table.batches - 1) * INTERVAL <= seconds * 0.75
    assert table.batches <= table.looks


def test_with_little_time_batches_are_larger(world):
    clients = world.clients(10_000)
    world.say_goodbye(seconds=2)
    world.clock.advance(2)
    assert batches(clients) == {number * INTERVAL: 1_429 if number < 6 else 1_426 for number in range(7)}


def test_with_no_time_all_go_at_once_and_their_connections_with_them(world):
    quick, slow = world.clients(1_000), world.clients(1_000, slow=True)
    world.busy = set(quick[:10])
    world.say_goodbye(seconds=0)
    assert batches(quick + slow) == {0: 2_000}
    world.clock.advance(0)
    assert {client.ended for client in slow} == {"finished"}
    assert {client.ended for client in quick} == {""}
    assert world.over_at == [0]


def test_who_left_meanwhile_is_not_closed_and_nobody_waits_for_it(world):
    clients = world.clients(1_000)
    world.say_goodbye()
    for client in clients[500:]:
        client.leave()
    world.clock.advance(30)
    assert [client.closed_at for client in clients[500:]] == [None] * 500
    assert batches(clients[:500]) == {number * INTERVAL: 100 for number in range(5)}
    assert world.over_at == [5 * INTERVAL]


class TestReturn:
    """When clients of `signalpost.v1` are asked to come back."""

    def back_at(self, clients):
        """Give when each is back, in milliseconds."""
        return sorted(round(client.closed_at * 1000) + client.retry for client in clients)

    @pytest.mark.parametrize("seconds", [30, 2, 0])
    def test_ten_thousand_come_back_evenly_at_the_rate_that_a_server_takes(self, world, seconds):
        clients = world.clients(10_000, encoding=V1)
        world.say_goodbye(seconds)
        world.clock.advance(seconds)
        back = self.back_at(clients)
        last = round(max(client.closed_at for client in clients) * 1000)
        assert back[0] == last + RESTART * 1000
        assert back[-1] <= back[0] + 10_000 / RETURN_RATE * 1000
        in_100_ms = Counter((moment - back[0]) // 100 for moment in back)
        assert max(in_100_ms.values()) <= RETURN_RATE / 10 + 1

    def test_a_few_are_spread_over_half_a_second(self, world):
        clients = world.clients(10, encoding=V1)
        world.say_goodbye()
        assert [client.retry for client in clients] == list(range(500, 1_000, 50))

    def test_nobody_is_asked_back_in_less_than_half_a_second(self, world):
        clients = world.clients(300, encoding=V1)
        world.busy = set(clients)
        world.say_goodbye()
        world.clock.advance(20)
        world.busy.clear()
        world.clock.advance(10)
        assert min(client.retry for client in clients) == RESTART * 1000

    def test_plain_clients_are_told_nothing_but_count(self, world):
        plain, told = world.clients(1_000), world.clients(1_000, encoding=V1)
        world.say_goodbye()
        world.clock.advance(30)
        assert {client.retry for client in plain} == {None}
        assert self.back_at(told)[-1] - self.back_at(told)[0] == 500  # the other half second is for the plain ones


class TestWork:
    """Clients whose messages are being handled."""

    def test_clients_are_closed_at_the_first_look_after_their_work_is_done(self, world):
        clients = world.clients(10)
        world.busy = set(clients[:2])
        world.say_goodbye()
        assert batches(clients[2:]) == {0: 8}
        world.clock.advance(3.1)
        world.busy.discard(clients[0])
        world.clock.advance(1)
        assert (clients[0].closed_at, clients[1].closed_at) == (3.25, None)
        assert world.over_at == []
        world.busy.clear()
        world.clock.advance(1)
        assert clients[1].closed_at == 4.25
        assert world.over_at == [4.25]

    def test_when_three_quarters_of_the_time_are_over_clients_whose_work_goes_on_are_closed(self, world):
        clients = world.clients(10)
        world.busy = set(clients)
        world.say_goodbye(seconds=4)
        world.clock.advance(10)
        assert batches(clients) == {3: 10}
        assert world.over_at == [3]


class TestEnd:
    """Peers that do not answer."""

    def test_at_the_end_those_who_were_given_everything_are_closed_and_the_others_are_dropped(self, world):
        silent, slow = world.clients(5, slow=True), world.clients(5, slow=True, waiting=1)
        world.say_goodbye()
        world.clock.advance(29.9)
        assert {client.ended for client in silent + slow} == {""}
        assert world.over_at == []
        world.clock.advance(0.1)
        assert {client.ended for client in silent} == {"finished"}
        assert {client.ended for client in slow} == {"dropped 1001"}
        assert world.over_at == [30]
        assert not world.clock.waiting

    def test_who_reads_until_shortly_before_the_end_is_not_disturbed(self, world):
        (reader,) = world.clients(1, slow=True, waiting=1)
        world.say_goodbye()
        world.clock.advance(29)
        reader.leave()
        assert reader.ended == ""
        assert world.over_at == [29]

    def test_a_transport_that_does_not_end_is_left_behind(self, world):
        (stuck,) = world.clients(1, slow=True)
        stuck.finish = lambda: None
        world.say_goodbye()
        world.clock.advance(40)
        assert world.over_at == [31]

    def test_what_a_busy_loop_has_missed_is_made_up_for_at_the_end(self, world):
        clients = world.clients(10_000, slow=True)
        world.say_goodbye()
        world.clock.later.sort(key=lambda handle: -handle.at)
        for handle in list(world.clock.waiting)[:1]:  # the end comes before the second batch
            world.clock.later.remove(handle)
            world.clock.now = 30
            handle.callback()
        assert batches(clients) == {0: 200, 30: 9_800}
        assert world.over_at == [30]
        assert not world.clock.waiting
