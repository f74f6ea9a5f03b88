"""A rolling restart: nodes behind HAProxy are restarted one after the other, while clients publish and read.

It is the app, the command and the configuration of HAProxy of `core/docs/cluster`. What comes of it are counts; nothing
is waited for but that something is so.
"""

import csv
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLUSTER = ROOT / "core/docs/cluster"
NODES = ("node1", "node2", "node3")
IN_A_ROOM = 10  # clients
PUBLISHERS = ("python", "javascript")  # one of each kind in a room
PATIENCE = 90  # seconds, on a busy machine
_PAUSE = 0.05  # seconds between two questions


class NodeProcess:
    """A node as a process; its folder holds what the image of the compose file holds.

    Args:
        folder: of the app.
        name: of the node.
        backplane: its URL.
    """

    def __init__(self, folder, name, backplane):
        self.name = name
        self.port = free_port()
        self._folder = folder
        self._environment = {**os.environ, "BACKPLANE": backplane}
        self._log = folder / f"{name}.log"
        self._process = None

    def start(self):
        """Start the process; it answers later."""
        here = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "info"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *image_command(), *here],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def stop(self):
        """Stop it as an orchestrator does, and return when it has ended."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        assert code == 0, f"{self.name} ended with {code}:\n{self.log}"

    def kill(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def log(self):
        """What it has said."""
        return self._log.read_text()


class Proxy:
    """HAProxy with the configuration of the documents.

    Args:
        folder: for its files.
        nodes: that it leads to.
    """

    def __init__(self, folder, nodes):
        self.port = free_port()
        text = (CLUSTER / "haproxy.cfg").read_text().replace("bind :8080", f"bind 127.0.0.1:{self.port}")
        for node in nodes:
            text = text.replace(f"{node.name}:8090", f"127.0.0.1:{node.port}")
        (folder / "haproxy.cfg").write_text(text)
        self._control = folder / "haproxy.sock"
        (folder / "control.cfg").write_text(f"global\n    stats socket {self._control}\n    nbthread 1\n")
        self._log = folder / "haproxy.log"
        command = [program("haproxy"), "-db", "-f", folder / "control.cfg", "-f", folder / "haproxy.cfg"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def counts(self):
        """Return what it counts, by (proxy, server) and name."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._control))
            control.sendall(b"show stat\n")
            text = control.makefile().read()
        return {(row["# pxname"], row["svname"]): row for row in csv.DictReader(text.splitlines())}

    def wait_for(self, *nodes):
        """Return when it holds these nodes for healthy."""

        def all_up():
            assert self._process.poll() is None, self._log.read_text()
            if not self._control.exists():
                return False
            counts = self.counts()
            return all(counts["nodes", node.name]["status"] == "UP" for node in nodes)

        wait_until(all_up, "HAProxy holds a node for ill")

    def kill(self):
        self._process.kill()
        self._process.wait()


class Clients:
    """A process with clients; see `rollingclients`.

    Args:
        command: that starts it.
        url: of the proxy.
        seconds: between two messages of a publisher.
        clients: kind, path, and name of a publisher.
    """

    def __init__(self, command, url, seconds, clients):
        self.count = len(clients)
        given = json.dumps({"url": url, "seconds": seconds, "clients": clients})
        self._process = subprocess.Popen([*command, given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, do, **more):
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()

    def answer(self):
        line = self._process.stdout.readline()
        assert line, f"the clients have ended: {self._process.wait()}"
        return json.loads(line)

    def are_connected(self):
        self.tell("connected")
        return self.answer()["connected"] == self.count

    def end(self):
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        clients: a tally each (`rollingclients.Tally`), as a mapping.
        sent: the last number of each publisher, by path and name.
        refused: answers of HAProxy to clients with a status of 500 or above.
        redispatched: connections that it has given to another node than it had chosen.
        seconds: for which publishers published.
    """

    clients: list
    sent: dict
    refused: int
    redispatched: int
    seconds: float

    @property
    def published(self):
        return sum(number for names in self.sent.values() for number in names.values())

    def total(self, name):
        """Return the sum over all clients: of numbers, or of lengths."""
        return sum(each[name] if isinstance(each[name], int) else len(each[name]) for each in self.clients)

    def unread(self):
        """Return how many values clients have not read at the end."""
        return sum(
            number - each["last"].get(name, 0)
            for each in self.clients
            for name, number in self.sent[each["path"]].items()
        )

    def reconnects(self):
        """Return how often each client has come back, as counts of clients: ``{1: 150}``."""
        return Counter(len(each["nodes"]) - 1 for each in self.clients)

    def came_again(self):
        """Return the clients that were welcomed by a node twice: they had been given to the one that stopped."""
        return [each for each in self.clients if len(set(each["nodes"])) < len(each["nodes"])]

    def most_in_a_second(self):
        """Return how many clients came back in the busiest second."""
        came = sorted(when for each in self.clients for when in each["came"][1:])
        return max((bisect_left(came, when + 1) - at for at, when in enumerate(came)), default=0)

    def left(self):
        """Return the nodes that clients have left."""
        return {node for each in self.clients for node in each["nodes"][:-1]}


def roll(folder, backplane, count, rate, told=lambda _: None):
    """Restart three nodes one after the other under load; return the `Outcome`.

    Args:
        folder: empty.
        backplane: URL of a Redis.
        count: of clients, a multiple of `IN_A_ROOM`.
        rate: messages a second, of all publishers.
        told: called with what happens, as a text.
    """
    raise_descriptor_limit()
    make_app(folder)
    with ExitStack() as stack:
        nodes = [NodeProcess(folder, name, backplane) for name in NODES]
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        proxy = Proxy(folder, nodes)
        stack.callback(proxy.kill)
        proxy.wait_for(*nodes)
        told("three nodes serve")
        processes = [stack.enter_context(running(*each)) for each in parties(proxy.port, count, rate)]
        for each in processes:
            each.answer()
        told(f"{count} clients are connected")
        for each in processes:
            each.tell("go")
        began = time.monotonic()
        for node in nodes:
            node.stop()
            told(f"{node.name} has stopped")
            node.start()
            proxy.wait_for(node)
            wait_until(lambda: all(each.are_connected() for each in processes), "clients do not come back")
            told(f"{node.name} serves again, and all clients are connected")
        for each in processes:
            each.tell("halt")
        sent = {}
        for each in processes:
            for path, names in each.answer()["sent"].items():
                sent.setdefault(path, {}).update(names)
        seconds = time.monotonic() - began
        for each in processes:
            each.tell("finish", sent=sent)
        clients = [tally for each in processes for tally in each.answer()["clients"]]
        counts = proxy.counts()
    return Outcome(
        clients,
        sent,
        int(counts["signalpost", "FRONTEND"]["hrsp_5xx"]),
        int(counts["nodes", "BACKEND"]["wredis"]),
        seconds,
    )


def parties(port, count, rate):
    """Return what starts the processes of clients: the same share of each kind in each room."""
    rooms = count // IN_A_ROOM
    kinds = [("python", "javascript", "plain")[number % 3] for number in range(IN_A_ROOM)]
    clients = {"python": [], "javascript": [], "plain": []}
    for number in range(rooms):
        path, publishers = f"/chat/room-{number}", set(PUBLISHERS)
        for kind in kinds:
            clients[kind].append((kind, path, f"{kind}" if kind in publishers else None))
            publishers.discard(kind)
    seconds = rooms * len(PUBLISHERS) / rate
    url = f"ws://127.0.0.1:{port}"
    node = [program("node"), "--experimental-websocket", "--no-warnings", HERE / "rollingclients.mjs"]
    yield [sys.executable, HERE / "rollingclients.py"], url, seconds, clients["python"] + clients["plain"]
    yield node, url, seconds, clients["javascript"]


@contextmanager
def running(*party):
    clients = Clients(*party)
    try:
        yield clients
    finally:
        clients.end()


def image_lines(word):
    """Return what the lines of the Dockerfile say that begin with a word, those behind its last WORKDIR."""
    text = (CLUSTER / "Dockerfile").read_text().rpartition("WORKDIR /app\n")[2]
    return [line.removeprefix(word).strip() for line in text.splitlines() if line.startswith(f"{word} ")]


def image_command():
    """Return the command of the image."""
    (command,) = image_lines("CMD")
    return json.loads(command)


def make_app(folder):
    """Copy into a folder what the Dockerfile copies into that of the app."""
    for line in image_lines("COPY"):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / target)
            else:
                shutil.copy(ROOT / source, folder / target)


def wait_until(is_so, else_):
    """Return when something is so."""
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, else_
        time.sleep(_PAUSE)


def program(name):
    """Return the path of a program."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError(f"there is no {name} on the PATH (Debian: apt install {name})")
    return found


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def raise_descriptor_limit():
    """Raise the soft limit of open files to the hard one, for this process and those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
