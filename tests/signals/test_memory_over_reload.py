"""What is remembered, over reloads: who is connected, behind, arriving or away misses nothing without being told."""

import asyncio
import contextlib
import socket

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from signalpost.testing import serve

V1 = ["signalpost.v1"]
PAD = "v" * 8_000
MOST = 2_000  # 16 MB: more than the kernel holds
TOP = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
  - {name: other, address: 127.0.0.1, port: 0, protocol: ws}
limits: {outbox: 128KiB, rate: 0}
"""
GATE = """
import asyncio
from signalpost import action

GO = asyncio.Event()

@action("gate")
async def gate(event, options):
    if event.request.query.get("gate"):
        await GO.wait()
"""
PATH = "/rooms/a"


def plan(*keys, path="/rooms/<room>", top=""):
    signal = ", ".join((f"path: {path}", "rebroadcast: path", "connected: [{gate: {}}]", *keys))
    return f"{TOP}{top}signals:\n  - {{{signal}}}\n"


KEPT = "history: {keep: 5000}"
CATCH_UP, DROP = "slow: {policy: catch_up, buffer: 64KiB}", "slow: {policy: drop_oldest, buffer: 64KiB}"
PRESENCE = "presence: {every: 10ms, grace: 0}"
BASE = plan(KEPT, CATCH_UP)
CHANGES = {
    "nothing": (BASE, BASE),
    "history is added": (plan(DROP), plan(KEPT, DROP)),
    "history with catch_up is added": (plan(DROP), BASE),
    "history is removed": (plan(KEPT, DROP), plan(DROP)),
    "history with catch_up is removed": (BASE, plan(DROP)),
    "less is kept": (BASE, plan("history: {keep: 3}", CATCH_UP)),
    "more is kept": (plan("history: {keep: 3}", CATCH_UP), BASE),
    "it is kept for longer": (BASE, plan("history: {keep: 5000, for: 1h}", CATCH_UP)),
    "newcomers read more": (BASE, plan("history: {keep: 5000, replay: 10}", CATCH_UP)),
    "newcomers read less": (plan("history: {keep: 5000, replay: 10}", CATCH_UP), BASE),
    "presence is added": (BASE, plan(KEPT, CATCH_UP, PRESENCE)),
    "presence is removed": (plan(KEPT, CATCH_UP, PRESENCE), BASE),
    "slow becomes catch_up": (plan(KEPT, DROP), BASE),
    "slow is catch_up no longer": (BASE, plan(KEPT, DROP)),
    "slow becomes disconnect": (BASE, plan(KEPT, "slow: {policy: disconnect}")),
    "slow becomes latest": (BASE, plan(KEPT, "slow: {policy: latest}")),
    "its place is of one endpoint": (BASE, plan(KEPT, CATCH_UP, "endpoint: live")),
    "its place is of all endpoints": (plan(KEPT, CATCH_UP, "endpoint: live"), BASE),
    "its place changes with presence": (
        plan(KEPT, CATCH_UP, PRESENCE),
        plan(KEPT, CATCH_UP, PRESENCE, "endpoint: live"),
    ),
    "its pattern is another": (BASE, plan(KEPT, CATCH_UP, path="/<kind>/<room>")),
    "its spelling is another": (BASE, plan(KEPT, CATCH_UP, path="/Rooms/<room>")),
    "the limit is lowered": (BASE, plan(KEPT, CATCH_UP, top="history: {limit: 1MiB}\n")),
    "the limit is lowered to very little": (BASE, plan(KEPT, CATCH_UP, top="history: {limit: 64KiB}\n")),
}


class Told:
    """What one client reads: numbers and notices, in order."""

    def __init__(self, client, sock=None):
        self.client = client
        self.events = []
        self.closed = 0
        self._sock = sock

    def note(self, data):
        document = orjson.loads(data)
        if "n" in document:  # a plain client's value
            self.events.append(document["n"])
        elif "signal" in document:
            self.events.append(document["signal"]["value"]["n"])
        elif "gap" in document:
            self.events.append("gap")
        elif "lagged" in document:
            self.events.append("lagged")

    async def until(self, number):
        """Read up to a value, or to the end of the connection."""
        if self._sock is not None:  # from now on it reads as fast as others
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        try:
            while not self.events or self.events[-1] != number:
                self.note(await asyncio.wait_for(self.client.receive(), 3))
        except ConnectionClosed as end:
            self.closed = end.rcvd.code if end.rcvd else 1006

    def judge(self, first, last, *, told=True, again=False):
        """Hold it against all that was sent: `first` to `last`."""
        expected, excused, seen = first, False, set()
        for event in self.events:
            if isinstance(event, str):
                excused = True
                continue
            if not (again and excused):
                assert event not in seen, f"{event} comes twice: {self.short}"
            seen.add(event)
            if told:
                assert event == expected or excused, f"{event} comes in place of {expected}: {self.short}"
                assert event >= expected or (again and excused), f"{event} comes after {expected}: {self.short}"
            else:
                assert event >= expected, self.short
            expected, excused = event + 1, False
        assert expected == last + 1 or self.closed, f"{expected} is not read: {self.short}"

    @property
    def short(self):
        runs = []
        for event in self.events:
            if runs and isinstance(event, int) and isinstance(runs[-1], list) and runs[-1][1] + 1 == event:
                runs[-1][1] = event
            else:
                runs.append([event, event] if isinstance(event, int) else event)
        return runs


class Story:
    """A server, its clients, and what was sent to their path."""

    def __init__(self, app, stack):
        self.app = app
        self.node = app.server.node
        self.sent = 0
        self._stack = stack

    async def connect(self, path=PATH, *, slow=False, plain=False):
        options = {"subprotocols": () if plain else V1, "ping_interval": None, "close_timeout": 1}
        sock = None
        if slow:
            sock = self._stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.setblocking(False)
            port = self.app.server.endpoints[0].port
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            options |= {"sock": sock, "max_queue": 1}
        client = await self._stack.enter_async_context(self.app.connect(path, endpoint="live", **options))
        return Told(client, sock)

    def publish(self, count=1, pad=PAD):
        for _ in range(count):
            self.node.broadcaster({"n": self.sent, "pad": pad}, path=PATH)
            self.sent += 1

    def side(self, told):
        return self.node.hub.clients[told.client.id]

    async def fill(self, told, *quick):
        """Send until something waits for a client, while others read."""
        side = self.side(told)
        while not side.waiting:
            assert self.sent < MOST, "nothing ever waits"
            self.publish()
            await asyncio.gather(*(each.until(self.sent - 1) for each in quick))
        for _ in range(20):
            self.publish()
            await asyncio.gather(*(each.until(self.sent - 1) for each in quick))

    def check_readers(self):
        """Each stream counts the clients that have it, and each client on the path of a stream has it."""
        streams = {stream.place: stream for stream in self.node.memory.streams}
        clients = list(self.node.hub.clients.values())
        for client in clients:
            assert client.stream is streams.get(client.place)
        for stream in streams.values():
            assert stream.readers == sum(client.stream is stream for client in clients), stream.place

    async def rest(self):
        while self.node.hub.clients or self.node.hub.closing or self.app.server._sockets.connections:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert all(not stream.readers for stream in self.node.memory.streams)
        streams = self.node.memory.streams
        assert streams.size == sum(stream.size for stream in streams)


@contextlib.asynccontextmanager
async def story(text):
    async with serve(text, plugins={"gate": GATE}) as app:
        gate = next(each.module for each in app.server.plan.registry.plugins if each.name == "gate")
        async with contextlib.AsyncExitStack() as stack:
            telling = Story(app, stack)
            try:
                yield telling
            finally:
                gate.GO.set()
        await telling.rest()


def open_gate(app):
    next(each.module for each in app.server.plan.registry.plugins if each.name == "gate").GO.set()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


async def position_of(told):
    """Read the first frame, a welcome; give the position in it."""
    return orjson.loads(await told.client.receive())["welcome"].get("at", "")


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("back", [False, True], ids=["once", "and back"])
async def test_nobody_misses_a_value_silently_or_reads_one_twice(change, back):
    before, after = change
    async with story(before) as it:
        quick, plain = await it.connect(), await it.connect(plain=True)
        at = await position_of(quick)
        slow, slow_plain = await it.connect(slow=True), await it.connect(slow=True, plain=True)
        arriving = await it.connect(f"{PATH}?gate=1&at={at}")
        newcomer = await it.connect(f"{PATH}?gate=1")
        it.publish(5)
        it.check_readers()
        reading = asyncio.gather(quick.until(4), plain.until(4))
        await reading

        async def reload(text, last):
            number = it.sent
            await it.app.reload(text)
            it.check_readers()
            it.publish(5, pad="")
            await asyncio.gather(quick.until(it.sent - 1), plain.until(it.sent - 1))
            assert it.sent == number + 5
            if last:
                open_gate(it.app)
                await until(lambda: not any(each.arriving for each in it.node.hub.clients.values()))
                it.publish(5, pad="")

        await it.fill(slow, quick, plain)
        await reload(after, not back)
        if back:
            await reload(before, True)
        last = it.sent - 1
        for each in (quick, plain, slow, slow_plain, arriving, newcomer):
            await each.until(last)
        it.check_readers()
        quick.judge(0, last)
        plain.judge(0, last, told=False)
        slow.judge(0, last)
        slow_plain.judge(0, last, told=False)
        if at:
            arriving.judge(0, last, again=True)
        first = next(each for each in newcomer.events if isinstance(each, int))
        newcomer.judge(first, last, again=True)


async def test_a_quick_client_is_told_of_no_gap_by_a_reload_that_changes_nothing_of_its_path():
    async with story(BASE) as it:
        quick = await it.connect()
        await position_of(quick)
        it.publish(3)
        for name in ("nothing", "it is kept for longer", "presence is added", "newcomers read more"):
            await it.app.reload(CHANGES[name][1])
            it.publish(3)
        await quick.until(it.sent - 1)
        assert quick.events == list(range(it.sent))


async def test_who_was_away_during_a_reload_reads_on_where_it_was_or_is_told():
    for name, (before, after) in CHANGES.items():
        async with story(before) as it:
            one = await it.connect()
            at = await position_of(one)
            await one.client.close()
            it.publish(5, pad="")
            await it.app.reload(after)
            it.publish(5, pad="")
            again = await it.connect(f"{PATH}?at={at}" if at else PATH)
            welcome = orjson.loads(await again.client.receive())["welcome"]
            it.publish(1, pad="")
            await again.until(it.sent - 1)
            if "at" in welcome and at:
                again.judge(0, it.sent - 1, again=True)
                assert welcome["recovered"] is ("gap" not in again.events), name
            it.check_readers()


async def test_a_lower_limit_counts_at_once_and_takes_the_quiet_paths_first():
    async with story(BASE) as it:
        quick = await it.connect()
        await position_of(quick)
        for number in range(100):
            it.node.broadcaster({"n": -1, "pad": PAD}, path=f"/rooms/quiet{number}")
        it.publish(10)
        streams = it.node.memory.streams
        assert streams.size > 800_000
        await it.app.reload(plan(KEPT, CATCH_UP, top="history: {limit: 256KiB}\n"))
        assert streams.size <= 256 * 1024
        assert len(it.side(quick).stream) == 10
        await it.app.reload(plan(KEPT, CATCH_UP, top="history: {limit: 64KiB}\n"))
        assert streams.size <= 64 * 1024
        assert 0 < len(it.side(quick).stream) < 10
        await quick.until(9)
        assert quick.events == list(range(10))


async def test_presence_that_is_added_and_removed_counts_who_is_there_once():
    with_presence = plan(KEPT, PRESENCE)
    async with story(plan(KEPT)) as it:
        one, two = await it.connect(), await it.connect(plain=True)
        held = await it.connect(f"{PATH}?gate=1")
        await until(lambda: len(it.node.hub.clients) == 3)
        for _ in range(3):
            await it.app.reload(with_presence)
            assert {each.user: each.n for each in it.node.memory.present(PATH)} == {one.client.id: 1, two.client.id: 1}
            await it.app.reload(plan(KEPT))
            assert not [each for each in it.node.memory.present(PATH) if each.n]
        await it.app.reload(with_presence)
        open_gate(it.app)
        await until(lambda: len(it.node.memory.present(PATH)) == 3)
        assert {each.n for each in it.node.memory.present(PATH)} == {1}
        assert held.client.id in {each.user for each in it.node.memory.present(PATH)}


async def test_sessions_follow_their_clients_to_another_place():
    async with story(BASE) as it:
        one = await it.connect()
        session = orjson.loads(await one.client.receive())["welcome"]["session"]
        await it.app.reload(CHANGES["its place is of one endpoint"][1])
        await one.client.close()
        offered = [*V1, f"signalpost.session.{session}"]
        async with it.app.connect(PATH, endpoint="live", subprotocols=offered) as again:
            assert (await again.receive_json())["welcome"]["session"] == session
