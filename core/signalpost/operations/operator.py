"""The operator: what operations are done with."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from signalpost import __version__
from signalpost.node import Node
from signalpost.operations.onces import Onces
from signalpost.plan import Plan
from signalpost.plan.fingerprint import fingerprint

NodesOf = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
"""Returns the nodes of the app, each as the operation ``info`` has them; may raise `UnavailableError`."""

_ALONE = "alone"
"""The name of a node without others."""


class Operator:
    """A node, and what operations on it need besides.

    Args:
        node: that they are done on.
        tag: of the node among others; empty for a single one.
        nodes: returns all nodes; None if there is no other.
        clock: returns monotonic seconds.

    Attributes:
        node: see above.
        tag: its name.
        onces: what was published with ``once``.
    """

    def __init__(
        self, node: Node, tag: str = "", nodes: NodesOf | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.node = node
        self.tag = tag or _ALONE
        self.onces = Onces(clock)
        self._nodes = nodes
        self._started = time.time()
        self._digested: tuple[Plan, Mapping[str, str]] | None = None

    async def info(self) -> Mapping[str, Any]:
        """Return which nodes there are.

        Raises:
            UnavailableError: the backplane cannot be reached.
        """
        nodes = [await self._alone()] if self._nodes is None else await self._nodes()
        plans = [each["plan"] for each in nodes if each["plan"]]
        return {"node": self.tag, "nodes": list(nodes), "same_plan": all(plan == plans[0] for plan in plans)}

    async def _alone(self) -> Mapping[str, Any]:
        return {
            "node": self.tag,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "version": __version__,
            "started": self._started,
            "clients": len(self.node.hub.clients),
            "plan": await self._digests(),
        }

    async def _digests(self) -> Mapping[str, str]:
        """Return the digests of the plan; they are made once for each, in a thread."""
        plan = self.node.generation.plan
        if self._digested is None or self._digested[0] is not plan:
            self._digested = (plan, await asyncio.to_thread(fingerprint, plan))
        return self._digested[1]
