"""The crowd: who is present on other nodes, and how they are told who is present on this one.

::

    a client comes, or goes   Presence counts it here at once; what changes is gathered for a tenth of a second
    written                   into the table of its place, then as a note to the nodes that follow the place
    heard                     by these: absolute numbers, so nothing depends on what was heard before
    read                      the whole table: when a place is opened here, a note was missed, the backplane or another
                              node is back

Whatever is read is also held against what this node has itself, and put right there. So entering again is reading.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from signalpost.backplanes.backplane import AwayError, RefusedError
from signalpost.cluster.channels import channel_of_place, place_in, read_place
from signalpost.cluster.cluster import Cluster
from signalpost.cluster.crowdtables import (
    field_of,
    seat_of,
    table_of_node,
    table_of_place,
    users_of,
)
from signalpost.cluster.crowdwriter import CrowdWriter
from signalpost.cluster.nodetable import NODES, Nodes, read_nodes
from signalpost.cluster.part import LOOK, Note
from signalpost.errors import UnavailableError
from signalpost.foreign import unseen_task
from signalpost.logthrottle import LineTally, call_later
from signalpost.paths import Place, path_of
from signalpost.signals.presence import Presence
from signalpost.signals.seats import Seat

LOG = logging.getLogger("signalpost.cluster")

READS = 100
"""Tables that are read at once."""

SETTLES = 1.5
"""Seconds for which others may enter again when the backplane is back: until then, who is not there may be soon.

It may be a replica that lagged, whose tables say that a node has entered all, and lack who came to it last.
"""

MOST_ASKED = 1_000
"""Places without clients here that are followed because somebody asks who is there."""


class _Followed:
    """A place whose users on other nodes are known here, or soon.

    Attributes:
        opened: done when its table was read, or when it cannot be.
        reading: whether an answer of the backplane is waited for.
        again: whether it is to be read once more then.
        known: whether its table was read.
        heard: of users and nodes that were heard of while it is read: what was heard is newer.
    """

    __slots__ = ("again", "heard", "known", "opened", "place", "reading")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reading = self.again = self.known = False
        self.heard: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Let in who waits."""
        if not self.opened.done():
            self.opened.set_result(None)


class Crowd:
    """Who is present on other nodes; a part of a cluster.

    Args:
        cluster: of this node.
        is_there: returns whether a node is there, by its tag (`signalpost.cluster.roster`).

    Attributes:
        tag: of this node.
        unknown: called with the tag of a dead node that has left something behind, and that nobody knows any more.
    """

    def __init__(self, cluster: Cluster, is_there: Callable[[str], bool]) -> None:
        self.tag = cluster.origin.tag
        self.unknown: Callable[[str], None] = lambda _tag: None
        self._cluster = cluster
        self._backplane = cluster.backplane
        self._is_there = is_there
        self._presence: Presence = cluster.node.memory.presence
        self._presence.others = self
        self._plan: object = None  # whose literal paths are followed
        self._places: dict[Place, _Followed] = {}
        self._to_read: dict[Place, _Followed] = {}
        self._read_soon = False
        self._reads = 0  # answers about tables that are waited for
        self._writer = CrowdWriter(cluster, self._presence, self._note_idle)
        self._idle: list[asyncio.Future[None]] = []
        self._settling: asyncio.TimerHandle | None = None  # while it is not believed that somebody has left
        self._doubted = False  # and it was read of somebody
        self._refused = self._stopped = False
        self._entering: asyncio.Task[None] | None = None  # since something was refused
        self._failures = LineTally(LOG.error, call_later)
        cluster.notes["who"] = self._heard

    # What presence asks (`signalpost.signals.presence.OtherNodes`)

    def changed(self, place: Place, user: str) -> None:
        """See `OtherNodes.changed`."""
        if self._stopped:
            return
        if self._presence.config_of(place) is not None:
            self._follow(place)
        self._writer.change(place, (user,))

    def knows(self, place: Place) -> bool:
        """See `OtherNodes.knows`; what is not known is asked for."""
        followed = self._places.get(place)
        hub = self._cluster.node.hub
        if followed is None and sum(not hub.has_path(each) for each in self._places) < MOST_ASKED:
            followed = self._follow(place)
        if followed is not None:
            self._cluster.interest.follow([channel_of_place(place)])
        return hub.has_path(place) or (followed is not None and followed.known)

    async def fetch(self, place: Place) -> None:
        """See `OtherNodes.fetch`."""
        while not self.knows(place):
            followed = self._places.get(place)
            if followed is None:
                raise UnavailableError(f"this node is asked for {MOST_ASKED:,} paths without clients already")
            if self._cluster.parcels.given_up:
                raise UnavailableError(f"the backplane, which knows who is on {path_of(place)}, cannot be reached")
            await asyncio.wait({followed.opened}, timeout=LOOK)
            if followed.opened.done() and not followed.known:
                raise UnavailableError(f"the backplane does not say who is on {path_of(place)}")

    # A part of a cluster

    def backplane_here(self) -> None:
        """Called when the backplane is there (again): `enter` follows."""
        self._writer.begin_anew(())
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(SETTLES, self._settle)
        self._go_by_plan()

    def _settle(self) -> None:
        self._settling = None
        if self._doubted:
            self._doubted = False
            self.read_again()

    def missed(self, channel: str) -> None:
        """Called when something was missed on a channel."""
        place = place_in(channel)
        followed = None if place is None else self._places.get(place)
        if followed is not None:
            self._read(followed)

    def opened(self, place: Place) -> "asyncio.Future[None] | None":
        """Called for a client of a place that is followed already."""
        if self._presence.config_of(place) is None:
            return None
        followed = self._follow(place)
        return None if followed.opened.done() else followed.opened

    def let_go(self, channel: str) -> None:
        """Called when a channel is not followed any more."""
        place = place_in(channel)
        if place is not None and self._places.pop(place, None) is not None:
            self._to_read.pop(place, None)
            self._presence.forget_others(place)

    def look(self) -> None:
        """Called every second."""
        self._go_by_plan()
        if self._backplane.connected and (self._refused or self._writer.refused) and self._entering is None:
            self._refused = self._writer.refused = False
            self._entering = unseen_task(self._enter_again())  # which puts right what could not be written

    async def stop(self) -> None:
        """Remove all that this node has, from the tables and from what others know."""
        self._stopped = True
        if self._entering is not None:
            self._entering.cancel()
        if self._settling is not None:
            self._settling.cancel()
        self._writer.stop()

    def _go_by_plan(self) -> None:
        """Follow the literal paths with presence of the plan that serves now, and forget what has none any more."""
        generation = self._cluster.node.generation
        if self._plan is generation.plan:
            return
        self._plan = generation.plan
        for place in tuple(self._places):
            if self._presence.config_of(place) is None:
                self._places.pop(place).open()
                self._presence.forget_others(place)
        for rule in generation.plan.signals:
            if rule.config.presence is not None and not rule.config.path.parameters:
                for place in generation.table.places(str(rule.config.path)):
                    self._cluster.interest.follow([channel_of_place(place)], lasting=True)
                    self._follow(place)
        self.read_again()  # what was told between two plans was perhaps not noted

    # What a roster asks (`signalpost.cluster.roster.Entered`)

    async def enter(self) -> None:
        """See `Entered.enter`."""
        listed = [read_place(text) for text in await self._backplane.get(table_of_node(self.tag))]
        self._writer.begin_anew(listed)
        for place in listed:
            if place not in self._places:
                self._read(_Followed(place))
        self.read_again()
        await self._until_idle()

    async def _enter_again(self) -> None:
        """Enter once more, since the backplane has refused something."""
        try:
            await self.enter()
        except AwayError:
            pass  # it is done when it is back
        except RefusedError:
            self._refused = True
        finally:
            self._entering = None

    def read_again(self) -> None:
        """See `Entered.read_again`."""
        for followed in self._places.values():
            self._read(followed)

    def forget(self, tag: str, *, in_order: bool) -> None:
        """See `Entered.forget`."""
        places = [] if in_order else [each for each in self._places.values() if self._has_users(each.place, tag)]
        self._presence.forget_node(tag, with_grace=in_order)
        for followed in places:  # if nobody knows any more that it had been there, it is cleaned up after here
            self._read(followed)

    def _has_users(self, place: Place, tag: str) -> bool:
        return tag in self._presence.nodes(place)

    # Reading

    def _follow(self, place: Place) -> _Followed:
        followed = self._places.get(place)
        if followed is None:
            followed = self._places[place] = _Followed(place)
            self._cluster.interest.follow([channel_of_place(place)])
            self._read(followed)
        return followed

    def _read(self, followed: _Followed) -> None:
        """Read the table of a place, together with all others of this loop turn."""
        if followed.reading:
            followed.again = True
            return
        followed.reading = True
        pending = self._cluster.interest.pending(channel_of_place(followed.place))
        if pending is None:
            self._ask_for(followed)
        else:  # what is told from now on must be heard before the table is read
            pending.add_done_callback(lambda _: self._ask_for(followed))

    def _ask_for(self, followed: _Followed) -> None:
        self._to_read[followed.place] = followed
        if not self._read_soon:
            self._read_soon = True
            asyncio.get_running_loop().call_soon(self._read_some)

    def _read_some(self) -> None:
        self._read_soon = False
        some = [self._to_read.pop(place) for place in tuple(self._to_read)[: max(0, READS - self._reads)]]
        if not some or self._stopped:
            return
        self._reads += len(some)
        # The marks of nodes come first: who had entered all then has all in each table.
        asked = [self._backplane.get(table) for table in (NODES, *(table_of_place(each.place) for each in some))]
        asyncio.gather(*asked, return_exceptions=True).add_done_callback(partial(self._have_read, some))

    def _have_read(self, some: Collection[_Followed], answer: "asyncio.Future[list[Any]]") -> None:
        nodes, *tables = answer.result()
        self._reads -= len(some)
        for followed, table in zip(some, tables, strict=True):
            followed.reading = False
            heard, followed.heard = followed.heard, set()
            if isinstance(nodes, Mapping) and isinstance(table, Mapping):
                self._take_in(followed, read_nodes(nodes), table, heard)
            elif not isinstance(table, AwayError):
                self._refused = True
                self._failures.add(f"the backplane does not say who is present: {table}")
                followed.open()
            if followed.again:
                followed.again = False
                self._read(followed)
        if self._to_read:
            self._read_some()
        self._note_idle()

    def _take_in(
        self, followed: _Followed, nodes: Nodes, table: Mapping[str, bytes], heard: set[tuple[str, str]]
    ) -> None:
        """Take what the table of a place says of others, and put right what it says of this node."""
        place, found = followed.place, users_of(table)
        self._writer.put_right(place, found.pop(self.tag, {}))
        if self._places.get(place) is not followed:
            return
        for tag in {*found, *self._presence.nodes(place)}:
            if not self._is_there(tag):
                if tag in found and tag not in nodes.records:
                    self._clean_up(place, tag, found[tag])
                continue
            known = self._presence.of_node(place, tag)
            seats: dict[str, Seat | None] = {**found.get(tag, {})}
            gone = known.keys() - seats.keys()
            if gone and self._settling is not None:
                self._doubted = True
            elif tag in nodes.entered:
                seats |= dict.fromkeys(gone)
            news = {user: seat for user, seat in seats.items() if (tag, user) not in heard and known.get(user) != seat}
            self._presence.note(place, tag, news)
        followed.known = True
        followed.open()

    def _clean_up(self, place: Place, tag: str, users: Iterable[str]) -> None:
        """Remove the users of a dead node that the table of nodes does not know: the backplane was emptied."""
        self._backplane.put(table_of_place(place), {field_of(tag, user): None for user in users})
        self.unknown(tag)

    async def _until_idle(self) -> None:
        """Wait until nothing is read or written."""
        idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        self._note_idle()
        await idle

    def _note_idle(self) -> None:
        if self._idle and not (self._reads or self._to_read or self._writer.busy):
            idle, self._idle = self._idle, []
            for each in idle:
                if not each.done():
                    each.set_result(None)

    # What is heard

    def _heard(self, note: Note) -> None:
        """Called with what a node says of its users at a place."""
        tag, users = note.value
        place = place_in(note.channel)
        followed = None if place is None else self._places.get(place)
        if followed is None or tag == self.tag or not self._is_there(tag):
            return
        if followed.reading:
            followed.heard.update((tag, user) for user in users)
        self._presence.note(followed.place, tag, {user: seat_of(value) for user, value in users.items()})
