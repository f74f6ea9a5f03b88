"""Memory: what a node remembers for its clients. Streams of paths, sessions, answers to repeats, and who is present."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import orjson

from signalpost.auth.signing import Signer
from signalpost.config.authmodel import Verb
from signalpost.config.model import ServerConfig
from signalpost.delivery.client import Client
from signalpost.delivery.feed import gap
from signalpost.delivery.hub import Hub
from signalpost.delivery.publication import Publication
from signalpost.delivery.target import ClientId, Receipt, Target
from signalpost.errors import UnavailableError
from signalpost.events import History, KeptValue, Present
from signalpost.history.keeper import Keeper, KeptHistory
from signalpost.history.position import Position, read_position
from signalpost.history.stream import Stream, Why
from signalpost.history.streams import PLACES, SWEEP_SECONDS, Streams
from signalpost.logsubject import about
from signalpost.paths import Place, path_of
from signalpost.signals.answers import Repeats
from signalpost.signals.ledger import LONGEST_INFO, Ledger
from signalpost.signals.presence import Presence
from signalpost.signals.recovery import MOST_ENTRIES, Recovery, recover
from signalpost.signals.requests import Slice, read_history
from signalpost.signals.rule import SignalRule
from signalpost.signals.sessions import TAKEN_OVER, Guest, Session, Sessions
from signalpost.signals.table import SignalTable
from signalpost.websocket.frames import CloseCode

logger = logging.getLogger("signalpost.signals")

_NOTHING: Mapping[str, Any] = {}


class Elsewhere(Protocol):
    """What of the streams is only on a backplane."""

    def knows(self, place: Place) -> bool:
        """Return whether this node knows the stream of a place; else it begins to read it."""

    async def fetch(self, place: Place) -> None:
        """Read the stream of a place.

        Raises:
            UnavailableError: the backplane cannot be reached.
        """


class Memory:
    """What a node remembers.

    Args:
        hub: of the clients.
        config: of the first plan.
        clock: returns monotonic seconds.

    Attributes:
        streams: of the paths with a history.
        sessions: of clients that converse.
        repeats: messages that are known again.
        presence: who is on which path.
        keeps: whether any path has a history.
        elsewhere: knows what of the streams is only on the backplane; None without other nodes.
        sequences: whether the order of what is kept is made here; else values come with their positions.
    """

    def __init__(self, hub: Hub, config: ServerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self.streams = Streams(clock, config.history.limit)
        self.sessions = Sessions(clock, config.limits.connections)
        self.repeats = Repeats(clock)
        self.presence = Presence(hub, clock)
        self.keeps = False
        self.elsewhere: Elsewhere | None = None
        self.sequences = True
        self._secret = secrets.token_bytes(32)
        self._clock = clock
        self._table: SignalTable
        self._keeper: Keeper | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    def configure(self, table: SignalTable, config: ServerConfig) -> None:
        """Remember what another plan says from now on."""
        self._table = table
        self.keeps = table.remembers
        self.streams.configure(table.history, config.history.limit)
        if not self.keeps:
            self.streams.clear()
        self.presence.config_of = lru_cache(PLACES)(table.presence)
        self.sessions.most = config.limits.connections
        self.sessions.signer = self._signer_of(config)

    def _signer_of(self, config: ServerConfig) -> Signer | None:
        """Return what signs sessions: with the secret of the file, or with one of this start."""
        if config.auth is None:
            return None
        return Signer(config.auth.secret or self._secret)

    def restore(self, kept: KeptHistory) -> None:
        """Continue the streams of a file, and keep them there."""
        self._keeper = Keeper(kept, self.streams, self._table.history, self._clock)
        places = self._left_out()
        for text in kept.sessions:
            self.sessions.restore(text, places)

    def _left_out(self) -> dict[str, Place]:
        """Return whom kept values leave out, with the place of these."""
        found = ((entry.left_out, stream.place) for stream in self.streams for _, entry in stream.after(0))
        return {left_out: place for left_out, place in found if left_out is not None}

    def start(self) -> None:
        """Begin to remove what is too old, and to write what changes."""
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
        if self._keeper is not None:
            self._keeper.start()

    async def stop(self) -> None:
        """Change nothing any more, and write what is left."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.presence.stop()
        if self._keeper is not None:
            await self._keeper.stop(self.sessions.remembered(self._left_out()))

    def _sweep(self) -> None:
        self.streams.sweep()
        self.sessions.forget_old()
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    # Values

    def deliver(self, publication: Publication) -> Receipt:
        """Keep a value if its path has a history, and deliver it."""
        target = publication.target
        place = target.whole
        stream = None if place is None else self.streams.stream(place)
        if stream is None or publication.is_raw:
            return self._hub.deliver(publication)
        if publication.position is None and self.sequences:  # else it has one that all nodes know
            left_out = target.left_out or target.excluding
            publication.position = self.streams.append(stream, publication.data, publication.is_text, left_out)
        receipt = self._hub.deliver(publication)
        stream.sent = stream.top
        return receipt

    def at(self, target: Target) -> str | None:
        """Return the position of the value that was just sent to a target; None if it was not kept."""
        place = target.whole
        stream = self.streams.find(place) if self.keeps and place is not None else None
        return None if stream is None else str(stream.at)

    def history(
        self, path: str, since: str | None = None, limit: int = MOST_ENTRIES, place: Place | None = None
    ) -> History:
        """Return kept values of a path; see `signalpost.events.Recollection.history`.

        Args:
            path: in any spelling.
            since: a position.
            limit: how many values at most.
            place: of the path, if known.
        """
        if not isinstance(since, str | None):
            raise TypeError(f"since= is a position, which is a text, not {since!r}")
        if type(limit) is not int:
            raise TypeError(f"limit= is a whole number, not {limit!r}")
        if limit < 1:
            raise ValueError(f"limit={limit!r}: at least one value is asked for")
        position = None if since is None else read_position(since)
        if since is not None and position is None:
            raise ValueError(f"{since!r} is no position")
        stream, found = self.read(path, limit, after=position, place=place)
        values = tuple(KeptValue(str(at), entry.value) for at, entry in found.values)
        return History(path_of(stream.place) or path, values, str(found.at), found.more)

    def read(
        self,
        path: str,
        limit: int,
        before: Position | None = None,
        after: Position | None = None,
        place: Place | None = None,
    ) -> tuple[Stream, Slice]:
        """Return the stream of a path, and some of its values; see `signalpost.signals.requests.read_history`.

        Raises:
            LookupError: the signal of the path has no history.
            UnavailableError: it is on the backplane, and not known here yet.
            UnknownPositionError: the position is not good any more.
        """
        stream = self._stream_at(path, place)
        if stream is None:
            raise LookupError(f"nothing is kept of {path}: its signal has no history")
        self.streams.expire(stream)
        return stream, read_history(stream, None, min(limit, MOST_ENTRIES), before, after)

    def _stream_at(self, path: str, place: Place | None) -> Stream | None:
        for each in self._table.places(path) if place is None else (place,):
            stream = self._stream(each)
            if stream is not None:
                return stream
        return None

    def _stream(self, place: Place) -> Stream | None:
        """Return the stream of a place; None if it has no history.

        Raises:
            UnavailableError: it is on the backplane, and not known here yet.
        """
        if not self.keeps or self.streams.config_of(place) is None:
            return None
        if self.elsewhere is not None and not self.elsewhere.knows(place):
            raise UnavailableError(
                f"what is kept of {path_of(place)} is on the backplane, and this node reads it only now, as it has no "
                "clients there: ask again, or await event.fetch_history"
            )
        return self.streams.stream(place)

    async def fetch(self, path: str) -> None:
        """Read what is kept of a path from the backplane, if it is not known here; see `PluginView.fetch_history`."""
        if self.elsewhere is not None and self.keeps:
            for place in self._table.places(path):
                if self.streams.config_of(place) is not None:
                    await self.elsewhere.fetch(place)

    def at_path(self, path: str) -> str | None:
        """Return the position of the value that was just sent to a path; None if it was not kept."""
        places = self._table.places(path) if self.keeps else ()
        return next((at for place in places if (at := self.at(Target(path=place))) is not None), None)

    def stream_of(self, client: Client, place: Place) -> Stream | None:
        """Return the stream of a place that a client asks for, without what is too old; None if nothing is kept.

        Raises:
            UnavailableError: it is on the backplane, and not known here yet.
        """
        stream = client.stream if place == client.place else self._stream(place)
        if stream is not None:
            self.streams.expire(stream)
        return stream

    def present(self, path: str, place: Place | None = None) -> Sequence[Present]:
        """Return who is on a path; see `signalpost.events.Recollection.present`.

        Raises:
            UnavailableError: this node has no clients there, and asks the others only now.
        """
        places = self._table.places(path) if place is None else (place,)
        return [Present(user, member.n, member.info) for each in places for user, member in self.presence.users(each)]

    def places_with_presence(self, path: str) -> Sequence[Place]:
        """Return the places of a path where it is known who is there."""
        return [place for place in self._table.places(path) if self.presence.config_of(place) is not None]

    async def fetch_present(self, path: str) -> None:
        """Ask other nodes who is on a path, if it is not known here; see `PluginView.fetch_presence`."""
        for place in self._table.places(path):
            await self.presence.fetch(place)

    # Clients

    def open_session(self, offered: str, place: Place, client_id: ClientId, owner: str | None) -> Session:
        """Return the session of a new client; a client that had it until now is sent away.

        Args:
            offered: by the client.
            place: of it.
            client_id: of it.
            owner: the name of its user; None is a guest.
        """
        session, before = self.sessions.open(offered, place, client_id, owner)
        if before is not None:
            self._absent(before)
            before.client.close(CloseCode.TAKEN_OVER, TAKEN_OVER)
        return session

    def give_up(self, session: Session) -> None:
        """Send the client of a session away, which another node has now."""
        guest = self.sessions.release(session)
        if guest is not None:
            self._absent(guest)
            guest.client.close(CloseCode.TAKEN_OVER, TAKEN_OVER)

    def lend_session(self, offered: str, place: Place, client: Client) -> Session:
        """Return the session of a visiting client, and let it be in the groups of the one that reads for it."""
        session = self.sessions.lend(offered, place, client.id, client.user)
        client.session = session.key
        client.find_twin = lambda: None if session.guest is None else session.guest.client
        client.groups = session.groups if session.guest is None else session.guest.client.groups
        if self.keeps:
            client.stream = self.streams.follow(place)
        return session

    def receive(self, guest: Guest) -> Mapping[str, Any]:
        """Begin to remember for a client that comes; return what its welcome says of that.

        A client of a path with a history is in no audience before `admit`.
        """
        client, session = guest.client, guest.session
        if session is None and not self.keeps:
            return _NOTHING
        welcome: dict[str, Any] = {} if session is None else {"session": session.id}
        if session is not None:
            session.guest = guest
        if guest.rule.config.presence is not None or client.user is not None:
            welcome["user"] = guest.user
        stream = self.streams.follow(client.place) if self.keeps else None
        if stream is not None:
            client.stream = stream
            client.arriving = True
            self.streams.expire(stream)
            guest.recovery = recover(stream, guest.request.position, client.session)
            welcome |= guest.recovery.welcome
        return welcome

    def admit(self, guest: Guest) -> None:
        """Let a client read what it has missed, then what is sent from now on; it counts as present."""
        client, recovery, guest.recovery = guest.client, guest.recovery, None
        self._hub.admit(client)
        if client.closing or client.visiting:
            return
        stream = client.stream
        if recovery is not None and recovery.why is not None:
            at = None if stream is None else stream.position(recovery.offset)
            client.miss(recovery.why)
            _tell(client, gap(client.path, at, recovery.why, client.encoding))
        if stream is not None and recovery is not None:
            self._hub.feed(client, stream, recovery.offset)
        self._enter(guest, guest.rule)

    def _enter(self, guest: Guest, rule: SignalRule) -> None:
        client = guest.client
        if rule.config.presence is None:
            return
        guest.present = client.place
        self.presence.enter(client.place, guest.user, _info(guest, rule))
        if _is_blind(guest, rule):
            self.presence.hide_from(client)
        else:
            self._show(client)

    def _show(self, client: Client) -> None:
        """Tell a client who is on its path."""
        whole = self.presence.whole(client.place)
        if whole is not None:
            _tell(client, client.encoding.noticed("presence", whole))

    def reconsider(self, guest: Guest, rule: SignalRule) -> None:
        """Judge anew whether a client that is present may see who is: its identity, or the plan, is another one.

        Args:
            guest: of the client.
            rule: of its signal.
        """
        client = guest.client
        blind = _is_blind(guest, rule)
        if blind is self.presence.hides_from(client):
            return
        if blind:
            self.presence.hide_from(client)
            _tell(client, client.encoding.noticed("presence", {"path": client.path, **Ledger(0).whole()}))
        else:
            self.presence.show_to(client, client.place)
            self._show(client)

    def renew(self, guest: Guest, rule: SignalRule) -> None:
        """Remember by the present plan for a client that is connected already, and may be at another place now.

        Args:
            guest: of the client.
            rule: of its signal from now on.
        """
        client, stream = guest.client, guest.client.stream
        follows = self.streams.find(client.place) if self.keeps else None
        if stream is not None and stream is not follows:
            at = None if follows is None else follows.at
            if client.end_feeding(gap(client.path, at, Why.LOST, client.encoding)):
                client.miss(Why.LOST)
            self._unfollow(client)
        if client.stream is None and self.keeps and not client.closing:
            client.stream = self.streams.follow(client.place)
        if guest.recovery is not None and client.stream is not stream:  # it is still arriving
            client.miss(Why.LOST)
            _tell(
                client, gap(client.path, None if client.stream is None else client.stream.at, Why.LOST, client.encoding)
            )
            guest.recovery = None if client.stream is None else Recovery(client.stream.top, None, {})
        if guest.session is not None:
            guest.session.place = client.place
        if guest.present is not None and (rule.config.presence is None or guest.present != client.place):
            self._absent(guest)
            if rule.config.presence is None:
                _tell(client, client.encoding.noticed("presence", {"path": client.path, **Ledger(0).whole()}))
        if guest.present is not None:
            self.reconsider(guest, rule)
        elif not client.arriving:
            self._enter(guest, rule)

    def _unfollow(self, client: Client) -> None:
        stream, client.stream = client.stream, None
        if stream is not None:
            self.streams.unfollow(stream)

    def leave(self, guest: Guest, *, sent_away: bool) -> None:
        """Note that a client has gone; `sent_away` says that the server has ended its connection."""
        client = guest.client
        self._unfollow(client)
        if guest.session is not None:
            self.sessions.leave(guest.session, guest, sent_away=sent_away)
            if client.visiting and guest.session.guest is None:
                guest.session.groups = client.groups
        self._absent(guest)

    def _absent(self, guest: Guest) -> None:
        if guest.present is not None:
            self.presence.leave(guest.present, guest.user)
            self.presence.show_to(guest.client, guest.present)
            guest.present = None


def _tell(client: Client, frame: bytes) -> None:
    """Send a notice to a client, if its kind of client is told at all."""
    if frame:
        client.send(frame)


def _is_blind(guest: Guest, rule: SignalRule) -> bool:
    """Return whether a client may not see who is on its path."""
    return rule.asks(Verb.PRESENCE) and not guest.may(Verb.PRESENCE, rule)


def _info(guest: Guest, rule: SignalRule) -> Any:
    """Return what others see of a client; None if that cannot be rendered, or is too large."""
    if rule.info is None:
        return None
    client = guest.client
    try:
        info = rule.info(guest.arrival_event())
        size = len(orjson.dumps(info))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's function in a template may raise anything
        logger.error(  # noqa: TRY400 - the template's line says more than ours
            "presence.info of %s failed for client %s: %s", rule.owner, client.named, error, extra=about(client)
        )
        return None
    if size > LONGEST_INFO:
        logger.warning(
            "presence.info of %s has %d bytes for client %s, and %d are allowed: others do not see it",
            rule.owner,
            size,
            client.named,
            LONGEST_INFO,
            extra=about(client),
        )
        return None
    return info
