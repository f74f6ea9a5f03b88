"""Admission: a client is let in when its node hears what is sent to it, and knows what was.

The same is waited for where somebody asks for the history of a path without clients here.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial

from signalpost.cluster.channels import channel_of_place, channel_of_user
from signalpost.cluster.interest import Interest
from signalpost.cluster.parcels import Parcels
from signalpost.cluster.part import LOOK, Part
from signalpost.cluster.sessions import SharedSessions
from signalpost.cluster.windows import State, Window, Windows
from signalpost.deferred import Deferred
from signalpost.errors import UnavailableError
from signalpost.history.position import read_position
from signalpost.node import Node
from signalpost.paths import Place
from signalpost.signals.admission import ConnectRequest
from signalpost.websocket.handshake import HandshakeRejection

_LATER = {"retry-after": "5"}


@dataclass(slots=True)
class _Comer:
    """A client that waits to be let in.

    Attributes:
        channels: that it needs.
        may_know_more: whether what is new was asked for before it came: the answer may not have what it knows.
    """

    request: ConnectRequest
    place: Place
    channels: list[str]
    may_know_more: bool


class Admission:
    """Lets the clients of a node in.

    Args:
        node: of the clients.
        interest: follows their channels.
        parcels: knows whether the backplane has been away for too long.
        windows: of the node.
        sessions: finds those of other nodes.
        parts: open what they need of a place.
    """

    def __init__(  # noqa: PLR0917 - each has a name
        self,
        node: Node,
        interest: Interest,
        parcels: Parcels,
        windows: Windows,
        sessions: SharedSessions,
        parts: Sequence[Part],
    ) -> None:
        self._node = node
        self._interest = interest
        self._parcels = parcels
        self._windows = windows
        self._sessions = sessions
        self._parts = parts

    def admit(self, request: ConnectRequest) -> "Awaitable[HandshakeRejection | None] | None":
        """Let a client in when this node hears what is sent to it (`signalpost.signals.admission.AdmissionHook`)."""
        resolved = self._node.resolve(request.endpoint.name, request.path)
        if resolved is None:
            return None
        place, user = resolved.place, request.identity.user
        channels = [channel_of_place(place)]
        if user is not None:
            channels.append(channel_of_user(user))
        waits = [self._interest.follow(channels), *(part.opened(place) for part in self._parts)]
        waits.append(self._sessions.look_up(request, place))
        window = self.open_window(place)
        comer = _Comer(request, place, channels, window is not None and window.state is not State.OPEN)
        if window is not None:
            waits.append(self._up_to_date(window, request))
        left = [each for each in waits if each is not None]
        if not left or (self._parcels.given_up and (window is None or window.opened.done())):
            return None
        return Deferred(partial(self._let_in_later, comer, left, window))

    def open_window(self, place: Place) -> Window | None:
        """Return the window of a place, which begins to open if there is none; None if it has no history."""
        if not self._node.memory.keeps:
            return None
        return self._windows.open(place, self._interest.pending(channel_of_place(place)))

    async def _let_in_later(
        self, comer: _Comer, waits: "list[asyncio.Future[None]]", window: Window | None
    ) -> HandshakeRejection | None:
        """Let a client in after a wait that may have been so long that its channels were let go of."""
        while (rejection := await self._let_in(waits, window)) is None:
            heard, window = self._interest.follow(comer.channels), self.open_window(comer.place)
            opening = None if window is None or window.state is not State.OPENING else window.opened
            if comer.may_know_more and window is not None and window.state is State.OPEN:
                comer.may_know_more = False
                opening = self._up_to_date(window, comer.request)
            waits = [each for each in (heard, opening) if each is not None]
            if not waits or (self._parcels.given_up and opening is None):
                return None
        return rejection

    def _up_to_date(self, window: Window, request: ConnectRequest) -> "asyncio.Future[None] | None":
        """Return what a client waits for that may know more than this node does."""
        if window.state is State.OPENING:
            return window.opened
        at = request.handshake.position
        position = None if at is None else read_position(at)
        if position is None or not self._windows.is_ahead(window.place, position):
            return None
        return self._windows.catch_up(window.place)

    async def _let_in(self, waits: "list[asyncio.Future[None]]", window: Window | None) -> HandshakeRejection | None:
        while not self._parcels.given_up:
            done, _ = await asyncio.wait(waits, timeout=LOOK)
            if len(done) == len(waits):
                return None
        if window is None or window.opened.done():
            return None  # it hears what is sent from this node
        return HandshakeRejection(503, "The server cannot reach its backplane, which knows what was sent here.", _LATER)

    # Whose history is asked for (`signalpost.signals.memory.Elsewhere`)

    def knows(self, place: Place) -> bool:
        """See `Elsewhere.knows`."""
        self._interest.follow([channel_of_place(place)])
        window = self.open_window(place)
        return window is None or window.state is State.OPEN

    async def fetch(self, place: Place) -> None:
        """See `Elsewhere.fetch`."""
        heard = self._interest.follow([channel_of_place(place)])
        window = self.open_window(place)
        opened = None if window is None else window.opened
        waits = [each for each in (heard, opened) if each is not None and not each.done()]
        if waits and await self._let_in(waits, window) is not None:
            raise UnavailableError("the backplane, which keeps what was sent there, cannot be reached")
