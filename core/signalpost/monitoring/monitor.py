"""The monitor of a server: its pages, and what is counted for them."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from signalpost.config.monitormodel import MonitorConfig, ready_path
from signalpost.http.services import Page, Shown
from signalpost.monitoring.readings import Readings
from signalpost.signals.counts import Groups, walk

_JSON = "application/json"


class Monitor:
    """Answers who watches a server.

    Args:
        readings: where its numbers are.
    """

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._scraping = asyncio.Lock()

    def configure(self, config: MonitorConfig | None) -> None:
        """Count what a plan wants counted, from now on."""
        counts = config is not None and config.metrics is not None
        self._readings.node.count(on=counts)
        (self._readings.pulse.start if counts else self._readings.pulse.stop)()

    def stop(self) -> None:
        """Measure no more."""
        self._readings.pulse.stop()

    def pages(self, config: MonitorConfig | None, endpoint: str) -> Mapping[str, Page]:
        """Return the pages that a plan wants at an endpoint, by path."""
        pages: dict[str, Page] = {}
        if config is None:
            return pages
        if config.metrics is not None and config.metrics.endpoint == endpoint:
            pages[config.metrics.path] = self.metrics
        if config.health is not None and config.health.endpoint == endpoint:
            pages[config.health.path] = self.health
            pages[ready_path(config.health)] = self.ready
        return pages

    async def metrics(self, accept: str) -> Shown:
        """Return all metrics. The loop turns meanwhile: it looks at some clients at a time, and a thread writes."""
        async with self._scraping:  # one at a time, however many ask
            families, expose = await asyncio.to_thread(_load)
            found = families(self._readings, await self._groups())
            body, content_type = await asyncio.to_thread(expose, found, accept)
        return Shown(body, content_type)

    async def health(self, _accept: str) -> Shown:
        """Tell that the loop turns: else nobody would answer."""
        return _shown({"status": "ok"})

    async def ready(self, _accept: str) -> Shown:
        """Tell whether the server should have clients."""
        reasons = self._readings.unready()
        if reasons:
            return _shown({"status": "unavailable", "reasons": list(reasons)}, HTTPStatus.SERVICE_UNAVAILABLE)
        return _shown({"status": "ok"})

    async def _groups(self) -> Groups:
        walking = walk(self._readings.node.hub, self._readings.node.generation.table)
        while True:
            try:
                next(walking)
            except StopIteration as end:
                groups: Groups = end.value
                return groups
            await asyncio.sleep(0)


def _load() -> tuple[Callable[[Readings, Groups], list[Any]], Callable[[list[Any], str], tuple[bytes, str]]]:
    """Load what makes and writes metrics: prometheus-client takes a tenth of a second, and only metrics need it."""
    from signalpost.monitoring.exposition import expose
    from signalpost.monitoring.metrics import families

    return families, expose


def _shown(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Shown:
    return Shown(orjson.dumps(body), _JSON, status)
