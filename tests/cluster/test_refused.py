"""Bans and revocations that several nodes know: whatever is done and lost in between, all agree in the end."""

import asyncio
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalpost.auth.identity import Identity
from signalpost.auth.revocations import BANNED, DAY, Kind
from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.cluster.cluster import Cluster
from signalpost.cluster.moderation import LOOKS
from signalpost.cluster.refused import Refused, lifted_now, read_refused, refused_now
from signalpost.delivery.hub import Hub
from signalpost.node import Node, Seams
from signalpost.plan import load_plan
from signalpost.state.state import State

MOMENTS = st.integers(0, 6).map(float)
KNOWN = st.builds(Refused, MOMENTS, MOMENTS, MOMENTS, MOMENTS, MOMENTS)


@given(KNOWN, KNOWN, KNOWN)
def test_nodes_that_tell_each_other_all_they_know_agree_whoever_hears_whom_first(one, two, three):
    assert one.merged(two) == two.merged(one)
    assert one.merged(two).merged(two) == one.merged(two)
    first = [a.merged(b).merged(c) for a, b, c in permutations((one, two, three))]
    assert len({reduce(Refused.merged, first, each) for each in first}) == 1


def test_a_lift_ends_what_was_done_before_it_and_nothing_that_was_done_after_it():
    banned = refused_now(10.0, 0.0, 100.0)
    lifted = lifted_now(20.0, 500.0, banned)
    assert [known.refuses(30.0) for known in (banned, lifted, banned.merged(lifted))] == [True, False, False]
    again = refused_now(25.0, 0.0, 60.0, lifted)
    assert again.merged(banned).refuses(59.0)
    assert not again.merged(banned).refuses(60.0)


def test_a_node_whose_clock_is_slow_can_lift_what_it_knows():
    banned = refused_now(1_800_000_000.0, 0.0, 1_800_000_100.0)
    lifted = lifted_now(1_700_000_000.0, 1_700_086_400.0, banned)
    assert not lifted.merged(banned).refuses(1_800_000_001.0)
    again = refused_now(1_700_000_001.0, 0.0, 1_800_000_100.0, lifted)
    assert again.merged(lifted).refuses(1_800_000_001.0)


@pytest.mark.parametrize("numbers", [None, 7, [], [1, 2, 3, 4], [1, 2, 3, 4, "5"], [1, 2, 3, 4, float("nan")]])
def test_what_this_version_cannot_read_is_nothing(numbers):
    assert read_refused(numbers) is None
    assert read_refused([1, 2, 3, 4, 5.5]) == Refused(1.0, 2.0, 3.0, 4.0, 5.5)


USERS = ("ann", "bob")
PLAN = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nsignals: [{path: /x}]"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    file = tmp_path_factory.mktemp("app") / "routes.yaml"
    file.write_text(PLAN)
    return load_plan(file)


class World:
    """Nodes that share a backplane, and what was done on them, in its order."""

    def __init__(self, plan):
        self.plan = plan
        self.now = 1_700_000_000.0
        self.shared = MemoryServer(lambda: self.now)
        self.nodes = []
        self.cut = set()
        self.deeds = []  # (user, until) of a ban, (user, 0) of a lift
        self.known_to_all = 0  # so many deeds were done when nobody was away

    async def join(self):
        backplane = MemoryBackplane(self.shared)
        cluster = Cluster(backplane, patience=5.0)
        seams = cluster.joined_to(Seams(clock=lambda: self.now))
        node = Node(self.plan, Hub(asyncio.get_running_loop().call_soon), State({}), seams)
        cluster.serve(node)
        await node.start()
        self.nodes.append((node, cluster, backplane))

    async def do(self, deed, which, user, seconds):
        self.now += 1.0
        index = which % len(self.nodes)
        node, _, backplane = self.nodes[index]
        match deed:
            case "ban":
                node.moderation.ban(user, seconds, by="a test")
                self.deeds.append((user, self.now + seconds))
            case "unban":
                node.moderation.unban(user, by="a test")
                self.deeds.append((user, 0.0))
            case "cut":
                self.cut.add(index)
                backplane.cut()
            case "heal":
                self.cut.discard(index)
                backplane.heal()
            case "fail over":
                self.shared.fail_over()
            case "wipe":
                self.shared.wipe()
            case "lose":
                backplane.drop_next(3)
            case "wait":
                self.now += seconds
            case "join" if len(self.nodes) < 4:
                await self.join()

    async def settle(self):
        for _ in range(3):
            for _, cluster, _ in self.nodes:
                for part in cluster.parts:
                    for _ in range(LOOKS):
                        part.look()
            for _ in range(40):
                await asyncio.sleep(0)  # what is in memory needs no time, but loop turns
        if not self.cut:
            self.known_to_all = len(self.deeds)

    def check(self):
        """Hold the nodes that are not away against each other, and against what all of them were told."""
        there = [node for index, (node, _, _) in enumerate(self.nodes) if index not in self.cut]
        for user in USERS:
            refused = {node.moderation.refusal(Identity(user)) for node in there}
            assert len(refused) <= 1, f"nodes do not agree about {user}"
            if self.known_to_all == len(self.deeds):
                expected = self.expected(user)
                if expected > self.now:
                    assert refused <= {BANNED}
                if not expected and any(each == user for each, _ in self.deeds):
                    assert refused <= {None}

    def expected(self, user):
        """Return until when a user is banned, at least; 0 if the last that was done is a lift."""
        until = 0.0
        for each, end in self.deeds:
            if each == user:
                until = max(until, end) if end else 0.0
        return until

    async def stop(self):
        for node, _, _ in self.nodes:
            await node.stop()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ban", "ban", "unban", "unban", "cut", "heal", "heal", "fail over", "wipe", "lose", "wait", "join"]
        ),
        st.integers(0, 3),
        st.sampled_from(USERS),
        st.sampled_from([5.0, 100.0, 3_000.0]),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(STEPS)
@example([("ban", 0, "ann", 100.0), ("cut", 1, "ann", 5.0), ("unban", 0, "ann", 5.0), ("wipe", 0, "ann", 5.0)])
@example([("cut", 0, "ann", 5.0), ("ban", 0, "ann", 100.0), ("unban", 1, "ann", 5.0), ("heal", 0, "ann", 5.0)])
@example([("ban", 0, "ann", 100.0), ("wipe", 0, "ann", 5.0), ("join", 0, "ann", 5.0)])
def test_nodes_agree_in_any_order_of_deeds_cuts_and_returns_and_nobody_gets_in_after_a_ban_that_was_told(plan, steps):
    async def run():
        world = World(plan)
        await world.join()
        await world.join()
        await world.settle()
        for step in steps:
            await world.do(*step)
            await world.settle()
            world.check()
        for index in range(len(world.nodes)):
            await world.do("heal", index, "ann", 0.0)
        await world.settle()
        world.check()
        rows = [
            {key: row for key, row in node.moderation.revocations.rows().items() if row.until > world.now}
            for node, _, _ in world.nodes
        ]
        assert all(each == rows[0] for each in rows)
        await world.join()  # who comes last learns it all from the backplane
        await world.settle()
        world.check()
        await world.stop()

    asyncio.run(run())


async def test_what_has_ended_is_removed_by_whoever_reads_the_table_at_its_start(plan):
    world = World(plan)
    await world.join()
    await world.settle()
    await world.do("ban", 0, "ann", 5.0)
    await world.do("ban", 0, "bob", 3 * DAY)
    await world.settle()
    assert set(world.shared.store.get("refused")) == {"ban:ann", "ban:bob"}
    world.now += 2 * DAY
    await world.join()
    await world.settle()
    assert set(world.shared.store.get("refused")) == {"ban:bob"}
    await world.stop()


async def test_what_a_later_version_writes_is_left_alone(plan):
    world = World(plan)
    world.shared.store.put("refused", {"spell:ann": b"[1,2,3,4,5]", "ban:bob": b"{", "ban:eve": b"[1]"}, None)
    await world.join()
    await world.settle()
    assert not world.nodes[0][0].moderation.revocations.rows()
    assert set(world.shared.store.get("refused")) == {"spell:ann", "ban:bob", "ban:eve"}
    await world.stop()


async def test_a_ban_of_the_states_file_is_told_and_a_later_lift_of_another_node_ends_it(plan):
    world = World(plan)
    await world.join()
    first = world.nodes[0][0]
    await world.settle()
    await world.do("unban", 0, "bob", 5.0)
    # As if a node had read both from its file.
    backplane = MemoryBackplane(world.shared)
    cluster = Cluster(backplane, patience=5.0)
    node = Node(
        plan,
        Hub(asyncio.get_running_loop().call_soon),
        State({}),
        cluster.joined_to(Seams(clock=lambda: world.now)),
    )
    for user in USERS:
        node.moderation.revocations.ban(user, 100.0)
    cluster.serve(node)
    await node.start()
    world.nodes.append((node, cluster, backplane))
    await world.settle()
    for each in (first, node):
        assert each.moderation.refusal(Identity("ann")) is BANNED
        assert each.moderation.refusal(Identity("bob")) is None
    assert node.moderation.revocations.row(Kind.BAN, "bob") is None
    await world.stop()
