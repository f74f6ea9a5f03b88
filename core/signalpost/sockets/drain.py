"""The end of a server: its clients are closed in batches, at a rate at which they can reconnect elsewhere."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.logsubject import about
from signalpost.websocket.frames import CloseCode

LOG = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two batches."""

SHARE = 0.02
"""Share of all clients that a batch closes."""

FEWEST = 100
"""Clients that a batch closes at least: a few need no pacing, and this many handshakes are no load for any server."""

RETURN_RATE = 2_000
"""Clients per second that are asked to reconnect: a sixth of the handshakes that one process answers."""

RESTART = 0.5
"""Seconds from the last batch until the server may be back; clients are also spread over at least this time."""

_PACED = 0.75  # of the available time: the rest is for what waits in outboxes, and for the peers' close frames
_LAST_WORD = 1.0  # seconds for what is ended by force


@dataclass(frozen=True, slots=True)
class Timetable:
    """When each of a number of clients is closed, and when it is asked to reconnect.

    Ten thousand clients in 30 s are closed in 50 batches of 200, within 12.25 s; those of ``signalpost.v1`` are asked
    to reconnect in the five seconds that begin half a second after the last batch, one in each half millisecond.

    Attributes:
        count: of clients.
        size: of a batch.
        looks: batches that there is time for; the last one closes all remaining clients.
    """

    count: int
    size: int
    looks: int

    @classmethod
    def plan(cls, count: int, seconds: float) -> "Timetable":
        """Plan the batches for `count` clients, all of which must be gone after `seconds`."""
        looks = 1 + int(seconds * _PACED / INTERVAL)
        return cls(count, max(FEWEST, math.ceil(count * SHARE), math.ceil(count / looks)), looks)

    @property
    def batches(self) -> int:
        """Number of batches that the clients need."""
        return math.ceil(self.count / self.size)

    def retry(self, number: int, batch: int) -> float:
        """Return the seconds after which a client is asked to reconnect.

        Args:
            number: of the client, from 0, in the order of closing.
            batch: that closes it, from 0.
        """
        spread = max(RESTART, self.count / RETURN_RATE)
        wait = (self.batches - 1 - batch) * INTERVAL + RESTART + spread * number / max(self.count, 1)
        return max(wait, RESTART)


class ClientDrain:
    """Closes every client with 1001 (going away), or 1012 (service restart) if it speaks ``signalpost.v1``, in batches.

    What waits for a client is written before its close frame; the client has until the end to read it. A client whose
    message is being handled is closed when that is done. No client may connect meanwhile.

    Args:
        hub: of the clients.
        seconds: after which all connections have ended, by force if necessary.
        busy: returns the clients whose messages are being handled.
        call_later: runs a function after seconds (``loop.call_later``).
    """

    def __init__(
        self,
        hub: Hub,
        seconds: float,
        busy: Callable[[], Collection[Client]],
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self._hub = hub
        self._seconds = seconds
        self._busy = busy
        self._call_later = call_later
        self._timetable = Timetable.plan(len(hub.clients), seconds)
        self._waiting = deque(hub.clients.values())
        self._put_off: list[Client] = []
        self._closed = 0
        self._look = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._when_over: Callable[[], None]

    async def say(self) -> None:
        """Close all clients, and wait until their connections have ended."""
        over = asyncio.Event()
        self.begin(over.set)
        await over.wait()

    def begin(self, when_over: Callable[[], None]) -> None:
        """Close the first batch at once and the others by a timer; call back when all connections have ended."""
        self._when_over = when_over
        self._timers = [self._call_later(self._seconds, self._end)]
        if self._waiting:
            LOG.info("closing %d clients, %d at a time", self._timetable.count, self._timetable.size)
        self._close_batch()

    def _close_batch(self) -> None:
        last = self._look >= self._timetable.looks - 1
        busy = () if last else frozenset(self._busy())
        for client in list(self._batch(busy, math.inf if last else self._timetable.size)):
            self._close(client)
        self._look += 1
        if self._waiting or self._put_off:
            self._timers.append(self._call_later(INTERVAL, self._close_batch))
        else:
            self._hub.when_closed(self._over)

    def _batch(self, busy: Collection[Client], size: float) -> Iterator[Client]:
        """Return up to `size` clients that are still connected and not busy."""
        self._waiting.extendleft(reversed(self._put_off))
        self._put_off = []
        while self._waiting and size > 0:
            client = self._waiting.popleft()
            if client in busy:
                self._put_off.append(client)
            elif not client.closing:
                size -= 1
                yield client

    def _close(self, client: Client) -> None:
        retry_ms = round(self._timetable.retry(self._closed, self._look) * 1000)
        client.send_away(CloseCode.RESTART, "the server restarts", retry_ms)
        self._closed += 1

    def _end(self) -> None:
        """Close what has not ended by itself: normally if the client received everything, else with a reset."""
        self._cancel_timers()
        self._timers = [self._call_later(_LAST_WORD, self._over)]
        if self._waiting or self._put_off:  # something has blocked the event loop
            self._look = self._timetable.looks - 1
            self._close_batch()
        for client in tuple(self._hub.closing):
            client.dismiss()
            if client.waiting:
                client.drop(client.encoding.codec.close_code(CloseCode.RESTART))
            else:
                client.finish()

    def _over(self) -> None:
        if self._timers:  # else it was over before
            self._cancel_timers()
            self._when_over()

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []


async def finish_handlers(running: Mapping[asyncio.Task[None], Client], seconds: float) -> None:
    """Wait for handlers; cancel those that are not done after `seconds`.

    Args:
        running: their tasks, with the clients whose messages they handle.
        seconds: from now.
    """
    clients = dict(running)
    if not clients:
        return
    _, late = await asyncio.wait(clients, timeout=seconds)
    for task in late:
        client = clients[task]
        LOG.warning(
            "the handler on %s for client %s was cancelled: the server stops",
            client.path,
            client.named,
            extra=about(client),
        )
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_LAST_WORD)
