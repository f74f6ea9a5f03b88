"""The console of a server: its pages, and for how long it records the messages of a path."""

import asyncio
import html
import mimetypes
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from time import time
from typing import Any, Final

import orjson
from sanic.response import HTTPResponse

from signalpost.api.routes import failure_status
from signalpost.config.monitormodel import PageConfig
from signalpost.console.asked import Asked
from signalpost.console.deeds import Deeds
from signalpost.console.reading import Reading
from signalpost.console.reloads import ReloadNotes
from signalpost.http.request import WebRequest
from signalpost.http.services import Guard, OwnRoute
from signalpost.operations.operation import OperationError
from signalpost.operations.operator import Operator
from signalpost.plan import Plan
from signalpost.signals.watching import LASTS, Watch

PAGE: Final = Path(__file__).parent / "page"
"""The files of the page."""

_INDEX = "index.html"
_BASE = "{base}"
_JSON = "application/json"
_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

Deed = Callable[[Asked], Awaitable[Mapping[str, Any]]]


class Console:
    """Shows a server to people, and does what they ask for.

    Args:
        operator: does operations on its node.
        reloads: that there were.
    """

    def __init__(self, operator: Operator, reloads: ReloadNotes) -> None:
        loop = asyncio.get_running_loop()
        self._node = operator.node
        self._call_later = loop.call_later
        self._watch = Watch(loop.time, time)
        self._reading = Reading(operator, self._watch, reloads)
        self._deeds = Deeds(operator)
        self._sweep: asyncio.TimerHandle | None = None

    def routes(self, plan: Plan, at: PageConfig) -> Sequence[OwnRoute]:
        """Return the routes of a plan, of which the first is at a path, and the others below it."""
        below = at.path.rstrip("/")
        route = partial(OwnRoute, guard=Guard(plan.console, plan.config.source.place(at.keys)))
        deeds: Mapping[str, Deed] = {
            "kick": self._deeds.kick,
            "publish": self._deeds.publish,
            "run": self._deeds.run,
        }
        return (
            route(at.path, "GET", partial(_show_index, below)),
            route(f"{below}/data", "GET", self._data),
            *(route(f"{below}/{name}", "GET", partial(_show_file, name)) for name in _names()),
            *(route(f"{below}/{name}", "POST", partial(_do, deed)) for name, deed in deeds.items()),
        )

    def stop(self) -> None:
        """Record no more."""
        self._node.counts.watch_by(None)
        if self._sweep is not None:
            self._sweep.cancel()

    async def _data(self, request: WebRequest) -> HTTPResponse:
        query = request.args
        found = await self._reading.everything(query.get("path", ""), query.get("clients", ""))
        if self._watch.paths and self._sweep is None:
            self._sweep = self._call_later(LASTS, self._end_unseen)
        return _json({"you": str(request.identity), **found})

    def _end_unseen(self) -> None:
        self._watch.end_unseen()
        self._sweep = None
        if self._watch.paths:
            self._sweep = self._call_later(LASTS, self._end_unseen)
        else:
            self._node.counts.watch_by(None)


async def _do(deed: Deed, request: WebRequest) -> HTTPResponse:
    try:
        return _json(await deed(Asked.of(request)))
    except OperationError as error:
        return _json({"error": error.body}, failure_status(error))


async def _show_index(below: str, _request: WebRequest) -> HTTPResponse:
    text = _read(_INDEX).decode().replace(_BASE, html.escape(below))
    return _shown(text.encode(), "text/html; charset=utf-8")


async def _show_file(name: str, _request: WebRequest) -> HTTPResponse:
    return _shown(_read(name), mimetypes.guess_type(name)[0] or "application/octet-stream")


def _json(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> HTTPResponse:
    return _shown(orjson.dumps(body, default=str), _JSON, status)


def _shown(body: bytes, content_type: str, status: HTTPStatus = HTTPStatus.OK) -> HTTPResponse:
    return HTTPResponse(body, status, dict(_HEADERS), content_type)


@cache
def _names() -> Sequence[str]:
    """Return the names of the files that the page loads."""
    return sorted(each.name for each in PAGE.iterdir() if each.name != _INDEX)


@cache
def _read(name: str) -> bytes:
    return (PAGE / name).read_bytes()
