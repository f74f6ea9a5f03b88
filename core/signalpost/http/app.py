"""One Sanic app for each listening port, holding only that port's routes."""

import logging
import re
import uuid
from asyncio import CancelledError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CoroutineType
from typing import Any

from sanic import Sanic
from sanic.config import Config
from sanic.exceptions import ServerError
from sanic.http import Http, Stage
from sanic.response import BaseHTTPResponse, HTTPResponse, ResponseStream

from signalpost.config.model import SAFE_METHODS
from signalpost.http import whereabouts
from signalpost.http.errorpages import BrokenAnswerError, ErrorPages, RouteHeaders, shown, told_of
from signalpost.http.own import own_endpoint
from signalpost.http.request import WebRequest
from signalpost.http.router import RouteTable, sanic_path
from signalpost.http.routerate import counter_of
from signalpost.http.routes import endpoint_of, page_endpoint, whereabouts_endpoint
from signalpost.http.services import RouteServices
from signalpost.paths import PathPattern
from signalpost.plan import RouteRule
from signalpost.plan.precedence import claims_of

__all__ = ["RouteServices", "build_app", "discard_app"]

LOG = logging.getLogger(__name__)

# `ErrorPages` answers failures; if no format is named, Sanic reads the source of the handler to guess one.
_OPTIONS: Mapping[str, Any] = {"unquote": True, "error_format": "json"}

App = Sanic[Any, Any]


class _Nothing:
    """An awaitable that is done at once."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


class _QuietApp(Sanic[Any, Any]):
    """Sanic without its own request events and middleware: nothing subscribes to them, and they cost much."""

    _nothing = _Nothing()
    router: RouteTable

    async def handle_request(self, request: Any) -> None:
        """Answer a request, including what its route raises."""
        try:
            route = request.route = self.router.route_of(request)
            if request.stream.request_body:
                await request.receive_body()
            response = route.handler(request)
            if isinstance(response, CoroutineType):
                response = await response
            if type(response) is HTTPResponse and request.answers_with(response):
                await request.stream.send(b"", end_stream=True)  # it has the body
            else:
                await self._send(request, response, upgraded=hasattr(route.handler, "is_websocket"))
        except CancelledError:
            raise
        except Exception as error:
            if request.stream is None or request.stream.stage is Stage.HANDLER:
                await self.handle_exception(request, error, run_middleware=False)
                return
            if not isinstance(error, BrokenAnswerError):
                LOG.exception("the answer to %s has failed when it had begun", shown(request), extra=told_of(request))
            request.stream.break_off()

    @staticmethod
    async def _send(request: Any, response: Any, *, upgraded: bool) -> None:
        """Send what a route returned, or what it has answered with itself."""
        if request.responded:
            response = request.stream.response
        elif response is not None:
            response = await request.respond(response)
        elif not upgraded:
            response = request.stream.response
        if isinstance(response, BaseHTTPResponse):
            await response.send(end_stream=True)
        elif isinstance(response, ResponseStream):
            await response(request)
            await response.eof()
        elif not upgraded:
            raise ServerError(f"Invalid response type {response!r} (need HTTPResponse)")

    def dispatch(self, event: str, **options: Any) -> Any:
        """Dispatch an event of Sanic's, unless it is about a request."""
        return self._nothing if event.startswith("http.") else super().dispatch(event, **options)


def build_app(
    name: str, rules: Sequence[RouteRule], services: RouteServices, *, router: RouteTable | None = None
) -> App:
    """Create the Sanic app of one port.

    Args:
        name: of the app in errors; made unique, since Sanic has a register of all apps of a process.
        rules: the routes of the port's endpoints. Two rules of one path must differ in their methods.
        services: what the routes need from the server.
        router: an empty table to fill, for callers with a table of their own.

    Raises:
        OperatorError: a template cannot be used.
    """
    app: App = _QuietApp(
        f"{re.sub(r'[^A-Za-z0-9_-]', '-', name)}-{uuid.uuid4().hex}",
        config=_config(services),
        router=router or RouteTable(),
        error_handler=ErrorPages(),
        request_class=WebRequest,
        configure_logging=False,
    )
    try:
        _add_routes(app, rules, services)
    except BaseException:
        discard_app(app)
        raise
    return app


def discard_app(app: App) -> None:
    """Remove an app from Sanic's register, which would keep it for the life of the process."""
    Sanic.unregister_app(app)


@contextmanager
def without_advice() -> Iterator[None]:
    """Prevent Sanic from advising, on a terminal, to start it with its own options, which users cannot pass here."""
    logger = logging.getLogger("sanic.error")
    logger.addFilter(_is_news)
    try:
        yield
    finally:
        logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "in PRODUCTION mode" not in str(record.msg)


def adopt_routes(app: App, other: App) -> None:
    """Switch an app that serves to the routes and limits of another one, which is finalized."""
    app.router = other.router
    app.router.ctx.app = app
    for name in ("REQUEST_MAX_SIZE", "REQUEST_TIMEOUT", "RESPONSE_TIMEOUT"):
        setattr(app.config, name, getattr(other.config, name))


def _add_routes(app: App, rules: Sequence[RouteRule], services: RouteServices) -> None:
    counters = {id(rule): counter_of(rule.config, services.endpoint.name, services.limiter) for rule in rules}
    endpoints = {id(rule): endpoint_of(rule, services, counters[id(rule)]) for rule in rules}
    for number, claim in enumerate(claims_of(rules)):
        rule = claim.rule
        # Sanic passes what begins with ctx_ to the route, which the middleware of responses reads.
        counter = counters[id(rule)]
        headers = RouteHeaders(rule.config.headers, rule.handler is not None or rule.do is not None)
        app.add_route(
            endpoints[id(rule)],
            sanic_path(claim.pattern),
            claim.methods,
            name=f"route-{number}",
            ctx_headers=headers,
            **_OPTIONS,
            ctx_changes=rule.changes,
            ctx_work=rule.work,
            ctx_counter=None if counter is None or counter.per_user else counter,
        )
    _add_own(app, rules, services)
    taken = {rule.config.path.identity(ignore_case=False) for rule in rules if "GET" in rule.config.methods}
    for number, (path, page) in enumerate(services.pages.items()):
        pattern = PathPattern.parse(path)
        if pattern.identity(ignore_case=False) in taken:  # by a plugin: of routes.yaml, that is a problem
            LOG.error("the server's own page %s is not there: a plugin's route has its path", path)
        else:
            app.add_route(page_endpoint(page), sanic_path(pattern), ["GET"], name=f"page-{number}", **_OPTIONS)
    where = PathPattern.parse(whereabouts.PATH).identity(ignore_case=False)
    if services.endpoints is not None and where not in {rule.config.path.identity(ignore_case=False) for rule in rules}:
        tell = whereabouts_endpoint(services.endpoint, services.endpoints)
        app.add_route(tell, whereabouts.PATH, ["GET"], name="whereabouts", **_OPTIONS)


def _add_own(app: App, rules: Sequence[RouteRule], services: RouteServices) -> None:
    """Add the routes of the server itself."""
    taken = {(rule.config.path.identity(ignore_case=False), name) for rule in rules for name in rule.config.methods}
    for number, own in enumerate(services.own):
        pattern = PathPattern.parse(own.path)
        if (pattern.identity(ignore_case=False), own.method) in taken:  # by a plugin: of routes.yaml, that is a problem
            LOG.error("the server's own %s %s is not there: a plugin's route has its path", own.method, own.path)
            continue
        app.add_route(
            own_endpoint(own, services),
            sanic_path(pattern),
            [own.method],
            name=f"own-{number}",
            **_OPTIONS,
            ctx_changes=own.method not in SAFE_METHODS,
        )


def _config(services: RouteServices) -> Config:
    """Return Sanic's settings: nothing from the environment, nothing for the terminal, limits from routes.yaml."""
    return Config(
        env_prefix=None,
        defaults={
            "ACCESS_LOG": False,
            "AUTO_EXTEND": False,
            "KEEP_ALIVE_TIMEOUT": 75,
            "MOTD": False,
            # Sanic's largest header follows from this one, for all apps of the process; ours is limits.head. Smaller
            # bodies are bounded by the routes.
            "REQUEST_MAX_SIZE": max(services.message_limit, Http.HEADER_CEILING),
            "REQUEST_TIMEOUT": services.patience,
            "RESPONSE_TIMEOUT": services.answer_time,
            "TOUCHUP": False,  # it rewrites Sanic's classes, which belong to every app of the process
        },
    )
