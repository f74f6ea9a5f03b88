"""Renewal: another token is shown on the connection that there is, before the present one ends."""

import asyncio
from collections.abc import Awaitable, Callable

from signalpost.client.asks import Asks
from signalpost.client.clock import Clock, sleep
from signalpost.client.errors import RefusedError
from signalpost.client.line import Line, LineEndedError

RETRY = 5.0  # seconds until it is tried again, when no token could be had, or the server could not judge it

_NOT_NOW = "unavailable"  # the keys of the server have not come yet


class Renewal:
    """Shows other tokens. What was not shown when a connection ends is not shown on the next one, which has its own.

    Args:
        clock: of the room.
        asks: of the room.
        token: returns another token; empty if there is none. It raises `LineEndedError` if it fails.
        refused: called when the server has refused one: the present one counts until it ends.
    """

    def __init__(
        self,
        clock: Clock,
        asks: Asks,
        token: Callable[[], Awaitable[str]],
        refused: Callable[[RefusedError], None],
    ) -> None:
        self._clock = clock
        self._asks = asks
        self._token = token
        self._refused = refused
        self._task: asyncio.Task[None] | None = None
        self._again = False  # the token that was taken ends soon, too

    def begin(self, line: Line) -> None:
        """Called when the server says on a connection that the token ends."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(line))
        else:
            self._again = True

    def stop(self) -> None:
        """Called when the connection has ended."""
        if self._task is not None:
            self._task.cancel()
            self._task, self._again = None, False

    async def _run(self, line: Line) -> None:
        while not await self._tried(line) or self._again:
            if not self._again:
                await sleep(self._clock, RETRY)
            self._again = False

    async def _tried(self, line: Line) -> bool:
        """Show another token; return whether that is settled, in whatever way."""
        try:
            token = await self._token()
        except LineEndedError:
            return False  # and is logged
        if not token:
            return True
        ref, ask = self._asks.add({"signalpost": {"token": token}})
        ask.sent = line
        try:
            async with line.lock:
                await line.send(ask.text)
            await ask.answer
            line.use_token(token)
        except RefusedError as error:
            if error.code == _NOT_NOW:
                return False
            self._refused(error)
        finally:
            self._asks.remove(ref)
        return True
