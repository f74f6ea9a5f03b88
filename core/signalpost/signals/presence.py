"""Presence: who is on which path, and how its clients are told."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from signalpost.config.model import PresenceConfig
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import Announcement
from signalpost.paths import Place, path_of
from signalpost.signals.ledger import Ledger, Member


class _Room:
    """The ledger of a path, and when its clients are told next."""

    __slots__ = ("blind", "due", "ledger", "timer", "told_at")

    def __init__(self, config: PresenceConfig) -> None:
        self.ledger = Ledger(config.most)
        self.blind: set[Client] = set()  # who may not see who is there
        self.told_at = float("-inf")
        self.due = 0.0
        self.timer: asyncio.Handle | None = None


class Presence:
    """Tracks who is on the paths with presence, and tells clients what changes.

    Args:
        hub: of the clients.
        clock: returns monotonic seconds.

    Attributes:
        config_of: returns how the clients of a place are told; None if they are not.
    """

    __slots__ = ("_clock", "_hub", "_rooms", "config_of")

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self.config_of: Callable[[Place], PresenceConfig | None]
        self._hub = hub
        self._clock = clock
        self._rooms: dict[Place, _Room] = {}

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
        room = self._rooms.get(place)
        if room is None:
            room = self._rooms[place] = _Room(config)
        room.ledger.most = config.most
        room.ledger.enter(user, info)
        self._schedule(place, room)

    def leave(self, place: Place, user: str) -> None:
        """Remove a connection of a user, who counts as gone when the grace is over."""
        room, config = self._rooms.get(place), self.config_of(place)
        if room is not None:
            room.ledger.leave(user, self._clock() + (0.0 if config is None else config.grace))
            self._schedule(place, room)

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

    def whole(self, place: Place) -> Mapping[str, Any] | None:
        """Return what a client is told that comes, or that asks; None if nobody is there."""
        room, config = self._rooms.get(place), self.config_of(place)
        if room is None or config is None:
            return None
        room.ledger.most = config.most
        return {"path": path_of(place), **room.ledger.whole()}

    def users(self, place: Place) -> Iterable[tuple[str, Member]]:
        """Return the users of a path."""
        room = self._rooms.get(place)
        return () if room is None else room.ledger

    def stop(self) -> None:
        """Tell nobody anything any more."""
        for room in self._rooms.values():
            if room.timer is not None:
                room.timer.cancel()
        self._rooms.clear()

    def _schedule(self, place: Place, room: _Room) -> None:
        """Wait until something may be told, or until the next user counts as gone."""
        config = self.config_of(place)
        every = 0.0 if config is None else config.every
        moments = [room.told_at + every] if room.ledger.changed else []
        if (end := room.ledger.next_end) is not None:
            moments.append(end)
        if not moments:
            return
        due = min(moments)
        if room.timer is not None:
            if room.due <= due:
                return
            room.timer.cancel()
        room.due = due
        seconds = max(0.0, due - self._clock())
        room.timer = asyncio.get_running_loop().call_later(seconds, self._look, place, room)

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
