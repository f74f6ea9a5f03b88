"""One connection to a room, whatever it is made of."""

import asyncio
from typing import Protocol

CLOSED_WITHOUT_A_WORD = 1006
"""RFC 6455 section 7.1.5: the close code of a connection that ended without one."""


class LineEndedError(Exception):
    """A connection has ended, or did not come about.

    Attributes:
        text: why, for a person.
        code: of WebSocket, if the server closed the connection; 1006 if it broke; None if there was none.
        reason: that the server gave with the code.
        status: of HTTP, if a handshake was answered with one.
        hopeless: whether the next try would end in the same way, unless somebody does something.
        foreign: whether another way than WebSockets may come to something nevertheless: what said no may have been a
            proxy in front of the server, or there are no WebSockets here.
        retry: seconds after which the server wants to see the client again; None if it did not say.
    """

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        reason: str = "",
        status: int | None = None,
        hopeless: bool = False,
        foreign: bool = False,
        retry: float | None = None,
    ) -> None:
        self.text = text
        self.code = code
        self.reason = reason
        self.status = status
        self.hopeless = hopeless
        self.foreign = foreign
        self.retry = retry
        super().__init__(text)


class Line(Protocol):
    """One connection.

    Attributes:
        plain: whether the server speaks no signalpost.v1; every frame is then a value.
        answers: whether it answers when it is asked for a sign of life; else it gives some without being asked.
        lock: held while something is sent, so that messages keep their order.
    """

    plain: bool
    answers: bool
    lock: asyncio.Lock

    async def receive(self) -> str | bytes:
        """Return the next frame; an empty text is a sign of life and nothing else.

        Raises:
            LineEndedError: the connection has ended.
        """

    async def send(self, data: str | bytes) -> None:
        """Send a message, waiting while the network is full.

        Raises:
            LineEndedError: the connection has ended.
        """

    def use_token(self, token: str) -> None:
        """Send another token with whatever shows one from now on: the server has taken it."""

    async def ask_for_sign(self) -> bool:
        """Ask the server for a sign of life; return whether it has come, else it will be received.

        Raises:
            LineEndedError: the connection has ended.
        """

    async def close(self) -> None:
        """Close the connection, and wait until it is closed."""

    def abort(self) -> None:
        """End the connection without waiting for the server: it is dead."""
