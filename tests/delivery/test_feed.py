"""Clients fed from a history: what a reader reads, what waits beside it, and that both together lose nothing."""

import random

import orjson
import pytest

from signalpost.config.model import HistoryConfig, SlowPolicy
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.feed import FedOutbox, Reader, reached
from signalpost.delivery.outbox import CHUNK, Fate, WholeOutbox
from signalpost.delivery.publication import slot_of
from signalpost.delivery.target import Target
from signalpost.history.position import Position
from signalpost.history.stream import Entry, Stream, Why
from signalpost.websocket.frames import encode_close

CATCH_UP = SlowPolicy.CATCH_UP


@pytest.fixture
def stream():
    return Stream("/", HistoryConfig(1_000))


def keep(stream, *texts, left_out=None):
    """Keep values; the last one's position is given."""
    for text in texts:
        stream.append(Entry(text.encode(), True, left_out, stream.top + 7, 0.0))
    return stream.at


def slot(offset):
    slot = slot_of(None, "/", ())
    slot.position = None if offset is None else Position("4f9a1c", offset, 7)
    return slot


def payloads(data):
    """Give the payloads of a server's frames, all text; the last one may be in part."""
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 10
        yield bytes(data[start : start + size])
        data = data[start + size :]


def told(data):
    """Give what a client of v1 was told: the value of a signal, else the kind and its body."""
    frames = [orjson.loads(payload).popitem() for payload in payloads(data)]
    return [body["value"] if kind == "signal" else (kind, body) for kind, body in frames]


def reader_of(stream, offset, encoding, missed=lambda _why: None):
    return Reader(stream, offset, encoding, "s", missed)


class TestReader:
    def read_all(self, reader):
        pieces = []
        while reader:
            pieces.append(reader.read())
        return pieces

    def test_it_reads_what_is_behind_its_offset_once_with_positions(self, stream):
        keep(stream, "a", "b", "c")
        reader = reader_of(stream, 1, V1)
        assert reader
        frames = [orjson.loads(each)["signal"] for each in payloads(reader.read())]
        assert frames == [
            {"path": "/", "at": str(stream.position(offset)), "value": value} for offset, value in ((2, "b"), (3, "c"))
        ]
        assert not reader
        keep(stream, "d")
        assert told(reader.read()) == ["d"]

    def test_a_plain_client_s_reads_values_as_plain_clients_do(self, stream):
        keep(stream, "a")
        stream.append(Entry(b'{"n":1}', False, None, 9, 0.0))
        assert [*payloads(reader_of(stream, 0, PLAIN).read())] == [b"a", b'{"n":1}']

    def test_a_piece_is_no_longer_than_a_chunk_and_a_longer_value_comes_alone(self, stream):
        texts = ["a" * 30_000, "b" * 30_000, "c" * 30_000, "d" * 200_000, "e", "f"]
        keep(stream, *texts)
        pieces = self.read_all(reader_of(stream, 0, PLAIN))
        assert [len([*payloads(each)]) for each in pieces] == [2, 1, 1, 2]
        assert [text.decode() for each in pieces for text in payloads(each)] == texts
        assert all(len(each) <= CHUNK for each in pieces if len([*payloads(each)]) > 1)

    def test_a_chunk_to_the_byte_is_one_piece(self, stream):
        keep(stream, "a" * (CHUNK // 2 - 4), "b" * (CHUNK // 2 - 4), "c")
        assert [len(each) for each in self.read_all(reader_of(stream, 0, PLAIN))] == [CHUNK, 3]

    def test_what_leaves_its_session_out_is_skipped_at_both_ends_too(self, stream):
        for text, left_out in (("a", "s"), ("b", None), ("c", "s"), ("d", "t"), ("e", "s")):
            keep(stream, text, left_out=left_out)
        reader = reader_of(stream, 0, V1)
        assert told(reader.read()) == ["b", "d"]
        assert not reader, "it has read past the last one"

    def test_only_what_leaves_it_out_is_nothing_and_the_end(self, stream):
        keep(stream, *"abc", left_out="s")
        reader = reader_of(stream, 0, V1)
        assert reader.read() == b""
        assert not reader

    def test_what_has_fallen_out_is_a_gap_at_its_place(self, stream):
        keep(stream, *"abcde")
        missed = []
        reader = reader_of(stream, 1, V1, missed.append)
        stream.remove_oldest()
        assert told(reader_of(stream, 1, V1).read()) == [*"bcde"], "nothing is missing behind the first"
        stream.remove_oldest()
        gap = {"path": "/", "at": str(stream.position(2)), "why": Why.SLOW}
        assert told(reader.read()) == [("gap", gap), *"cde"]
        assert missed == [Why.SLOW]
        assert not reader

    def test_a_stream_of_which_all_has_fallen_out_is_a_gap_alone(self, stream):
        keep(stream, "a", "b")
        reader = reader_of(stream, 0, V1)
        stream.remove_oldest()
        stream.remove_oldest()
        assert told(reader.read()) == [("gap", {"path": "/", "at": str(stream.at), "why": Why.SLOW})]
        assert not reader

    def test_another_epoch_is_a_gap_even_without_values(self, stream):
        keep(stream, "a", "b")
        reader = reader_of(stream, 2, V1)
        assert not reader
        stream.break_off()
        assert reader
        assert told(reader.read()) == [("gap", {"path": "/", "at": str(stream.position(0)), "why": Why.LOST}), "a", "b"]
        assert not reader

    def test_a_plain_client_is_not_told_of_a_gap(self, stream):
        keep(stream, *"abc")
        stream.remove_oldest()
        stream.remove_oldest()
        assert [*payloads(reader_of(stream, 0, PLAIN).read())] == [b"c"]


class TestOutbox:
    @pytest.fixture
    def outbox(self, stream):
        """An outbox that is at the second value of five."""
        keep(stream, *"abcde")
        return FedOutbox(reader_of(stream, 2, V1), WholeOutbox(), behind=False)

    def test_near_all_wait_in_their_order_and_nothing_is_read(self, outbox):
        assert not outbox
        for data, path in ((b"c", slot(3)), (b"notice", None), (b"d", slot(4)), (b"value", "/"), (b"e", slot(5))):
            outbox.append(data, path)
        assert outbox.size == len(b"cnoticedvaluee")
        assert outbox.take() == (b"cnoticedvaluee", len(b"noticedvaluee"))
        assert outbox.size == 0
        assert not outbox

    def test_near_a_chunk_is_taken_at_once_and_a_longer_frame_alone(self, outbox):
        for size in (40_000, 40_000, 100_000, 1):
            outbox.append(b"x" * size, None)
        assert [len(outbox.take()[0]) for _ in range(4)] == [40_000, 40_000, 100_000, 1]
        assert not outbox

    def test_who_falls_behind_reads_again_what_waited_and_keeps_what_is_not_in_the_stream(self, outbox):
        for data, path in ((b"c", slot(3)), (b"notice", None), (b"d", slot(4)), (b"value", slot(None))):
            outbox.append(data, path)
        outbox.apply_policy(1_000)
        assert outbox.size == len(b"noticevalue")
        assert outbox.take()[0] == b"noticevalue"
        assert outbox
        assert told(outbox.take()[0]) == [*"cde"]
        assert not outbox

    def test_what_was_taken_before_it_fell_behind_is_not_read_again(self, outbox):
        outbox.append(b"c" * CHUNK, slot(3))
        outbox.append(b"d", slot(4))
        assert outbox.take()[0] == b"c" * CHUNK
        outbox.apply_policy(1_000)
        assert told(outbox.take()[0]) == ["d", "e"]

    def test_behind_a_kept_value_costs_nothing_and_all_else_is_bounded(self, outbox):
        assert outbox.offer(b"x" * 5_000, slot(6), 1_000) is Fate.QUEUED
        assert outbox.size == 0
        assert outbox.offer(b"y" * 600, None, 1_000) is Fate.QUEUED
        assert outbox.offer(b"z" * 600, None, 1_000) is Fate.TOO_SLOW
        assert outbox.size == 600
        outbox.append(b"x" * 5_000, slot(7))
        assert outbox.size == 600

    def test_at_its_end_nothing_is_read_and_a_notice_says_that_something_was_left(self, outbox):
        outbox.apply_policy(1_000)
        outbox.append(b"reply", None)
        outbox.end(b"notice")
        assert outbox.rest.take()[0] == b"replynotice"

    def test_at_its_end_what_waited_near_is_whole(self, outbox):
        outbox.append(b"c", slot(3))
        outbox.append(b"reply", None)
        outbox.end(b"notice")
        assert outbox.rest.take()[0] == b"creply"


@pytest.mark.parametrize(
    ("offsets", "index", "expected"),
    [
        ([], 0, None),
        ([None, None], 1, None),
        ([3, 4, 5], 0, 3),
        ([3, 4, 5], 2, 5),
        ([None, 4, None, 5], 0, 3),
        ([None, 4, None, 5], 1, 4),
        ([None, 4, None, 5], 2, 4),
        ([None, 4, None, 5], 3, 5),
        ([4, None], 1, 4),
    ],
)
def test_a_client_was_sent_the_last_kept_value_up_to_the_frame_that_was_written_in_part(offsets, index, expected):
    assert reached([slot(offset) for offset in offsets], index) == expected


class Path:
    """A path with a history, and a client of it.

    Attributes:
        kept: the texts of its stream.
        aside: the texts that the client was sent otherwise.

    """

    def __init__(self, world, signal, peer, stream):
        self.world = world
        self.signal = signal
        self.peer = peer
        self.stream = peer.client.stream = stream
        self.kept, self.aside = [], []

    def send(self, size=10):
        """Send a value to the path, as `signalpost.signals.memory` does."""
        publication = self.signal(f"k{len(self.kept)}", size, "/")
        self.kept.append(publication.value)
        publication.position = keep(self.stream, publication.value)
        self.world.broadcast(publication, Target(path="/"))
        self.stream.sent = self.stream.top

    def send_aside(self, size=10):
        """Send a notice to the client alone."""
        self.aside.append(f"a{len(self.aside)} ".ljust(size, "-"))
        self.peer.client.send(self.signal(self.aside[-1]).of(PLAIN))

    def read(self):
        """Give what the client has read of the path, and what else, when nothing comes any more."""
        texts = [payload.decode() for payload in payloads(self.peer.read_everything())]
        return [text for text in texts if text[0] == "k"], [text.rstrip() for text in texts if text[0] != "k"]


@pytest.fixture(params=[False, True], ids=["socket", "tls"])
def path(request, world, signal, stream):
    return Path(world, signal, world.connect(tls=request.param, limit=1 << 20, policy=CATCH_UP), stream)


class TestClient:
    def test_nothing_of_its_path_waits_for_who_is_behind(self, path):
        for _ in range(200):
            path.send(5_000)
            path.world.turn.end()
            assert path.peer.client.waiting <= CHUNK + 5_010
        assert path.read() == (path.kept, [])
        assert path.peer.client.waiting == 0

    @pytest.mark.parametrize("seed", range(15))
    def test_whatever_comes_in_which_turns_nothing_is_missing_twice_or_out_of_order(self, path, seed):
        chance = random.Random(seed)
        sizes = (10, 10, 700, 5_000, 30_000, 70_000)
        for _ in range(200):
            act = chance.randrange(10)
            if act < 4:
                path.send(chance.choice(sizes))
            elif act < 5:
                path.send_aside(chance.choice(sizes[:4]))
            elif act < 8:
                path.world.turn.end()
            else:
                path.peer.transport.room += chance.choice((1, 4_000, 100_000))
                path.peer.transport.drain()
                path.peer.read(chance.choice((1, 3_000, 1 << 20)))
        path.world.turn.end()
        kept, aside = path.read()
        assert kept == path.kept
        assert aside == path.aside
        path.send()
        path.world.turn.end()
        assert path.read()[0] == path.kept

    @pytest.mark.parametrize("seed", range(10))
    def test_who_comes_with_a_position_reads_on_from_there_under_each_policy(self, world, signal, stream, seed):
        chance = random.Random(seed)
        policy = chance.choice([*SlowPolicy])
        path = Path(world, signal, world.connect(limit=1 << 20, policy=policy, tls=chance.random() < 0.5), stream)
        path.kept = [f"k{number} ".ljust(chance.choice((10, 3_000)), "-") for number in range(100)]
        keep(stream, *path.kept)
        stream.sent = stream.top
        world.hub.feed(path.peer.client, stream, 40)
        for _ in range(20):
            path.send(1_000)
            if chance.random() < 0.5:
                path.send_aside()
            world.turn.end()
            path.peer.read(chance.choice((0, 9_000)))
            path.peer.transport.drain()
        assert path.read() == (path.kept[40:], path.aside)

    def test_what_its_own_close_leaves_unread_is_never_sent(self, path):
        for _ in range(200):
            path.send(5_000)
            path.world.turn.end()
        path.peer.client.close(4000, "enough")
        path.send()
        path.world.turn.end()
        data = path.peer.read_everything()
        assert data.endswith(encode_close(4000, "enough"))
        assert data.count(b"k199 ") == 0
