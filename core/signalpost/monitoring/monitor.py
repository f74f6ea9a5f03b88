"""The monitor of a server: its pages, and what is counted for them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from sanic.response import HTTPResponse

from signalpost.config.monitormodel import MonitorConfig, ready_path
from signalpost.http.request import WebRequest
from signalpost.http.services import OwnRoute
from signalpost.monitoring.readings import Readings
from signalpost.signals.counts import Groups, groups_in_turns

_JSON = "application/json"
_FRESH = {"cache-control": "no-store"}


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

    def routes(self, config: MonitorConfig | None, endpoint: str) -> Sequence[OwnRoute]:
        """Return the routes that a plan wants at an endpoint."""
        routes = []
        if config is not None and config.metrics is not None and config.metrics.endpoint == endpoint:
            routes.append(OwnRoute(config.metrics.path, "GET", self.metrics))
        if config is not None and config.health is not None and config.health.endpoint == endpoint:
            routes.append(OwnRoute(config.health.path, "GET", self.health))
            routes.append(OwnRoute(ready_path(config.health), "GET", self.ready))
        return routes

    async def metrics(self, request: WebRequest) -> HTTPResponse:
        """Return all metrics. The loop turns meanwhile: it looks at some clients at a time, and a thread writes."""
        async with self._scraping:  # one at a time, however many ask
            families, expose = await asyncio.to_thread(_load)
            node = self._readings.node
            found = families(self._readings, await groups_in_turns(node.hub, node.generation.table))
            body, content_type = await asyncio.to_thread(expose, found, request.headers.get("accept", ""))
        return HTTPResponse(body, headers=_FRESH, content_type=content_type)

    async def health(self, _request: WebRequest) -> HTTPResponse:
        """Tell that the loop turns: else nobody would answer."""
        return _shown({"status": "ok"})

    async def ready(self, _request: WebRequest) -> HTTPResponse:
        """Tell whether the server should have clients."""
        reasons = self._readings.unready()
        if reasons:
            return _shown({"status": "unavailable", "reasons": list(reasons)}, HTTPStatus.SERVICE_UNAVAILABLE)
        return _shown({"status": "ok"})


def _load() -> tuple[Callable[[Readings, Groups], list[Any]], Callable[[list[Any], str], tuple[bytes, str]]]:
    """Load what makes and writes metrics: prometheus-client takes a tenth of a second, and only metrics need it."""
    from signalpost.monitoring.exposition import expose
    from signalpost.monitoring.metrics import families

    return families, expose


def _shown(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> HTTPResponse:
    return HTTPResponse(orjson.dumps(body), status, _FRESH, _JSON)
