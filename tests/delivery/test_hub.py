"""The hub: who gets what, in how many writes, and what becomes of those who are too slow. Loop turns by hand."""

import os
import socket

import pytest

from signalpost.auth.identity import Identity
from signalpost.config.model import SlowPolicy
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.target import NOBODY, ClientId, Receipt, Target
from signalpost.websocket.frames import CloseCode, Opcode, encode_close, encode_frame


def all_got(count, *, dropped=0):
    return Receipt(matched=count, queued=count - dropped, dropped=dropped)


def names(peer):
    """Give the names of the frames that a peer has got, each whole."""
    data, found = peer.read_everything(), []
    while data:
        start, size = (4, int.from_bytes(data[2:4], "big")) if data[1] == 126 else (2, data[1])
        assert len(data) >= start + size, "a frame is not whole"
        found.append(data[start : start + size].decode().partition(" ")[0])
        data = data[start + size :]
    return found


class TestTargets:
    @pytest.fixture
    def people(self, world):
        """Give a on /x in red, b on /x in red and blue, c on /y in blue (TLS), d on /y in no group."""
        return {
            "a": world.connect("/x", groups=["red"]),
            "b": world.connect("/x", groups=["red", "blue"]),
            "c": world.connect("/y", groups=["blue"], tls=True),
            "d": world.connect("/y"),
        }

    @pytest.mark.parametrize(
        ("who", "expected"),
        [
            ({}, "abcd"),
            ({"path": "/x"}, "ab"),
            ({"path": "/nowhere"}, ""),
            ({"groups": {"red"}}, "ab"),
            ({"groups": {"blue"}}, "bc"),
            ({"groups": {"red", "blue"}}, "abc"),
            ({"groups": {"nobody's"}}, ""),
            ({"groups": {"nobody's", "blue"}}, "bc"),
            ({"groups": set()}, ""),
            ({"client": "a"}, "a"),
            ({"client": "c"}, "c"),
            ({"client": "unknown"}, ""),
            ({"path": "/y", "groups": {"blue"}}, "c"),
            ({"path": "/x", "groups": {"red", "blue"}}, "ab"),
            ({"path": "/x", "groups": set()}, ""),
            ({"path": "/x", "client": "b"}, "b"),
            ({"path": "/y", "client": "b"}, ""),
            ({"groups": {"blue"}, "client": "b"}, "b"),
            ({"groups": {"blue"}, "client": "a"}, ""),
            ({"path": "/y", "groups": {"blue"}, "client": "c"}, "c"),
            ({"path": "/y", "groups": {"blue"}, "client": "d"}, ""),
            ({"excluding": "a"}, "bcd"),
            ({"excluding": "c"}, "abd"),
            ({"path": "/x", "excluding": "a"}, "b"),
            ({"path": "/x", "excluding": "d"}, "ab"),
            ({"groups": {"blue"}, "excluding": "b"}, "c"),
            ({"groups": {"red", "blue"}, "excluding": "b"}, "ac"),
            ({"path": "/x", "groups": {"red"}, "excluding": "b"}, "a"),
            ({"client": "a", "excluding": "a"}, ""),
            ({"client": "a", "excluding": "b"}, "a"),
        ],
    )
    def test_just_those_whom_the_target_reaches_get_it_once(self, world, people, signal, who, expected):
        target = Target(
            path=who.get("path"),
            groups=frozenset(who["groups"]) if "groups" in who else None,
            client=ClientId(people[who["client"]].client.id if who["client"] in people else "?")
            if "client" in who
            else None,
            excluding=people[who["excluding"]].client.id if "excluding" in who else None,
        )
        assert world.broadcast(signal("it"), target) == all_got(len(expected))
        world.turn.end()
        assert {name: names(peer) for name, peer in people.items()} == {
            name: ["it"] if name in expected else [] for name in people
        }

    def test_nobody_is_reached_where_nobody_is(self, world, signal):
        assert world.broadcast(signal("it")) is NOBODY

    def test_a_client_gets_what_was_broadcast_while_it_belonged(self, world, signal):
        a, red = world.connect(), Target(groups=frozenset({"red"}))
        world.broadcast(signal("before"), red)
        a.client.join("red")
        world.broadcast(signal("within"), red)
        a.client.leave("red")
        world.broadcast(signal("after"), red)
        late = world.connect()
        world.broadcast(signal("everyone"))
        world.turn.end()
        assert (names(a), names(late)) == (["within", "everyone"], ["everyone"])

    def test_a_client_that_moves_gets_what_goes_to_the_path_where_it_is_then(self, world, signal):
        a, b, hub = world.connect("/x", groups=["red"]), world.connect("/x"), world.hub
        world.broadcast(signal("x"), Target(path="/x"))
        hub.move(a.client, "/y")
        world.broadcast(signal("later-x"), Target(path="/x"))
        world.broadcast(signal("y"), Target(path="/y", groups=frozenset({"red"})))
        hub.move(b.client, "/y")
        world.broadcast(signal("all-y"), Target(path="/y"))
        world.turn.end()
        assert (names(a), names(b)) == (["x", "y", "all-y"], ["x", "later-x", "all-y"])
        assert list(hub._paths) == ["/y"]

    def test_a_user_s_client_that_is_arriving_or_has_come_for_one_message_is_known_and_reads_nothing(
        self, world, signal
    ):
        here, arriving, visiting = (world.connect("/x", identity=Identity("ann")) for _ in range(3))
        world.hub.hold(arriving.client)
        world.hub.hold(visiting.client)
        visiting.client.arriving, visiting.client.visiting = False, True
        assert world.hub.of_user("ann") == [here.client, arriving.client, visiting.client]
        assert world.hub.matching(Target(user="ann", path="/x")) == world.hub.of_user("ann")
        assert world.hub.matching(Target(path="/x")) == [here.client]
        for target in (Target(user="ann"), Target(user="ann", path="/x")):
            assert world.broadcast(signal("it"), target) == all_got(1)
        world.hub.admit(arriving.client)
        assert world.broadcast(signal("later"), Target(user="ann")) == all_got(2)
        world.turn.end()
        assert [names(peer) for peer in (here, arriving, visiting)] == [["it", "it", "later"], ["later"], []]

    def test_a_client_that_has_gone_does_not_move(self, world):
        a = world.connect("/x")
        a.client.close()
        world.hub.move(a.client, "/y")
        assert (a.client.path, world.hub._paths) == ("/x", {})

    def test_joining_and_leaving_twice_is_no_error(self, world):
        client = world.connect(groups=["red", "red"]).client
        assert client.groups == {"red"}
        client.leave("red")
        client.leave("red")
        assert client.groups == frozenset()

    def test_paths_and_groups_without_clients_are_forgotten(self, world):
        a = world.connect("/x", groups=["red", "blue"])
        a.client.leave("red")
        a.client.close()
        assert (world.hub._paths, world.hub._groups) == ({}, {})

    def test_an_id_that_is_taken_is_an_error(self, world):
        a = world.connect()
        with pytest.raises(ValueError, match=f"client id {a.client.id} is taken"):
            world.hub.add(a.client)


class TestOneTurn:
    """Each write to a sequenced-packet socket is a record of its own, so the kernel counts the writes."""

    @pytest.fixture
    def connect(self, world):
        return lambda *where, **options: world.connect(*where, kind=socket.SOCK_SEQPACKET, **options)

    def test_the_broadcasts_of_a_turn_leave_in_one_write(self, world, connect, signal):
        a, b = connect(), connect(encoding=V1)
        frames = [signal(f"s{number}") for number in range(5)]
        for frame in frames:
            world.broadcast(frame)
        assert (a.records(), b.records()) == ([], [])
        world.turn.end()
        assert a.records() == [b"".join(frame.of(PLAIN) for frame in frames)]
        assert b.records() == [b"".join(frame.of(V1) for frame in frames)]

    def test_frames_for_many_targets_leave_in_one_write_in_the_order_of_the_calls(self, world, connect, signal):
        a, b, c = connect("/x", groups=["red"]), connect("/x"), connect("/y", groups=["red"])
        frames = {name: signal(name) for name in "12345"}
        world.broadcast(frames["1"])
        world.broadcast(frames["2"], Target(path="/x"))
        world.broadcast(frames["3"], Target(groups=frozenset({"red"}), excluding=c.client.id))
        world.hub.send(c.client, frames["4"].of(PLAIN))
        world.broadcast(frames["5"], Target(client=a.client.id))
        world.turn.end()
        got = {
            name: [frames[number].of(PLAIN) for number in numbers]
            for name, numbers in {"a": "1235", "b": "12", "c": "14"}.items()
        }
        assert [peer.records() for peer in (a, b, c)] == [[b"".join(got[name])] for name in "abc"]

    def test_the_end_of_the_turn_is_asked_for_once(self, world, connect, signal):
        connect()
        for _ in range(3):
            world.broadcast(signal("it"))
        assert len(world.turn.soon) == 1
        world.turn.end()
        world.broadcast(signal("it"))
        assert len(world.turn.soon) == 1

    def test_each_encoding_is_asked_for_once_a_lane_however_many_clients_there_are(self, world, signal):
        for encoding in (PLAIN, V1):
            for tls in (False, True):
                for _ in range(3):
                    world.connect(encoding=encoding, tls=tls)
        frame = signal("it")
        world.broadcast(frame)
        world.turn.end()
        # Frames keep what they have made; of the clients with an outbox and those without, each asks once.
        assert sorted(frame.encodings, key=str) == sorted([PLAIN, PLAIN, V1, V1], key=str)

    def test_a_dialect_that_nobody_reads_is_not_encoded(self, world, signal):
        world.connect()
        frame = signal("it")
        world.broadcast(frame)
        world.turn.end()
        assert frame.encodings == [PLAIN]

    def test_an_indirect_clients_frames_are_given_to_its_transport_together(self, world, signal, monkeypatch):
        peer, given = world.connect(tls=True), []
        monkeypatch.setattr(peer.transport, "write", lambda data: given.append(bytes(data)))
        frames = [signal(name) for name in "abc"]
        for frame in frames:
            world.broadcast(frame)
        assert given == []
        world.turn.end()
        assert given == [b"".join(frame.of(PLAIN) for frame in frames)]


class TestSlowness:
    @pytest.mark.parametrize(
        "change",
        [
            lambda _, client: client.join("blue"),
            lambda _, client: client.leave("red"),
            lambda hub, client: hub.move(client, "/y"),
            lambda hub, client: hub._switch(client, direct=False),
        ],
        ids=["joins", "leaves", "moves", "goes indirect"],
    )
    def test_a_client_that_is_found_too_slow_just_when_it_belongs_elsewhere_is_nowhere(self, world, signal, change):
        slow, good = world.connect("/x", groups=["red"]), world.connect("/")
        for number in range(2):
            slow.client.send(signal(f"s{number}", 20_000).of(PLAIN))
        change(world.hub, slow.client)
        world.turn.end()
        assert slow.transport.ended == "aborted"
        assert slow.client.close_code == CloseCode.TOO_SLOW
        assert (list(world.hub.clients), list(world.hub._paths), world.hub._groups) == ([good.client.id], ["/"], {})

    @pytest.mark.parametrize("tls", [False, True])
    def test_a_client_over_its_limit_is_dropped_and_nobody_else_notices(self, world, signal, tls):
        slow, good = world.connect(tls=tls), world.connect(limit=1 << 20)
        sent, receipts = [], []
        while not slow.transport.ended:
            assert slow.client.waiting <= 10_000 + 3_000
            sent.append(f"s{len(sent)}")
            receipts.append(world.broadcast(signal(sent[-1], 2_000)))
            world.turn.end()
            good.read()
        assert slow.transport.ended == "aborted"
        assert slow.client.close_code == CloseCode.TOO_SLOW
        assert names(good) == sent
        assert receipts == [all_got(2)] * (len(sent) - 1) + [all_got(2, dropped=1)]
        assert list(world.hub.clients) == [good.client.id]

    def test_a_burst_in_one_turn_that_a_socket_does_not_take_drops_a_client_at_the_end_of_the_turn(self, world, signal):
        slow, good = world.connect(), world.connect(limit=1 << 20)
        for number in range(20):
            assert world.broadcast(signal(str(number), 2_000)) == all_got(2)
        world.turn.end()
        assert (slow.client.close_code, slow.transport.ended) == (CloseCode.TOO_SLOW, "aborted")
        assert names(good) == [str(number) for number in range(20)]

    @pytest.mark.parametrize("tls", [False, True])
    def test_a_frame_is_always_taken_when_nothing_waits(self, world, signal, tls):
        peer = world.connect(tls=tls, limit=10)
        for name in "abc":
            assert world.broadcast(signal(name, 50_000)) == all_got(1)
            world.turn.end()
            assert len(peer.read_everything()) == 50_004
            peer.received.clear()

    def test_what_waits_behind_a_frame_over_the_limit_is_all_that_is_bounded(self, world, signal):
        peer = world.connect(tls=True, limit=10_000)
        for size in (50_000, 4_000, 4_000):
            assert world.broadcast(signal("s", size)) == all_got(1)
        world.turn.end()
        assert world.broadcast(signal("one too many", 4_000)) == all_got(1, dropped=1)
        assert peer.client.close_code == CloseCode.TOO_SLOW

    def test_a_burst_in_one_turn_is_no_reason_to_drop_who_has_room_for_it(self, world, signal):
        peer = world.connect(tls=True, limit=10_000)
        peer.transport.room = 1 << 20
        for number in range(20):
            assert world.broadcast(signal(str(number), 4_000)) == all_got(1)
        world.turn.end()
        assert names(peer) == [str(number) for number in range(20)]

    def test_what_the_transport_has_written_since_does_not_count(self, world, signal):
        peer = world.connect(tls=True, limit=10_000)
        for name in "abc":
            world.broadcast(signal(name, 4_000))
        world.turn.end()
        peer.transport.room = 11_000
        peer.transport.drain()
        assert world.broadcast(signal("d", 8_000)) == all_got(1)
        assert names(peer) == ["a", "b", "c", "d"]

    def test_dropping_one_in_a_broadcast_does_not_give_it_twice_to_another(self, world, signal):
        slow = world.connect(tls=True, limit=10)
        world.broadcast(signal("fills", 70_000))
        world.turn.end()
        # Becomes congested by this very broadcast, while `slow` is dropped for it.
        other = world.connect(encoding=V1, limit=1 << 20)
        assert world.broadcast(signal("big", 60_000)) == all_got(2, dropped=1)
        world.turn.end()
        assert slow.transport.ended == "aborted"
        assert names(other) == ["v1"]

    def test_a_send_to_a_client_over_its_limit_drops_it_and_says_so(self, world, signal):
        peer = world.connect(tls=True, limit=10)
        assert peer.client.send(signal("a", 70_000).of(PLAIN))
        world.turn.end()
        assert not peer.client.send(signal("b", 20).of(PLAIN))
        assert peer.client.close_code == CloseCode.TOO_SLOW
        assert not peer.client.send(signal("c").of(PLAIN))

    def test_a_socket_that_is_dead_ends_its_client_alone(self, world, signal):
        dead, good = world.connect(), world.connect()
        dead._far.close()
        world.broadcast(signal("a"))
        world.turn.end()
        assert (dead.client.close_code, dead.transport.ended) == (CloseCode.ABNORMAL, "aborted")
        assert names(good) == ["a"]
        assert list(world.hub.clients) == [good.client.id]


class TestLeavingOut:
    """Clients whose signal says that values may be left out; what exactly is, test_outbox.py knows."""

    @pytest.fixture(params=[False, True], ids=["socket", "tls"])
    def connect(self, request, world):
        return lambda policy, **options: world.connect(policy=policy, tls=request.param, **options)

    def burst(self, world, signal, send):
        """Send more in one turn than any outbox here holds."""
        send(signal("head", 30_000, "/head"))
        for number in range(20):
            send(signal(f"s{number}", 1_000, f"/{number % 2}"))
        world.turn.end()

    @pytest.mark.parametrize("policy", [SlowPolicy.DROP_OLDEST, SlowPolicy.LATEST])
    @pytest.mark.parametrize("way", ["to everyone", "to each", "to the client"])
    def test_a_burst_in_one_turn_is_held_to_the_policy(self, world, connect, signal, policy, way):
        peer = connect(policy, groups=["red"])
        target = Target(client=peer.client.id) if way == "to the client" else Target()
        if way == "to each":
            world.hub.send(world.connect().client, b"x")  # no turn of one audience alone
        self.burst(world, signal, lambda frame: world.broadcast(frame, target))
        assert peer.client.waiting <= 10_000 + 30_004
        newest = 2 if policy is SlowPolicy.LATEST else 9
        assert names(peer) == ["head", *(f"s{number}" for number in range(20 - newest, 20))]

    def test_the_values_of_others_and_its_own_answers_are_values_alike(self, world, connect, signal):
        peer = connect(SlowPolicy.LATEST)
        self.burst(world, signal, lambda frame: world.hub.send(peer.client, frame.of(PLAIN), frame.path))
        assert names(peer) == ["head", "s18", "s19"]

    def test_a_receipt_counts_who_was_not_queued_for(self, world, connect, signal):
        lossy, whole = connect(SlowPolicy.DROP_OLDEST), world.connect(limit=1 << 20)
        assert world.broadcast(signal("head", 30_000)) == all_got(2)
        world.turn.end()
        assert world.broadcast(signal("fits", 9_000)) == all_got(2)
        assert world.broadcast(signal("takes its place", 9_000)) == all_got(2)
        assert world.broadcast(signal("too large", 20_000)) == all_got(2, dropped=1)
        assert world.broadcast(signal("too large", 20_000), Target(client=lossy.client.id)) == all_got(1, dropped=1)
        world.turn.end()
        assert names(lossy) == ["head", "takes"]
        assert names(whole) == ["head", "fits", "takes", "too"]

    def test_notices_are_never_left_out_and_too_many_of_them_are_too_much(self, world, connect, signal):
        peer = connect(SlowPolicy.LATEST)
        world.broadcast(signal("head", 30_000))
        world.turn.end()
        for number in range(9):
            assert peer.client.send(signal(f"n{number}", 1_000).of(PLAIN))
            assert world.broadcast(signal("value", 500)) == all_got(1)
        assert not peer.client.send(signal("n9", 1_000).of(PLAIN))
        assert (peer.client.close_code, peer.transport.ended) == (CloseCode.TOO_SLOW, "aborted")


class TestModes:
    def test_a_congested_client_goes_direct_again_once_all_is_written(self, world, signal):
        peer = world.connect(limit=100_000)
        assert peer.client.direct
        for name in "abcdef":
            world.broadcast(signal(name, 3_000))
        world.turn.end()
        assert not peer.client.direct
        world.broadcast(signal("g"))
        world.turn.end()
        assert names(peer) == [*"abcdefg"]
        assert peer.client.direct
        world.broadcast(signal("h"))
        world.turn.end()
        assert names(peer) == [*"abcdefgh"]

    def test_no_broadcast_overtakes_what_the_transport_holds_from_before(self, world, signal):
        peer = world.connect(kept=b"HTTP/1.1 101")
        assert not peer.client.direct
        world.broadcast(signal("a"))
        world.turn.end()
        assert peer.read() == 0
        frame = signal("a").of(PLAIN)
        assert peer.read_everything() == b"HTTP/1.1 101" + frame
        assert peer.client.direct


class TestDescriptors:
    """A descriptor's number is free for the next connection as soon as its socket is closed."""

    def reuse(self, peer):
        """Close the client's socket and put another under the number of its descriptor; give that one's other end."""
        number = peer.client.descriptor
        near, far = socket.socketpair()
        os.dup2(near.fileno(), number)  # closes what was there
        near.close()
        far.setblocking(False)
        return far

    @pytest.mark.parametrize(
        "end", [lambda client: client.close(), lambda client: client.drop(4009), lambda client: client.left(1006)]
    )
    def test_a_frame_never_reaches_who_got_the_number_of_a_client_that_was_ended(self, world, signal, end):
        old, other = world.connect("/x", groups=["red"]), world.connect("/x")
        world.broadcast(signal("before"))
        world.hub.send(old.client, signal("before, too").of(PLAIN))
        end(old.client)
        stranger = self.reuse(old)
        for target in (Target(), Target(path="/x"), Target(groups=frozenset({"red"})), Target(client=old.client.id)):
            world.broadcast(signal("after"), target)
        assert not world.hub.send(old.client, signal("after").of(PLAIN))
        old.client.join("blue")
        old.client.close()
        world.hub.flush()
        with pytest.raises(BlockingIOError):
            stranger.recv(1)
        stranger.close()
        assert names(other) == ["before", "after", "after"]

    def test_the_next_client_with_that_number_gets_its_own_frames_alone(self, world, signal):
        old = world.connect("/x")
        number = old.client.descriptor
        old.client.drop(4009)
        world.turn.end()  # the transport closes its socket
        new = world.connect("/y")
        assert new.client.descriptor == number
        world.broadcast(signal("x"), Target(path="/x"))
        world.broadcast(signal("y"), Target(path="/y"))
        world.turn.end()
        assert names(new) == ["y"]

    def test_what_was_queued_goes_out_before_the_close_frame(self, world, signal):
        peer = world.connect()
        frame = signal("last words")
        world.broadcast(frame)
        peer.client.close(4321, "why")
        assert peer.read_everything() == frame.of(PLAIN) + encode_close(4321, "why")


class TestClosing:
    def test_who_asks_is_told_when_no_connection_is_closing_any_more(self, world):
        peers, told = [world.connect(), world.connect()], []
        for peer in peers:
            peer.client.close()
        world.hub.when_closed(lambda: told.append(True))
        assert world.hub.closing == {peer.client for peer in peers}
        world.hub.forget(peers[0].client)
        assert not told
        world.hub.forget(peers[1].client)
        assert told == [True]

    def test_who_asks_is_told_at_once_when_no_connection_is_closing(self, world):
        told = []
        world.connect()
        world.hub.when_closed(lambda: told.append(True))
        assert told == [True]

    def test_removing_and_forgetting_twice_is_no_error(self, world):
        client = world.connect().client
        for _ in range(2):
            world.hub.remove(client)
            world.hub.forget(client)
        assert not world.hub.closing

    def test_a_closing_client_gets_no_more_broadcasts(self, world, signal):
        peer = world.connect()
        peer.client.close()
        assert world.broadcast(signal("late")) is NOBODY
        world.turn.end()
        assert peer.read_everything() == encode_frame(Opcode.CLOSE, (1000).to_bytes(2, "big"))
