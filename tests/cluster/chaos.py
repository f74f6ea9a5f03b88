"""Real nodes on a real Redis, with clients that hold what they read against the invariants of several nodes.

A reader of kept values goes from each position to the very next one, unless it is told of a gap; one of live values
counts each speaker's, and misses none unless it is told. A speaker numbers what it says, and notes what was answered.
"""

import asyncio
import itertools
import os
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

sys.path.insert(0, str(Path(__file__).parents[1] / "backplanes"))

from redisserver import free_port

from signalpost.backplanes.redis import RedisBackplane
from signalpost.history.position import read_position
from signalpost.node import Seams
from signalpost.testing import serve

V1 = "signalpost.v1"
LONG = 20  # seconds after which an event that is waited for does not come any more
WINDOW = 20  # messages of a speaker that have no answer yet
PACE = 0.003  # seconds between two messages of a speaker, so that no node misses more than is kept
APP = """
endpoints:
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
  - {{name: web, address: 127.0.0.1, port: {web}, protocol: http, fallbacks: [sse]}}
backplane: {{url: "{url}", name: chaos, patience: {patience}, lost: {lost}}}
limits: {{connections: 1000, rate: 0}}
signals:
  - {{path: /kept, rebroadcast: path, history: {{keep: 5000, for: 1h}}}}
  - {{path: /live, rebroadcast: path}}
  - {{path: /list, do: [{{broadcast: {{value: "{{{{ message }}}}", path: /kept}}}}]}}
  - {{path: /here, presence: {{grace: 0, every: 10ms}}}}
"""


async def until(is_true, seconds=LONG):
    """Return when something is true."""
    async with asyncio.timeout(seconds):
        while not is_true():  # noqa: ASYNC110 - what is read is told by nothing
            await asyncio.sleep(0.002)


def routes(url, *, patience="5s", lost="alone", port=0, web=0, more=""):
    """Return the routes.yaml of a node."""
    return APP.format(url=url, patience=patience, lost=lost, port=port, web=web) + more


class Chaos:
    """Nodes, readers and speakers of a test; `async with` ends them."""

    def __init__(self):
        self.readers = []
        self._stack = None
        self._tasks = []

    async def __aenter__(self):
        self._ends = []
        return self

    async def __aexit__(self, *_):
        for client in self._tasks:
            client.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in reversed(self._ends):
            await end.__aexit__(None, None, None)

    async def node(self, url, *, silence=5.0, plugins=None, **options):
        """Start a node in this process; return its app."""
        seams = Seams(backplane=RedisBackplane(url, "chaos", silence=silence))
        running = serve(routes(url, **options), seams=seams, plugins=plugins)
        app = await running.__aenter__()
        self._ends.append(running)
        app.cluster = app.server._cluster
        app.away = lambda: not app.cluster.backplane.connected
        app.given_up = lambda: app.cluster.parcels.given_up
        return app

    async def process(self, folder, url, **options):
        """Start a node as a process of its own."""
        node = Process(folder, url, **options)
        await node.start()
        self._ends.append(node)
        return node

    async def reader(self, path, *urls, v1=True):
        """Return somebody who reads from now on, and goes on to the next address when a connection is lost."""
        kind = KINDS.get(path, Live) if v1 else Plain
        reader = kind(path, urls)
        self._tasks.append(asyncio.ensure_future(reader.run()))
        self.readers.append(reader)
        await until(lambda: reader.welcomes or reader.breach)
        return reader

    async def speaker(self, label, url, path):
        """Return somebody who speaks."""
        speaker = Speaker(label, url, path)
        self._tasks.append(asyncio.ensure_future(speaker.run()))
        await until(lambda: speaker.socket is not None)
        return speaker

    async def agree(self, speaker, *, gaps=None):
        """Return when all readers have read a last value of a speaker, and nobody has seen a breach.

        Args:
            speaker: speaks once more.
            gaps: how many were told to each reader of v1; None is any number.
        """
        speaker.going = False
        await until(lambda: not speaker.waiting)
        readers = [reader for reader in self.readers if reader.path == speaker.path]
        async with asyncio.timeout(LONG):
            while True:  # it may be refused yet, or live values missed by a node that is not back yet
                last = speaker.say()
                if await speaker.heard(last):
                    with suppress(TimeoutError):
                        await until(lambda last=last: all(last in each.names or each.breach for each in readers), 1)
                        break
                await asyncio.sleep(0.05)
        for reader in self.readers:
            assert reader.breach is None, reader.breach
        for reader in readers:
            if gaps is not None and not isinstance(reader, Plain):
                assert len(reader.gaps) == gaps, (reader.gaps, reader.at, reader.welcomes)


class Reader:
    """Somebody who reads.

    Attributes:
        names: of all values that it has read, in order.
        gaps: why, of each that it was told.
        welcomes: connections that it had.
        breach: an invariant that does not hold.
        home: addresses of the nodes that it goes to.

    """

    def __init__(self, path, urls):
        self.path = path
        self.names = []
        self.gaps = []
        self.welcomes = 0
        self.breach = None
        self.at = None
        self.home = urls
        self._urls = itertools.cycle(urls)
        self._session = None

    def values(self, label):
        """Return the numbers of one speaker's values."""
        return [int(number) for who, _, number in (name.partition(":") for name in self.names) if who == label]

    async def run(self):
        for url in self._urls:
            query = "" if self.at is None else f"?at={self.at}"
            names = [V1] if self._session is None else [V1, f"signalpost.session.{self._session}"]
            with suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                async with connect(
                    url + self.path + query, subprotocols=self._offered(names), compression=None, proxy=None
                ) as socket:
                    self._connected()
                    async for frame in socket:
                        try:
                            self.read(frame)
                        except Exception as breach:  # noqa: BLE001 - whatever it is, the test tells it
                            self.breach = breach
                            return
            await asyncio.sleep(0.05)

    def _offered(self, names):
        return names

    def _connected(self):
        """Called when a connection is there."""

    def read(self, frame):
        ((kind, body),) = orjson.loads(frame).items()
        if kind == "welcome":
            self.welcomes += 1
            self._session = body["session"]
            self.welcomed(body)
        elif kind == "gap":
            self.gaps.append(body["why"])
            self.gap(body)
        elif kind == "signal":
            self.value(body["value"], body.get("at"))
            self.names.append(body["value"])
        elif kind == "presence":
            self.present(body)
        else:
            assert kind == "bye", frame


class Kept(Reader):
    """A reader of kept values."""

    owed = False
    brought = False

    def welcomed(self, body):
        assert not self.owed, "a gap was owed, and not told"
        self.brought = self.at is not None
        if self.brought:
            assert body["recovered"] in {True, False}
            self.owed = not body["recovered"]
        else:
            self.at = body["at"]

    def gap(self, body):
        self.owed = False
        self.at = body["at"]
        self.names.append("gap")

    def value(self, name, at):
        assert not self.owed, f"{name} follows a gap that was not told"
        before, now = read_position(self.at), read_position(at)
        assert now.epoch == before.epoch, f"{name} is in another epoch, silently"
        assert now.offset == before.offset + 1, f"{name} is at {at}, right behind {self.at}"
        since = self.names[len(self.names) - self.names[::-1].index("gap") :] if "gap" in self.names else self.names
        assert name not in since, f"{name} is read twice"
        self.at = at


class Live(Reader):
    """A reader of values that are not kept."""

    def __init__(self, path, urls):
        super().__init__(path, urls)
        self._last = {}
        self._excused = set()

    def welcomed(self, _body):
        self._last.clear()

    def gap(self, _body):
        self._excused = set(self._last)

    def value(self, name, _at):
        who, _, number = name.partition(":")
        last, now = self._last.get(who), int(number)
        if last is not None:
            assert now > last, f"{name} is read again, or out of order"
            assert now == last + 1 or who in self._excused, f"values before {name} are missing silently"
        self._last[who] = now
        self._excused.discard(who)


class Watcher(Reader):
    """Somebody on a path with presence.

    Attributes:
        user: how others know it.
        users: who is there, as it knows.
        left: who has ever left.

    """

    def __init__(self, path, urls):
        super().__init__(path, urls)
        self.user = None
        self.users = set()
        self.left = []

    def welcomed(self, body):
        self.user = body["user"]

    def present(self, body):
        if "users" in body:
            self.users = set(body["users"])
        else:
            self.users = (self.users | set(body["joined"])) - set(body["left"])
            self.left += body["left"]
        assert body["count"] == len(self.users)


class Plain(Reader):
    """A reader who speaks no signalpost.v1, and is told of nothing."""

    def _offered(self, _names):
        return None

    def _connected(self):
        self.welcomes += 1

    def read(self, frame):
        assert frame not in self.names, f"{frame} is read twice"
        self.names.append(frame)


KINDS = {"/kept": Kept, "/here": Watcher}


class Speaker:
    """Somebody who speaks, and numbers it: ``ann:1``.

    Attributes:
        going: whether it speaks on and on.
        waiting: what has no answer yet, by its ``ref``.
        acknowledged: positions by names.
        refused: names.
        errors: codes that it was told.

    """

    def __init__(self, label, url, path):
        self.label = label
        self.path = path
        self.socket = None
        self.going = False
        self.waiting = {}
        self.acknowledged = {}
        self.refused = []
        self.errors = []
        self.count = 0
        self.home = self._url = url
        self._turn = asyncio.Event()
        self._sends = []

    def say(self, text=None):
        """Say the next value, or something else; return it."""
        self.count += text is None
        name = f"{self.label}:{self.count}" if text is None else text
        ref = len(self._sends) + 1
        self.waiting[ref] = name
        self._sends.append(asyncio.ensure_future(self._send({"message": name, "ref": ref})))
        return name

    async def _send(self, document):
        with suppress(ConnectionClosed):
            await self.socket.send(orjson.dumps(document).decode())

    async def heard(self, name):
        """Return whether a value was acknowledged, as soon as there is an answer."""
        await until(lambda: name not in self.waiting.values())
        return name in self.acknowledged

    async def storm(self, values):
        """Speak on and on; return when so many more values are acknowledged."""
        self.going = True
        wanted = len(self.acknowledged) + values
        self._turn.set()
        await until(lambda: len(self.acknowledged) >= wanted)

    async def run(self):
        async with connect(
            self._url + self.path, subprotocols=[V1], compression=None, proxy=None, max_queue=None
        ) as socket:
            self.socket = socket
            talking = asyncio.ensure_future(self._talk())
            try:
                async for frame in socket:
                    self._read(orjson.loads(frame))
            except ConnectionClosed:
                pass
            finally:
                self.going = False
                talking.cancel()

    async def _talk(self):
        while True:
            await self._turn.wait()
            if self.going and len(self.waiting) < WINDOW:
                self.say()
            await asyncio.sleep(PACE)
            if not self.going or len(self.waiting) >= WINDOW:
                self._turn.clear()

    def _read(self, frame):
        ((kind, body),) = frame.items()
        if kind in {"ack", "error"}:
            name = self.waiting.pop(body["ref"])
            if kind == "ack":
                self.acknowledged[name] = body.get("at")
            else:
                self.errors.append(body["code"])
                self.refused.append(name)
            self._turn.set()


class Process:
    """A node as a process.

    Attributes:
        url: of its signals.

    """

    def __init__(self, folder, url, **options):
        self._folder = folder
        folder.mkdir()
        port, web = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{port}"
        (folder / "routes.yaml").write_text(routes(url, port=port, web=web, **options))
        self._process = None

    async def start(self):
        """Start it; return when it listens."""
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "signalpost", "run", "routes.yaml"),
                cwd=self._folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "NO_COLOR": "1"},
            )
        async with asyncio.timeout(LONG):
            while True:
                assert self._process.returncode is None, self.log
                with suppress(OSError, InvalidHandshake, TimeoutError):
                    async with connect(self.url + "/live", proxy=None):
                        return
                await asyncio.sleep(0.05)

    @property
    def log(self):
        return (self._folder / "log").read_text()

    async def kill(self):
        """End it as ``kill -9`` does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def __aexit__(self, *_):
        await self.kill()


async def post(app, path, text):
    """Publish by POST; return the response."""
    async with httpx.AsyncClient() as client:
        return await client.post(app.url("web") + path, json={"message": text})
