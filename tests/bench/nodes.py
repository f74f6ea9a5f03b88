"""Nodes of one app that share a Redis, each a process of its own: signalpost, and socket.io to compare with.

Both put what a client sends to all clients of a path, or room, on all nodes.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from json import loads
from os import sched_getaffinity
from pathlib import Path

from harness import BenchError, Cores, Running, load, running
from servers import NPM, PEERS_FOLDER, SIGNALPOST, Message, Server

REDIS_PROGRAMS = ("redis-server", "valkey-server")
KEPT = "{keep: 1000, for: 10m}"  # 200 s of a storm, however slow the machine is

APP = """\
limits: {{rate: 0, message: 16KiB}}
{backplane}history: {{limit: 256MiB}}
endpoints:
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
signals:
  - path: /rooms/<room>
    rebroadcast: path
    schema: {{type: object, required: [message]}}
    history: {kept}
  - path: /live/<room>
    rebroadcast: path
    schema: {{type: object, required: [message]}}
"""

Command = Callable[[int, Path, str | None], list[str]]
"""From a port, an empty folder and the URL of Redis, or None for one that is alone, to what starts a node."""


@dataclass(frozen=True, slots=True, eq=False)
class App:
    """A program whose nodes can be measured.

    Attributes:
        name: of it.
        command: starts a node.
        paths: where its clients connect, by whether values are kept.
        envelope: around what receivers get, with ``%s`` for it.
        hello: what clients send first.
        packages: of Node that it needs, the first one being it.
    """

    name: str
    command: Command
    paths: dict[bool, str]
    envelope: str
    hello: str = ""
    packages: Sequence[str] = field(default=())

    @property
    def version(self) -> str:
        """Of what is measured; empty where it is not installed."""
        if not self.packages:
            return SIGNALPOST.version() if SIGNALPOST.version else ""
        manifests = [PEERS_FOLDER / "node_modules" / each / "package.json" for each in self.packages]
        if shutil.which("node") is None or not all(map(Path.exists, manifests)):
            return ""
        found = [loads(each.read_text(encoding="utf-8"))["version"] for each in manifests]
        return ", ".join(f"{name} {version}" for name, version in zip(self.packages, found, strict=True))

    @property
    def missing(self) -> str:
        """What to do where it is not installed."""
        return "" if self.version else f"{self.name}: left out, it is not installed ({NPM})"

    def load_arguments(self, message: Message, *, kept: bool) -> list[str]:
        """Tell the load generator where to connect and what to send so that receivers read `message`."""
        template = self.envelope.replace("%s", message.template)
        size = str(message.size + len(self.envelope) - len("%s"))
        hello = ["--hello", self.hello] if self.hello else []
        return ["--path", self.paths[kept].format(room="blue"), "--template", template, "--size", size, *hello]


def _signalpost(port: int, folder: Path, url: str | None) -> list[str]:
    routes = folder / "routes.yaml"
    backplane = "" if url is None else f"backplane: {url}\n"
    routes.write_text(APP.format(port=port, backplane=backplane, kept=KEPT), encoding="utf-8")
    return [sys.executable, "-m", "signalpost", "run", str(routes)]


def _socket_io(port: int, _folder: Path, url: str | None) -> list[str]:
    return ["node", str(PEERS_FOLDER / "socketio.mjs"), str(port), *([] if url is None else [url])]


_ROOM = "/socket.io/?EIO=4&transport=websocket&room={room}"

OURS = App("signalpost", _signalpost, {True: "/rooms/{room}", False: "/live/{room}"}, '{"message":%s}')
SOCKET_IO = App(
    "socket.io",
    _socket_io,
    {True: _ROOM, False: _ROOM},
    '42["m",%s]',
    hello="40",
    packages=("socket.io", "@socket.io/redis-streams-adapter", "redis"),
)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes that listen, and what they share.

    Attributes:
        app: that they run.
        each: of them.
        redis: None for one that is alone.
        folders: of the nodes, with their logs.
    """

    app: App
    each: Sequence[Running]
    redis: Running | None
    folders: Sequence[Path]

    def said(self, number: int) -> list[str]:
        """Return the lines that a node has written since it listens."""
        output = (self.folders[number] / "output.txt").read_text(encoding="utf-8", errors="replace")
        return output.partition("Ctrl-C stops\n")[2].splitlines() if self.app is OURS else output.splitlines()

    def put_load(self, cores: Cores, arguments: Sequence[str]) -> dict[str, float]:
        """Put a load on the first node, and on the second one if there is one; see wsload.c."""
        first, *others = self.each
        if others and self.redis is not None:
            ids = ("--other-pid", str(others[0].pid), "--store-pid", str(self.redis.pid))
            arguments = ["--other-port", str(others[0].port), *ids, *arguments]
        return load(first, cores, arguments)


def _redis(port: int, _folder: Path) -> list[str]:
    program = next(filter(None, map(shutil.which, REDIS_PROGRAMS)), None)
    if program is None:
        raise BenchError("redis-server is missing: apt-get install redis-server")
    quiet = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1")
    return [program, "--port", str(port), *quiet]


REDIS = Server("redis-server", _redis)


def spread_over(cores: Cores) -> list[Cores]:
    """Return where the first node, the second one, Redis and further nodes run.

    The first one has a core for itself; the others have one each while there are some, and else that of the load.
    """
    if cores.server is None:
        return [cores] * 4
    free = [core for core in sorted(sched_getaffinity(0)) if core not in {cores.server, cores.load}]
    others = [*free, cores.load, cores.load, cores.load][:3]
    return [cores, *(Cores(core, cores.load) for core in others)]


@contextmanager
def nodes_of(app: App, cores: Cores, number: int, *, alone: bool = False) -> Iterator[Nodes]:
    """Start a Redis and nodes of an app, or one that is alone, and stop all in the end."""
    first, second, store, *further = spread_over(cores)
    folders: list[Path] = []
    with ExitStack() as stack:
        redis = None if alone else stack.enter_context(running(REDIS, store))
        url = None if redis is None else f"redis://127.0.0.1:{redis.port}/0"

        def command(port: int, folder: Path) -> list[str]:
            folders.append(folder)
            return app.command(port, folder, url)

        places = [first, second, *further][:number]
        each = [stack.enter_context(running(Server(app.name, command), place)) for place in places]
        yield Nodes(app, each, redis, folders)
