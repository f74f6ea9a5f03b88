"""For any interleaving: each client gets just the frames addressed to it, in the order of the calls, each whole.

The model knows only who was where at each call. Sockets are real, with the smallest buffers that the kernel allows;
peers read as much as they like, when they like. Loop turns end when they end.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from signalpost.auth.identity import Identity
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.target import ClientId, Target
from signalpost.websocket.frames import CloseCode, encode_close

PATHS = ("/", "/x")
GROUPS = ("red", "blue")
USERS = ("ann", "red")  # one is called as a group is
LIMIT = 6_000
SIZES = (0, 100, 2_500, 5_990, 20_000)
LARGEST = SIZES[-1] + 20
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Expected:
    """What the model knows of one client.

    Attributes:
        frames: addressed to it while it was a member, in order.
        member: whether it can be addressed still.
        whole: whether all of `frames` must arrive; else a beginning of them does.

    """

    def __init__(self, peer, path, encoding, user, before):
        self.peer = peer
        self.user = user
        self.path = path
        self.groups = set()
        self.encoding = encoding
        self.frames = [before] if before else []
        self.member = True
        self.whole = True


class Interleavings(RuleBasedStateMachine):
    """Everything that can happen to a hub, in any order."""

    connected = Bundle("connected")

    def __init__(self, new_world, signal):
        super().__init__()
        self.world = new_world()
        self.signal = signal
        self.everybody = []
        self.sent = 0

    @property
    def members(self):
        return [each for each in self.everybody if each.member]

    def frame(self, size):
        self.sent += 1
        return self.signal(f"#{self.sent}", size)

    # Who is where

    @rule(
        target=connected,
        path=st.sampled_from(PATHS),
        encoding=st.sampled_from([PLAIN, V1]),
        tls=st.booleans(),
        kept=st.sampled_from([b"", b"", ANSWER]),
        user=st.sampled_from([None, *USERS]),
    )
    def connect(self, path, encoding, tls, kept, user):
        identity = Identity(user)
        peer = self.world.connect(path, encoding=encoding, limit=LIMIT, tls=tls, kept=kept, identity=identity)
        each = Expected(peer, path, encoding, user, kept)
        self.everybody.append(each)
        self.notice_the_dropped()
        return each

    @rule(each=connected, group=st.sampled_from(GROUPS))
    def join(self, each, group):
        each.peer.client.join(group)
        if each.member:
            each.groups.add(group)
        self.notice_the_dropped()

    @rule(each=connected, group=st.sampled_from(GROUPS))
    def leave_the_group(self, each, group):
        each.peer.client.leave(group)
        each.groups.discard(group)
        self.notice_the_dropped()

    @rule(each=connected, path=st.sampled_from(PATHS))
    def move(self, each, path):
        self.world.hub.move(each.peer.client, path)
        if each.member:
            each.path = path
        self.notice_the_dropped()

    @rule(each=connected, user=st.sampled_from([None, *USERS]))
    def identify(self, each, user):
        self.world.hub.identify(each.peer.client, Identity(user))
        each.user = user
        self.notice_the_dropped()

    @rule(each=connected, finish=st.sampled_from([None, False, True]))
    def close(self, each, finish):
        if each.member:
            each.frames.append(encode_close(1000))
            each.peer.client.close(1000)
            self.notice_the_dropped()
            each.member = False
            if finish is not None:
                each.peer.client.finish(half=finish)

    @rule(each=connected)
    def vanish(self, each):
        if each.member:
            each.member = each.whole = False
            each.peer.client.left(CloseCode.ABNORMAL)
            each.peer.transport.close()
            self.notice_the_dropped()

    @rule(each=connected)
    def drop(self, each):
        if each.member:
            each.member = each.whole = False
            each.peer.client.drop(CloseCode.KICKED)
            self.notice_the_dropped()

    # Who gets what

    @rule(
        size=st.sampled_from(SIZES),
        path=st.sampled_from([None, None, *PATHS, "/nowhere"]),
        groups=st.sampled_from([None, None, {"red"}, {"red", "blue"}, set()]),
        excluding=st.none() | connected,
        user=st.sampled_from([None, None, *USERS, "nobody"]),
    )
    def broadcast(self, size, path, groups, excluding, user):
        self.deliver(size, path, groups, None, excluding, user=user)

    @rule(size=st.sampled_from(SIZES), path=st.sampled_from([None, *PATHS]), only=connected)
    def broadcast_to_one(self, size, path, only):
        self.deliver(size, path, None, only, None)

    def deliver(self, size, path, groups, only, excluding, *, user=None):
        frame = self.frame(size)
        matched = [
            each
            for each in self.members
            if (path is None or each.path == path)
            and (groups is None or each.groups & groups)
            and (only is None or each is only)
            and (user is None or each.user == user)
            and each is not excluding
        ]
        direct = {each for each in self.members if each.peer.client.direct}
        target = Target(
            path,
            None if groups is None else frozenset(groups),
            None if only is None else ClientId(only.peer.client.id),
            None if excluding is None else excluding.peer.client.id,
            user=user,
        )
        receipt = self.world.broadcast(frame, target)
        for each in matched:
            each.frames.append(frame.of(each.encoding))
        dropped = self.notice_the_dropped()
        assert receipt.matched == len(matched)
        assert receipt.queued == receipt.matched - receipt.dropped
        # Who is written to directly, now or before, can be found slow only when it is: in the flush that a drop causes.
        assert len(dropped - direct) <= receipt.dropped <= len(dropped)

    @rule(each=connected, size=st.sampled_from(SIZES))
    def send(self, each, size):
        data = self.frame(size).of(each.encoding)
        was_member = each.member
        sent = each.peer.client.send(data)
        if was_member:
            each.frames.append(data)
        self.notice_the_dropped()
        assert sent is each.member

    # What the loop and the peers do

    @rule()
    def end_the_turn(self):
        self.world.turn.end()
        self.notice_the_dropped()

    @rule()
    def flush(self):
        self.world.hub.flush()
        self.notice_the_dropped()

    @rule(each=connected, most=st.sampled_from([1, 700, 3_000, 1 << 20]))
    def read(self, each, most):
        each.peer.read(most)

    @rule(each=connected, room=st.sampled_from([1, 700, 3_000, 1 << 20]))
    def let_the_transport_send(self, each, room):
        each.peer.transport.room = room
        each.peer.transport.drain()
        self.notice_the_dropped()

    # What must hold

    def notice_the_dropped(self):
        """Find whom the hub has dropped since, and whether that was right; give them."""
        dropped = {each for each in self.members if each.peer.transport.ended == "aborted"}
        for each in dropped:
            each.member = each.whole = False
            assert each.peer.client.close_code in {CloseCode.TOO_SLOW, 1000}
            each.peer.read()
            taken, unwritten = len(each.peer.received), []
            for frame in each.frames:
                taken -= len(frame)
                if taken < 0:
                    unwritten.append(min(len(frame), -taken))
            assert sum(unwritten) > LIMIT, "dropped below its limit"
            assert len(unwritten) > 1, "dropped for one frame, though a frame is always taken when nothing waits"
        return dropped

    @invariant()
    def no_outbox_grows_over_its_limit(self):
        for each in self.everybody:
            if not each.peer.transport.ended:
                assert each.peer.client.waiting <= LIMIT + LARGEST

    @invariant()
    def the_hub_knows_its_members(self):
        assert set(self.world.hub.clients) == {each.peer.client.id for each in self.members}
        assert set(self.world.hub.everyone) == {each.peer.client for each in self.members}

    @invariant()
    def the_hub_knows_the_clients_of_each_user_and_no_guest(self):
        clients = [each.peer.client for each in self.members]
        for user in USERS:
            assert set(self.world.hub.of_user(user)) == {client for client in clients if client.user == user}
        assert set(self.world.hub.identified()) == {client for client in clients if client.user is not None}

    @invariant()
    def nobody_has_got_anything_else(self):
        for each in self.everybody:
            assert b"".join(each.frames).startswith(bytes(each.peer.received))

    def teardown(self):
        self.world.turn.end()
        self.notice_the_dropped()
        for each in self.everybody:
            received = each.peer.read_everything()
            expected = b"".join(each.frames)
            if each.whole:
                assert received == expected
            assert expected.startswith(received)
        for each in self.members:
            each.peer.client.left(CloseCode.NORMAL)
            each.peer.transport.close()
        while self.world.turn.soon:
            self.world.turn.end()
        hub = self.world.hub
        assert (hub._paths, hub._groups, hub._users) == ({}, {}, {})
        self.world.close()


def test_for_any_interleaving_everyone_gets_their_own_in_order_and_whole(new_world, signal):
    run_state_machine_as_test(
        lambda: Interleavings(new_world, signal), settings=settings(max_examples=120, stateful_step_count=50)
    )
