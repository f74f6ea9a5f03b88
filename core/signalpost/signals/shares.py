"""Who has put what into the state: what clients add to it is bounded for each of them, and for each address.

Without that, one client fills the state for all, for ever. What counts for a client is what stands there by its own
messages: what is replaced or taken out, by whomever, counts no more, so nobody's share is used up by coming back to the
same entries. What code of plugins and jobs puts in counts for nobody.

A client that leaves takes nothing with it, and another one may come in its place. So what clients of an address have
put in counts for the address as well, which may fill half of the state; all that come through one proxy have one
address.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from signalpost.config.units import format_size
from signalpost.errors import StateFullError
from signalpost.signals.frozen import entry_weight, freeze

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
    """What counts for somebody at a key, and below it."""

    holder: Holder | None = None
    amount: int = 0
    below: "dict[str, _Record]" = field(default_factory=dict)


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Return what one machine has: its address; of IPv6 the network of 64 bits, whose addresses are all its own."""
    if ":" not in address:
        return address
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else found
    return found.packed[:8].hex(":", 2) if mapped is None else str(mapped)


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

    def check(self, holder: Holder, path: Sequence[str], made: int, value: Any) -> None:
        """See whether a client may put a value at a path.

        Args:
            holder: the client.
            path: of the value.
            made: how many names of the path, the last one included, are not there yet; 0 if the value is replaced.
            value: frozen.

        Raises:
            StateFullError: it may not.

        """
        if not self.share:
            return
        record = self._find(path)
        amount = entry_weight(path[-1], value) if made <= 1 else sum(self._amounts(path, made, value))
        if record is not None and record.holder == holder and amount <= record.amount:
            return
        was = record.holder if record is not None else None
        for who, before, most, whose in (
            (holder.client, was.client if was else "", self.share, "of one client"),
            (holder.address, was.address if was else "", self.limit // 2, "of all clients of one address"),
        ):
            added = amount - (record.amount if record is not None and who == before else 0)
            if who and added > 0 and self.held(who) + added > most:
                raise StateFullError(
                    f"what messages {whose} have put into the state takes {format_size(most)} at most; "
                    "take something out, or raise it: state: {share: …, limit: …}"
                )

    def note(self, holder: Holder | None, path: Sequence[str], made: int, value: Any) -> None:
        """Count what was put at a path; what stood there counts no more. See `check`."""
        if holder is None or not self.share:
            if self._root.below:
                self.forget(path)
            return
        if not made and self._is_noted_again(holder, path, value):
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
                self._settle(record)
                record.below.clear()
                record.holder, record.amount = holder, amounts[index - new]
                self._count(holder, record.amount)

    def _is_noted_again(self, holder: Holder, path: Sequence[str], value: Any) -> bool:
        """Count a value whose holder has put another one in its place, as counters do; tell whether it is one."""
        record = self._find(path)
        if record is None or record.holder != holder or record.below:
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
        way[-1].holder, way[-1].amount = None, 0
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
            waiting += each.below.values()

    def _count(self, holder: Holder, amount: int) -> None:
        for who in (holder.client, holder.address):
            if who:
                held = self._held.get(who, 0) + amount
                if held > 0:
                    self._held[who] = held
                else:
                    self._held.pop(who, None)
