"""The end of a server: its clients are sent away at a pace that whoever takes them back can bear."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from signalpost.delivery.client import Client
from signalpost.delivery.hub import Hub
from signalpost.sockets.keepalive import Handle
from signalpost.websocket.frames import CloseCode

LOG = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two batches."""

SHARE = 0.02
"""Part of all clients that a batch closes."""

FEWEST = 100
"""Clients that a batch closes at least: a few need no pacing, and this many handshakes are no load for any server."""

RETURN_RATE = 2_000
"""Clients a second that are asked to come back: a sixth of the handshakes that one process answers."""

RESTART = 0.5
"""Seconds from the last batch until the server may be back, and over which clients are spread at least."""

_PACED = 0.75  # of the time that there is: the rest is for what waits in outboxes, and for the peers' answers
_LAST_WORD = 1.0  # seconds for what ends by force


@dataclass(frozen=True, slots=True)
class Timetable:
    """When which of so many clients is closed, and when it is asked to come back.

    Ten thousand clients in 30 s are closed in 50 batches of 200, within 12.25 s; those of ``signalpost.v1`` are asked
    to come back in the five seconds that begin half a second after the last batch, one in each half millisecond.

    Attributes:
        count: how many clients there are.
        size: how many a batch closes.
        looks: batches that there is time for; what is left at the last one goes then.

    """

    count: int
    size: int
    looks: int

    @classmethod
    def plan(cls, count: int, seconds: float) -> "Timetable":
        """Plan for `count` clients, all of whom must be gone after `seconds`."""
        looks = 1 + int(seconds * _PACED / INTERVAL)
        return cls(count, max(FEWEST, math.ceil(count * SHARE), math.ceil(count / looks)), looks)

    @property
    def batches(self) -> int:
        """How many batches the clients need."""
        return math.ceil(self.count / self.size)

    def retry(self, number: int, batch: int) -> float:
        """Return the seconds after which a client is asked to come back.

        Args:
            number: of the client, from 0, in the order in which they are closed.
            batch: that it is closed with, from 0.

        """
        spread = max(RESTART, self.count / RETURN_RATE)
        wait = (self.batches - 1 - batch) * INTERVAL + RESTART + spread * number / max(self.count, 1)
        return max(wait, RESTART)


class ClientDrain:
    """Closes every client with 1001 (going away), or 1012 (service restart) if it speaks ``signalpost.v1``, in batches.

    What waits for a client is written before its close frame, and it may take until the end to read that. A client
    whose message is being handled is closed once that is done. Nobody may join meanwhile.

    Args:
        hub: whose clients they are.
        seconds: after which all connections have ended, by force if need be.
        busy: gives the clients whose messages are being handled.
        call_later: runs a function after seconds (``loop.call_later``).

    """

    def __init__(
        self,
        hub: Hub,
        seconds: float,
        busy: Callable[[], Collection[Client]],
        call_later: Callable[[float, Callable[[], None]], Handle],
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
        self._timers: list[Handle] = []
        self._when_over: Callable[[], None]

    async def say(self) -> None:
        """Close all clients, and wait until their connections have ended."""
        over = asyncio.Event()
        self.begin(over.set)
        await over.wait()

    def begin(self, when_over: Callable[[], None]) -> None:
        """Close the first batch at once, the others by the clock; call back when all connections have ended."""
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
        """Give up to `size` clients that are still there and not busy."""
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
        """End what has not ended by itself: in order whoever was given everything, the others with a reset."""
        self._cancel_timers()
        self._timers = [self._call_later(_LAST_WORD, self._over)]
        if self._waiting or self._put_off:  # something has held the loop up
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
    """Let handlers finish; cancel those that have not after `seconds`.

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
        LOG.warning("the handler on %s for client %s was cancelled: the server stops", client.path, client.id)
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_LAST_WORD)
