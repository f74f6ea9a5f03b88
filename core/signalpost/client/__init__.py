"""The client of signalpost servers, for programs that use asyncio.

::

    from signalpost.client import connect

    async with connect("wss://example.com/rooms/blue") as room:
        room.on("gap", reload)                       # values are missing: the one thing that an app must handle
        await room.ask({"message": "hi"})            # waits for the answer; done once, even if the connection breaks
        async for signal in room:
            print(signal.value)

A room is one connection to one path. It connects again whenever the connection breaks, waits longer each time, and
brings back its session and its position, so that nothing is lost which the server still has
(`core/docs/memory-guide.md`). It speaks signalpost.v1 (`core/docs/internals/wire.md`).

This package imports nothing of the server.
"""

from collections.abc import Mapping
from ssl import SSLContext

from signalpost.client.address import parse_address
from signalpost.client.errors import ClosedError, ConnectError, DisconnectedError, RefusedError, RoomError
from signalpost.client.room import Room
from signalpost.client.settings import MOST_SIZE, MOST_UNREAD, OPEN_TIMEOUT, Settings, Token
from signalpost.client.values import Answer, Gap, History, Member, Presence, Signal, State

__all__ = [
    "Answer",
    "ClosedError",
    "ConnectError",
    "DisconnectedError",
    "Gap",
    "History",
    "Member",
    "Presence",
    "RefusedError",
    "Room",
    "RoomError",
    "Signal",
    "State",
    "connect",
]


def connect(
    url: str,
    *,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    at: str | None = None,
    ssl: SSLContext | None = None,
    open_timeout: float | None = OPEN_TIMEOUT,
    unread: int = MOST_UNREAD,
    max_size: int | None = MOST_SIZE,
) -> Room:
    """Return a room, to be entered by ``async with``.

    Entering waits for the server's first welcome. Until then a try that may come to something is repeated; afterwards
    the room connects again by itself until it is closed.

    Args:
        url: of the signal's path: ``ws://host:port/rooms/blue``; ``http`` is taken as ``ws``, ``https`` as ``wss``.
        token: sent as the subprotocol ``signalpost.bearer.<token>``. A function, plain or a coroutine function, is
            called before each connection, again when the server refuses its token (4401), and a minute before a token
            ends, for another one that is shown on the same connection. A text serves until it ends.
        headers: of each handshake.
        query: parameters of the address, behind those of `url`.
        at: a position to go on from, such as the `Signal.at` that another run of the program has read last.
        ssl: for TLS; by default the system's trust.
        open_timeout: in seconds, for the first welcome; None waits for ever.
        unread: how many signals may wait to be read before the room stops reading from the network; 0 keeps none, for
            an app that only sends and listens.
        max_size: bytes that one frame may have; None for any number. A connection with a larger one is closed with
            1009, and made again.

    Raises:
        ValueError: `url` is none.
        ConnectError: (when it is entered) the server refuses this client for good, is none of signalpost, or sent no
            welcome in time.
    """
    address = parse_address(url, query)
    return Room(
        Settings(
            address=address,
            token=token,
            headers=headers or {},
            at=at or address.at,
            ssl=ssl,
            open_timeout=open_timeout,
            unread=unread,
            max_size=max_size,
        )
    )
