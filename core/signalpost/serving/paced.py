"""A connection that is held to a rate."""

import asyncio
from collections.abc import Iterable

from signalpost.config.model import LimitsConfig
from signalpost.delivery.frames import Opcode
from signalpost.delivery.reader import FrameReader, Received
from signalpost.plugins.running import RunningPlugins
from signalpost.serving.connection import RATE, Connection
from signalpost.serving.keepalive import Keepalive
from signalpost.serving.rate import Bucket

_PING = int(Opcode.PING)
_BINARY = int(Opcode.BINARY)

SHORTEST_PAUSE = 0.02
"""Seconds that a client which sends too fast is not read from at least: a timer for each message would be dearer."""

UNREACHED = 1e12
"""Messages a second that no client can send."""

LONGEST_PAUSE = 1.0
"""Seconds after which it is looked at again: it may have been closed meanwhile, and its answer must be read."""


class PacedConnection(Connection):
    """Takes messages and pings only as fast as a client may send them; beyond that it is paused.

    Args:
        bucket: the client's own.
        loop: wakes it after a pause; while there is none, no timer runs.

    """

    __slots__ = ("_bucket", "_loop", "_waking")

    def __init__(
        self,
        transport: asyncio.Transport,
        plugins: RunningPlugins,
        keepalive: Keepalive,
        reader: FrameReader,
        *,
        bucket: Bucket,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(transport, plugins, keepalive, reader)
        self._bucket = bucket
        self._loop = loop
        self._waking: asyncio.TimerHandle | None = None

    @classmethod
    def instead_of(cls, connection: Connection, rate: float) -> "PacedConnection":
        """Take the place of a connection that is held to no rate, whatever it is at."""
        loop = asyncio.get_running_loop()
        paced = cls(*connection.parts, bucket=Bucket(rate, loop.time), loop=loop)
        connection.give_way(paced)
        return paced

    def hold_to(self, limits: LimitsConfig) -> None:
        """See `Connection.hold_to`; without a rate it goes on as if with one that nobody reaches."""
        self._bucket.allow(limits.rate or UNREACHED)
        super().hold_to(limits)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client, and its pause."""
        if self._waking is not None:
            self._waking.cancel()
        super().connection_lost(exc)

    def _take(self, received: Iterable[Received]) -> None:
        bucket, client = self._bucket, self._client
        bucket.fill()
        self._incoming = incoming = iter(received)
        for frame in incoming:
            opcode, payload = frame
            if not client.closing and (opcode <= _BINARY or opcode == _PING) and not bucket.take():
                self._pause(RATE)
                if self._held is not None:
                    self._held.appendleft(frame)
                self._wake_later()
            elif opcode > _BINARY:
                self._control(opcode, payload)
            elif not client.closing:
                self._session.receive(opcode, payload)

    def _wake_later(self) -> None:
        pause = min(max(self._bucket.wait, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._waking = self._loop.call_later(pause, self._wake)

    def _wake(self) -> None:
        self._bucket.fill()
        if self._client.closing or not self._bucket.wait:
            self._waking = None
            self._resume(RATE)
        else:
            self._wake_later()
