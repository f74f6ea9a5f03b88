"""Shares of the state: what clients add to it is limited for each client, and for each address.

Without that, one client could fill the state for all, forever. A client is charged for what its own messages have
stored. What is replaced or removed, by any client, is not charged any more, so writing the same entries again does not
use up a share. If a new value contains parts of the old one, as a list with one more item does, those parts stay
charged to the clients that stored them: else a client that fills a list would prevent all others from adding to it.
What plugins and jobs store is charged to no client.

What a client has stored remains when it disconnects, and another one may connect in its place. So what clients of an
address have stored is charged to the address as well, which may fill half of the state; all clients behind one proxy
have one address.
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
    """The client whose message is being handled.

    Attributes:
        client: its id; empty for a request, whose client has no id.
        address: of its machine; of a network for IPv6; empty if there is none (a Unix socket).
    """

    client: str = ""
    address: str = ""


@dataclass(slots=True)
class _Record:
    """What is charged at a key, and below it.

    Attributes:
        holder: charged with most of it, as a rule; None if it is charged to no client.
        amount: of bytes charged to the holder.
        others: bytes of the same value charged to others, in order of arrival.
        below: the records of the entries of the mapping there.
    """

    holder: Holder | None = None
    amount: int = 0
    others: tuple[tuple[Holder, int], ...] = ()
    below: "dict[str, _Record]" = field(default_factory=dict)


class Shares:
    """Counts what clients have stored in a state.

    Args:
        share: bytes that one client may store; 0 is no limit.
        limit: of the state; clients of one address may store half of it.
    """

    __slots__ = ("_held", "_root", "limit", "share")

    def __init__(self, share: int, limit: int) -> None:
        self.share = share
        self.limit = limit
        self._root = _Record()
        self._held: dict[str, int] = {}

    def held(self, who: str) -> int:
        """Return the bytes charged to a client or an address."""
        return self._held.get(who, 0)

    def check(self, holder: Holder, path: Sequence[str], made: int, value: Any, old: Any) -> None:
        """Check whether a client may store a value at a path.

        Args:
            holder: the client.
            path: of the value.
            made: how many names of the path, including the last, do not exist yet; 0 if the value is replaced.
            value: frozen.
            old: the present value; None if there is none.

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
        """Charge a value stored at a path, where `old` was before; see `check`."""
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
        """Charge a value whose holder replaces its own earlier one, as counters do; return whether it is one."""
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
        """Release what was charged for the value at a path."""
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
        """Return the charge for each of the last names of a path: mappings created on the way, and the value."""
        return [*(entry_weight(name, _EMPTY) for name in path[len(path) - made : -1]), entry_weight(path[-1], value)]

    def _settle(self, record: _Record) -> None:
        """Release what is charged at a record and below it."""
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
    """Return who is charged how much at a record and below it, in order of arrival."""
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
    """Return who is charged how much for a value that a holder stores in place of another one.

    Parts of the old value in the new one stay charged as before, the rest is charged to the holder. It is unknown whose
    parts were removed: they are released for those who came first, as a list of the last hundred loses the oldest.

    Args:
        before: who is charged how much for the old value.
        holder: stores the new one.
        name: its key.
        old: the old value.
        value: the new value.
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
    """Return about how many bytes of an entry come from its old value: items, entries, a text's beginning or end."""
    if isinstance(old, str) and isinstance(value, str):
        added = weight_of(value) - weight_of(old)
        is_kept = bool(old) and (value.startswith(old) or value.endswith(old))
    elif isinstance(old, FrozenList) and isinstance(value, FrozenList):
        # By identity: retained parts are the same objects, and comparing equal values takes long.
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
    """Return the value at a path; None if there is none."""
    found: Any = entries
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _sum_for(parts: Mapping[Holder, int], kind: str, who: str) -> int:
    """Return how much is charged to a client or to an address."""
    return sum(part for each, part in parts.items() if getattr(each, kind) == who)
