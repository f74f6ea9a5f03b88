"""The parts of a cluster that each app with a backplane has: its nodes, and who is present on them."""

from collections.abc import Awaitable, Callable, Mapping

from signalpost.cluster.cluster import Cluster
from signalpost.cluster.crowd import Crowd
from signalpost.cluster.peers import Peers
from signalpost.cluster.roster import Roster
from signalpost.plan import Plan


def add_parts(cluster: Cluster, digest: Callable[[Plan], Awaitable[Mapping[str, str]]] | None = None) -> None:
    """Add the roster of nodes, and presence, to a cluster that serves a node.

    Args:
        cluster: of the node.
        digest: see `Roster`.
    """
    peers = Peers()
    cluster.leases.named = peers.name
    crowd = Crowd(cluster, peers.meet)
    roster = Roster(cluster, crowd, peers, digest)
    crowd.unknown = roster.reap_unknown
    cluster.parts += [crowd, roster]  # the crowd leaves before its node does
