"""Sessions: what survives the reconnect of a client of ``signalpost.v1``.

The client reads its session in the welcome, and offers it at the next handshake as a subprotocol,
``signalpost.session.…``: never in the address, which is logged. Who has the text has the session.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence

from signalpost.delivery.client import Client
from signalpost.paths import Place
from signalpost.websocket.frames import CloseCode

PREFIX = "signalpost.session."
"""Precedes a session among the subprotocols of a handshake."""

LIFE = 600.0
"""Seconds for which a session is known after its client has left."""

TAKEN_OVER = "this session is connected elsewhere"
"""The reason of the close for a client whose session another connection has brought."""

_BYTES = 16  # 128 random bits
_ENDED_BY_APP = range(4000, 5000)  # RFC 6455 section 7.4.2: codes of applications
_POLICY = 1008


def offered(subprotocols: Sequence[str]) -> str:
    """Return the session that a handshake offers; empty if it offers none."""
    for name in subprotocols:
        if name.startswith(PREFIX):
            return name.removeprefix(PREFIX)
    return ""


class Session:
    """What survives a client's reconnect.

    Attributes:
        id: its text.
        user: how others know it: the id of its first client.
        place: of its clients; it is not known on another path.
        client: the connected one; None while there is none.
        groups: of the client that has left.
        repeats: how many of its messages are known again by their ``once``.
        repeats_size: bytes that these count for.
        left_at: when the client left, in monotonic seconds.
    """

    __slots__ = ("client", "groups", "id", "left_at", "place", "repeats", "repeats_size", "user")

    def __init__(self, place: Place, user: str, text: str = "") -> None:
        self.id = text or secrets.token_urlsafe(_BYTES)
        self.user = user
        self.place = place
        self.client: Client | None = None
        self.groups: frozenset[str] = frozenset()
        self.repeats = self.repeats_size = 0
        self.left_at = 0.0


class Sessions:
    """All sessions of a node.

    Args:
        clock: returns monotonic seconds.

    Attributes:
        most: how many sessions without a client are known; beyond it, those that were left longest ago are forgotten.
    """

    __slots__ = ("_clock", "_connected", "_left", "most")

    def __init__(self, clock: Callable[[], float], most: int) -> None:
        self._clock = clock
        self.most = most
        self._connected: dict[str, Session] = {}
        self._left: OrderedDict[str, Session] = OrderedDict()  # the one that was left longest ago first

    def __len__(self) -> int:
        """Return how many sessions are known."""
        return len(self._connected) + len(self._left)

    def open(self, text: str, place: Place, user: str) -> tuple[Session, Client | None]:
        """Return the session of a new client, and the client that had it until now, if that is still connected.

        Args:
            text: as the client offered it; may be empty. An unknown one is ignored.
            place: of the client.
            user: its id.
        """
        self.forget_old()
        found = self._left.get(text) or self._connected.get(text)
        if found is None or found.place != place:
            found = Session(place, user)
            self._connected[found.id] = found
            return found, None
        self._left.pop(text, None)
        self._connected[text] = found
        found.user = found.user or user
        before, found.client = found.client, None
        if before is not None:
            found.groups = before.groups
        return found, before

    def leave(self, session: Session, client: Client) -> None:
        """Note that a client has left; a session that another client has by now goes on.

        Nothing survives if the app itself ended the connection: with a code of its own, or 1008.
        """
        if session.client is not client:
            return
        del self._connected[session.id]
        session.client = None
        code = client.close_code
        if code == _POLICY or (code in _ENDED_BY_APP and code != CloseCode.TOO_SLOW):
            return
        session.groups = client.groups
        session.left_at = self._clock()
        self._left[session.id] = session
        self.forget_old()

    def restore(self, text: str, place: Place) -> None:
        """Know a session again that a server knew before it stopped."""
        session = Session(place, "", text)
        session.left_at = self._clock()
        self._left[text] = session

    def knows(self, text: str) -> bool:
        """Return whether a text is a session."""
        return text in self._connected or text in self._left

    def forget_old(self) -> None:
        """Forget the sessions that were left too long ago, and those that are too many."""
        until = self._clock() - LIFE
        while self._left:
            oldest = next(iter(self._left.values()))
            if oldest.left_at >= until and len(self._left) <= self.most:
                return
            del self._left[oldest.id]
