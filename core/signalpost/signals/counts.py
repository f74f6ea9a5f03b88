"""What a node counts of its signals while somebody asks for it: whole numbers, by the patterns that signals declare.

A conversation holds the `SignalCounts` of its signal, so that a message costs an addition and no look-up. Nothing is
counted before `Counts.begin`: until then each message costs the question whether `SignalCounts.on` is set. What can be
read when somebody asks, such as the number of clients, is not counted at all (`groups_of`).
"""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from signalpost.delivery.hub import Hub
from signalpost.delivery.target import Receipt
from signalpost.paths import Place
from signalpost.signals.rule import SignalRule
from signalpost.signals.table import SignalTable
from signalpost.signals.watching import Watch

UNDECLARED: Final = "undeclared"
"""In place of a pattern: all paths that no signal declares. Patterns begin with a slash."""

NO_PATH: Final = "none"
"""In place of a pattern: values that were sent to no path and came from none, such as those of timers to everyone."""

BOUNDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds, in seconds, of the classes by which the times of handlers are counted; one more class has the rest."""

_SLICE = 100  # clients between two pauses of a walk: half a millisecond where each has a path of its own
_MOST_PATHS, _LONGEST_PATH = 4_096, 256  # whose patterns are remembered


class SignalCounts:
    """What is counted of one signal.

    Attributes:
        signal: its path as declared, or `UNDECLARED`, or `NO_PATH`.
        on: whether anything is counted now; callers ask before they count.
        messages: from clients, by what became of them (`signalpost.observe.Observer.received`).
        broadcasts: values published to its paths or, without a path, for its clients.
        deliveries: how many times one of these was queued for a client here.
        delivered_bytes: the sizes of these values, once for each delivery.
        recoveries: of clients that came back with a position, by how: ``whole``, or why values were missing.
        recovered: values that these were sent because they had missed them.
        times: how many messages handlers took how long for, by `BOUNDS`.
        seconds: that handlers took together.
        watch: records messages; None while nobody looks at any.
    """

    __slots__ = (
        "broadcasts",
        "delivered_bytes",
        "deliveries",
        "messages",
        "on",
        "recovered",
        "recoveries",
        "seconds",
        "signal",
        "times",
        "watch",
    )

    def __init__(self, signal: str, *, on: bool = False) -> None:
        self.signal = signal
        self.on = on
        self.messages: defaultdict[str, int] = defaultdict(int)
        self.broadcasts = self.deliveries = self.delivered_bytes = self.recovered = 0
        self.recoveries: defaultdict[str, int] = defaultdict(int)
        self.times = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.watch: Watch | None = None

    def handled(self, seconds: float) -> None:
        """Count a message that a handler took some time for."""
        self.times[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def came_back(self, why: str | None, missed: int) -> None:
        """Count a client that has come back with a position.

        Args:
            why: values are missing; None if none are.
            missed: how many values it is sent because it had missed them.
        """
        self.recoveries[why or "whole"] += 1
        self.recovered += missed

    def delivered(self, receipt: Receipt) -> None:
        """Count the deliveries of a value."""
        self.deliveries += receipt.queued
        self.delivered_bytes += receipt.queued * receipt.size


class Counts:
    """What one node counts of all of its signals; it survives reloads.

    Attributes:
        on: whether anything is counted.
        by_path: some of them, by the paths that were asked for (`at`).
        signals: by their labels. A signal that a reload has removed stays: sums never fall.
        watch: records messages; None while nobody looks at any.
    """

    def __init__(self) -> None:
        self.on = False
        self.watch: Watch | None = None
        self.signals: dict[str, SignalCounts] = {}
        self.by_path: dict[str | None, SignalCounts] = {}
        self._pattern_of: Callable[[str], str | None] = lambda _path: None

    def begin(self) -> None:
        """Count from now on."""
        self.on = True
        for each in self.signals.values():
            each.on = True

    def end(self) -> None:
        """Count no more; the sums stay."""
        self.on = False
        for each in self.signals.values():
            each.on = False

    def watch_by(self, watch: Watch | None) -> None:
        """Let messages be recorded from now on, or no more. Whoever does also lets them be counted."""
        self.watch = watch
        for each in self.signals.values():
            each.watch = watch

    def configure(self, table: SignalTable) -> None:
        """Go by the patterns of another plan from now on."""
        self._pattern_of = table.pattern_of
        self.by_path.clear()
        for rule in table.rules:
            self.of(rule)

    def of(self, rule: SignalRule) -> SignalCounts:
        """Return what is counted of a signal."""
        return self._labelled(label_of(rule))

    def at(self, path: str | None) -> SignalCounts:
        """Return what is counted of the signal that declares a path."""
        found = self.by_path.get(path)
        if found is None:
            text = "" if path is None else str(path)  # a `Slot` is true even if it is empty
            label = self._pattern_of(text) or UNDECLARED if text else NO_PATH
            found = self._labelled(label)
            if path is None or len(path) <= _LONGEST_PATH:  # clients choose undeclared ones
                if len(self.by_path) >= _MOST_PATHS:
                    self.by_path.clear()
                self.by_path[None if path is None else str(path)] = found
        return found

    def _labelled(self, label: str) -> SignalCounts:
        found = self.signals.get(label)
        if found is None:
            found = self.signals[label] = SignalCounts(label, on=self.on)
            found.watch = self.watch
        return found


def label_of(rule: SignalRule) -> str:
    """Return the path of a signal as declared; it never names a user, a room or a client."""
    return rule.config.path.text if rule.declared else UNDECLARED


@dataclass(slots=True)
class Group:
    """The clients of one signal that are connected at one endpoint and read one protocol.

    Attributes:
        clients: how many they are.
        waiting: bytes that wait until they read.
    """

    clients: int = 0
    waiting: int = 0


Groups = dict[tuple[str, str, str], Group]
"""By signal, name of the endpoint, and protocol (`signalpost.delivery.codec.Codec.name`)."""


def groups_of(hub: Hub, table: SignalTable) -> Groups:
    """Look at all clients, and return them in groups."""
    groups: Groups = {}
    for _ in _walk(hub, table, groups):
        pass
    return groups


async def groups_in_turns(hub: Hub, table: SignalTable) -> Groups:
    """Look at some clients at a time, so that the loop turns meanwhile, and return all in groups."""
    groups: Groups = {}
    for _ in _walk(hub, table, groups):
        await asyncio.sleep(0)
    return groups


def _walk(hub: Hub, table: SignalTable, groups: Groups) -> Iterator[None]:
    """Add all clients to groups; yield after some."""
    labels: dict[Place, str] = {}
    for number, client in enumerate(list(hub.clients.values()), 1):
        if number % _SLICE == 0:
            yield
        if client.visiting or client.closing:
            continue
        label = labels.get(client.place)
        if label is None:
            rule = table.rule_at(client.place)
            label = labels[client.place] = UNDECLARED if rule is None else label_of(rule)
        key = (label, client.endpoint.name, client.encoding.codec.name)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group()
        group.clients += 1
        group.waiting += client.waiting


@dataclass(frozen=True, slots=True)
class SignalView:
    """One signal at this moment. Numbers that grow count from the moment when somebody first asked.

    Attributes:
        signal: its path as declared, or `UNDECLARED`, or `NO_PATH`.
        clients: connected now.
        waiting: bytes that wait until they read.
        messages: that clients have sent, whatever became of them.
        broadcasts: values that were published.
        deliveries: how many times one of these was queued for a client.
    """

    signal: str
    clients: int
    waiting: int
    messages: int
    broadcasts: int
    deliveries: int


def views(counts: Counts, groups: Groups) -> tuple[SignalView, ...]:
    """Return all signals, in the order of their plan, then whatever else was counted."""
    sums: dict[str, Group] = {label: Group() for label in counts.signals}
    for (label, _, _), group in groups.items():
        of_all = sums.setdefault(label, Group())
        of_all.clients += group.clients
        of_all.waiting += group.waiting
    nothing = SignalCounts("")
    return tuple(
        SignalView(
            label,
            group.clients,
            group.waiting,
            sum(found.messages.values()),
            found.broadcasts,
            found.deliveries,
        )
        for label, group in sums.items()
        for found in (counts.signals.get(label, nothing),)
    )
