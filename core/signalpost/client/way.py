"""Which way a room takes to its server: WebSockets, or server-sent events where these do not come through."""

import importlib.util
from typing import Literal

Transport = Literal["websocket", "sse"]

_TRIES = 2
_OWN_CODES = 4000


def can_read_events() -> bool:
    """Return whether httpx is installed (the extra ``signalpost[sse]``)."""
    return importlib.util.find_spec("httpx") is not None


class Way:
    """The choice of the next try.

    Args:
        may_use_events: whether server-sent events can be read at all.

    Attributes:
        taken: by the try that is under way, or was the last one.
    """

    def __init__(self, *, may_use_events: bool) -> None:
        self._may_use_events = may_use_events
        self._failures = 0  # of WebSockets, in a row, before a welcome
        self._events_work = False
        self._denied = False  # the server says that it has none
        self._welcomed = False
        self.taken: Transport = "websocket"

    @property
    def has_another(self) -> bool:
        """Whether there is a way that was not tried yet."""
        return self._may_use_events and not self._denied and self.taken == "websocket"

    def choose(self) -> Transport:
        """Return the way of the next try. Called at its beginning."""
        wanted = self._events_work or self._failures >= _TRIES
        self.taken = "sse" if wanted and self._may_use_events else "websocket"
        self._welcomed = False
        return self.taken

    def denied(self) -> None:
        """Called when the server says that it has no events: the try is one of WebSockets again."""
        self._denied = True
        self._events_work = False
        self._failures = 0
        self.taken = "websocket"

    def refused(self) -> None:
        """Called when the server says that it has no WebSockets, so that the next try is of events."""
        self._failures = _TRIES

    def welcomed(self) -> None:
        """Called when the try has led to a welcome."""
        self._welcomed = True
        self._denied = False
        self._failures = 0
        self._events_work = self.taken == "sse"

    def ended(self, code: int | None) -> None:
        """Called when the try, or the connection that it has led to, is over.

        Args:
            code: of WebSocket, if there is one. What a server closes by one of its own came through to it.
        """
        if self._welcomed or (code is not None and code >= _OWN_CODES):
            return
        if self.taken == "sse":
            self._events_work = False
            self._failures = 0
        else:
            self._failures += 1
