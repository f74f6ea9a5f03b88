"""Attacks recovery with random schedules: a real node, clients that lose connections, a model of what they read.

    .venv/bin/python tests/history/schedules.py --schedules 40000 [--seed 0]

The model knows, for each path, every value that was ever sent to it, in order. A position is a place in that order. So
a client's whole life is a sequence of numbers, which may only grow, and may leave a number out only where the client
was told (`gap`, `lagged`, ``recovered: false``), or where the value leaves its own session out.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import logging
import random
import re
import socket
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import orjson

from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.hub import Hub
from signalpost.delivery.inbound import Inbound
from signalpost.delivery.ring import Ring
from signalpost.delivery.writers import OneByOne
from signalpost.events import HandshakeRequest
from signalpost.history.file import HistoryFile
from signalpost.history.keeper import KeptHistory
from signalpost.history.stream import ENTRY, STREAM
from signalpost.node import Node
from signalpost.paths import path_of
from signalpost.plan import load_plan
from signalpost.signals.admission import ConnectRequest
from signalpost.signals.broadcast import SenderBroadcast
from signalpost.signals.memory import Memory
from signalpost.signals.message import ClientMessage
from signalpost.signals.recovery import MOST_BYTES, MOST_ENTRIES
from signalpost.signals.sessions import LIFE
from signalpost.sockets.connection import Clockwork, Connection
from signalpost.sockets.reload import ClientReload
from signalpost.state.state import State
from signalpost.websocket.frames import Opcode
from signalpost.websocket.reader import FrameReader

POLICIES = ("disconnect", "catch_up", "drop_oldest", "latest")
OFTEN = (3, 4, 1, 1)
LOSSY = ("drop_oldest", "latest")
WAITING = "waits"  # paths whose clients wait for their list `connected`
BUFFER = 6_000
HISTORIES = (
    None,
    None,
    {"keep": 100, "for": "1h"},
    {"keep": 100, "for": "1h"},
    {"keep": 3, "for": "20s", "replay": 2},
    {"keep": 1, "replay": 1},
    {"keep": 12, "for": "5s", "replay": 12},
)
LIMITS = ("64MiB", "64MiB", "100KB", "9KB", "2KB")
PLANS = 13
NOTHING_KEPT = PLANS - 1
SIZES = (0, 0, 0, 100, 1_000, 5_000, 30_000, 70_000)
AMOUNTS = (1, 200, 3_000, 100_000, 100_000, 1 << 30)
EVERYTHING = 1 << 30
SOON = 12  # turns after which a schedule is quiet, if nobody publishes


class BreachError(AssertionError):
    """An invariant does not hold."""


def _conftest():
    """Load the fake transport of the tests of delivery, which is held to the contract of real ones there."""
    spec = importlib.util.spec_from_file_location(
        "schedules_wires", Path(__file__).parents[1] / "delivery" / "conftest.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FakeTransport = _conftest().FakeTransport


class Wire(FakeTransport):
    """A transport whose protocol is a real `Connection`.

    Attributes:
        far: the peer's end of its socket.
        races: bytes that the peer reads just before each write.
        early: what it has read so.

    """

    far = None
    races = 0

    def write(self, data):
        if self.races:
            self.early += self.take_far(self.races)
            self.room += self.races
        super().write(data)

    def take_far(self, most):
        """Let the peer read from its end."""
        taken = bytearray()
        if self.far is not None:
            with contextlib.suppress(OSError):
                while len(taken) < most and (part := self.far.recv(min(most - len(taken), 65_536))):
                    taken += part
        return taken

    def set_protocol(self, protocol):
        self.protocol = protocol

    def pause_reading(self):
        """Nothing is read but what the schedule says."""

    resume_reading = pause_reading


# What is sent


class Line:
    """Everything that was ever sent to one path.

    Attributes:
        names: of the values, in order.
        left_out: for each of them the session that it leaves out, or None.
        index: of a value by its name.
        bases: for each epoch the index before offset 1; after a crash, more of them: each from an offset on.
        lost: indexes of values that were lost in a crash.

    """

    def __init__(self, path):
        self.path = path
        self.names = []
        self.left_out = []
        self.index = {}
        self.bases = {}
        self.lost = set()

    def add(self, name, left_out):
        if name in self.index:
            raise BreachError(f"{name} was published twice")
        self.index[name] = len(self.names)
        self.names.append(name)
        self.left_out.append(left_out)

    def note(self, epoch, offset, index):
        """Note that a position is that of a value, which was sent now."""
        if self.base(epoch, offset, index - offset) != index - offset:
            raise BreachError(f"{self.path}: the offsets of {epoch} have a hole or a twin at {offset}")

    def base(self, epoch, offset, unknown):
        """Return the index before offset 1 that applies to an offset; if the epoch was never seen, it is `unknown`."""
        return [base for begin, base in self.bases.setdefault(epoch, [(0, unknown)]) if begin <= offset][-1]

    def where(self, position):
        """Return the index of the value that a position is behind; None if its epoch was never seen."""
        epoch, offset, _ = position.split(":")
        return self.base(epoch, int(offset), 0) + int(offset) if epoch in self.bases else None

    def crash(self, before, epoch, top):
        """Note that a stream was restored up to an offset, under another epoch: what was sent behind it is lost."""
        pieces = [piece for piece in self.bases[before] if piece[0] <= top]
        self.lost.update(range(pieces[-1][1] + top + 1, len(self.names)))
        self.bases[epoch] = [*pieces, (top + 1, len(self.names) - 1 - top)]

    def missing(self, after, until, session, excused):
        """Return a value between two indexes that a session should have read; None if there is none."""
        for index in range(max(after + 1, 0), until):
            owed = self.left_out[index] is None or self.left_out[index] != session
            if owed and index not in self.lost and not any(first <= index <= last for first, last in excused):
                return self.names[index]
        return None


def name_of(value):
    """Return the name of a value; it begins with it."""
    return str(value["n"]) if isinstance(value, dict) else str(value).partition(":")[0]


# Who reads


class Fan:
    """Somebody who connects, loses the connection and comes back.

    Attributes:
        seat: its connection; None while it has none.
        session: that it was told last.
        position: of the last value or gap that it has read; None before.
        reached: the index of that.
        old: positions that it had, with their indexes.
        left_at: when it lost its last connection.
        forgotten: whether the server may have forgotten its session since.

    """

    def __init__(self, number, path, *, v1):
        self.number = number
        self.path = path
        self.v1 = v1
        self.policy = path.split("/")[1].removesuffix(f"_{WAITING}")
        self.lossy = self.policy in LOSSY
        self.waits = WAITING in path
        self.seat = None
        self.session = ""
        self.position = None
        self.reached = None
        self.old = []
        self.left_at = 0.0
        self.forgotten = False

    def note(self, position, index):
        self.position, self.reached = position, index
        self.old.append((position, index))


class Seat:
    """One connection of a fan, and what it has read from it.

    Attributes:
        brought: the position in the handshake with its index; the index is None if it is not one of this path.
        session: by which values leave it out.
        last: the index of the newest value that it has read; within a connection it only grows.
        reached: it has read everything up to here, or was told; None if it does not know.
        bound: the index of the position in the welcome.
        slack: it was told that values between these indexes are missing before the next one.
        large_slack: it was told that values are missing, maybe some to everyone.
        promised: how many missed values are still to come, by the welcome; None if that does not bind any more.
        owed_gap: a gap must be told before the next value.
        at_large: the index of the newest value to everyone that it has read.

    """

    def __init__(self, fan, line, brought):
        self.fan = fan
        self.line = line
        self.brought = brought
        self.welcomed = not fan.v1
        self.session = None
        self.last = -1
        self.reached = None
        self.bound = None
        self.slack = []
        self.promised = None
        self.owed_gap = False
        self.at_large = None
        self.large_slack = False
        self.large_before = 0  # values that were sent to everyone before it came
        self.received = bytearray()
        self.over = False
        self.reloaded = False

    def fail(self, text):
        fan = self.fan
        raise BreachError(
            f"fan {fan.number} on {fan.path} ({'v1' if fan.v1 else 'plain'}): {text} "
            f"[reached {self.reached}, last {self.last}, bound {self.bound}, sent {len(self.line.names)}]"
        )

    def take(self, data, large):
        """Read bytes: whole frames count."""
        self.received += data
        while not self.over and (frame := _first_frame(self.received)) is not None:
            size, opcode, payload = frame
            del self.received[:size]
            if opcode == Opcode.CLOSE:
                self.over = True
            elif opcode == Opcode.TEXT:
                self._read(payload, large)

    def _read(self, payload, large):
        if not self.fan.v1:
            self._value(name_of(_loaded(payload)), None, large)
            return
        ((kind, body),) = orjson.loads(payload).items()
        if kind == "welcome":
            self._welcome(body)
        elif not self.welcomed:
            self.fail(f"{kind} before the welcome")
        elif kind == "signal":
            self._value(name_of(body["value"]), body.get("at"), large)
        elif kind == "gap":
            self._gap(body)
        elif kind == "lagged":
            self._lagged(body)
        elif kind not in ("bye", "ack"):
            self.fail(f"{kind} is read")

    def _welcome(self, body):  # noqa: C901, PLR0912 - one check after the other
        fan, line = self.fan, self.line
        if body["clientId"] != self.client.id:
            self.fail("another client is welcomed")
        self.welcomed = True
        fan.forgotten = False
        if self.offered and self.session_due and self.session != self.offered:
            self.fail("its session was forgotten")
        fan.session = body["session"]
        if "at" not in body:
            return
        self.bound = line.where(body["at"])
        if self.bound is None:
            self.fail("the welcome has an unknown position")
        if self.brought is None:
            if "recovered" in body:
                self.fail("recovered, but it brought nothing")
            fan.note(body["at"], self.bound)
            return
        text, index = self.brought
        if "recovered" not in body:
            self.fail("the welcome does not say whether it recovered")
        self.promised = body["missed"]
        if not body["recovered"]:
            if self.due:
                self.fail(f"not recovered, though everything behind {text} is there")
            self.owed_gap = True
            return
        if index is None:
            self.fail(f"recovered from {text}, which is none of its positions")
        if not self.due:
            self.fail(f"recovered from {text}, behind which not everything is there")
        if any(lost > index for lost in line.lost):
            self.fail(f"recovered from {text}, behind which values were lost in a crash")
        self.reached = index
        wanted = sum(
            left_out is None or left_out != self.session for left_out in line.left_out[index + 1 : self.bound + 1]
        )
        if wanted != body["missed"]:
            self.fail(f"recovered: true says missed {body['missed']}, and {wanted} were missed")

    def _lagged(self, body):
        """Read that values are missing here: of the path only those between the positions that it names, if any."""
        if self.fan.policy == "disconnect":
            self.fail("lagged, but the policy loses nothing")
        self.large_slack = True
        if self.reloaded:  # what waited stays under the policy of before, and may have no positions
            self.slack.append((0, EVERYTHING))
            self.promised = None
            return
        if "from" not in body:
            if self.fan.lossy and self.bound is None:
                self.slack.append((0, EVERYTHING))
            return
        if not self.fan.lossy:
            self.fail("lagged on its path, but the policy reads everything from the history")
        first, last = self.line.where(body["from"]), self.line.where(body["to"])
        if first is None or last is None:
            self.fail("lagged between unknown positions")
        if not self.last < first <= last:
            self.fail(f"lagged from {first} to {last}")
        self.slack.append((first, last))
        self.promised = None

    def _gap(self, body):
        index = None if body["at"] is None else self.line.where(body["at"])
        if body["path"] != self.fan.path:
            self.fail("the gap is on another path")
        if index is None:
            if not self.reloaded:
                self.fail("the gap is at an unknown position")
            self.reached = self.bound = self.promised = None
            self.owed_gap, self.slack = False, []
            return
        if index < self.last:
            self.fail(f"the gap goes back to {index}")
        if not self.owed_gap:
            self.promised = None
        self.owed_gap = False
        self.reached = self.last = index
        self.slack = []
        self.fan.note(body["at"], index)

    def _value(self, name, at, large):
        line = self.line
        index = line.index.get(name)
        if index is None:
            if name in large:
                self._large(large[name])
            elif not name.startswith("alone"):
                self.fail(f"{name} was never sent here")
            return
        if at is not None and line.where(at) != index:
            self.fail(f"{name} is at {line.where(at)}, not {index}")
        if index <= self.last:
            self.fail(f"{name} is read again, or out of order ({index})")
        if line.left_out[index] is not None and line.left_out[index] == self.session:
            self.fail(f"{name} leaves it out")
        if self.fan.v1:
            self._in_order(name, index)
        self.last = index
        if at is None and self.bound is None and name.endswith(self.client.id):
            return  # its own list sent it, while it was in no audience
        self.reached = index
        self.slack = []
        if at is not None:
            self.fan.note(at, index)

    def _in_order(self, name, index):
        if self.owed_gap and not self.reloaded:
            self.fail(f"recovered: false, and {name} follows without a gap")
        if self.reached is not None and index <= self.reached:
            self.fail(f"{name} was read before ({index})")
        after = self.reached if self.reached is not None else self.bound
        lost = None if after is None else self.line.missing(after, index, self.session, self.slack)
        if lost is not None:
            self.fail(f"{lost} is missing silently before {name}")
        if self.promised is not None:
            if self.bound is not None and index <= self.bound:
                self.promised -= 1
            elif self.promised:
                self.fail(f"{self.promised} promised values did not come before {name}")

    def _large(self, index):
        if self.at_large is not None and index <= self.at_large:
            self.fail("a value to everyone is read again, or out of order")
        if self.at_large is not None and index > self.at_large + 1 and not (self.large_slack or self.may_lose_large):
            self.fail("a value to everyone is missing")
        self.at_large = index
        self.large_slack = False

    @property
    def may_lose_large(self):
        return self.fan.policy != "disconnect" and (self.fan.lossy or not self.fan.v1)

    def rest(self, large):
        """Hold what it has read against what was sent, now that it has read everything."""
        if not self.welcomed:
            self.fail("never welcomed")
        line = self.line
        after = self.reached if self.reached is not None else self.bound
        if self.fan.v1:
            lost = None if after is None else line.missing(after, len(line.names), self.session, self.slack)
            if lost is not None:
                self.fail(f"{lost} never came")
            if self.promised:
                self.fail(f"{self.promised} promised values never came")
            if self.owed_gap and not self.reloaded:
                self.fail("recovered: false, but no gap was told")
        told = self.large_slack or self.may_lose_large or self.fan.waits
        if len(large) > self.large_before and self.at_large != len(large) - 1 and not told:
            self.fail("the newest value to everyone never came")


def _loaded(payload):
    return orjson.loads(payload) if payload[:1] == b"{" else payload.decode()


def _first_frame(data):
    """Return the size, opcode and payload of the first frame of some bytes; None if it is not whole."""
    if len(data) < 2:
        return None
    start, size = 2, data[1]
    if size == 126:
        start, size = 4, int.from_bytes(data[2:4])
    elif size == 127:
        start, size = 10, int.from_bytes(data[2:10])
    return (start + size, data[0] & 15, bytes(data[start : start + size])) if len(data) >= start + size else None


def _masked(text):
    payload = text.encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2) if size < 65_536 else b""
    if not length:
        length = b"\xff" + size.to_bytes(8)
    return b"\x81" + length + bytes(4) + payload  # a key of zeros


# Where it happens


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time passes when the schedule says so."""

    def __init__(self, clock):
        self._seconds = clock
        super().__init__()

    def time(self):
        return self._seconds()


_PLANS = {}


def plan_of(number):
    """Return one of the plans; each is loaded once."""
    if number not in _PLANS:
        dice = random.Random(number)
        signals = []
        for name in POLICIES:
            for waits in (False, True):
                history = dice.choice(HISTORIES)
                if number in (0, NOTHING_KEPT):
                    history = None if number else {"keep": 100, "for": "1h"}
                slow = {"policy": name if history is not None or name != "catch_up" else "disconnect", "buffer": BUFFER}
                signal = {"path": f"/{name}{f'_{WAITING}' if waits else ''}/<n>", "rebroadcast": "path", "slow": slow}
                if history is not None:
                    signal["history"] = history
                if waits:
                    signal["connected"] = [
                        {"broadcast": {"value": "came-{{ client.id }}:", "path": "{{ path }}"}},
                        {"reply": {"value": "alone:" + "-" * dice.choice((10, 3_000))}},
                        {"wait": "3s"},
                        {"broadcast": {"value": "here-{{ client.id }}:", "path": "{{ path }}"}},
                    ]
                signals.append(signal)
        limit = "64MiB" if number == 0 else LIMITS[number % len(LIMITS)]
        document = {
            "endpoints": [{"name": "live", "address": "127.0.0.1", "port": 0, "protocol": "ws"}],
            "history": {"limit": limit},
            "signals": signals,
        }
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "routes.yaml"
            file.write_bytes(orjson.dumps(document))
            _PLANS[number] = load_plan(file)
    return _PLANS[number]


def _ring():
    try:
        ring = Ring()
    except OSError:
        return None
    ring.fewest = 1
    return ring


_WRITERS = []


def writer_of(number):
    if not _WRITERS:
        _WRITERS.extend((OneByOne(), _ring() or OneByOne()))
    return _WRITERS[number]


def close():
    """Release what all schedules share: the writers, and the plans."""
    for writer in _WRITERS:
        writer.close()
    for plan in _PLANS.values():
        plan.registry.unload()
    _WRITERS.clear()
    _PLANS.clear()


@dataclass(frozen=True)
class Schedule:
    """What happens.

    Attributes:
        seed: that it was made of.
        fans: path and protocol of each.
        plan: the first one.
        writer: 0 is a call for each socket, 1 the ring.
        kept: whether the history is kept in a file.
        steps: name and arguments of each.

    """

    seed: int
    fans: tuple
    plan: int
    writer: int
    kept: bool
    steps: tuple


class World:
    """A node, its fans, and what was sent.

    Attributes:
        log: is told what is read; None tells nothing.

    """

    log = None

    def __init__(self, schedule, loop, clock, stack):
        self.loop = loop
        self.clock = clock
        self.stack = stack
        self.plan = schedule.plan
        self.writer = writer_of(schedule.writer)
        self.lines = {}
        self.large = {}
        self.count = 0
        self.fans = [Fan(number, path, v1=v1) for number, (path, v1) in enumerate(schedule.fans)]
        self.zombies = []
        self.sockets = []
        self.file = None
        if schedule.kept:
            self.file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "history.db"

    def line(self, path):
        if path not in self.lines:
            self.lines[path] = Line(path)
        return self.lines[path]

    # A node's life

    async def open(self):
        plan = plan_of(self.plan)
        self.hub = Hub(self.loop.call_soon, writer=self.writer)
        self.node = node = Node(plan, self.hub, State({}))
        node.memory = node.shared.services.memory = Memory(self.hub, plan.config, self.clock)
        node.memory.configure(node.generation.table, plan.config)
        if self.file is not None:
            kept = KeptHistory(*HistoryFile.open(self.file))
            node.memory.restore(kept)
            for record, _ in () if kept.in_order else kept.streams:
                if (stream := node.memory.streams.find(record.place)) is not None:
                    self.line(record.place).crash(record.epoch, stream.epoch, record.top)
        await node.open()
        deliver = node.broadcaster.publish
        node.broadcaster.publish = lambda publication: self._publish(publication, deliver)
        node.memory.start()
        hangups = SimpleNamespace(watch=lambda *_: None, forget=lambda *_: None)
        self.keepalive = SimpleNamespace(now=0.0, connections=set(), hangups=hangups)
        self.inbound = Inbound()
        self.endpoint = next(each for each in plan.config.endpoints if each.name == "live")
        self.learn()

    def _publish(self, publication, deliver):
        target, name = publication.target, name_of(publication.value)
        line = None
        if target.path is not None and target.groups is None and target.client is None:
            left_out = None
            if target.excluding is not None:
                client = self.hub.clients.get(target.excluding)
                left_out = (target.left_out or target.excluding) if client is None else client.session
            line = self.line(path_of(target.path))
            line.add(name, left_out)
        elif target.client is None:
            self.large[name] = len(self.large)
        index = 0 if line is None else len(line.names) - 1
        receipt = deliver(publication)
        if line is not None and (position := publication.position) is not None:
            line.note(position.epoch, position.offset, index)
        return receipt

    def learn(self):
        """Note the epochs of streams, which tell clients positions before the first value."""
        for stream in self.node.memory.streams:
            line = self.line(path_of(stream.place))
            line.base(stream.epoch, stream.top, len(line.names) - 1 - stream.top)

    async def end(self, *, in_order=True):
        """End the node; all connections with it."""
        for task in tuple(self.node.running):
            task.cancel()
        for fan in self.fans:
            self.leave(fan, noticed=True)
        self.end_zombies()
        await self.turns(3)
        if in_order:
            await self.node.memory.stop()
        else:
            await self._crash()
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()

    async def _crash(self):
        memory = self.node.memory
        memory._sweeping.cancel()
        keeper = memory._keeper
        if keeper is not None:
            keeper._running.cancel()
            await asyncio.wait((keeper._running,))
            await asyncio.to_thread(keeper._file.close, clean=False)

    async def turns(self, count):
        for _ in range(count):
            await asyncio.sleep(0)

    # Steps

    def do_connect(self, number, brings, with_session, tls, kept, races):  # noqa: PLR0917 - as a step has them
        fan = self.fans[number]
        if fan.seat is not None:
            self.leave(fan, noticed=False)
        brought = self._position(fan, brings)
        near = far = None
        if not tls:
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            near.setblocking(False)
            far.setblocking(False)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            self.sockets += [near, far]
        wire = Wire(
            self.loop.call_soon, near, kept=b"" if tls else b"\x8a\x00" * (kept // 2)
        )  # pongs, instead of a 101
        if tls:
            wire._high = 3_000
        wire.far, wire.races, wire.early = far, races, bytearray()
        query = "" if brought is None else f"?at={brought[0]}"
        head = f"GET {fan.path}{query} HTTP/1.1\r\nHost: x".encode()
        accept = self.node.admitter.admit(
            ConnectRequest(self.endpoint, fan.path, HandshakeRequest(head, ("127.0.0.1", 1)))
        )
        connection = Connection(
            wire,
            self.node,
            self.keepalive,
            FrameReader(1 << 20),
            allowance=None,
            clockwork=Clockwork(self.loop.call_soon, self.loop.call_later),
            inbound=self.inbound,
        )
        offered = fan.session if with_session and fan.v1 else ""
        session_due = self._is_known(fan, offered)
        fan.forgotten = fan.forgotten or offered != fan.session
        conversation = self.node.attach(wire, accept, V1 if fan.v1 else PLAIN, connection, offered)
        seat = fan.seat = Seat(fan, self.line(fan.path), brought)
        seat.wire, seat.connection, seat.client = wire, connection, conversation.client
        seat.due = self._is_due(fan.path, brought)
        seat.offered, seat.session_due = offered, session_due
        seat.large_before = len(self.large)
        seat.session = seat.client.session
        connection.begin(conversation, b"")

    def _position(self, fan, brings):
        if brings == "last" and fan.position is not None:
            return fan.position, fan.reached
        if brings == "old" and fan.old:
            return fan.old[len(fan.old) // 2]
        if brings == "garbage":
            return "rubbish:1:zz", None
        if brings == "forged" and fan.position is not None:
            epoch, offset, _ = fan.position.split(":")
            return f"{epoch}:{int(offset) + 2}:7hq2", None
        if brings == "foreign":
            for other in self.fans:
                if other.path != fan.path and other.position is not None:
                    return other.position, None
        return None

    def _is_known(self, fan, offered):
        """Return whether the node must know a session: it has values that leave it out, and was left just now."""
        stream = self.node.memory.streams.find(fan.path) if self.node.memory.keeps else None
        if stream is None or fan.forgotten or self.clock.now - fan.left_at > LIFE:
            return False
        return any(entry.left_out == offered for _, entry in stream.after(0))

    def _is_due(self, path, brought):
        """Return whether what is behind a position must be recovered."""
        stream = self.node.memory.streams.find(path) if self.node.memory.keeps else None
        if stream is None or brought is None or brought[1] is None:
            return False
        epoch, offset, _ = brought[0].split(":")
        self.node.memory.streams.expire(stream)
        missed = stream.top - int(offset)
        return (
            epoch == stream.epoch
            and int(offset) >= stream.first - 1
            and missed <= MOST_ENTRIES
            and sum(len(entry.data) for _, entry in stream.after(int(offset))) <= MOST_BYTES
        )

    def leave(self, fan, *, noticed):
        """Lose a connection with all that was not read; the server notices now, or later."""
        seat, fan.seat = fan.seat, None
        if seat is None:
            return
        # The server may have ended it long ago: then it is not known how long it will know the session.
        fan.left_at = float("-inf") if seat.client.closing else self.clock.now
        if noticed:
            seat.wire.abort()
        else:
            self.zombies.append(seat)

    def do_lose(self, number, noticed):
        self.leave(self.fans[number], noticed=noticed)

    def end_zombies(self):
        zombies, self.zombies = self.zombies, []
        for seat in zombies:
            seat.wire.abort()

    def do_notice(self):
        self.end_zombies()

    def do_read(self, number, amount):
        fan = self.fans[number]
        seat = fan.seat
        if seat is None:
            return False
        wire = seat.wire
        data, wire.early = wire.early, bytearray()
        if wire.far is None:
            wire.room = amount
            wire.drain()
            data += wire.wire
            wire.wire.clear()
        else:
            data += wire.take_far(amount)
            wire.drain()
        if self.log is not None and data:
            self.log(f"    fan {number} of session {seat.session} reads {bytes(data)[:400]!r}")
        seat.take(data, self.large)
        if seat.over:
            self.leave(fan, noticed=True)
            fan.forgotten = True
        elif wire.ended and not data:
            fan.seat = None
            fan.forgotten = True  # it is not known when the server ended it, and why
        return bool(data) or bool(wire.get_write_buffer_size())

    def do_publish(self, path, size, as_json, count):
        for _ in range(count):
            self.node.broadcaster(self._value(size, as_json), path=path)

    def do_everyone(self, size):
        self.node.broadcaster(self._value(size, False))

    def do_mixed(self, path, sizes):
        """Publish to everyone and to a path in one turn."""
        for size in sizes:
            if size % 2:
                self.do_everyone(size)
            else:
                self.do_publish(path, size, False, 1)

    def do_say(self, number, size):
        seat = self.fans[number].seat
        if seat is not None and not seat.wire.ended:
            seat.connection.data_received(_masked(orjson.dumps({"message": self._value(size, False)}).decode()))

    def do_others(self, number, size):
        seat = self.fans[number].seat
        if seat is not None and not seat.client.closing:
            send = SenderBroadcast(self.node.broadcaster, seat.client, ClientMessage(None))
            send(self._value(size, False), to="others", path=self.fans[number].path)

    def _value(self, size, as_json):
        self.count += 1
        return {"n": self.count, "pad": "-" * size} if as_json else f"{self.count}:{'-' * size}"

    def do_clock(self, seconds):
        self.clock.now += seconds

    async def do_turn(self, count):
        await self.turns(count)

    def do_reload(self, plan):
        self.plan = plan
        node = self.node
        generation = node.prepare(plan_of(plan), node.generation.plugins)
        node.turn_to(generation)
        self.endpoint = next(each for each in generation.plan.config.endpoints if each.name == "live")
        services = SimpleNamespace(node=node, connections=self.keepalive.connections)
        ClientReload(services, {"live": self.endpoint}).run()
        for fan in self.fans:
            if fan.seat is not None:
                fan.seat.reloaded = True

    async def do_restart(self, in_order):
        await self.end(in_order=in_order)
        if not in_order or self.file is None:
            for fan in self.fans:
                fan.forgotten = True
        await self.open()

    # What holds after each step

    def check(self):
        self.learn()
        streams = self.node.memory.streams
        total = sum(
            STREAM + len(str(stream.place)) + sum(ENTRY + len(entry.data) for _, entry in stream.after(0))
            for stream in streams
        )
        if streams.size != total:
            raise BreachError(f"memory: {streams.size} bytes are counted, and {total} are used")
        if streams.size > streams.limit and (streams.entries or sum(not each.readers for each in streams) > 1):
            raise BreachError(f"memory: {streams.size} bytes are used, and {streams.limit} are allowed")
        clients = [connection.client for connection in self.keepalive.connections]
        readers = Counter(client.stream for client in clients if client.stream is not None)
        for stream in streams:
            if stream.readers != readers.pop(stream, 0):
                raise BreachError(f"readers: {stream.place} has {stream.readers}")
        for client in self.hub.clients.values():
            if self.node.memory.keeps and client.stream is not streams.find(client.place):
                raise BreachError(f"a client on {client.place} does not follow its stream")
        guests = [each.conversation for each in self.keepalive.connections if each.client.id in self.hub.clients]
        sessions = Counter(guest.session.id for guest in guests if guest.session is not None)
        if any(count > 1 for count in sessions.values()):
            raise BreachError("two clients have one session")

    async def settle(self):
        """Let everything end that is under way; then everybody must have read everything."""
        self.end_zombies()
        for _ in range(4):
            self.clock.now += 2.0
            await self.turns(SOON)
        await self.read_all()
        for fan in self.fans:
            if fan.seat is not None:
                fan.seat.rest(self.large)
        for path in {fan.path for fan in self.fans}:
            self.do_publish(path, 0, False, 1)
        self.check_plan()
        await self.turns(SOON)
        await self.read_all()
        for fan in self.fans:
            if fan.seat is not None:
                fan.seat.rest(self.large)
        self.check()

    def check_plan(self):
        """Hold what is kept of the fans' paths, to which a value was sent just now, against the plan."""
        memory, table = self.node.memory, self.node.generation.table
        for path in {fan.path for fan in self.fans} if memory.keeps else ():
            stream, config = memory.streams.find(path), table.history(path)
            read = any(client.place == path for client in self.hub.clients.values())
            if stream is None and (config is None or not read):
                continue
            if stream is None or config is None or len(stream) > config.keep:
                raise BreachError(f"{path} is not kept as the plan says")

    async def read_all(self):
        going = True
        while going:
            going = False
            for fan in self.fans:
                going = self.do_read(fan.number, EVERYTHING) or going
            await self.turns(3)


def run(schedule):
    """Run a schedule.

    Raises:
        BreachError: an invariant does not hold; or another exception, of the node.

    """
    clock = Clock()
    loop = Loop(clock)
    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        loop.run_until_complete(_run(schedule, loop, clock, stack))
        loop.run_until_complete(loop.shutdown_default_executor())


async def _run(schedule, loop, clock, stack):
    world = World(schedule, loop, clock, stack)
    await world.open()
    try:
        for name, *arguments in schedule.steps:
            done = getattr(world, f"do_{name}")(*arguments)
            if asyncio.iscoroutine(done):
                await done
            world.check()
        await world.settle()
    finally:
        await world.end()
        for sock in world.sockets:
            sock.close()


# Making them, and making them shorter


def make(seed, most=60):
    """Make the schedule of a seed."""
    dice = random.Random(seed)
    paths = [
        f"/{dice.choices(POLICIES, OFTEN)[0]}{dice.choice(('', '', f'_{WAITING}'))}/{number}"
        for number in range(dice.choice((1, 1, 2)))
    ]
    fans = tuple((dice.choice(paths), dice.random() < 0.85) for _ in range(dice.randint(1, 4)))
    kept = dice.random() < 0.05
    reloads = dice.random() < 0.35
    crashes = dice.random() < 0.15 or kept
    large = dice.random() < 0.5
    weights = {
        "connect": 14,
        "lose": 6,
        "notice": 2,
        "read": 24,
        "publish": 24,
        "everyone": 4 if large else 0,
        "mixed": 5 if large else 0,
        "say": 4,
        "others": 5,
        "clock": 6,
        "turn": 22,
        "reload": 6 if reloads else 0,
        "restart": (5 if kept else 1) if crashes else 0,
    }
    names, odds = list(weights), list(weights.values())
    steps = [_step(dice, dice.choices(names, odds)[0], len(fans), paths, kept) for _ in range(dice.randint(5, most))]
    plan = 0 if dice.random() < 0.4 else dice.randrange(PLANS)
    return Schedule(seed, fans, plan, dice.randrange(2), kept, tuple(steps))


def _step(dice, name, fans, paths, kept):  # noqa: C901, PLR0911 - a case for each kind
    who = dice.randrange(fans)
    match name:
        case "connect":
            brings = dice.choice(("nothing", "last", "last", "last", "last", "old", "garbage", "forged", "foreign"))
            return (
                name,
                who,
                brings,
                dice.random() < 0.7,
                dice.random() < 0.4,
                dice.choice((0, 0, 0, 0, 5_000)),
                dice.choice((0, 0, 3_000, 10_000)),
            )
        case "lose":
            return name, who, dice.random() < 0.5
        case "read":
            return name, who, dice.choice(AMOUNTS)
        case "publish":
            path = dice.choice(paths) if dice.random() < 0.85 else f"/disconnect/quiet{dice.randrange(4)}"
            return name, path, dice.choice(SIZES), dice.random() < 0.3, dice.choice((1, 1, 1, 1, 3, 20))
        case "everyone":
            return name, dice.choice(SIZES)
        case "mixed":
            sizes = tuple(dice.choice(SIZES) + dice.randrange(2) for _ in range(dice.randint(2, 5)))
            return name, dice.choice(paths), sizes
        case "say" | "others":
            return name, who, dice.choice(SIZES[:6])
        case "clock":
            return name, dice.choice((0.5, 1.0, 3.0, 6.0, 25.0, 25.0, 700.0, 100_000.0))
        case "turn":
            return name, dice.choice((1, 1, 2, 5))
        case "reload":
            return name, dice.randrange(PLANS)
        case "restart":
            return name, kept and dice.random() < 0.7
    return (name,)


def failure_of(schedule):
    """Return why a schedule fails; None if it does not."""
    try:
        run(schedule)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - any error of the node is one
        return f"{type(error).__name__}: {error}"
    return None


def _kind(failure):
    """Return what two failures of one cause have in common."""
    kind = re.sub(
        r"fan .*?: |(came|here)-\w+|quiet\d|/\w+/\d|(?<=offsets of )\w+|[\d,]+", "", failure.partition(" [")[0]
    )
    return kind.partition("\n")[0]


def shrink(schedule, failure):
    """Return a shorter schedule that fails alike, with its failure: no step of it can be left out."""
    kind = _kind(failure)
    size = max(len(schedule.steps) // 2, 1)
    while True:
        steps, place, shorter = schedule.steps, 0, False
        while place < len(steps):
            fewer = (*steps[:place], *steps[place + size :])
            tried = Schedule(schedule.seed, schedule.fans, schedule.plan, schedule.writer, schedule.kept, fewer)
            found = failure_of(tried)
            if found is not None and _kind(found) == kind:
                steps, failure, schedule, shorter = fewer, found, tried, True
            else:
                place += size
        if size == 1 and not shorter:
            return schedule, failure
        size = max(size // 2, 1)


def told(schedule, failure):
    """Return a schedule and its failure as people read them."""
    return "\n".join(
        (
            f"seed {schedule.seed}: {failure}",
            f"  fans {schedule.fans}",
            f"  plan {schedule.plan}, writer {schedule.writer}, kept {schedule.kept}",
            *(f"  {step}" for step in schedule.steps),
        )
    )


def run_many(seeds, *, short=True):
    """Run the schedules of some seeds; return how many steps they had.

    Raises:
        BreachError: one fails; the text has the shortest that was found.

    """
    steps = 0
    for seed in seeds:
        schedule = make(seed)
        failure = failure_of(schedule)
        if failure is not None:
            raise BreachError(told(*(shrink(schedule, failure) if short else (schedule, failure))))
        steps += len(schedule.steps)
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="go on after a failure, and count the kinds")
    parser.add_argument("--first", action="store_true", help="do not look for a shorter schedule")
    given = parser.parse_args()
    logging.disable()
    begun, steps, kinds = perf_counter(), 0, Counter()
    first = {}
    for seed in range(given.seed, given.seed + given.schedules):
        try:
            steps += run_many((seed,), short=not given.first)
        except BreachError as breach:
            if not given.all:
                print(breach)
                sys.exit(1)
            kind = _kind(str(breach).partition("\n")[0])
            kinds[kind] += 1
            if kind not in first or len(str(breach)) < len(first[kind]):
                first[kind] = str(breach)
    for kind, count in kinds.most_common():
        print(f"{count} times: {first[kind]}\n")
    print(f"{given.schedules:,} schedules, {steps:,} steps, {perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
