"""Attacks the order of several nodes by random schedules: real nodes, a backplane in trouble, a model of the readers.

    .venv/bin/python tests/cluster/schedules.py --schedules 40000 [--seed 0]

Everything is real but sockets and time: nodes, clusters, clients with positions and sessions, and a backplane in memory
whose connections are cut, stand still, lose what is published, forget everything or fail over to a replica that lags.
The model (`schedulemodel.py`) knows all that was ever kept, as a tree. A client may only go from a value to one that
was kept right behind it, unless it is told that something is missing; and when all is quiet again, it must be where the
backplane is.
"""

import argparse
import asyncio
import contextlib
import logging
import random
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import orjson

sys.path.insert(0, str(Path(__file__).parent))

from schedulemodel import BreachError, Fan, KeptLine, LiveLine, Seat

from signalpost.backplanes.memory import MemoryBackplane, MemoryServer
from signalpost.backplanes.memorystore import MemoryStore
from signalpost.cluster.body import read_body
from signalpost.cluster.channels import place_in
from signalpost.cluster.cluster import Cluster
from signalpost.delivery.codec import PLAIN, V1
from signalpost.delivery.hub import Hub
from signalpost.delivery.transport import RecordingTransport
from signalpost.errors import UnavailableError
from signalpost.events import HandshakeRequest
from signalpost.node import Node, Seams
from signalpost.paths import path_of
from signalpost.plan import load_plan
from signalpost.signals.admission import ConnectRequest
from signalpost.state.state import State
from signalpost.websocket.frames import CloseCode, Opcode
from signalpost.websocket.handshake import HandshakeRejection

NODES = 3
PATIENCE = 5.0
KEEP = 1_000
FEW = 3
PATHS = ("/kept/a", "/kept/b", "/few/a", "/live/a")
OFTEN = (6, 2, 2, 4)
SOON = 14  # turns after which nothing happens, if nobody begins anything and no time passes
ROUNDS = 12  # seconds in which all that is tried again has been
ROUTES = f"""
endpoints: [{{name: live, address: 127.0.0.1, port: 0, protocol: ws}}]
signals:
  - {{path: "/kept/<n>", rebroadcast: path, history: {{keep: {KEEP}}}}}
  - {{path: "/few/<n>", rebroadcast: path, history: {{keep: {FEW}}}}}
  - {{path: "/live/<n>", rebroadcast: path}}
"""


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time passes when the schedule says so."""

    def __init__(self, clock):
        self._seconds = clock
        super().__init__()

    def time(self):
        return self._seconds()


_PLANS = []


def plan():
    """Return the plan of all nodes."""
    if not _PLANS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "routes.yaml"
            file.write_text(ROUTES)
            _PLANS.append(load_plan(file))
    return _PLANS[0]


def close():
    """Release what all schedules share."""
    for each in _PLANS:
        each.registry.unload()
    _PLANS.clear()


class WatchedStore(MemoryStore):
    """What the nodes share, and tells a world what becomes of it."""

    def __init__(self, world):
        super().__init__(world.clock)
        self._world = world

    def keep(self, channel, body, found, publisher, number, keep, once):  # noqa: PLR0917 - as the store has them
        kept, previous = super().keep(channel, body, found, publisher, number, keep, once)
        if previous is not None:
            self._world.kept(channel, body)
        return kept, previous

    def wipe(self):
        for line in self._world.kept_lines:
            self._world.lose(line, len(line.branches) - 1)
        self._world.lossy = True  # positions of before are good no more, even without values
        super().wipe()

    def lose_newest(self, entries):
        newest = list(self._changes)[len(self._changes) - min(entries, len(self._changes)) :]
        for channel, count in Counter(change.channel for change in newest).items():
            self._world.lose(self._world.line_of(channel), count)
        super().lose_newest(entries)

    def end_epoch(self, channel, epoch, head_seconds, known=""):
        top = super().end_epoch(channel, epoch, head_seconds, known)
        self._world.line_of(channel).renamed(top.epoch)
        return top


class SimNode:
    """A node from its start to its end.

    Attributes:
        number: no other node has it.

    """

    def __init__(self, number, server, clock, call_soon, *, alone):
        self.number = number
        self.backplane = MemoryBackplane(server)
        self.cluster = Cluster(self.backplane, patience=PATIENCE, alone_while_away=alone, clock=clock)
        self.node = Node(plan(), Hub(call_soon), State({}), self.cluster.joined_to(Seams()))
        self.node.memory.streams._clock = self.node.memory._clock = self.node.memory.presence._clock = clock
        self.node.memory.sessions._clock = clock
        self.cluster.serve(self.node)
        (self.endpoint,) = plan().config.endpoints

    def die(self, server, done):
        """Be gone at once; of what it had asked for, so many calls are done."""
        backplane, cluster = self.backplane, self.cluster
        backplane._hearing = None
        backplane.lose("it was killed", done)
        if backplane in server.connections:
            server.connections.remove(backplane)
        self.silence()
        cluster.parcels._stop_timer()

    def silence(self):
        self.cluster._looking.cancel()
        self.node.memory.presence.stop()


@dataclass(frozen=True)
class Schedule:
    """What happens.

    Attributes:
        seed: that it was made of.
        fans: path and protocol of each.
        alone: whether live values reach a node's own clients while the backplane is away.
        hears: whether a node that is deaf hears again by itself at the end, and need not notice.
        steps: name and arguments of each.

    """

    seed: int
    fans: tuple
    alone: bool
    hears: bool
    steps: tuple


class World:
    """The nodes, their backplane, the fans, and what was sent.

    Attributes:
        log: is told what happens; None tells nothing.
        serial: of the newest value that was kept.
        lossy: whether the backplane has lost anything that it had kept.
        troubled: whether anything has gone wrong.

    """

    log = None

    def __init__(self, schedule, loop, clock):
        self.schedule = schedule
        self.loop = loop
        self.clock = clock
        self.server = MemoryServer(clock)
        self.server.store = WatchedStore(self)
        self.lines = {
            path: LiveLine(path) if "live" in path else KeptLine(path, FEW if "few" in path else KEEP) for path in PATHS
        }
        self.fans = [Fan(number, self.lines[path], v1=v1) for number, (path, v1) in enumerate(schedule.fans)]
        self.nodes = [None] * NODES
        self.started = 0
        self.serial = 0
        self.count = 0
        self.lossy = self.troubled = False
        self.promises = []

    # What becomes of values

    @property
    def kept_lines(self):
        return [line for line in self.lines.values() if not line.live]

    @property
    def alive(self):
        return [node for node in self.nodes if node is not None]

    def line_of(self, channel):
        return self.lines[path_of(place_in(channel))]

    def kept(self, channel, body):
        self.serial += 1
        name = read_body(body).data.decode()
        self.line_of(channel).kept(name, self.server.store.top(channel), self.serial)

    def lose(self, line, values):
        self.lossy = self.lossy or values > 0
        line.cut_back(values)

    def acknowledged(self, line, node, name, at):
        """Note that a sender was told that its value was sent."""
        if line.live or (at is None and line.keep == FEW):
            return  # of a repeat, which is not kept any more
        found = [branch for branch in line.at(at or "") if branch.name == name]
        if not found:
            raise BreachError(f"{line.path}: {name} is acknowledged at {at}, where it never was")
        line.acknowledged[name] = found[0].serial, node

    def refused(self, line, name):
        if not line.live and name in line.acknowledged:
            raise BreachError(f"{line.path}: {name} is refused after it was acknowledged")

    def tell(self, text):
        if self.log is not None:
            self.log(text)

    async def turns(self, count):
        for _ in range(count):
            await asyncio.sleep(0)

    # Steps: who comes and goes

    def do_connect(self, number, place, brings):
        fan, node = self.fans[number], self.nodes[place]
        self.leave(fan)
        if node is None:
            return
        brought = fan.position if brings and fan.v1 and not fan.line.live else None
        query = "" if brought is None else f"?at={brought}"
        head = f"GET {fan.line.path}{query} HTTP/1.1\r\nHost: x".encode()
        request = ConnectRequest(node.endpoint, fan.line.path, HandshakeRequest(head, ("127.0.0.1", 1)))
        try:
            admission = node.node.admitter.admit(request)
        except HandshakeRejection:
            return
        if hasattr(admission, "resolved"):
            self.attach(fan, node, admission, brought)
        else:
            fan.coming = self.loop.create_task(self._come(fan, node, admission, brought))
            fan.coming_to = node

    async def _come(self, fan, node, admission, brought):
        try:
            accept = await admission
        except HandshakeRejection as rejection:
            self.tell(f"    fan {fan.number} is rejected: {rejection}")
        else:
            self.attach(fan, node, accept, brought)
        fan.coming = None

    def attach(self, fan, node, accept, brought):
        seat = fan.seat = Seat(fan, self, node, brought)
        seat.transport = RecordingTransport()
        seat.starved = node.cluster.parcels.given_up
        source = SimpleNamespace(read_on=lambda _on: None, note_waiting=lambda _change: None)
        encoding = V1 if fan.v1 else PLAIN
        seat.conversation = node.node.attach(seat.transport, accept, encoding, source, fan.session)
        node.node.welcome(seat.conversation)

    def leave(self, fan):
        """Lose a connection, or the hope for one."""
        seat, fan.seat = fan.seat, None
        if fan.coming is not None:
            fan.coming.cancel()
            fan.coming = None
        if seat is None:
            return
        client, node = seat.conversation.client, seat.node.node
        client.left(CloseCode.ABNORMAL)
        node.report_gone(seat.conversation)
        node.forget(client)
        seat.conversation.disconnected(client.close_code)

    def do_lose(self, number):
        self.leave(self.fans[number])

    def do_kill(self, place, done):
        """A node is gone in the middle of whatever it does."""
        node, self.nodes[place] = self.nodes[place], None
        if node is None:
            return
        self.troubled = True
        for fan in self.fans:
            if fan.seat is not None and fan.seat.node is node:
                fan.seat = None
            elif fan.coming is not None and fan.coming_to is node:
                fan.coming.cancel()
                fan.coming = None
        node.die(self.server, done)

    async def do_stop(self, place):
        """A node stops in order."""
        node, self.nodes[place] = self.nodes[place], None
        if node is None:
            return
        self.troubled = True  # what is published meanwhile may be lost with it
        for fan in self.fans:
            if (fan.seat is not None and fan.seat.node is node) or (fan.coming is not None and fan.coming_to is node):
                self.leave(fan)
        stopping = self.loop.create_task(node.cluster.stop())
        while not stopping.done():
            await self.turns(SOON)
            self.clock.now += 0.5
        await stopping
        node.silence()

    async def do_start(self, place):
        if self.nodes[place] is None and self.server.refusal is None:
            self.started += 1
            node = SimNode(self.started, self.server, self.clock, self.loop.call_soon, alone=self.schedule.alone)
            self.nodes[place] = node
            await node.node.open()

    # What is sent

    def _name(self):
        self.count += 1
        return str(self.count)

    def do_publish(self, place, path, count):
        node, line = self.nodes[place], self.lines[path]
        for _ in range(count if node is not None else 0):
            name = self._name()
            if line.live:
                line.add(name, node.number)
            try:
                later = node.node.broadcaster(name, path=path).later
            except UnavailableError:
                self.refused(line, name)
                continue
            self.promises.append((node, line, name, later))
            later.add_done_callback(partial(self._settled, line, node, name))

    def _settled(self, line, node, name, future):
        try:
            if future.exception() is None:
                self.acknowledged(line, node, name, future.result().at)
            else:
                self.refused(line, name)
        except BreachError as breach:
            self.breach = breach

    breach = None

    def do_say(self, number, count):
        fan = self.fans[number]
        for _ in range(count):
            if fan.seat is None:
                return
            name = self._name()
            if fan.line.live:
                fan.line.add(name, fan.seat.node.number)
            document = {"message": name}
            if fan.v1:
                document["ref"] = self.count
                fan.seat.waiting[self.count] = name
            fan.seat.conversation.receive(Opcode.TEXT, orjson.dumps(document))

    # Time passes, and the backplane is in trouble

    async def do_turn(self, count):
        await self.turns(count)

    async def do_wait(self, seconds):
        self.clock.now += seconds
        await self.turns(2)

    def do_cut(self, done):
        self.troubled = True
        self.server.cut(done)

    def do_heal(self):
        self.server.heal()

    def do_stall(self):
        self.server.stall()

    def do_resume(self):
        self.server.resume()

    def do_wipe(self):
        self.troubled = True
        self.server.wipe()

    def do_fail_over(self, lag, done):
        self.troubled = True
        self.server.fail_over(lag, done)

    def do_refuse(self):
        self.troubled = True
        self.server.refusal = "no memory left"

    def do_accept(self):
        self.server.refusal = None

    def do_node_cut(self, place, done):
        self._at(place, lambda backplane: backplane.cut(done))

    def do_node_heal(self, place):
        self._at(place, lambda backplane: backplane.heal())

    def do_node_stall(self, place):
        self._at(place, lambda backplane: backplane.stall())

    def do_node_deafen(self, place):
        self._at(place, lambda backplane: backplane.deafen())

    def do_node_resume(self, place):
        self._at(place, lambda backplane: backplane.resume())

    def do_node_reconnect(self, place):
        self._at(place, lambda backplane: backplane.reconnect())

    def do_drop(self, place, bodies):
        self._at(place, lambda backplane: backplane.drop_next(bodies))

    def _at(self, place, trouble):
        if self.nodes[place] is not None:
            self.troubled = True
            trouble(self.nodes[place].backplane)

    # What holds after each step

    def check(self):
        for fan in self.fans:
            if fan.seat is not None:
                fan.seat.read()
        if self.breach is not None:
            raise self.breach

    async def settle(self):
        """Let all trouble end; then everybody must have read everything."""
        await self._end_trouble()
        await self._rounds()
        for number, fan in enumerate(self.fans):
            if fan.seat is None and fan.coming is None:
                self.do_connect(number, number % NODES, True)
        await self._rounds()
        for path in PATHS:
            for place in range(NODES):
                self.do_publish(place, path, 1)
        await self._rounds()
        for fan in self.fans:
            if fan.seat is None:
                raise BreachError(f"fan {fan.number} on {fan.line.path} is not let in")
            fan.seat.rest()
        for node, line, name, later in self.promises:
            if not later.done() and node in self.nodes:
                raise BreachError(f"{line.path}: nobody was told what became of {name}")
        if any(len(node.cluster.parcels) or node.cluster.parcels.size for node in self.alive):
            raise BreachError("parcels are left")

    async def _end_trouble(self):
        self.server.refusal = None
        self.server.resume()
        self.server.heal()
        for node in self.alive:
            backplane = node.backplane
            backplane._to_drop = 0
            if backplane._stalled or self.schedule.hears:
                backplane.resume()
            backplane.heal()
        for place in range(NODES):
            await self.do_start(place)

    async def _rounds(self):
        for _ in range(ROUNDS):
            await self.turns(SOON)
            self.check()
            self.clock.now += 1.0
        await self.turns(SOON)
        self.check()

    async def end(self):
        for fan in self.fans:
            if fan.coming is not None:
                fan.coming.cancel()
            fan.seat = None
        for node in self.alive:
            node.die(self.server, 0)
        await self.turns(3)


def run(schedule, log=None):
    """Run a schedule.

    Raises:
        BreachError: an invariant does not hold; or another exception, of a node.

    """
    clock = Clock()
    loop = Loop(clock)
    failures = []
    loop.set_exception_handler(lambda _, context: failures.append(context.get("exception") or context["message"]))
    try:
        loop.run_until_complete(_run(schedule, loop, clock, log))
        for failure in failures:
            raise failure if isinstance(failure, BaseException) else BreachError(failure)
    finally:
        loop.close()


async def _run(schedule, loop, clock, log):
    world = World(schedule, loop, clock)
    world.log = log
    try:
        for place in range(NODES):
            await world.do_start(place)
        await world.turns(SOON)
        for name, *arguments in schedule.steps:
            world.tell(f"{name} {arguments}")
            done = getattr(world, f"do_{name}")(*arguments)
            if asyncio.iscoroutine(done):
                await done
            world.check()
        await world.settle()
    finally:
        await world.end()


# Making them, and making them shorter


def make(seed, most=70):
    """Make the schedule of a seed."""
    dice = random.Random(seed)
    paths = dice.sample(PATHS, dice.choice((1, 1, 2)), counts=OFTEN)
    fans = tuple((dice.choice(paths), dice.random() < 0.85) for _ in range(dice.randint(1, 5)))
    kinds = {
        "nothing": (),
        "lost": ("drop",),
        "one": ("node_cut", "node_heal", "drop", "node_stall", "node_deafen", "node_resume", "node_reconnect"),
        "all": ("cut", "cut", "heal", "heal", "heal", "stall", "resume"),
        "kept": ("wipe", "fail_over", "fail_over", "fail_over"),
        "dying": ("kill", "start", "start", "stop"),
        "refusing": ("refuse", "accept", "accept"),
    }
    odds = {"nothing": 0.1, "lost": 0.6, "one": 0.6, "all": 0.5, "kept": 0.45, "dying": 0.4, "refusing": 0.1}
    weights = Counter({"connect": 12, "lose": 5, "publish": 26, "say": 10, "turn": 30, "wait": 6})
    if dice.random() > odds["nothing"]:
        for kind, steps in kinds.items():
            if dice.random() < odds[kind]:
                weights.update(dict.fromkeys(steps, 0))
                for step in steps:
                    weights[step] += dice.choice((1, 2, 4))
    names, often = list(weights), list(weights.values())
    steps = [("connect", number, dice.randrange(NODES), False) for number in range(len(fans)) if dice.random() < 0.8]
    steps += [_step(dice, dice.choices(names, often)[0], len(fans), paths) for _ in range(dice.randint(8, most))]
    return Schedule(seed, fans, dice.random() < 0.7, dice.random() < 0.5, tuple(steps))


def _step(dice, name, fans, paths):  # noqa: C901, PLR0911 - a case for each kind
    place, who = dice.randrange(NODES), dice.randrange(fans)
    done = dice.choice((None, None, 0, 1, 2))
    match name:
        case "connect":
            return name, who, place, dice.random() < 0.85
        case "lose":
            return name, who
        case "publish":
            return name, place, dice.choice(paths), dice.choice((1, 1, 1, 2, 5))
        case "say":
            return name, who, dice.choice((1, 1, 3))
        case "turn":
            return name, dice.choice((1, 1, 2, 3, SOON))
        case "wait":
            return name, dice.choice((0.2, 1.0, 1.0, 2.0, 6.0, 70.0))
        case "cut":
            return name, done
        case "fail_over":
            return name, dice.choice((0, 1, 1, 2, 3, 5)), done
        case "kill" | "node_cut":
            return name, place, done
        case "drop":
            return name, place, dice.choice((1, 1, 2, 4))
        case "start" | "stop" | "node_heal" | "node_stall" | "node_deafen" | "node_resume" | "node_reconnect":
            return name, place
    return (name,)


def failure_of(schedule):
    """Return why a schedule fails; None if it does not."""
    try:
        run(schedule)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - any error of a node is one
        return f"{type(error).__name__}: {error}"
    return None


def _kind(failure):
    """Return what two failures of one cause have in common."""
    return re.sub(r"fan \d+ on |/\w+/\w|\w{6}:\d+:\w{4}|\[.*?\]|'[^']*'|\d+", "", failure).partition("\n")[0]


def shrink(schedule, failure):
    """Return a shorter schedule that fails alike, with its failure: no step of it can be left out."""
    kind = _kind(failure)
    size = max(len(schedule.steps) // 2, 1)
    while True:
        steps, place, shorter = schedule.steps, 0, False
        while place < len(steps):
            tried = replace(schedule, steps=(*steps[:place], *steps[place + size :]))
            found = failure_of(tried)
            if found is not None and _kind(found) == kind:
                steps, failure, schedule, shorter = tried.steps, found, tried, True
            else:
                place += size
        if size == 1 and not shorter:
            return schedule, failure
        size = max(size // 2, 1)


def told(schedule, failure):
    """Return a schedule and its failure as people read them."""
    return "\n".join(
        (
            f"seed {schedule.seed}: {failure}",
            f"  fans {schedule.fans}, alone {schedule.alone}, hears {schedule.hears}",
            *(f"  {step}" for step in schedule.steps),
        )
    )


def run_many(seeds, *, short=True):
    """Run the schedules of some seeds; return how many steps they had.

    Raises:
        BreachError: one fails; the text has the shortest that was found.

    """
    steps = 0
    for seed in seeds:
        schedule = make(seed)
        failure = failure_of(schedule)
        if failure is not None:
            raise BreachError(told(*(shrink(schedule, failure) if short else (schedule, failure))))
        steps += len(schedule.steps)
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="go on after a failure, and count the kinds")
    parser.add_argument("--first", action="store_true", help="do not look for a shorter schedule")
    parser.add_argument("--tell", action="store_true", help="tell what is read in the first schedule")
    given = parser.parse_args()
    logging.disable()
    if given.tell:
        schedule = make(given.seed)
        failure = failure_of(schedule)
        if failure is not None:
            schedule, failure = shrink(schedule, failure)
            print(told(schedule, failure))
        with contextlib.suppress(BreachError):
            run(schedule, print)
        return
    begun, steps, kinds, first = perf_counter(), 0, Counter(), {}
    for seed in range(given.seed, given.seed + given.schedules):
        try:
            steps += run_many((seed,), short=not given.first)
        except BreachError as breach:
            if not given.all:
                print(breach)
                sys.exit(1)
            kind = _kind(str(breach).partition("\n")[0])
            kinds[kind] += 1
            if kind not in first or len(str(breach)) < len(first[kind]):
                first[kind] = str(breach)
    for kind, count in kinds.most_common():
        print(f"{count} times: {first[kind]}\n")
    print(f"{given.schedules:,} schedules, {steps:,} steps, {perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
