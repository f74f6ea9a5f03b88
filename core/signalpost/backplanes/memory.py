"""A backplane in memory: nodes of one process share a server, whose troubles a test makes as it likes.

Everything happens in the loop, and in order. What a node asks for in a loop turn is done at its end, and what comes of
it arrives in the turn after: answers and bodies, in the order in which they arose. A node that follows a channel hears
its own body before the answer about it, unless `MemoryBackplane.deafen` holds it back.
"""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from signalpost.backplanes.backplane import AwayError, Hearing, Keep, Kept, Once, RefusedError, Slice, Top
from signalpost.backplanes.futures import fail, succeed
from signalpost.backplanes.memoryserver import MemoryServer

__all__ = ["MemoryBackplane", "MemoryServer"]

_LAST_WAIT = 1.0  # seconds in which what was asked for before a stop may be answered


class _Call(NamedTuple):
    run: Callable[[], Any]
    future: Future[Any]


class _Answer(NamedTuple):
    future: Future[Any]
    value: Any


class _Row:
    """The calls of one publisher on one channel that are under way: none is done if the one before it was not."""

    __slots__ = ("left", "newest")

    def __init__(self) -> None:
        self.newest = self.left = 0

    def answered(self, _: Future[Any]) -> None:
        """Called when one of them is answered."""
        self.left -= 1


_Arrival = _Answer | Callable[[Hearing], None]


class MemoryBackplane:
    """One node's connection to a server; see `signalpost.backplanes.backplane.Backplane`.

    Args:
        server: shared with other nodes.

    Attributes:
        heard: the channels whose bodies come here now.
    """

    def __init__(self, server: MemoryServer) -> None:
        self.heard: set[str] = set()
        self._server = server
        self._store = server.store
        self._hearing: Hearing | None = None
        self._followed: set[str] = set()
        self._connected = self._is_cut = self._stalled = self._deaf = False
        self._to_drop = 0
        self._rows: dict[tuple[str, str], _Row] = {}
        self._calls: deque[_Call] = deque()  # that are not done yet
        self._arrivals: deque[_Arrival] = deque()
        self._held: deque[_Arrival] = deque()  # bodies, while it is deaf

    # Faults

    def cut(self, done: int | None = None) -> None:
        """Lose this connection, until `heal`; `done` is as of `MemoryServer.cut`."""
        self._is_cut = True
        self.lose("the connection is cut", done)

    def heal(self) -> None:
        """Connect again, if the server is there."""
        self._is_cut = False
        self.connect_soon()

    def stall(self) -> None:
        """Let nothing through in either direction, until `resume`."""
        self._stalled = True

    def deafen(self) -> None:
        """Hold back what is published, until `resume` or a new connection; calls are answered."""
        self._deaf = True

    def resume(self) -> None:
        """Go on where `stall` or `deafen` stopped."""
        self._stalled = self._deaf = False
        self._arrivals.extend(self._held)
        self._held.clear()
        self.go_on()

    def drop_next(self, bodies: int = 1) -> None:
        """Lose the next bodies that are published on a channel that is followed here."""
        self._to_drop += bodies

    # What the server tells it

    def bring(self, hear: Callable[[Hearing], None]) -> None:
        """Called with a body for this node."""
        if self._to_drop:
            self._to_drop -= 1
        elif self._deaf:
            self._held.append(hear)
        else:
            self._arrive_soon(hear)

    def lose(self, why: str, done: int | None) -> None:
        """Called when the connection ends; `done` is as of `MemoryServer.cut`."""
        if not self._connected:
            return
        futures, calls = self._unanswered(), list(self._calls)
        self._calls.clear()
        for call in calls[:done]:
            self._do(call)
        self._disconnect()
        for future in futures:
            fail(future, AwayError(why))
        self._tell_lost(why)

    def connect_soon(self) -> None:
        """Called when the server is there again."""
        asyncio.get_running_loop().call_soon(self._connect)

    def go_on(self) -> None:
        """Called when the server goes on."""
        loop = asyncio.get_running_loop()
        loop.call_soon(self._do_calls)
        loop.call_soon(self._arrive)

    # The connection

    @property
    def connected(self) -> bool:
        """See `Backplane.connected`."""
        return self._connected

    async def start(self, hearing: Hearing) -> None:
        """See `Backplane.start`."""
        if self._server.refusal is not None:
            raise RefusedError(self._server.refusal)
        self._hearing = hearing
        self._server.connections.append(self)
        self._connect()
        if not self._connected:
            self._tell_lost("the server is down")

    async def stop(self) -> None:
        """See `Backplane.stop`."""
        futures = self._unanswered()
        if futures:
            await asyncio.wait(futures, timeout=_LAST_WAIT)
        self._hearing = None
        self.lose("this node has let go", 0)
        if self in self._server.connections:
            self._server.connections.remove(self)

    def reconnect(self) -> None:
        """See `Backplane.reconnect`."""
        if not self._connected:
            return
        answers = [arrival for arrival in self._arrivals if isinstance(arrival, _Answer)]
        self._disconnect()
        self._arrivals.extend(answers)
        self._tell_lost("this node seems to be deaf")
        self.connect_soon()

    def _connect(self) -> None:
        if self._connected or self._server.down or self._is_cut or self._hearing is None:
            return
        self._connected = True
        self.heard = set(self._followed)
        self._hearing.connected()

    def _unanswered(self) -> list[Future[Any]]:
        answers = [arrival.future for arrival in self._arrivals if isinstance(arrival, _Answer)]
        return answers + [call.future for call in self._calls]

    def _disconnect(self) -> None:
        self._connected = self._stalled = self._deaf = False
        self.heard = set()
        self._rows = {}
        self._arrivals.clear()
        self._held.clear()

    def _tell_lost(self, why: str) -> None:
        if self._hearing is not None:
            self._hearing.lost(why)

    # Calls and what arrives

    def _call(self, run: Callable[[], Any]) -> Future[Any]:
        """Do something at the end of the loop turn; return its answer."""
        loop = asyncio.get_running_loop()
        future: Future[Any] = loop.create_future()
        if not self._connected:
            fail(future, AwayError("the backplane is away"))
            return future
        if not self._calls:
            loop.call_soon(self._do_calls)
        self._calls.append(_Call(run, future))
        return future

    def _do_calls(self) -> None:
        while self._calls and not self._stands_still:
            call = self._calls.popleft()
            self._arrive_soon(_Answer(call.future, self._do(call)))

    def _do(self, call: _Call) -> Any:
        """Return what a call returns, or the error that it ends with."""
        return call.run() if self._server.refusal is None else RefusedError(self._server.refusal)

    def _arrive_soon(self, arrival: _Arrival) -> None:
        if not self._arrivals:
            asyncio.get_running_loop().call_soon(self._arrive)
        self._arrivals.append(arrival)

    def _arrive(self) -> None:
        while self._arrivals and not self._stands_still:
            arrival = self._arrivals.popleft()
            if not isinstance(arrival, _Answer):
                if self._hearing is not None:
                    arrival(self._hearing)
            elif isinstance(arrival.value, Exception):
                fail(arrival.future, arrival.value)
                if isinstance(arrival.value, AwayError):
                    self.lose(str(arrival.value), 0)
                    self.connect_soon()
            else:
                succeed(arrival.future, arrival.value)

    @property
    def _stands_still(self) -> bool:
        return self._stalled or self._server.stalled

    # Live

    def publish(self, channel: str, body: bytes) -> Future[int]:
        """See `Backplane.publish`."""
        return self._call(lambda: self._server.publish(channel, lambda hearing: hearing.heard(channel, body)))

    def follow(self, channels: Collection[str]) -> Future[None]:
        """See `Backplane.follow`."""
        more = set(channels)
        self._followed |= more
        return self._call(lambda: self.heard.update(more))

    def unfollow(self, channels: Collection[str]) -> None:
        """See `Backplane.unfollow`."""
        fewer = set(channels)
        self._followed -= fewer
        self._call(lambda: self.heard.difference_update(fewer))

    # Kept

    def keep(  # noqa: PLR0917 - as the protocol has them
        self, channel: str, body: bytes, found: int, publisher: str, number: int, keep: Keep, once: Once | None = None
    ) -> Future[Kept]:
        """See `Backplane.keep`."""
        row = self._rows.setdefault((channel, publisher), _Row())
        earlier = row.newest if row.left else 0
        row.newest = number
        row.left += 1

        def run() -> Kept | AwayError:
            if self._store.newest(channel, publisher) < earlier:
                return AwayError("what was sent before this was not done, or is forgotten")
            kept, previous = self._store.keep(channel, body, found, publisher, number, keep, once)
            if previous is None:
                return kept
            top = Top(kept.epoch, kept.offset, kept.id)
            nodes = self._server.publish(channel, lambda hearing: hearing.heard_kept(channel, top, previous, body))
            return kept._replace(nodes=nodes)

        future = self._call(run)
        future.add_done_callback(row.answered)
        return future

    def read(self, channel: str, after: int | None, most: int) -> Future[Slice]:
        """See `Backplane.read`."""
        return self._call(partial(self._store.read, channel, after, most))

    def tops(self, channels: Sequence[str]) -> Future[Sequence[Top]]:
        """See `Backplane.tops`."""
        return self._call(partial(self._store.tops, tuple(channels)))

    def end_epoch(self, channel: str, epoch: str, head_seconds: float, known: str = "") -> Future[Top]:
        """See `Backplane.end_epoch`."""
        return self._call(partial(self._store.end_epoch, channel, epoch, head_seconds, known))

    # Shared

    def lease(self, name: str, owner: str, seconds: float) -> Future[bool]:
        """See `Backplane.lease`."""
        return self._call(partial(self._store.lease, name, owner, seconds))

    def take(self, name: str, owner: str, seconds: float) -> Future[str]:
        """See `Backplane.take`."""
        return self._call(partial(self._store.take, name, owner, seconds))

    def release(self, name: str, owner: str) -> Future[bool]:
        """See `Backplane.release`."""
        return self._call(partial(self._store.release, name, owner))

    def put(self, table: str, fields: Mapping[str, bytes | None], seconds: float | None = None) -> Future[None]:
        """See `Backplane.put`."""
        return self._call(partial(self._store.put, table, dict(fields), seconds))

    def get(self, table: str) -> Future[Mapping[str, bytes]]:
        """See `Backplane.get`."""
        return self._call(partial(self._store.get, table))

    def drop(self, table: str) -> Future[None]:
        """See `Backplane.drop`."""
        return self._call(partial(self._store.drop, table))

    def now(self) -> Future[float]:
        """See `Backplane.now`."""
        return self._call(self._store.clock)
