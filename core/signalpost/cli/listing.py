"""``signalpost routes`` and ``signalpost plugins``: what there is, as tables."""

from datetime import UTC, datetime

from rich.table import Table

from signalpost.cli.terminal import console
from signalpost.config.model import EndpointConfig, MessageFormat
from signalpost.jobs.moments import next_runs
from signalpost.plan import Job, Plan, RouteRule, TimerJob
from signalpost.plugins.handler import Handler
from signalpost.server import url_of
from signalpost.signals.rule import SignalRule

_NEXT_RUNS = 3


def show_routes(plan: Plan) -> None:
    """Print what listens where, which plugin or action owns it, and each job's next runs."""
    printer = console()
    for endpoint in plan.config.endpoints:
        printer.print(_endpoint_table(plan, endpoint))
    if plan.jobs:
        printer.print(_job_table(plan))
    for note in plan.notes:
        printer.print(f"note: {note}", markup=False)


def show_plugins(plan: Plan) -> None:
    """Print each plugin with name, version, source, hooks, and handlers with where each is bound."""
    printer = console()
    if not plan.registry.plugins:
        printer.print(f"no plugins in {plan.config.plugins.folder.name}/, and none installed", markup=False)
        return
    table = _table("plugin", "version", "source", "hooks", "handler", "bound to")
    for plugin in plan.registry.plugins:
        cells = [plugin.name, plugin.version, plugin.source, ", ".join(plugin.hooks) or "-"]
        for name in plugin.handlers or ("-",):
            bound = ", ".join(plan.bound_to(name)) or ("-" if name == "-" else "nothing")
            table.add_row(*map(_plain, [*cells, name, bound]))
            cells = [""] * len(cells)
    printer.print(table)


def _endpoint_table(plan: Plan, endpoint: EndpointConfig) -> Table:
    table = _table("what", "path", "does", "from")
    table.title = f"{endpoint.name}  {url_of(endpoint)}"
    table.title_justify = "left"
    if endpoint.scheme.websocket:
        for signal in plan.signals:
            if endpoint.name in signal.endpoints:
                table.add_row("signal", *map(_plain, (signal.pattern.text, _signal_does(signal), signal.owner)))
        does = "refused (404)" if plan.config.undeclared_refused else "re-broadcast to everyone, or as asked"
        table.add_row("signal", "any other", does, "undeclared")
    else:
        for route in plan.routes:
            if endpoint.name in route.endpoints:
                methods = " ".join(route.methods)
                table.add_row(methods, *map(_plain, (route.path.text, _route_does(plan, route), route.owner)))
    return table


def _job_table(plan: Plan) -> Table:
    table = _table("job", "when", "does", "next runs", "from")
    now = datetime.now(UTC)
    for job in plan.jobs:
        if isinstance(job, TimerJob):
            # A timer counts from the start of the server, which nobody knows yet.
            runs = "at the start" if job.on_start else f"first {job.every * (job.skip + 1):g} s after the start"
        else:
            moments = [f"{moment:%Y-%m-%d %H:%M:%S %Z}" for moment in next_runs(job, now, _NEXT_RUNS)]
            runs = ", ".join(moments) or "never again"
        table.add_row(*map(_plain, (job.name, _when(job), _action(job.action), runs, job.owner)))
    return table


def _signal_does(rule: SignalRule) -> str:
    if rule.handler is not None:
        does = f"handler {rule.handler_name} ({rule.handler_plugin})"
    elif rule.format is MessageFormat.RAW:
        does = f"relays frames to {rule.rebroadcast.value}"
    else:
        does = f"re-broadcast to {rule.rebroadcast.value}"
    return f"{does}, checked by a schema" if rule.gate is not None else does


def _route_does(plan: Plan, rule: RouteRule) -> str:
    for kind, path in (("file", rule.file), ("static", rule.static), ("view", rule.view)):
        if path is not None:
            return f"{kind} {path.relative_to(plan.config.folder) if path.is_relative_to(plan.config.folder) else path}"
    does = _action(rule.handler or rule.broadcast)
    return f"{does}, checked by a schema" if rule.gate is not None else does


def _action(action: object) -> str:
    return f"handler {action.name} ({action.plugin})" if isinstance(action, Handler) else "broadcast"


def _when(job: Job) -> str:
    if isinstance(job, TimerJob):
        return f"every {job.every:g} s"
    zone = f" {job.timezone.key}" if job.timezone is not None else ""
    return ", ".join(cron.text for cron in job.crons) + zone


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _plain(text: str) -> str:
    """Keep rich from reading brackets as markup."""
    return text.replace("[", r"\[")
