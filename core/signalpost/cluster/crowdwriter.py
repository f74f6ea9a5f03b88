"""The writer of the crowd: writes who is present on this node into the tables of places, and tells other nodes."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from signalpost.backplanes.backplane import AwayError
from signalpost.cluster.channels import channel_of_place, place_text
from signalpost.cluster.cluster import Cluster
from signalpost.cluster.crowdtables import field_of, table_of_node, table_of_place, write_seat, written
from signalpost.logthrottle import LineTally, call_later
from signalpost.paths import Place
from signalpost.signals.presence import Presence
from signalpost.signals.seats import Seat

LOG = logging.getLogger("signalpost.cluster")

EVERY = 0.1
"""Seconds between two notes about a place, at least."""

BATCH = 1_000
"""Users that are written at once."""


class CrowdWriter:
    """Gathers what has changed, and writes it: a batch when the one before is answered.

    Args:
        cluster: of this node.
        presence: knows who is on this node when it is written.
        on_answer: called when a batch was answered.

    Attributes:
        refused: whether the backplane did not take something.
    """

    def __init__(self, cluster: Cluster, presence: Presence, on_answer: Callable[[], None]) -> None:
        self.refused = False
        self._cluster = cluster
        self._backplane = cluster.backplane
        self._tag = cluster.origin.tag
        self._presence = presence
        self._on_answer = on_answer
        self._listed: set[Place] = set()  # that the list of this node has
        self._changed: dict[Place, dict[str, None]] = {}
        self._writing = self._stopped = False
        self._written_at = float("-inf")
        self._timer: asyncio.Handle | None = None
        self._failures = LineTally(LOG.error, call_later)

    @property
    def busy(self) -> bool:
        """Whether something is yet to be written."""
        return self._writing or bool(self._changed)

    def begin_anew(self, listed: Collection[Place]) -> None:
        """Forget what is to be written: all is held against the tables now.

        Args:
            listed: the places that the list of this node has.
        """
        self._changed.clear()
        self._listed = set(listed)

    def change(self, place: Place, users: Collection[str]) -> None:
        """Write what this node has of some users, soon."""
        self._changed.setdefault(place, {}).update(dict.fromkeys(users))
        self._write_soon()

    def put_right(self, place: Place, found: Mapping[str, Seat]) -> None:
        """Hold what the table of a place says of this node against what it has, and write what is wrong."""
        own, underway = self._presence.own(place), self._changed.get(place, {})
        wrong = [user for user in {**own, **found} if own.get(user) != found.get(user) and user not in underway]
        if wrong:
            self.change(place, wrong)
        elif not underway:
            self._list(place, has_users=bool(own))

    def stop(self) -> None:
        """Remove all that this node has, and tell the others; nothing is waited for."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._backplane.connected:
            return
        for place in self._presence.occupied():
            self._changed.setdefault(place, {}).update(dict.fromkeys(self._presence.own(place)))
        while self._changed:
            self._put(self._next_batch())
        self._backplane.drop(table_of_node(self._tag))

    def _list(self, place: Place, *, has_users: bool) -> "list[asyncio.Future[None]]":
        """Put a place into the list of this node, or take it out; return what is asked for."""
        if has_users is (place in self._listed):
            return []
        (self._listed.add if has_users else self._listed.discard)(place)
        return [self._backplane.put(table_of_node(self._tag), {place_text(place): b"" if has_users else None})]

    def _write_soon(self, *, at_once: bool = False) -> None:
        if self._timer is not None or self._writing:
            return
        loop = asyncio.get_running_loop()
        wait = 0.0 if at_once else max(0.0, self._written_at + EVERY - loop.time())
        self._timer = loop.call_later(wait, self._write)

    def _write(self) -> None:
        self._timer = None
        if not self._backplane.connected:
            self._changed.clear()  # all is held against the tables when it is back
            return
        self._writing = True
        self._written_at = asyncio.get_running_loop().time()
        batch = self._next_batch()
        full = bool(self._changed)

        def go_on(answer: "asyncio.Future[list[Any]]") -> None:
            self._writing = False
            for error in answer.result():
                if isinstance(error, Exception) and not isinstance(error, AwayError):
                    self.refused = True
                    self._failures.add(f"the backplane does not take who is present: {error}")
            if self._changed:
                self._write_soon(at_once=full)
            self._on_answer()

        asyncio.gather(*self._put(batch), return_exceptions=True).add_done_callback(go_on)

    def _next_batch(self) -> dict[Place, list[str]]:
        """Take the users who are written next."""
        batch: dict[Place, list[str]] = {}
        left = BATCH
        while self._changed and left:
            place, users = next(iter(self._changed.items()))
            batch[place] = list(users)[:left]
            left -= len(batch[place])
            for user in batch[place]:
                del users[user]
            if not users:
                del self._changed[place]
        return batch

    def _put(self, batch: Mapping[Place, Collection[str]]) -> "list[asyncio.Future[None]]":
        """Write a batch into the tables, and tell other nodes."""
        asked: list[asyncio.Future[None]] = []
        for place, users in batch.items():
            own: Mapping[str, Seat] = {} if self._stopped else self._presence.own(place)
            seats = {user: own.get(user) for user in users}
            if own:
                asked += self._list(place, has_users=True)
            fields = {field_of(self._tag, user): write_seat(seat) for user, seat in seats.items()}
            asked.append(self._backplane.put(table_of_place(place), fields))
            if not own and place not in self._changed:
                asked += self._list(place, has_users=False)
            told = {user: written(seat) for user, seat in seats.items()}
            self._cluster.tell(channel_of_place(place), "who", [self._tag, told])
        return asked
