"""``signalpost routes`` and ``signalpost plugins``: what there is, as tables."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from signalpost.cli.terminal import show_table
from signalpost.config.model import EndpointConfig, MessageFormat
from signalpost.jobs.moments import next_runs
from signalpost.plan import Job, Plan, RouteRule, TimerJob
from signalpost.plugins.handler import Handler
from signalpost.server import url_of
from signalpost.signals.rule import SignalRule

_NEXT_RUNS = 3
_NONE = "-"


def show_routes(plan: Plan) -> None:
    """Print what listens where, which plugin or action owns it, and each job's next runs."""
    for endpoint in plan.config.endpoints:
        show_table(f"{endpoint.name}  {url_of(endpoint)}", ("what", "path", "does", "from"), _served(plan, endpoint))
        click.echo()
    if plan.jobs:
        now = datetime.now(UTC)
        rows = [(job.name, _when(job), _action(job.action), _next(job, now), job.owner) for job in plan.jobs]
        show_table("jobs", ("name", "when", "does", "next runs", "from"), rows)
    for note in plan.notes:
        click.echo(f"note: {note}")


def show_plugins(plan: Plan) -> None:
    """Print each plugin with name, version, source, hooks, and handlers with where each is bound."""
    if not plan.registry.plugins:
        click.echo(f"no plugins in {plan.config.plugins.folder.name}/, and none installed")
        return
    rows: list[Sequence[str]] = []
    for plugin in plan.registry.plugins:
        cells = [plugin.name, plugin.version, _file(plan, plugin.source), ", ".join(plugin.hooks) or _NONE]
        for name in plugin.handlers or (_NONE,):
            bound = _NONE if name == _NONE else ", ".join(plan.bound_to(name)) or "nothing"
            rows.append([*cells, name, bound])
            cells = [""] * len(cells)
    show_table("", ("plugin", "version", "source", "hooks", "handler", "bound to"), rows)


def _served(plan: Plan, endpoint: EndpointConfig) -> list[Sequence[str]]:
    if not endpoint.scheme.websocket:
        return [
            (" ".join(route.methods), route.path.text, _route_does(plan, route), route.owner)
            for route in plan.routes
            if endpoint.name in route.endpoints
        ]
    rows: list[Sequence[str]] = [
        ("signal", signal.pattern.text, _signal_does(signal), signal.owner)
        for signal in plan.signals
        if endpoint.name in signal.endpoints
    ]
    does = "refused (404)" if plan.config.undeclared_refused else "re-broadcast to everyone, or as asked"
    return [*rows, ("signal", "any other", does, "undeclared")]


def _next(job: Job, now: datetime) -> str:
    if isinstance(job, TimerJob):
        # A timer counts from the start of the server, which nobody knows yet.
        return "at the start" if job.on_start else f"first {job.every * (job.skip + 1):g} s after the start"
    moments = [f"{moment:%Y-%m-%d %H:%M:%S %Z}" for moment in next_runs(job, now, _NEXT_RUNS)]
    return ", ".join(moments) or "never again"


def _signal_does(rule: SignalRule) -> str:
    if rule.handler is not None:
        does = f"handler {rule.handler_name} ({rule.handler_plugin})"
    elif rule.do is not None:
        does = f"actions: {rule.do}"
    elif rule.format is MessageFormat.RAW:
        does = f"relays frames to {rule.rebroadcast.value}"
    else:
        does = f"re-broadcast to {rule.rebroadcast.value}"
    return f"{does}, checked by a schema" if rule.gate is not None else does


def _route_does(plan: Plan, rule: RouteRule) -> str:
    for kind, path in (("file", rule.file), ("static", rule.static), ("view", rule.view)):
        if path is not None:
            return f"{kind} {_file(plan, str(path))}"
    does = _action(rule.handler or rule.broadcast)
    return f"{does}, checked by a schema" if rule.gate is not None else does


def _file(plan: Plan, name: str) -> str:
    """Name a file of the app from its folder, as routes.yaml does."""
    return name.removeprefix(f"{plan.config.folder}/")


def _action(action: object) -> str:
    return f"handler {action.name} ({action.plugin})" if isinstance(action, Handler) else "broadcast"


def _when(job: Job) -> str:
    if isinstance(job, TimerJob):
        return f"every {job.every:g} s"
    zone = f" {job.timezone.key}" if job.timezone is not None else ""
    return ", ".join(cron.text for cron in job.crons) + zone
