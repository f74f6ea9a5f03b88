"""The key ``api``: where other programs ask the server."""

from collections.abc import Iterator, Sequence

from signalpost.config.apimodel import API_PATH, API_RATE, ApiConfig
from signalpost.config.authmodel import AuthConfig, TokenPlace
from signalpost.config.endpoints import Endpoints
from signalpost.config.feedurl import is_loopback
from signalpost.config.model import EndpointConfig, RouteConfig
from signalpost.config.monitormodel import MonitorConfig
from signalpost.config.section import Section
from signalpost.paths import PathPattern
from signalpost.units import parse_quota
from signalpost.words import listing, quoted

_KEY = "api"


def read_api(
    root: Section,
    endpoints: Endpoints,
    routes: Sequence[RouteConfig],
    auth: AuthConfig | None,
    monitor: MonitorConfig | None = None,
) -> ApiConfig | None:
    """Read the key ``api``. Without it, there is no API."""
    section = root.section(_KEY)
    if section is None:
        return None
    auth_section = root.section("auth")
    if auth_section is None or not auth_section.mapping("keys"):
        text = (
            "nobody could use the API: it takes the keys of auth, and there are none; add auth: {keys: {PROGRAM: "
            "{key: !secret NAME, may: [publish]}}}"
        )
        root.problem(_KEY, text, of_key=True)
    if auth is not None and auth.api_keys and TokenPlace.HEADER not in auth.places:
        section.report.add(
            ("auth", "from"),
            "the API reads keys from the header Authorization: add header to this list, or leave api out",
        )
    path = section.parsed("path", _parse_path) or API_PATH
    bound = endpoints.bound(section, signals=False) if "endpoint" in section else _only(root, endpoints)
    rate = section.quantity("rate", parse_quota) if "rate" in section else API_RATE
    _check_paths(root, section, path, _others(root, bound, routes, monitor))
    return ApiConfig(section.keys, tuple(bound), path, rate)


def _parse_path(text: str) -> str:
    pattern = PathPattern.parse(text)
    if pattern.parameters:
        raise ValueError(f"the API is at one path: leave <{pattern.parameters[0].name}> out")
    if not pattern.segments:
        raise ValueError(f"the API would take all paths: write one such as {API_PATH}")
    return pattern.text


def _only(root: Section, endpoints: Endpoints) -> Sequence[str]:
    """Return the only http endpoint; report if there is none or several."""
    fitting = endpoints.of_kind(signals=False)
    if len(fitting) == 1 or not endpoints.complete:
        return fitting[:1]
    if fitting:
        text = f"which endpoint serves the API? Add endpoint: {fitting[0]} to {_KEY} (known: {listing(fitting)})"
    else:
        text = (
            "no endpoint is http or https, so nothing serves the API; add for example "
            "{name: ops, address: 127.0.0.1, port: 9090, protocol: http} to endpoints"
        )
    root.problem(_KEY, text, of_key=True)
    return ()


def _others(
    root: Section, bound: Sequence[str], routes: Sequence[RouteConfig], monitor: MonitorConfig | None
) -> Iterator[tuple[PathPattern, str]]:
    """Yield the paths of what else is served at the endpoints of the API, and what it is."""
    place = root.report.source.place
    for route in routes:
        if not route.endpoints or not set(bound).isdisjoint(route.endpoints):
            yield route.path, f"the route {route.path} at {place((*route.keys, 'path'))}"
    for page in () if monitor is None else monitor.pages:
        if page.endpoint in bound:
            yield PathPattern.parse(page.path), f"{page.path} of monitor at {place(page.keys)}"


def _check_paths(root: Section, section: Section, path: str, others: Iterator[tuple[PathPattern, str]]) -> None:
    """Report what else is at the path of the API, or below it."""
    prefix = PathPattern.parse(path).segments
    found = next((what for pattern, what in others if pattern.segments[: len(prefix)] == prefix), None)
    if found is None:
        return
    text = f"{found} is where the API answers: give one of the two another path"
    if "path" in section:
        section.problem("path", text)
    else:
        root.problem(_KEY, text, of_key=True)


def api_notes(root: Section, api: ApiConfig | None, endpoints: Sequence[EndpointConfig]) -> Iterator[str]:
    """Yield a note on each endpoint over which keys travel in clear text."""
    for endpoint in endpoints if api is not None else ():
        here = api is not None and endpoint.name in api.endpoints and not endpoint.scheme.secure
        if here and not endpoint.socket and endpoint.proxies is None and not is_loopback(endpoint.address):
            yield (
                f"{root.place(_KEY)}: the API is at the endpoint {quoted(endpoint.name)} ({endpoint.address}) over "
                "http, so whoever is on the way reads its keys; serve it over https, or behind a proxy at 127.0.0.1"
            )
