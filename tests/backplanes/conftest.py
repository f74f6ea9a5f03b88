"""Both backplanes, each with what makes trouble for it, and ears that remember what they hear."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from redisserver import RedisServer

from signalpost.backplanes.backplane import Keep
from signalpost.backplanes.memory import MemoryBackplane, MemoryServer

ALL = Keep(1_000, 60, 600)


class Ear:
    """What a node has heard, in its order: bodies, and what became of its connection."""

    def __init__(self):
        self.log = []
        self.why = []

    def heard(self, channel, body):
        self.log.append((channel, body))

    def heard_kept(self, channel, top, previous, body):
        self.log.append((channel, top, previous, body))

    def connected(self):
        self.log.append("connected")

    def lost(self, why):
        self.why.append(why)
        self.log.append("lost")

    @property
    def bodies(self):
        return [entry[-1] for entry in self.log if isinstance(entry, tuple)]

    @property
    def turns(self):
        """What became of the connection."""
        return [entry for entry in self.log if isinstance(entry, str)]


class Rig:
    """A server of one kind, and the nodes at it: each is a backplane that was started, and its ear."""

    def __init__(self):
        self.nodes = []

    async def node(self, *channels):
        """Return a started backplane and its ear, which hears some channels."""
        backplane, ear = self.backplane(), Ear()
        self.nodes.append(backplane)
        await backplane.start(ear)
        if channels:
            await backplane.follow(channels)
        return backplane, ear

    async def close(self):
        for backplane in self.nodes:
            await backplane.stop()


class MemoryRig(Rig):
    """Nodes of a server in memory."""

    def __init__(self):
        super().__init__()
        self.server = MemoryServer()

    def backplane(self):
        return MemoryBackplane(self.server)

    def cut(self):
        """Lose all connections; they come back."""
        self.server.cut()
        self.server.heal()

    def down(self):
        self.server.cut()

    def up(self):
        self.server.heal()

    def wipe(self):
        self.server.wipe()

    def stall(self):
        self.server.stall()

    def resume(self):
        self.server.resume()


class RedisRig(Rig):
    """Nodes of a real Redis."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        server.ask("FLUSHALL")

    def backplane(self):
        from signalpost.backplanes.redis import RedisBackplane

        return RedisBackplane(self.server.url, "app")

    def cut(self):
        """Lose all connections; they come back."""
        self.server.ask("CLIENT", "KILL", "TYPE", "normal")
        self.server.ask("CLIENT", "KILL", "TYPE", "pubsub")

    def down(self):
        self.server.kill()

    def up(self):
        self.server.start()

    def wipe(self):
        self.server.ask("FLUSHALL")

    def stall(self):
        self.server.stall()

    def resume(self):
        self.server.resume()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A real Redis that tests share, one after the other."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def rig(request):
    """Give both kinds of backplanes, one after the other."""
    rig = MemoryRig() if request.param == "memory" else RedisRig(request.getfixturevalue("redis_server"))
    yield rig
    await rig.close()


@pytest.fixture(scope="session")
def all_kept():
    """Keep so much that nothing is removed."""
    return ALL


@pytest.fixture(scope="session")
def make_rigs(redis_server):
    """Make both kinds anew: ``in_memory, in_redis = make_rigs()``."""
    return lambda: (MemoryRig(), RedisRig(redis_server))


@pytest.fixture(scope="session")
def make_ear():
    """Make ears that remember what they hear."""
    return Ear


@pytest.fixture
def server(tmp_path):
    """A server of the test's own."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def connect(make_ear):
    """Start a backplane: ``await connect(server, "x", "y")`` returns it with its ear, which hears these channels.

    An address may stand for the server.
    """
    started = []

    async def connect(url, *channels, ear=None, name="app", **options):
        from signalpost.backplanes.redis import RedisBackplane

        backplane, ear = RedisBackplane(getattr(url, "url", url), name, **options), ear or make_ear()
        started.append(backplane)
        await backplane.start(ear)
        if channels:
            await backplane.follow(channels)
        return backplane, ear

    yield connect
    for backplane in started:
        await backplane.stop()
