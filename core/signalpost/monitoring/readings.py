"""What the monitor reads: everything is looked at when somebody asks, and costs nothing in between."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from signalpost.monitoring.occurrences import Occurrences
from signalpost.monitoring.pulse import Pulse
from signalpost.node import Node


class BackplaneState(Protocol):
    """How a node stands with its backplane: a `signalpost.cluster.cluster.Cluster`."""

    @property
    def here(self) -> bool:
        """Whether the backplane is there."""

    @property
    def seconds(self) -> float:
        """How long the last beat took through the backplane and back."""

    @property
    def missed(self) -> int:
        """Values that this node knows to have missed."""

    @property
    def healed(self) -> int:
        """How many holes in what is kept this node has filled."""

    @property
    def waiting(self) -> int:
        """Bytes that wait until the backplane has taken them."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Where the numbers of a server are.

    Attributes:
        node: its clients, and what is counted of its signals.
        occurrences: counts what seldom happens.
        pulse: measures how late the loop is.
        backplane: None if the node is alone.
        stopping: returns whether the server stops.
    """

    node: Node
    occurrences: Occurrences
    pulse: Pulse
    backplane: BackplaneState | None
    stopping: Callable[[], bool]

    def unready(self) -> Sequence[str]:
        """Return why the server should have no clients now; nothing if it should."""
        reasons = []
        if self.stopping():
            reasons.append("the server stops")
        if self.backplane is not None and not self.backplane.here:
            reasons.append("the backplane is away")
        authority = self.node.generation.authority
        if authority is not None and not authority.ready:
            reasons.append("the keys of tokens have not come yet")
        return reasons
