"""Resolves the names in routes.yaml (handlers, endpoints, schemas), and decorators' bindings where it has none."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from signalpost.config.actions import called
from signalpost.config.gaps import NO_GAPS, Gaps
from signalpost.config.model import SchemaConfig, ServerConfig
from signalpost.config.userschemas import schema_notes
from signalpost.config.viewtemplates import Additions, check_template
from signalpost.handlers import Binding, Handler, HandlerKind, RouteBinding, SignalBinding
from signalpost.jsonschemas.gate import Document, SchemaGate
from signalpost.places import Keys, Part
from signalpost.plan.report import PlanReport
from signalpost.plugins.discovery import normalized
from signalpost.plugins.registry import Plugin, Registry
from signalpost.templates.check import MistakeKind
from signalpost.words import format_keys, unknown

B = TypeVar("B", bound=Binding)

JOB_KINDS = (HandlerKind.TIMER, HandlerKind.SCHEDULE)
KINDS = {
    "routes": (HandlerKind.ROUTE,),
    "signals": (HandlerKind.SIGNAL,),
    "timers": JOB_KINDS,
    "schedules": JOB_KINDS,
    "feeds": (HandlerKind.FEED,),
}


class Resolver:
    """Resolves names, and reports unknown ones.

    Attributes:
        config: from routes.yaml.
        registry: of the plugins.
        report: receives the problems.
        gaps: known problems of routes.yaml; their consequences are not reported.
    """

    def __init__(self, config: ServerConfig, registry: Registry, report: PlanReport, gaps: Gaps = NO_GAPS) -> None:
        self.config = config
        self.registry = registry
        self.report = report
        self.gaps = gaps
        # Naming a handler replaces all bindings of its decorator; `handlers: {tick: off}` removes them.
        self._overruled = {
            *config.unbound,
            *(part.handler for part in config.parts),
            *(name for part in config.parts for name in called(part.do)),
            *(name for skipped_part in gaps.skipped for name in (skipped_part.handler, *skipped_part.calls)),
        }
        self._installed = frozenset(plugin.name for plugin in registry.plugins if plugin.package)

    def check_plugin_names(self) -> None:
        """Report unknown plugins and handlers that routes.yaml names under ``plugins`` and ``handlers``."""
        if self.gaps.plugins:
            return
        plugins = self.config.plugins
        packages = self.registry.packages
        for key, names in (
            ("enable", plugins.enable or ()),
            ("disable", plugins.disable),
            ("installed", plugins.installed or ()),
        ):
            for index, name in enumerate(names):
                if normalized(name) not in map(normalized, packages):
                    self._check_plugin(name, ("plugins", key, index))
        for name in plugins.settings:
            self._check_plugin(name, ("plugins", "settings", name), of_key=True)
        for name in sorted(self.config.unbound | self.config.bound):
            if name not in self.registry.handlers and name not in self.registry.faulty:
                self.report.problem(
                    ("handlers", name), self.unknown("handler", name, self.registry.handlers), of_key=True
                )

    def check_skipped(self) -> None:
        """Report further problems of routes, signals, jobs and feeds that were left out of the configuration."""
        for skipped_part in self.gaps.skipped:
            self.handler(skipped_part.handler, skipped_part.keys, *KINDS[str(skipped_part.keys[0])])

    def handler(self, name: str | None, keys: Keys, *kinds: HandlerKind, key: str = "handler") -> Handler | None:
        """Return the handler that the part at `keys` names with `key`, if it names one of the right kind."""
        if name is None:
            return None
        handler = self.registry.handlers.get(name)
        if handler is None:
            if not self.gaps.plugins and name not in self.registry.faulty:
                self.report.problem((*keys, key), self.unknown("handler", name, self.registry.handlers))
            return None
        if handler.kind not in kinds:
            needed = " or ".join(f"@{kind.value}" for kind in kinds)
            text = (
                f'handler "{name}" is made by @{handler.kind.value} (plugin {handler.plugin}, {handler.where}); '
                f"this needs one made by {needed}"
            )
            self.report.problem((*keys, key), text)
            return None
        return handler

    def endpoints(self, names: tuple[str, ...], keys: Keys, *, signals: bool) -> frozenset[str]:
        """Return the endpoints that serve the part at `keys`: those that it names, else all of the right kind."""
        found = frozenset(names) or self.all_endpoints(signals=signals)
        if not found and not self.gaps.endpoints:
            what, schemes = ("signal", "ws or wss") if signals else ("route", "http or https")
            self.report.problem(keys, f"no endpoint serves this {what}: add one with the protocol {schemes}")
        return found

    def all_endpoints(self, *, signals: bool) -> frozenset[str]:
        """Return the names of all endpoints that serve signals, or of all that serve routes."""
        endpoints = self.config.endpoints
        return frozenset(each.name for each in endpoints if (each.signals if signals else each.serves_routes))

    def check_view(self, path: Path | None, keys: Keys) -> None:
        """Check the template of the route at `keys`, now that the plugins' additions are known."""
        if path is not None and not self.gaps.plugins:
            registry = self.registry
            added = Additions(registry.template_globals, registry.template_filters)
            problem = check_template(path, self.config.folder, added)
            if problem:
                self.report.problem((*keys, "view"), problem + self._perhaps)

    def gate(self, schema: SchemaConfig | None, *, of_messages: bool = True) -> SchemaGate | None:
        """Compile a schema of routes.yaml.

        Args:
            schema: of a key.
            of_messages: whether it judges what clients send, which must not take long.
        """
        if schema is None:
            return None
        try:
            gate = SchemaGate.compile(schema.document)
        except ValueError as error:
            self.report.problem(schema.keys, str(error))
            return None
        if of_messages:
            self._note_bounds(gate, self.config.source.place(schema.keys))
        for inner, text in schema_notes(schema.document):
            keys = (*schema.keys, *inner)
            self.report.note(f"{self.config.source.place(keys)}: {format_keys(keys)}: {text}")
        return gate

    def bindings(self, kind: type[B]) -> Iterator[tuple[Handler, B]]:
        """Yield the bindings of decorators, except those of `left_out` and of handlers (un)bound in routes.yaml."""
        closed = issubclass(kind, SignalBinding | RouteBinding)
        for handler in self.registry.handlers.values():
            if handler.name not in self._overruled and not (closed and self._is_closed(handler)):
                yield from ((handler, binding) for binding in handler.bindings if isinstance(binding, kind))

    def may_name(self, handler: Handler, what: str, declared: Mapping[str, Keys], bound: set[str]) -> bool:
        """Return whether what a decorator binds may have its handler's name, and note that the name is taken.

        Args:
            handler: of the binding.
            what: is bound: ``job``.
            declared: where routes.yaml declares such parts, by name.
            bound: names of other handlers' bindings.
        """
        name = handler.name
        if name in declared:
            # A faulty part may have been intended to name the handler, and so to replace this one.
            if not self.gaps.bindings and not self.gaps.at(declared[name]):
                self.report.problem(
                    (*declared[name], "name"),
                    f'plugin {handler.plugin} has a {what} named "{name}" too ({handler.where}); rename this one, or '
                    f"unbind the other: handlers: {{{name}: off}}",
                )
            return False
        if name in bound:
            self.report.fault(
                handler, f'handler "{name}" is bound more than once; its {what} has its name, so bind it once'
            )
            return False
        bound.add(name)
        return True

    def left_out(self) -> Iterator[tuple[Plugin, list[Handler]]]:
        """Yield the installed plugins whose handlers have no path, since they may not bind paths themselves."""
        for plugin in self.registry.plugins:
            handlers = [self.registry.handlers[name] for name in plugin.handlers if name not in self._overruled]
            closed = [each for each in handlers if self._is_closed(each) and paths_of(each)]
            if closed:
                yield plugin, closed

    def _is_closed(self, handler: Handler) -> bool:
        """Return whether a handler may have paths only if routes.yaml allows it."""
        config = self.config
        return config.undeclared_refused and handler.plugin in self._installed and handler.name not in config.bound

    def bound_gate(self, handler: Handler, schema: Document | None) -> SchemaGate | None:
        """Compile the schema of a handler's binding."""
        if schema is None:
            return None
        try:
            gate = SchemaGate.compile(schema)
        except ValueError as error:
            self.report.fault(handler, f'handler "{handler.name}": schema: {error}')
            return None
        self._note_bounds(gate, f'{handler.where}: handler "{handler.name}"')
        for inner, text in schema_notes(schema):
            self.report.note(f'{handler.where}: handler "{handler.name}": {format_keys(("schema", *inner))}: {text}')
        return gate

    def _note_bounds(self, gate: SchemaGate, place: str) -> None:
        """Note the limits that a schema sets for messages, which are not visible otherwise."""
        if gate.bounds:
            self.report.note(
                f"{place}: messages {', or '.join(gate.bounds)}, are refused: they would take too long to check "
                "against this schema, and all clients wait meanwhile; simpler and fewer forms and patterns allow more"
            )

    def unknown(self, kind: str, name: str, known: Iterable[str]) -> str:
        """Return that no handler or action has a name; it may belong to a plugin that did not load."""
        return unknown(kind, name, sorted(known)) + self._perhaps

    def template_problem(self, keys: Keys, text: str, *, of_key: bool, part: Part, kind: MistakeKind) -> None:
        """Report a problem in a template, unless the missing name may belong to an unknown plugin."""
        if kind is MistakeKind.MISSING:
            if self.gaps.plugins:
                return
            text += self._perhaps
        self.report.problem(keys, text, of_key=of_key, part=part)

    @property
    def _perhaps(self) -> str:
        broken = self.registry.broken
        return f"; it may belong to plugin {' or '.join(broken)}, which did not load" if broken else ""

    def _check_plugin(self, name: str, keys: Keys, **place: Any) -> None:
        if name not in self.registry.found:
            self.report.problem(keys, unknown("plugin", name, sorted(self.registry.found)), **place)


def paths_of(handler: Handler) -> list[str]:
    """Return the paths that a plugin binds a handler to: ``["signal /shout", "route POST /publish"]``."""
    return [
        f"signal {binding.path}"
        if isinstance(binding, SignalBinding)
        else f"route {' '.join(binding.methods)} {binding.path}"
        for binding in handler.bindings
        if isinstance(binding, SignalBinding | RouteBinding)
    ]
