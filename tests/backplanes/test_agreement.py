"""Redis and the memory agree: whatever nodes ask for, in whatever order, both answer the same and bring the same."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.backplanes.backplane import Keep, Once, Slice, Top

CHANNELS = ("x", "y")
NODES = (0, 1)

keeps = st.tuples(
    st.just("keep"),
    st.sampled_from(CHANNELS),
    st.sampled_from(("n1", "n2")),
    st.integers(0, 3),  # by how much its number is more than the publisher's newest one; 0 repeats that
    st.sampled_from((Keep(2, 60, 600), Keep(50, 60, 600), Keep(50, 120, 60))),
    st.sampled_from((None, None, Once("k1", 60), Once("k2", 60))),
)
calls = st.one_of(
    keeps,
    keeps,
    st.tuples(st.just("repeat"), st.sampled_from(CHANNELS), st.sampled_from(("n1", "n2")), st.integers(1, 6)),
    st.tuples(st.just("publish"), st.sampled_from(CHANNELS), st.just(b"live")),
    st.tuples(st.just("read"), st.sampled_from(CHANNELS), st.none() | st.integers(0, 8), st.integers(0, 4)),
    st.tuples(st.just("tops")),
    st.tuples(st.just("end_epoch"), st.sampled_from(CHANNELS), st.sampled_from(("right", "wrong", "none"))),
    st.tuples(st.just("lease"), st.sampled_from(("l1", "l2")), st.sampled_from(("o1", "o2")), st.just(60)),
    st.tuples(st.just("release"), st.sampled_from(("l1", "l2")), st.sampled_from(("o1", "o2"))),
    st.tuples(
        st.just("put"),
        st.just("t"),
        st.dictionaries(st.sampled_from("abc"), st.none() | st.binary(max_size=3)),
        st.sampled_from((None, 60)),
    ),
    st.tuples(st.just("get"), st.just("t")),
    st.tuples(st.just("drop"), st.just("t")),
)


class Run:
    """One run of calls at one kind of backplane. Epochs are random: each is told by the number in which it came."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.epochs = {"": ""}
        self.current = dict.fromkeys(CHANNELS, "")
        self.newest = {}

    def plain(self, value):
        """Return an answer without what may differ: names of epochs, ages, kinds of sequences."""
        match value:
            case Slice(top, before, items):
                return self.plain(top), before, [item[:3] for item in items]
            case Top() | tuple() if hasattr(value, "epoch"):
                return (self.epochs.setdefault(value.epoch, len(self.epochs)), *value[1:])
            case list() | tuple():
                return [self.plain(each) for each in value]
        return value

    def ask(self, node, call):
        name, *arguments = call
        return getattr(self, f"ask_{name}")(self.nodes[node][0], *arguments)

    def ask_keep(self, backplane, channel, publisher, more, *how):
        number = self.newest[channel, publisher] = self.newest.get((channel, publisher), 1) + more
        return backplane.keep(channel, b"%d" % number, 100 + number, publisher, number, *how)

    def ask_repeat(self, backplane, channel, publisher, back):
        number = max(1, self.newest.get((channel, publisher), 1) - back)
        self.newest.setdefault((channel, publisher), number)
        return backplane.keep(channel, b"again", 100 + number, publisher, number, Keep(50, 60, 600))

    def ask_end_epoch(self, backplane, channel, which):
        epoch = {"right": self.current[channel], "wrong": "zzzzzz", "none": ""}[which]
        return backplane.end_epoch(channel, epoch, 60)

    def ask_tops(self, backplane):
        return backplane.tops(CHANNELS)

    def __getattr__(self, name):
        """Return a call that takes its arguments as they are."""
        return lambda backplane, *arguments: getattr(backplane, name.removeprefix("ask_"))(*arguments)

    async def run(self, script):
        """Return all answers, and what every node has heard."""
        answers = []
        for node, call in script:
            answer = await self.ask(node, call)
            answers.append(self.plain(answer))
            tops = await self.nodes[node][0].tops(CHANNELS)
            self.current = dict(zip(CHANNELS, (top.epoch for top in tops), strict=True))
        heard = []
        for backplane, ear in self.nodes:
            await backplane.follow(["end"])
            await backplane.publish("end", b"")
            async with asyncio.timeout(30):
                while ("end", b"") not in ear.log:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0)
            heard.append([self.plain(entry) for entry in ear.log[: ear.log.index(("end", b""))]])
        return answers, heard


def test_redis_and_the_memory_answer_the_same_and_bring_the_same(make_rigs):
    @settings(max_examples=60)
    @given(script=st.lists(st.tuples(st.sampled_from(NODES), calls), max_size=25))
    def check(script):
        async def main():
            results = []
            for rig in make_rigs():
                try:
                    nodes = [await rig.node(*CHANNELS), await rig.node("x")]
                    results.append(await Run(nodes).run(script))
                finally:
                    await rig.close()
            return results

        in_memory, in_redis = asyncio.run(main())
        assert in_memory == in_redis

    check()
