"""``signalpost plan --cluster``: which nodes of the app there are, and which of them serve another plan."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import click

from signalpost import __version__
from signalpost.backplanes.backplane import AwayError, Backplane, Top
from signalpost.cli.loading import load
from signalpost.cli.output import show_table
from signalpost.cluster.nodetable import NODES, NodeRecord, read_nodes, read_record
from signalpost.cluster.opening import open_backplane
from signalpost.cluster.peers import LIFE
from signalpost.config.backplane import refuse_without_package
from signalpost.config.backplanemodel import BackplaneConfig
from signalpost.config.backplaneurl import shown_url
from signalpost.errors import OperatorError
from signalpost.plan.fingerprint import differing, fingerprint
from signalpost.units import format_duration


class _Found(NamedTuple):
    """The nodes, and the backplane's clock."""

    nodes: Mapping[str, NodeRecord]
    now: float


def show_cluster(file: str, opened: Callable[[BackplaneConfig], Backplane] = open_backplane) -> None:
    """Print the nodes that share the backplane of a file, and say which of them serve another plan.

    Args:
        file: a routes.yaml.
        opened: returns a backplane.

    Raises:
        ConfigError: the file has problems, or a package is missing.
        OperatorError: the file names no backplane, or it cannot be reached.
    """
    plan = load(file)
    config = plan.config.backplane
    if config is None:
        raise OperatorError(f"{file} names no backplane, so it has no other nodes; add backplane: redis://HOST")
    refuse_without_package(plan.config)
    found = asyncio.run(_ask(opened(config), config))
    where = f"{shown_url(config.url)} (name {config.name})"
    if not found.nodes:
        click.echo(f"no node is at {where}")
        return
    own = fingerprint(plan)
    rows = [_row(tag, node, own, found.now) for tag, node in found.nodes.items()]
    show_table(f"nodes at {where}", ("node", "host", "process", "version", "since", "clients", "plan"), rows)
    for sentence in _verdict(file, own, [node for node in found.nodes.values() if not _is_silent(node, found.now)]):
        click.echo(sentence)


async def _ask(backplane: Backplane, config: BackplaneConfig) -> _Found:
    away = _Away()
    await backplane.start(away)
    try:
        table, now = await asyncio.gather(backplane.get(NODES), backplane.now())
    except AwayError:
        raise OperatorError(f"the backplane {shown_url(config.url)} cannot be reached: {away.why}") from None
    finally:
        await backplane.stop()
    records = read_nodes(table).records
    return _Found({tag: read_record(record) for tag, record in sorted(records.items())}, now)


class _Away:
    """Hears nothing but why the backplane is away; see `signalpost.backplanes.backplane.Hearing`."""

    def __init__(self) -> None:
        self.why = "it does not answer"

    def heard(self, channel: str, body: bytes) -> None:
        """See `Hearing.heard`."""

    def heard_kept(self, channel: str, top: Top, previous: int, body: bytes) -> None:
        """See `Hearing.heard_kept`."""

    def connected(self) -> None:
        """See `Hearing.connected`."""

    def lost(self, why: str) -> None:
        """See `Hearing.lost`."""
        self.why = why


def _is_silent(node: NodeRecord, now: float) -> bool:
    return now - node.at > LIFE


def _row(tag: str, node: NodeRecord, own: Mapping[str, str], now: float) -> Sequence[str]:
    """Return what is shown of a node."""
    kinds = differing(own, node.plan)
    if _is_silent(node, now):
        silent = format_duration(float(round(now - node.at)))
        says = f"silent for {silent}: it has crashed, or cannot reach the backplane"
    elif not node.plan:
        says = "not known yet"
    else:
        says = f"another one: {', '.join(kinds)}" if kinds else "this one"
    since = f"{datetime.fromtimestamp(node.started).astimezone():%Y-%m-%d %H:%M:%S}"
    return tag, node.host, str(node.process), node.version, since, f"{node.clients:,}", says


def _verdict(file: str, own: Mapping[str, str], nodes: Sequence[NodeRecord]) -> Iterator[str]:
    """Yield what is to be known of all nodes that answer, a sentence each."""
    known = [node.plan for node in nodes if node.plan]
    others = [plan for plan in known if differing(own, plan)]
    if not nodes:
        yield "no node answers"
    elif any(differing(known[0], plan) for plan in known[1:]):
        yield f"the nodes serve different plans: {len(others)} of {len(nodes)} another one than {file}"
    elif others:
        yield f"{'all nodes serve one plan' if nodes[1:] else 'the node serves a plan'}, but another one than {file}"
    elif len(known) == len(nodes):
        yield f"{f'all {len(nodes)} nodes serve' if nodes[1:] else 'the node serves'} {file}"
    else:
        yield f"{len(nodes) - len(known)} of {len(nodes)} have just begun, and do not say yet what they serve"
    versions = sorted({node.version for node in nodes} | {__version__})
    if versions[1:]:
        yield f"versions of signalpost differ: {', '.join(versions)} (this is {__version__})"
