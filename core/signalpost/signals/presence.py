"""Presence: who is on which path, and how its clients are told."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

from signalpost.config.model import PresenceConfig
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import Announcement
from signalpost.errors import UnavailableError
from signalpost.paths import Place, path_of
from signalpost.signals.ledger import Ledger, Member
from signalpost.signals.seats import Seat, Seats

_NOBODY: Mapping[str, Seat] = {}


class OtherNodes(Protocol):
    """The other nodes of the app; see `signalpost.cluster.crowd.Crowd`, in a higher layer."""

    tag: str
    """Of this node."""

    def changed(self, place: Place, user: str) -> None:
        """Called when the connections of a user to this node have changed."""

    def knows(self, place: Place) -> bool:
        """Return whether it is known who is at a place on other nodes; else it is asked for."""

    async def fetch(self, place: Place) -> None:
        """Ask who is at a place on other nodes, if that is not known.

        Raises:
            UnavailableError: the backplane cannot be reached.
        """


class _Room:
    """The ledger of a path, and when its clients are told next."""

    __slots__ = ("blind", "due", "ledger", "seats", "timer", "told_at")

    def __init__(self, config: PresenceConfig, seats: Seats | None) -> None:
        self.ledger = Ledger(config.most)
        self.seats = seats  # None without other nodes
        self.blind: set[Client] = set()  # who may not see who is there
        self.told_at = float("-inf")
        self.due = 0.0
        self.timer: asyncio.Handle | None = None

    def count(self, user: str, until: float | None) -> None:
        """Count what all nodes say of a user; see `Ledger.lack`."""
        total = None if self.seats is None else self.seats.total(user)
        if total is None:
            self.ledger.lack(user, until)
        else:
            self.ledger.have(user, total.n, total.info)


class Presence:
    """Tracks who is on the paths with presence, and tells clients what changes.

    Args:
        hub: of the clients.
        clock: returns monotonic seconds.

    Attributes:
        config_of: returns how the clients of a place are told; None if they are not.
        others: the other nodes of the app; None if there are none.
    """

    __slots__ = ("_clock", "_hub", "_rooms", "config_of", "others")

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self.config_of: Callable[[Place], PresenceConfig | None]
        self.others: OtherNodes | None = None
        self._hub = hub
        self._clock = clock
        self._rooms: dict[Place, _Room] = {}

    @property
    def count(self) -> int:
        """How many users are present, each path for itself; of all nodes, as far as this one knows."""
        return sum(len(room.ledger) for room in self._rooms.values())

    def enter(self, place: Place, user: str, info: Any) -> None:
        """Add a connection of a user to a path with presence.

        Args:
            place: of the client.
            user: see `signalpost.signals.sessions.Session`; of a client without a session its id.
            info: what others see.
        """
        config = self.config_of(place)
        if config is None:
            return
        room = self._room(place, config)
        if room.seats is None or self.others is None:
            room.ledger.enter(user, info)
        else:
            room.seats.enter(user, info)
            room.count(user, None)
            self.others.changed(place, user)
        self._schedule(place, room)

    def leave(self, place: Place, user: str) -> None:
        """Remove a connection of a user, who counts as gone when the grace is over."""
        room = self._rooms.get(place)
        if room is None:
            return
        until = self._grace_ends(place)
        if room.seats is None or self.others is None:
            room.ledger.leave(user, until)
        else:
            room.seats.leave(user)
            room.count(user, until)
            self.others.changed(place, user)
        self._schedule(place, room)

    def _room(self, place: Place, config: PresenceConfig) -> _Room:
        room = self._rooms.get(place)
        if room is None:
            seats = None if self.others is None else Seats(self.others.tag)
            room = self._rooms[place] = _Room(config, seats)
        room.ledger.most = config.most
        return room

    def _grace_ends(self, place: Place) -> float:
        config = self.config_of(place)
        return self._clock() + (0.0 if config is None else config.grace)

    # What other nodes say

    def own(self, place: Place) -> Mapping[str, Seat]:
        """Return the users who are at a place on this node, if there are others."""
        room = self._rooms.get(place)
        return _NOBODY if room is None or room.seats is None else room.seats.own

    def occupied(self) -> list[Place]:
        """Return the places with users who are on this node, if there are others."""
        return [place for place, room in self._rooms.items() if room.seats is not None and room.seats.own]

    def note(self, place: Place, tag: str, seats: Mapping[str, Seat | None]) -> None:
        """Note what another node says of users of a place.

        Args:
            place: of the users.
            tag: of the node.
            seats: by user; None is that the user is not connected there. Users who are not named are as they were.
        """
        config = self.config_of(place)
        if config is None or not seats:
            return
        room = self._room(place, config)
        if room.seats is None:
            return
        until = self._grace_ends(place)
        for user, seat in seats.items():
            room.seats.put(tag, user, seat)
            room.count(user, until)
        self._schedule(place, room)

    def nodes(self, place: Place) -> Collection[str]:
        """Return the tags of other nodes that have users at a place."""
        room = self._rooms.get(place)
        return () if room is None or room.seats is None else room.seats.elsewhere

    def of_node(self, place: Place, tag: str) -> Mapping[str, Seat]:
        """Return the users whom a node has at a place, as far as this one knows."""
        room = self._rooms.get(place)
        return _NOBODY if room is None or room.seats is None else room.seats.of(tag)

    def forget_node(self, tag: str, *, with_grace: bool) -> None:
        """Forget the users of a node that is not there any more.

        Args:
            tag: of the node.
            with_grace: whether they may come back to another node, as if each had left now; else they are gone.
        """
        for place, room in tuple(self._rooms.items()):
            self._forget(place, room, tag, self._grace_ends(place) if with_grace else None)

    def forget_others(self, place: Place) -> None:
        """Forget the users of other nodes at a place of which nothing is heard any more."""
        room = self._rooms.get(place)
        for tag in () if room is None or room.seats is None else room.seats.elsewhere:
            self._forget(place, room, tag, None)

    def _forget(self, place: Place, room: _Room | None, tag: str, until: float | None) -> None:
        users = () if room is None or room.seats is None else room.seats.forget(tag)
        if room is None or not users:
            return
        for user in users:
            room.count(user, until)
        self._schedule(place, room)

    # Who may see

    def hide_from(self, client: Client) -> None:
        """Tell a client nothing of its path, where it is present itself."""
        if (room := self._rooms.get(client.place)) is not None:
            room.blind.add(client)

    def hides_from(self, client: Client) -> bool:
        """Return whether a client is told nothing of its path."""
        room = self._rooms.get(client.place)
        return room is not None and client in room.blind

    def show_to(self, client: Client, place: Place) -> None:
        """Forget that a client was told nothing: it may see now, or is not at this place any more."""
        if (room := self._rooms.get(place)) is not None:
            room.blind.discard(client)

    # Who is there

    def whole(self, place: Place) -> Mapping[str, Any] | None:
        """Return what a client is told that comes, or that asks; None if nobody is there.

        Raises:
            UnavailableError: only other nodes know who is there.
        """
        self._require(place)
        room, config = self._rooms.get(place), self.config_of(place)
        if room is None or config is None:
            return None
        room.ledger.most = config.most
        return {"path": path_of(place), **room.ledger.whole()}

    def users(self, place: Place) -> Iterable[tuple[str, Member]]:
        """Return the users of a path.

        Raises:
            UnavailableError: only other nodes know who is there.
        """
        self._require(place)
        room = self._rooms.get(place)
        return () if room is None else room.ledger

    async def fetch(self, place: Place) -> None:
        """Ask other nodes who is at a place, if this one does not know.

        Raises:
            UnavailableError: the backplane cannot be reached.
        """
        if self.others is not None and self.config_of(place) is not None:
            await self.others.fetch(place)

    def _require(self, place: Place) -> None:
        if self.others is not None and self.config_of(place) is not None and not self.others.knows(place):
            raise UnavailableError(
                f"who is on {path_of(place)} is known on the backplane, and read only now, as this node has no clients "
                "there: ask again, or await event.fetch_presence"
            )

    def stop(self) -> None:
        """Tell nobody anything any more."""
        for room in self._rooms.values():
            if room.timer is not None:
                room.timer.cancel()
        self._rooms.clear()

    # When clients are told

    def _schedule(self, place: Place, room: _Room) -> None:
        """Wait until something may be told, or until the next user counts as gone."""
        due = min(self._moments(place, room), default=None)
        if due is None:
            return
        if room.timer is not None:
            if room.due <= due:
                return
            room.timer.cancel()
        room.due = due
        seconds = max(0.0, due - self._clock())
        room.timer = asyncio.get_running_loop().call_later(seconds, self._look, place, room)

    def _moments(self, place: Place, room: _Room) -> Iterator[float]:
        config = self.config_of(place)
        if room.ledger.changed or not len(room.ledger):
            yield room.told_at + (0.0 if config is None else config.every)
        if (end := room.ledger.next_end) is not None:
            yield end

    def _look(self, place: Place, room: _Room) -> None:
        room.timer = None
        now, config = self._clock(), self.config_of(place)
        if config is None:  # another plan tells nothing of this path
            del self._rooms[place]
            return
        room.ledger.most = config.most
        room.ledger.expire(now)
        if room.ledger.changed and room.told_at + config.every <= now:
            room.told_at = now
            body = room.ledger.difference()
            if body is not None:
                self._hub.announce(place, Announcement("presence", {"path": path_of(place), **body}), room.blind)
        if not len(room.ledger) and not room.ledger.changed:
            del self._rooms[place]
            return
        self._schedule(place, room)
