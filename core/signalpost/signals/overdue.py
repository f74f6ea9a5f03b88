"""Slow handlers of signals: hung ones are logged, and those of disconnected clients are cancelled."""

import asyncio
import logging
from dataclasses import dataclass

from signalpost.delivery.client import Client
from signalpost.delivery.target import ClientId
from signalpost.foreign import named_code
from signalpost.logsubject import about
from signalpost.signals.rule import SignalRule

logger = logging.getLogger("signalpost.signals")

LONGEST_ABSENCE = 60.0
"""Seconds that handlers of a disconnected client may take."""

HUNG = 60.0
"""Seconds after which a running handler is logged."""


@dataclass(slots=True, eq=False)
class Handling:
    """A message that is being handled.

    Attributes:
        scope: cancels it.
        since: when it started, by the loop's clock.
        is_told: whether it has been logged.
    """

    scope: asyncio.Timeout
    client: Client
    rule: SignalRule
    since: float
    is_told: bool = False

    def __str__(self) -> str:
        return f"{named_code(self.rule.code, self.rule.owner)} on {self.client.path} for client {self.client.named}"


class Deadline:
    """The time left for the messages of a disconnected client; `is_over` is set when no more of them are handled."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


class Overdue:
    """The messages of all clients that are being handled; checked periodically while there are any."""

    def __init__(self) -> None:
        self._all: set[Handling] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, scope: asyncio.Timeout, client: Client, rule: SignalRule) -> Handling:
        """Add a message that is being handled."""
        loop = asyncio.get_running_loop()
        handling = Handling(scope, client, rule, loop.time())
        self._all.add(handling)
        if self._timer is None:
            self._timer = loop.call_later(HUNG, self._look, loop)
        return handling

    def end(self, handling: Handling) -> None:
        """Remove it when it is done."""
        self._all.discard(handling)

    def stop(self) -> None:
        """Stop checking."""
        if self._timer is not None:
            self._timer.cancel()

    def leave(self, client: ClientId) -> "Deadline":
        """Start the time limit for the messages of a disconnected client; after it, cancel what is under way."""
        deadline = Deadline()
        # Only this is kept meanwhile: what belongs to a connection is freed when its last message has been handled.
        asyncio.get_running_loop().call_later(LONGEST_ABSENCE, self._end_all, client, deadline)
        return deadline

    def _end_all(self, client: ClientId, deadline: "Deadline") -> None:
        deadline.is_over = True
        now = asyncio.get_running_loop().time()
        for handling in [each for each in self._all if each.client.id == client]:
            if not handling.scope.expired():
                handling.is_told = True
                gone = about(handling.client)
                logger.warning("%s was cancelled: the client went %g s ago", handling, LONGEST_ABSENCE, extra=gone)
                handling.scope.reschedule(now)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for handling in self._all:
            if not handling.is_told and now - handling.since >= HUNG:
                handling.is_told = True
                logger.warning(
                    "%s has been at work for %.0f s; its place is taken",
                    handling,
                    now - handling.since,
                    extra=about(handling.client),
                )
        self._timer = loop.call_later(HUNG / 4, self._look, loop) if self._all else None
