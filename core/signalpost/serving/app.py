"""One Sanic app for each listening port, holding only that port's routes."""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sanic import Sanic
from sanic.config import Config
from sanic.http import Http

from signalpost.config.paths import PathPattern
from signalpost.plan import RouteRule
from signalpost.serving import whereabouts
from signalpost.serving.pages import ErrorPages, RouteHeaders, harden
from signalpost.serving.request import WebRequest
from signalpost.serving.routes import endpoint_of, whereabouts_endpoint
from signalpost.serving.services import RouteServices
from signalpost.serving.table import RouteTable, sanic_path

__all__ = ["RouteServices", "build_app", "discard_app"]

# `ErrorPages` answers what fails; where no format is named, Sanic reads the source of the handler to guess one.
_OPTIONS: Mapping[str, Any] = {"unquote": True, "error_format": "json"}

App = Sanic[Any, Any]


class _Nothing:
    """An await that is over at once."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


class _QuietApp(Sanic[Any, Any]):
    """Sanic, without its own events of requests: nobody listens to them, and they are two fifths of a handshake.

    Sanic would compile them away (TOUCHUP), but for all apps of the process.
    """

    _nothing = _Nothing()

    def dispatch(self, event: str, **options: Any) -> Any:
        """Dispatch an event of Sanic's, unless it is about a request."""
        return self._nothing if event.startswith("http.") else super().dispatch(event, **options)


def build_app(
    name: str, rules: Sequence[RouteRule], services: RouteServices, *, router: RouteTable | None = None
) -> App:
    """Make the Sanic app of one port.

    Args:
        name: what it is called in errors; Sanic keeps a register of all apps of a process, so it is made unique.
        rules: the routes of the port's endpoints. Two rules of one path must differ in their methods.
        services: what the routes need from the server.
        router: an empty table to fill, for whoever brings a table of their own.

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
        app.register_middleware(harden, "response")
        _add_routes(app, rules, services)
    except BaseException:
        discard_app(app)
        raise
    return app


def discard_app(app: App) -> None:
    """Take an app out of Sanic's register, which would keep it for the life of the process."""
    Sanic.unregister_app(app)


def adopt_routes(app: App, other: App) -> None:
    """Let an app that serves answer by the routes and the limits of another one, which is finalized, from now on."""
    app.router = other.router
    app.router.ctx.app = app
    for name in ("REQUEST_MAX_SIZE", "REQUEST_TIMEOUT"):
        setattr(app.config, name, getattr(other.config, name))


def _add_routes(app: App, rules: Sequence[RouteRule], services: RouteServices) -> None:
    declared = {(rule.path.identity(ignore_case=False), method) for rule in rules for method in rule.methods}
    for number, rule in enumerate(rules):
        endpoint = endpoint_of(rule, services)
        # Sanic gives what begins with ctx_ to the route, which the middleware of responses finds.
        options = {
            **_OPTIONS,
            "ctx_headers": RouteHeaders(rule.headers, rule.handler is not None or rule.do is not None),
            "ctx_changes": rule.changes,
        }
        app.add_route(endpoint, sanic_path(rule.path), rule.methods, name=f"route-{number}", **options)
        if (below := rule.below) is not None:
            identity = below.identity(ignore_case=False)
            methods = [method for method in rule.methods if (identity, method) not in declared]
            if methods:  # a route that somebody wrote stands before one that follows from another
                app.add_route(endpoint, sanic_path(below), methods, name=f"route-{number}-below", **options)
    where = PathPattern.parse(whereabouts.PATH).identity(ignore_case=False)
    if services.endpoints is not None and where not in {identity for identity, _ in declared}:
        tell = whereabouts_endpoint(services.endpoint, services.endpoints)
        app.add_route(tell, whereabouts.PATH, ["GET"], name="whereabouts", **_OPTIONS)


def _config(services: RouteServices) -> Config:
    """Return Sanic's settings: nothing from the environment, nothing on the terminal, limits from routes.yaml."""
    return Config(
        env_prefix=None,
        defaults={
            "ACCESS_LOG": False,
            "AUTO_EXTEND": False,
            "KEEP_ALIVE_TIMEOUT": 75,
            "MOTD": False,
            # The largest header follows from this one, for all apps of the process: keep it at Sanic's 8 KiB. Smaller
            # bodies are bounded by the routes.
            "REQUEST_MAX_SIZE": max(services.message_limit, Http.HEADER_CEILING),
            "REQUEST_TIMEOUT": services.patience,
            "TOUCHUP": False,  # it rewrites Sanic's classes, which belong to every app of the process
        },
    )
