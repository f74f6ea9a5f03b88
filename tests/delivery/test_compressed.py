"""A broadcast to clients that agreed on permessage-deflate: compressed once for each set of parameters."""

import pytest

from signalpost.delivery.codec import PLAIN, V1, Encoding
from signalpost.delivery.publication import Publication, RawPublication
from signalpost.delivery.target import EVERYONE, Target
from signalpost.websocket.deflate import Deflater
from signalpost.websocket.frames import Opcode, encode_frame


class Counting:
    """A deflater that counts what it compresses."""

    def __init__(self, window=15):
        self._deflater = Deflater(6, 100, window)
        self.calls = 0

    def __call__(self, frame):
        self.calls += 1
        return self._deflater(frame)


def compressed(deflate, bare=PLAIN):
    return Encoding(bare.codec, deflate, bare)


@pytest.mark.parametrize(
    "make", [lambda: Publication("x" * 500, "/"), lambda: RawPublication(Opcode.TEXT, b"x" * 500, "/")]
)
@pytest.mark.parametrize("target", [EVERYONE, Target(path="/"), Target(path="/", groups=frozenset({"g", "h"}))])
def test_a_broadcast_is_compressed_once_for_each_set_of_parameters(world, make, target):
    wide, narrow = Counting(15), Counting(9)
    groups = ["g", "h"]
    peers = [
        world.connect(groups=groups, encoding=encoding, tls=tls)
        for encoding in (PLAIN, compressed(wide), compressed(narrow))
        for tls in (False, True)
        for _ in range(5)
    ]
    for count in range(1, 4):
        receipt = world.broadcast(make(), target)
        assert (receipt.matched, receipt.queued) == (30, 30)
        if count > 1:
            world.turn.end()
        assert wide.calls <= count
    assert (wide.calls, narrow.calls) == (3, 3)
    frame = make()
    for peer in peers:
        expected = frame.encoded(peer.client.encoding)
        assert peer.read_everything() == expected * 3
        assert (expected[0] & 0x40 > 0) == (peer.client.encoding is not PLAIN)


def test_a_value_is_compressed_once_for_each_dialect_and_a_raw_frame_once_for_both(world):
    deflate = Counting()
    encodings = [compressed(deflate), compressed(deflate, V1)]
    for encoding in encodings * 2:
        world.connect(encoding=encoding)
    world.broadcast(Publication("x" * 500, "/"))
    world.turn.end()
    assert deflate.calls == 2
    world.broadcast(RawPublication(Opcode.BINARY, b"x" * 500, "/"))
    world.turn.end()
    assert deflate.calls == 3


def test_short_frames_are_the_same_bytes_for_clients_with_and_without_compression(world):
    peers = [world.connect(encoding=each) for each in (PLAIN, compressed(Counting()), compressed(Counting(9)))]
    world.broadcast(Publication("short", "/"))
    world.turn.end()
    assert {peer.read_everything() for peer in peers} == {encode_frame(Opcode.TEXT, b"short")}


def test_clients_of_all_kinds_come_and_go_and_are_counted(world):
    deflate = Counting()
    kinds = [each for bare in (PLAIN, V1) for each in (bare, compressed(deflate, bare))]
    peers = [world.connect(encoding=each) for each in kinds]
    everyone = world.hub.everyone
    assert len(everyone) == 4
    assert set(everyone) == {peer.client for peer in peers}
    for count, peer in enumerate(peers, 1):
        assert peer.client in everyone
        peer.client.left(1000)
        assert peer.client not in everyone
        assert len(everyone) == 4 - count
