"""Reaping: what a dead node has left behind on the backplane is removed, by one of those that are left."""

from collections.abc import Sequence
from itertools import islice

from signalpost.backplanes.backplane import Backplane
from signalpost.cluster.channels import read_place
from signalpost.cluster.crowdtables import fields_of, table_of_node, table_of_place
from signalpost.cluster.nodetable import ALL, BEGUN, NODES

LEASE = 10.0
"""Seconds for which one node alone cleans up. If it dies as well, the next one begins again: nothing is done twice."""

_AT_ONCE = 100  # tables that are asked for together
_BATCH = 1_000  # fields that are removed at once


async def reap(backplane: Backplane, tag: str, record: bytes | None, owner: str) -> bool:
    """Remove what a dead node has left behind; return whether this was done.

    The marks of the node go last. If it lives after all, and enters what it has meanwhile, it misses them then, and
    enters all once more.

    Args:
        backplane: with the tables.
        tag: of the dead node.
        record: of it, None if it has none; with another one, it lives.
        owner: the tag of this node.

    Raises:
        AwayError: the backplane is away.
        RefusedError: it does not take that.
    """
    name = f"reap:{tag}"
    if not await backplane.lease(name, owner, LEASE):
        return False
    try:
        if (await backplane.get(NODES)).get(tag) != record:
            return False
        places = iter(await backplane.get(table_of_node(tag)))
        while some := list(islice(places, _AT_ONCE)):
            await _remove(backplane, tag, [table_of_place(read_place(text)) for text in some])
        await backplane.drop(table_of_node(tag))
        await backplane.put(NODES, {tag: None, tag + BEGUN: None, tag + ALL: None})
    finally:
        backplane.release(name, owner)
    return True


async def _remove(backplane: Backplane, tag: str, tables: Sequence[str]) -> None:
    asked = [backplane.get(table) for table in tables]
    for table, answer in zip(tables, asked, strict=True):
        fields = fields_of(tag, await answer)
        for begin in range(0, len(fields), _BATCH):
            await backplane.put(table, dict.fromkeys(fields[begin : begin + _BATCH]))
