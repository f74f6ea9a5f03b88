"""What it costs to remember: ``python tests/bench/history.py``.

Four things, in one table. What a broadcast costs more on a path with a history; how much memory kept values take beside
what `history.limit` counts for them; a storm: ten thousand clients lose their connections at once while values are
published, and come back with their positions; and how many presence frames each of them gets when all come back.
Clients of the storm check every value: none may be missing, none doubled. Talks to nothing but 127.0.0.1.

The exit status is 0 when all was right, 1 when nothing could be measured, 2 when a client or the server was wrong.
README.md beside this file tells what each figure means.
"""

import argparse
import asyncio
import gc
import json
import os
import re
import select
import socket
import statistics
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from harness import BenchError, Cores, Running, build, flaws, load, machine, raise_descriptor_limit, running
from servers import SIGNALPOST, Message, Server

from signalpost.delivery.publication import Publication
from signalpost.delivery.target import Receipt, Target
from signalpost.testing import serve

PARTS = ("cost", "call", "memory", "storm", "presence")
KEPT = "{keep: 100, for: 10m}"
KEPT_FOR_LONG = "{keep: 1000, for: 10m}"  # 200 s of the storm, however slow the machine is
PEOPLE = "{grace: 5s, every: 1s}"
SPARE_DESCRIPTORS = 300

APP = """\
limits: {{rate: 0, message: 16KiB}}
history: {{limit: 256MiB}}
endpoints:
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
signals:
  - path: /rooms/<room>
    rebroadcast: path
    schema: {{type: object, required: [message]}}
{more}
  - {{path: /plain/<room>, rebroadcast: path}}
"""


def app(port: int, **keys: str) -> str:
    """Return the text of routes.yaml with these keys at the signal of the rooms."""
    return APP.format(port=port, more="\n".join(f"    {key}: {value}" for key, value in keys.items()))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table; `beside` is what the value stands beside, and what is wanted of both."""

    figure: str
    value: str
    beside: str = ""


@dataclass(slots=True)
class Made:
    """What one part has found; `raw` is for ``--json``, `wrong` says in words what was not right."""

    lines: list[Line] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def serving(cores: Cores, **keys: str) -> Iterator[tuple[Running, Callable[[], list[str]]]]:
    """Run an app; gives the server, and a function that returns what it has said since it listens."""
    folders: list[Path] = []

    def command(port: int, folder: Path) -> list[str]:
        folders.append(folder)
        routes = folder / "routes.yaml"
        routes.write_text(app(port, **keys), encoding="utf-8")
        return [sys.executable, "-m", "signalpost", "run", str(routes)]

    def said() -> list[str]:
        output = (folders[0] / "output.txt").read_text(encoding="utf-8", errors="replace")
        return digest_of(output.partition("Ctrl-C stops\n")[2].splitlines())

    with running(Server("signalpost", command, envelope=SIGNALPOST.envelope), cores) as target:
        yield target, said


MOST_SAID = 5


def digest_of(lines: Iterable[str]) -> list[str]:
    """Return what a log says most often, without times, addresses of objects and places in the code."""
    counted = Counter(re.sub(r"^[\d :,-]+|0x[0-9a-f]+", "", line) for line in lines if line[:1] not in " T")
    return [f"the log, {times:,} times: {line}" for line, times in counted.most_common(MOST_SAID)]


def _judged(*, met: bool) -> str:
    return "yes" if met else "NO"


def _spread(values: Sequence[float], digits: int) -> str:
    """Word the median and the quartiles, with signs."""
    if len(values) < 2:
        return f"{values[0]:+,.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:+,.{digits}f} ({low:+,.{digits}f} to {high:+,.{digits}f})"


# What a kept broadcast costs more


BROADCAST = Message('{"text":"%s"}', 64)
MOST_MICROSECONDS, MOST_PER_CENT, MANY = 2.0, 3.0, 100


def _broadcast_us(cores: Cores, clients: int, times: Sequence[str], keys: Mapping[str, str]) -> float:
    """Measure the microseconds of the server's CPU time for a broadcast to plain clients, on a fresh server."""
    with serving(cores, **keys) as (target, _said):
        shape = ("--mode", "fanout", "--pipeline", "1", "--path", "/rooms/blue", "--conns", str(clients))
        report = load(target, cores, [*shape, *times, *target.server.load_arguments(BROADCAST)])
    if wrong := flaws(report):
        raise BenchError(f"{clients:,} clients, {keys or 'no history'}: {wrong}")
    return report["server_cpu_us_per_delivery"] * clients


def cost(cores: Cores, numbers: Sequence[int], pairs: int, times: Sequence[str]) -> Made:
    """Measure broadcasts with and without a history in turns; every other pair runs backwards."""
    made, kept = Made(), {"history": KEPT}
    for clients in numbers:
        found: dict[bool, list[float]] = {False: [], True: []}
        for number in range(pairs):
            for keeps in (False, True) if number % 2 == 0 else (True, False):
                found[keeps].append(_broadcast_us(cores, clients, times, kept if keeps else {}))
            print(f"cost: {clients:,} clients, pair {number + 1} of {pairs}", file=sys.stderr)
        made.raw[f"{clients} clients"] = {"without": found[False], "with": found[True]}
        made.lines.append(_cost_line(clients, found[False], found[True]))
    return made


def _cost_line(clients: int, without: Sequence[float], kept: Sequence[float]) -> Line:
    more = [after - before for before, after in zip(without, kept, strict=True)]
    shares = [100 * (after / before - 1) for before, after in zip(without, kept, strict=True)]
    if clients >= MANY:
        bound = f"at most +{MOST_PER_CENT:.0f} %: {_judged(met=statistics.median(shares) <= MOST_PER_CENT)}"
    else:
        bound = f"at most +{MOST_MICROSECONDS:.0f} us: {_judged(met=statistics.median(more) <= MOST_MICROSECONDS)}"
    return Line(
        f"a kept broadcast to {clients:,} clients, us of CPU",
        f"{statistics.median(kept):,.1f}",
        f"{statistics.median(without):,.1f} without history: {_spread(more, 1)} us, {_spread(shares, 1)} %; {bound}",
    )


# The same in one process, without sockets and clients


BATCH = 2_000
NOWHERE, ELSEWHERE, HERE = "an app without history", "history on another path", "kept"


def _cpu_of(deliver: Callable[[Publication], Receipt], publications: Sequence[Publication]) -> float:
    for publication in publications:
        publication.position = None
    begin = time.process_time()
    for publication in publications:
        deliver(publication)
    return time.process_time() - begin


async def timed_calls(calls: int, rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of a delivery to a path without clients, a number a round; all kinds take turns."""
    value = {"text": "x" * 50}
    on = {
        path: [Publication(value, path, Target(path=path)) for _ in range(BATCH)] for path in ("/rooms/a", "/plain/a")
    }
    found: dict[str, list[float]] = {NOWHERE: [], ELSEWHERE: [], HERE: []}
    async with serve(app(0)) as plain, serve(app(0, history=KEPT)) as kept:
        kinds = {
            NOWHERE: (plain.server.node.deliver, on["/rooms/a"]),
            ELSEWHERE: (kept.server.node.memory.deliver, on["/plain/a"]),
            HERE: (kept.server.node.memory.deliver, on["/rooms/a"]),
        }
        for _ in range(rounds):
            spent = dict.fromkeys(kinds, 0.0)
            batches = max(1, calls // BATCH)
            for _ in range(batches):
                for name, (deliver, publications) in kinds.items():
                    spent[name] += _cpu_of(deliver, publications)
            for name, seconds in spent.items():
                found[name].append(seconds * 1e6 / (batches * BATCH))
    return found


def _calls(calls: int, rounds: int) -> dict[str, list[float]]:
    return asyncio.run(timed_calls(calls, rounds))


def call(cores: Cores, calls: int, rounds: int) -> Made:
    """Measure `Memory.deliver` alone."""
    raw = elsewhere(cores, _calls, calls, rounds)
    best = {name: min(values) for name, values in raw.items()}
    more = best[HERE] - best[ELSEWHERE]
    line = Line(
        "Memory.deliver to a path without clients, us",
        f"{best[HERE]:.2f}",
        f"{best[ELSEWHERE]:.2f} with {ELSEWHERE}: {more:+.2f}; {best[NOWHERE]:.2f} in {NOWHERE}:"
        f" {best[HERE] - best[NOWHERE]:+.2f}; at most +{MOST_MICROSECONDS:.0f} us:"
        f" {_judged(met=best[HERE] - best[NOWHERE] <= MOST_MICROSECONDS)}",
    )
    return Made([line], raw)


def elsewhere(cores: Cores, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of this module in a fresh process, on the server's core."""
    own = () if cores.server is None else ({cores.server},)
    with ProcessPoolExecutor(1, get_context("spawn"), _bind_to, own) as pool:
        return pool.submit(function, *arguments).result()


def _bind_to(*cores: set[int]) -> None:
    for mine in cores:
        os.sched_setaffinity(0, mine)


# Memory


PATHS, VALUE_BYTES = 100, 200


def _pss_bytes() -> int:
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


async def filled(entries: int, paths: int = PATHS) -> dict[str, float]:
    """Keep values in a server; return by how many bytes it has grown, and how many it counts."""
    async with serve(app(0, history="{keep: 10000, for: 1h}")) as running_app:
        node = running_app.server.node

        def publish(kind: str, number: int) -> None:
            path = f"/{kind}/{number % paths}"
            node.publish(Publication(f"{number:0{VALUE_BYTES}d}", path, Target(path=path)))

        for number in range(entries // 10):  # what the first ones leave behind is not the history's
            publish("plain", number)
        before, counted = _pss_bytes(), node.memory.streams.size
        for number in range(entries):
            publish("rooms", number)
        grown, counts = _pss_bytes() - before, node.memory.streams.size - counted
        return {"entries": node.memory.streams.entries, "grown": grown, "counted": counts}


def _filled(entries: int) -> dict[str, float]:
    return asyncio.run(filled(entries))


def memory(cores: Cores, numbers: Sequence[int], rounds: int) -> Made:
    """Measure how much memory kept values take."""
    made = Made()
    for entries in numbers:
        found = [elsewhere(cores, _filled, entries) for _ in range(rounds)]
        made.raw[f"{entries} entries"] = found
        grown = statistics.median(each["grown"] for each in found) / entries
        counted = statistics.median(each["counted"] for each in found) / entries
        made.wrong += [
            f"of {entries:,} values {each['entries']:,} were kept" for each in found if each["entries"] != entries
        ]
        made.lines.append(
            Line(
                f"memory of a kept value of {VALUE_BYTES} bytes, {entries:,} on {PATHS} paths, bytes",
                f"{grown:,.0f}",
                f"{counted:,.0f} that history.limit counts; ratio {grown / counted:.2f}",
            )
        )
    return made


# Clients that are cut off and come back


HOST = "127.0.0.1"
SOURCES = 16
IN_FLIGHT = 512  # handshakes under way at once
EVENTS = 256
PATIENCE_SECONDS = 120.0
BEFORE_SECONDS, AWAY_SECONDS, AFTER_SECONDS = 2.0, 0.5, 2.0
GRACE_SECONDS, EVERY_SECONDS = 5.0, 1.0
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset
REQUEST = (
    "GET {path}{at} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: signalpost.v1{session}\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 101 "
SIGNAL = re.compile(rb'\{"signal":\{"path":"[^"]*",(?:"at":"(\w+:(\d+):\w+)",)?"value":"(\d+)@(\d+) ')
PADDING = b"x" * 40
PONG = b"\x8a\x80" + bytes(4)  # masked with zeros (RFC 6455 section 5.3)
OP_TEXT, OP_PING = 1, 9


class Guest:
    """A client of ``signalpost.v1``, which brings its session and its position when it comes back.

    Attributes:
        room: number of its path.
        stays: whether it is never cut off; it publishes, then, and times what it gets.
        socket: None while it is away.
        expected: number of the next value of its path; None before anything is known.
        until: of the value that was the newest when it came.
        came_at: when it began to connect; `live_at` when it had read all that it had missed, 0 before.
        presence: frames of presence since it was last cut off.
    """

    __slots__ = (
        "accepted",
        "came_at",
        "expected",
        "live_at",
        "position",
        "presence",
        "rest",
        "room",
        "session",
        "socket",
        "stays",
        "until",
    )

    def __init__(self, room: int, *, stays: bool = False) -> None:
        self.room = room
        self.stays = stays
        self.socket: socket.socket | None = None
        self.position = self.session = ""
        self.expected: int | None = None
        self.until = self.presence = 0
        self.came_at = self.live_at = 0.0
        self.accepted = False
        self.rest = b""


class Crowd:
    """All guests, in one thread: they connect, read and check, and one on each path publishes.

    Args:
        port: of the server.
        rooms: how many paths.
        each: guests of each path, besides one that stays and publishes if there is a rate.
        rate: values a second on each path; 0 is none.

    Attributes:
        missing: values that a guest should have read, and has not; `doubled` those that it read again.
        missed: values of which the welcomes said that they would follow.
        late: seconds after which those who stay had each value.
        trouble: what was not as it should be, by its name.
    """

    def __init__(self, port: int, rooms: int, each: int, rate: float = 0.0) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Guest] = {}
        self._coming: deque[Guest] = deque()
        self._under_way = self._live = 0
        self._sources = count()
        self._rate = rate * rooms
        self._publishing_since = 0.0
        self._due = 0
        self.guests = [Guest(number % rooms) for number in range(rooms * each)]
        self.staying = [Guest(number, stays=True) for number in range(rooms if rate else 0)]
        self.published = [0] * rooms
        self.missing = self.doubled = self.missed = 0
        self.late: list[float] = []
        self.trouble: Counter[str] = Counter()

    # What they do

    def come(self, guests: Iterable[Guest]) -> None:
        """Let guests connect, a few hundred at a time, until all of them are live.

        Raises:
            BenchError: they are not, after a long time.
        """
        self._coming.extend(guests)
        self._live, wanted = 0, len(self._coming)
        if not self.run(lambda: self._live >= wanted, PATIENCE_SECONDS):
            late = f"the last value was {self.late[-1]:.1f} s late" if self.late else "nobody has read a value"
            raise BenchError(
                f"{wanted - self._live:,} of {wanted:,} clients are not live after {PATIENCE_SECONDS:.0f} s,"
                f" {self._under_way:,} handshakes are under way; {late}; {dict(self.trouble)}"
            )

    def cut(self) -> None:
        """Cut all off at once, but those who stay."""
        for guest in self.guests:
            self._close(guest)
            guest.presence = 0

    def publish(self, *, on: bool) -> None:
        """Begin to publish, or stop."""
        self._publishing_since = time.monotonic() if on else 0.0
        self._due = 0

    def settle(self) -> None:
        """Read until everyone has all that was published; what is not there in the end is missing."""
        everyone = [*self.guests, *self.staying]
        self.run(lambda: not any(map(self._behind, everyone)), PATIENCE_SECONDS / 10)
        self.missing += sum(map(self._behind, everyone))

    def _behind(self, guest: Guest) -> int:
        return 0 if guest.expected is None else self.published[guest.room] - guest.expected

    def run(self, done: Callable[[], bool], seconds: float) -> bool:
        """Go on until something holds; return whether it did in time."""
        until = time.monotonic() + seconds
        while not done():
            now = time.monotonic()
            if now >= until:
                return False
            self._publish_due(now)
            while self._coming and self._under_way < IN_FLIGHT:
                self._connect(self._coming.popleft())
            for descriptor, events in self._epoll.poll(0.002, EVENTS):
                guest = self._by_descriptor.get(descriptor)
                if guest is not None:
                    self._on_event(guest, events)
        return True

    def go_on(self, seconds: float) -> None:
        """Go on for a time."""
        self.run(lambda: False, seconds)

    def close(self) -> None:
        """End all connections."""
        for guest in [*self.guests, *self.staying]:
            self._close(guest)
        self._epoll.close()

    def _publish_due(self, now: float) -> None:
        if not self._publishing_since:
            return
        while (due := self._publishing_since + self._due / self._rate) <= now:
            self._due += 1
            guest = self.staying[self._due % len(self.staying)]
            number, self.published[guest.room] = self.published[guest.room], self.published[guest.room] + 1
            payload = self._message(number, int(due * 1e9))
            if guest.socket is not None:
                guest.socket.send(b"\x81" + bytes([0x80 | len(payload)]) + bytes(4) + payload)

    # What depends on the server

    def _port_of(self, guest: Guest) -> int:  # noqa: ARG002 - for those to whom it matters
        return self._port

    def _request(self, guest: Guest) -> str:
        at = f"?at={guest.position}" if guest.position else ""
        session = f", signalpost.session.{guest.session}" if guest.session else ""
        return REQUEST.format(path=f"/rooms/{guest.room}", at=at, host=HOST, port=self._port_of(guest), session=session)

    def _message(self, number: int, due: int) -> bytes:
        return b'{"message":"%d@%d %s"}' % (number, due, PADDING)

    # Connections

    def _connect(self, guest: Guest) -> None:
        self._under_way += 1
        guest.came_at, guest.live_at, guest.accepted, guest.rest = time.monotonic(), 0.0, False, b""
        guest.socket = connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        connection.bind((f"127.0.0.{1 + next(self._sources) % SOURCES}", 0))
        connection.connect_ex((HOST, self._port_of(guest)))
        self._by_descriptor[connection.fileno()] = guest
        self._epoll.register(connection.fileno(), select.EPOLLOUT)

    def _close(self, guest: Guest) -> None:
        connection, guest.socket = guest.socket, None
        if connection is not None:
            del self._by_descriptor[connection.fileno()]
            connection.close()

    def _on_event(self, guest: Guest, events: int) -> None:
        connection = guest.socket
        if connection is None:
            return
        try:
            if events & select.EPOLLOUT:
                connection.send(self._request(guest).encode())
                self._epoll.modify(connection.fileno(), select.EPOLLIN)
                return
            data = connection.recv(262_144)
        except OSError as error:
            self._lost(guest, type(error).__name__)
            return
        if data:
            self._read(guest, guest.rest + data if guest.rest else data)
        else:
            self._lost(guest, "end of file")

    def _lost(self, guest: Guest, why: str) -> None:
        self.trouble[f"a client was cut off by the server: {why}"] += 1
        self._under_way -= not guest.accepted
        self._close(guest)

    # What they read

    def _read(self, guest: Guest, data: bytes) -> None:
        if not guest.accepted:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                guest.rest = head
                return
            if not head.startswith(ACCEPTED):
                self._lost(guest, head[:60].decode("latin-1"))
                return
            guest.accepted = True
            self._under_way -= 1
        at, end_of_data = 0, len(data)
        while end_of_data - at >= 2:
            length, begin = data[at + 1], at + 2
            if length >= 126:
                begin += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : begin]) if begin <= end_of_data else end_of_data
            if begin + length > end_of_data:
                break
            self._on_frame(guest, data[at] & 15, data[begin : begin + length])
            at = begin + length
        guest.rest = data[at:]

    def _on_frame(self, guest: Guest, opcode: int, payload: bytes) -> None:
        if opcode == OP_TEXT and (found := SIGNAL.match(payload)):
            number, at = int(found[3]), found[1]
            if at is not None and int(found[2]) != number + 1:
                self.trouble["an offset is not that of its value"] += 1
            self._on_value(guest, number, int(found[4]), None if at is None else at.decode())
        elif payload.startswith(b'{"presence":'):
            guest.presence += 1
        elif payload.startswith(b'{"welcome":'):
            self._on_welcome(guest, json.loads(payload)["welcome"])
        elif opcode == OP_PING and guest.socket is not None:
            guest.socket.send(PONG)
        else:
            self.trouble[f"a client got {payload.partition(b':')[0]!r}"] += 1

    def _on_value(self, guest: Guest, number: int, sent: int, position: str | None) -> None:
        if guest.expected is not None and number != guest.expected:
            if number < guest.expected:
                self.doubled += 1
                return
            self.missing += number - guest.expected
        if position is not None:
            guest.position = position
        guest.expected = number + 1
        if guest.stays:
            self.late.append(time.monotonic() - sent / 1e9)
        elif not guest.live_at and guest.expected >= guest.until:
            self._on_live(guest)

    def _on_welcome(self, guest: Guest, welcome: Mapping[str, Any]) -> None:
        guest.session = welcome.get("session", "")
        if (at := welcome.get("at")) is not None:
            guest.until = int(at.split(":")[1])
            if not guest.position:
                guest.position, guest.expected = at, guest.until
            else:
                self.missed += welcome["missed"]
                if not welcome["recovered"]:
                    self.trouble["a client was not recovered"] += 1
                if welcome["missed"] != guest.until - (guest.expected or 0):
                    self.trouble["a welcome did not say how many were missed"] += 1
            if (guest.expected or 0) < guest.until:
                return
        self._on_live(guest)

    def _on_live(self, guest: Guest) -> None:
        guest.live_at = time.monotonic()
        self._live += 1


@dataclass(frozen=True, slots=True)
class Return:
    """How the clients came back.

    Attributes:
        seconds: until all were live.
        late_ms: the latest value for those who stayed, meanwhile; `late_before_ms` before anybody was cut off.
        median_ms: from a client's first byte until it is live; `longest_ms` that of the last.
        server_us: CPU time of the server for each that came back, the values published meanwhile included.
        server_share: of a core; `load_share` that of the clients, which may be the bottleneck.
    """

    clients: int
    seconds: float
    late_ms: float
    late_before_ms: float
    median_ms: float
    longest_ms: float
    server_us: float
    server_share: float
    load_share: float
    missed: int
    missing: int
    doubled: int


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def come_back(crowd: Crowd, pid: int, *, publish: bool) -> Return:
    """Cut everybody off, let all come back, and see what it took and what they have read."""
    late_before, crowd.late = crowd.late, []
    crowd.cut()
    crowd.go_on(AWAY_SECONDS)
    server, mine, begin = cpu_seconds(pid), time.process_time(), time.monotonic()
    crowd.come(crowd.guests)
    seconds = time.monotonic() - begin
    server, mine = cpu_seconds(pid) - server, time.process_time() - mine
    late = crowd.late
    each = sorted(guest.live_at - guest.came_at for guest in crowd.guests)
    if publish:
        crowd.go_on(AFTER_SECONDS)
        crowd.publish(on=False)
        crowd.settle()
    return Return(
        clients=len(crowd.guests),
        seconds=seconds,
        late_ms=max(late, default=0.0) * 1e3,
        late_before_ms=max(late_before, default=0.0) * 1e3,
        median_ms=statistics.median(each) * 1e3,
        longest_ms=each[-1] * 1e3,
        server_us=server / len(each) * 1e6,
        server_share=server / seconds,
        load_share=mine / seconds,
        missed=crowd.missed,
        missing=crowd.missing,
        doubled=crowd.doubled,
    )


def weathered(target: Running, rooms: int, each: int, rate: float) -> tuple[Return, Counter[str]]:
    """Let guests come, cut them off while values are published, and let them come back."""
    crowd = Crowd(target.port, rooms, each, rate)
    try:
        for guest in crowd.staying:  # one after the other: `come` counts those who are live
            crowd.come([guest])
        crowd.publish(on=True)
        crowd.come(crowd.guests)
        crowd.late.clear()
        crowd.go_on(BEFORE_SECONDS)
        return come_back(crowd, target.pid, publish=True), crowd.trouble
    finally:
        crowd.close()


def storm(cores: Cores, rooms: int, each: int, rate: float, rounds: int) -> Made:
    """Let everybody come back to paths with a history, and to the same without one, in turns."""
    made = Made()
    found: dict[bool, list[Return]] = {True: [], False: []}
    for number in range(rounds):
        for keeps in (True, False) if number % 2 == 0 else (False, True):
            with serving(cores, **({"history": KEPT_FOR_LONG} if keeps else {})) as (target, said):
                result, trouble = weathered(target, rooms, each, rate)
                wrong = [*(f"{times:,} times: {what}" for what, times in trouble.items()), *said()]
            found[keeps].append(result)
            print(f"storm: {'history' if keeps else 'none'}: {result}", file=sys.stderr)
            made.wrong += [f"storm {'with' if keeps else 'without'} history: {each_wrong}" for each_wrong in wrong]
    kept = found[True]
    made.raw = {"with": [asdict(each) for each in kept], "without": [asdict(each) for each in found[False]]}
    made.lines = _storm_lines(kept, found[False], rooms, rate)
    for result in kept:
        if result.missing or result.doubled:
            made.wrong.append(f"storm: {result.missing:,} values are missing, {result.doubled:,} doubled")
    return made


def _storm_lines(kept: Sequence[Return], without: Sequence[Return], rooms: int, rate: float) -> list[Line]:
    def line(figure: str, name: str, digits: int, unit: str) -> Line:
        ours, theirs = ([getattr(each, name) for each in each_kind] for each_kind in (kept, without))
        ratios = [after / before for after, before in zip(ours, theirs, strict=True) if before]
        ratio = f"; ratio {statistics.median(ratios):.2f}" if ratios else ""  # too short a time has no CPU time
        value, beside = (f"{statistics.median(each):,.{digits}f}" for each in (ours, theirs))
        return Line(f"  {figure}, {unit}", value, f"{beside} without history{ratio}")

    missed, lost = (sum(each.missed for each in kept), sum(each.missing for each in without))
    shares = f"server {kept[0].server_share:.0%} of a core, clients {kept[0].load_share:.0%}"
    return [
        Line(f"a storm: {kept[0].clients:,} clients on {rooms} paths, {rate:g} values a second on each", "", shares),
        line("until all were live again", "seconds", 2, "s"),
        line("CPU for each that came back", "server_us", 0, "us"),
        line("from a client's handshake until it is live, median", "median_ms", 0, "ms"),
        line("the latest value for those who stayed", "late_ms", 0, "ms"),
        Line(
            "  values missed, and read then",
            f"{missed / len(kept):,.0f}",
            f"{lost / len(without):,.0f} lost without history",
        ),
        Line("  values missing", f"{sum(each.missing for each in kept):,}", "wanted: 0"),
        Line("  values doubled", f"{sum(each.doubled for each in kept):,}", "wanted: 0"),
    ]


# Presence


def told(target: Running, clients: int) -> tuple[list[int], list[int], Return, Counter[str]]:
    """Let guests come to one path, and come back; return how many presence frames each got, first and then."""
    crowd = Crowd(target.port, 1, clients)
    quiet = GRACE_SECONDS + 2 * EVERY_SECONDS
    try:
        crowd.come(crowd.guests)
        crowd.go_on(2 * EVERY_SECONDS)
        first = [guest.presence for guest in crowd.guests]
        result = come_back(crowd, target.pid, publish=False)
        crowd.go_on(quiet)
        return first, [guest.presence for guest in crowd.guests], result, crowd.trouble
    finally:
        crowd.close()


def presence(cores: Cores, numbers: Sequence[int]) -> Made:
    """Count the presence frames of clients that all come back within the grace."""
    made = Made()
    for clients in numbers:
        with serving(cores, presence=PEOPLE) as (target, said):
            first, then, result, trouble = told(target, clients)
            wrong = [*(f"{times:,} times: {what}" for what, times in trouble.items()), *said()]
        made.wrong += [f"presence of {clients:,}: {each}" for each in wrong]
        made.raw[f"{clients} clients"] = {"first": Counter(first), "then": Counter(then), "return": asdict(result)}
        print(f"presence: {clients:,}: {Counter(first)}, {Counter(then)}, {result}", file=sys.stderr)
        made.lines.append(
            Line(
                f"presence frames for each of {clients:,} that come back, min, median, max",
                _range(then),
                f"back in {AWAY_SECONDS + result.seconds:.1f} s, grace {GRACE_SECONDS:.0f} s, one of them the answer to"
                f" their coming; {_range(first)} when they came first",
            )
        )
    return made


def _range(numbers: Sequence[int]) -> str:
    return f"{min(numbers):,}, {statistics.median(numbers):,.0f}, {max(numbers):,}"


# The command


def table(lines: Sequence[Line]) -> str:
    """Lay the lines out."""
    figure, value = max(len(each.figure) for each in lines), max(len(each.value) for each in lines)
    return "\n".join(f"{each.figure:<{figure}}  {each.value:>{value}}  {each.beside}".rstrip() for each in lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What histories and presence cost, and what they do in a storm.")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be given several times")
    parser.add_argument("--pairs", type=int, help="how often broadcasts are measured with and without (20; quick: 2)")
    parser.add_argument("--rounds", type=int, help="how often all else is measured (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="few clients and short runs: a look, not a figure")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, the table on standard error")
    arguments = parser.parse_args()
    arguments.pairs = arguments.pairs or (2 if arguments.quick else 20)
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    if min(arguments.pairs, arguments.rounds) < 1:
        parser.error("--pairs and --rounds are at least 1")
    return arguments


def _measure(part: str, arguments: argparse.Namespace, cores: Cores) -> Made:
    quick, rounds = arguments.quick, arguments.rounds
    if part == "cost":
        times = ("--warmup", "0.3", "--duration", "0.7") if quick else ("--warmup", "0.5", "--duration", "1")
        return cost(cores, (10, 100) if quick else (10, 100, 1_000), arguments.pairs, times)
    if part == "call":
        return call(cores, 20_000 if quick else 200_000, 2 * rounds + 1)
    if part == "memory":
        return memory(cores, (10_000,) if quick else (10_000, 100_000), rounds)
    if part == "storm":
        return storm(cores, 10 if quick else 100, 100, 5.0, rounds)
    return presence(cores, (500,) if quick else (500, 10_000))


def main() -> int:
    """Measure and print; 0, 1 when nothing could be measured, 2 when something was wrong."""
    arguments, cores = _arguments(), Cores.choose()
    where, most = machine(cores), 1_000 if arguments.quick else 10_000
    if raise_descriptor_limit() < most + SPARE_DESCRIPTORS:
        print(f"history: {most:,} clients need more files than ulimit -Hn allows; try --quick", file=sys.stderr)
        return 1
    parts = [part for part in PARTS if part in (arguments.only or PARTS)]
    made: dict[str, Made] = {}
    try:
        build()
        if cores.load is not None:
            os.sched_setaffinity(0, {cores.load})
    except BenchError as error:
        print(f"history: {error}", file=sys.stderr)
        return 1
    for part in parts:
        try:
            made[part] = _measure(part, arguments, cores)
        except BenchError as error:  # what the others find is printed nevertheless
            made[part] = Made([Line(part, "not measured")], wrong=[f"{part}: {error}"])
    wrong = [what for each in made.values() for what in each.wrong]
    if arguments.json:
        figures = {part: {"lines": [asdict(line) for line in each.lines], **each.raw} for part, each in made.items()}
        print(json.dumps({"machine": where, "wrong": wrong, **figures}, indent=1))
    out = sys.stderr if arguments.json else sys.stdout
    print("\n".join(f"{key}: {value}" for key, value in where.items()), file=out)
    print(f"\n{table([line for each in made.values() for line in each.lines])}\n", file=out)
    print(
        *(wrong or ["Nothing was wrong: every delivery was right, and the servers' logs are empty."]),
        sep="\n",
        file=out,
    )
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
