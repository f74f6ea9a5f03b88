"""An event stream after the head of its response: the callbacks of its transport. The client only reads."""

import asyncio

from signalpost.config.model import LimitsConfig
from signalpost.delivery.client import Client
from signalpost.node import Node
from signalpost.signals.conversation import Conversation
from signalpost.sockets.keepalive import Keepalive, WatchedClient
from signalpost.websocket.frames import CloseCode

MOST_UPSTREAM = 65_536
"""Bytes that a client may send behind its request, and that are dropped; nothing that is useful would be longer."""


class EventStream(WatchedClient, asyncio.Protocol):
    """A client that reads a signal as server-sent events.

    It takes the place of a `signalpost.sockets.connection.Connection`: its client comes, counts, is pinged, moved by a
    reload and sent away as others are. Nothing comes from it, so it is alive while its machine acknowledges what it is
    sent.

    Args:
        transport: to which the head has been written.
        node: that the client belongs to.
        keepalive: that watches the connection.

    Attributes:
        pinged_at: see `signalpost.sockets.keepalive.Watched`, also for `suspended`.
    """

    __slots__ = (
        "_client",
        "_confirmed",
        "_conversation",
        "_heard_at",
        "_keepalive",
        "_node",
        "_transport",
        "_upstream",
        "pinged_at",
    )

    suspended = False

    def __init__(self, transport: asyncio.Transport, node: Node, keepalive: Keepalive) -> None:
        self._transport = transport
        self._node = node
        self._keepalive = keepalive
        self._client: Client
        self._conversation: Conversation
        self._heard_at = keepalive.now
        self._confirmed = 0  # bytes, when it was pinged
        self._upstream = 0
        self.pinged_at = 0.0

    def begin(self, conversation: Conversation) -> None:
        """Use the transport, to which the head has been written, from now on."""
        self._client = conversation.client
        self._conversation = conversation
        self._transport.set_protocol(self)
        if not self._transport.get_extra_info("ssl_object"):
            # Call back at once when bytes are held back, and again only when all of them are gone.
            self._transport.set_write_buffer_limits(high=0, low=0)
        self._keepalive.connections.add(self)
        self._node.welcome(conversation)
        self._transport.resume_reading()  # Sanic may have stopped, and the client's end is read

    @property
    def client(self) -> Client:
        """The client at the other end."""
        return self._client

    @property
    def conversation(self) -> Conversation:
        """Its conversation, of which only the arrival and the end are of use."""
        return self._conversation

    def set_limits(self, _limits: LimitsConfig) -> None:
        """Do nothing: they are of what a client sends."""

    # The transport's callbacks

    def data_received(self, data: bytes) -> None:
        """Drop what a client sends that has nothing to say."""
        self._upstream += len(data)
        if self._upstream > MOST_UPSTREAM:
            self._client.drop(CloseCode.ABNORMAL)

    def pause_writing(self) -> None:
        """Queue the client's events from now on."""
        self._client.paused()

    def resume_writing(self) -> None:
        """Write what waits."""
        self._node.hub.resumed(self._client)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the transport has ended, in whatever way; called once."""
        client, conversation, node = self._client, self._conversation, self._node
        sent_away = client.closing
        client.left(CloseCode.NO_STATUS if exc is None else CloseCode.ABNORMAL)
        conversation.left()
        node.report_gone(conversation, sent_away=sent_away)
        self._keepalive.connections.discard(self)
        node.forget(client)
        conversation.disconnected(client.close_code)
        del self._conversation  # a cycle that need not wait for the garbage collector

    # The source of a conversation without messages

    def read_on(self, on: bool) -> None:
        """Do nothing: there is nothing to read."""

    def note_waiting(self, change: int) -> None:
        """Do nothing: no message waits."""

    def charge(self, seconds: float) -> None:
        """Do nothing: no message of its own causes work."""

    # For the keepalive

    @property
    def heard_at(self) -> float:
        """When its machine was last seen to acknowledge something, in the clock's seconds; asked once it is pinged.

        On a busy path it may at no look have acknowledged everything.
        """
        client = self._client
        if self.pinged_at and (not client.unconfirmed or client.confirmed > self._confirmed):
            self._heard_at = self._keepalive.now
        return self._heard_at

    def ping(self) -> None:
        """Send a comment."""
        self._confirmed = self._client.confirmed
        super().ping()
