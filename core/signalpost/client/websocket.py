"""A room's connection by WebSocket."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ssl import SSLContext
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from signalpost.client.address import Address
from signalpost.client.failures import failure
from signalpost.client.line import CLOSED_WITHOUT_A_WORD, LineEndedError
from signalpost.client.progress import PROTOCOL

_CLOSE_TIMEOUT = 2.0
_ASK = ""


async def open_websocket(
    address: Address,
    at: str,
    *,
    subprotocols: Sequence[str],
    headers: Mapping[str, str],
    ssl: SSLContext | None,
    max_size: int | None,
) -> "WebSocketLine":
    """Open a WebSocket.

    Args:
        address: where.
        at: the position to go on from; empty for none.
        subprotocols: to offer.
        headers: of the handshake.
        ssl: for TLS; None for the system's trust.
        max_size: bytes that one frame may have; None for any number.

    Raises:
        LineEndedError: it did not come about.
    """
    options: dict[str, Any] = {"ssl": ssl} if ssl is not None and address.secure else {}
    try:
        socket = await connect(
            address.websocket(at),
            subprotocols=[Subprotocol(each) for each in subprotocols] or None,
            additional_headers=dict(headers),
            max_size=max_size,
            open_timeout=None,  # the room's own
            ping_interval=None,  # pongs are not read while the app is slow; the room asks for signs of life itself
            close_timeout=_CLOSE_TIMEOUT,
            **options,
        )
    except (OSError, WebSocketException) as error:
        raise failure(error, address) from error
    return WebSocketLine(socket)


class WebSocketLine:
    """A WebSocket as a `Line`."""

    answers = True

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.plain = socket.subprotocol != PROTOCOL
        self.lock = asyncio.Lock()

    async def receive(self) -> str | bytes:
        """See `Line`."""
        try:
            return await self._socket.recv()
        except ConnectionClosed as error:
            raise _ended(error) from error

    async def send(self, data: str | bytes) -> None:
        """See `Line`."""
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise _ended(error) from error

    def use_token(self, token: str) -> None:
        """See `Line`: nothing but the handshake shows one."""

    async def ask_for_sign(self) -> bool:
        """See `Line`. A server that speaks no signalpost.v1 is pinged."""
        try:
            if self.plain:
                await (await self._socket.ping())
            else:
                await self._socket.send(_ASK)
        except ConnectionClosed as error:
            raise _ended(error) from error
        return self.plain

    async def close(self) -> None:
        """See `Line`."""
        with suppress(OSError, WebSocketException):
            await self._socket.close()

    def abort(self) -> None:
        """See `Line`."""
        self._socket.transport.abort()


def _ended(error: ConnectionClosed) -> LineEndedError:
    if error.sent is not None and not error.rcvd_then_sent:
        text = f"closed here ({error.sent.code}{f': {error.sent.reason}' if error.sent.reason else ''})"
        return LineEndedError(text, code=CLOSED_WITHOUT_A_WORD)
    close = error.rcvd
    if close is None:
        return LineEndedError("the connection broke", code=CLOSED_WITHOUT_A_WORD)
    text = f"the server closed the connection ({close.code}{f': {close.reason}' if close.reason else ''})"
    return LineEndedError(text, code=close.code, reason=close.reason)
