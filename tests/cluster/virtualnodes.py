"""Nodes of one process without sockets, and a loop whose time passes only while nothing is to be done.

Everything is real but the sockets and the time: nodes, clusters, presence, and a backplane in memory.
"""

import asyncio
import selectors
from collections import Counter
from types import SimpleNamespace

import orjson

from signalpost.auth.identity import GUEST, Identity
from signalpost.backplanes.futures import fail
from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.cluster.cluster import Cluster
from signalpost.cluster.parts import add_parts
from signalpost.delivery.codec import V1
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import ClientId
from signalpost.delivery.transport import RecordingTransport
from signalpost.events import HandshakeRequest
from signalpost.node import Node, Seams
from signalpost.signals.admission import Accept, ConnectRequest
from signalpost.state.state import State

PEER = ("127.0.0.1", 50000)


class _Selector(selectors.SelectSelector):
    """Waits for nothing: time passes instead."""

    def __init__(self):
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for ever"
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that never waits."""

    def __init__(self):
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self):
        return self._clock.now


def run(story):
    """Run a story, an ``async def``, in a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


class CountingBackplane(MemoryBackplane):
    """A backplane that counts what it is asked for, and whose two connections may be late.

    Attributes:
        asked: how often it was asked for what.
        fields: that were put.
        late: seconds by which answers about tables come later than what is heard.
        deaf: seconds by which a channel is heard later than it is asked for.
    """

    def __init__(self, server):
        super().__init__(server)
        self.asked = Counter()
        self.fields = 0
        self.late = self.deaf = 0.0

    def follow(self, channels):
        if not self.deaf:
            return super().follow(channels)
        self._followed |= set(channels)  # another connection hears it at once
        heard = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(self.deaf, self._follow_late, channels, heard)
        return heard

    def _follow_late(self, channels, heard):
        _copy(super().follow(channels), heard)

    def publish(self, channel, body):
        self.asked["note" if b'"who"' in body else "publish"] += 1
        return super().publish(channel, body)

    def put(self, table, fields, seconds=None):
        self.asked[f"put {table.partition(':')[0]}"] += 1
        self.fields += len(fields)
        return super().put(table, fields, seconds)

    def get(self, table):
        self.asked[f"get {table.partition(':')[0]}"] += 1
        answer = super().get(table)
        if not self.late:
            return answer
        later, loop = asyncio.get_running_loop().create_future(), asyncio.get_running_loop()
        answer.add_done_callback(lambda _: loop.call_later(self.late, _copy, answer, later))
        return later


def _copy(answer, later):
    """Let a future be as another one will be."""

    def copy(answer):
        if later.done() or answer.cancelled():
            later.cancel()
        elif answer.exception() is None:
            later.set_result(answer.result())
        else:
            fail(later, answer.exception())

    answer.add_done_callback(copy)


async def _no_digests(_plan):
    return {}


class VirtualNode:
    """A node without sockets.

    Attributes:
        clients: that are connected.
    """

    def __init__(self, shared, plan, digest=_no_digests):
        self.loop = asyncio.get_running_loop()
        self.backplane = CountingBackplane(shared)
        self.cluster = Cluster(self.backplane, patience=5.0, clock=self.loop.time)
        hub = Hub(self.loop.call_soon)
        self.node = Node(plan, hub, State({}), self.cluster.joined_to(Seams()))
        self.presence = self.node.memory.presence
        self.presence._clock = self.loop.time
        self.cluster.serve(self.node)
        self.cluster.parts.clear()  # only what is looked at here asks the backplane for anything
        self.node.memory.sessions.elsewhere = None
        add_parts(self.cluster, digest)
        self.crowd, self.roster = self.cluster.parts
        (self.endpoint,) = plan.config.endpoints
        self.clients = []
        self._numbers = iter(range(10**9))

    @property
    def tag(self):
        return self.cluster.origin.tag

    async def start(self):
        await self.node.open()
        return self

    async def stop(self):
        """Stop in order: clients first."""
        for client in tuple(self.clients):
            client.leave()
        await self.cluster.stop()
        self.presence.stop()

    def die(self):
        """Be gone from now on, in the middle of whatever it does."""
        self.backplane.cut()
        self.cluster._looking.cancel()
        for task in (self.roster._entering, *self.roster._tasks):
            if task is not None:
                task.cancel()
        self.presence.stop()
        self.presence.others = None
        self.clients.clear()

    async def connect(self, path="/rooms/blue", user=None, name=""):
        """Connect a client, and return it when it is welcomed."""
        identity = GUEST if user is None else Identity(user)
        head = HandshakeRequest(f"GET {path}?name={name} HTTP/1.1\r\nHost: x".encode(), PEER)
        request = ConnectRequest(self.endpoint, path, head, identity)
        waits = self.cluster.admission.admit(request)
        if waits is not None:
            assert await waits is None
        client_id = ClientId(f"{self.tag}-{next(self._numbers)}")
        accept = Accept(request, client_id, self.node.resolve(self.endpoint.name, path))
        transport = RecordingTransport()
        source = SimpleNamespace(read_on=lambda _on: None)
        conversation = self.node.attach(transport, accept, V1, source)
        client = VirtualClient(self, conversation, transport)
        self.clients.append(client)
        self.node.welcome(conversation)
        self.node.hub.flush()
        return client

    def seen(self, path="/rooms/blue"):
        """Return who is there, as a handler of this node sees it."""
        return {each.user: (each.n, each.info) for each in self.node.memory.present(path)}


class VirtualClient:
    """A client of ``signalpost.v1`` without a socket."""

    def __init__(self, node, conversation, transport):
        self.node = node
        self.conversation = conversation
        self.transport = transport
        self.user = conversation.user

    def leave(self):
        """Disconnect."""
        self.node.clients.remove(self)
        client = self.conversation.client
        self.node.node.hub.remove(client)
        self.node.node.report_gone(self.conversation)
        self.node.node.forget(client)

    def frames(self, kind="presence"):
        """Return what it has read so far of one kind."""
        return [each[kind] for each in map(orjson.loads, _payloads(self.transport.written)) if kind in each]

    def users(self):
        """Return who is there, as it knows by what it has read."""
        users, version = {}, None
        for told in self.frames():
            if "users" in told:
                users = dict(told["users"])
            else:
                assert told["version"] == version + 1
                users |= told["joined"]
                for user in told["left"]:
                    users.pop(user, None)  # who had left already when this client came
            version = told["version"]
            assert told["count"] == len(users)
        return {user: (seen["n"], seen["info"]) for user, seen in users.items()}


def _payloads(data):
    at = 0
    while at < len(data):
        length, at = data[at + 1], at + 2
        size = {126: 2, 127: 8}.get(length, 0)
        if size:
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        yield bytes(data[at : at + length])
        at += length


class VirtualApp:
    """The nodes of one app.

    Attributes:
        shared: what they share.
        nodes: those that have been started, the dead ones as well.
    """

    def __init__(self, plan):
        self.plan = plan
        self.shared = MemoryServer(asyncio.get_running_loop().time)
        self.nodes = []

    async def start(self, digest=_no_digests):
        """Start a node."""
        node = VirtualNode(self.shared, self.plan, digest)
        self.nodes.append(node)
        return await node.start()
