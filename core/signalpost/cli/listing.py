"""``signalpost routes`` and ``signalpost plugins``: what there is, as tables."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from signalpost.cli.terminal import show_table
from signalpost.cli.wording import action_does, next_moments, route_does, shown_file, signal_does, when
from signalpost.config.model import EndpointConfig
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.plan import Plan
from signalpost.plugins.registry import Plugin
from signalpost.server import url_of

_NEXT_RUNS = 3
_NONE = "-"


def show_routes(plan: Plan) -> None:
    """Print what listens where, which plugin or action owns it, and each job's next runs."""
    for endpoint in plan.config.endpoints:
        show_table(f"{endpoint.name}  {url_of(endpoint)}", ("what", "path", "does", "from"), _served(plan, endpoint))
        click.echo()
    if plan.jobs:
        now = datetime.now(UTC)
        rows = [
            (job.name, when(job), action_does(job.action), ", ".join(next_moments(job, now, _NEXT_RUNS)), job.owner)
            for job in plan.jobs
        ]
        show_table("jobs", ("name", "when", "does", "next runs", "from"), rows)
    for note in plan.notes:
        click.echo(f"note: {note}")


def show_plugins(plan: Plan) -> None:
    """Print each plugin with name, version, source, hooks, and what it offers with where each is used."""
    if not plan.registry.plugins:
        click.echo(f"no plugins in {plan.config.plugins.folder.name}/, and none installed")
        return
    rows: list[Sequence[str]] = []
    for plugin in plan.registry.plugins:
        cells = [plugin.name, plugin.version, shown_file(plan, plugin.origin), ", ".join(plugin.hooks) or _NONE]
        for offer in list(_offers(plan, plugin)) or [(_NONE, _NONE, _NONE)]:
            rows.append([*cells, *offer])
            cells = [""] * len(cells)
    show_table("", ("plugin", "version", "source", "hooks", "offers", "name", "used by"), rows)
    for note in plan.plugin_notes:
        click.echo(f"note: {note}")


def _offers(plan: Plan, plugin: Plugin) -> Iterator[tuple[str, str, str]]:
    """Yield what a plugin offers: of which kind, by which name, and what uses it as far as that is known."""
    for name in plugin.handlers:
        yield "handler", name, ", ".join(plan.bound_to(name)) or "nothing"
    for name in plugin.actions:
        yield "action", name, ", ".join(plan.taken_by(name)) or "nothing"
    for kind, names in (("template name", plugin.template_globals), ("filter", plugin.template_filters)):
        for name in names:
            yield kind, name, _NONE


def _served(plan: Plan, endpoint: EndpointConfig) -> list[Sequence[str]]:
    if not endpoint.scheme.websocket:
        return [
            (" ".join(route.methods), route.path.text, _checked(route_does(plan, route), route.gate), route.owner)
            for route in plan.routes
            if endpoint.name in route.endpoints
        ]
    rows: list[Sequence[str]] = [
        ("signal", signal.pattern.text, _checked(signal_does(signal), signal.gate), signal.owner)
        for signal in plan.signals
        if endpoint.name in signal.endpoints
    ]
    does = "refused (404)" if plan.config.undeclared_refused else "re-broadcast to everyone, or as asked"
    return [*rows, ("signal", "any other", does, "undeclared")]


def _checked(does: str, gate: SchemaGate | None) -> str:
    return does if gate is None else f"{does}, checked by a schema"
