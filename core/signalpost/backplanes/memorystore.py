"""What a server in memory keeps: entries of channels, tables and leases; without loops, nodes or faults."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from signalpost.backplanes.backplane import Item, Keep, Kept, Once, Slice, Top, chained
from signalpost.history.position import NO_ID, epoch_after

NOTHING_KNOWN = Top("", 0, NO_ID)
"""The top of a channel of which nothing is known."""

_MOST_CHANGES = 1_000  # that can be lost by a failover


class _Entry(NamedTuple):
    offset: int
    id: int
    previous: int
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class _Channel:
    """A channel as it is at a moment; what changes it replaces it.

    Attributes:
        top: its newest entry.
        entries: that are kept, oldest first.
        seconds: for which they are kept.
        until: when the channel is forgotten.
        newest: of each publisher its newest number, and what became of it.
    """

    top: Top
    entries: tuple[_Entry, ...] = ()
    seconds: float = 0.0
    until: float = 0.0
    newest: Mapping[str, tuple[int, Kept]] = field(default_factory=dict)


class _Change(NamedTuple):
    """An entry that was appended: the channel as it was before, and by what a repeat is known."""

    channel: str
    before: _Channel | None
    once: str | None


class MemoryStore:
    """Entries, tables and leases.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._channels: dict[str, _Channel] = {}
        self._once: dict[tuple[str, str], tuple[float, Kept]] = {}
        self._tables: dict[str, tuple[float | None, dict[str, bytes]]] = {}
        self._leases: dict[str, tuple[float, str]] = {}
        self._changes: deque[_Change] = deque(maxlen=_MOST_CHANGES)

    # Troubles

    def wipe(self) -> None:
        """Lose everything."""
        for kept in (self._channels, self._once, self._tables, self._leases, self._changes):
            kept.clear()

    def lose_newest(self, entries: int) -> None:
        """Be as before the newest entries, of all channels together."""
        for _ in range(min(entries, len(self._changes))):
            channel, before, once = self._changes.pop()
            if before is None:
                self._channels.pop(channel, None)
            else:
                self._channels[channel] = before
            if once is not None:
                self._once.pop((channel, once), None)

    # Channels

    def keep(  # noqa: PLR0917 - as the protocol has them
        self, channel: str, body: bytes, found: int, publisher: str, number: int, keep: Keep, once: Once | None
    ) -> tuple[Kept, int | None]:
        """See `Backplane.keep`; return also the id of the entry before, and None of a repeat."""
        now = self.clock()
        before = self._known(channel)
        state = before or _Channel(Top(epoch_after(), 0, NO_ID))
        first = self._seen_once(channel, once) or self._seen_number(state, found, publisher, number)
        if first is not None:
            again = first._replace(nodes=0, again=True)
            if number > state.newest.get(publisher, (0, again))[0]:
                state = replace(state, newest={**state.newest, publisher: (number, again)})
                self._channels[channel] = state
            return again, None
        top = Top(state.top.epoch, state.top.offset + 1, chained(state.top.id, found))
        kept = Kept(*top, 0, again=False)
        entry = _Entry(*top[1:], state.top.id, body, now)
        self._channels[channel] = _Channel(
            top,
            (*state.entries, entry)[-keep.entries :],
            keep.seconds,
            now + keep.seconds + keep.head_seconds,
            {**state.newest, publisher: (number, kept)},
        )
        if once is not None:
            self._once[channel, once.key] = (now + once.seconds, kept)
        self._changes.append(_Change(channel, before, once and once.key))
        return kept, entry.previous

    def newest(self, channel: str, publisher: str) -> int:
        """Return the newest number of a publisher on a channel; 0 if none is known."""
        state = self._known(channel)
        return 0 if state is None else state.newest.get(publisher, (0, None))[0]

    def _seen_once(self, channel: str, once: Once | None) -> Kept | None:
        until, kept = (0.0, None) if once is None else self._once.get((channel, once.key), (0.0, None))
        return kept if until > self.clock() else None

    @staticmethod
    def _seen_number(state: _Channel, found: int, publisher: str, number: int) -> Kept | None:
        newest, kept = state.newest.get(publisher, (0, None))
        if kept is None or number > newest:
            return None
        if number == newest:
            return kept
        for entry in reversed(state.entries):
            if entry.id == chained(entry.previous, found):
                return Kept(state.top.epoch, entry.offset, entry.id, 0, again=True)
        return Kept(state.top.epoch, 0, NO_ID, 0, again=True)

    def read(self, channel: str, after: int | None, most: int) -> Slice:
        """See `Backplane.read`."""
        state = self._known(channel)
        if state is None:
            return Slice(NOTHING_KNOWN, NO_ID, ())
        now = self.clock()
        young = [
            entry
            for entry in state.entries
            if entry.at > now - state.seconds and (after is None or entry.offset > after)
        ]
        entries = young[-most:] if most else []
        items = tuple(Item(entry.offset, entry.id, entry.body, max(0.0, now - entry.at)) for entry in entries)
        return Slice(state.top, entries[0].previous if entries else state.top.id, items)

    def top(self, channel: str) -> Top:
        """Return the newest entry of a channel; see `Backplane.tops`."""
        state = self._known(channel)
        return NOTHING_KNOWN if state is None else state.top

    def end_epoch(self, channel: str, epoch: str, head_seconds: float, known: str = "") -> Top:
        """See `Backplane.end_epoch`."""
        state = self._known(channel)
        top = NOTHING_KNOWN if state is None else state.top
        if top.epoch != epoch:
            return top
        begun, now = state or _Channel(top), self.clock()
        top = top._replace(epoch=epoch_after(epoch, known))
        self._channels[channel] = replace(begun, top=top, until=max(begun.until, now + head_seconds))
        return top

    def _known(self, channel: str) -> _Channel | None:
        state = self._channels.get(channel)
        return state if state is not None and state.until > self.clock() else None

    # What is shared

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        """See `Backplane.lease`."""
        if self._owner(name) not in {None, owner}:
            return False
        self._leases[name] = (self.clock() + seconds, owner)
        return True

    def take(self, name: str, owner: str, seconds: float) -> str:
        """See `Backplane.take`."""
        self.lease(name, owner, seconds)
        return self._owner(name) or owner

    def release(self, name: str, owner: str) -> bool:
        """See `Backplane.release`."""
        if self._owner(name) != owner:
            return False
        del self._leases[name]
        return True

    def _owner(self, name: str) -> str | None:
        until, owner = self._leases.get(name, (0.0, None))
        return owner if until > self.clock() else None

    def put(self, table: str, fields: Mapping[str, bytes | None], seconds: float | None) -> None:
        """See `Backplane.put`."""
        kept = {**self.get(table), **fields}
        left = {name: value for name, value in kept.items() if value is not None}
        self._tables[table] = (None if seconds is None else self.clock() + seconds, left)

    def get(self, table: str) -> Mapping[str, bytes]:
        """See `Backplane.get`."""
        until, fields = self._tables.get(table, (None, {}))
        return dict(fields) if until is None or until > self.clock() else {}

    def drop(self, table: str) -> None:
        """See `Backplane.drop`."""
        self._tables.pop(table, None)

    def tops(self, channels: Sequence[str]) -> Sequence[Top]:
        """See `Backplane.tops`."""
        return [self.top(channel) for channel in channels]
