"""What the backplane costs a node for a value, in one process: no sockets, no clients, no Redis.

The node is a real one. Its connections to Redis end in nothing: what it writes is dropped, and what Redis would send is
handed to it, in batches as a busy node reads them.
"""

import asyncio
import time

from hiredis import Reader, pack_command

from signalpost.backplanes import redisreplies
from signalpost.backplanes.redis import RedisBackplane
from signalpost.backplanes.redisaddress import read_address
from signalpost.backplanes.rediskeys import Keys
from signalpost.backplanes.redispipeline import Pipeline
from signalpost.backplanes.redissession import Session
from signalpost.backplanes.redissubscription import Subscription
from signalpost.cluster.body import write_value
from signalpost.cluster.cluster import Cluster
from signalpost.delivery.publication import Publication
from signalpost.delivery.target import Target
from signalpost.history.position import id_of
from signalpost.node import Seams
from signalpost.testing import serve

BATCH = 50
"""Values of one loop turn, of one write, of one read."""

URL = "redis://127.0.0.1:1/0"
NAME = "signalpost"
LIVE, KEPT = "/live/a", "/kept/a"
APP = """\
limits: {rate: 0}
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: "/live/<room>", rebroadcast: path}
  - {path: "/kept/<room>", rebroadcast: path, history: 100}
"""
EPOCH = "abcdef"
ELSEWHERE = 1 << 40
"""The number of another node."""

PUBLISH_LIVE, PUBLISH_KEPT = "publish, live", "publish, kept"
HEAR_LIVE, HEAR_KEPT = "hear of another node, live", "hear of another node, kept"
OWN_LIVE, OWN_KEPT = "hear its own, live", "hear its own, kept"
ANSWER_LIVE, ANSWER_KEPT = "be answered, live", "be answered, kept"
DESCRIBED = {
    PUBLISH_LIVE: "from Cluster.publish to the bytes for Redis",
    OWN_LIVE: "from the bytes of Redis until it is delivered, to no client",
    ANSWER_LIVE: "from the bytes of Redis until the publisher's receipt has its answer",
    PUBLISH_KEPT: "",
    OWN_KEPT: "the same, and its window and history",
    ANSWER_KEPT: "",
    HEAR_LIVE: "",
    HEAR_KEPT: "",
}


class _Nowhere(asyncio.Transport):
    """Takes everything, sends nothing."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport.set_protocol`."""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """See `asyncio.WriteTransport.write`."""

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport.get_write_buffer_size`."""
        return 0

    def abort(self) -> None:
        """See `asyncio.WriteTransport.abort`."""


class _Writer:
    """What a line wants of a writer."""

    def __init__(self) -> None:
        self.transport = _Nowhere()


class Nowhere(RedisBackplane):
    """A backplane over a Redis that says nothing but what it is told to say."""

    session: Session

    async def _connect(self) -> None:
        address, keys = read_address(URL), Keys(NAME, 0)
        pipeline = Pipeline(_Writer(), address, 1e9)  # type: ignore[arg-type]
        subscription = Subscription(_Writer(), address, 1e9, keys, self._hearing)  # type: ignore[arg-type]
        self.session = self._session = Session(pipeline, subscription, keys, self._lose)
        self._connected = True
        self._hearing.connected()
        subscription.release()


class Carried:
    """A node, and values that it publishes and hears.

    Args:
        cluster: of the node.
        backplane: of it.
    """

    def __init__(self, cluster: Cluster, backplane: Nowhere) -> None:
        self._cluster = cluster
        self._session = backplane.session
        self._keys = Keys(NAME, 0)
        self.offset = 0  # of the newest kept value
        self._last = 0
        self._number = 0

    @property
    def top(self) -> int:
        """The offset of the newest value that the node has taken."""
        window = self._cluster.windows.of(KEPT)
        return 0 if window is None else window.stream.top

    async def open(self) -> None:
        """Follow both paths, as if there were clients on them."""
        interest, windows = self._cluster.interest, self._cluster.windows
        interest.follow([f"p:{LIVE}", f"p:{KEPT}"], lasting=True)
        await asyncio.sleep(0)
        interest.all_heard()
        window = windows.open(KEPT)
        assert window is not None
        head = [EPOCH.encode(), b"0", b"0", 0, b"600000", []]
        windows._take_in(window, redisreplies.entries(head), whole=True)
        window.answer = None
        pipeline = self._session.pipeline
        pipeline._calls.clear()

    def values(self, path: str) -> list[Publication]:
        """Return a batch of values."""
        return [Publication({"text": "x" * 40}, path, Target(path=path), path) for _ in range(BATCH)]

    async def publish(self, path: str) -> tuple[float, float, float]:
        """Publish a batch, hear it, and be answered; return the seconds of each."""
        values = self.values(path)
        pipeline = self._session.pipeline
        pipeline._outgoing.clear()  # of the node itself, which nobody answers
        pipeline._calls.clear()
        begin = time.process_time()
        for value in values:
            self._cluster.publish(value)
        published = time.process_time() - begin
        written = _commands(b"".join(pipeline._outgoing))
        assert len(written) == len(pipeline._calls) == BATCH
        begin = time.process_time()
        pipeline._flush()
        published += time.process_time() - begin
        if path == LIVE:
            heard = self._bytes(path, [payload[1:] for _, _, payload in written])
            answers = b":2\r\n" * BATCH
        else:
            kept = [
                each[3 + int(each[2]) :] for each in written
            ]  # EVALSHA, digest, how many keys; as keep.lua has them
            ids = [int(each[1]) for each in kept]
            answers = b"".join(
                b"*5\r\n$6\r\n%b\r\n:%d\r\n:%d\r\n:2\r\n:0\r\n" % (EPOCH.encode(), self.offset + 1 + n, each)
                for n, each in enumerate(ids)
            )
            heard = self._bytes(path, [each[0] for each in kept], ids)
        hearing = self._hear(heard)
        begin = time.process_time()
        pipeline.data_received(answers)
        await asyncio.sleep(0)  # the futures' callbacks
        answered = time.process_time() - begin
        assert not self._cluster.parcels._open
        return published, hearing, answered

    def hear(self, path: str) -> float:
        """Hear a batch of another node; return the seconds."""
        first = self._number + 1
        self._number += BATCH
        bodies = [write_value(value, ELSEWHERE, first + n) for n, value in enumerate(self.values(path))]
        ids = [id_of(ELSEWHERE, first + n) for n in range(BATCH)] if path == KEPT else None
        return self._hear(self._bytes(path, bodies, ids))

    def _bytes(self, path: str, bodies: list[bytes], ids: list[int] | None = None) -> bytes:
        parts = []
        for number, body in enumerate(bodies):
            if ids is None:
                payload = bytes([redisreplies.LIVE]) + body
            else:
                self.offset += 1
                head = redisreplies._HEADER.pack(EPOCH.encode(), self.offset, ids[number], self._last)
                payload = bytes([redisreplies.KEPT]) + head[1:] + body
                self._last = ids[number]
            parts.append(pack_command((b"message", self._keys.channel(f"p:{path}").published, payload)))
        return b"".join(parts)

    def _hear(self, data: bytes) -> float:
        begin = time.process_time()
        self._session.subscription.data_received(data)
        return time.process_time() - begin


def _commands(data: bytes) -> list[list[bytes]]:
    """Return the commands that a node has written."""
    reader = Reader()
    reader.feed(data)
    found = []
    while (command := reader.gets()) is not False:
        found.append(command)
    return found


async def timed(batches: int, rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of a value, a number a round, by what is done with it; all kinds take turns."""
    names = (PUBLISH_LIVE, OWN_LIVE, ANSWER_LIVE, PUBLISH_KEPT, OWN_KEPT, ANSWER_KEPT, HEAR_LIVE, HEAR_KEPT)
    found: dict[str, list[float]] = {name: [] for name in names}
    backplane = Nowhere(URL, NAME)
    async with serve(APP, seams=Seams(backplane=backplane)) as app:
        carried = Carried(app.server._cluster, backplane)  # type: ignore[arg-type]
        await carried.open()
        for _ in range(rounds):
            spent = dict.fromkeys(names, 0.0)
            for _ in range(batches):
                for at, path in ((0, LIVE), (3, KEPT)):
                    for name, seconds in zip(names[at : at + 3], await carried.publish(path), strict=True):
                        spent[name] += seconds
                spent[HEAR_LIVE] += carried.hear(LIVE)
                spent[HEAR_KEPT] += carried.hear(KEPT)
            for name, seconds in spent.items():
                found[name].append(seconds * 1e6 / (batches * BATCH))
        assert carried.top == carried.offset, "a kept value was not taken"
        backplane._connected = False  # it has nobody to say farewell to
    return found


def timed_here(batches: int, rounds: int) -> dict[str, list[float]]:
    """Run `timed`."""
    return asyncio.run(timed(batches, rounds))
