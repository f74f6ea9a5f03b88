"""The table of routes: Sanic's router, with its own order among routes that match the same path.

Sanic tries its compiled tree of parameters before its `path` routes, and those by depth: ``/<user>/<page>`` would take
``/assets/app.js`` from ``/assets/<file:path>``. Here the first segment in which two routes differ decides, as for
signals: literal before int before str before path. Paths are compared percent-decoded, segment by segment, as in
`signalpost.paths`.
"""

import re
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import unquote

from sanic.compat import Header
from sanic.exceptions import MethodNotAllowed, NotFound
from sanic.models.handler_types import RouteHandler
from sanic.request import Request
from sanic.router import Router
from sanic_routing.route import Route

from signalpost.http.guard import Guard
from signalpost.paths import PathPattern, path_segments
from signalpost.websocket.handshake import is_upgrade

_ANY_PATH = "*"  # RFC 9110 section 9.3.7: OPTIONS * asks about the server as a whole

UPGRADE_PATH = "/!websocket-upgrade"
"""Path of the route for handshakes. No client can request it by this path: the table never finds it."""

SIGNAL_PATH = "/!signal"
"""Path of the route for signals over plain HTTP, which no client can request either."""

_MOST_KEPT, _LONGEST_KEPT = 1_024, 256

_OF_SIGNALS = ("GET", "HEAD", "POST")

Methods = dict[str, Route]


def sanic_path(pattern: PathPattern) -> str:
    """Return a pattern in Sanic's syntax, its parameters renamed: Sanic rejects some names, and routes need none.

    ``/rooms/<__room>/<rest:path>`` is ``/rooms/<p0:str>/<p1:path>``.
    """
    numbers = count()
    return re.sub(r"<\w+:", lambda _: f"<p{next(numbers)}:", pattern.sanic)


class RouteTable(Router):
    """Sanic's router for the routes of one app.

    `finalize`, which Sanic calls at start and after every `app.amend()`, reads the routes that were added; a table
    without any is allowed, since a port may serve WebSockets only.

    Args:
        guard: rejects what the endpoint does not answer, whatever its path; None accepts every request.
    """

    def __init__(self, guard: Guard | None = None) -> None:
        super().__init__()
        self.guard = guard
        self._literal: dict[tuple[str, ...], Methods] = {}
        self._patterns: list[tuple[PathPattern, Methods]] = []
        self._found: dict[str, Methods] = {}  # recent results by path: most paths are requested again and again

    def finalize(self, *args: Any, **kwargs: Any) -> None:
        """Sort the routes."""
        if self.routes:
            super().finalize(*args, **kwargs)
        self.finalized = True
        self._found.clear()
        found: dict[str, tuple[PathPattern, Methods]] = {}
        for route in self.routes:
            pattern = PathPattern.parse(unquote(route.uri))
            _, methods = found.setdefault(pattern.identity(ignore_case=False), (pattern, {}))
            methods.update(dict.fromkeys(route.methods, route))
        self._literal = {
            tuple(str(segment) for segment in pattern.segments): methods
            for pattern, methods in found.values()
            if not pattern.parameters
        }
        self._patterns = sorted(
            (entry for entry in found.values() if entry[0].parameters), key=lambda entry: entry[0].exactness
        )

    def _generate_tree(self) -> None:
        """Skip Sanic's own search tree: with thousands of routes it takes most of the time of a reload."""

    def _render(self, do_compile: bool = True, do_optimize: bool = False) -> None:
        """Skip the program that Sanic generates from its tree: compiling a long one blocks everything."""

    # Sanic's own caches its last 1,024 results, and with them the routers of discarded apps.
    def get(  # type: ignore[override]
        self,
        path: str,
        method: str,
        host: str | None,  # noqa: ARG002 - routes are bound to endpoints, not to hosts
    ) -> tuple[Route, RouteHandler, dict[str, Any]]:
        """Find the route of a path, whichever client requests it; the method that Sanic calls.

        HEAD falls back to GET if no route names HEAD. No parameters are returned: routes read them from the path.

        Args:
            path: percent-encoded.
            method: as the client wrote it.
            host: ignored.

        Raises:
            NotFound: no route has this path.
            MethodNotAllowed: one has, but not with this method; contains the allowed methods.
        """
        route = self._route(path, method)
        return route, route.handler, {}

    def route_of(self, request: Request[Any, Any]) -> Route:
        """Find the route for a request that the guard accepts; see `get`.

        Raises:
            NotFound: no route has its path.
            MethodNotAllowed: one has, but not with its method.
            HandshakeRejection: the guard rejects it, or the route is asked for too often.
        """
        guard = self.guard
        if guard is not None:
            guard.admit(request)
        route = self._route(request.path, request.method)
        if guard is not None and getattr(route.ctx, "changes", False):
            guard.admit_change(request)  # any page may make a browser send a GET
        counter = getattr(route.ctx, "counter", None)
        if counter is not None:
            counter.charge(request)
        return route

    def _route(self, path: str, method: str) -> Route:
        if path == _ANY_PATH:
            every = {name: route for route in self.routes for name in route.methods}
            raise MethodNotAllowed(method=method, allowed_methods=allowed(every))
        methods = self._found.get(path)
        if methods is None:
            methods = self._methods(path)
            if methods is None:
                raise NotFound
            if len(path) <= _LONGEST_KEPT:
                if len(self._found) >= _MOST_KEPT:
                    self._found.clear()
                self._found[path] = methods
        route = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if route is None:
            raise MethodNotAllowed(method=method, allowed_methods=allowed(methods))
        return route

    def _methods(self, path: str) -> Methods | None:
        segments = path_segments(path)
        if segments is None:
            return None
        literal = self._literal.get(tuple(segments))
        if literal is not None:
            return literal
        return next(
            (methods for pattern, methods in self._patterns if pattern.match(segments, ignore_case=False) is not None),
            None,
        )


def allowed(methods: Methods) -> list[str]:
    """Return the allowed methods of a path, for the Allow header."""
    return sorted({*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())})


class UpgradeTable(RouteTable):
    """The routes of a port, and two for signals, whatever their path: those have a table of their own.

    One answers all handshakes, the other what is asked of signals by plain HTTP, where no route answers.

    Args:
        plain: whether the port has an http(s) endpoint; without one, plain requests go to the upgrade route too.
        guard: of that endpoint.

    Attributes:
        is_signal: returns whether a signal is served by plain HTTP at a path; percent-encoded.
    """

    def __init__(self, *, plain: bool, guard: Guard | None = None) -> None:
        super().__init__(guard)
        self._plain = plain
        self._upgrade: Route | None = None
        self._signals: Route | None = None
        self.is_signal: Callable[[str], bool] = lambda _: False

    def finalize(self, *args: Any, **kwargs: Any) -> None:
        """Sort the routes, and separate those of signals."""
        super().finalize(*args, **kwargs)
        self._upgrade = self._separate(UPGRADE_PATH, "GET")
        self._signals = self._separate(SIGNAL_PATH, "GET")

    def _separate(self, path: str, method: str) -> Route | None:
        """Remove the route of a path that no client can request, and return it; None if there is none."""
        return self._literal.pop((path[1:],), {}).get(method)

    def route_of(self, request: Request[Any, Any]) -> Route:
        """Find the route for a request; see `RouteTable.route_of`."""
        if self._upgrade is not None and (not self._plain or is_handshake_meant(request.headers)):
            return self._upgrade
        try:
            return super().route_of(request)
        except (NotFound, MethodNotAllowed) as error:
            if self._signals is None or not self.is_signal(request.path):
                raise
            if request.method not in _OF_SIGNALS:
                methods = {*_OF_SIGNALS, "OPTIONS", *getattr(error, "headers", {}).get("Allow", "").split(", ")} - {""}
                raise MethodNotAllowed(method=request.method, allowed_methods=sorted(methods)) from None
            return self._signals


def is_handshake_meant(headers: Header) -> bool:
    """Return whether a request asks for a WebSocket, even if a proxy has removed a part of the handshake."""
    return "sec-websocket-key" in headers or ("upgrade" in headers and is_upgrade(headers))
