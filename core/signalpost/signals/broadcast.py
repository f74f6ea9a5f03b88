"""`broadcast(value, …)` as handlers, jobs and routes call it: from words to a target, from a value to a frame."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from signalpost.delivery.client import Client, ClientId
from signalpost.delivery.hub import Hub
from signalpost.delivery.target import EVERYONE, NOBODY, Receipt, Target
from signalpost.signals.decide import wished_target
from signalpost.signals.event import Reach
from signalpost.signals.message import ClientMessage
from signalpost.signals.outgoing import ValueFrame, check_size


class Broadcaster:
    """Sends values to clients; see `signalpost.signals.event.Broadcast` for the arguments.

    Args:
        hub: delivers.
        spelling: brings a target's path to the spelling of clients' paths (`SignalTable.spelling`).

    """

    __slots__ = ("_hub", "spelling")

    def __init__(self, hub: Hub, spelling: Callable[[str], str]) -> None:
        self._hub = hub
        self.spelling = spelling

    def __call__(
        self,
        value: Any,
        *,
        to: Reach | None = None,
        path: str | None = None,
        group: str | None = None,
        client: str | None = None,
    ) -> Receipt:
        """Send a value; without a target, to everyone."""
        if to in ("sender", "others"):
            raise ValueError(f"to={to!r} needs a sender, and there is none outside a signal event")
        check_size(value)
        return self.send(value, self.target(to, path, group, client) or EVERYONE, None)

    def target(self, to: str | None, path: str | None, group: str | None, client: str | None) -> Target | None:
        """Read the arguments of `broadcast`; None when none of them is given.

        Raises:
            TypeError: `to` stands together with path, group or client.
            ValueError: `to` is another word than ``everyone``.

        """
        narrowed = path is not None or group is not None or client is not None
        if to is not None:
            if narrowed:
                raise TypeError(f"to={to!r} stands alone: leave it out, or leave out path, group and client")
            if to != "everyone":
                raise ValueError(f'to={to!r}: "everyone" and, in a signal event, "others" and "sender" are known')
            return EVERYONE
        if not narrowed:
            return None
        return Target(
            path=None if path is None else self.spelling(path),
            groups=None if group is None else frozenset({group}),
            client=None if client is None else ClientId(client),
        )

    def send(self, value: Any, target: Target, origin: str | None) -> Receipt:
        """Send a value to a target; `origin` is the path that it comes from, for the envelope."""
        if value is None or value == "":
            return NOBODY
        return self._hub.broadcast(ValueFrame(value, target.path or origin), target)


class SenderBroadcast:
    """`SignalEvent.broadcast`: knows the sender and what its message asked for."""

    __slots__ = ("_broadcaster", "_client", "_message")

    def __init__(self, broadcaster: Broadcaster, client: Client, message: ClientMessage) -> None:
        self._broadcaster = broadcaster
        self._client = client
        self._message = message

    def __call__(
        self,
        value: Any,
        *,
        to: Reach | None = None,
        path: str | None = None,
        group: str | None = None,
        client: str | None = None,
    ) -> Receipt:
        """Send a value; without a target, where the client asked (Pode behaviours 19 to 22)."""
        check_size(value)
        broadcaster = self._broadcaster
        if to == "sender" and path is None and group is None and client is None:
            target: Target | None = Target(client=self._client.id)
        elif to == "others":
            target = replace(broadcaster.target(None, path, group, client) or EVERYONE, excluding=self._client)
        else:
            target = broadcaster.target(to, path, group, client)
        if target is None:
            message = self._message
            target = wished_target(message, self._client, broadcaster.spelling) if message.asks else EVERYONE
        return broadcaster.send(value, target, self._client.path)
