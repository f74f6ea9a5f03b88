"""Who has put what into the state: what clients add to it is bounded for each of them, and for each address.

Without that, one client fills the state for all, for ever. What counts for a client is what stands there by its own
messages: what is replaced or taken out, by whomever, counts no more, so nobody's share is used up by coming back to the
same entries. Where a new value holds what was in the old one, as a list does that one more item was added to, that goes
on counting for those who put it there: else a client that fills a list would keep all others from adding to it. What
code of plugins and jobs puts in counts for nobody.

A client that leaves takes nothing with it, and another one may come in its place. So what clients of an address have
put in counts for the address as well, which may fill half of the state; all that come through one proxy have one
address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from signalpost.errors import StateFullError
from signalpost.state.frozen import FrozenDict, FrozenList, entry_weight, freeze, weight_of
from signalpost.units import format_size

_EMPTY = freeze({})


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose message is at work.

    Attributes:
        client: its id; empty for a request, whose client sends one and is gone.
        address: of its machine; of a network for IPv6; empty if there is none (a Unix socket).

    """

    client: str = ""
    address: str = ""


@dataclass(slots=True)
class _Record:
    """What counts for somebody at a key, and below it.

    Attributes:
        holder: for whom most of it counts, as a rule; None if it counts for nobody.
        amount: of bytes.
        others: for whom else how much of the same value counts, who came first standing first.
        below: the records of the entries of the mapping there.

    """

    holder: Holder | None = None
    amount: int = 0
    others: tuple[tuple[Holder, int], ...] = ()
    below: "dict[str, _Record]" = field(default_factory=dict)


class Shares:
    """Keeps account of what clients have put into a state.

    Args:
        share: bytes that may stand there by one client; 0 is no bound.
        limit: of the state; half of it may stand there by clients of one address.

    """

    __slots__ = ("_held", "_root", "limit", "share")

    def __init__(self, share: int, limit: int) -> None:
        self.share = share
        self.limit = limit
        self._root = _Record()
        self._held: dict[str, int] = {}

    def held(self, who: str) -> int:
        """Return the bytes that count for a client or an address."""
        return self._held.get(who, 0)

    def check(self, holder: Holder, path: Sequence[str], made: int, value: Any, old: Any) -> None:
        """See whether a client may put a value at a path.

        Args:
            holder: the client.
            path: of the value.
            made: how many names of the path, the last one included, are not there yet; 0 if the value is replaced.
            value: frozen.
            old: what stands there; None if nothing does.

        Raises:
            StateFullError: it may not.

        """
        if not self.share:
            return
        if made:
            before: Mapping[Holder, int] = {}
            after: Mapping[Holder, int] = {holder: sum(self._amounts(path, made, value))}
        else:
            record = self._find(path)
            before = {} if record is None else _parts(record)
            after = _divided(before, holder, path[-1], old, value)
        for who, kind, most, whose in (
            (holder.client, "client", self.share, "of one client"),
            (holder.address, "address", self.limit // 2, "of all clients of one address"),
        ):
            added = _sum_for(after, kind, who) - _sum_for(before, kind, who)
            if who and added > 0 and self.held(who) + added > most:
                raise StateFullError(
                    f"what messages {whose} have put into the state takes {format_size(most)} at most; "
                    "take something out, or raise it: state: {share: …, limit: …}"
                )

    def note(self, holder: Holder | None, path: Sequence[str], made: int, value: Any, old: Any = None) -> None:
        """Count what was put at a path, where `old` stood; see `check`."""
        if holder is None or not self.share:
            if self._root.below:
                self.forget(path)
            return
        if not made and self._is_noted_again(holder, path, old, value):
            return
        record = self._root
        amounts = self._amounts(path, made, value)
        new = len(path) - len(amounts)
        for index, name in enumerate(path):
            below = record.below.get(name)
            if below is None:
                below = record.below[name] = _Record()
            record = below
            if index >= new:
                parts = {holder: amounts[index - new]}
                if not made:
                    parts = _divided(_parts(record), holder, name, old, value)
                self._settle(record)
                record.below.clear()
                (record.holder, record.amount), *others = parts.items()
                record.others = tuple(others)
                for who, amount in parts.items():
                    self._count(who, amount)

    def _is_noted_again(self, holder: Holder, path: Sequence[str], old: Any, value: Any) -> bool:
        """Count a value whose holder has put another one in its place, as counters do; return whether it is one."""
        record = self._find(path)
        if record is None or record.holder != holder or record.below or record.others:
            return False
        if record.amount < entry_weight(path[-1], old):
            return False
        amount = entry_weight(path[-1], value)
        if amount != record.amount:
            self._count(holder, amount - record.amount)
            record.amount = amount
        return True

    def forget(self, path: Sequence[str]) -> None:
        """Count no more what stood at a path."""
        way = [self._root]
        for name in path:
            record = way[-1].below.get(name)
            if record is None:
                return
            way.append(record)
        self._settle(way[-1])
        way[-1].below.clear()
        way[-1].holder, way[-1].amount, way[-1].others = None, 0, ()
        for index in range(len(path) - 1, -1, -1):
            if way[index + 1].below or way[index + 1].holder is not None:
                return
            del way[index].below[path[index]]

    def _find(self, path: Sequence[str]) -> _Record | None:
        record: _Record | None = self._root
        for name in path:
            record = record.below.get(name) if record is not None else None
        return record

    @staticmethod
    def _amounts(path: Sequence[str], made: int, value: Any) -> list[int]:
        """Return what counts for each of the last names of a path: mappings that are made on the way, and the value."""
        return [*(entry_weight(name, _EMPTY) for name in path[len(path) - made : -1]), entry_weight(path[-1], value)]

    def _settle(self, record: _Record) -> None:
        """Take what counts at a record and below it off those for whom it counts."""
        waiting = [record]
        while waiting:
            each = waiting.pop()
            if each.holder is not None:
                self._count(each.holder, -each.amount)
            for who, amount in each.others:
                self._count(who, -amount)
            waiting += each.below.values()

    def _count(self, holder: Holder, amount: int) -> None:
        for who in (holder.client, holder.address):
            if who:
                held = self._held.get(who, 0) + amount
                if held > 0:
                    self._held[who] = held
                else:
                    self._held.pop(who, None)


def _parts(record: _Record) -> dict[Holder, int]:
    """Return for whom how much counts at a record and below it, who came first standing first."""
    parts: dict[Holder, int] = {}
    waiting = [record]
    while waiting:
        each = waiting.pop()
        if each.holder is not None:
            for who, amount in ((each.holder, each.amount), *each.others):
                parts[who] = parts.get(who, 0) + amount
        waiting += each.below.values()
    return parts


def _divided(before: Mapping[Holder, int], holder: Holder, name: str, old: Any, value: Any) -> dict[Holder, int]:
    """Return for whom how much of a value counts that a holder puts in the place of another one.

    What of the old value is in the new one counts as it did, and the rest for the holder. Of whose part something is
    gone nobody knows: it is taken off those who came first, as a list of the last hundred loses the oldest.

    Args:
        before: for whom how much of the old value counts.
        holder: puts the new one there.
        name: its key.
        old: what stood there.
        value: what is put there.

    """
    amount = entry_weight(name, value)
    all_is_theirs = len(before) == 1 and before.get(holder, 0) >= entry_weight(name, old)
    kept = 0 if all_is_theirs else _kept(name, old, value)
    if not kept:
        return {holder: amount}
    parts = dict(before)
    parts[holder] = parts.get(holder, 0) + amount - kept
    too_much = sum(parts.values()) - amount
    for who in list(parts):
        less = min(parts[who], max(too_much, 0))
        parts[who] -= less
        too_much -= less
    return {who: part for who, part in parts.items() if part} or {holder: 0}


def _kept(name: str, old: Any, value: Any) -> int:
    """Return about how many bytes of an entry are those of its old value: items, entries, a text's beginning or end."""
    if isinstance(old, str) and isinstance(value, str):
        added = weight_of(value) - weight_of(old)
        is_kept = bool(old) and (value.startswith(old) or value.endswith(old))
    elif isinstance(old, FrozenList) and isinstance(value, FrozenList):
        # By identity: what is taken over is the same, and equal values take long to compare.
        known = set(map(id, old))
        new = [weight_of(item) + 1 for item in value if id(item) not in known]
        added, is_kept = sum(new), len(new) < len(value)
    elif isinstance(old, FrozenDict) and isinstance(value, FrozenDict):
        nothing = object()
        new = [entry_weight(key, each) for key, each in value.items() if old.get(key, nothing) is not each]
        added, is_kept = sum(new), len(new) < len(value)
    else:
        return 0
    return min(entry_weight(name, value) - added, entry_weight(name, old)) if is_kept else 0


def value_at(entries: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Return what stands at a path; None if nothing does."""
    found: Any = entries
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _sum_for(parts: Mapping[Holder, int], kind: str, who: str) -> int:
    """Return how much counts for a client or for an address."""
    return sum(part for each, part in parts.items() if getattr(each, kind) == who)
