"""The key ``monitor``: where the metrics and the health of the server are read."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from signalpost.config.apimodel import ApiConfig
from signalpost.config.endpoints import Endpoints
from signalpost.config.feedurl import is_loopback
from signalpost.config.model import EndpointConfig, RouteConfig, ServerConfig
from signalpost.config.monitormodel import MonitorConfig, PageConfig, ready_path
from signalpost.config.section import Section
from signalpost.errors import ConfigError
from signalpost.paths import PathPattern
from signalpost.words import listing, quoted

_KEY = "monitor"
_PAGES = ("metrics", "health")
_PACKAGE = "prometheus_client"
_INSTALL = "pip install 'signalpost[metrics]'"


def read_monitor(
    root: Section, endpoints: Endpoints, routes: Sequence[RouteConfig], api: ApiConfig | None = None
) -> MonitorConfig | None:
    """Read the key ``monitor``. Without it, nothing is counted."""
    section = root.section(_KEY)
    if section is None:
        return None
    common = endpoints.bound(section, signals=False)
    pages = {name: _read_page(section, name, common, endpoints) for name in _PAGES}
    config = MonitorConfig(section.keys, **pages)
    if set(section.data) == {"endpoint"}:
        section.problem(None, "this shows nothing; add metrics: /metrics, or health: /health", of_key=True)
    _check_paths(section, config, routes)
    _check_api(section, config, api)
    return config


def _read_page(section: Section, name: str, common: Sequence[str], endpoints: Endpoints) -> PageConfig | None:
    page = section.section(name)
    path = section.parsed(name, _parse_path) if page is None else page.parsed("path", _parse_path)
    if name not in section:
        return None
    bound = common
    if page is not None and "endpoint" in page:
        bound = endpoints.bound(page, signals=False)
    elif "endpoint" not in section:
        bound = _only(section, name, endpoints)
    return PageConfig((*section.keys, name), path, bound[0]) if path is not None and bound else None


def _only(section: Section, name: str, endpoints: Endpoints) -> Sequence[str]:
    """Return the only http endpoint; report if there is none or several."""
    fitting = endpoints.of_kind(signals=False)
    if len(fitting) == 1 or not endpoints.complete:
        return fitting[:1]
    if fitting:
        text = f"which endpoint serves this? Add endpoint: {fitting[0]} to {_KEY} (known: {listing(fitting)})"
    else:
        text = (
            "no endpoint is http or https, so nothing serves this; add for example "
            "{name: ops, address: 127.0.0.1, port: 9090, protocol: http} to endpoints"
        )
    section.problem(name, text, of_key=True)
    return ()


def _parse_path(text: str) -> str:
    pattern = PathPattern.parse(text)
    if pattern.parameters:
        raise ValueError(f"this page is at one path: leave <{pattern.parameters[0].name}> out")
    return text.rstrip("/") or "/"


def _check_paths(section: Section, config: MonitorConfig, routes: Sequence[RouteConfig]) -> None:
    """Report a page whose path a route has already, or the other page."""
    taken: dict[tuple[str, str], str] = {}
    for page in config.pages:
        name = page.keys[-1]
        paths = (page.path, ready_path(page)) if page is config.health else (page.path,)
        for path in paths:
            identity = PathPattern.parse(path).identity(ignore_case=False)
            other = next((each for each in routes if _serves(each, identity, page.endpoint)), None)
            at = None if other is None else section.report.source.place((*other.keys, "path"))
            if (place := at or taken.get((page.endpoint, identity))) is not None:
                what = f"the route {other.path}" if other is not None else "another page of monitor"
                section.problem(str(name), f"GET {path} is taken by {what} at {place}")
                break
            taken[page.endpoint, identity] = section.place(str(name))


def _check_api(section: Section, config: MonitorConfig, api: ApiConfig | None) -> None:
    """Report a page below the path of the API."""
    prefix = () if api is None else PathPattern.parse(api.path).segments
    for page in config.pages:
        if api is not None and page.endpoint in api.endpoints:
            below = PathPattern.parse(page.path).segments[: len(prefix)] == prefix
            if below:
                text = f"{page.path} is where the API answers: give this page another path"
                section.problem(str(page.keys[-1]), text)


def _serves(route: RouteConfig, identity: str, endpoint: str) -> bool:
    here = not route.endpoints or endpoint in route.endpoints
    return here and "GET" in route.methods and route.path.identity(ignore_case=False) == identity


def monitor_notes(root: Section, config: MonitorConfig | None, endpoints: Sequence[EndpointConfig]) -> Iterator[str]:
    """Yield notes on pages that others than this machine can read, and on a package that is missing."""
    if config is None:
        return
    section = root.section(_KEY)
    if section is None:
        return
    if config.metrics is not None and missing_package():
        yield f"{section.place('metrics')}: metrics need a package that is not installed here: {_INSTALL}"
    by_name = {each.name: each for each in endpoints}
    for page in config.pages:
        endpoint = by_name.get(page.endpoint)
        if endpoint is not None and not endpoint.socket and not is_loopback(endpoint.address):
            what = "how many clients each signal has" if page is config.metrics else "whether the server works"
            yield (
                f"{section.place(str(page.keys[-1]))}: {page.path} is at the endpoint {quoted(endpoint.name)} "
                f"({endpoint.address}), so whoever reaches that reads {what}; an endpoint on 127.0.0.1 shows it to "
                "this machine alone"
            )


def missing_package() -> bool:
    """Return whether the package is missing that writes metrics."""
    return find_spec(_PACKAGE) is None


def refuse_without_metrics(config: ServerConfig) -> None:
    """Refuse to run with metrics whose package is missing.

    Raises:
        ConfigError: it is missing; at the place of the key.
    """
    if config.monitor is not None and config.monitor.metrics is not None and missing_package():
        text = f"metrics need a package that is not installed here: {_INSTALL}"
        raise ConfigError((config.source.problem(config.monitor.metrics.keys, text),), config.files)
