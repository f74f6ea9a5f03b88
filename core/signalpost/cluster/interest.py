"""Interest: which channels this node follows. It hears only what is meant for clients that it has."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator

from signalpost.backplanes.backplane import AwayError, Backplane

LOG = logging.getLogger("signalpost.cluster")

HOLD = 30.0
"""Seconds for which a channel is followed after its last client, at least."""


class Interest:
    """Follows channels while they are of use.

    Args:
        backplane: that carries them.
        clock: returns monotonic seconds.
        in_use: returns whether a channel has clients here.
        let_go: called with each channel that is not followed any more.

    Attributes:
        hold: see `HOLD`; longer where clients may take longer to arrive.
    """

    def __init__(
        self,
        backplane: Backplane,
        clock: Callable[[], float],
        in_use: Callable[[str], bool],
        let_go: Callable[[str], None],
    ) -> None:
        self._backplane = backplane
        self._clock = clock
        self._in_use = in_use
        self._let_go = let_go
        self._used_at: dict[str, float] = {}
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._lasting: set[str] = set()
        self.hold = HOLD

    def __contains__(self, channel: str) -> bool:
        """Return whether a channel is followed, heard already or soon."""
        return channel in self._used_at

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._used_at))

    def pending(self, channel: str) -> "asyncio.Future[None] | None":
        """Return what is done when a followed channel is heard; None if it is heard, or not followed."""
        return self._pending.get(channel) if self._pending else None

    def follow(self, channels: Collection[str], *, lasting: bool = False) -> "asyncio.Future[None] | None":
        """Follow channels, or go on with it; return what is done when all of them are heard, None if they are.

        Args:
            channels: to be followed.
            lasting: whether they are followed without clients, too.
        """
        now = self._clock()
        new = [channel for channel in channels if channel not in self._used_at]
        for channel in channels:
            self._used_at[channel] = now
        if lasting:
            self._lasting.update(channels)
        if new:
            self._ask(new)
        waits = {self._pending[channel] for channel in channels if channel in self._pending}
        if len(waits) < 2:  # noqa: PLR2004 - one is waited for as it is
            return next(iter(waits), None)
        together: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        left = len(waits)

        def settle(_: "asyncio.Future[None]") -> None:
            nonlocal left
            left -= 1
            if not left and not together.done():
                together.set_result(None)

        for each in waits:
            each.add_done_callback(settle)
        return together

    def all_heard(self) -> None:
        """Called when the backplane is back: it hears again what was followed, and what was asked for meanwhile."""
        pending, self._pending = self._pending, {}
        for future in set(pending.values()):
            if not future.done():
                future.set_result(None)

    def sweep(self) -> None:
        """Let go of channels that have been of no use for a while."""
        until = self._clock() - self.hold
        idle = [channel for channel, used in self._used_at.items() if used < until and channel not in self._lasting]
        gone: list[str] = []
        for channel in idle:
            if self._in_use(channel):
                self._used_at[channel] = self._clock()
            else:
                del self._used_at[channel]
                self._pending.pop(channel, None)
                gone.append(channel)
        if gone:
            self._backplane.unfollow(gone)
            for channel in gone:
                self._let_go(channel)

    def _ask(self, channels: Collection[str]) -> None:
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for channel in channels:
            self._pending[channel] = heard

        def settle(answer: "asyncio.Future[None]") -> None:
            error = None if answer.cancelled() else answer.exception()
            if error is not None:  # they are heard when the backplane is back
                if not isinstance(error, AwayError):
                    LOG.error("the backplane does not let this node hear what it must: %s", error)
                    self._backplane.reconnect()
                return
            for channel in channels:
                if self._pending.get(channel) is heard:
                    del self._pending[channel]
            if not heard.done():
                heard.set_result(None)

        self._backplane.follow(channels).add_done_callback(settle)
