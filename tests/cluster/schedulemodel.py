"""What several nodes have kept and sent, and what their clients may read of it: the model of `schedules.py`.

All that was ever kept of a path is a tree: each value is behind the one that was the newest when it was kept, and
the backplane is at the end of one branch. A wiped backplane is at the root again, and one that has failed over some
values before the end. A client walks along a branch, value by value, and may leave it only where it is told.
"""

import orjson

from signalpost.websocket.frames import Opcode


class BreachError(AssertionError):
    """An invariant does not hold."""


class Branch:
    """A value in the tree of a path.

    Attributes:
        parent: the value before it; None of the root.
        name: of the value.
        serial: when it was kept first, among all values of all paths.

    """

    def __init__(self, parent, name, serial):
        self.parent = parent
        self.name = name
        self.serial = serial
        self.children = {}

    def grow(self, name, serial):
        """Return the value behind it with this name."""
        if name not in self.children:
            self.children[name] = Branch(self, name, serial)
        return self.children[name]

    def is_behind(self, other):
        """Return whether another one is on the way from the root to this one."""
        each = self
        while each is not None and each is not other:
            each = each.parent
        return each is other


class KeptLine:
    """A path with a history.

    Attributes:
        keep: values that are kept.
        branches: what the backplane has now, from the root on.
        places: who is at a position.
        known: by their names, the values that were ever kept.
        acknowledged: values of which a sender was told that they are kept: their serial, and its node.

    """

    live = False

    def __init__(self, path, keep):
        self.path = path
        self.keep = keep
        self.root = Branch(None, "", 0)
        self.branches = [self.root]
        self.ids = [0]
        self.places = {}
        self.known = {}
        self.acknowledged = {}

    @property
    def tip(self):
        return self.branches[-1]

    def kept(self, name, top, serial):
        """Note that the backplane has appended a value."""
        if top.offset != len(self.branches):
            raise BreachError(f"{name} is at offset {top.offset} behind {len(self.branches) - 1} others")
        branch = self.tip.grow(name, serial)
        self.branches.append(branch)
        self.ids.append(top.id)
        self.known.setdefault(name, []).append(branch)
        self.places.setdefault((top.epoch, 0, 0), set()).add(self.root)
        self.places.setdefault(tuple(top), set()).add(branch)

    def renamed(self, epoch):
        """Note that an epoch begins, with what is there."""
        for offset, (found, branch) in enumerate(zip(self.ids, self.branches, strict=True)):
            self.places.setdefault((epoch, offset, found), set()).add(branch)

    def cut_back(self, values):
        """Note that the backplane has lost its newest values."""
        if values:
            del self.branches[-values:], self.ids[-values:]

    def at(self, text):
        """Return who is at a position, as a text."""
        from signalpost.history.position import read_position

        position = read_position(text)
        return set() if position is None else self.places.get(tuple(position), set())


class LiveLine:
    """A path of which nothing is kept.

    Attributes:
        sent: for each name the node that has sent the value, and its number there.
        counts: values of each node.

    """

    live = True

    def __init__(self, path):
        self.path = path
        self.sent = {}
        self.counts = {}

    def add(self, name, node):
        self.counts[node] = number = self.counts.get(node, 0) + 1
        self.sent[name] = node, number


class Fan:
    """Somebody who connects to any node, loses the connection and comes back.

    Attributes:
        seat: its connection; None while it has none.
        position: of the last value or gap that it has read; None before.
        at: where it may be in the tree, which one place alone mostly is; None if it does not know.
        since: the serial of the newest value when it began to read without a gap.
        session: that it was told last.

    """

    def __init__(self, number, line, *, v1):
        self.number = number
        self.line = line
        self.v1 = v1
        self.seat = None
        self.coming = None
        self.position = None
        self.at = None
        self.since = 0
        self.session = ""


class Seat:
    """One connection of a fan, and what it has read.

    Attributes:
        node: that it is connected to.
        brought: the position in its handshake.
        owed_gap: a gap must be told before the next value.
        waiting: names of its messages that have no answer yet, by their ``ref``.
        numbers: of a live path, for each node the number of its last value.
        excused: nodes of which values may be missing: a gap was told since their last value.

    """

    def __init__(self, fan, world, node, brought):
        self.fan = fan
        self.line = fan.line
        self.world = world
        self.node = node
        self.brought = brought
        self.welcomed = not fan.v1
        self.owed_gap = False
        self.waiting = {}
        self.numbers = {}
        self.excused = set()
        self.received = 0
        if not fan.v1:
            fan.at = None

    def fail(self, text):
        fan = self.fan
        raise BreachError(f"fan {fan.number} on {self.line.path} ({'v1' if fan.v1 else 'plain'}): {text}")

    def read(self):
        """Read what was written to it."""
        data = self.transport.written
        while self.received < len(data):
            start, size = 2, data[self.received + 1]
            if size > 125:
                start = 4
                size = int.from_bytes(data[self.received + 2 : self.received + 4])
            opcode = data[self.received] & 15
            payload = bytes(data[self.received + start : self.received + start + size])
            self.received += start + size
            if self.world.log is not None:
                self.world.log(f"    fan {self.fan.number} at node {self.node.number} reads {payload}")
            if opcode == Opcode.CLOSE:
                self.fail(f"the server closes it: {payload}")
            self._frame(payload)

    def _frame(self, payload):
        if not self.fan.v1:
            if not payload.startswith(b"{"):  # as an error does
                self._value(payload.decode(), None)
            return
        ((kind, body),) = orjson.loads(payload).items()
        if kind == "welcome":
            self._welcome(body)
        elif not self.welcomed:
            self.fail(f"{kind} before the welcome")
        elif kind == "signal":
            self._value(body["value"], body.get("at"))
        elif kind == "gap":
            self._gap(body)
        elif kind in ("ack", "error"):
            self._answer(kind, body)
        else:
            self.fail(f"{kind} is read")

    def _welcome(self, body):
        fan, line = self.fan, self.line
        self.welcomed = True
        fan.session = body["session"]
        if line.live:
            return
        if not line.at(body["at"]):
            self.fail("the welcome has a position at which nothing ever was")
        if self.brought is None:
            self._begin(body["at"])
        elif not body["recovered"]:
            self.owed_gap = True
            if not (self.world.lossy or self.starved or self.is_old):
                self.fail(f"not recovered from {self.brought}, though nothing was lost")

    @property
    def is_old(self):
        """Whether more may be missing than is kept."""
        return len(self.line.branches) > self.line.keep

    def _begin(self, position):
        """Be at a position, whatever was before."""
        fan = self.fan
        fan.position = position
        fan.at = set(self.line.at(position))
        fan.since = self.world.serial

    def _gap(self, body):
        if body["path"] != self.line.path:
            self.fail("the gap is on another path")
        if not (self.world.troubled or self.owed_gap):
            self.fail("a gap is told, and nothing has happened")
        if self.line.live:
            self.excused = set(self.line.counts)
            return
        if not (self.owed_gap or self.world.lossy or self.is_old):
            self.fail("a gap is told, though nothing was lost")
        self.owed_gap = False
        if not self.line.at(body["at"]):
            self.fail("the gap is at a position at which nothing ever was")
        self._begin(body["at"])

    def _value(self, name, at):
        if self.line.live:
            self._live(name)
        else:
            self._kept(name, at)

    def _kept(self, name, at):
        fan, line = self.fan, self.line
        found = line.known.get(name)
        if found is None:
            self.fail(f"{name} is read, and was never kept")
        if self.owed_gap:
            self.fail(f"recovered: false, and {name} follows without a gap")
        if fan.v1 and not set(found) & line.at(at or ""):
            self.fail(f"{name} is at {at}, where it never was")
        following = None if fan.at is None else {each.children[name] for each in fan.at if name in each.children}
        if not following:
            if fan.v1 or not (fan.at is None or self.world.lossy or self.is_old):
                names = sorted(each.name for each in fan.at)
                self.fail(f"{name} follows {names} silently, behind which it never was")
            following = set(found)
        fan.at = following
        fan.position = at

    def _live(self, name):
        node, number = self.line.sent.get(name, (None, 0))
        if node is None:
            self.fail(f"{name} is read, and was never sent here")
        last = self.numbers.get(node)
        if last is not None and number <= last:
            self.fail(f"{name} is read again, or out of order")
        missing = last is not None and number > last + 1
        if missing and not (self.world.troubled if not self.fan.v1 else node in self.excused):
            self.fail(f"before {name} values of node {node} are missing silently")
        self.numbers[node] = number
        self.excused.discard(node)

    def _answer(self, kind, body):
        name = self.waiting.pop(body["ref"], None)
        if name is None:
            self.fail(f"an answer to what it has not asked, or a second one: {body}")
        if kind == "ack":
            self.world.acknowledged(self.line, self.node, name, body.get("at"))
        else:
            self.world.refused(self.line, name)
            if not self.world.troubled or body["code"] != "unavailable":
                self.fail(f"its message is refused: {body}")

    def rest(self):
        """Hold what it has read against what was sent, now that all is quiet and something was sent last."""
        fan, line = self.fan, self.line
        if not self.welcomed:
            self.fail("never welcomed")
        if self.waiting:
            self.fail(f"its messages {sorted(self.waiting.values())} were never answered")
        if line.live:
            self._rest_live()
            return
        if self.owed_gap:
            self.fail("recovered: false, but no gap was told")
        if fan.at is None or line.tip not in fan.at:
            names = fan.at and sorted(each.name for each in fan.at)
            self.fail(f"it is behind {names}, and the newest value is {line.tip.name}")
        if not fan.v1:
            return
        for name, (serial, node) in line.acknowledged.items():
            # Who was told by a node that has gone since may be the only one who knew.
            if (
                serial > fan.since
                and node in self.world.nodes
                and not any(line.tip.is_behind(each) for each in line.known[name])
            ):
                self.fail(f"{name} was acknowledged and taken back, and no gap was told")

    def _rest_live(self):
        for node in self.world.alive:
            last = self.numbers.get(node.number)
            if last != self.line.counts.get(node.number):
                self.fail(f"the newest value of node {node.number} never came")
