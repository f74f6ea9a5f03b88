"""What a queue of a loop turn costs to write: counted in writes and in bytes that are put together."""

import socket

import pytest

from signalpost.delivery.codec import PLAIN
from signalpost.delivery.hub import DELIVERY, MOST_QUEUED
from signalpost.delivery.queue import write_queue
from signalpost.delivery.target import EVERYONE, Target
from signalpost.delivery.writers import GONE, OneByOne


class Counting:
    """A writer that keeps what it is given to write, to how many, and how many such batches together."""

    def __init__(self):
        self.written = []
        self.together = []

    def write(self, descriptors, data):
        self.written.append((len(descriptors), len(data)))
        return []

    def write_each(self, batches):
        self.together.append(len(batches))
        return [left for descriptors, data in batches for left in self.write(descriptors, data)]

    def close(self):
        """Hold nothing."""


@pytest.fixture
def counting(monkeypatch):
    """Count what goes out: the batches of a writer, and the writes to one client."""
    writer, alone = Counting(), []

    def write(descriptor, data):
        alone.append((descriptor, bytes(data)))
        return len(data)

    monkeypatch.setattr("signalpost.delivery.queue.os.write", write)
    return writer, alone


@pytest.fixture
def world(new_world, counting):
    world = new_world()
    world.hub._writer = counting[0]
    return world


def clients(world, count, path="/"):
    return [world.connect(path).client for _ in range(count)]


def test_a_ping_among_many_broadcasts_parts_its_client_and_nobody_else(world, counting, signal):
    writer, alone = counting
    one, *others = clients(world, 10)
    frames = [signal(f"m{number}") for number in range(100)]
    for frame in frames[:50]:
        world.broadcast(frame, EVERYONE)
    one.send(b"pong")
    for frame in frames[50:]:
        world.broadcast(frame, EVERYONE)
    world.hub.flush()
    plain = [frame.of(PLAIN) for frame in frames]
    assert writer.written == [(len(others), sum(map(len, plain)))]
    assert alone == [(one.descriptor, b"".join([*plain[:50], b"pong", *plain[50:]]))]
    assert all(len(frame.encodings) <= 2 for frame in frames)


def test_audiences_that_take_turns_are_written_to_once_each(world, counting, signal):
    writer, alone = counting
    rooms = [clients(world, 3, f"/{room}") for room in range(5)]
    for number in range(20):
        world.broadcast(signal(f"{number:02}"), Target(path=f"/{number % 5}"))
    world.hub.flush()
    assert sorted(writer.written) == [(3, 4 * len(signal("00").of(PLAIN)))] * len(rooms)
    assert (writer.together, alone) == ([len(rooms)], [])


def test_broadcasts_to_all_and_to_one_path_by_turns_are_two_batches(world, counting, signal):
    writer, _ = counting
    clients(world, 4, "/a")
    clients(world, 6, "/b")
    size = len(signal("0").of(PLAIN))
    for number in range(10):
        world.broadcast(signal(str(number)), EVERYONE if number % 2 else Target(path="/a"))
    world.hub.flush()
    assert sorted(writer.written) == [(4, 10 * size), (6, 5 * size)]


def test_who_is_in_several_audiences_of_a_turn_gets_all_in_order_and_stands_in_one_batch(new_world, signal):
    seen = []

    class Watching(OneByOne):
        def write_each(self, batches):
            seen.append([number for descriptors, _ in batches for number in descriptors])
            return super().write_each(batches)

    world = new_world()
    world.hub._writer = Watching()
    both = world.connect("/a", groups=("red",), kind=socket.SOCK_SEQPACKET)
    path = world.connect("/a", kind=socket.SOCK_SEQPACKET)
    group = world.connect("/b", groups=("red", "blue"), kind=socket.SOCK_SEQPACKET)
    seen.clear()
    targets = [
        Target(path="/a"),
        Target(groups=frozenset({"red"})),
        Target(path="/a"),
        Target(groups=frozenset({"blue"})),
    ]
    frames = [signal(f"{number}") for number in range(4)]
    for frame, target in zip(frames, targets, strict=True):
        world.broadcast(frame, target)
    world.turn.end()
    (numbers,) = seen
    assert sorted(numbers) == sorted(each.client.descriptor for each in (both, path, group))
    plain = [frame.of(PLAIN) for frame in frames]
    assert both.records() == [plain[0] + plain[1] + plain[2]]
    assert path.records() == [plain[0] + plain[2]]
    assert group.records() == [plain[1] + plain[3]]


def test_who_does_not_take_all_of_many_audiences_is_told_apart(world, signal, monkeypatch):
    (one, other), (third,) = clients(world, 2, "/a"), clients(world, 1, "/b")
    writer = world.hub._writer
    monkeypatch.setattr(writer, "write_each", lambda _: [(third.descriptor, 2), (other.descriptor, GONE)])
    frames = [signal("a"), signal("b")]
    queue = [(world.hub._paths[f"/{frame.data.decode().strip()}"], frame, None) for frame in frames]
    plain = [frame.of(PLAIN) for frame in frames]
    assert write_queue(queue, writer) == [(third, [plain[1]], 2, []), (other, [plain[0]], GONE, [])]
    assert one.direct


def test_every_sender_that_is_left_out_gets_the_rest_in_one_write(world, counting, signal):
    writer, alone = counting
    everybody = clients(world, 8)
    frames = [signal(str(number)) for number in range(3)]
    for sender, frame in zip(everybody, frames, strict=False):
        world.broadcast(frame, Target(excluding=sender.id))
    world.hub.flush()
    plain = [frame.of(PLAIN) for frame in frames]
    assert writer.written == [(5, sum(map(len, plain)))]
    assert alone == [
        (everybody[0].descriptor, plain[1] + plain[2]),
        (everybody[1].descriptor, plain[0] + plain[2]),
        (everybody[2].descriptor, plain[0] + plain[1]),
    ]


def test_what_is_for_one_client_alone_is_one_write(world, counting):
    writer, alone = counting
    (one,) = clients(world, 1)
    queue = [(one, b"a", None), (one, b"b", None)]
    write_queue(queue, writer)
    assert (writer.written, alone) == ([], [(one.descriptor, b"ab")])


@pytest.mark.parametrize("excluded", [False, True])
def test_a_broadcast_counts_its_bytes_for_each_of_its_clients_and_says_its_size(world, signal, excluded):
    first, *_ = clients(world, 10)
    before = world.hub.work
    frame = signal("m", size=100)
    receipt = world.broadcast(frame, Target(excluding=first.id) if excluded else EVERYONE)
    reached = 10 - excluded
    assert (receipt.size, world.hub.work - before) == (frame.size, reached * (frame.size + DELIVERY))


def test_what_is_queued_is_written_before_it_is_more_than_an_outbox_holds(world, counting, signal):
    writer, _ = counting
    clients(world, 3)
    for number in range(10):
        world.broadcast(signal(str(number), size=MOST_QUEUED // 2), EVERYONE)
    assert sum(size for _, size in writer.written) >= 3 * MOST_QUEUED
