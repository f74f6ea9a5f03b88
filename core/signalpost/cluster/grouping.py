"""Groups among nodes: what puts clients into a group reaches those of all nodes. It is told, and over."""

from collections.abc import Sequence

from signalpost.cluster.channels import channel_of, tag_of
from signalpost.cluster.moderation import read_target, written_target
from signalpost.cluster.part import Note, Teller
from signalpost.delivery.target import Target
from signalpost.signals.grouping import Grouping


class SharedGrouping:
    """Lets clients of all nodes join and leave groups.

    Args:
        cluster: of this node.
        grouping: of this node.
    """

    def __init__(self, cluster: Teller, grouping: Grouping) -> None:
        self._cluster = cluster
        self._grouping = grouping
        grouping.elsewhere = self
        cluster.notes["regroup"] = self._heard

    def regroup(self, targets: Sequence[Target], group: str, *, joins: bool) -> None:
        """See `signalpost.signals.grouping.Elsewhere.regroup`."""
        for target in targets:
            if target.client is None or tag_of(target.client) not in {"", self._cluster.origin.tag}:
                said = {"whom": written_target(target), "group": group, "joins": joins}
                self._cluster.tell(channel_of(target), "regroup", said)

    def _heard(self, note: Note) -> None:
        """Called with what a node does."""
        if note.node != self._cluster.origin.node:
            said = note.value
            self._grouping.regroup_here((read_target(said["whom"]),), said["group"], joins=said["joins"])
