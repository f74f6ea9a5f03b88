"""All streams of a node: what has a history, what is removed when memory is short, and what a reload changes."""

import pytest

from signalpost.config.model import HistoryConfig
from signalpost.history.position import Position
from signalpost.history.stream import STREAM, Stream, Why
from signalpost.history.streams import HEAD_SECONDS, SWEPT_AT_ONCE, Streams

MINUTE = 60.0


@pytest.fixture
def clock(make_clock):
    return make_clock(1_000.0)


@pytest.fixture
def make(clock):
    """Make streams: paths below /none have no history."""

    def make(limit=1_000_000, keep=5, seconds=MINUTE):
        streams = Streams(clock, limit)
        configure(streams, limit, keep, seconds)
        return streams

    return make


def configure(streams, limit=1_000_000, keep=5, seconds=MINUTE, without="/none"):
    config = HistoryConfig(keep, seconds)
    streams.configure(lambda place: None if place.startswith(without) else config, limit)


def send(streams, path, value=b"x", left_out=None):
    return streams.append(streams.stream(path), value, is_text=True, left_out=left_out)


def kept(streams, path):
    stream = streams.find(path)
    return None if stream is None else [entry.data for _, entry in stream.after(0)]


def size_of(streams):
    return sum(stream.size for stream in streams)


class TestKept:
    def test_a_path_without_history_has_no_stream(self, make):
        streams = make()
        assert streams.stream("/none/a") is streams.find("/none/a") is streams.follow("/none/a") is None
        assert not len(streams)

    def test_nothing_is_found_where_nothing_was_sent(self, make):
        streams = make()
        assert streams.find("/a") is None
        assert send(streams, "/a") == streams.find("/a").at

    def test_each_path_counts_for_itself(self, make):
        streams = make(keep=2)
        positions = [send(streams, path, path.encode() * n) for n in (1, 2, 3) for path in ("/a", "/b")]
        assert [position.offset for position in positions] == [1, 1, 2, 2, 3, 3]
        assert kept(streams, "/a") == [b"/a/a", b"/a/a/a"]
        assert kept(streams, "/b") == [b"/b/b", b"/b/b/b"]
        assert positions[0].epoch != positions[1].epoch
        assert len({position.id for position in positions}) == 6

    def test_none_is_older_than_its_time_by_the_clock(self, make, clock):
        streams = make()
        send(streams, "/a", b"1")
        clock.advance(MINUTE)
        send(streams, "/a", b"2")
        assert kept(streams, "/a") == [b"1", b"2"]
        clock.advance(0.5)
        streams.expire(streams.find("/a"))
        assert kept(streams, "/a") == [b"2"]

    def test_the_sweep_removes_what_is_too_old_of_paths_that_nobody_uses(self, make, clock):
        streams = make()
        for number in range(SWEPT_AT_ONCE + 10):
            send(streams, f"/{number}")
        full = streams.size
        clock.advance(MINUTE + 1)
        for _ in range(3):
            streams.sweep()
        assert streams.entries == 0
        assert len(streams) == SWEPT_AT_ONCE + 10, "their offsets are known still"
        assert full > streams.size == size_of(streams)


class TestHeads:
    def test_the_position_of_a_quiet_path_is_believed_for_a_day(self, make, clock):
        streams = make()
        at = send(streams, "/a")
        clock.advance(HEAD_SECONDS - 1)
        for _ in range(3):
            streams.sweep()
        assert kept(streams, "/a") == []
        assert streams.find("/a").doubt(at) is None
        assert send(streams, "/a").offset == 2
        assert streams.find("/a").doubt(at) is None

    def test_after_a_day_it_comes_back_with_another_epoch(self, make, clock):
        streams = make()
        at = send(streams, "/a")
        clock.advance(HEAD_SECONDS + 1)
        for _ in range(3):
            streams.sweep()
        assert streams.find("/a") is None
        assert streams.size == 0
        assert send(streams, "/a").epoch != at.epoch
        assert streams.find("/a").doubt(at) is Why.LOST

    def test_it_is_known_for_as_long_as_its_values_if_that_is_longer(self, make, clock):
        streams = make(seconds=3 * HEAD_SECONDS)
        at = send(streams, "/a")
        clock.advance(3 * HEAD_SECONDS - 1)
        for _ in range(3):
            streams.sweep()
        assert kept(streams, "/a") == [b"x"]
        assert streams.find("/a").doubt(at) is None

    def test_a_path_with_clients_is_known_for_as_long_as_they_stay(self, make, clock):
        streams = make()
        stream = streams.follow("/a")
        at = send(streams, "/a")
        for _ in range(5):
            clock.advance(HEAD_SECONDS)
            streams.sweep()
        assert streams.find("/a") is stream
        assert stream.doubt(at) is None
        streams.unfollow(stream)
        clock.advance(HEAD_SECONDS - 1)
        for _ in range(3):
            streams.sweep()
        assert streams.find("/a") is stream, "a day from when the last one left"

    def test_a_head_counts_in_the_limit(self, make):
        streams = make()
        streams.stream("/a")
        assert streams.size == STREAM + 2


class TestMemory:
    def test_values_of_paths_without_clients_go_first_then_their_heads_then_the_oldest_of_the_largest(self, make):
        streams = make(limit=20_000, keep=1_000)
        large, small = streams.follow("/large"), streams.follow("/small")
        unread = send(streams, "/unread", b"u" * 2_000)
        for _ in range(8):
            send(streams, "/large", b"l" * 1_000)
        for _ in range(2):
            send(streams, "/small", b"s" * 1_000)
        assert len(kept(streams, "/unread")) == 1
        while kept(streams, "/unread"):
            send(streams, "/large", b"l" * 1_000)
        assert streams.find("/unread").doubt(unread) is None, "its values have gone, and not yet its head"
        lengths = len(large), len(small)
        assert large.first == small.first == 1
        while streams.find("/unread") is not None:
            send(streams, "/large", b"l" * 1_000)
        assert large.first == small.first == 1
        assert len(small) == lengths[1]
        while large.first == 1:
            send(streams, "/large", b"l" * 1_000)
        assert small.first == 1, "the largest gives"
        assert streams.size <= streams.limit

    def test_a_stream_that_was_thrown_out_comes_back_with_another_epoch(self, make):
        streams = make(limit=5_000)
        at = send(streams, "/a")
        streams.follow("/full")
        for _ in range(5):
            send(streams, "/full", b"x" * 900)
        assert streams.find("/a") is None
        stream = streams.follow("/a")
        assert stream.doubt(at) is Why.LOST
        assert stream.at.epoch != at.epoch

    def test_a_flood_of_new_paths_never_exceeds_the_limit(self, make):
        streams = make(limit=100_000)
        watched = streams.follow("/watched")
        at = send(streams, "/watched", b"w" * 100)
        for number in range(2_000):
            send(streams, f"/{number}", b"x" * (number % 700))
            assert streams.size <= streams.limit
        assert streams.size == size_of(streams)
        assert kept(streams, "/watched") == [b"w" * 100], "a path with clients gives nothing to those without"
        assert watched.doubt(at) is None

    def test_the_longest_path_counts_with_its_length(self, make):
        streams = make(limit=100_000)
        for number in range(50):
            send(streams, f"/{number}{'x' * 30_000}")
            assert streams.size <= streams.limit
        assert len(streams) <= 3

    def test_a_value_larger_than_the_limit_is_not_kept_and_its_position_is_good(self, make):
        streams = make(limit=5_000)
        stream = streams.follow("/a")
        send(streams, "/a", b"1")
        at = send(streams, "/a", b"x" * 10_000)
        assert at == stream.at
        assert stream.doubt(at) is None
        assert streams.size <= streams.limit

    def test_a_value_to_a_new_path_is_taken_though_paths_with_clients_have_all_the_memory(self, make):
        streams = make(limit=4_000, keep=100)
        streams.follow("/full")
        for _ in range(30):
            send(streams, "/full", b"x" * 100)
        at = send(streams, "/new")
        assert at.offset == 1
        assert streams.size <= streams.limit

    def test_a_client_on_a_new_path_follows_the_stream_that_values_go_to_though_memory_is_full(self, make):
        streams = make(limit=4_000, keep=100)
        streams.follow("/full")
        for _ in range(30):
            send(streams, "/full", b"x" * 100)
        stream = streams.follow("/new")
        assert streams.stream("/new") is stream
        send(streams, "/new", b"y")
        assert stream.top == 1

    def test_a_limit_for_less_than_one_head_keeps_nothing_and_fails_nowhere(self, make):
        streams = make(limit=10)
        assert send(streams, "/a").offset == 1
        assert send(streams, "/b").offset == 1
        stream = streams.follow("/a")
        send(streams, "/a")
        assert stream is streams.find("/a")
        assert not len(stream)

    def test_a_lower_limit_is_kept_at_once(self, make):
        streams = make(limit=100_000, keep=100)
        for number in range(20):
            for _ in range(4):
                send(streams, f"/{number}", b"x" * 500)
        configure(streams, limit=20_000, keep=100)
        assert streams.size <= 20_000


class TestAnotherPlan:
    def test_a_history_that_was_removed_is_forgotten_and_begins_with_another_epoch(self, make):
        streams = make()
        at = send(streams, "/a")
        stream = streams.find("/a")
        configure(streams, without="/a")
        assert streams.find("/a") is streams.stream("/a") is None
        assert stream.doubt(at) is Why.LOST, "clients that still have it are told"
        configure(streams)
        assert streams.stream("/a").doubt(at) is Why.LOST
        assert streams.size == size_of(streams)

    def test_fewer_values_are_kept_from_the_next_use_on(self, make):
        streams = make(keep=5)
        positions = [send(streams, "/a", b"%d" % n) for n in range(5)]
        configure(streams, keep=2)
        assert kept(streams, "/a") == [b"3", b"4"]
        assert streams.find("/a").doubt(positions[2]) is None
        assert streams.find("/a").doubt(positions[1]) is Why.TOO_OLD
        assert streams.size == size_of(streams)

    def test_a_shorter_time_holds_from_the_next_use_on(self, make, clock):
        streams = make()
        send(streams, "/a")
        clock.advance(10)
        configure(streams, seconds=5.0)
        stream = streams.find("/a")
        streams.expire(stream)
        assert not len(stream)

    def test_a_path_that_had_no_history_has_one_now(self, make):
        streams = make()
        assert streams.stream("/none/a") is None
        configure(streams, without="/nothing")
        assert send(streams, "/none/a").offset == 1

    def test_the_sweep_forgets_removed_histories_that_nobody_uses(self, make):
        streams = make()
        for number in range(10):
            send(streams, f"/a/{number}")
        configure(streams, without="/a")
        for _ in range(3):
            streams.sweep()
        assert (len(streams), streams.size) == (0, 0)


def test_a_restored_stream_keeps_no_more_than_the_plan_of_now_says(make):
    old, streams = make(keep=50), make(keep=3)
    for number in range(50):
        send(old, "/a", b"%d" % number)
    before = old.find("/a")
    restored = Stream("/a", HistoryConfig(3))
    restored.restore(before.at, before.before, [entry for _, entry in before.after(0)])
    streams.restore([restored])
    assert kept(streams, "/a") == [b"47", b"48", b"49"]
    send(streams, "/a", b"50")
    assert kept(streams, "/a") == [b"48", b"49", b"50"]
    assert streams.size == size_of(streams)


def test_what_leaves_a_session_out_is_kept_with_it(make):
    streams = make()
    send(streams, "/a", b"1", left_out="s")
    assert [entry.left_out for _, entry in streams.find("/a").after(0)] == ["s"]


def test_a_position_names_the_value_that_it_is_behind(make):
    streams = make()
    positions = [send(streams, "/a") for _ in range(3)]
    stream = streams.find("/a")
    assert [stream.position(offset) for offset in (1, 2, 3)] == positions
    assert all(isinstance(position, Position) for position in positions)
