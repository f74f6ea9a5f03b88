"""For any interleaving of sends, partial writes and reads: what clients of each policy get, and what is missing where.

The model knows only what was sent to each client, and whether the policies may ever have left something out of it.
What outboxes hold is test_outbox.py's; here it goes over real sockets, and over transports of a width that is set.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from signalpost.config.model import SlowPolicy
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.target import ClientId, Target
from signalpost.websocket.frames import CloseCode, encode_close

LIMITS = (6_000, 40_000)
SIZES = (0, 100, 2_500, 5_900, 20_000)
PATHS = (None, "/", "/a", "/b")
LARGEST = SIZES[-1] + 20


class Sent:
    """A frame that was sent to a client.

    Attributes:
        data: encoded.
        path: of a value; None is a value of no path.
        owed: it is a notice.

    """

    def __init__(self, data, path, *, owed=False):
        self.data = data
        self.path = path
        self.owed = owed


class Listener:
    """What the model knows of one client.

    Attributes:
        sent: to it while it was connected, in order.
        there: it is connected still.
        whole: whether all that it is owed must arrive; else a beginning of it does.

    """

    def __init__(self, peer, limit):
        self.peer = peer
        self.client = peer.client
        self.limit = limit
        self.sent = []
        self.there = self.whole = True

    @property
    def lossy(self):
        return self.client.policy is not SlowPolicy.DISCONNECT

    def missing(self, received):
        """Hold what it has received against what was sent; give the values that are missing before its end.

        Frames come whole, once and in order; only values are missing; and who reads the envelope is told of each
        where it is missing.
        """
        told, place, missing, since = 0, 0, [], 0
        for data in frames_of(received):
            if data.startswith(b"\x81") and b'{"lagged"' in data:
                told += missed_in(data)
                continue
            skipped = []
            while self.sent[place].data != data:
                assert not self.sent[place].owed, "a notice is missing, or frames are out of order"
                skipped.append(self.sent[place])
                place += 1
            place += 1
            missing += skipped
            if self.client.encoding is V1:
                assert told - since == len(skipped), "told of another number than is missing here"
            since = told
        tail = self.sent[place:]
        assert self.client.encoding is V1 or not told
        return missing, tail, told - since


def frames_of(stream):
    """Give the frames of a stream that ends with a whole one; a frame that is cut short is left off."""
    place = 0
    while place + 2 <= len(stream):
        start, size = 2, stream[place + 1]
        if size == 126:
            start, size = 4, int.from_bytes(stream[place + 2 : place + 4], "big")
        elif size == 127:
            start, size = 10, int.from_bytes(stream[place + 2 : place + 10], "big")
        if place + start + size > len(stream):
            return
        yield stream[place : place + start + size]
        place += start + size


def missed_in(data):
    count = int(data.partition(b'"missed":')[2].partition(b"}")[0])
    assert data == V1.codec.lagged(count)
    return count


class Policies(RuleBasedStateMachine):
    """Everything that happens between a hub and clients that are slow."""

    listeners = Bundle("listeners")

    def __init__(self, new_world, signal):
        super().__init__()
        self.world = new_world()
        self.signal = signal
        self.everybody = []
        self.count = 0

    def frame(self, size, path):
        self.count += 1
        return self.signal(f"#{self.count}", size, path)

    @rule(
        target=listeners,
        policy=st.sampled_from(SlowPolicy),
        encoding=st.sampled_from([PLAIN, V1]),
        limit=st.sampled_from(LIMITS),
        tls=st.booleans(),
    )
    def connect(self, policy, encoding, limit, tls):
        each = Listener(self.world.connect(encoding=encoding, limit=limit, policy=policy, tls=tls), limit)
        self.everybody.append(each)
        self.notice_the_dropped()
        return each

    @rule(size=st.sampled_from(SIZES), path=st.sampled_from(PATHS), only=st.none() | listeners)
    def broadcast(self, size, path, only):
        frame = self.frame(size, path)
        matched = [each for each in self.everybody if each.there and only in (None, each)]
        for each in matched:
            each.sent.append(Sent(frame.of(each.client.encoding), path))
        target = Target() if only is None else Target(client=ClientId(only.client.id))
        receipt = self.world.broadcast(frame, target)
        self.notice_the_dropped()
        assert receipt.matched == len(matched) == receipt.queued + receipt.dropped

    @rule(each=listeners, size=st.sampled_from(SIZES[:3]))
    def owe(self, each, size):
        data = self.frame(size, None).of(each.client.encoding)
        was_there = each.there
        sent = each.client.send(data)
        if was_there:
            each.sent.append(Sent(data, None, owed=True))
        self.notice_the_dropped()
        assert sent is each.there

    @rule(each=listeners)
    def close(self, each):
        if each.there:
            each.client.close(1000)
            each.sent.append(Sent(encode_close(1000), None, owed=True))
            self.notice_the_dropped()
            each.there = False

    @rule()
    def end_the_turn(self):
        self.world.turn.end()
        self.notice_the_dropped()

    @rule(each=listeners, most=st.sampled_from([1, 700, 3_000, 1 << 20]))
    def read(self, each, most):
        each.peer.read(most)

    @rule(each=listeners, room=st.sampled_from([1, 700, 3_000, 1 << 20]))
    def let_the_transport_send(self, each, room):
        each.peer.transport.room = room
        each.peer.transport.drain()
        self.notice_the_dropped()

    def notice_the_dropped(self):
        for each in self.everybody:
            if each.there and each.peer.transport.ended == "aborted":
                each.there = each.whole = False
                total = sum(len(sent.data) for sent in each.sent)
                assert total > each.limit, "dropped below its limit"
                assert not each.lossy or any(sent.owed for sent in each.sent), "dropped for values it could lose"

    @invariant()
    def no_outbox_grows_over_its_limit(self):
        for each in self.everybody:
            if not each.peer.transport.ended:
                assert each.client.waiting <= each.limit + LARGEST

    @invariant()
    def the_load_is_never_less_than_what_waits(self):
        if self.world.turn.soon:
            return  # it is reckoned at the end of the turn
        waiting = sum(each.client.waiting for each in self.everybody if not each.peer.transport.ended)
        assert self.world.hub._backlog.total >= waiting

    def teardown(self):
        self.world.turn.end()
        self.notice_the_dropped()
        for each in self.everybody:
            missing, tail, told = each.missing(each.peer.read_everything())
            if not each.whole:
                continue
            assert not any(sent.owed for sent in tail), "a notice never came"
            missing += tail
            if each.client.encoding is V1:
                assert told == len(tail)
            assert each.lossy or not missing
            if sum(len(sent.data) for sent in each.sent) > each.limit:
                continue  # the oldest may have given way
            outdated = {sent for place, sent in enumerate(each.sent) if self.is_outdated(each, sent, place)}
            assert set(missing) <= (outdated if each.client.policy is SlowPolicy.LATEST else set())
        for each in self.everybody:
            each.client.left(CloseCode.NORMAL)
            each.peer.transport.close()
        while self.world.turn.soon:
            self.world.turn.end()
        assert self.world.hub._backlog.total == 0
        self.world.close()

    @staticmethod
    def is_outdated(each, sent, place):
        return not sent.owed and any(later.path == sent.path and not later.owed for later in each.sent[place + 1 :])


def test_for_any_interleaving_each_client_gets_what_its_policy_says_and_is_told_what_not(new_world, signal):
    run_state_machine_as_test(
        lambda: Policies(new_world, signal), settings=settings(max_examples=120, stateful_step_count=50)
    )
