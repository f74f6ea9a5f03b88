"""Leases: names that one node of all takes for a while (`signalpost.jobs.leases.Leases`)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from signalpost.backplanes.backplane import AwayError, Backplane
from signalpost.jobstatus import Taken

LOG = logging.getLogger("signalpost.cluster")


class BackplaneLeases:
    """Takes names on a backplane.

    Args:
        backplane: that all nodes share.
        owner: this node's tag.
        reachable: waits until the backplane is there; returns whether it is, before the node's patience is over.

    Attributes:
        named: returns what people call the node of a tag.
    """

    def __init__(self, backplane: Backplane, owner: str, reachable: Callable[[], Awaitable[bool]]) -> None:
        self._backplane = backplane
        self._owner = owner
        self._reachable = reachable
        self.named: Callable[[str], str] = str

    async def take(self, name: str, seconds: float) -> Taken | None:
        """See `signalpost.jobs.leases.Leases.take`: who asks again after a lost answer finds its own lease."""
        while await self._reachable():
            try:
                holder = await self._backplane.take(name, self._owner, seconds)
            except AwayError:
                await asyncio.sleep(0)  # the loss is told in this turn
            except Exception as error:  # noqa: BLE001 - it refuses: nobody can tell
                LOG.error("the backplane gives no lease: %s", error)  # noqa: TRY400
                return None
            else:
                ours = holder == self._owner
                return Taken(ours, "" if ours else self.named(holder))
        return None
