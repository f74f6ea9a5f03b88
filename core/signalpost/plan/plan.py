"""The plan: routes.yaml and the plugins, resolved and checked.

A plan is immutable and replaced as a whole on reload: running code reads it per message and never stores parts of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from signalpost.actions.builtin import CHANGING
from signalpost.actions.program import Program
from signalpost.actions.steps import Options
from signalpost.config.actions import all_steps
from signalpost.config.model import FeedSource, RouteConfig, ServerConfig, TimerTiming, Timing
from signalpost.handlers import Handler, HandlerKind
from signalpost.jsonschemas.gate import SchemaGate
from signalpost.paths import PathPattern
from signalpost.plugins.registry import Registry
from signalpost.signals.messagefilters import Filters
from signalpost.signals.permissions import Permits
from signalpost.signals.rule import SignalRule

Action = Handler | Program


@dataclass(frozen=True, slots=True)
class Job:
    """A timer or a schedule.

    Attributes:
        action: the handler to call or the steps to run.
        owner: what declared it: ``routes.yaml:14``, or a plugin's name.
        filled: returns the arguments for a run, if they contain templates.
    """

    name: str
    action: Action
    owner: str
    timing: Timing
    filled: Options | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.owner})"

    @property
    def kind(self) -> HandlerKind:
        """Timer or schedule."""
        return HandlerKind.TIMER if isinstance(self.timing, TimerTiming) else HandlerKind.SCHEDULE


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed, resolved.

    Attributes:
        action: the handler to call or the steps to run for each message.
        owner: what declared it: ``routes.yaml:14``, or a plugin's name.
        shown: its URL for people, without what may be secret in it.
        largest: bytes that a message may have.
    """

    name: str
    action: Action
    owner: str
    source: FeedSource
    shown: str
    largest: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.owner})"


@dataclass(frozen=True, slots=True)
class RouteRule:
    """An HTTP route, resolved. Exactly one of file, static, view and client of its config, handler and do is set.

    Attributes:
        config: from routes.yaml, or from a decorator, then without keys.
        owner: what declared it: ``routes.yaml:14``, or a plugin's name.
        endpoints: names of the endpoints that serve it; never empty.
        gate: validates the JSON body; None accepts every body.
        query: validates the parameters of the query in the same way; `params` those of the path.
        templates: the files of its view, each with a digest of its content when the plan was built.
        permits: who may request it; None is anyone, without a question.
    """

    config: RouteConfig
    owner: str
    endpoints: frozenset[str]
    handler: Handler | None = None
    do: Program | None = None
    gate: SchemaGate | None = None
    query: SchemaGate | None = None
    params: SchemaGate | None = None
    templates: Mapping[Path, str] = field(default_factory=dict)
    permits: Permits | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.owner})"

    @property
    def changes(self) -> bool:
        """Whether its list of actions changes something, whatever its methods are; unknown for a handler."""
        return self.do is not None and any(step.name in CHANGING for step in all_steps(self.do.config))

    @property
    def work(self) -> str:
        """What runs for a request, for logs about waiting: ``handler publish of plugin publish``."""
        if self.handler is not None:
            return f"handler {self.handler.name} of plugin {self.handler.plugin}"
        if self.do is not None:
            return f"the actions of {self.owner}"
        return "the page" if self.config.view is not None else "the file"

    @property
    def below(self) -> PathPattern | None:
        """What a static route answers besides its own path: all paths in its folder."""
        config = self.config
        return None if config.static is None else PathPattern.parse(f"{config.path.text.rstrip('/')}/<file:path>")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything, resolved and checked.

    Attributes:
        routes: those of routes.yaml in its order, then those of decorators; the same for `signals`, `jobs` and
            `feeds`.
        notes: what is valid but may not be intended: a binding that routes.yaml replaces, one that nothing serves.
        plugin_notes: those of them that are about plugins as a whole.
        filters: of plugins, for all messages and broadcasts; None if there are none.
        console: who may use the console, if there is one; None is anyone, without a question.
    """

    config: ServerConfig
    registry: Registry
    routes: tuple[RouteRule, ...]
    signals: tuple[SignalRule, ...]
    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()
    plugin_notes: tuple[str, ...] = ()
    filters: Filters | None = None
    feeds: tuple[Feed, ...] = ()
    console: Permits | None = None

    def __repr__(self) -> str:
        return f"Plan({self.config.file!r})"

    def bound_to(self, handler: str) -> tuple[str, ...]:
        """Return what calls a handler: ``("signal /shout", "timer tick")``; empty if it is not bound."""
        routes = (
            f"route {rule.config.path}"
            for rule in self.routes
            if (rule.handler and rule.handler.name == handler) or (rule.do and handler in rule.do.calls)
        )
        signals = (
            f"signal {rule.config.path}"
            for rule in self.signals
            if (rule.handler and rule.handler.name == handler)
            or any(each and handler in each.calls for each in (rule.do, rule.connected, rule.disconnected))
        )
        jobs = (
            f"{job.kind.value} {job.name}"
            for job in self.jobs
            if handler in (job.action.calls if isinstance(job.action, Program) else (job.action.name,))
        )
        feeds = (
            f"feed {feed.name}"
            for feed in self.feeds
            if handler in (feed.action.calls if isinstance(feed.action, Program) else (feed.action.name,))
        )
        return (*routes, *signals, *jobs, *feeds)

    def taken_by(self, action: str) -> tuple[str, ...]:
        """Return whose lists contain an action: ``("signal /remind", "timer tick")``."""
        config = self.config
        lists = (
            *((f"route {route.path}", route.do) for route in config.routes),
            *((f"signal {each.path}", (*each.do, *each.connected, *each.disconnected)) for each in config.signals),
            *((f"timer {timer.name}", timer.do) for timer in config.timers),
            *((f"schedule {schedule.name}", schedule.do) for schedule in config.schedules),
            *((f"feed {feed.name}", feed.do) for feed in config.feeds),
        )
        return tuple(where for where, steps in lists if any(step.name == action for step in all_steps(steps)))
