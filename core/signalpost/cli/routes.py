"""``signalpost routes``: what listens where, when jobs run, and where feeds come from, as tables."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from signalpost.cli.output import show_notes, show_table
from signalpost.cli.wording import next_moments, route_does, when
from signalpost.config.model import EndpointConfig
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.plan import Plan
from signalpost.plan.ways import action_does, signal_does

_NEXT_RUNS = 3
_NONE = "-"


def show_routes(plan: Plan) -> None:
    """Print what listens where, which plugin or action owns it, each job's next runs, and where feeds come from."""
    for endpoint in plan.config.endpoints:
        show_table(f"{endpoint.name}  {endpoint.url}", ("what", "path", "does", "from"), _served(plan, endpoint))
        click.echo()
    if plan.jobs:
        now = datetime.now(UTC)
        rows = [
            (
                job.name,
                when(job, plan),
                action_does(job.action),
                ", ".join(next_moments(job, plan, now, _NEXT_RUNS)),
                job.owner,
            )
            for job in plan.jobs
        ]
        show_table("jobs", ("name", "when", "does", "next runs", "from"), rows)
    if plan.feeds:
        feeds = [(feed.name, feed.shown, action_does(feed.action), feed.owner) for feed in plan.feeds]
        show_table("feeds", ("name", "url", "does", "from"), feeds)
    show_notes(plan.notes)


def _served(plan: Plan, endpoint: EndpointConfig) -> list[Sequence[str]]:
    if endpoint.redirect is not None:
        where = plan.config.source.place(endpoint.keys)
        return [("any", "any", f"redirects to {endpoint.redirect} (308)", where)]
    rows: list[Sequence[str]] = [
        ("signal", signal.config.path.text, _checked(signal_does(signal), signal.gate), signal.owner)
        for signal in plan.signals
        if endpoint.name in signal.endpoints
    ]
    if not endpoint.scheme.websocket:
        routes: list[Sequence[str]] = [
            (
                " ".join(route.config.methods),
                route.config.path.text,
                _checked(route_does(plan, route), route.gate),
                route.owner,
            )
            for route in plan.routes
            if endpoint.name in route.endpoints
        ]
        return [*routes, *rows]
    does = "refused (404)" if plan.config.undeclared_refused else "re-broadcast to everyone, or as asked"
    return [*rows, ("signal", "any other", does, "undeclared")]


def _checked(does: str, gate: SchemaGate | None) -> str:
    return does if gate is None else f"{does}, checked by a schema"
