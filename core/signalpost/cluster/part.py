"""Parts of a cluster, and the notes by which the parts of several nodes tell each other something."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from signalpost.backplanes.backplane import Backplane
from signalpost.cluster.origin import Origin
from signalpost.cluster.parcels import Parcels
from signalpost.paths import Place

LOOK = 1.0
"""Seconds between two looks at what is to be done again."""


class Note(NamedTuple):
    """A note of a node.

    Attributes:
        node: 64 bits of whoever wrote it; perhaps this node.
        channel: that brought it.
        value: of its kind.
    """

    node: int
    channel: str
    value: Any


class Teller(Protocol):
    """What a part needs of its node's cluster: a `signalpost.cluster.cluster.Cluster`, which documents each."""

    origin: Origin
    backplane: Backplane
    parcels: Parcels
    notes: dict[str, Callable[[Note], None]]

    def tell(self, channel: str, kind: str, value: Any) -> None: ...  # noqa: D102 - see above


class Part(Protocol):
    """A part of the cluster that has something of its own on the backplane: presence, moderation, nodes."""

    def backplane_here(self) -> None:
        """Called when the backplane is there (again): what was told meanwhile was not heard."""

    def missed(self, channel: str) -> None:
        """Called when a note was missed on a channel."""

    def opened(self, place: Place) -> "asyncio.Future[None] | None":
        """Called for a client of a place that is followed already; return what it waits for, None for nothing."""

    def let_go(self, channel: str) -> None:
        """Called when a channel is not followed any more."""

    def look(self) -> None:
        """Called every second."""

    async def stop(self) -> None:
        """Called when this node stops, while the backplane is still there."""
