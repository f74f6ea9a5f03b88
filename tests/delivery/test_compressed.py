"""A broadcast to clients that agreed on permessage-deflate: compressed once for each set of parameters."""

import pytest

from signalpost.delivery.target import EVERYONE, Target
from signalpost.signals.outgoing import RawFrame, ValueFrame
from signalpost.websocket.deflate import Deflater
from signalpost.websocket.frames import Dialect, Opcode, encode_frame


class Counting:
    """A deflater that counts what it compresses."""

    def __init__(self, window=15):
        self._deflater = Deflater(6, 100, window)
        self.calls = 0

    def __call__(self, frame):
        self.calls += 1
        return self._deflater(frame)


@pytest.mark.parametrize("make", [lambda: ValueFrame("x" * 500, "/"), lambda: RawFrame(Opcode.TEXT, b"x" * 500, "/")])
@pytest.mark.parametrize("target", [EVERYONE, Target(path="/"), Target(path="/", groups=frozenset({"g", "h"}))])
def test_a_broadcast_is_compressed_once_for_each_set_of_parameters(world, make, target):
    wide, narrow = Counting(15), Counting(9)
    groups = ["g", "h"]
    peers = [
        world.connect(groups=groups, deflate=deflate, tls=tls)
        for deflate in (None, wide, narrow)
        for tls in (False, True)
        for _ in range(5)
    ]
    for count in range(1, 4):
        receipt = world.hub.broadcast(make(), target)
        assert (receipt.matched, receipt.queued) == (30, 30)
        if count > 1:
            world.turn.end()
        assert wide.calls <= count
    assert (wide.calls, narrow.calls) == (3, 3)
    frame = make()
    for peer in peers:
        expected = frame.plain if peer.client.deflate is None else frame.deflated(peer.client.deflate, Dialect.PLAIN)
        assert peer.read_everything() == expected * 3
        assert (expected[0] & 0x40 > 0) == (peer.client.deflate is not None)


def test_a_value_is_compressed_once_for_each_dialect_and_a_raw_frame_once_for_both(world):
    deflate = Counting()
    for dialect in (*Dialect, *Dialect):
        world.connect(dialect=dialect, deflate=deflate)
    world.hub.broadcast(ValueFrame("x" * 500, "/"))
    world.turn.end()
    assert deflate.calls == 2
    world.hub.broadcast(RawFrame(Opcode.BINARY, b"x" * 500, "/"))
    world.turn.end()
    assert deflate.calls == 3


def test_short_frames_are_the_same_bytes_for_clients_with_and_without_compression(world):
    peers = [world.connect(deflate=deflate) for deflate in (None, Counting(), Counting(9))]
    world.hub.broadcast(ValueFrame("short", "/"))
    world.turn.end()
    assert {peer.read_everything() for peer in peers} == {encode_frame(Opcode.TEXT, b"short")}


def test_clients_of_all_kinds_come_and_go_and_are_counted(world):
    deflate = Counting()
    kinds = [(dialect, each) for dialect in Dialect for each in (None, deflate)]
    peers = [world.connect(dialect=dialect, deflate=each) for dialect, each in kinds]
    everyone = world.hub.everyone
    assert len(everyone) == 4
    assert set(everyone) == {peer.client for peer in peers}
    for count, peer in enumerate(peers, 1):
        assert peer.client in everyone
        peer.client.left(1000)
        assert peer.client not in everyone
        assert len(everyone) == 4 - count
