"""One contract, two writers: each socket gets all that it takes, and of the others it is known how much they took."""

import contextlib
import os
import socket
import subprocess
import sys
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.delivery import ring as ring_module
from signalpost.delivery.ring import PLACES, ROOM, Ring, open_writer
from signalpost.delivery.writers import GONE, OneByOne

UNTAKEN = 9_999_999  # no descriptor has this number


@pytest.fixture
def connect():
    """Make pairs of connected sockets that do not block; the first takes about 4 KB."""
    with contextlib.ExitStack() as stack:

        def make():
            near, far = socket.socketpair()
            for each in (near, far):
                stack.enter_context(each)
                each.setblocking(False)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            return near, far

        yield make


def numbers_of(*sockets):
    return array("i", [each.fileno() for each in sockets])


def read(sock):
    """Read everything that there is."""
    data = bytearray()
    with contextlib.suppress(BlockingIOError):
        while more := sock.recv(1 << 20):
            data += more
    return bytes(data)


def small_pairs(stack):
    """Open six pairs of sockets that do not block; the near ones accept some KiB."""
    pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(6)]
    for near, far in pairs:
        near.setblocking(False)
        far.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    return pairs


class TestContract:
    def test_everyone_gets_the_same_bytes_in_the_order_of_the_calls(self, writer, connect):
        pairs = [connect() for _ in range(20)]
        descriptors = numbers_of(*(near for near, _ in pairs))
        assert [writer.write(descriptors, data) for data in (b"one ", b"", b"two")] == [[], [], []]
        assert {read(far) for _, far in pairs} == {b"one two"}

    def test_nobody_is_no_error(self, writer):
        assert writer.write(numbers_of(), b"data") == []

    def test_what_a_socket_did_not_take_is_counted_and_the_others_are_written_to(self, writer, connect):
        (wide, reader), (narrow, late), (full, idle) = (connect() for _ in range(3))
        wide.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        while full.send(b"-" * 100_000, socket.MSG_DONTWAIT) == 100_000:
            pass
        data = os.urandom(20_000)
        unfinished = dict(writer.write(numbers_of(narrow, full, wide), data))
        assert read(reader) == data
        assert unfinished == {narrow.fileno(): len(got := read(late)), full.fileno(): 0}
        assert 0 < len(got) < len(data)
        assert data.startswith(got)
        assert set(read(idle)) == {ord("-")}

    def test_a_dead_socket_is_gone_and_the_others_are_written_to(self, writer, connect):
        (before, first), (dead, peer), (after, second) = (connect() for _ in range(3))
        peer.close()
        numbers = array("i", [before.fileno(), dead.fileno(), UNTAKEN, after.fileno()])
        assert sorted(writer.write(numbers, b"data")) == sorted([(dead.fileno(), GONE), (UNTAKEN, GONE)])
        assert (read(first), read(second)) == (b"data", b"data")

    def test_what_is_written_may_be_long(self, writer, connect):
        near, far = connect()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for size in (ROOM, ROOM + 1):
            data = os.urandom(size)
            assert writer.write(numbers_of(near), data) == []
            assert read(far) == data

    def test_a_closed_writer_still_writes_and_closing_twice_is_no_error(self, writer, connect):
        near, far = connect()
        writer.close()
        writer.close()
        assert writer.write(numbers_of(near), b"data") == []
        assert read(far) == b"data"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        steps=st.lists(
            st.tuples(st.sets(st.integers(0, 5)), st.integers(0, 6_000), st.sets(st.integers(0, 5))), max_size=12
        )
    )
    def test_each_socket_got_just_what_it_is_said_to_have_taken(self, writer, steps):
        with contextlib.ExitStack() as stack:
            pairs = small_pairs(stack)
            taken, got = [bytearray() for _ in pairs], [bytearray() for _ in pairs]
            for to, size, readers in steps:
                data = os.urandom(size)
                unfinished = dict(writer.write(numbers_of(*(pairs[each][0] for each in to)), data))
                for each in to:
                    taken[each] += data[: unfinished.get(pairs[each][0].fileno(), size)]
                for each in readers:
                    got[each] += read(pairs[each][1])
            for each, (_, far) in enumerate(pairs):
                got[each] += read(far)
            assert got == taken


class TestEach:
    """The contract of many audiences at once."""

    def test_everyone_gets_the_bytes_of_their_own_batch_in_the_order_of_the_calls(self, writer, connect):
        rooms = [[connect() for _ in range(count)] for count in (3, 1, 7)]
        batches = [numbers_of(*(near for near, _ in room)) for room in rooms]
        for words in ((b"a ", b"b ", b"c "), (b"", b"-", b"d" * 500), (b"e", b"f", b"g")):
            assert writer.write_each(list(zip(batches, words, strict=True))) == []
        assert [{read(far) for _, far in room} for room in rooms] == [
            {b"a e"},
            {b"b -f"},
            {b"c " + b"d" * 500 + b"g"},
        ]

    @pytest.mark.parametrize("numbers", [[], [[]], [[], []]])
    def test_nobody_is_no_error(self, writer, numbers):
        assert writer.write_each([(array("i", each), b"data") for each in numbers]) == []

    def test_what_is_written_to_all_afterwards_is_what_all_get(self, writer, connect):
        pairs = [connect() for _ in range(5)]
        alone = [numbers_of(near) for near, _ in pairs]
        assert writer.write_each([(number, b"%d " % at) for at, number in enumerate(alone)]) == []
        assert writer.write(numbers_of(*(near for near, _ in pairs)), b"all") == []
        assert [read(far) for _, far in pairs] == [b"%d all" % at for at in range(5)]

    def test_of_those_that_did_not_take_all_it_is_told_how_much(self, writer, connect):
        (first, one), (narrow, late), (full, _), (dead, gone), (last, two) = (connect() for _ in range(5))
        while full.send(b"-" * 100_000, socket.MSG_DONTWAIT) == 100_000:
            pass
        gone.close()
        data = os.urandom(20_000)
        batches = [
            (numbers_of(first, full), b"data"),
            (numbers_of(narrow), data),
            (array("i", [dead.fileno(), UNTAKEN]), b"more"),
            (numbers_of(last), b"last"),
        ]
        left = dict(writer.write_each(batches))
        assert (read(one), read(two)) == (b"data", b"last")
        got = read(late)
        assert left == {full.fileno(): 0, narrow.fileno(): len(got), dead.fileno(): GONE, UNTAKEN: GONE}
        assert 0 < len(got) < len(data)
        assert data.startswith(got)

    def test_batches_may_be_more_than_fit_in_one_call(self, writer, connect):
        pairs = [connect() for _ in range(5)]
        for near, _ in pairs:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        written = [os.urandom(size) for size in (ROOM - 5, 6, ROOM + 1, 4, ROOM)]
        batches = [(numbers_of(near), data) for (near, _), data in zip(pairs, written, strict=True)]
        assert writer.write_each(batches) == []
        assert [read(far) for _, far in pairs] == written

    def test_a_closed_writer_still_writes(self, writer, connect):
        pairs = [connect() for _ in range(2)]
        writer.close()
        assert writer.write_each([(numbers_of(near), b"data") for near, _ in pairs]) == []
        assert [read(far) for _, far in pairs] == [b"data"] * 2

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        steps=st.lists(
            st.tuples(st.lists(st.sampled_from("abc-"), min_size=6, max_size=6), st.integers(0, 6_000), st.booleans()),
            max_size=12,
        )
    )
    def test_each_socket_got_just_what_it_is_said_to_have_taken(self, writer, steps):
        with contextlib.ExitStack() as stack:
            pairs = small_pairs(stack)
            taken, got = [bytearray() for _ in pairs], [bytearray() for _ in pairs]
            for rooms, size, reads in steps:
                data = {room: os.urandom(size // at) for at, room in enumerate("abc", 1)}
                to = {
                    room: [pair[0] for pair, where in zip(pairs, rooms, strict=True) if where == room] for room in data
                }
                left = dict(writer.write_each([(numbers_of(*to[room]), data[room]) for room in data]))
                for each, (near, _) in enumerate(pairs):
                    if rooms[each] in data:
                        own = data[rooms[each]]
                        taken[each] += own[: left.get(near.fileno(), len(own))]
                for each, (_, far) in enumerate(pairs):
                    if reads:
                        got[each] += read(far)
            for each, (_, far) in enumerate(pairs):
                got[each] += read(far)
            assert got == taken


class TestRing:
    @pytest.mark.parametrize("together", [1, 2, 3, 8, 9])
    def test_many_audiences_go_round_as_often_as_they_must(self, connect, together):
        ring = Ring(places=8)
        ring.fewest = 1
        pairs = [connect() for _ in range(19)]
        dead = pairs[13]
        dead[1].close()
        batches = [
            (numbers_of(*(near for near, _ in pairs[at : at + together])), b"%d " % at)
            for at in range(0, len(pairs), together)
        ]
        for _ in range(5):
            assert ring.write_each(batches) == [(dead[0].fileno(), GONE)]
            assert ring.write(numbers_of(*(near for near, _ in pairs)), b"all") == [(dead[0].fileno(), GONE)]
            for at, (_, far) in enumerate(pairs):
                if far is not dead[1]:
                    assert read(far) == b"%d all" % (at - at % together)
        ring.close()

    def test_many_audiences_are_one_system_call(self, ring, connect, monkeypatch):
        pairs = [connect() for _ in range(12)]
        enter, calls = ring._syscall, []

        def counted(*arguments):
            calls.append(arguments[2])
            return enter(*arguments)

        monkeypatch.setattr(ring, "_syscall", counted)
        assert ring.write_each([(numbers_of(near), b"%d" % at) for at, (near, _) in enumerate(pairs)]) == []
        assert calls == [12]
        assert [read(far) for _, far in pairs] == [b"%d" % at for at in range(12)]

    @pytest.mark.parametrize("accepted", [-1, 0, 2])
    def test_what_the_kernel_does_not_submit_of_many_audiences_is_written_too(
        self, ring, connect, monkeypatch, accepted
    ):
        pairs = [connect() for _ in range(5)]
        enter = ring._syscall

        def short_of_memory(number, descriptor, count, *others):
            return enter(number, descriptor, min(count, accepted), *others) if accepted > 0 else accepted

        batches = [(numbers_of(near), b"%d " % at) for at, (near, _) in enumerate(pairs)]
        monkeypatch.setattr(ring, "_syscall", short_of_memory)
        assert ring.write_each(batches) == []
        monkeypatch.setattr(ring, "_syscall", enter)
        assert ring.write(numbers_of(*(near for near, _ in pairs)), b"all ") == []
        assert ring.write_each(batches) == []
        assert [read(far) for _, far in pairs] == [b"%d all %d " % (at, at) for at in range(5)]

    def test_a_ring_goes_round_as_often_as_it_must(self, connect):
        ring = Ring(places=8)
        ring.fewest = 1
        pairs = [connect() for _ in range(21)]
        numbers = numbers_of(*(near for near, _ in pairs))
        dead = pairs[17]
        dead[1].close()
        for _ in range(9):
            assert ring.write(numbers, b"data") == [(dead[0].fileno(), GONE)]
            assert {read(far) for _, far in pairs if far is not dead[1]} == {b"data"}
        ring.close()

    def test_heads_and_tails_begin_again_after_the_last_number(self, ring, monkeypatch):
        # Four thousand million writes later; the kernel counts on from where it is, so only our side can be looked at.
        ring._tail = 0xFFFFFFFF
        monkeypatch.setattr(ring, "_syscall", lambda *_: 1)
        assert ring._submit(array("i", [UNTAKEN]), [], array("i", [1])) == 1
        assert (ring._tail, ring._words[ring._tail_at]) == (0, 0)

    @pytest.mark.parametrize("accepted", [-1, 0, 2])
    def test_what_the_kernel_does_not_submit_is_written_one_by_one(self, ring, connect, monkeypatch, accepted):
        pairs = [connect() for _ in range(5)]
        numbers = numbers_of(*(near for near, _ in pairs))
        enter = ring._syscall

        def short_of_memory(number, descriptor, count, *others):
            return enter(number, descriptor, min(count, accepted), *others) if accepted > 0 else accepted

        monkeypatch.setattr(ring, "_syscall", short_of_memory)
        assert ring.write(numbers, b"one ") == []
        monkeypatch.setattr(ring, "_syscall", enter)
        assert ring.write(numbers, b"two") == []
        assert [read(far) for _, far in pairs] == [b"one two"] * 5

    def test_few_clients_are_not_worth_a_ring(self, connect, monkeypatch):
        ring = Ring()
        near, far = connect()
        monkeypatch.setattr(ring, "_syscall", None)
        assert ring.write(numbers_of(near), b"data") == []
        assert read(far) == b"data"
        ring.close()

    def test_more_than_all_places_are_written_to(self, ring, connect):
        near, far = connect()
        # The same socket many times over: a contract that no hub needs, and enough to count.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        written = ring.write(numbers_of(near) * (PLACES + 5), b"x")
        assert len(read(far)) == PLACES + 5 - len(written)

    def test_a_ring_gives_its_descriptors_back(self, count_descriptors):
        before = count_descriptors()
        ring = Ring()
        assert count_descriptors() > before
        ring.close()
        assert count_descriptors() == before


@pytest.mark.usefixtures("ring")  # skips where there is none
class TestOpening:
    def test_a_ring_is_opened_where_the_kernel_lets_us(self):
        writer = open_writer()
        assert isinstance(writer, Ring)
        writer.close()

    def test_without_a_ring_the_log_says_why_and_writing_goes_on(self):
        code = (
            "import logging, resource; from array import array\n"
            "logging.basicConfig(level='DEBUG', format='%(message)s')\n"
            "from signalpost.delivery.ring import open_writer\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
            "writer = open_writer(); print(type(writer).__name__, writer.write(array('i', [1]), b'written\\n'))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "written\nOneByOne []\n"
        assert done.stderr == "broadcasts are written client by client: no io_uring (Too many open files)\n"

    def test_a_kernel_that_does_not_tell_how_much_was_written_is_not_trusted(self, monkeypatch, caplog):
        caplog.set_level("DEBUG")
        monkeypatch.setattr(ring_module, "_HOW", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)  # as before Linux 5.19
        assert isinstance(open_writer(), OneByOne)
        assert "io_uring does not tell how much was written" in caplog.text
