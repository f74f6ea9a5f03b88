"""The roster: which nodes of the app there are, and which of them have died.

On the backplane, a table of all nodes::

    nodes   TAG        -> the record of a node, another one with each beat
            TAG begun  -> nothing; since the node has begun to enter what it has
            TAG all    -> nothing; since all of that is entered

A node whose record is the same for as long as ten seconds by the reader's own clock is dead: what was known of it is
forgotten, and one node removes what it has left behind, the two marks of the table last. A node that was taken for
dead, or whose backplane was emptied, misses a mark, and enters all it has anew. What stands in tables is all that a
node has only if it has both.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson

from signalpost import __version__
from signalpost.backplanes.backplane import AwayError, RefusedError
from signalpost.cluster.channels import EVERYONE
from signalpost.cluster.cluster import Cluster
from signalpost.cluster.nodetable import ALL, BEGUN, NODES, NodeRecord, Nodes, read_nodes
from signalpost.cluster.part import LOOK, Note
from signalpost.cluster.peers import Peers
from signalpost.cluster.reaping import reap
from signalpost.foreign import unseen_task
from signalpost.logthrottle import LineTally, call_later
from signalpost.paths import Place
from signalpost.plan import Plan
from signalpost.plan.fingerprint import fingerprint

LOG = logging.getLogger("signalpost.cluster")

BEAT = 3
"""Looks between two beats."""


class Entered(Protocol):
    """What a node has on the backplane, and what it knows of others there."""

    async def enter(self) -> None:
        """Enter all that this node has, and remove what it has no more.

        Raises:
            AwayError: the backplane is away; it is called again when it is back.
            RefusedError: the backplane refuses; it is called again.
        """

    def read_again(self) -> None:
        """Called when another node has entered all that it has."""

    def forget(self, tag: str, *, in_order: bool) -> None:
        """Called when a node has gone.

        Args:
            tag: of it.
            in_order: whether it has stopped; else it is dead.
        """


class Roster:
    """The nodes of the app, as one of them sees them; a part of a cluster.

    Args:
        cluster: of this node.
        entered: what it has on the backplane.
        peers: the other nodes.
        digest: returns digests of a plan; None is `fingerprint`, in a thread.
    """

    def __init__(
        self,
        cluster: Cluster,
        entered: Entered,
        peers: Peers,
        digest: Callable[[Plan], Awaitable[Mapping[str, str]]] | None = None,
    ) -> None:
        self._cluster = cluster
        self._backplane = cluster.backplane
        self._tag = cluster.origin.tag
        self._entered = entered
        self._peers = peers
        self._digest = digest or _in_thread
        self._plan: Plan | None = None  # whose digests are known, or made
        self._digests: Mapping[str, str] = {}
        self._started = time.time()
        self._looks = self._beats = self._entries = 0
        self._clock = 0.0  # of the backplane
        self._read_at: float | None = None  # by this node's clock; None if the backplane was away since
        self._reading = False
        self._entering: asyncio.Task[None] | None = None
        self._complete = False  # all that this node has was entered
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reaping: set[str] = set()
        self._stopped = False
        self._failures = LineTally(LOG.error, call_later)
        cluster.notes["gone"] = self._heard_gone
        cluster.notes["dead"] = self._heard_dead

    # A part of a cluster

    def backplane_here(self) -> None:
        """Called when the backplane is there (again): nobody else could reach it either, or this node alone."""
        self._peers.begin_anew()
        self._read_at = None
        self._go_by_plan()
        self._reading = False
        self._enter()

    def missed(self, channel: str) -> None:
        """Called when something was missed on a channel: the table of nodes says all of it a second later."""

    def opened(self, place: Place) -> None:
        """Called for a client of a place."""

    def let_go(self, channel: str) -> None:
        """Called when a channel is not followed any more."""

    def look(self) -> None:
        """Called every second: see who is there, and show every third time that this node is."""
        self._go_by_plan()
        if not self._backplane.connected:
            return
        self._looks += 1
        if not self._reading:
            self._read()
        if self._looks % BEAT == 0:
            self._beat()

    async def stop(self) -> None:
        """Remove this node in order."""
        self._stopped = True
        for task in (*self._tasks, *((self._entering,) if self._entering else ())):
            task.cancel()
        if self._backplane.connected:
            self._backplane.put(NODES, {self._tag: None, self._tag + BEGUN: None, self._tag + ALL: None})
            self._cluster.tell(EVERYONE, "gone", self._tag)

    # This node

    def _go_by_plan(self) -> None:
        """Make the digests of the plan that is served now, unless they are made, and write them."""
        plan = self._cluster.node.generation.plan
        if self._plan is plan:
            return
        self._plan = plan

        async def make() -> None:
            digests = await self._digest(plan)
            if self._plan is plan:
                self._digests = digests
                self._beat()

        self._run(make())

    def _record(self) -> bytes:
        self._beats += 1
        return orjson.dumps(
            NodeRecord(
                node=self._cluster.origin.node,
                host=socket.gethostname(),
                process=os.getpid(),
                version=__version__,
                plan=self._digests,
                started=self._started,
                clients=len(self._cluster.node.hub.clients),
                beat=self._beats,
                at=self._clock,
            )
        )

    def _beat(self) -> None:
        """Write the record: with the backplane's clock, for whoever looks at the table once."""
        if self._stopped or not self._backplane.connected:
            return

        def write(answer: "asyncio.Future[float]") -> None:
            if not answer.cancelled() and answer.exception() is None and not self._stopped:
                self._clock = answer.result()
                self._backplane.put(NODES, {self._tag: self._record()})

        self._backplane.now().add_done_callback(write)

    def _enter(self) -> None:
        """Enter all that this node has; a try that is under way is given up."""
        if self._entering is not None:
            self._entering.cancel()
        self._entries += 1
        self._complete = False
        self._entering = unseen_task(self._enter_all())

    async def _enter_all(self) -> None:
        backplane, tag, task = self._backplane, self._tag, asyncio.current_task()
        try:
            self._clock = await backplane.now()
            await backplane.put(NODES, {tag: self._record(), tag + BEGUN: b"", tag + ALL: None})
            await self._entered.enter()
            await backplane.put(NODES, {tag + ALL: b"%d" % self._entries})
            self._complete = True
        except AwayError:
            pass  # `backplane_here` begins anew
        except RefusedError as error:
            self._failures.add(f"the backplane does not take what this node has: {error}")  # a look tries again
        finally:
            if self._entering is task:
                self._entering = None

    # The others

    def _read(self) -> None:
        self._reading, entries = True, self._entries

        def take_in(answer: "asyncio.Future[Mapping[str, bytes]]") -> None:
            self._reading = False
            if answer.cancelled() or answer.exception() is not None or self._stopped:
                return
            nodes = read_nodes(answer.result())
            if entries == self._entries and self._entering is None and self._tag not in nodes.entered:
                if self._complete:
                    LOG.warning("the backplane knows nothing of this node any more: it enters what it has")
                self._enter()
            self._take_in(nodes)

        self._backplane.get(NODES).add_done_callback(take_in)

    def _take_in(self, nodes: Nodes) -> None:
        now, before = self._cluster.monotonic(), self._read_at
        self._read_at = now
        passed = 0.0 if before is None else min(now - before, 2 * LOOK)  # a node that stood still has not looked
        others = {tag: record for tag, record in nodes.records.items() if tag != self._tag}
        found = self._peers.see(others, nodes.entered, passed)
        for tag in found.dead:
            self._lose(tag, in_order=False)
        if found.entered:
            self._entered.read_again()
        for tag in self._peers.left_behind(others):
            self._reap_soon(tag, others[tag])
        for tag in nodes.stray:
            if tag != self._tag and not self._peers.meet(tag):
                self._reap_soon(tag, None)

    def _lose(self, tag: str, *, in_order: bool) -> None:
        if not in_order:
            LOG.warning("node %s does not answer any more: it counts as dead", self._peers.name(tag))
        number = self._peers.number(tag)
        if number is not None:
            self._cluster.forget_node(number)
        self._entered.forget(tag, in_order=in_order)

    def reap_unknown(self, tag: str) -> None:
        """Called when something of a dead node is found that the table of nodes does not have: it was emptied."""
        self._reap_soon(tag, None)

    def _reap_soon(self, tag: str, record: bytes | None) -> None:
        if tag not in self._reaping and not self._stopped:
            self._reaping.add(tag)
            self._run(self._reap(tag, record))

    async def _reap(self, tag: str, record: bytes | None) -> None:
        """Remove what a dead node has left behind, unless another node does so."""
        try:
            if await reap(self._backplane, tag, record, self._tag):
                self._cluster.tell(EVERYONE, "dead", tag)
        except AwayError:
            pass  # it is tried again at a later look
        except RefusedError as error:
            self._failures.add(f"the backplane does not let this node clean up after a dead one: {error}")
        finally:
            self._reaping.discard(tag)

    def _heard_gone(self, note: Note) -> None:
        if note.node != self._cluster.origin.node and self._peers.remove(note.value, for_good=True):
            self._lose(note.value, in_order=True)

    def _heard_dead(self, note: Note) -> None:
        if note.value == self._tag:
            LOG.warning("another node has taken this one for dead: it enters what it has")
            self._enter()
        elif self._peers.remove(note.value, for_good=False):
            self._lose(note.value, in_order=False)

    def _run(self, coroutine: Any) -> None:
        task = unseen_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _in_thread(plan: Plan) -> Mapping[str, str]:
    return await asyncio.to_thread(fingerprint, plan)
