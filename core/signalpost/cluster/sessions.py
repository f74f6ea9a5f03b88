"""Sessions among nodes: a client that comes back to another node than before is who it was.

::

    table session:<digest>   place, owner, key, user, groups, node, turn     while its client is on that node, or
                                                                              for ten minutes after it has left
    a client offers one   -> read while its admission waits -> known here as one that has just left
      it comes            -> written, with this node; the node that has its client is told, and closes that with 4410
      its groups change, it leaves, its close ends it -> written once, at the end of the loop turn

The text of a session is a secret of its client, and nowhere on the backplane.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

import orjson

from signalpost.backplanes.backplane import AwayError
from signalpost.cluster.channels import channel_of_node, place_text, read_place
from signalpost.cluster.part import Note, Teller
from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import ClientId
from signalpost.events import HandshakeRequest
from signalpost.logthrottle import LineTally, call_later
from signalpost.paths import Place
from signalpost.signals.admission import ConnectRequest
from signalpost.signals.memory import Memory
from signalpost.signals.sessions import HEADER, LIFE, Session, offered

LOG = logging.getLogger("signalpost.cluster")

LIFE_HERE = 3_600.0
"""Seconds for which a session is known whose client is connected, if its node is not heard of any more."""

REFRESH = LIFE_HERE / 2
"""Seconds after which such a session is written once more."""

MOST_AT_ONCE = 1_000
"""Sessions that are refreshed in a second."""

SWEEP = 60
"""Calls of `SharedSessions.look`, one a second, between two sweeps of what was found, and nobody has come with."""

MOST_UNWRITTEN = 100_000
"""Sessions that wait for a backplane that is away; beyond it the oldest are not written."""

LARGEST = 65_536
"""Bytes of a session on the backplane; one with more, by the names of its groups, is not known to other nodes."""

LONGEST = 256
"""Characters of a session that is looked for."""

_FIELD = "session"
_ENDED = b"{}"
_PROTOCOLS = "sec-websocket-protocol"


class _Row(NamedTuple):
    """A session as the backplane knows it.

    Attributes:
        place: of its clients.
        owner: the name of their user; None is a guest.
        key: by which values leave it out.
        user: how others know it.
        groups: of its client.
        node: the tag of the one that wrote this.
        here: whether its client is connected there.
        turn: how many clients have had it.
    """

    place: Place
    owner: str | None
    key: str
    user: str
    groups: tuple[str, ...]
    node: str
    here: bool
    turn: int


@dataclass(slots=True)
class _Known:
    """A session whose client is on this node; `written` is in monotonic seconds."""

    session: Session
    name: str
    turn: int
    written: float


class _Wanted(NamedTuple):
    """A session that a client offers, which waits for it."""

    text: str
    place: Place
    owner: str | None
    later: "asyncio.Future[None]"


class SharedSessions:
    """Sessions of all nodes; see `signalpost.cluster.part.Part` for the rest of its methods.

    Args:
        cluster: of this node.
        memory: of this node.
        hub: of its clients.
        clock: returns monotonic seconds.
    """

    def __init__(self, cluster: Teller, memory: Memory, hub: Hub, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._backplane = cluster.backplane
        self._memory = memory
        self._sessions = memory.sessions
        self._clock = clock
        self._here: OrderedDict[str, _Known] = OrderedDict()  # by name; the one that was written longest ago first
        self._keys: dict[str, _Known] = {}
        self._found: dict[str, tuple[str, int]] = {}  # of sessions without a client here: who has it; their turn
        self._unwritten: dict[str, Session | None] = {}  # by name; None has ended
        self._scheduled = False
        self._looks = 0
        self._waiting: list[_Wanted] = []  # for a backplane that is away
        self._anew_before = 0.0  # what was written before this moment is written anew
        self._failures = LineTally(LOG.error, call_later)
        memory.sessions.elsewhere = self
        hub.regrouped = self._regrouped
        cluster.notes["session"] = self._heard_taken

    def who_has(self, key: str) -> ClientId | None:
        """Return the client of this node that has a session, by the session's key; None if none has."""
        known = self._keys.get(key)
        return None if known is None or known.session.guest is None else known.session.guest.client.id

    # Who comes and goes (`signalpost.signals.sessions.Elsewhere`)

    def came(self, session: Session) -> None:
        """See `Elsewhere.came`."""
        name = name_of(session.id)
        node, turn = self._found.pop(session.id, ("", 0))
        before = self._here.get(name)
        turn = 1 + max(turn, 0 if before is None else before.turn)
        self._here[name] = self._keys[session.key] = _Known(session, name, turn, self._clock())
        self._here.move_to_end(name)
        if node:
            self._cluster.tell(channel_of_node(node), "session", [name, turn])
        self._write_soon(name, session)

    def left(self, session: Session) -> None:
        """See `Elsewhere.left`."""
        known = self._gone(session)
        if known is not None:
            self._found[session.id] = "", known.turn
            self._write_soon(known.name, session)

    def ended(self, session: Session) -> None:
        """See `Elsewhere.ended`."""
        known = self._gone(session)
        if known is not None:
            self._write_soon(known.name, None)

    def _gone(self, session: Session) -> _Known | None:
        known = self._keys.get(session.key)
        if known is None or known.session is not session:
            return None
        del self._keys[session.key], self._here[known.name]
        return known

    def _regrouped(self, client: Client) -> None:
        """Called with a client that is in other groups now."""
        known = self._keys.get(client.session)
        if known is not None and known.session.guest is not None and known.session.guest.client is client:
            self._write_soon(known.name, known.session)

    def _heard_taken(self, note: Note) -> None:
        """Called when a client has come back to another node with a session that was here."""
        name, turn = note.value
        known = self._here.get(name)
        if known is not None and known.turn < turn:
            self._gone(known.session)
            self._unwritten.pop(name, None)
            self._memory.give_up(known.session)

    # Writing

    def _write_soon(self, name: str, session: Session | None) -> None:
        """Write a session at the end of the loop turn, or when the backplane is back."""
        self._unwritten.pop(name, None)
        self._unwritten[name] = session
        if len(self._unwritten) > MOST_UNWRITTEN:
            del self._unwritten[next(iter(self._unwritten))]
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._write_all)

    def _write_all(self) -> None:
        self._scheduled = False
        if self._backplane.connected:
            unwritten, self._unwritten = self._unwritten, {}
            for name, session in unwritten.items():
                self._write(name, session)

    def _write(self, name: str, session: Session | None) -> None:
        now, body, seconds = self._clock(), _ENDED, LIFE
        known = self._here.get(name)
        if known is not None:
            known.written = now
            self._here.move_to_end(name)
            body, seconds = self._row_of(known.session, known.turn, here=True), LIFE_HERE
        elif session is not None:
            _, turn = self._found.get(session.id, ("", 1))
            body, seconds = self._row_of(session, turn, here=False), self._sessions.life_left(session)
        too_large = len(body) > LARGEST
        if too_large:
            self._failures.add(f"a session with {len(body):,} bytes of groups is not known to other nodes")
        if seconds > 0:
            answer = self._backplane.put(name, {_FIELD: None if too_large else body}, seconds)
            answer.add_done_callback(partial(self._written, name, session))

    def _written(self, name: str, session: Session | None, answer: "asyncio.Future[None]") -> None:
        error = None if answer.cancelled() else answer.exception()
        if isinstance(error, AwayError):
            self._unwritten.setdefault(name, session)
        elif error is not None:
            self._failures.add(f"the backplane does not keep a session: {error}")

    def _row_of(self, session: Session, turn: int, *, here: bool) -> bytes:
        groups = session.groups if session.guest is None else session.guest.client.groups
        return orjson.dumps(
            {
                "place": place_text(session.place),
                "owner": session.owner,
                "key": session.key,
                "user": session.user,
                "groups": sorted(groups),
                "node": self._cluster.origin.tag,
                "here": here,
                "turn": turn,
            }
        )

    def write_anew(self) -> None:
        """Write all sessions again whose clients are here, some each second: another plan serves, or all were lost."""
        self._anew_before = self._clock()

    # Who offers one

    def look_up(self, request: ConnectRequest, place: Place) -> "asyncio.Future[None] | None":
        """Find the session that a client offers; return what it waits for, None for nothing.

        Args:
            request: of the client, with its identity.
            place: of it.
        """
        text, owner = _offered_by(request.handshake), request.identity.user
        if not 0 < len(text) <= LONGEST or not self._sessions.is_bound(text, owner):
            return None
        session = self._sessions.find(text)
        if session is not None and session.guest is not None:
            return None  # its client is here
        wanted = _Wanted(text, place, owner, asyncio.get_running_loop().create_future())
        self._ask(wanted)
        return wanted.later

    def _ask(self, wanted: _Wanted) -> None:
        self._backplane.get(name_of(wanted.text)).add_done_callback(partial(self._answered, wanted))

    def _answered(self, wanted: _Wanted, answer: "asyncio.Future[Mapping[str, bytes]]") -> None:
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if isinstance(error, AwayError):
            self._waiting.append(wanted)
            return
        if error is None and (body := answer.result().get(_FIELD)) is not None:
            self._take_in(wanted, body)
        elif error is not None:
            self._failures.add(f"the backplane does not say who had a session: {error}")
        _let_go_on(wanted)

    def _take_in(self, wanted: _Wanted, body: bytes) -> None:
        """Know the session that was found, unless its client has come to this node meanwhile."""
        text, sessions = wanted.text, self._sessions
        known = sessions.find(text)
        if known is not None and known.guest is not None:
            return
        if body == _ENDED:
            sessions.forget(text)
            return
        row = _read(body)
        if row is None or (row.place, row.owner) != (wanted.place, wanted.owner):
            return
        own = row.node == self._cluster.origin.tag
        self._found[text] = row.node if row.here and not own else "", row.turn
        if known is None or not own:
            sessions.adopt(text, row.place, row.user, row.key, row.owner, row.groups)

    # A part of the cluster

    def backplane_here(self) -> None:
        """See `Part.backplane_here`: it may have come back empty."""
        self.write_anew()
        self._write_all()
        waiting, self._waiting = self._waiting, []
        for wanted in waiting:
            self._ask(wanted)

    def missed(self, channel: str) -> None:
        """See `Part.missed`."""

    def opened(self, _place: Place) -> None:
        """See `Part.opened`."""

    def let_go(self, channel: str) -> None:
        """See `Part.let_go`."""

    def look(self) -> None:
        """See `Part.look`."""
        if self._cluster.parcels.given_up:
            waiting, self._waiting = self._waiting, []
            for wanted in waiting:
                _let_go_on(wanted)
        self._looks += 1
        if self._looks % SWEEP == 0:
            self._found = {text: found for text, found in self._found.items() if self._sessions.find(text) is not None}
        if self._backplane.connected:
            until = max(self._clock() - REFRESH, self._anew_before)
            for _ in range(MOST_AT_ONCE):
                known = next(iter(self._here.values()), None)
                if known is None or known.written > until:
                    break
                self._write(known.name, known.session)

    async def stop(self) -> None:
        """See `Part.stop`."""
        self._write_all()


def name_of(text: str) -> str:
    """Return the name of a session's table, which tells nobody the session."""
    return f"session:{sha256(text.encode()).hexdigest()[:40]}"


def _offered_by(handshake: HandshakeRequest) -> str:
    """Return the session that a client offers; empty if it offers none."""
    names = chain.from_iterable(line.split(",") for line in handshake.getall(_PROTOCOLS))
    return offered([name.strip() for name in names]) or handshake.headers.get(HEADER, "")


def _let_go_on(wanted: _Wanted) -> None:
    if not wanted.later.done():
        wanted.later.set_result(None)


def _read(body: bytes) -> _Row | None:
    """Return a session as another node has written it; None if this version cannot read it."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    match found:
        case {
            "place": str(place),
            "owner": str() | None as owner,
            "key": str(key),
            "user": str(user),
            "groups": [*groups],
            "node": str(node),
            "here": bool(here),
            "turn": int(turn),
        } if all(isinstance(group, str) for group in groups):
            return _Row(read_place(place), owner, key, user, tuple(groups), node, here, turn)
        case _:
            return None
