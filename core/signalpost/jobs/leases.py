"""By which nodes agree on the one that runs a job: each takes a lease on the moment that is due, and one gets it.

Each node comes to a moment by its own clock, so the node with the fastest clock gets there first, and all others find
the lease taken when they come. A lease lives for `LEASE` seconds: as long as clocks may differ (`SKEW`), and a node may
be late to a moment besides (`LATE`), because its loop is busy, its machine was suspended, or the backplane was away. So
whoever comes while its clock keeps to that finds the lease there. A node that is later than `LATE` does not run: it
cannot know whether another one has.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from signalpost.jobstatus import Taken

LOG = logging.getLogger(__name__)

SKEW = 60.0
"""Seconds by which the clocks of two nodes may differ."""

LATE = 60.0
"""Seconds after a moment in which a node may still run it."""

LEASE = SKEW + LATE + 1.0
"""Seconds for which the lease of a moment lives: the last one is for what clocks round."""


class Leases(Protocol):
    """Names that nodes take, each for some time."""

    async def take(self, name: str, seconds: float) -> Taken | None:
        """Take a name for this node.

        It raises nothing. While the backplane is away it waits, as long as the node is patient.

        Args:
            name: the same on all nodes.
            seconds: for which it is taken.

        Returns:
            Who has it by now; None: the backplane is away, so nobody can tell.
        """


class Claims:
    """Claims runs for this node.

    Args:
        leases: of all nodes.
        wall: returns the time of day, in UTC.
    """

    def __init__(self, leases: Leases, wall: Callable[[], datetime]) -> None:
        self._leases = leases
        self._wall = wall
        self._left_out = 0  # runs since the backplane is away

    async def run(self, name: str, shown: str, due: datetime) -> Taken | None:
        """Claim the run of a job at a moment.

        Args:
            name: of the job.
            shown: the job, for the log.
            due: the moment.

        Returns:
            Who has it. None: nobody can tell, which is logged.
        """
        if self._is_late(shown, due):
            return None
        taken = await self._take(f"job:{name}:{due.astimezone(UTC).isoformat()}", LEASE, shown)
        if taken is not None and taken.ours and self._is_late(shown, due):
            return None  # it waited so long that an earlier lease may be over
        return taken

    async def first_run(self, name: str, shown: str) -> Taken | None:
        """Claim the run of a job at the start, which has no moment that other nodes know; see `run`."""
        return await self._take(f"job:{name}:start", SKEW, shown)

    async def _take(self, name: str, seconds: float, shown: str) -> Taken | None:
        taken = await self._leases.take(name, seconds)
        if taken is None:
            if not self._left_out:
                LOG.warning("%s: left out, as the backplane is away; so are all jobs on: one until it is back", shown)
            self._left_out += 1
        elif self._left_out:
            LOG.info("jobs on: one go on, as the backplane is back; %d runs were left out", self._left_out)
            self._left_out = 0
        return taken

    def _is_late(self, shown: str, due: datetime) -> bool:
        late = self._wall() - due
        if late <= timedelta(seconds=LATE):
            return False
        LOG.warning(
            "%s: left out the run of %s, %d s late: another node may have run it", shown, due, late.total_seconds()
        )
        return True
