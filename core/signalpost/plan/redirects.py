"""Notes on endpoints that redirect where some clients cannot follow."""

from collections.abc import Iterator

from signalpost.config.feedurl import is_loopback
from signalpost.config.model import EndpointConfig, ServerConfig
from signalpost.plan.report import PlanReport


def note_redirects(config: ServerConfig, report: PlanReport) -> None:
    """Note redirects that browsers do not follow, and those to an address that only this machine has."""
    by_name = {endpoint.name: endpoint for endpoint in config.endpoints}
    for endpoint in config.endpoints:
        target = by_name.get(endpoint.redirect or "")
        for text in () if target is None else _doubts(endpoint, target):
            report.note(f"{config.source.place((*endpoint.keys, 'redirect'))}: the endpoint {endpoint.name} {text}")


def _doubts(endpoint: EndpointConfig, target: EndpointConfig) -> Iterator[str]:
    if endpoint.scheme.websocket:
        yield (
            "redirects WebSockets, and browsers do not follow that: pages must open "
            f"{target.scheme.value}:// themselves"
        )
    if is_loopback(target.address) and not is_loopback(endpoint.address) and not endpoint.socket:
        yield (
            f"redirects to {target.name}, which only this machine can reach ({target.address}); if a proxy stands "
            "before it, let the proxy redirect"
        )
