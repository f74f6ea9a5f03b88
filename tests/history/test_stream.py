"""One stream: what is kept of it, which positions in it are believed, and what is read behind them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.config.model import HistoryConfig
from signalpost.history.position import NO_ID, Position
from signalpost.history.stream import ENTRY, STREAM, Entry, Stream, Why


def make(keep=5, seconds=60.0, values=0):
    stream = Stream("/chat", HistoryConfig(keep, seconds))
    for number in range(1, values + 1):
        stream.append(entry(number))
    return stream


def entry(number, at=0.0, data=b"x"):
    return Entry(data, is_text=True, left_out=None, id=100 + number, kept_at=at)


def offsets(stream, after=0):
    return [offset for offset, _ in stream.after(after)]


class TestKept:
    def test_the_newest_are_kept_and_offsets_have_no_holes(self):
        stream = make(keep=3, values=10)
        assert offsets(stream) == [8, 9, 10]
        assert (len(stream), stream.first, stream.top) == (3, 8, 10)
        assert [found.id for _, found in stream.after(0)] == [108, 109, 110]

    def test_a_value_is_kept_for_exactly_its_time(self):
        stream = make(seconds=10.0)
        stream.append(entry(1, at=0.0))
        stream.append(entry(2, at=5.0))
        stream.expire(10.0)
        assert offsets(stream) == [1, 2]
        stream.expire(10.001)
        assert offsets(stream) == [2]

    def test_a_new_value_removes_what_is_too_old(self):
        stream = make(seconds=10.0)
        for number in range(1, 4):
            stream.append(entry(number, at=float(number)))
        stream.append(entry(4, at=12.5))
        assert offsets(stream) == [3, 4]

    def test_offset_and_last_id_outlive_the_entries(self):
        stream = make(seconds=10.0, values=3)
        at = stream.at
        stream.expire(1_000.0)
        assert not len(stream)
        assert stream.at == at
        assert stream.doubt(at) is None
        stream.append(entry(4, at=1_000.0))
        assert offsets(stream) == [4]
        assert stream.doubt(at) is None, "the next one names it"

    @given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["append", "expire", "oldest", "trim"]))))
    def test_the_size_is_that_of_what_is_kept_whatever_happens(self, steps):
        stream, now = make(keep=4, seconds=20.0), 0.0
        size = stream.size
        for wait, what in steps:
            now += wait
            match what:
                case "append":
                    size += stream.append(entry(stream.top + 1, at=now, data=b"x" * wait))
                case "expire":
                    size += stream.expire(now)
                case "oldest" if len(stream):
                    size += stream.remove_oldest()
                case "trim":
                    stream.config = HistoryConfig(2, 20.0)
                    size += stream.trim()
            kept = [found for _, found in stream.after(0)]
            assert stream.size == size == STREAM + len("/chat") + sum(ENTRY + len(each.data) for each in kept)
            assert len(kept) == len(stream) <= 4
            assert offsets(stream) == [*range(stream.first, stream.top + 1)]

    def test_a_restored_stream_goes_on_where_it_was(self):
        old = make(keep=3, values=10)
        new = make(keep=3)
        new.restore(old.at, old.before, [found for _, found in old.after(0)])
        assert new.at == old.at
        assert offsets(new) == offsets(old)
        for offset in range(7, 11):
            assert new.doubt(old.position(offset)) is None
        new.append(entry(11))
        assert offsets(new) == [9, 10, 11]


class TestBelieved:
    def test_every_kept_position_is_believed_and_the_one_before_the_oldest(self):
        stream = make(keep=3, values=10)
        assert [stream.doubt(stream.position(offset)) for offset in range(7, 11)] == [None] * 4

    @pytest.mark.parametrize("offset", range(7, 11))
    @pytest.mark.parametrize("bit", range(20))
    def test_a_position_with_another_id_is_lost(self, offset, bit):
        stream = make(keep=3, values=10)
        epoch, offset, found = stream.position(offset)
        assert stream.doubt(Position(epoch, offset, found ^ 1 << bit)) is Why.LOST

    @pytest.mark.parametrize("offset", [0, 1, 5, 7, 10])
    def test_a_position_of_another_epoch_is_lost(self, offset):
        stream = make(keep=3, values=10)
        assert stream.doubt(Position("zzzzzz", offset, 100 + offset)) is Why.LOST

    @pytest.mark.parametrize("offset", [11, 12, 10**17])
    def test_a_position_of_the_future_is_lost(self, offset):
        stream = make(keep=3, values=10)
        assert stream.doubt(Position(stream.epoch, offset, 100 + offset)) is Why.LOST

    @pytest.mark.parametrize("offset", [0, 1, 6])
    def test_a_position_before_what_is_kept_is_too_old(self, offset):
        stream = make(keep=3, values=10)
        assert stream.doubt(Position(stream.epoch, offset, 100 + offset)) is Why.TOO_OLD

    def test_a_position_before_the_first_value_is_believed_while_the_first_is_kept(self):
        stream = make(keep=3)
        begin = stream.at
        assert begin == (stream.epoch, 0, NO_ID)
        for number in range(1, 4):
            stream.append(entry(number))
            assert stream.doubt(begin) is None
        stream.append(entry(4))
        assert stream.doubt(begin) is Why.TOO_OLD

    def test_a_position_of_a_timeline_that_was_lost_is_not_believed(self):
        """The server went back by three values, and gave their offsets to others, in the same epoch."""
        lost = make(keep=9, values=8)
        again = make(keep=9)
        again.restore(lost.position(5), NO_ID, [found for offset, found in lost.after(0) if offset <= 5])
        for number in range(6, 10):
            again.append(entry(number)._replace(id=200 + number))
        assert [again.doubt(lost.position(offset)) for offset in range(9)] == [None] * 6 + [Why.LOST] * 3

    def test_after_a_break_no_position_is_believed(self):
        stream = make(values=3)
        known = [stream.position(offset) for offset in range(4)]
        stream.break_off()
        assert [stream.doubt(position) for position in known] == [Why.LOST] * 4
        assert offsets(stream) == [1, 2, 3], "what was kept is still there for replay"


class TestAfter:
    @given(st.integers(0, 90), st.integers(1, 40), st.integers(0, 100))
    def test_what_is_behind_an_offset_is_all_of_it_in_order(self, values, keep, after):
        stream = make(keep=keep, values=values)
        first = max(1, values - keep + 1)
        assert offsets(stream, after) == [*range(max(first, after + 1), values + 1)]
        for offset, found in stream.after(after):
            assert found.id == 100 + offset
            assert stream.entry(offset) is found

    def test_an_entry_that_is_not_kept_is_none(self):
        stream = make(keep=3, values=10)
        assert [stream.entry(offset) for offset in (-1, 0, 7, 11)] == [None] * 4
