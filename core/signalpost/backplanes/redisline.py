"""One connection to Redis, once it is there: bytes out once a loop turn, replies in as they come, its end noticed.

Both kinds of connections read by this instead of redis-py's reader, which takes nearly twice the CPU for what is heard,
and half as much again for answers (``tests/bench/redisreader.py``).
"""

import asyncio
from asyncio import StreamWriter
from collections.abc import Callable
from typing import Any

from hiredis import ProtocolError, Reader

from signalpost.backplanes.backplane import AwayError
from signalpost.backplanes.redisaddress import Address

_NOT_YET = object()
_LOOKS = 4  # how often a silence is looked for while it would last
_MOST_UNSENT = 64 * 1024 * 1024  # bytes


class Line(asyncio.Protocol):
    """A connection; subclasses know what its replies belong to.

    Args:
        writer: of redis-py, connected; its transport belongs to this from now on.
        address: of the server.
        silence: seconds without a reply, while some are owed, after which the connection counts as lost.

    Attributes:
        address: see above.
        on_end: called once, with the reason, when the connection is lost or given up.
        why: it has ended; None while it has not.
        garbled: whether what came was not of Redis.
    """

    def __init__(self, writer: StreamWriter, address: Address, silence: float) -> None:
        self.address = address
        self.why: str | None = None
        self.garbled = False
        self._silence = silence
        self.on_end: Callable[[str], None] | None = None
        self._reader = Reader(notEnoughData=_NOT_YET)
        self._outgoing: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._watch = self._loop.call_later(silence / _LOOKS, self._look)
        self._writer = writer  # which would close the transport if it was collected
        self._transport = writer.transport
        self._transport.set_protocol(self)

    @property
    def owed(self) -> int:
        """How many replies are still to come."""
        raise NotImplementedError

    def replied(self, reply: Any) -> None:
        """Called with each reply."""
        raise NotImplementedError

    def abandon(self, error: AwayError) -> None:
        """Called when no reply comes any more."""
        raise NotImplementedError

    def lose(self, why: str) -> None:
        """Give the connection up, or notice that it has ended."""
        if self.why is not None:
            return
        self.why = why
        self._watch.cancel()
        self._outgoing.clear()
        self._transport.abort()
        self.abandon(AwayError(f"{self.address} was lost: {why}"))
        if self.on_end is not None:
            self.on_end(why)

    def write(self, command: bytes) -> None:
        """Send a command at the end of the loop turn."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
            if not self.owed:
                self._heard_at = self._loop.time()
        self._outgoing.append(command)

    def _flush(self) -> None:
        if not self._outgoing:
            return
        self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self.lose("it does not take what it is sent")

    def _look(self) -> None:
        """Notice that replies are owed, and none has come for too long."""
        if self.owed and self._loop.time() - self._heard_at >= self._silence:
            self.lose(f"it has not answered for {self._silence:g} s")
        else:
            self._watch = self._loop.call_later(self._silence / _LOOKS, self._look)

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Called with bytes of the server."""
        self._heard_at = self._loop.time()
        next_reply, replied = self._reader.gets, self.replied
        try:
            self._reader.feed(data)
            while self.why is None and (reply := next_reply()) is not _NOT_YET:
                replied(reply)
        except ProtocolError:
            self.garbled = True
            self.lose("it does not speak the protocol of Redis")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection has ended."""
        self.lose(f"the connection broke ({exc})" if exc else "it closed the connection")
