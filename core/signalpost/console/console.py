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

from signalpost.api.routes import failure_status
from signalpost.config.monitormodel import PageConfig
from signalpost.console.deeds import Deeds
from signalpost.console.reading import Reading
from signalpost.console.reloads import ReloadNotes
from signalpost.http.services import Asked, GuardedPage, Shown
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

    def pages(self, plan: Plan, at: PageConfig) -> Sequence[GuardedPage]:
        """Return the pages of a plan, of which the first is at a path, and the others below it."""
        place = plan.config.source.place(at.keys)
        below = at.path.rstrip("/")
        page = partial(GuardedPage, permits=plan.console, owner=place)
        deeds: Mapping[str, Deed] = {
            "kick": self._deeds.kick,
            "publish": self._deeds.publish,
            "run": self._deeds.run,
        }
        return (
            page("GET", at.path, answer=partial(_show_index, below)),
            page("GET", f"{below}/data", answer=self._data),
            *(page("GET", f"{below}/{name}", answer=partial(_show_file, name)) for name in _names()),
            *(page("POST", f"{below}/{name}", answer=partial(_do, deed)) for name, deed in deeds.items()),
        )

    def stop(self) -> None:
        """Record no more."""
        self._node.counts.watch_by(None)
        if self._sweep is not None:
            self._sweep.cancel()

    async def _data(self, asked: Asked) -> Shown:
        found = await self._reading.everything(asked.query.get("path", ""), asked.query.get("clients", ""))
        if self._watch.paths and self._sweep is None:
            self._sweep = self._call_later(LASTS, self._end_unseen)
        return _shown({"you": str(asked.identity), **found})

    def _end_unseen(self) -> None:
        self._watch.end_unseen()
        self._sweep = None
        if self._watch.paths:
            self._sweep = self._call_later(LASTS, self._end_unseen)
        else:
            self._node.counts.watch_by(None)


async def _do(deed: Deed, asked: Asked) -> Shown:
    try:
        return _shown(await deed(asked))
    except OperationError as error:
        return _shown({"error": error.body}, failure_status(error))


async def _show_index(below: str, _asked: Asked) -> Shown:
    text = _read(_INDEX).decode().replace(_BASE, html.escape(below))
    return Shown(text.encode(), "text/html; charset=utf-8", headers=_HEADERS)


async def _show_file(name: str, _asked: Asked) -> Shown:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Shown(_read(name), kind, headers=_HEADERS)


def _shown(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Shown:
    return Shown(orjson.dumps(body, default=str), _JSON, status, _HEADERS)


@cache
def _names() -> Sequence[str]:
    """Return the names of the files that the page loads."""
    return sorted(each.name for each in PAGE.iterdir() if each.name != _INDEX)


@cache
def _read(name: str) -> bytes:
    return (PAGE / name).read_bytes()
