"""An outbox against the policies in their plainest words: a list that is gone through from the front, every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.config.model import LatestBy, SlowPolicy
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.outbox import CHUNK, Fate, LossyOutbox, WholeOutbox, open_outbox
from signalpost.delivery.publication import NO_PATH, Publication, slot_of
from signalpost.websocket.frames import Opcode, encode_frame

LOSSY = (SlowPolicy.DROP_OLDEST, SlowPolicy.LATEST)
ROOM = 1_000
GAP = "gap"


class Plainly:
    """What the policies say. Frames are (path, data), gaps are (GAP, None), one for each value that is missing."""

    def __init__(self, policy, told):
        self.latest = policy is SlowPolicy.LATEST
        self.told = told
        self.queue = []

    @property
    def size(self):
        return sum(len(data) for path, data in self.queue if path is not GAP)

    @property
    def values(self):
        return [place for place, (path, _) in enumerate(self.queue) if path is not None and path is not GAP]

    def append(self, data, path):
        self.queue.append((path, data))

    def apply_policy(self, room):
        queue, self.queue = self.queue, []
        for path, data in queue:
            if path is GAP:
                self.queue.append((path, data))
            elif self.offer(data, path, room) is Fate.TOO_SLOW:
                self.append(data, path)

    def offer(self, data, path, room):
        if self.latest and path is not None:
            self.queue = [(GAP, None) if each[0] == path else each for each in self.queue]
        if sum(len(waiting) for of, waiting in self.queue if of is None) + len(data) > room:
            if path is None:
                return Fate.TOO_SLOW
            self.queue.append((GAP, None))
            return Fate.LEFT_OUT
        while self.size + len(data) > room:
            self.queue[self.values[0]] = (GAP, None)
        self.append(data, path)
        return Fate.QUEUED

    def take(self):
        chunk, missed, head = b"", 0, 0
        while self.queue:
            path, data = self.queue[0]
            if path is GAP:
                missed += 1
                self.queue.pop(0)
                continue
            more = self.notice(missed) + data
            if chunk and len(chunk) + len(more) > CHUNK:
                self.queue[:0] = [(GAP, None)] * missed
                break
            self.queue.pop(0)
            chunk += more
            head = head or len(chunk)
            missed = 0
        else:
            chunk += self.notice(missed)
            head = head or len(chunk)
        return chunk, len(chunk) - head

    def notice(self, missed):
        return V1.codec.lagged(missed) if missed and self.told else b""


paths = st.sampled_from([None, NO_PATH, "/a", "/a", "/b", "/c"])
sizes = st.sampled_from([2, 10, 100, 100, 30_000, 70_000])
rooms = st.sampled_from([0, 50, 300, 300, 300, 100_000])
frames = st.tuples(st.just("frame"), sizes, paths, rooms)
steps = st.one_of(frames, frames, frames, st.tuples(st.just("take"), sizes, paths, rooms))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("policy", LOSSY)
@settings(max_examples=150)
@given(before=st.lists(steps, max_size=20), at_first=rooms, after=st.lists(steps, max_size=80))
def test_an_outbox_holds_what_the_policy_says_for_any_sequence_of_frames_and_takes(
    policy, told, before, at_first, after
):
    outbox, plainly = LossyOutbox(policy, V1.codec.lagged if told else PLAIN.codec.lagged), Plainly(policy, told)
    count = 0
    for slow, what, size, path, room in (
        *((False, *step) for step in before),
        (True, "apply_policy", 0, None, at_first),
        *((True, *step) for step in after),
    ):
        if what == "take":
            if outbox:
                assert outbox.take() == plainly.take()
        elif what == "apply_policy":
            outbox.apply_policy(room)
            plainly.apply_policy(room)
        else:
            count += 1
            data = f"{count}".encode().ljust(size, b"-")
            if slow:
                assert outbox.offer(data, path, room) is plainly.offer(data, path, room)
            else:
                outbox.append(data, path)
                plainly.append(data, path)
        assert outbox.size == plainly.size
        assert bool(outbox) == bool(plainly.queue if told else plainly.size)
    while outbox:
        assert outbox.take() == plainly.take()
    assert not plainly.size


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("policy", LOSSY)
def test_a_client_that_never_reads_costs_what_its_frames_cost_however_many_are_left_out(policy, told):
    outbox = LossyOutbox(policy, V1.codec.lagged if told else PLAIN.codec.lagged)
    for number in range(20_000):
        assert outbox.offer(b"x" * 10, f"/{number % 100}", ROOM) is Fate.QUEUED
        assert len(outbox._queue) <= 400
    assert outbox.size == ROOM
    chunk, _ = outbox.take()
    assert chunk == (V1.codec.lagged(19_900) if told else b"") + b"x" * ROOM


class TestDropOldest:
    def test_the_oldest_values_give_way_and_what_was_owed_does_not(self):
        outbox = LossyOutbox(SlowPolicy.DROP_OLDEST, V1.codec.lagged)
        for data, path in [(b"1" * 40, "/a"), (b"error", None), (b"2" * 40, "/a"), (b"3" * 40, "/b")]:
            assert outbox.offer(data, path, 100) is Fate.QUEUED
        assert outbox.take() == (V1.codec.lagged(1) + b"error" + b"2" * 40 + b"3" * 40, 80)

    def test_a_value_that_is_more_than_the_buffer_is_left_out_alone(self):
        outbox = LossyOutbox(SlowPolicy.DROP_OLDEST, V1.codec.lagged)
        outbox.offer(b"small", "/a", 100)
        assert outbox.offer(b"x" * 101, "/a", 100) is Fate.LEFT_OUT
        assert outbox.take()[0] == b"small" + V1.codec.lagged(1)
        assert not outbox

    def test_notices_alone_make_a_client_too_slow(self):
        outbox = LossyOutbox(SlowPolicy.DROP_OLDEST, PLAIN.codec.lagged)
        assert outbox.offer(b"value" * 20, "/a", 100) is Fate.QUEUED
        assert outbox.offer(b"e" * 60, None, 100) is Fate.QUEUED
        assert outbox.offer(b"e" * 60, None, 100) is Fate.TOO_SLOW
        assert outbox.take() == (b"e" * 60, 0)


class TestLatest:
    def test_the_newest_of_each_path_remains_at_the_place_of_the_newest(self):
        outbox = LossyOutbox(SlowPolicy.LATEST, V1.codec.lagged)
        for data, path in [(b"a1", "/a"), (b"b1", "/b"), (b"x1", NO_PATH), (b"a2", "/a"), (b"x2", NO_PATH)]:
            assert outbox.offer(data, path, 100) is Fate.QUEUED
        assert outbox.take()[0] == V1.codec.lagged(1) + b"b1" + V1.codec.lagged(1) + b"a2" + b"x2"

    def test_values_of_one_turn_are_held_to_latest_once_the_client_is_slow(self):
        outbox = LossyOutbox(SlowPolicy.LATEST, PLAIN.codec.lagged)
        for number in range(5):
            outbox.append(f"a{number}".encode(), "/a")
        assert outbox.size == 10
        outbox.apply_policy(100)
        assert outbox.take() == (b"a4", 0)

    def test_an_outdated_value_goes_even_for_one_that_does_not_fit(self):
        outbox = LossyOutbox(SlowPolicy.LATEST, V1.codec.lagged)
        outbox.offer(b"old", "/a", 100)
        assert outbox.offer(b"x" * 101, "/a", 100) is Fate.LEFT_OUT
        assert outbox.take()[0] == V1.codec.lagged(2)


class TestLatestBy:
    def test_the_newest_of_each_thing_of_a_path_remains(self):
        outbox = LossyOutbox(LatestBy(("user",)), V1.codec.lagged)
        for user, x in [("ann", 1), ("bob", 1), ("ann", 2), (None, 1), ("bob", 2), (None, 2)]:
            assert outbox.offer(b"%s%d" % (str(user).encode(), x), slot("/a", user), 100) is Fate.QUEUED
        assert outbox.offer(b"elsewhere", slot("/b", "ann"), 100) is Fate.QUEUED
        assert outbox.take()[0] == V1.codec.lagged(2) + b"ann2" + V1.codec.lagged(1) + b"bob2None2elsewhere"

    def test_another_signals_key_and_the_policy_without_one_go_by_the_path(self):
        for policy in (LatestBy(("other",)), SlowPolicy.LATEST):
            outbox = LossyOutbox(policy, PLAIN.codec.lagged)
            for user in ("ann", "bob"):
                outbox.offer(user.encode(), slot("/a", user), 100)
            assert outbox.take()[0] == b"bob"

    def test_values_of_one_turn_are_held_to_the_key_once_the_client_is_slow(self):
        outbox = LossyOutbox(LatestBy(("user",)), PLAIN.codec.lagged)
        for number in range(6):
            outbox.append(f"{number}".encode(), slot("/a", number % 2))
        outbox.apply_policy(100)
        assert outbox.take()[0] == b"45"


def slot(path, user):
    return slot_of({"user": user, "x": 1}, path, {("user",)})


@pytest.mark.parametrize(
    ("value", "picked"),
    [
        ({"a": {"b": "x"}}, b'"x"'),
        ({"a": {"b": 5}}, b"5"),
        ({"a": {"b": False}}, b"false"),
        ({"a": {"b": None}}, None),
        ({"a": {"b": [1]}}, None),
        ({"a": {}}, None),
        ({"a": "b"}, None),
        ("a", None),
        ([{"a": 1}], None),
    ],
)
def test_a_value_says_what_it_is_of_by_what_stands_at_the_key(value, picked):
    assert slot_of(value, "/a", {("a", "b")}).picks.get(("a", "b")) == picked


def test_what_a_long_key_takes_is_bounded():
    one, other = (slot_of({"a": "x" * 10_000 + end}, "/a", {("a",)}).picks["a",] for end in "yz")
    assert one != other
    assert len(one) == len(other) == 32


def test_a_path_with_what_tells_it_apart_goes_out_as_the_path_or_as_none():
    for path in ("/a", None):
        assert Publication("x", slot_of("x", path, {("a",)})).encoded(V1) == Publication("x", path).encoded(V1)


def test_without_a_policy_nothing_is_left_out():
    outbox = WholeOutbox()
    outbox.append(b"first", "/a")
    outbox.apply_policy(1)
    assert outbox.offer(b"second", "/a", 11) is Fate.QUEUED
    assert outbox.offer(b"third", None, 11) is Fate.TOO_SLOW
    assert (outbox.size, outbox.take(), bool(outbox)) == (11, (b"firstsecond", 6), False)


def test_who_reads_the_envelope_is_told_and_who_reads_bare_values_is_not():
    for encoding, notice in ((V1, V1.codec.lagged(1)), (PLAIN, b"")):
        outbox = open_outbox(SlowPolicy.LATEST, encoding.codec.lagged)
        outbox.offer(b"a1", "/a", 100)
        outbox.offer(b"a2", "/a", 100)
        assert outbox.take()[0] == notice + b"a2"
    assert V1.codec.lagged(12) == encode_frame(Opcode.TEXT, b'{"lagged":{"missed":12}}')
    assert isinstance(open_outbox(SlowPolicy.DISCONNECT, V1.codec.lagged), WholeOutbox)
