"""Who is present on several nodes: whatever happens, in any order, all nodes know the truth when all is quiet."""

import asyncio

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtualnodes import VirtualApp, run

from signalpost.testing import load_app

ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: "/rooms/<room>", presence: {grace: %s, every: 100ms, info: "{{ request.query.name }}"}}
"""
PATHS = ("/rooms/blue", "/rooms/red")
QUIET = 45.0  # seconds: longer than any grace, and than it takes to see that a node is dead

NODE = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start")),
        st.tuples(st.just("connect"), NODE, st.sampled_from("abcd"), st.sampled_from("xy"), st.sampled_from(PATHS)),
        st.tuples(st.just("connect"), NODE, st.sampled_from("abcd"), st.sampled_from("xy"), st.sampled_from(PATHS)),
        st.tuples(st.just("leave"), st.integers(0, 20)),
        st.tuples(st.just("move"), st.integers(0, 20), NODE),
        st.tuples(st.just("cut"), NODE, st.sampled_from([None, 0, 1, 2, 3])),
        st.tuples(st.just("heal"), NODE),
        st.tuples(st.just("stall"), NODE),
        st.tuples(st.just("deafen"), NODE),
        st.tuples(st.just("resume"), NODE),
        st.tuples(st.just("late"), NODE, st.sampled_from([0.0, 0.002, 0.2])),
        st.tuples(st.just("deaf"), NODE, st.sampled_from([0.0, 0.002, 0.2])),
        st.tuples(st.just("drop"), NODE, st.integers(1, 3)),
        st.tuples(st.just("cut all"), st.sampled_from([None, 0, 1, 2])),
        st.tuples(st.just("heal all")),
        st.tuples(st.just("stall all")),
        st.tuples(st.just("resume all")),
        st.tuples(st.just("wipe")),
        st.tuples(st.just("die"), NODE),
        st.tuples(st.just("stop"), NODE),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 0.001, 0.05, 0.3, 2.0, 7.0, 12.0])),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 0.001, 0.05, 0.3, 2.0, 7.0, 12.0])),
    ),
    max_size=40,
)


class Story:
    """Does what a schedule says, as far as it can be done."""

    def __init__(self, plan):
        self.app = VirtualApp(plan)
        self.nodes = []
        self.clients = []
        self.coming = set()
        self.deaf = set()

    def node(self, number):
        return self.nodes[number % len(self.nodes)] if self.nodes else None

    async def connect(self, node, user, name, path):
        """Connect a client, if it is let in in time, to a node that is there still."""
        try:
            async with asyncio.timeout(10.0):
                client = await node.connect(path, user, name)
        except TimeoutError:
            return
        if node in self.nodes:
            client.path = path
            client.name = name
            self.clients.append(client)

    def come(self, *arguments):
        task = asyncio.get_running_loop().create_task(self.connect(*arguments))
        self.coming.add(task)
        task.add_done_callback(self.coming.discard)

    async def do(self, kind, *what):  # noqa: C901, PLR0912 - a case for each kind
        shared = self.app.shared
        node = self.node(what[0]) if what and isinstance(what[0], int) else None
        match kind, what:
            case "start", ():
                if len(self.nodes) < 4 and not shared.stalled:
                    self.nodes.append(await self.app.start())
            case "connect", (_, user, name, path) if node:
                self.come(node, user, name, path)
            case "leave", (number,) if self.clients:
                self.clients.pop(number % len(self.clients)).leave()
            case "move", (number, to) if self.clients:
                client = self.clients.pop(number % len(self.clients))
                client.leave()
                self.come(self.node(to), client.user, client.name, client.path)
            case "cut", (_, done) if node:
                node.backplane.cut(done)
            case "heal", _ if node:
                node.backplane.heal()
            case "stall", _ if node:
                node.backplane.stall()
            case "deafen", _ if node:
                node.backplane.deafen()
            case "resume", _ if node:
                node.backplane.resume()
            case "late", (_, seconds) if node:
                node.backplane.late = seconds
            case "deaf", (_, seconds) if node:
                node.backplane.deaf = seconds
            case "drop", (_, bodies) if node:
                node.backplane.drop_next(bodies)
                self.deaf.add(node)
            case "cut all", (done,):
                shared.cut(done)
            case "heal all", ():
                shared.heal()
            case "stall all", ():
                shared.stall()
            case "resume all", ():
                shared.resume()
            case "wipe", ():
                shared.wipe()
            case "die", _ if node:
                self.lose(node)
                node.die()
            case "stop", _ if node:
                self.lose(node)
                await node.stop()
            case "pass", (seconds,):
                await asyncio.sleep(seconds)

    def lose(self, node):
        self.nodes.remove(node)
        self.clients = [client for client in self.clients if client.node is not node]

    async def be_quiet(self):
        """Let all be well, and wait."""
        self.app.shared.heal()
        self.app.shared.resume()
        for node in self.nodes:
            node.backplane.heal()
            node.backplane.resume()
            node.backplane._to_drop = 0
            if node in self.deaf:  # nothing but its beat tells a node that it has missed the last note there is
                node.backplane.reconnect()
        if not self.nodes:
            await self.do("start")  # somebody has to clean up
        await asyncio.sleep(QUIET)
        for path in PATHS:  # at last somebody looks everywhere
            await self.connect(self.nodes[0], "z", "z", path)
        await asyncio.sleep(QUIET)
        assert not self.coming

    def check(self):
        """All nodes, all clients and the tables of the backplane agree with who is there."""
        tables = {name: fields for name, (_, fields) in self.app.shared.store._tables.items() if fields}
        for path in PATHS:
            truth, stands = {}, {}
            for client in self.clients:
                if client.path == path:
                    truth[client.user] = truth.get(client.user, 0) + 1
                    field = f"{client.node.tag} {client.user}"
                    stands[field] = stands.get(field, 0) + 1
            there = {field: orjson.loads(value)[0] for field, value in tables.pop(f"who:{path}", {}).items()}
            assert there == stands
            told = [node.seen(path) for node in self.nodes if node.node.hub.has_path(path)]
            told += [client.users() for client in self.clients if client.path == path]
            assert all(each == told[0] for each in told)
            for each in told:
                assert {user: n for user, (n, _) in each.items()} == truth
        nodes = tables.pop("nodes", {})
        tags = {node.tag for node in self.nodes}
        assert nodes.keys() == {tag + mark for tag in tags for mark in ("", " begun", " all")}
        listed = {name.removeprefix("at:"): set(fields) for name, fields in tables.items() if name.startswith("at:")}
        wanted = {}
        for client in self.clients:
            wanted.setdefault(client.node.tag, set()).add(client.path)
        assert listed == wanted

    async def end(self):
        for node in self.nodes:
            await node.stop()
        left = {name: fields for name, (_, fields) in self.app.shared.store._tables.items() if fields}
        assert not left


class Loaded:
    """A plan that is short when it is shown."""

    def __init__(self, grace, folder):
        self.plan = load_app(ROOMS % grace, folder)
        self.grace = grace

    def __repr__(self):
        return f"grace: {self.grace}"


@pytest.fixture(scope="module", params=["5s", "0"])
def loaded(request, tmp_path_factory):
    return Loaded(request.param, tmp_path_factory.mktemp("rooms"))


async def live_through(plan, steps):
    story = Story(plan)
    for _ in range(2):
        await story.do("start")
    for step in steps:
        await story.do(*step)
    await story.be_quiet()
    story.check()
    await story.end()


@settings(max_examples=60)
@given(steps=STEPS)
def test_all_nodes_know_the_truth_when_all_is_quiet(loaded, steps):
    run(live_through(loaded.plan, steps))
