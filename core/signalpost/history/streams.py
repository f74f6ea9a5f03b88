"""All streams of a node, within one limit of memory."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from signalpost.config.model import HistoryConfig
from signalpost.history.position import Position, id_of
from signalpost.history.stream import Entry, Stream
from signalpost.paths import Place

HEAD_SECONDS = 86_400.0
"""Seconds for which the offset and the last id of a stream outlive its entries, at least."""

SWEEP_SECONDS = 10.0
"""Seconds between two steps of the sweep, which removes what is too old."""

PLACES = 4_096
"""Places of which is remembered what the plan says."""

SWEPT_AT_ONCE = 1_000
"""Streams that one step of the sweep looks at."""

_new = tuple.__new__
_ROOM = 64  # when the limit is reached, this part of it is freed, so that it is not reached again at once


class Streams:
    """Keeps the values that are sent to paths with a history.

    Args:
        clock: returns monotonic seconds.
        limit: bytes that all streams may take.

    Attributes:
        limit: see above.
        size: bytes that all streams take.
        moved: streams that have changed since they were last written to a file; None if there is no file.
        gone: places of streams that were removed meanwhile.
    """

    __slots__ = (
        "_clock",
        "_config_of",
        "_generation",
        "_node",
        "_number",
        "_streams",
        "_stuck",
        "_swept",
        "_unread",
        "gone",
        "limit",
        "moved",
        "size",
    )

    def __init__(self, clock: Callable[[], float], limit: int) -> None:
        self._clock = clock
        self.limit = limit
        self.size = 0
        self.moved: dict[Stream, None] | None = None
        self.gone: dict[Place, None] = {}
        self._node = secrets.randbits(64)
        self._number = 0
        self._streams: dict[Place, Stream] = {}
        self._unread: OrderedDict[Place, Stream] = OrderedDict()  # without clients; used longest ago first
        self._swept: Iterator[Stream] = iter(())
        self._generation = 0
        self._stuck = False  # what is known of paths with clients alone is more than the limit
        self._config_of: Callable[[Place], HistoryConfig | None]

    def __len__(self) -> int:
        """Return how many streams there are."""
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams.values())

    @property
    def entries(self) -> int:
        """How many values are kept."""
        return sum(map(len, self._streams.values()))

    def configure(self, config_of: Callable[[Place], HistoryConfig | None], limit: int) -> None:
        """Keep what another plan says from now on.

        A stream is changed when it is used next, or swept: there may be very many.

        Args:
            config_of: returns how much is kept of what is sent to a place; None is nothing.
            limit: see the attribute.
        """
        self._config_of = lru_cache(PLACES)(config_of)
        self._generation += 1
        self.limit = limit
        self._stuck = False
        self._make_room()

    def config_of(self, place: Place) -> HistoryConfig | None:
        """Return how much is kept of what is sent to a place; None is nothing."""
        return self._config_of(place)

    def clear(self) -> None:
        """Remove all streams: what is sent from now on is not kept."""
        for stream in tuple(self._streams.values()):
            self._remove(stream)

    # Streams

    def stream(self, place: Place) -> Stream | None:
        """Return the stream of a place, which begins now if there is none; None if the place has no history."""
        stream = self._streams.get(place)
        if stream is not None and stream.generation == self._generation:
            return stream
        return self._opened(place) if stream is None else self._renewed(stream)

    def find(self, place: Place) -> Stream | None:
        """Return the stream of a place; None if it has no history, or nothing was ever sent there."""
        stream = self._streams.get(place)
        if stream is None or stream.generation == self._generation:
            return stream
        return self._renewed(stream)

    def follow(self, place: Place) -> Stream | None:
        """Return the stream of a place for one more client there; see `stream`."""
        stream = self.stream(place)
        if stream is not None:
            stream.readers += 1
            self._unread.pop(place, None)
        return stream

    def unfollow(self, stream: Stream) -> None:
        """Note that a client that followed the stream has gone."""
        stream.readers -= 1
        stream.used_at = self._clock()
        if not stream.readers and self._streams.get(stream.place) is stream:
            self._unread[stream.place] = stream
            self._stuck = False
            self._make_room()

    def _opened(self, place: Place) -> Stream | None:
        config = self._config_of(place)
        if config is None:
            return None
        stream = Stream(place, config)
        stream.used_at = self._clock()
        self._add(stream)
        if self.moved is not None:
            self.moved[stream] = None
        self._make_room(stream)
        return stream

    def _add(self, stream: Stream) -> None:
        stream.generation = self._generation
        self._streams[stream.place] = self._unread[stream.place] = stream
        self.size += stream.size
        self.gone.pop(stream.place, None)

    def _renewed(self, stream: Stream) -> Stream | None:
        """Apply the current plan to a stream; return None if it has no history any more."""
        config = self._config_of(stream.place)
        if config is None:
            self._remove(stream)
            return None
        stream.generation = self._generation
        stream.config = config
        self._resize(stream, stream.trim())
        return stream

    def _remove(self, stream: Stream) -> None:
        del self._streams[stream.place]
        self._unread.pop(stream.place, None)
        self.size -= stream.size
        stream.break_off()  # clients may still have it
        if self.moved is not None:
            self.moved.pop(stream, None)
            self.gone[stream.place] = None

    def _resize(self, stream: Stream, change: int) -> None:
        if change:
            self.size += change
            if self.moved is not None:
                self.moved[stream] = None

    # Values

    def append(self, stream: Stream, data: bytes, is_text: bool, left_out: str | None) -> Position:
        """Keep a value, and return its position.

        Args:
            stream: of the place that it is sent to.
            data: as plain clients read it.
            is_text: whether the value is a text.
            left_out: the session that does not receive it; None leaves nobody out.
        """
        self._number += 1
        found = id_of(self._node, self._number)
        # As a named tuple makes itself, without the call of its own: this is done for each value.
        self.size += stream.append(_new(Entry, (data, is_text, left_out, found, self._clock())))
        position = _new(Position, (stream.epoch, stream.top, found))
        if not stream.readers:
            self._unread.move_to_end(stream.place)
        if self.moved is not None:
            self.moved[stream] = None
        if self.size > self.limit:
            self._make_room(stream)
        return position

    def adopt(self, stream: Stream, entry: Entry) -> Position:
        """Add a value that has its id from another node; return its position."""
        self.size += stream.append(entry)
        if self.size > self.limit:
            self._make_room(stream)
        return stream.at

    def restart(self, stream: Stream, position: Position, before: int, entries: list[Entry]) -> None:
        """Let a stream be what is known of it elsewhere.

        Args:
            stream: of the place.
            position: behind its newest value.
            before: the id of the value before the oldest entry.
            entries: oldest first; the last one is that of `position`.
        """
        while len(stream):
            self.size += stream.remove_oldest()
        size = stream.size
        stream.restore(position, before, entries)
        self.size += stream.size - size
        self._resize(stream, stream.trim())
        if self.size > self.limit:
            self._make_room(stream)

    def expire(self, stream: Stream) -> None:
        """Remove the entries of a stream that are too old."""
        self._resize(stream, stream.expire(self._clock()))

    def restore(self, streams: Iterable[Stream]) -> None:
        """Continue streams that were written to a file, the one that was used longest ago first."""
        for stream in streams:
            stream.trim()
            stream.expire(self._clock())
            self._add(stream)
        self._make_room()

    # Memory

    def sweep(self) -> None:
        """Remove what is too old from some of the streams; called every `SWEEP_SECONDS`."""
        now = self._clock()
        for _ in range(SWEPT_AT_ONCE):
            stream = next(self._swept, None)
            if stream is None:
                self._swept = iter(tuple(self._streams.values()))
                return
            if self._streams.get(stream.place) is not stream or self.find(stream.place) is None:
                continue
            self._resize(stream, stream.expire(now))
            rests = max(HEAD_SECONDS, stream.config.seconds)
            if not stream.readers and not len(stream) and now - stream.used_at > rests:
                self._remove(stream)

    def _make_room(self, current: Stream | None = None) -> None:
        """Reduce the size to the limit, and a little more.

        First go the values of paths without clients, then what is known of them, then the oldest values of the largest
        paths.

        Args:
            current: a stream that is in use, and is not removed as a whole.
        """
        if self.size <= self.limit:
            return
        most = self.limit - self.limit // _ROOM
        if not self._forget_unread(current, most):
            if self._stuck and current is not None:
                self._empty(current, most)
            else:
                self._level(most)
        self._stuck = self.size > most

    def _forget_unread(self, current: Stream | None, most: int) -> bool:
        """Remove what is kept of paths without clients; return whether the size is at most this by then."""
        for stream in tuple(self._unread.values()):
            self._empty(stream, most)
            if self.size <= most:
                return True
        for stream in tuple(self._unread.values()):
            if stream is not current:
                self._remove(stream)
            if self.size <= most:
                return True
        return False

    def _empty(self, stream: Stream, most: int) -> None:
        while self.size > most and len(stream):
            self._resize(stream, stream.remove_oldest())

    def _level(self, most: int) -> None:
        """Remove the oldest values of the largest streams until the size is at most this: they become equally large."""
        largest = sorted(self._streams.values(), key=_size_of, reverse=True)
        excess, together, level = self.size - most, 0, 0
        for number, stream in enumerate(largest, 1):
            together += stream.size
            following = largest[number].size if number < len(largest) else 0
            if together - number * following >= excess:
                level = (together - excess) // number
                break
        for stream in largest:
            if stream.size <= level:
                return
            while stream.size > level and len(stream):
                self._resize(stream, stream.remove_oldest())


def _size_of(stream: Stream) -> int:
    return stream.size
