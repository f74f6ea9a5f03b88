"""From what routes.yaml says of a backplane to the cluster of a server."""

from signalpost.backplanes.backplane import Backplane
from signalpost.cluster.cluster import Cluster
from signalpost.config.backplanemodel import BackplaneConfig, Lost

PATIENCE = 5.0
"""Seconds of patience with a backplane that a program supplies, where the file says nothing of one."""


def open_backplane(config: BackplaneConfig) -> Backplane:
    """Return the backplane that a file names; it is not connected yet. Loads redis-py."""
    from signalpost.backplanes.redis import RedisBackplane  # only who has one needs the package

    return RedisBackplane(config.url, config.name)


def cluster_of(config: BackplaneConfig | None, supplied: Backplane | None) -> Cluster | None:
    """Return the cluster of a server; None if it is alone.

    Args:
        config: what the file says; None if it names no backplane.
        supplied: a program's own backplane, in place of the file's.
    """
    if config is None:
        return None if supplied is None else Cluster(supplied, patience=PATIENCE)
    backplane = supplied or open_backplane(config)
    return Cluster(backplane, patience=config.patience, alone_while_away=config.lost is Lost.ALONE)
