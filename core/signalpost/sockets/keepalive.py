"""Keepalive: one shared timer for all connections finds those that are silent for too long."""

import asyncio
import contextlib
import select
from collections.abc import Callable
from typing import Any, Protocol

from signalpost.config.model import KeepaliveConfig
from signalpost.delivery.client import NO_DESCRIPTOR, Client
from signalpost.delivery.hub import Hub
from signalpost.websocket.frames import CloseCode

SILENCE, PATIENCE = KeepaliveConfig().every, KeepaliveConfig().patience
"""Defaults, in seconds, for endpoints that set nothing else."""

CLOSING = 5.0
"""Seconds that a peer may take to answer a close frame (RFC 6455 section 7.1.1), after it has stopped reading."""

INTERVAL = 1.0
"""Seconds between two checks of all connections."""


class Watched(Protocol):
    """A connection as the keepalive sees it.

    Attributes:
        heard_at: when its last bytes arrived, in the clock's seconds.
        pinged_at: when an unanswered ping was sent; 0 if there is none.
        suspended: whether the server itself does not read from it, so that its silence means nothing.
    """

    heard_at: float
    pinged_at: float
    suspended: bool

    @property
    def pace(self) -> KeepaliveConfig:
        """How long it may be silent, and take to answer."""

    @property
    def confirmed(self) -> int | None:
        """Bytes that the peer's machine has ever acknowledged; None if it has acknowledged all."""

    def ping(self) -> None:
        """Send a ping."""

    def give_up(self) -> None:
        """Abort the connection: the peer is dead."""


class WatchedClient:
    """What a connection does for the keepalive by its client alone; a base of connections.

    Attributes:
        _client: at the other end.
    """

    __slots__ = ()

    _client: Client

    @property
    def pace(self) -> KeepaliveConfig:
        """How long it may be silent, and take to answer, from its endpoint."""
        return self._client.endpoint.keepalive

    @property
    def confirmed(self) -> int | None:
        """Bytes that the peer's machine has ever acknowledged; None if it has acknowledged all."""
        client = self._client
        return client.confirmed if client.unconfirmed else None

    def ping(self) -> None:
        """Send what asks for a sign of life."""
        self._client.send(self._client.encoding.codec.ping())

    def give_up(self) -> None:
        """Abort the connection: the peer is dead. A closing one is left: the keepalive watches it separately."""
        if not self._client.closing:
            self._client.drop(CloseCode.ABNORMAL)


class Keepalive:
    """Checks all connections once a second.

    Args:
        hub: whose closing clients are aborted when their peers do not answer.
        connections: all open ones.
        clock: returns monotonic seconds (``loop.time``).
        call_later: runs a function after seconds (``loop.call_later``).

    Attributes:
        now: the clock's time at the last check; connections copy it for each read, which costs no call.
        shortest: shortest silence, in seconds, that any of them is allowed.
        hangups: reports the end of connections that are not read from.
    """

    def __init__(
        self,
        hub: Hub,
        connections: set[Any],
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self._hub = hub
        self.connections = connections
        self._clock = clock
        self._call_later = call_later
        self._handle: asyncio.TimerHandle | None = None
        self._slow: dict[Watched, int] = {}  # those that had not read all before their ping, and what they had read
        self._closing: dict[Client, tuple[int, float]] = {}  # bytes not acknowledged yet, and since when
        self.hangups = Hangups()
        self.shortest = SILENCE
        self.now = clock()

    def start(self) -> None:
        """Start checking."""
        self.now = self._clock()
        self._handle = self._call_later(INTERVAL, self._tick)

    def stop(self) -> None:
        """Stop checking."""
        self.hangups.close()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = self._call_later(INTERVAL, self._tick)
        self.look()

    def look(self) -> None:
        """Ping silent connections; abort those that have not answered a ping or a close frame.

        A client that is slow to read what precedes either frame is not aborted, as long as it reads.
        """
        self.now = now = self._clock()
        silent_since = now - self.shortest
        before, self._slow = self._slow, {}
        # The scan is one attribute per connection: at 10,000 of them well below a millisecond.
        for connection in [c for c in self.connections if c.heard_at <= silent_since or c.pinged_at]:
            if connection.suspended:
                continue
            had, pace = before.get(connection), connection.pace
            if not connection.pinged_at:
                if connection.heard_at > now - pace.every:  # others are pinged sooner
                    continue
                self._wait_for(connection, connection.confirmed, now)
                connection.ping()
            elif connection.heard_at >= connection.pinged_at:
                connection.pinged_at = 0.0
            elif connection.pinged_at > now - pace.patience:
                self._wait_for(connection, had, connection.pinged_at)
            elif had is not None and ((has := connection.confirmed) is None or has > had):
                self._wait_for(connection, has, now)
            else:
                connection.give_up()
        if self._hub.closing or self._closing:
            self._look_at_closing(now)

    def _wait_for(self, connection: Watched, has: int | None, since: float) -> None:
        """Start the time for the answer to a ping; `has` is what the peer has acknowledged of the bytes before it."""
        connection.pinged_at = since
        if has is not None:
            self._slow[connection] = has

    def _look_at_closing(self, now: float) -> None:
        """Abort a connection whose peer neither answers its close frame nor reads what precedes it."""
        before, self._closing = self._closing, {}
        for client in tuple(self._hub.closing):
            if client.heeded:  # it has disconnected already, and has a limit of its own
                continue
            unconfirmed = client.unconfirmed
            least, since = before.get(client, (unconfirmed, now))
            if unconfirmed < least:
                since = now
            self._closing[client] = (min(unconfirmed, least), since)
            if since <= now - CLOSING:
                # Its kernel may hold the close frame and much before it: a reset could discard that.
                if unconfirmed or client.descriptor == NO_DESCRIPTOR:
                    client.drop(CloseCode.ABNORMAL)
                else:
                    client.finish()


_EPOLL = getattr(select, "epoll", None)  # only Linux has it
_RESET = getattr(select, "EPOLLERR", 0) | getattr(select, "EPOLLHUP", 0)
_GONE = getattr(select, "EPOLLRDHUP", 0)

Hear = Callable[[bool], None]


class Hangups:
    """Watches descriptors only for the end of their peers (epoll(7), EPOLLRDHUP), whatever else could be read.

    It has no descriptor until one is watched. Where the system has no epoll, an end is noticed when it is read.
    """

    def __init__(self) -> None:
        self._hears: dict[int, Hear] = {}
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop

    def watch(self, descriptor: int, hear: Hear) -> None:
        """Call `hear` once when the peer has closed: with True after a reset. Watching twice is no error."""
        if _EPOLL is None or descriptor < 0 or descriptor in self._hears:
            return
        try:
            epoll = self._epoll or self._open()
            epoll.register(descriptor, _GONE)
        except OSError:  # no descriptor is left, or this one is not of a socket
            return
        self._hears[descriptor] = hear

    def forget(self, descriptor: int) -> None:
        """Stop watching a descriptor; it is no error if it is not watched."""
        if self._hears.pop(descriptor, None) is not None and self._epoll is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Stop watching all descriptors."""
        self._hears.clear()
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _open(self) -> "select.epoll":
        epoll = self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(epoll.fileno(), self._look)
        return epoll

    def _look(self) -> None:
        if self._epoll is None:
            return
        for descriptor, events in self._epoll.poll(0):
            hear = self._hears.get(descriptor)
            self.forget(descriptor)
            if hear is not None:
                hear(bool(events & _RESET))
