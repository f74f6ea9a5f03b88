"""Builds the plan: config + registry -> `Plan`, or every problem at once."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from signalpost.actions.program import Program
from signalpost.config.actions import Place, templates_in
from signalpost.config.gaps import NO_GAPS, Gaps
from signalpost.config.model import SAFE_METHODS, RouteConfig, ServerConfig, SignalConfig
from signalpost.config.viewtemplates import template_digests
from signalpost.handlers import Handler, HandlerKind, RouteBinding, SignalBinding
from signalpost.memory import default_outboxes
from signalpost.paths import PathPattern
from signalpost.places import Keys
from signalpost.plan.actions import StepCompiler, route_shapes, signal_shapes
from signalpost.plan.bans import note_bans
from signalpost.plan.fallbacks import check_fallbacks
from signalpost.plan.feeds import note_loops, plan_feeds
from signalpost.plan.histories import check_histories
from signalpost.plan.jobs import plan_jobs
from signalpost.plan.levels import check_levels
from signalpost.plan.literals import note_literals
from signalpost.plan.nodestate import note_state
from signalpost.plan.permissions import PermissionCompiler, check_undeclared
from signalpost.plan.plan import Plan, RouteRule
from signalpost.plan.proofs import check_proofs
from signalpost.plan.redirects import note_redirects
from signalpost.plan.report import PlanReport
from signalpost.plan.resolver import Resolver, paths_of
from signalpost.plan.settings import fill_settings
from signalpost.plan.strangers import note_strangers
from signalpost.plugins.messagefilters import filters_of
from signalpost.plugins.registry import Registry
from signalpost.signals.rule import RELAY, Call, Do, SignalRule
from signalpost.units import format_size
from signalpost.words import format_keys, listing


def build_plan(config: ServerConfig, registry: Registry, gaps: Gaps = NO_GAPS, *, proofs: bool = True) -> Plan:
    """Resolve routes.yaml against the plugins, and check what requires both.

    Args:
        config: from routes.yaml, or the part of it that could be read.
        registry: the plugins.
        gaps: problems of routes.yaml: added to those found here; consequences of them are not reported.
        proofs: whether those of the file must hold.

    Raises:
        ConfigError: with every problem, including those of plugins.
    """
    report = PlanReport(config, gaps.problems)
    report.of_registry(registry)
    config = fill_settings(config, registry, report, gaps)
    resolver = Resolver(config, registry, report, gaps)
    resolver.check_plugin_names()
    resolver.check_skipped()
    compiler = StepCompiler(resolver)
    permissions = PermissionCompiler(compiler)
    routes = tuple(_routes(resolver, compiler, permissions))
    filters = filters_of(registry)
    signals = tuple(_signals(resolver, compiler, permissions))
    console = permissions.of_console(None if config.monitor is None else config.monitor.may)
    check_undeclared(compiler)
    if filters is not None:
        signals = tuple(replace(rule, filters=filters) for rule in signals)
    jobs = tuple(plan_jobs(resolver, compiler))
    feeds = tuple(plan_feeds(resolver, compiler))
    note_loops(config, feeds, report)
    _note_memory(config, report)
    _note_changing_reads(config, routes, report)
    _note_unread_templates(config, report)
    note_redirects(config, report)
    note_strangers(config, signals, report)
    note_bans(config, report)
    note_state(config, report)
    check_fallbacks(config, routes, signals, report)
    if proofs:
        check_proofs(config, routes, signals, report)
    check_levels(config, signals, report)
    check_histories(config, report, has_handlers=bool(registry.handlers or registry.actions))
    _note_left_out(resolver)
    report.raise_problems()
    note_literals(config, signals, report)
    notes, plugin_notes = tuple(report.notes), tuple(report.plugin_notes)
    return Plan(config, registry, routes, signals, jobs, notes, plugin_notes, filters, feeds, console)


def _note_unread_templates(config: ServerConfig, report: PlanReport) -> None:
    """Note text that looks like a template where none is rendered."""
    for inner in templates_in(config.constants):
        keys = ("constants", *inner)
        place = config.source.place(keys)
        report.note(f"{place}: {format_keys(keys)} is plain text: no template is rendered here")


def _note_memory(config: ServerConfig, report: PlanReport) -> None:
    """Note if this machine's memory is too small, where routes.yaml leaves ``limits.outboxes`` to the default."""
    limits = config.limits
    if limits.outboxes is not None:
        return
    most = default_outboxes()
    sizes: list[tuple[Keys, int]] = [(("limits", "message"), limits.message)]
    if limits.outbox > limits.message:
        sizes = [(("limits", "outbox"), limits.outbox)]
    sizes += [((*signal.keys, "slow", "buffer"), signal.slow.buffer or 0) for signal in config.signals]
    for keys, size in sizes:
        if size > most:
            report.note(
                f"{config.source.place(keys)}: {format_keys(keys)}: {format_size(size)} for one client is more than "
                f"all clients may have on this machine, {format_size(most)} (a quarter of its memory, at most 1GiB): "
                "the client is dropped earlier; allow less here, or more in limits.outboxes"
            )


def _note_changing_reads(config: ServerConfig, routes: Sequence[RouteRule], report: PlanReport) -> None:
    """Note routes that change something on a read: a link or an image on any page could trigger that."""
    for rule in routes:
        route = rule.config
        reads = [method for method in route.methods if method in SAFE_METHODS]
        if reads and rule.changes:
            report.note(
                f"{config.source.place(route.keys)}: {route.path} answers {listing(reads)}, but its actions broadcast "
                "or change the state: browsers request it by themselves (links, images, previews), so pages of other "
                "origins get 403; write method: POST"
            )


def _note_left_out(resolver: Resolver) -> None:
    """Note the paths that installed plugins would have, and the line of routes.yaml that allows them."""
    for plugin, handlers in resolver.left_out():
        paths = listing(path for handler in handlers for path in paths_of(handler))
        names = ", ".join(f"{_yaml_key(handler.name)}: on" for handler in handlers)
        resolver.report.note_plugin(
            f"plugin {plugin.name} ({plugin.source}) is installed, so it binds no path by itself under "
            f"undeclared: refuse; left out: {paths}. To bind them, write handlers: {{{names}}}"
        )


def _yaml_key(name: str) -> str:
    """Return a name as a key of a YAML mapping in one line."""
    plain = re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII) and name.lower() not in {"null", "true", "false"}
    return name if plain else json.dumps(name)


class _Claims:
    """The owners of paths. routes.yaml takes precedence over decorators; two decorators on one path are a problem."""

    def __init__(self, resolver: Resolver) -> None:
        self._findings = resolver.report
        self._certain = not resolver.gaps.bindings
        self._declared: dict[str, str] = {}
        self._bound: dict[str, Handler] = {}

    def declare(self, keys: Iterable[str], owner: str) -> None:
        """Claim `keys` for routes.yaml, at the place `owner`."""
        self._declared |= dict.fromkeys(keys, owner)

    def bind(self, key: str, handler: Handler, what: str) -> bool:
        """Claim `key` for a decorator's binding, `what` for people; return whether it was free."""
        if key in self._declared:
            self._findings.note(
                f'{self._declared[key]} declares {what}, so the binding of handler "{handler.name}" '
                f"(plugin {handler.plugin}, {handler.where}) is left out"
            )
            return False
        other = self._bound.get(key)
        if other is not None:
            if self._certain:
                self._findings.fault(
                    handler,
                    f'handler "{handler.name}" is bound to {what}, and so is "{other.name}" of plugin {other.plugin} '
                    f"({other.where}); name the right one in routes.yaml, or unbind the other: "
                    f"handlers: {{{other.name}: off}}",
                )
            return False
        self._bound[key] = handler
        return True


def _routes(resolver: Resolver, compiler: StepCompiler, permissions: PermissionCompiler) -> Iterator[RouteRule]:
    """Yield the HTTP routes: those of routes.yaml, then those of decorators on paths and methods that are free."""
    claims = _Claims(resolver)
    for route in resolver.config.routes:
        owner = resolver.config.source.place(route.keys)
        resolver.check_view(route.view, route.keys)
        rule = RouteRule(
            route,
            owner,
            resolver.endpoints(route.endpoints, route.keys, signals=False),
            resolver.handler(route.handler, route.keys, HandlerKind.ROUTE),
            compiler.program(route.do, Place.ROUTE, route_shapes(route)),
            resolver.gate(route.schema),
            resolver.gate(route.query),
            resolver.gate(route.params),
            {} if route.view is None else template_digests(route.view, resolver.config.folder),
            permissions.of_route(route, owner),
        )
        # A folder may contain anything: a decorator may have a path below it, as a route of routes.yaml may.
        claims.declare(_route_keys(rule.below or route.path, route.methods), owner)
        yield rule
    endpoints = resolver.all_endpoints(signals=False)
    for handler, binding in resolver.bindings(RouteBinding):
        path = PathPattern.parse(binding.path)
        if not _served(resolver, handler, endpoints, f"the route {path}", "http or https"):
            continue
        keys = zip(binding.methods, _route_keys(path, binding.methods), strict=True)
        free = [method for method, key in keys if claims.bind(key, handler, f"{method} {path}")]
        if free:
            gate = resolver.bound_gate(handler, binding.schema)
            route = RouteConfig((), path, tuple(free))
            permits = permissions.of_route(route, handler.plugin, handler)
            yield RouteRule(route, handler.plugin, endpoints, handler, gate=gate, permits=permits)


def _signals(resolver: Resolver, compiler: StepCompiler, permissions: PermissionCompiler) -> Iterator[SignalRule]:
    """Yield the signals: those of routes.yaml, then those of decorators on paths that are free."""
    claims = _Claims(resolver)
    for signal in resolver.config.signals:
        owner = resolver.config.source.place(signal.keys)
        claims.declare([signal.path.key], owner)
        handler = resolver.handler(signal.handler, signal.keys, HandlerKind.SIGNAL)
        do, connected, disconnected = _programs(compiler, signal)
        yield SignalRule(
            signal,
            owner,
            resolver.endpoints(signal.endpoints, signal.keys, signals=True),
            Do(do) if do else Call(handler) if handler else RELAY,
            resolver.gate(signal.schema),
            connected,
            disconnected,
            sends=resolver.gate(signal.sends, of_messages=False),
            info=_info(compiler, signal),
            permits=permissions.of_signal(signal, owner),
        )
    endpoints = resolver.all_endpoints(signals=True)
    for handler, binding in resolver.bindings(SignalBinding):
        path = PathPattern.parse(binding.path)
        if not _served(resolver, handler, endpoints, f"the signal {path}", "ws or wss"):
            continue
        if claims.bind(path.key, handler, str(path)):
            gate = resolver.bound_gate(handler, binding.schema)
            config = SignalConfig((), path, handler.name, parallel=binding.parallel, timeout=binding.timeout)
            permits = permissions.of_signal(config, handler.plugin)
            yield SignalRule(config, handler.plugin, endpoints, Call(handler), gate, permits=permits)


def _info(compiler: StepCompiler, signal: SignalConfig) -> Callable[[Any], Any] | None:
    presence = signal.presence
    if presence is None:
        return None
    return compiler.info(presence.info, (*signal.keys, "presence"), signal_shapes(signal))


def _programs(compiler: StepCompiler, signal: SignalConfig) -> Sequence[Program | None]:
    """Compile a signal's reaction to messages and, before and after them, to clients.

    If one of the three waits, all are queued, so that those of a client run in order.
    """
    shapes = signal_shapes(signal)
    programs = (
        compiler.program(signal.do, Place.SIGNAL, shapes),
        compiler.program(signal.connected, Place.CONNECTED, shapes),
        compiler.program(signal.disconnected, Place.DISCONNECTED, shapes),
    )
    waits = any(program.waits for program in programs if program is not None)
    if signal.parallel > 1 and signal.do and not waits:
        place = compiler.place(signal.keys)
        compiler.note(f"{place}: parallel does nothing here: no action of do waits")
    return [None if program is None else replace(program, waits=waits) for program in programs]


def _route_keys(path: PathPattern, methods: tuple[str, ...]) -> list[str]:
    """Return, for each method, the key shared by two routes that cannot coexist: ``POST /rooms/<str>``."""
    identity = path.identity(ignore_case=False)
    return [f"{method} {identity}" for method in methods]


def _served(resolver: Resolver, handler: Handler, endpoints: frozenset[str], what: str, schemes: str) -> bool:
    """Return whether any endpoint serves a decorator's binding; add a note if none does."""
    if not endpoints:
        resolver.report.note(
            f'{handler.where}: {what} of handler "{handler.name}" is not served: no endpoint has the protocol {schemes}'
        )
    return bool(endpoints)
