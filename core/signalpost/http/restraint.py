"""Requests that send to clients wait for clients that cannot read as fast, as WebSocket connections do.

A WebSocket connection is held after it has sent something. A request may use a connection of its own, so the route is
remembered instead: when one of its requests has sent something, the next ones wait.
"""

import asyncio
from typing import Any

from signalpost.delivery.hub import Hub
from signalpost.delivery.target import Receipt
from signalpost.errors import ClientError, ErrorCode
from signalpost.events import Broadcast
from signalpost.signals.broadcast import Sender
from signalpost.signals.sessions import HEADER

_OF_SENDER = frozenset({"sender", "others"})


class Restraint:
    """Makes requests wait.

    Args:
        hub: of the receiving clients.
    """

    __slots__ = ("_hub",)

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def wait(self) -> None:
        """Wait as long as senders must wait; a second at most."""
        hub = self._hub
        hub.flush_much()
        while hub.strain is not None and hub.strain.active:
            waiting = _Waiting()
            hub.strain.hold(waiting)
            try:
                await waiting.ended
            finally:
                hub.strain.release(waiting)
            hub.flush_much()  # others may have continued first


class _Waiting:
    """A request that waits; see `signalpost.delivery.strain.Sender`."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go_on(self) -> None:
        """Resume the request in the next loop turn."""
        if not self.ended.done():
            self.ended.set_result(None)


class RouteBroadcast:
    """The broadcast of one route's events: it remembers whether it was ever used, and knows who is connected.

    Args:
        broadcast: sends.

    Attributes:
        used: whether something was sent.
    """

    __slots__ = ("_broadcast", "used")

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast
        self.used = False

    def __call__(self, value: Any, *, sender: Sender | None = None, **target: Any) -> Receipt:
        """Send a value; see `signalpost.events.Broadcast`.

        Args:
            value: see there.
            sender: the connected client that the request comes from; None if it names none.
            target: see there.

        Raises:
            ClientError: it is for the sender, or for the others, and there is no sender.
        """
        self.used = True
        if target.get("to") not in _OF_SENDER:
            return self._broadcast(value, **target)
        if sender is None:
            raise not_connected()
        return sender.broadcast(value, **target)


def not_connected() -> ClientError:
    """Return the answer to a request that had to come from a connected client."""
    return ClientError(
        ErrorCode.NOT_CONNECTED,
        f"this is for connected clients only: name the session of your welcome in the header {HEADER}",
    )
