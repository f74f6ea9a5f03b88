"""A cluster: the nodes of one app, as one of them sees it. Wiring, and what is heard."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from signalpost.backplanes.backplane import Backplane, Top
from signalpost.cluster.admission import Admission
from signalpost.cluster.beat import Beat
from signalpost.cluster.body import Body, Flag, Received, read_body
from signalpost.cluster.channels import (
    EVERYONE,
    channel_of_group,
    channel_of_node,
    channel_of_place,
    place_in,
)
from signalpost.cluster.grouping import SharedGrouping
from signalpost.cluster.interest import HOLD, Interest
from signalpost.cluster.leases import BackplaneLeases
from signalpost.cluster.moderation import SharedModeration
from signalpost.cluster.numbers import HeardNumbers, OwnNumbers, Verdict
from signalpost.cluster.origin import Origin
from signalpost.cluster.parcels import Parcels
from signalpost.cluster.part import LOOK, Note, Part
from signalpost.cluster.publisher import Publisher
from signalpost.cluster.sessions import SharedSessions
from signalpost.cluster.windows import Windows
from signalpost.cluster.witness import Witness
from signalpost.delivery.broker import Publish
from signalpost.delivery.publication import Publication
from signalpost.delivery.target import Receipt, Target
from signalpost.history.position import Position
from signalpost.history.stream import Why
from signalpost.logthrottle import LineTally, call_later
from signalpost.node import Node, Seams
from signalpost.paths import Place
from signalpost.signals.admission import ConnectRequest
from signalpost.websocket.handshake import HandshakeRejection

LOG = logging.getLogger("signalpost.cluster")

SWEEP = 10
"""Looks between two sweeps of what is followed."""

_LAST_WAIT = 1.0  # seconds in which what is under way may be answered when the node stops


class Cluster:
    """One node among others; a `signalpost.delivery.broker.Broker`.

    Args:
        backplane: that all nodes share.
        patience: seconds for which what is published waits for a backplane that is away.
        alone_while_away: see `Publisher`.
        clock: returns monotonic seconds.

    Attributes:
        origin: who this node is.
        publish: publishes to all nodes (`Publisher.publish`).
        notes: what is done with notes, by their kind.
        parts: asked and told in their order.
        missed: values that this node knows to have missed.
        leases: names that one node of all takes.
        admission: lets clients in.
    """

    alone = False

    def __init__(
        self,
        backplane: Backplane,
        *,
        patience: float,
        alone_while_away: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = Origin.new()
        self.backplane = backplane
        self.notes: dict[str, Callable[[Note], None]] = {}
        self.parts: list[Part] = []
        self.missed = 0
        self.interest = Interest(backplane, clock, self._in_use, self._let_go)
        self.parcels = Parcels(self.interest, patience)
        failures = LineTally(_log_failure, call_later)
        self.publisher = Publisher(
            self.origin, backplane, self.interest, self.parcels, OwnNumbers(), OwnNumbers(), alone_while_away, failures
        )
        self.publish: Callable[[Publication], Receipt] = self.publisher.publish
        self.windows: Windows
        self.admission: Admission
        self.witness: Witness
        self.sessions: SharedSessions
        self.node: Node
        self._clock = clock
        self._numbers, self._note_numbers = HeardNumbers(), HeardNumbers()
        self._beat = Beat(backplane, self.origin, self.publisher.write, clock)
        self.notes["beat"] = lambda note: self._beat.heard(note.node)
        self._looking: asyncio.Handle | None = None
        self._looks = 0
        self._away = False  # and the log says so
        self._started = False
        self._there = asyncio.Event()  # the backplane
        self.leases = BackplaneLeases(backplane, self.origin.tag, self._reachable)

    def joined_to(self, seams: Seams) -> Seams:
        """Return the parts of a node that is this one."""
        return replace(seams, broker=self, admission=(self._admit, *seams.admission))

    def serve(self, node: Node) -> None:
        """Be the cluster of a node, before that starts."""
        self.node = node
        memory, hub = node.memory, node.hub
        memory.sequences = False
        node.admitter.tag = f"{self.origin.tag}-"
        hub.met = self._met
        self.windows = Windows(self.backplane, memory.streams, self, self._clock)
        self.sessions = SharedSessions(self, memory, hub, self._clock)
        SharedGrouping(self, node.grouping)
        self.parts += [SharedModeration(self, node.moderation), self.sessions]
        self.admission = Admission(node, self.interest, self.parcels, self.windows, self.sessions, self.parts)
        memory.elsewhere = self.admission
        publisher = self.publisher
        publisher.hub, publisher.history, publisher.note_own = hub, memory.streams.config_of, self._note_own
        self.witness = Witness(self.backplane, self.windows.looks_for)
        publisher.note_kept = self.witness.note
        publisher.who_has = self.sessions.who_has
        self.reload()

    def reload(self) -> None:
        """Go by the plan that the node serves now."""
        node = self.node
        self.interest.hold = max(HOLD, 2 * node.generation.limits.handshake)
        broadcaster = node.broadcaster
        self.publisher.slot = None if broadcaster.keys is None else broadcaster.slot
        for client in tuple(node.hub.clients.values()):  # which may be at another place, or at one with a history now
            self.interest.follow([channel_of_place(client.place)])
            self.admission.open_window(client.place)
        for window in self.windows:
            self.admission.open_window(window.place)
        self.sessions.write_anew()

    async def start(self, deliver: Publish) -> None:
        """See `signalpost.delivery.broker.Broker.start`."""
        self._deliver = deliver
        self.publisher.deliver = deliver
        self.parcels.backplane_lost()
        self._started = True
        # Before it starts: what is told after the parts have read what they share must be heard.
        self.interest.follow([EVERYONE, channel_of_node(self.origin.tag)], lasting=True)
        await self.backplane.start(self)
        self._looking = asyncio.get_running_loop().call_later(LOOK, self._look)

    async def stop(self) -> None:
        """See `signalpost.delivery.broker.Broker.stop`."""
        if not self._started:
            return
        if self._looking is not None:
            self._looking.cancel()
        await self.parcels.settled(_LAST_WAIT)
        for part in self.parts:
            await part.stop()
        self.parcels.stop()
        await self.backplane.stop()

    def tell(self, channel: str, kind: str, value: Any) -> None:
        """Tell all nodes that follow a channel something; it is lost if the backplane is away for too long."""
        self.publisher.tell(channel, {kind: value})

    def monotonic(self) -> float:
        """Return the seconds of this node's own clock."""
        return self._clock()

    def forget_node(self, node: int) -> None:
        """Forget the numbers of a node that is not there any more."""
        self._numbers.forget_node(node)
        self._note_numbers.forget_node(node)

    # Who comes

    def _admit(self, request: ConnectRequest) -> "Awaitable[HandshakeRejection | None] | None":
        return self.admission.admit(request)

    def _met(self, groups: Iterable[str]) -> None:
        """Called with the groups that a client joins."""
        self.interest.follow([channel_of_group(name) for name in groups])

    def _in_use(self, channel: str) -> bool:
        hub, name = self.node.hub, channel[2:]
        if (place := place_in(channel)) is not None:
            return hub.has_path(place)
        return hub.has_group(name) if channel.startswith("g:") else hub.has_user(name)

    def _let_go(self, channel: str) -> None:
        self.windows.close(channel)
        self._numbers.forget_channel(channel)
        self._note_numbers.forget_channel(channel)
        for part in self.parts:
            part.let_go(channel)

    # What is heard (`signalpost.backplanes.backplane.Hearing`)

    def heard(self, channel: str, body: bytes) -> None:
        """See `Hearing.heard`."""
        found = read_body(body)
        if found is None or channel not in self.interest:
            return
        is_note = bool(found.flags & Flag.NOTE)
        numbers = self._note_numbers if is_note else self._numbers
        verdict = numbers.judge(channel, found.node, found.number)
        if verdict is Verdict.KNOWN:
            return
        if verdict is Verdict.MISSED and is_note:
            self._miss_note(channel)
        elif verdict is Verdict.MISSED:
            self._miss(channel)
        if is_note:
            self._take_note(found, channel)
        else:
            self._deliver(self.publisher.received(found, channel))

    def heard_kept(self, channel: str, top: Top, previous: int, body: bytes) -> None:
        """See `Hearing.heard_kept`."""
        self.windows.heard(channel, top, previous, body)

    def connected(self) -> None:
        """See `Hearing.connected`."""
        if self._away:
            self._away = False
            LOG.warning("the backplane is there again")
        self._there.set()
        self._beat.begin()
        self.interest.all_heard()
        self.parcels.backplane_here()
        self.windows.compare_all()
        self.witness.backplane_here()
        for part in self.parts:
            part.backplane_here()

    def lost(self, why: str) -> None:
        """See `Hearing.lost`."""
        if not self._away:
            self._away = True
            LOG.error("the backplane is away: %s", why)
        self._there.clear()
        self.publisher.forget()
        self.parcels.backplane_lost()

    @property
    def here(self) -> bool:
        """Whether the backplane is there."""
        return self._there.is_set()

    @property
    def seconds(self) -> float:
        """How long the last beat took through the backplane and back."""
        return self._beat.seconds

    @property
    def healed(self) -> int:
        """How many holes in what is kept this node has filled."""
        return self.windows.healed

    @property
    def waiting(self) -> int:
        """Bytes that wait until the backplane has taken them."""
        return self.parcels.size

    async def _reachable(self) -> bool:
        """Wait until the backplane is there; return whether it is, before the patience is over."""
        while not self._there.is_set() and not self.parcels.given_up:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._there.wait(), LOOK)
        return self._there.is_set()

    def _take_note(self, body: Body, channel: str) -> None:
        for kind, value in body.note.items():
            take = self.notes.get(kind)
            if take is not None:  # else a newer node tells something that this one does not know
                take(Note(body.node, channel, value))

    def _note_own(self, channel: str, number: int) -> bool:
        """Note what this node delivers by itself; return whether it has not come back before."""
        verdict = self._numbers.judge(channel, self.origin.node, number)
        if verdict is Verdict.MISSED:
            self._miss(channel)
        return verdict is not Verdict.KNOWN

    def _miss_note(self, channel: str) -> None:
        """Tell the parts that a note is missing: clients have missed nothing by that."""
        for part in self.parts:
            part.missed(channel)

    def _miss(self, channel: str) -> None:
        """Tell the clients of a channel that something is missing."""
        self.missed += 1
        target = _whom(channel)
        if target is None:
            return
        for client in self.node.hub.matching(target):
            client.miss(Why.LOST)
            notice = client.encoding.noticed("gap", {"path": client.path, "why": Why.LOST.value})
            if notice:
                client.send(notice)

    # What windows need (`signalpost.cluster.windows.Outlet`)

    def read(self, channel: str, body: bytes) -> Publication:
        """See `Outlet.read`."""
        found = read_body(body)
        if found is None:
            return Received(b"null", None, Target(path=place_in(channel)), None, is_text=False)
        return self.publisher.received(found, channel)

    def deliver(self, publication: Publication) -> object:
        """See `Outlet.deliver`."""
        return self._deliver(publication)

    def tell_gap(self, place: Place, at: Position) -> None:
        """See `Outlet.tell_gap`."""
        for client in self.node.hub.matching(Target(path=place)):
            client.miss(Why.LOST)
            body = {"path": client.path, "at": str(at), "why": Why.LOST.value}
            if notice := client.encoding.noticed("gap", body):
                client.send(notice)

    # Every second

    def _look(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK, self._look)
        self._looks += 1
        if self._looks % SWEEP == 0:
            self.interest.sweep()
        if self.backplane.connected:
            self._beat.send()
            self.windows.look()
            self.witness.look()
        for part in self.parts:
            part.look()


def _whom(channel: str) -> Target | None:
    """Return whose values a channel brings; None if that is a node's."""
    if channel == EVERYONE:
        return Target()
    if (place := place_in(channel)) is not None:
        return Target(path=place)
    name = channel[2:]
    if channel.startswith("g:"):
        return Target(groups=frozenset({name}))
    return Target(user=name) if channel.startswith("u:") else None


def _log_failure(line: str) -> None:
    LOG.error("%s", line)
