"""The nodes of the app as programs read them, from the table of nodes."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from signalpost.backplanes.backplane import AwayError
from signalpost.cluster.cluster import Cluster
from signalpost.cluster.nodetable import NODES, read_nodes, read_record
from signalpost.errors import UnavailableError


async def census(cluster: Cluster) -> Sequence[Mapping[str, Any]]:
    """Return all nodes that the backplane knows; see the operation ``info``.

    Raises:
        UnavailableError: the backplane cannot be reached.
    """
    backplane = cluster.backplane
    try:
        table, now = await asyncio.gather(backplane.get(NODES), backplane.now())
    except AwayError as error:
        raise UnavailableError(f"the backplane, which knows the nodes, cannot be reached: {error}") from None
    records = {tag: read_record(record) for tag, record in sorted(read_nodes(table).records.items())}
    return [
        {
            "node": tag,
            "host": each.host,
            "process": each.process,
            "version": each.version,
            "started": each.started,
            "clients": each.clients,
            "plan": dict(each.plan),
            "silent": max(0.0, now - each.at),
        }
        for tag, each in records.items()
    ]
