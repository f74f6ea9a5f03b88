"""The HTTP routes of routes.yaml, each alone and together with the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from signalpost.config.actions import Place, StepReader
from signalpost.config.endpoints import Endpoints
from signalpost.config.headers import read_headers
from signalpost.config.model import RatePer, RouteConfig, RouteRate, SchemaConfig, SenderRule
from signalpost.config.permissions import read_permission
from signalpost.config.section import Section, find_file, find_folder
from signalpost.config.userschemas import read_schema
from signalpost.config.viewtemplates import check_template
from signalpost.paths import PathPattern
from signalpost.units import parse_quota
from signalpost.words import unknown

_WITH_BODY = ("handler", "broadcast", "do")
_OF_FILES = ("file", "static", "client")
_READING = ("GET", "HEAD")


def read_routes(root: Section, endpoints: Endpoints, folder: Path, reader: StepReader) -> tuple[RouteConfig, ...]:
    """Read the section ``routes``."""
    sections = list(root.sections("routes"))
    if sections and endpoints.complete and not endpoints.of_kind(signals=False):
        root.problem(
            "routes",
            "no endpoint is http or https, so nothing serves these; add for example "
            "{name: web, address: 127.0.0.1, port: 8090, protocol: http} to endpoints",
            of_key=True,
        )
    routes = [(section, _read_route(section, endpoints, folder, reader)) for section in sections]
    sound = [(section, route) for section, route in routes if route is not None]
    _check_paths(sound)
    return tuple(route for _, route in sound)


def _read_route(section: Section, endpoints: Endpoints, folder: Path, reader: StepReader) -> RouteConfig | None:
    path = section.parsed("path", PathPattern.parse)
    file = find_file(section, "file", folder)
    static = find_folder(section, "static", folder)
    view = find_file(section, "view", folder)
    steps = reader.steps_or_broadcast(section, Place.ROUTE)
    schema, query, params = (read_schema(section, folder, name) for name in ("schema", "query", "params"))
    bound = endpoints.bound(section, signals=False)
    methods = _methods(section)
    headers = read_headers(section)
    if view is not None:
        text = check_template(view, folder, additions=None)  # the plan knows the plugins, and checks again
        if text is not None:
            section.problem("view", text)
    for name in ("query", "params"):
        if name in section and any(kind in section for kind in _OF_FILES):
            section.problem(name, f"a file is sent whatever the {name}: it needs a view, a handler or do", of_key=True)
    if "params" in section and path is not None:
        _check_params(section, path, params)
    if "schema" in section and not any(name in section for name in _WITH_BODY):
        section.problem(
            "schema", "a schema checks a request's body: it needs a handler, a broadcast or do", of_key=True
        )
    if "sender" in section and not any(name in section for name in _WITH_BODY):
        section.problem("sender", "only a handler, a broadcast and do know who sends: leave it out", of_key=True)
    if path is not None and "static" in section and path.parameters:
        section.problem("path", f"the path of a static folder has no parameters: {path.parameters[0].name!r} is one")
    if path is None:
        return None
    handler = section.text("handler")
    return RouteConfig(
        section.keys,
        path,
        methods,
        file,
        static,
        view,
        handler,
        steps,
        schema,
        bound,
        headers,
        query,
        params,
        client="client" in section,
        may=read_permission(section, "may"),
        rate=_read_rate(section),
        sender=section.choice("sender", SenderRule, SenderRule.OPTIONAL),
    )


def _read_rate(section: Section) -> RouteRate | None:
    """Read ``rate``: a rate, or a mapping of one and whose requests it counts together."""
    parts = section.section("rate")
    if parts is None:
        quota = section.quantity("rate", parse_quota)
        return None if quota is None else RouteRate(quota)
    quota = parts.quantity("requests", parse_quota)
    return None if quota is None else RouteRate(quota, parts.choice("per", RatePer, RatePer.ADDRESS))


def _check_params(section: Section, path: PathPattern, params: SchemaConfig | None) -> None:
    """Report parameters in a schema that the path does not have: they have no effect, or reject every request."""
    known = [parameter.name for parameter in path.parameters]
    if not known:
        section.problem("params", f"the path {path} has no parameters", of_key=True)
        return
    document = params.document if params is not None and isinstance(params.document, Mapping) else {}
    required = document.get("required", ())
    for name in dict.fromkeys((*document.get("properties", ()), *required)):
        if name not in known:
            section.problem("params", f"{unknown('parameter', name, known)} in the path {path}")


def _methods(section: Section) -> tuple[str, ...]:
    methods = section.words("method")
    if not methods:
        return ("POST",) if any(name in section for name in _WITH_BODY) else ("GET",)
    for keys, method in section.texts("method"):
        if method not in _READING and any(kind in section for kind in _OF_FILES):
            section.report.add(keys, f"a file is only read: {method} needs a handler (allowed: GET)")
    return methods


def _check_paths(routes: Sequence[tuple[Section, RouteConfig]]) -> None:
    """Report routes that answer the same requests as an earlier one; each once."""
    by_identity: dict[str, list[RouteConfig]] = {}
    for section, route in routes:
        identity = route.path.identity(ignore_case=False)
        if "static" in section:  # it answers all paths below its own, as a final <name:path> does
            identity = f"{identity.rstrip('/')}/<path>"
        earlier = by_identity.setdefault(identity, [])
        for other in earlier:
            methods = [method for method in route.methods if method in other.methods]
            if methods and share_endpoint(route.endpoints, other.endpoints):
                place = section.report.source.place((*other.keys, "path"))
                section.problem("path", f"{methods[0]} {route.path} is taken by the route {other.path} at {place}")
                break
        earlier.append(route)


def share_endpoint(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two routes or two signals share an endpoint; no name at all means every endpoint."""
    return not one or not other or not set(one).isdisjoint(other)
