"""The watch over a connection: it may be dead without a word, and only what comes shows that it is not."""

import asyncio
from contextlib import suppress

from signalpost.client.clock import Clock, sleep
from signalpost.client.line import Line, LineEndedError
from signalpost.client.unread import Unread

QUIET = 15.0  # after so long without a word the server is asked for a sign of life
SIGN = 20.0  # for anything to come after that
SILENCE = 35.0  # without a word from a server that gives signs of life without being asked
LOOK = 5.0


class Watch:
    """Looks again and again whether a connection is alive, and ends one that is not.

    Args:
        clock: of the room.
        line: to look at.
        unread: while the room waits for its reader, nothing can come.

    Attributes:
        gave_up: whether the connection was ended.
    """

    def __init__(self, clock: Clock, line: Line, unread: Unread) -> None:
        self._clock = clock
        self._line = line
        self._unread = unread
        self._heard_at = clock.now()
        self._asked_at: float | None = None
        self._looked_at = clock.now()
        self._asking: asyncio.Task[None] | None = None
        self.gave_up = False

    def heard(self) -> None:
        """Called when anything came."""
        self._heard_at = self._clock.now()
        self._asked_at = None

    async def run(self) -> None:
        """Look until the connection is dead, or this is cancelled."""
        try:
            while not self.gave_up:
                await sleep(self._clock, LOOK)
                self._look()
        finally:
            if self._asking is not None:
                self._asking.cancel()

    def _look(self) -> None:
        now = self._clock.now()
        slept = now - self._looked_at > 3 * LOOK  # the machine did, or the app held the loop: what came may be unread
        self._looked_at = now
        if self._unread.waiting:
            self.heard()
            return
        if slept and self._asked_at is not None:
            self._asked_at = now
        if not self._line.answers:
            if slept:
                self._heard_at = max(self._heard_at, now - SILENCE + LOOK)  # one more look
            elif now - self._heard_at > SILENCE:
                self._give_up()
        elif self._asked_at is not None:
            if now - self._asked_at > SIGN:
                self._give_up()
        elif now - self._heard_at > QUIET:
            self._asked_at = now
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        with suppress(LineEndedError):  # the room hears of it, too
            if await self._line.ask_for_sign():
                self.heard()

    def _give_up(self) -> None:
        self.gave_up = True
        self._line.abort()
