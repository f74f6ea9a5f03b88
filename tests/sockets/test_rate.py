"""Clients that send faster than they may: read later, in order and without loss, by a clock of the test's own."""

import asyncio
import dataclasses

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from signalpost.config.model import LimitsConfig, RateConfig
from signalpost.sockets.connection import BACKLOG, LONGEST_PAUSE, RATE, SHORTEST_PAUSE, TURN_SECONDS
from signalpost.sockets.rate import MOST_SECONDS, SHARE, UNREACHED, Allowance, Pace, pace_of
from signalpost.testing import serve

CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
MEBIBYTE = 1 << 20
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
    limits: {rate: 10/s}
"""


def frame(opcode, payload=b""):
    """Encode a client's short frame; the mask is zero, which changes nothing."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def messages(numbers):
    return b"".join(frame(TEXT, orjson.dumps({"message": str(number)})) for number in numbers)


def texts(numbers):
    return [str(number) for number in numbers]


def pace(frames, size=UNREACHED):
    return Pace(frames, size, MEBIBYTE)


def taken(allowance, wanted):
    """Take up to so many frames, and return how many there were."""
    count = 0
    while count < wanted and allowance.covers_one():
        allowance.frames -= 1
        count += 1
    return count


class TestAllowance:
    def test_two_seconds_worth_may_come_at_once_and_then_one_at_a_time(self, make_clock):
        clock = make_clock()
        allowance = Allowance(pace(4), clock)
        assert taken(allowance, 100) == 8
        clock.now = 0.25
        assert taken(allowance, 100) == 1
        clock.now = 1_000.0
        assert taken(allowance, 100) == 8

    def test_a_rate_below_one_a_second_lets_one_pass_and_says_how_long_the_next_waits(self, make_clock):
        clock = make_clock()
        allowance = Allowance(pace(1 / 60), clock)
        assert (allowance.wait, taken(allowance, 2)) == (0, 1)
        assert allowance.wait == pytest.approx(60)
        clock.now = 45.0
        allowance.fill()
        assert allowance.wait == pytest.approx(15)

    def test_bytes_become_a_debt_that_is_paid_off_before_the_next_frame(self, make_clock):
        clock = make_clock()
        allowance = Allowance(pace(1_000, 2 * MEBIBYTE), clock)
        allowance.bytes -= 5 * MEBIBYTE
        assert (taken(allowance, 1), allowance.wait) == (0, pytest.approx(0.5))
        clock.now = 0.5
        assert taken(allowance, 1) == 1

    def test_the_largest_message_comes_whole_however_low_the_rate_of_bytes(self, make_clock):
        allowance = Allowance(pace(1_000, 1_024), make_clock())
        allowance.bytes -= MEBIBYTE
        assert taken(allowance, 1) == 1

    def test_work_becomes_a_debt_likewise(self, make_clock):
        clock = make_clock()
        allowance = Allowance(pace(1_000), clock)
        allowance.seconds -= MOST_SECONDS + 0.05
        assert (taken(allowance, 1), allowance.wait) == (0, pytest.approx(0.05 / SHARE))
        clock.now = 0.05 / SHARE + 0.001
        assert taken(allowance, 1) == 1

    @given(st.floats(0.01, 1e4), st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50)), max_size=40))
    def test_no_stretch_of_time_sees_more_than_its_share_and_one_burst(self, make_clock, rate, steps):
        clock = make_clock()
        allowance = Allowance(pace(rate), clock)
        all_taken = [(0.0, 0)]
        for pause, wanted in steps:
            clock.now += pause
            all_taken.append((clock.now, taken(allowance, wanted)))
        for first in range(len(all_taken)):
            total = 0
            for when, count in all_taken[first:]:
                total += count
                assert total <= max(1, 2 * rate) + rate * (when - all_taken[first][0]) + 1e-6

    @pytest.mark.parametrize(
        ("rate", "expected"),
        [
            (RateConfig(), Pace(1_000, 8 * MEBIBYTE, MEBIBYTE)),
            (RateConfig(0, 0), None),
            (RateConfig(0, 10), Pace(UNREACHED, 10, MEBIBYTE)),
            (RateConfig(10, 0), Pace(10, UNREACHED, MEBIBYTE)),
        ],
        ids=str,
    )
    def test_a_pace_bounds_what_the_limits_bound(self, rate, expected):
        assert pace_of(LimitsConfig(rate=rate)) == expected


@pytest.fixture
async def app():
    async with serve(APP, plugins={"gate": PLUGIN}) as running:
        yield running


@pytest.fixture
def paced(app, make_clock):
    """Give the server's side of a client, by a clock of the test's own (white-box: servers have the loop's)."""

    def find(client, frames=10):
        (connection,) = (each for each in app.server._sockets.connections if each._client.id == client.id)
        clock = make_clock()
        connection._clockwork = dataclasses.replace(
            connection._clockwork, call_later=clock.call_later, work=lambda: clock.now
        )
        connection._allowance = Allowance(pace(frames), clock)
        return connection, clock

    return find


@pytest.fixture
async def settled(app, make_clock):
    """Wait until the server has read what was sent before, by a round trip of another client, who may well send."""
    async with app.connect("/echo") as other:

        async def wait():
            connections = {each._client.id: each for each in app.server._sockets.connections}
            connections[other.id]._allowance = None
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
        clock.advance(1)
        assert await received(client, 10) == texts(range(20, 30))
        client.socket.transport.write(messages(range(70, 80)))
        await settled()
        for first in range(30, 80, 10):
            assert connection.suspended
            clock.advance(1)
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
        connection._allowance = Allowance(pace(1_000), clock)
        client.socket.transport.write(messages(range(3_000)))
        assert await received(client, 2_000) == texts(range(2_000))
        await settled()
        assert [handle.at for handle in clock.later] == [SHORTEST_PAUSE]
        clock.advance(SHORTEST_PAUSE * 1.001)
        assert await received(client, 20) == texts(range(2_000, 2_020))
        clock.advance(2)
        assert await received(client, 980) == texts(range(2_020, 3_000))


@pytest.mark.parametrize("kind", [PING, PONG])
async def test_pings_and_pongs_count_as_messages_do_and_a_close_frame_comes_behind_what_waits(
    app, paced, settled, kind
):
    async with app.connect("/echo") as client:
        connection, clock = paced(client)
        client.socket.transport.write(frame(kind) * 15 + messages(range(10)) + frame(CLOSE, b"\x03\xe8"))
        assert await received(client, 5) == texts(range(5))
        await settled()
        assert connection.suspended
        clock.advance(0.5)
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
        clock.advance(0.5)
        assert await received(client, 5) == texts(range(20, 25))
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1002


async def test_the_rate_and_a_handler_that_is_behind_pause_in_turn(app, paced, settled):
    async with app.connect("/waits", ping_interval=None) as client, app.connect("/go") as go:
        connection, clock = paced(client)
        connection._allowance = Allowance(pace(5), clock)
        client.socket.transport.write(messages(range(40)))
        await settled()
        assert (connection._pauses, len(clock.later)) == (RATE, 1)
        clock.advance(2)  # one is at work and 16 wait
        assert (connection._pauses, len(clock.later)) == (BACKLOG, 0)
        clock.advance(10)  # tokens are no reason to read while the handler is behind
        assert connection._pauses == BACKLOG
        await go.send("go on")
        assert await received(client, 27) == texts(range(27))
        await settled()
        assert (connection._pauses, len(clock.later)) == (RATE, 1)
        for first in (27, 37):
            clock.advance(2)
            assert await received(client, min(10, 40 - first)) == texts(range(first, min(first + 10, 40)))
        assert not connection.suspended


async def test_a_slow_rate_does_not_keep_a_closed_client_from_saying_goodbye(app, paced, settled):
    async with app.connect("/log") as log, app.connect("/kick") as client:
        connection, clock = paced(client)
        connection._allowance = Allowance(pace(1 / 3600), clock)
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
        assert not app.server.inspect().closing


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
    ("limits", "expected"),
    [
        ("{}", Pace(1_000, 8 * MEBIBYTE, MEBIBYTE)),
        ("{rate: 0}", None),
        ("{rate: 60/m}", Pace(1, 8 * MEBIBYTE, MEBIBYTE)),
        ("{rate: {bytes: 64KiB/s}, message: 2MiB}", Pace(1_000, 65_536, 2 * MEBIBYTE)),
    ],
)
async def test_a_connection_has_the_pace_of_the_limits_and_nothing_of_it_without_a_rate(limits, expected):
    app = f"endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]\nlimits: {limits}"
    async with serve(app) as running, running.connect("/"):
        (connection,) = running.server._sockets.connections
        assert (connection._allowance and connection._allowance._pace) == expected


async def test_parts_of_a_message_that_never_ends_are_counted_as_frames(app, paced, settled):
    async with app.connect("/echo", ping_interval=None) as client:
        connection, clock = paced(client)
        opening = bytes((TEXT, 0x80 | 1)) + bytes(4) + b"x"
        empty = bytes((CONTINUATION, 0x80)) + bytes(4)
        client.socket.transport.write(opening + empty * 119)
        await settled()
        assert connection.suspended
        assert connection._allowance.frames == 20 - 120
        clock.advance(LONGEST_PAUSE)
        assert connection.suspended
        connection.give_up()


async def test_bytes_count_as_what_they_inflate_to(make_clock):
    text = APP.replace("protocol: ws", "protocol: ws, compression: true")
    async with serve(text) as running, running.connect("/echo", compression="deflate", ping_interval=None) as client:
        (connection,) = running.server._sockets.connections
        connection._allowance = Allowance(pace(1_000, MEBIBYTE), make_clock())
        await client.send("x" * 300_000)
        assert await client.receive() == "x" * 300_000
        assert connection._allowance.bytes == pytest.approx(2 * MEBIBYTE - 300_000, abs=2_000)


async def test_a_message_at_a_low_rate_of_bytes_comes_whole_and_the_next_one_waits(app, paced, settled):
    async with app.connect("/echo", ping_interval=None) as client:
        connection, clock = paced(client)
        connection._allowance = Allowance(Pace(1_000, 1_000, MEBIBYTE), clock)
        large = "x" * 1_000_000
        await client.send(large)
        assert await client.receive() == large
        connection._allowance.bytes = 0
        await client.send(large)
        await settled()
        clock.advance(LONGEST_PAUSE)
        assert connection.suspended
        connection.give_up()


async def test_who_works_the_server_hard_has_the_rest_handled_in_later_turns(app, paced, settled, monkeypatch):
    async with app.connect("/echo", ping_interval=None) as client:
        connection, clock = paced(client, frames=1_000)
        receive, turns, ended = connection._conversation.receive, [], connection._end_turn

        class Conversation:
            def receive(self, opcode, payload):
                clock.now += TURN_SECONDS * 1.5
                receive(opcode, payload)

        monkeypatch.setattr(type(connection), "_end_turn", lambda self: (turns.append(self), ended()))
        connection._conversation = Conversation()
        client.socket.transport.write(messages(range(8)))
        assert await received(client, 8) == texts(range(8))
        assert turns == [connection] * 8
        connection._conversation = receive.__self__


async def test_who_has_worked_the_server_too_hard_is_read_later(app, paced, settled):
    async with app.connect("/echo", ping_interval=None) as client:
        connection, clock = paced(client, frames=1_000)
        connection.charge(MOST_SECONDS + SHARE / 2)
        await client.send("late")
        await settled()
        assert connection._pauses == RATE
        clock.advance(0.49)
        assert connection._pauses == RATE
        clock.advance(0.02)
        assert await client.receive() == "late"


async def test_the_loops_own_clock_lets_a_paused_client_go_on():
    async with serve(APP.replace("10/s", "50/s")) as running, running.connect("/echo") as client:
        client.socket.transport.write(messages(range(150)))
        assert await received(client, 150) == texts(range(150))


async def test_a_rate_holds_over_tls(trusting):
    app = APP.replace("protocol: ws", "protocol: wss, self_signed: true").replace("10/s", "50/s")
    async with serve(app) as running, running.connect("/echo", ssl=trusting) as client:
        for first in range(0, 150, 10):
            client.socket.transport.write(messages(range(first, first + 10)))
            await asyncio.sleep(0)
        assert await received(client, 150) == texts(range(150))
