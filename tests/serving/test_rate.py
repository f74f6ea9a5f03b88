"""Clients that send faster than they may: read later, in order and without loss, by a clock of the test's own."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from signalpost.serving.connection import BACKLOG, RATE, Connection
from signalpost.serving.paced import LONGEST_PAUSE, SHORTEST_PAUSE, PacedConnection
from signalpost.serving.rate import Bucket
from signalpost.testing import serve

TEXT, CLOSE, PING = 1, 8, 9
PLUGIN = """
    import asyncio
    from signalpost import signal

    gate = asyncio.Event()

    @signal("waits", path="/waits")
    async def waits(event):
        await gate.wait()
        event.reply(event.data.message)

    @signal("go", path="/go")
    async def go(event):
        gate.set()

    @signal("kick", path="/kick")
    async def kick(event):
        event.broadcast("seen", path="/log")
        event.close(4009, "enough")
"""
APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    signals: [{path: /echo, rebroadcast: sender}]
    limits: {rate: 20/s}
"""


def frame(opcode, payload=b""):
    """Encode a client's short frame; the mask is zero, which changes nothing."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def messages(numbers):
    return b"".join(frame(TEXT, orjson.dumps({"message": str(number)})) for number in numbers)


def texts(numbers):
    return [str(number) for number in numbers]


class TestBucket:
    def test_one_seconds_worth_may_come_at_once_and_then_one_at_a_time(self, make_clock):
        clock = make_clock()
        bucket = Bucket(4, clock)
        assert [bucket.take() for _ in range(5)] == [True, True, True, True, False]
        clock.now = 0.25
        bucket.fill()
        assert (bucket.take(), bucket.take()) == (True, False)
        clock.now = 1_000.0
        bucket.fill()
        assert [bucket.take() for _ in range(5)] == [True, True, True, True, False]

    def test_a_rate_below_one_a_second_lets_one_pass_and_says_how_long_the_next_waits(self, make_clock):
        clock = make_clock()
        bucket = Bucket(1 / 60, clock)
        assert (bucket.wait, bucket.take(), bucket.take()) == (0, True, False)
        assert bucket.wait == pytest.approx(60)
        clock.now = 45.0
        bucket.fill()
        assert bucket.wait == pytest.approx(15)

    @given(st.floats(0.01, 1e4), st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50)), max_size=40))
    def test_no_stretch_of_time_sees_more_than_its_share_and_one_burst(self, make_clock, rate, steps):
        clock = make_clock()
        bucket = Bucket(rate, clock)
        taken = [(0.0, 0)]
        for pause, wanted in steps:
            clock.now += pause
            bucket.fill()
            taken.append((clock.now, sum(bucket.take() for _ in range(wanted))))
        for first in range(len(taken)):
            total = 0
            for when, count in taken[first:]:
                total += count
                assert total <= max(1, rate) + rate * (when - taken[first][0]) + 1e-6


@pytest.fixture
async def app():
    async with serve(APP, plugins={"gate": PLUGIN}) as running:
        yield running


@pytest.fixture
def paced(app, make_clock):
    """Give the server's side of a client, by a clock of the test's own (white-box: servers have the loop's)."""

    def find(client):
        (connection,) = (each for each in app.server._keepalive.connections if each._client.id == client.id)
        clock = connection._loop = make_clock()
        connection._bucket = Bucket(20, clock)
        return connection, clock

    return find


@pytest.fixture
async def settled(app, make_clock):
    """Wait until the server has read what was sent before, by a round trip of another client, who may well send."""
    async with app.connect("/echo") as other:

        async def wait():
            connections = {each._client.id: each for each in app.server._keepalive.connections}
            connections[other.id]._bucket = Bucket(1e6, make_clock())
            for _ in range(2):
                await other.send("marker")
                assert await other.receive() == "marker"

        yield wait


async def received(client, count):
    return [await client.receive() for _ in range(count)]


async def test_what_is_too_fast_waits_in_order_and_nothing_is_lost(app, paced, settled):
    async with app.connect("/echo") as client:
        connection, clock = paced(client)
        client.socket.transport.write(messages(range(70)))
        assert await received(client, 20) == texts(range(20))
        await settled()
        assert connection.suspended
        clock.advance(0.5)
        assert await received(client, 10) == texts(range(20, 30))
        client.socket.transport.write(messages(range(70, 80)))
        await settled()
        for first in range(30, 80, 10):
            assert connection.suspended
            clock.advance(0.5)
            assert await received(client, 10) == texts(range(first, first + 10))
        clock.advance(1)
        assert not connection.suspended
        await client.send("on time")
        assert await client.receive() == "on time"


async def test_only_a_pause_has_a_timer_and_not_one_for_each_message(app, paced, settled):
    async with app.connect("/echo") as client:
        connection, clock = paced(client)
        client.socket.transport.write(messages(range(20)))
        assert await received(client, 20) == texts(range(20))
        assert clock.later == []
        connection._bucket = Bucket(1_000, clock)
        client.socket.transport.write(messages(range(2_000)))
        assert await received(client, 1_000) == texts(range(1_000))
        await settled()
        assert [handle.at for handle in clock.later] == [SHORTEST_PAUSE]
        clock.advance(SHORTEST_PAUSE * 1.001)
        assert await received(client, 20) == texts(range(1_000, 1_020))
        clock.advance(2)
        assert await received(client, 980) == texts(range(1_020, 2_000))


async def test_pings_count_as_messages_do_and_a_close_frame_comes_behind_what_waits(app, paced, settled):
    async with app.connect("/echo") as client:
        connection, clock = paced(client)
        client.socket.transport.write(frame(PING) * 15 + messages(range(10)) + frame(CLOSE, b"\x03\xe8"))
        assert await received(client, 5) == texts(range(5))
        await settled()
        assert connection.suspended
        clock.advance(0.25)
        assert await received(client, 5) == texts(range(5, 10))
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1000


async def test_what_breaks_the_protocol_is_answered_behind_what_waits(app, paced, settled):
    # Without pings of its own: whatever it sends would have the server look again.
    async with app.connect("/echo", ping_interval=None) as client:
        _, clock = paced(client)
        client.socket.transport.write(messages(range(25)) + frame(3))
        assert await received(client, 20) == texts(range(20))
        await settled()
        clock.advance(0.25)
        assert await received(client, 5) == texts(range(20, 25))
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1002


async def test_the_rate_and_a_handler_that_is_behind_pause_in_turn(app, paced, settled):
    async with app.connect("/waits", ping_interval=None) as client, app.connect("/go") as go:
        connection, clock = paced(client)
        connection._bucket = Bucket(10, clock)
        client.socket.transport.write(messages(range(40)))
        await settled()
        assert (connection._pauses, len(clock.later)) == (RATE, 1)
        clock.advance(1)  # one is at work and 16 wait
        assert (connection._pauses, len(clock.later)) == (BACKLOG, 0)
        clock.advance(10)  # tokens are no reason to read while the handler is behind
        assert connection._pauses == BACKLOG
        await go.send("go on")
        assert await received(client, 27) == texts(range(27))
        await settled()
        assert (connection._pauses, len(clock.later)) == (RATE, 1)
        for first in (27, 37):
            clock.advance(1)
            assert await received(client, min(10, 40 - first)) == texts(range(first, min(first + 10, 40)))
        assert not connection.suspended


async def test_a_slow_rate_does_not_keep_a_closed_client_from_saying_goodbye(app, paced, settled):
    async with app.connect("/log") as log, app.connect("/kick") as client:
        connection, clock = paced(client)
        connection._bucket = Bucket(1 / 3600, clock)
        client.socket.transport.write(messages(range(3)))
        assert await log.receive() == "seen"
        await settled()
        assert connection.suspended
        clock.advance(LONGEST_PAUSE)
        assert not connection.suspended
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 4009
        await settled()
        assert not app.server._hub.closing


async def test_a_client_that_goes_takes_its_pause_along(app, paced, settled):
    async with app.connect("/echo") as client:
        connection, clock = paced(client)
        client.socket.transport.write(messages(range(30)))
        assert await received(client, 20) == texts(range(20))
        await settled()
        connection.give_up()
        await settled()
        assert [handle.cancelled for handle in clock.later] == [True]


@pytest.mark.parametrize(
    ("limits", "kind"), [("{}", Connection), ("{rate: 0}", Connection), ("{rate: 60/m}", PacedConnection)]
)
async def test_who_is_not_limited_has_neither_bucket_nor_clock(limits, kind):
    app = f"endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]\nlimits: {limits}"
    async with serve(app) as running, running.connect("/"):
        (connection,) = running.server._keepalive.connections
        assert type(connection) is kind


async def test_the_loops_own_clock_lets_it_go_on_by_itself():
    async with serve(APP.replace("20/s", "100/s")) as running, running.connect("/echo") as client:
        client.socket.transport.write(messages(range(150)))
        assert await received(client, 150) == texts(range(150))


async def test_the_same_holds_over_tls(trusting):
    app = APP.replace("protocol: ws", "protocol: wss, self_signed: true").replace("20/s", "100/s")
    async with serve(app) as running, running.connect("/echo", ssl=trusting) as client:
        for first in range(0, 150, 10):
            client.socket.transport.write(messages(range(first, first + 10)))
            await asyncio.sleep(0)
        assert await received(client, 150) == texts(range(150))
