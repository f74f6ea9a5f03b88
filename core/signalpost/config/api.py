"""The key ``api``: where other programs ask the server."""

from collections.abc import Sequence

from signalpost.config.apimodel import API_PATH, API_RATE, ApiConfig
from signalpost.config.authmodel import AuthConfig, TokenPlace
from signalpost.config.endpoints import Endpoints
from signalpost.config.model import RouteConfig
from signalpost.config.section import Section
from signalpost.paths import PathPattern
from signalpost.units import parse_quota
from signalpost.words import listing

_KEY = "api"


def read_api(
    root: Section, endpoints: Endpoints, routes: Sequence[RouteConfig], auth: AuthConfig | None
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
    _check_routes(root, section, path, bound, routes)
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


def _check_routes(
    root: Section, section: Section, path: str, bound: Sequence[str], routes: Sequence[RouteConfig]
) -> None:
    """Report a route below the path of the API."""
    prefix = PathPattern.parse(path).segments
    for route in routes:
        below = route.path.segments[: len(prefix)] == prefix
        if below and (not route.endpoints or not set(bound).isdisjoint(route.endpoints)):
            place = root.report.source.place((*route.keys, "path"))
            text = f"the route {route.path} at {place} is where the API answers: give one of the two another path"
            if "path" in section:
                section.problem("path", text)
            else:
                root.problem(_KEY, text, of_key=True)
            return
