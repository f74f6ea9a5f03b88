"""The backplane over Redis 6.2 or later, or Valkey.

There are two connections. One carries commands, all of a loop turn in one write; the other listens. They are made
together, made again together when either is lost, and until then everything that is asked for fails.
"""

import asyncio
import logging
import random
from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from signalpost.backplanes import redisreplies as replies
from signalpost.backplanes.backoff import Backoff
from signalpost.backplanes.backplane import AwayError, Hearing, Keep, Kept, Once, RefusedError, Slice, Top
from signalpost.backplanes.futures import fail
from signalpost.backplanes.redisaddress import read_address
from signalpost.backplanes.rediskeeping import milliseconds
from signalpost.backplanes.rediskeys import Keys, raw
from signalpost.backplanes.redispipeline import Answer
from signalpost.backplanes.redisscripts import END_EPOCH, LEASE, PUT, READ, Script
from signalpost.backplanes.redissession import Session, open_session
from signalpost.history.position import epoch_after

LOG = logging.getLogger(__name__)

SILENCE = 5.0
"""Seconds without an answer after which the connection counts as lost."""

_LAST_WAIT = 1.0  # seconds in which what is under way may be answered when the connection is given up
_LIVE = bytes([replies.LIVE])


class RedisBackplane:
    """One node's connections to a Redis; see `signalpost.backplanes.backplane.Backplane`.

    Args:
        url: of the server: ``redis://[user:password@]host[:port][/database]``, ``rediss://…`` or ``unix:///path?db=0``.
        name: of the app: with it begins everything that it has there.
        silence: see `SILENCE`.
        chance: returns a number from 0 to 1.

    Raises:
        RefusedError: the URL cannot be read.
    """

    def __init__(
        self, url: str, name: str, *, silence: float = SILENCE, chance: Callable[[], float] = random.random
    ) -> None:
        self._address = read_address(url)
        self._name = name
        self._keys = Keys(name, self._address.database)
        self._silence = silence
        self._backoff = Backoff(chance)
        self._followed: set[str] = set()
        self._session: Session | None = None
        self._connected = False
        self._why = "it was not started"
        self._hearing: Hearing
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address} {self._name}>"

    # The connection

    @property
    def connected(self) -> bool:
        """See `Backplane.connected`."""
        return self._connected

    async def start(self, hearing: Hearing) -> None:
        """See `Backplane.start`."""
        self._hearing = hearing
        try:
            await self._connect()
        except AwayError as error:
            self._why = str(error)
            hearing.lost(self._why)
        self._task = asyncio.get_running_loop().create_task(self._stay_connected(), name=repr(self))

    async def stop(self) -> None:
        """See `Backplane.stop`."""
        self._connected, self._why = False, "this node has let go"
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._session is not None:
            await self._session.finish(_LAST_WAIT)

    def reconnect(self) -> None:
        """See `Backplane.reconnect`."""
        if self._connected and self._session is not None:
            self._session.end("this node seems to be deaf")

    async def _connect(self) -> None:
        session = await open_session(
            self._address, self._name, self._silence, self._hearing, self._followed, self._lose
        )
        self._session, self._connected = session, True
        self._backoff.connected()
        self._hearing.connected()
        session.subscription.release()

    def _lose(self, why: str) -> None:
        """Called when a session ends."""
        if self._connected:
            self._connected, self._why = False, why
            self._hearing.lost(f"{self._address}: {why}")

    async def _stay_connected(self) -> None:
        while True:
            if self._session is not None:
                await self._session.ended.wait()
                await self._session.finish(_LAST_WAIT)
                self._session = None
            wait = self._backoff.next()
            await asyncio.sleep(wait)
            try:
                await self._connect()
            except (AwayError, RefusedError) as error:
                self._tell(str(error), wait)
            except Exception:
                LOG.exception("the backplane %s could not be connected, and is tried again", self._address)

    def _tell(self, why: str, wait: float) -> None:
        """Log why the backplane is still away: once for each reason, however often it is tried."""
        level = logging.DEBUG if why == self._why else logging.WARNING
        self._why = why
        LOG.log(level, "the backplane is away: %s; it was tried after %.1f s, and is tried again", why, wait)

    def _call(self, read: Answer, *command: bytes | int) -> Future[Any]:
        """Send a command at the end of the loop turn; return what its reply says."""
        session = self._session
        return session.pipeline.ask(read, *command) if self._connected and session is not None else self._away()

    def _run(self, script: Script, read: Answer, keys: Sequence[bytes], *arguments: bytes | int) -> Future[Any]:
        return self._call(read, b"EVALSHA", script.digest, len(keys), *keys, *arguments)

    def _away(self) -> Future[Any]:
        future: Future[Any] = asyncio.get_running_loop().create_future()
        fail(future, AwayError(f"the backplane is away: {self._why}"))
        return future

    # Live

    def publish(self, channel: str, body: bytes) -> Future[int]:
        """See `Backplane.publish`."""
        return self._call(replies.number, b"PUBLISH", self._keys.channel(channel).published, _LIVE + body)

    def follow(self, channels: Collection[str]) -> Future[None]:
        """See `Backplane.follow`."""
        self._followed.update(channels)
        session = self._session
        return session.subscription.follow(channels) if self._connected and session is not None else self._away()

    def unfollow(self, channels: Collection[str]) -> None:
        """See `Backplane.unfollow`."""
        self._followed.difference_update(channels)
        if self._connected and self._session is not None:
            self._session.subscription.unfollow(channels)

    # Kept

    def keep(  # noqa: PLR0917 - as the protocol has them
        self, channel: str, body: bytes, found: int, publisher: str, number: int, keep: Keep, once: Once | None = None
    ) -> Future[Kept]:
        """See `Backplane.keep`."""
        if not self._connected or self._session is None:
            return self._away()
        return self._session.keeping.keep(channel, body, found, publisher, number, keep, once)

    def read(self, channel: str, after: int | None, most: int) -> Future[Slice]:
        """See `Backplane.read`."""
        return self._run(READ, replies.entries, self._keys.channel(channel)[:2], -1 if after is None else after, most)

    def tops(self, channels: Sequence[str]) -> Future[Sequence[Top]]:
        """See `Backplane.tops`."""
        if not self._connected or self._session is None:
            return self._away()
        commands = [(b"HMGET", self._keys.channel(channel).head, b"e", b"o", b"i") for channel in channels]
        return self._session.pipeline.ask_all(replies.top, commands)

    def end_epoch(self, channel: str, epoch: str, head_seconds: float, known: str = "") -> Future[Top]:
        """See `Backplane.end_epoch`."""
        keys, life = self._keys.channel(channel)[:2], milliseconds(head_seconds)
        return self._run(END_EPOCH, replies.top, keys, raw(epoch), epoch_after(epoch, known).encode(), life)

    # Shared

    def lease(self, name: str, owner: str, seconds: float) -> Future[bool]:
        """See `Backplane.lease`."""
        return self._run(LEASE, replies.yes, (self._keys.lease(name),), raw(owner), milliseconds(seconds))

    def take(self, name: str, owner: str, seconds: float) -> Future[str]:
        """See `Backplane.take`."""
        read = partial(replies.holder, owner)
        return self._run(LEASE, read, (self._keys.lease(name),), raw(owner), milliseconds(seconds))

    def release(self, name: str, owner: str) -> Future[bool]:
        """See `Backplane.release`."""
        return self._run(LEASE, replies.yes, (self._keys.lease(name),), raw(owner), 0)

    def put(self, table: str, fields: Mapping[str, bytes | None], seconds: float | None = None) -> Future[None]:
        """See `Backplane.put`."""
        gone = [raw(name) for name, value in fields.items() if value is None]
        there = [part for name, value in fields.items() if value is not None for part in (raw(name), value)]
        life = 0 if seconds is None else milliseconds(seconds)
        return self._run(PUT, replies.anything, (self._keys.table(table),), life, len(gone), *gone, *there)

    def get(self, table: str) -> Future[Mapping[str, bytes]]:
        """See `Backplane.get`."""
        return self._call(replies.table, b"HGETALL", self._keys.table(table))

    def drop(self, table: str) -> Future[None]:
        """See `Backplane.drop`."""
        return self._call(replies.anything, b"UNLINK", self._keys.table(table))

    def now(self) -> Future[float]:
        """See `Backplane.now`."""
        return self._call(replies.moment, b"TIME")
