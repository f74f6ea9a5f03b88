"""The table of nodes, as it stands on the backplane; see `signalpost.cluster.roster`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import orjson

NODES = "nodes"
"""The name of the table."""

BEGUN = " begun"
"""Behind a tag: the node has begun to enter what it has."""

ALL = " all"
"""Behind a tag: the node has entered all that it has; with each time another number."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What a node says of itself, for people and for other nodes.

    Attributes:
        node: 64 bits; see `signalpost.cluster.origin.Origin`.
        host: name of its machine.
        process: its id there.
        version: of signalpost.
        plan: digests of its plan (`signalpost.plan.fingerprint`); empty until they are made.
        started: seconds since 1970 by its own clock, for people alone.
        clients: how many are connected.
        beat: counts its records.
        at: when it was written, by the backplane's clock.
    """

    node: int = 0
    host: str = ""
    process: int = 0
    version: str = ""
    plan: Mapping[str, str] = field(default_factory=dict)
    started: float = 0.0
    clients: int = 0
    beat: int = 0
    at: float = 0.0


class Nodes(NamedTuple):
    """The table of nodes.

    Attributes:
        records: by tag.
        entered: by tag, of those that have entered all that they have, which time it was.
        stray: tags with a mark and no record: the table was emptied while they entered what they have.
    """

    records: Mapping[str, bytes]
    entered: Mapping[str, bytes]
    stray: Collection[str] = ()


def read_nodes(table: Mapping[str, bytes]) -> Nodes:
    """Return what the table says."""
    records = {tag: record for tag, record in table.items() if not tag.endswith((BEGUN, ALL))}
    entered = {tag: table[tag + ALL] for tag in records if tag + BEGUN in table and tag + ALL in table}
    marked = {mark.removesuffix(BEGUN).removesuffix(ALL) for mark in table.keys() - records.keys()}
    return Nodes(records, entered, marked - records.keys())


_KEYS = frozenset(each.name for each in fields(NodeRecord))


def read_record(record: bytes) -> NodeRecord:
    """Return a record; of one that another version has written, what this one knows."""
    return NodeRecord(**{key: value for key, value in orjson.loads(record).items() if key in _KEYS})
