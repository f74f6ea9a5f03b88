"""Keeping entries, and that none of a publisher overtakes another.

Redis takes a number up to a publisher's newest one for a repeat. That is right as long as the numbers of a channel come
in their order. They are sent so, but one may fail where the next does not: when memory runs out for a moment, or a
replica becomes the master between the two. So each call names the number before it that is still under way, and is not
done if that one was not.
"""

import asyncio
from asyncio import Future
from functools import lru_cache
from typing import Any

from signalpost.backplanes.backplane import AwayError, Keep, Kept, Once, RefusedError
from signalpost.backplanes.futures import fail, succeed
from signalpost.backplanes.rediskeys import Keys, raw
from signalpost.backplanes.redispipeline import Call, Pipeline
from signalpost.backplanes.redisreplies import kept
from signalpost.backplanes.redisscripts import KEEP
from signalpost.history.position import epoch_after


class _Row:
    """The calls of one publisher on one channel that are under way.

    Attributes:
        newest: the number of the last one.
        left: how many there are.
        error: what the last one that was answered ended with.
    """

    __slots__ = ("error", "left", "newest")

    def __init__(self) -> None:
        self.newest = self.left = 0
        self.error: AwayError | RefusedError | None = None


class Keeping:
    """Keeps entries through a pipeline.

    Args:
        pipeline: a connection.
        keys: names what is kept.
    """

    def __init__(self, pipeline: Pipeline, keys: Keys) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._rows: dict[tuple[str, str], _Row] = {}

    def keep(  # noqa: PLR0917 - as the protocol has them
        self, channel: str, body: bytes, found: int, publisher: str, number: int, keep: Keep, once: Once | None
    ) -> Future[Kept]:
        """See `Backplane.keep`."""
        names = self._keys.channel(channel)
        row = self._rows.setdefault((channel, publisher), _Row())
        keys = (names.head, names.entries) + (() if once is None else (self._keys.once(channel, once.key),))
        future: Future[Kept] = asyncio.get_running_loop().create_future()
        self._pipeline.send(
            _KeepCall(future, self, (channel, publisher), row),
            b"EVALSHA",
            KEEP.digest,
            len(keys),
            *keys,
            body,
            found,
            raw(publisher),
            number,
            row.newest if row.left else 0,
            epoch_after().encode(),
            keep.entries,
            milliseconds(keep.seconds),
            milliseconds(keep.head_seconds),
            names.published,
            0 if once is None else milliseconds(once.seconds),
        )
        row.newest = number
        row.left += 1
        return future

    def ended(self, key: tuple[str, str], row: _Row, error: AwayError | RefusedError | None) -> None:
        """Called when a call is answered, or is no longer under way."""
        row.error = error
        row.left -= 1
        if not row.left and self._rows.get(key) is row:
            del self._rows[key]


class _KeepCall(Call):
    """A call of a row: it ends as the one before it, if that one was not done."""

    __slots__ = ("_keeping", "_key", "_row")

    def __init__(self, future: Future[Kept], keeping: Keeping, key: tuple[str, str], row: _Row) -> None:
        super().__init__(future, kept)
        self._keeping = keeping
        self._key = key
        self._row = row

    def answered(self, reply: Any) -> None:
        """See `Call.answered`."""
        if reply is None:
            raise self._row.error or AwayError("what was sent before this was not done, or is forgotten")
        value = self._read(reply)
        self._keeping.ended(self._key, self._row, None)
        succeed(self.future, value)

    def failed(self, error: AwayError | RefusedError) -> None:
        """See `Call.failed`."""
        self._keeping.ended(self._key, self._row, error)
        fail(self.future, error)


@lru_cache(maxsize=1024)  # an app has few lifetimes, and names two with each value
def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, at least one: for Redis, none would be no lifetime."""
    return max(1, round(seconds * 1000))
