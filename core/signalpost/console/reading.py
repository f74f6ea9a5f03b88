"""What the console reads of a server: JSON for its page, made only when somebody asks."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from operator import attrgetter
from typing import Any, Final

from signalpost import __version__
from signalpost.config.model import MessageFormat
from signalpost.console.reloads import ReloadNotes
from signalpost.delivery.client import Client
from signalpost.errors import UnavailableError
from signalpost.jobstatus import shown_job
from signalpost.operations.operation import Caller, OperationError
from signalpost.operations.operator import Operator
from signalpost.operations.reading import PRESENCE, shown_client
from signalpost.paths import path_of
from signalpost.plan.ways import facts_of, signal_does
from signalpost.signals.counts import Groups, groups_in_turns, label_of, views
from signalpost.signals.watching import Watch, Way

MOST_CLIENTS: Final = 200
"""Clients, and users of a path, that are shown."""

_CONSOLE = Caller("the console")
_SLICE = 500  # clients between two pauses


class Reading:
    """Reads a server.

    Args:
        operator: does operations on its node.
        watch: records messages.
        reloads: that there were.
    """

    def __init__(self, operator: Operator, watch: Watch, reloads: ReloadNotes) -> None:
        self._operator = operator
        self._node = operator.node
        self._watch = watch
        self._reloads = reloads

    async def everything(self, path: str, sought: str) -> Mapping[str, Any]:
        """Return what the page shows.

        Args:
            path: whose messages are shown; empty for none.
            sought: what the ids, users or paths of the clients that are shown contain; empty for all.
        """
        node = self._node
        node.count()
        groups, jobs = await groups_in_turns(node.hub, node.generation.table), node.shared.services.jobs
        masked = node.generation.plan.config.source.masked
        return {
            "version": __version__,
            "signals": self._signals(groups),
            "clients": await self._clients(sought),
            "path": await self._path(path) if path else None,
            "present": node.memory.presence.count,
            "jobs": [] if jobs is None else [shown_job(each, masked) for each in jobs.statuses()],
            "reloads": [
                {"at": each.at, "told": each.told, "problems": each.problems} for each in self._reloads.newest_first
            ],
            "cluster": await self._cluster(),
        }

    def _signals(self, groups: Groups) -> Sequence[Mapping[str, Any]]:
        rules = {label_of(rule): rule for rule in self._node.generation.table.rules}
        return [
            {
                "signal": each.signal,
                "does": signal_does(rules[each.signal]) if each.signal in rules else "",
                "clients": each.clients,
                "waiting": each.waiting,
                "messages": each.messages,
                "broadcasts": each.broadcasts,
                "deliveries": each.deliveries,
            }
            for each in views(self._node.counts, groups)
        ]

    async def _clients(self, sought: str) -> Mapping[str, Any]:
        """Return the clients for which most waits, and how many there are."""
        found: list[Client] = []
        for number, client in enumerate(list(self._node.hub.clients.values()), 1):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if sought in client.id or sought in client.path or sought in (client.user or ""):
                found.append(client)
        shown = nlargest(MOST_CLIENTS, found, key=attrgetter("waiting"))
        return {"count": len(self._node.hub.clients), "found": len(found), "shown": list(map(shown_client, shown))}

    async def _path(self, path: str) -> Mapping[str, Any]:
        node = self._node
        known = path_of(node.broadcaster.canonical_path(path)) or path
        ways = self._watch.look(known)
        node.counts.watch_by(self._watch)
        try:
            presence = await PRESENCE.run(self._operator, _CONSOLE, {"path": known, "limit": MOST_CLIENTS})
        except OperationError:  # its signal has none, or only other nodes know
            presence = None
        return {"path": known, "messages": list(map(_shown_way, reversed(ways))), "presence": presence}

    async def _cluster(self) -> Mapping[str, Any] | None:
        """Return the nodes of the app; None if this one is alone."""
        if self._node.alone:
            return None
        try:
            info = await self._operator.info()
        except UnavailableError:
            return {"here": False, "node": self._operator.tag, "nodes": []}
        return {"here": True, **info}


def _shown_way(way: Way) -> Mapping[str, Any]:
    raw = way.binary or way.rule.config.format is MessageFormat.RAW
    text = way.payload.decode(errors="replace") if not way.binary else f"{way.size:,} bytes of binary data"
    return {
        "number": way.number,
        "at": way.at,
        "client": way.client,
        "user": way.user,
        "text": text,
        "size": way.size,
        "cut": not raw and way.size > len(way.payload),
        "refused": way.error is not None,
        "way": list(_pairs(facts_of(way))),
    }


def _pairs(facts: Iterable[tuple[str, str]]) -> Iterator[Sequence[str]]:
    for label, text in facts:
        yield label, text[:1_000]
