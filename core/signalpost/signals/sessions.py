"""Sessions: what survives the reconnect of a client of ``signalpost.v1``.

The client reads its session in the welcome, and offers it at the next handshake as a subprotocol,
``signalpost.session.…``, or in a plain request in a header: never in the address, which is logged. Who has the text
has the session.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from signalpost.auth.identity import GUEST, Identity
from signalpost.auth.signing import Signer
from signalpost.config.authmodel import Verb
from signalpost.delivery.client import Client
from signalpost.events import ClientEvent, HandshakeRequest
from signalpost.paths import Place
from signalpost.signals.expiry import Expiring
from signalpost.signals.recovery import Recovery
from signalpost.signals.rule import SignalRule
from signalpost.websocket.frames import CloseCode

PREFIX = "signalpost.session."
"""Precedes a session among the subprotocols of a handshake."""

HEADER = "signalpost-session"
"""Names a session in a plain HTTP request."""

LIFE = 600.0
"""Seconds for which a session is known after its client has left."""

TAKEN_OVER = "this session is connected elsewhere"
"""The reason of the close for a client whose session another connection has brought."""

_BYTES = 16  # 128 random bits
_KEY_BYTES = 12
_SIGNED = "."  # is in no text without a signature
_ENDED_BY_APP = range(4000, 5000)  # RFC 6455 section 7.4.2: codes of applications
_POLICY = 1008
_GOES_ON = (CloseCode.TOO_SLOW, CloseCode.UNAUTHORIZED)  # who brings another token is the same


def offered(subprotocols: Sequence[str]) -> str:
    """Return the session that a handshake offers; empty if it offers none."""
    for name in subprotocols:
        if name.startswith(PREFIX):
            return name.removeprefix(PREFIX)
    return ""


class Guest(Expiring, Protocol):
    """The conversation of a client: a `signalpost.signals.conversation.Conversation`, which documents each."""

    client: Client
    rule: SignalRule
    request: HandshakeRequest
    session: "Session | None"
    recovery: Recovery | None
    present: Place | None

    @property
    def user(self) -> str:
        """How others know the client."""

    def may(self, verb: Verb, rule: SignalRule | None = None) -> bool:
        """Return whether the client may do something, other than with a message, on its path, by a rule or its own."""

    def reconsider(self) -> None:
        """Called when the client has another identity."""

    def arrival_event(self) -> ClientEvent:
        """Make the event of the client's arrival."""


class Elsewhere(Protocol):
    """Keeps sessions for other nodes; see `signalpost.cluster.sessions.SharedSessions`."""

    def came(self, session: "Session") -> None:
        """Called when a client of this node has a session from now on."""

    def left(self, session: "Session") -> None:
        """Called when the client of a session has left this node."""

    def ended(self, session: "Session") -> None:
        """Called when a session is known no longer: by its close the app has ended what there was."""


class Session:
    """What survives a client's reconnect.

    Attributes:
        id: its text.
        user: how others know it: the id of its first client.
        owner: the user of its clients; None is a guest. It is not known to another one.
        place: of its clients; it is not known on another path.
        key: by which values leave it out: a digest of its text, which is nobody else's business; of a session from
            before a restart, which is not known, that one's.
        guest: the conversation of the connected client; None while there is none.
        groups: of the client that has left.
        repeats: its messages that are known again, by their ``once``; the oldest first.
        repeats_size: bytes that these count for.
        left_at: when the client left, in monotonic seconds.
        allowance: what it may still send by plain requests; of whoever counts them.
        lasting: whether anybody can bring it again; that of a visitor without one ends with its visit.
    """

    __slots__ = (
        "allowance",
        "groups",
        "guest",
        "id",
        "key",
        "lasting",
        "left_at",
        "owner",
        "place",
        "repeats",
        "repeats_size",
        "user",
    )

    def __init__(
        self,
        place: Place,
        user: str,
        key: str = "",
        *,
        lasting: bool = True,
        owner: str | None = None,
        signer: Signer | None = None,
    ) -> None:
        text = secrets.token_urlsafe(_BYTES)
        self.id = text if owner is None or signer is None else signer.signed(text, owner)
        self.owner = owner
        self.key = key or key_of(self.id)
        self.user = user
        self.place = place
        self.guest: Guest | None = None
        self.groups: frozenset[str] = frozenset()
        self.repeats: dict[str, Any] = {}  # of `signalpost.signals.answers.Repeat`
        self.repeats_size = 0
        self.left_at = 0.0
        self.lasting = lasting
        self.allowance: Any = None


class Sessions:
    """All sessions of a node.

    Args:
        clock: returns monotonic seconds.

    Attributes:
        elsewhere: keeps them for other nodes; None if there are none.
        signer: signs the sessions of users; None leaves them unsigned.
        most: how many sessions without a client are known; beyond it, those that were left longest ago are forgotten.
    """

    __slots__ = ("_before", "_clock", "_connected", "_left", "_started_at", "elsewhere", "most", "signer")

    def __init__(self, clock: Callable[[], float], most: int) -> None:
        self._clock = clock
        self.most = most
        self.signer: Signer | None = None
        self.elsewhere: Elsewhere | None = None
        self._connected: dict[str, Session] = {}
        self._left: OrderedDict[str, Session] = OrderedDict()  # the one that was left longest ago first
        self._before: dict[str, tuple[Place, str]] = {}  # places and keys of sessions of before a restart
        self._started_at = clock()

    def __len__(self) -> int:
        """Return how many sessions are known."""
        return len(self._connected) + len(self._left)

    def open(self, text: str, place: Place, user: str, owner: str | None = None) -> tuple[Session, Guest | None]:
        """Return the session of a new client, and the conversation that had it until now, if that goes on.

        Args:
            text: as the client offered it; may be empty. An unknown one is ignored.
            place: of the client.
            user: its id.
            owner: the name of its user; None is a guest.
        """
        found = self._find(text, place, owner)
        if found is None:
            found = Session(place, user, self._key_before(text, place, owner), owner=owner, signer=self.signer)
            self._connected[found.id] = found
            if self.elsewhere is not None:
                self.elsewhere.came(found)
            return found, None
        self._left.pop(text, None)
        self._connected[text] = found
        if self.elsewhere is not None:
            self.elsewhere.came(found)
        before, found.guest = found.guest, None
        if before is not None:
            found.groups = before.client.groups
        return found, before

    def find(self, text: str) -> Session | None:
        """Return a session that a client has, or has left."""
        return self._connected.get(text) or self._left.get(text)

    def client_of(self, text: str, identity: Identity = GUEST) -> Client | None:
        """Return the connected client of a session that a plain request names; None if there is none.

        A client that is arriving is none yet: it may still be refused.

        Args:
            text: as the request names it.
            identity: of the request.
        """
        found = self._connected.get(text)
        client = None if found is None or found.guest is None else found.guest.client
        if client is None or client.closing or client.arriving or not may_use(client.identity, identity):
            return None
        return client

    def lend(self, text: str, place: Place, user: str, owner: str | None = None) -> Session:
        """Return the session of a visitor, whose own client keeps it; one that is not known ends with the visit.

        The arguments are those of `open`.
        """
        key = self._key_before(text, place, owner)
        return self._find(text, place, owner) or Session(place, user, key, lasting=False, owner=owner)

    def _find(self, text: str, place: Place, owner: str | None) -> Session | None:
        self.forget_old()
        found = self._left.get(text) or self._connected.get(text)
        if found is None or found.place != place or found.owner != owner:
            return None
        had = None if found.guest is None else found.guest.client
        return None if had is not None and had.closing and _ends(had.close_code) else found

    def _key_before(self, text: str, place: Place, owner: str | None) -> str:
        """Return the key of a session from before a restart, or nothing: its signature alone says whose it was.

        Nothing else survives a restart: the client must not believe that the server knows more.
        """
        if not self.is_bound(text, owner):
            return ""
        where, key = self._before.get(text, (None, ""))
        return key if where == place else ""

    def is_bound(self, text: str, owner: str | None) -> bool:
        """Return whether a session belongs to a user, or, without a signature, to a guest."""
        if owner is None:
            return _SIGNED not in text
        return self.signer is None or self.signer.is_signed(text, owner)

    def leave(self, session: Session, guest: Guest, *, sent_away: bool) -> None:
        """Note that a client has left; a session that another client has by now goes on.

        Args:
            session: of the client.
            guest: its conversation.
            sent_away: whether the server ended the connection. Nothing survives if the app did that: with a code of
                its own, or 1008.
        """
        if session.guest is not guest:
            return
        del self._connected[session.id]
        session.guest = None
        if sent_away and _ends(guest.client.close_code):
            if self.elsewhere is not None:
                self.elsewhere.ended(session)
            return
        session.groups = guest.client.groups
        session.left_at = self._clock()
        self._left[session.id] = session
        if self.elsewhere is not None:
            self.elsewhere.left(session)
        self.forget_old()

    def adopt(  # noqa: PLR0917 - each is a part of the session
        self, text: str, place: Place, user: str, key: str, owner: str | None, groups: Collection[str]
    ) -> None:
        """Know a session that another node has had, as if its client had just left here; see `Session`."""
        session = self._left.pop(text, None) or Session(place, user, key, owner=owner)
        session.id, session.key, session.owner = text, key, owner
        session.place, session.user, session.groups = place, user, frozenset(groups)
        session.left_at = self._clock()
        self._left[text] = session
        self.forget_old()

    def forget(self, text: str) -> None:
        """Know a session no longer that no client has."""
        self._left.pop(text, None)

    def release(self, session: Session) -> Guest | None:
        """Know a session no longer that another node has now; return the conversation that had it, if that goes on."""
        if self._connected.get(session.id) is session:
            del self._connected[session.id]
        guest, session.guest = session.guest, None
        return guest

    def life_left(self, session: Session) -> float:
        """Return the seconds for which a session is known whose client has left."""
        return session.left_at + LIFE - self._clock()

    def restore(self, text: str, places: Mapping[str, Place]) -> None:
        """Leave out of kept values whom they left out before the server stopped.

        Args:
            text: one of `remembered`.
            places: by the keys that values there leave out.
        """
        offered, _, key = text.partition("=")
        if key in places:
            self._before[offered] = (places[key], key)

    def remembered(self, keys: Collection[str]) -> Collection[str]:
        """Return texts for the sessions that have one of these keys, for `restore`."""
        known = [(each.id, each.key) for each in (*self._connected.values(), *self._left.values())]
        before = [(offered, key) for offered, (_, key) in self._before.items()]
        return {f"{offered}={key}" for offered, key in (*known, *before) if key in keys}

    def forget_old(self) -> None:
        """Forget the sessions that were left too long ago, and those that are too many."""
        until = self._clock() - LIFE
        if self._before and self._started_at < until:
            self._before.clear()
        while self._left:
            oldest = next(iter(self._left.values()))
            if oldest.left_at >= until and len(self._left) <= self.most:
                return
            del self._left[oldest.id]


def key_of(text: str) -> str:
    """Return the key of a session, which tells nobody its text."""
    return blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest()


def may_use(owner: Identity, identity: Identity) -> bool:
    """Return whether a request may act as the client of a session: only the same user may, whoever has the text."""
    return owner.user == identity.user


def _ends(code: int) -> bool:
    """Return whether a close with this code ends the session, too: by it the app has ended what there was."""
    return code == _POLICY or (code in _ENDED_BY_APP and code not in _GOES_ON)
