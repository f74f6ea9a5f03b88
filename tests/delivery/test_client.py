"""A client and its outbox: what waits, what is too much, and how it ends. The socket's other end is the test's."""

import socket
import struct

import pytest

from signalpost.delivery.client import NO_DESCRIPTOR
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.outbox import Fate
from signalpost.websocket.frames import CloseCode, Opcode, encode_close, encode_frame


def congest(world, peer, signal, size=30_000):
    """Fill the client's socket, so that something waits; give all that was sent."""
    frame = signal("congestion", size).of(PLAIN)
    peer.client.send(frame)
    world.turn.end()
    assert peer.client.waiting
    return frame


@pytest.fixture(params=[False, True], ids=["socket", "tls"])
def peer(request, world):
    return world.connect(tls=request.param, limit=20_000)


class TestWaiting:
    def test_nothing_waits_at_first(self, peer):
        assert peer.client.waiting == 0

    def test_what_the_transport_holds_waits_too(self, world, peer, signal):
        frame = congest(world, peer, signal)
        received = peer.read()
        assert peer.client.waiting == len(frame) - received
        second = signal("second", 5_000).of(PLAIN)
        peer.client.send(second)
        world.turn.end()
        assert peer.client.waiting == len(frame) - received + len(second)
        assert peer.read_everything() == frame + second
        assert peer.client.waiting == 0

    def test_the_limit_bounds_what_waits_behind_the_frame_being_written_to_the_byte(self, world, peer, signal):
        congest(world, peer, signal)
        limit = signal("x", 19_996).of(PLAIN)
        assert len(limit) == 20_000
        assert peer.client.send(limit)
        assert not peer.client.send(b"x")
        assert peer.client.close_code == CloseCode.TOO_SLOW

    def test_many_short_frames_are_given_to_a_congested_transport_in_few_writes(self, world, signal, monkeypatch):
        peer = world.connect(tls=True, limit=1 << 20)
        sent = congest(world, peer, signal)
        for number in range(100):
            frame = signal(f"s{number}", 2_000).of(PLAIN)
            peer.client.send(frame)
            sent += frame
        world.turn.end()
        written, write = [], peer.transport.write
        monkeypatch.setattr(peer.transport, "write", lambda data: (written.append(len(data)), write(data)))
        assert peer.read_everything() == sent
        assert len(written) == 4
        assert max(written) <= 65_536


class TestUnconfirmed:
    def test_what_the_kernel_holds_counts_until_the_peer_has_it(self, world, signal):
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as far:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            far.connect(server.getsockname())
            near, _ = server.accept()
            near.setblocking(False)
            peer = world.connect(sock=near)
            with near:
                frame = signal("kept", 200_000).of(PLAIN)
                assert peer.client.unconfirmed == 0
                peer.client.send(frame)
                world.turn.end()
                assert peer.client.waiting == 0
                assert 0 < peer.client.unconfirmed <= len(frame)
                received = 0
                while received < len(frame):
                    received += len(far.recv(65_536))
                while peer.client.unconfirmed:  # the last acknowledgement may be on its way
                    pass

    def test_what_waits_counts_too_and_a_closed_socket_holds_nothing(self, world, peer, signal):
        congest(world, peer, signal)
        assert peer.client.unconfirmed >= peer.client.waiting > 0
        peer.client.drop(CloseCode.ABNORMAL)
        world.turn.end()
        assert peer.client.unconfirmed == 0


class TestKeeping:
    """What a direct write did not take."""

    def test_whatever_part_was_taken_the_rest_follows(self, world, signal):
        frames = [signal(name, size).of(PLAIN) for name, size in [("a", 10), ("b", 200), ("c", 10)]]
        stream = b"".join(frames)
        for sent in range(len(stream)):
            peer = world.connect()
            assert peer.client.keep(frames, sent) is Fate.QUEUED
            assert peer.read_everything() == stream[sent:]

    def test_a_socket_that_had_room_again_leaves_the_client_direct(self, world, signal):
        peer = world.connect()
        assert peer.client.keep([signal("a").of(PLAIN)], 1) is Fate.QUEUED
        assert peer.client.direct

    def test_one_frame_is_kept_whatever_its_size_and_what_is_behind_it_up_to_the_limit(self, world, signal):
        big, rest = signal("big", 100_000).of(PLAIN), signal("rest", 9_996).of(PLAIN)
        assert world.connect(limit=10_000).client.keep([big, rest], 5) is Fate.QUEUED
        assert world.connect(limit=10_000).client.keep([big, rest, b"x"], 5) is Fate.TOO_SLOW
        assert world.connect(limit=10_000).client.keep([big, rest, b"x"], len(big)) is Fate.QUEUED


class TestClose:
    @pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
    def test_a_code_that_must_not_be_sent_is_refused_and_the_client_stays(self, peer, code):
        with pytest.raises(ValueError, match="must not be sent"):
            peer.client.close(code)
        assert not peer.client.closing
        assert peer.client.send(b"still here")

    def test_a_close_frame_is_sent_once_and_nothing_after_it(self, world, peer, signal):
        sent = congest(world, peer, signal)
        peer.client.close(4000, "first")
        peer.client.close(4001, "second")
        assert not peer.client.send(b"late")
        peer.client.join("late")
        assert (peer.client.close_code, peer.client.groups) == (4000, frozenset())
        assert peer.read_everything() == sent + encode_close(4000, "first")
        assert not peer.transport.is_closing()  # the peer is to answer first

    def test_a_full_outbox_has_room_for_the_close_frame_and_for_the_bye_before_it(self, world, peer, signal):
        peer.client.encoding = V1
        sent = congest(world, peer, signal)
        more = signal("more", 19_996).of(PLAIN)
        assert peer.client.send(more)
        peer.client.send_away(CloseCode.RESTART, "", 1_500)
        assert peer.client.close_code == 1012
        bye = encode_frame(Opcode.TEXT, b'{"bye":{"retry_ms":1500}}')
        assert peer.read_everything() == sent + more + bye + encode_close(1012)

    @pytest.mark.parametrize("half", [False, True])
    def test_finishing_ends_the_transport_once_all_is_written(self, world, peer, signal, half):
        sent = congest(world, peer, signal) + signal("more", 10_000).of(PLAIN)
        peer.client.send(sent[-10_004:])
        peer.client.close(1000)
        peer.client.finish(half=half)
        assert not peer.transport.is_closing()
        assert peer.read_everything() == sent + encode_close(1000)
        if half and peer.client.descriptor != NO_DESCRIPTOR:
            assert (peer.transport.at_eof, peer.transport.is_closing()) == (True, False)
        else:
            assert peer.transport.ended == "closed"

    def test_finishing_with_nothing_to_write_ends_the_transport_at_once(self, peer):
        peer.client.close()
        peer.transport.room = 100
        peer.transport.drain()
        peer.client.finish()
        assert peer.transport.ended == "closed"


class TestDrop:
    def test_dropping_twice_is_no_error_and_the_first_code_counts(self, peer):
        peer.client.drop(4009)
        peer.client.drop(1006)
        assert (peer.client.close_code, peer.transport.ended) == (4009, "aborted")

    def test_a_transport_that_waits_for_its_peer_to_read_can_still_be_dropped(self, world, peer, signal):
        congest(world, peer, signal)
        peer.client.close()
        peer.client.finish()
        peer.transport.close()
        assert not peer.transport.ended
        peer.client.drop(CloseCode.ABNORMAL)
        assert peer.transport.ended == "aborted"
        world.turn.end()
        assert not world.hub.closing

    def test_what_waits_is_forgotten(self, world, peer, signal):
        congest(world, peer, signal)
        peer.client.send(b"x" * 10_000)
        peer.client.drop(4009)
        assert peer.client.waiting == 0

    def test_the_kernels_buffers_are_freed_by_a_reset(self, world, signal):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname())
            near, _ = listener.accept()
        near.setblocking(False)
        peer = world.connect(sock=near)
        congest(world, peer, signal, 20 << 20)
        peer.client.drop(4009)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)
        world.turn.end()
        with far, pytest.raises(ConnectionResetError):
            self.read_all(far)

    def read_all(self, far):
        while far.recv(1 << 20):
            pass

    def test_a_socket_that_is_closed_already_is_no_error(self, world):
        peer = world.connect()
        peer.transport.get_extra_info("socket").close()
        peer.client.drop(4009)
        assert peer.transport.ended == "aborted"


class TestLeft:
    def test_a_client_that_left_is_sent_nothing_more(self, world, peer, signal):
        congest(world, peer, signal)
        peer.client.left(CloseCode.ABNORMAL)
        assert not peer.client.send(b"late")
        assert (peer.client.closing, peer.client.close_code) == (True, CloseCode.ABNORMAL)

    def test_a_client_that_left_keeps_the_code_that_was_decided_first(self, peer):
        peer.client.close(4000)
        peer.client.left(CloseCode.ABNORMAL)
        assert peer.client.close_code == 4000


def test_only_a_cleartext_socket_has_a_descriptor(world):
    clear, tls = world.connect(), world.connect(tls=True)
    assert clear.client.descriptor == clear.transport.get_extra_info("socket").fileno()
    assert clear.client.direct
    assert (tls.client.descriptor, tls.client.direct) == (NO_DESCRIPTOR, False)


def test_a_client_is_shown_by_its_id_and_path(world):
    assert repr(world.connect("/chat").client) == "<Client c0 on /chat>"
