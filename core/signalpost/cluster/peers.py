"""Peers: the other nodes, and for how long each has said nothing. It has no clock and no backplane."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from signalpost.cluster.nodetable import read_record
from signalpost.cluster.part import LOOK

LIFE = 10.0
"""Seconds for which a node may say nothing; at the last look within them it counts as dead."""

_REMEMBERED = 60.0  # seconds for which a node is known that is not there: something of it may be under way


@dataclass(slots=True)
class _Peer:
    """Another node.

    Attributes:
        record: as it was read last; None if something else was heard of it.
        entered: which time it had entered all that it has, when the table was read last; None if it had not.
        there: whether it is neither dead nor gone.
        gone: whether it has stopped in order: it never comes back, though a record of it may be under way.
        silent: seconds for which the record has not changed.
    """

    record: bytes | None = None
    entered: bytes | None = None
    there: bool = True
    gone: bool = False
    silent: float = 0.0


class Found(NamedTuple):
    """What has changed among the peers.

    Attributes:
        dead: tags of those that have died.
        entered: whether one has entered all that it has anew, or is back.
    """

    dead: list[str]
    entered: bool


class Peers:
    """The other nodes, by their tags."""

    __slots__ = ("_peers",)

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    def meet(self, tag: str) -> bool:
        """Return whether a node is there of which something was heard; of an unknown one it is believed for a while."""
        return self._peers.setdefault(tag, _Peer()).there

    def begin_anew(self) -> None:
        """Called when this node could not read the table for a while: nobody is older for that."""
        for peer in self._peers.values():
            if peer.there:
                peer.silent = 0.0

    def see(self, records: Mapping[str, bytes], entered: Mapping[str, bytes], passed: float) -> Found:
        """Note what the table of nodes says.

        Args:
            records: of the other nodes, by tag.
            entered: see `signalpost.cluster.nodetable.Nodes`.
            passed: seconds since the table was read before; 0 the first time.
        """
        back = False
        for tag, record in records.items():
            peer = self._peers.get(tag)
            last = entered.get(tag)
            if peer is None:
                self._peers[tag] = _Peer(record, last)
                continue
            if peer.record is None:
                peer.record, peer.entered = record, last
            if record == peer.record or peer.gone:
                peer.silent += passed
            else:  # perhaps just after it was read before
                back |= not peer.there and last is not None
                peer.record, peer.silent, peer.there = record, passed, True
            back |= peer.there and last not in {None, peer.entered}
            peer.entered = last
        for tag in self._peers.keys() - records.keys():
            peer = self._peers[tag]
            peer.silent += passed
            peer.entered = None
            if not peer.there and peer.silent > _REMEMBERED:
                del self._peers[tag]
        dead = [tag for tag, peer in self._peers.items() if peer.there and peer.silent + LOOK >= LIFE]
        for tag in dead:
            self._peers[tag].there = False
        return Found(dead, back)

    def left_behind(self, records: Mapping[str, bytes]) -> list[str]:
        """Return the tags of nodes that are not there, and whose records are still the last ones."""
        return [
            tag
            for tag, record in records.items()
            if (peer := self._peers[tag]).record == record and not peer.there and peer.silent + LOOK >= LIFE
        ]

    def remove(self, tag: str, *, for_good: bool) -> bool:
        """Note that a node is not there; return whether it was, as far as this one knew.

        Args:
            tag: of it.
            for_good: whether it has stopped in order; else it may come back.
        """
        peer = self._peers.setdefault(tag, _Peer())
        was, peer.there = peer.there, False
        peer.gone |= for_good
        return was

    def number(self, tag: str) -> int | None:
        """Return the 64 bits of a node, if its record was read."""
        record = self._peers[tag].record
        return None if record is None else read_record(record).node

    def name(self, tag: str) -> str:
        """Return what people call a node."""
        peer = self._peers.get(tag)
        record = None if peer is None else peer.record
        if record is None:
            return tag
        read = read_record(record)
        return f"{tag} (process {read.process} on {read.host})"
