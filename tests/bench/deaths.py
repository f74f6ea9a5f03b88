"""What becomes of the clients of a node that dies: all come back to another one, with their positions.

Those who publish meanwhile are at a third node. Every client checks every value: none may be missing, none doubled.
"""

import os
import re
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass

import redis
from harness import BenchError, Cores, Running
from nodes import OURS, App, nodes_of

import history
from history import HOST, OP_TEXT, PADDING, Crowd, Guest

NOT_RECOVERED = "a client was not recovered"  # as `Crowd` counts it
NOT_YET = 1 << 60  # more than any number of a value
SAID_OF_THE_DEAD = "does not answer any more"
NOTICE_SECONDS = 30.0
STREAM_READS = ("xrange", "xrevrange")
SESSION_READS = ("hgetall", "get", "getdel")
WRITES = ("xadd",)
SCRIPTS = ("evalsha", "eval")


@dataclass(frozen=True, slots=True)
class Shape:
    """How many they are: `each` clients on each of the paths, and so many values a second there."""

    rooms: int
    each: int
    rate: float


class Survivors(Crowd):
    """Guests of a node that dies; `staying` ones are at another one, see `history.Crowd`.

    Attributes:
        port: where those come who do not stay.
        dying: whether their connections may end.
    """

    def __init__(self, port: int, staying_port: int, shape: Shape) -> None:
        super().__init__(port, shape.rooms, shape.each, shape.rate)
        self.port = port
        self.dying = False
        self._staying_port = staying_port

    def notice(self) -> None:
        """Wait until the connections of all have ended.

        Raises:
            BenchError: some have not.
        """
        if not self.run(lambda: all(guest.socket is None for guest in self.guests), NOTICE_SECONDS):
            raise BenchError("the clients of a node that was killed are connected still")

    def _port_of(self, guest: Guest) -> int:
        return self._staying_port if guest.stays else self.port

    def _lost(self, guest: Guest, why: str) -> None:
        if self.dying and not guest.stays:
            self._close(guest)
        else:
            super()._lost(guest, why)


ENGINE_REQUEST = (
    "GET /socket.io/?EIO=4&transport=websocket&room={room} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
EVENT = re.compile(rb'42\["m","(\d+)@(\d+) [^"]*"(?:,"([0-9-]+)")?\]')
CONNECTED = re.compile(rb'40\{"sid":"[^"]*"(?:,"pid":"([^"]*)")?\}')


class SocketIoSurvivors(Survivors):
    """The same, as clients of socket.io with connection state recovery.

    A server of socket.io sends what a client has missed before it tells that it is connected.
    """

    def __init__(self, port: int, staying_port: int, shape: Shape) -> None:
        super().__init__(port, staying_port, shape)
        self._had: dict[Guest, int] = {}  # of those who come back: how much they had

    def _request(self, guest: Guest) -> str:
        return ENGINE_REQUEST.format(room=guest.room, host=HOST, port=self._port_of(guest))

    def _message(self, number: int, due: int) -> bytes:
        return b'42["m","%d@%d %s"]' % (number, due, PADDING)

    def _on_frame(self, guest: Guest, opcode: int, payload: bytes) -> None:
        if opcode != OP_TEXT:
            super()._on_frame(guest, opcode, payload)
        elif found := EVENT.fullmatch(payload):
            self._on_value(guest, int(found[1]), int(found[2]), None if found[3] is None else found[3].decode())
        elif found := CONNECTED.fullmatch(payload):
            self._on_connected(guest, "" if found[1] is None else found[1].decode())
        elif payload.startswith(b"0{"):
            guest.until = NOT_YET
            self._had[guest] = guest.expected or 0
            known = f'{{"pid":"{guest.session}","offset":"{guest.position}"}}' if guest.position else ""
            self._send(guest, f"40{known}".encode())
        elif payload == b"2":
            self._send(guest, b"3")
        else:
            self.trouble[f"a client got {payload[:20]!r}"] += 1

    def _send(self, guest: Guest, payload: bytes) -> None:
        if guest.socket is not None:
            guest.socket.send(b"\x81" + bytes([0x80 | len(payload)]) + bytes(4) + payload)

    def _on_connected(self, guest: Guest, session: str) -> None:
        guest.until = 0
        if guest.position and session != guest.session:
            self.trouble[NOT_RECOVERED] += 1
        elif guest.position:
            guest.until = self.published[guest.room]
            self.missed += guest.until - self._had[guest]
        guest.session = session
        if (guest.expected or 0) >= guest.until:
            self._on_live(guest)


def calls(redis_port: int) -> Counter[str]:
    """Return how often each command of a Redis was called, also by scripts."""
    with redis.Redis(port=redis_port, protocol=2) as client:
        stats = client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()})


@dataclass(frozen=True, slots=True)
class Death:
    """How the clients of a node came to another one.

    Attributes:
        seconds: until all were live, from when the first one began.
        median_ms: from a client's first byte until it is live; `longest_ms` that of the last.
        node_us: CPU time of the node that they come to for each of them.
        redis_us: of Redis for each of them, what is published meanwhile included.
        node_share: of a core; `redis_share` and `load_share`, that of the clients, which may be the bottleneck.
        late_ms: the latest value for those who stayed at another node, meanwhile.
        reads: calls of Redis that read what is kept on a path, meanwhile; `sessions` those that read something for one
            client.
        scripts: that it ran meanwhile, with those that keep a value: `kept`.
        missed: values that were read later.
        missing: values that were not read at all.
        doubled: values that were read twice.
        unrecovered: clients that were told that they were not recovered.
    """

    clients: int
    seconds: float
    median_ms: float
    longest_ms: float
    node_us: float
    redis_us: float
    node_share: float
    redis_share: float
    load_share: float
    late_ms: float
    reads: int
    sessions: int
    scripts: int
    kept: int
    missed: int
    missing: int
    doubled: int
    unrecovered: int


def _come_to(crowd: Survivors, left: Running, store: Running) -> Death:
    crowd.port, crowd.late = left.port, []
    before = calls(store.port)
    cpu = [history.cpu_seconds(each.pid) for each in (left, store)]
    mine, begin = time.process_time(), time.monotonic()
    crowd.come(crowd.guests)
    seconds, mine = time.monotonic() - begin, time.process_time() - mine
    node, stored = (history.cpu_seconds(each.pid) - old for each, old in zip((left, store), cpu, strict=True))
    made = calls(store.port) - before
    late = crowd.late
    crowd.go_on(history.AFTER_SECONDS)
    crowd.publish(on=False)
    crowd.settle()
    each = sorted(guest.live_at - guest.came_at for guest in crowd.guests)
    return Death(
        clients=len(each),
        seconds=seconds,
        median_ms=statistics.median(each) * 1e3,
        longest_ms=each[-1] * 1e3,
        node_us=node / len(each) * 1e6,
        redis_us=stored / len(each) * 1e6,
        node_share=node / seconds,
        redis_share=stored / seconds,
        load_share=mine / seconds,
        late_ms=max(late, default=0.0) * 1e3,
        reads=sum(made[name] for name in STREAM_READS),
        sessions=sum(made[name] for name in SESSION_READS),
        scripts=sum(made[name] for name in SCRIPTS),
        kept=sum(made[name] for name in WRITES),
        missed=crowd.missed,
        missing=crowd.missing,
        doubled=crowd.doubled,
        unrecovered=crowd.trouble.pop(NOT_RECOVERED, 0),
    )


def outlive(app: App, cores: Cores, shape: Shape, *, kill: bool) -> tuple[Death, Counter[str]]:
    """Kill a node, or cut off its clients alone; let all come to another node while a third one publishes."""
    with nodes_of(app, cores, 3) as nodes:
        left, dying, publishing = nodes.each  # the one that all come to has the server's core for itself
        kind = Survivors if app is OURS else SocketIoSurvivors
        crowd = kind(dying.port, publishing.port, shape)
        assert nodes.redis is not None
        try:
            for guest in crowd.staying:  # one after the other: `come` counts those who are live
                crowd.come([guest])
            crowd.publish(on=True)
            crowd.come(crowd.guests)
            crowd.go_on(history.BEFORE_SECONDS)
            crowd.dying = kill
            if kill:
                os.kill(dying.pid, signal.SIGKILL)
                crowd.notice()
            else:
                crowd.cut()
            crowd.go_on(history.AWAY_SECONDS)
            crowd.dying = False
            death, trouble = _come_to(crowd, left, nodes.redis), crowd.trouble
            said = [line for line in nodes.said(0) + nodes.said(2) if not (kill and SAID_OF_THE_DEAD in line)]
            return death, trouble + Counter(history.digest_of(said))
        finally:
            crowd.close()
