"""A stream: what is sent to one path as a whole, in one order, of which the newest values are kept."""

from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from signalpost.config.model import HistoryConfig
from signalpost.history.position import NO_ID, Position, new_epoch
from signalpost.paths import Place

ENTRY = 200
"""Bytes that an entry counts for besides its value."""

STREAM = 800
"""Bytes that a stream counts for besides its entries, even without any."""


class Entry(NamedTuple):
    """A value that was kept.

    Attributes:
        data: as plain clients read it: the text, or compact JSON.
        is_text: whether the value is a text, so that `data` is not JSON.
        left_out: the session that does not receive it; None leaves nobody out.
        id: see `signalpost.history.position`.
        kept_at: when, in monotonic seconds.
    """

    data: bytes
    is_text: bool
    left_out: str | None
    id: int
    kept_at: float

    @property
    def value(self) -> Any:
        """The value: a text, or what the JSON says."""
        return self.data.decode() if self.is_text else orjson.loads(self.data)


class Why(StrEnum):
    """Why values between a position and the present cannot be had."""

    LOST = "lost"
    SLOW = "slow"
    TOO_OLD = "too-old"


class Stream:
    """The values that were sent to one path, newest last.

    Each value is chained to the one before: an offset alone is no proof that two timelines agree.

    Args:
        place: whose clients it is sent to.
        config: how much is kept.

    Attributes:
        epoch: changes when the values before are unknown.
        top: the offset of the newest value; 0 before the first.
        last: the id of that value.
        before: the id of the value before the oldest entry.
        size: bytes that it counts for.
        readers: how many clients are on the path.
        sent: the offset of the newest value that was given to the clients of the path.
        used_at: when a value was kept last, or a reader left, in monotonic seconds.
        written: the offset of the newest value that is in the file.
        generation: the plan that `config` is from.
    """

    __slots__ = (
        "_entries",
        "before",
        "config",
        "epoch",
        "generation",
        "last",
        "place",
        "readers",
        "sent",
        "size",
        "top",
        "used_at",
        "written",
    )

    def __init__(self, place: Place, config: HistoryConfig) -> None:
        self.place = place
        self.config = config
        self.epoch = new_epoch()
        self.top = self.sent = self.written = 0
        self.last = self.before = NO_ID
        self.size = STREAM + len(str(place))
        self.readers = 0
        self.used_at = 0.0
        self.generation = 0
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        """Return how many entries are kept."""
        return len(self._entries)

    @property
    def first(self) -> int:
        """The offset of the oldest entry; without entries, of the next one."""
        return self.top - len(self._entries) + 1

    @property
    def at(self) -> Position:
        """The position behind the newest value."""
        return Position(self.epoch, self.top, self.last)

    def append(self, entry: Entry) -> int:
        """Add a value, and remove what is too much or too old; return by how many bytes the size has changed."""
        entries, config, size = self._entries, self.config, self.size + ENTRY + len(entry.data)
        entries.append(entry)
        self.top += 1
        self.last = entry.id
        self.used_at = now = entry.kept_at
        until = now - config.seconds
        while len(entries) > config.keep or entries[0].kept_at < until:
            oldest = entries.popleft()
            self.before = oldest.id
            size -= ENTRY + len(oldest.data)
        change, self.size = size - self.size, size
        return change

    def expire(self, now: float) -> int:
        """Remove the entries that are too old; return by how many bytes the size has changed."""
        change, until = 0, now - self.config.seconds
        while self._entries and self._entries[0].kept_at < until:
            change += self.remove_oldest()
        return change

    def trim(self) -> int:
        """Remove the entries that are too many; return by how many bytes the size has changed."""
        change = 0
        while len(self._entries) > self.config.keep:
            change += self.remove_oldest()
        return change

    def remove_oldest(self) -> int:
        """Remove the oldest entry, of which there is one; return by how many bytes the size has changed."""
        oldest = self._entries.popleft()
        self.before = oldest.id
        change = -(ENTRY + len(oldest.data))
        self.size += change
        return change

    def restore(self, position: Position, before: int, entries: list[Entry]) -> None:
        """Continue a stream that was written to a file.

        Args:
            position: behind its newest value.
            before: see the attribute.
            entries: oldest first; the last one is that of `position`.
        """
        self.epoch, self.top, self.last = position
        self.sent = self.top
        self.before = before if entries else self.last
        self._entries = deque(entries)
        self.size += sum(ENTRY + len(entry.data) for entry in entries)

    def break_off(self) -> None:
        """Begin a new epoch: what clients know of the old one is not certain any more."""
        self.epoch = new_epoch()

    def entry(self, offset: int) -> Entry | None:
        """Return the entry at an offset; None if it is not kept any more, or not yet."""
        return self._entries[offset - self.first] if self.first <= offset <= self.top else None

    def after(self, offset: int) -> Iterator[tuple[int, Entry]]:
        """Yield the entries behind an offset, oldest first, each with its own offset."""
        entries, first = self._entries, self.first
        # By index: from its nearer end a deque finds 64 entries in a step.
        return ((number, entries[number - first]) for number in range(max(offset + 1, first), self.top + 1))

    def doubt(self, position: Position) -> Why | None:
        """Return why a position is not believed, or what is behind it cannot be had; None if it is good.

        A position is believed if the entry there has its id, if the next entry names it as the one before, or if it is
        that of the newest value: the rule of log matching (Ongaro and Ousterhout, Raft, section 5.3).
        """
        epoch, offset, found = position
        if epoch != self.epoch or offset > self.top:
            return Why.LOST
        if offset == self.top:
            return None if found == self.last else Why.LOST
        if offset < self.first - 1:
            return Why.TOO_OLD
        entry = self.entry(offset)
        return None if found == (self.before if entry is None else entry.id) else Why.LOST

    def position(self, offset: int) -> Position:
        """Return the position behind a kept offset, or behind the one before the oldest entry."""
        entry = self.entry(offset)
        return Position(self.epoch, offset, self.before if entry is None else entry.id)
