"""The feeds of a plan: those of routes.yaml, then those of decorators."""

from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

from signalpost.actions.program import Program
from signalpost.config.actions import Place, all_steps
from signalpost.config.feedurl import is_loopback, shown_url
from signalpost.config.model import EndpointConfig, Scheme, ServerConfig, StepConfig
from signalpost.handlers import FeedBinding, HandlerKind
from signalpost.plan.actions import StepCompiler
from signalpost.plan.plan import Feed
from signalpost.plan.report import PlanReport
from signalpost.plan.resolver import Resolver
from signalpost.templates.compiler import is_template

_EVERYWHERE = frozenset({"*", "0.0.0.0", "::"})  # noqa: S104 - what is listened on


def plan_feeds(resolver: Resolver, compiler: StepCompiler) -> Iterator[Feed]:
    """Yield the valid feeds and report the others. A feed's name is unique over routes.yaml and decorators."""
    config = resolver.config
    declared = {feed.name: feed.keys for feed in config.feeds}
    for feed in config.feeds:
        program = compiler.program(feed.do, Place.FEED)
        action = program or resolver.handler(feed.handler, feed.keys, HandlerKind.FEED)
        if action is not None:
            shown = shown_url(config.source.masked(feed.source.url))
            largest = feed.source.max_message or config.limits.message
            yield Feed(feed.name, action, config.source.place(feed.keys), feed.source, shown, largest)
    bound: set[str] = set()
    for handler, binding in resolver.bindings(FeedBinding):
        if resolver.may_name(handler, "feed", declared, bound):
            largest = binding.max_message or config.limits.message
            yield Feed(handler.name, handler, handler.plugin, binding, shown_url(binding.url), largest)


def note_loops(config: ServerConfig, feeds: Sequence[Feed], report: PlanReport) -> None:
    """Note the feeds of routes.yaml that come from this server itself, and may receive what they broadcast."""
    declared = {feed.name: feed for feed in config.feeds}
    for feed in feeds:
        own = declared.get(feed.name)
        endpoint = _endpoint_of(config, feed.source.url) if own is not None else None
        if own is None or endpoint is None:
            continue
        path = unquote(urlsplit(feed.source.url).path) or "/"
        if isinstance(feed.action, Program) and not any(_meets(step, path) for step in all_steps(own.do)):
            continue
        report.note(
            f'{config.source.place((*own.keys, "url"))}: the feed "{own.name}" comes from this server itself (endpoint '
            f"{endpoint.name}, {path}): what it broadcasts there comes back to it, without end; send it to another path"
        )


def _endpoint_of(config: ServerConfig, url: str) -> EndpointConfig | None:
    """Return the endpoint of the server that a URL leads to; None if it leads elsewhere, as far as its text says."""
    parts = urlsplit(url)
    scheme, host = Scheme(parts.scheme.lower()), parts.hostname or ""
    port = parts.port or scheme.default_port
    for endpoint in config.endpoints:
        if endpoint.scheme is scheme and not endpoint.socket and endpoint.port == port and _is_at(endpoint, host):
            return endpoint
    return None


def _is_at(endpoint: EndpointConfig, host: str) -> bool:
    if host == endpoint.address or host in endpoint.hosts:
        return True
    return is_loopback(host) and (endpoint.address in _EVERYWHERE or is_loopback(endpoint.address))


def _meets(step: StepConfig, path: str) -> bool:
    """Return whether a step may send to all clients on a path; unknown for a plugin's action, which counts as no."""
    if step.name == "call":
        return True
    if (
        step.name != "broadcast"
        or not isinstance(step.options, dict)
        or {"group", "client", "user"} & step.options.keys()
    ):
        return False
    target = step.options.get("path")
    return not isinstance(target, str) or is_template(target) or target.lower() == path.lower()
