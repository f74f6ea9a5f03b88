"""The differences between two plans: pure.

The comparison is by content, not by place or object: lines may move in routes.yaml, and handlers may be imported again.
A handler's code belongs to its plugin: a plugin has changed if its source has.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from signalpost.config.actions import called
from signalpost.config.model import FeedConfig, JobConfig, LimitsConfig, MemoryConfig, ServerConfig, StateConfig
from signalpost.handlers import Handler, HandlerKind, RouteBinding, SignalBinding
from signalpost.paths import PathPattern
from signalpost.plan.matrix import matrix
from signalpost.plan.plan import Feed, Job, Plan

NOTHING = "nothing changed"

_UNTIL_RESTART: Mapping[str, str] = {
    "state.file": "the state stays where it was",
    "history.file": "the history stays where it was",
    "backplane": "this node stays with the nodes that it began with",
}


@dataclass(frozen=True, slots=True)
class Thing:
    """Something of a plan.

    Attributes:
        name: for people.
        keys: that identify its counterpart in the other plan, the most exact first.
        says: the compared content: configurations and bindings, since objects compiled from them are always new.
    """

    name: str
    keys: tuple[Hashable, ...]
    says: Any


Things = Mapping[str, tuple[Thing, ...]]
"""The compared content of a plan, by the fields of `Changes`."""


@dataclass(frozen=True, slots=True)
class Part:
    """The changes of one kind of thing; each is named as in `Changes`, in the order of its plan.

    Attributes:
        changed: in the order and by the names of the new plan.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of a new plan. It is false if there are none, and `str` returns the line ``+1 signal, ~1 timer``.

    Attributes:
        endpoints: by name.
        routes: by method and path, ``POST /rooms/<room>``.
        signals: by path.
        timers: by name.
        schedules: by name.
        feeds: by name.
        plugins: by name; changed are those whose source, version or settings have.
        permissions: what imagined people may do, ``eve may connect on /rooms/<room>``; added are those granted;
            ``may perhaps`` is what cannot be proved, or holds in only some of the ways in which a path is served.
        settings: the keys of everything else that has changed: ``limits.rate``, ``undeclared``.
    """

    endpoints: Part = Part()
    routes: Part = Part()
    signals: Part = Part()
    timers: Part = Part()
    schedules: Part = Part()
    feeds: Part = Part()
    plugins: Part = Part()
    permissions: Part = Part()
    settings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        words = [
            f"{sign}{len(names)} {noun}{'' if len(names) == 1 else 's'}"
            for noun, part in self.parts().items()
            for sign, names in (("+", part.added), ("~", part.changed), ("-", part.removed))
            if names
        ]
        return ", ".join([*words, *(f"~{key}" for key in self.settings)]) or NOTHING

    def parts(self) -> Mapping[str, Part]:
        """Return the parts by what they are changes of, in the singular."""
        return {each.name.removesuffix("s"): getattr(self, each.name) for each in fields(self)[:-1]}


def diff(old: Plan, new: Plan) -> Changes:
    """Return the changes from the old plan to `new`; additions are the removals of the opposite comparison."""
    return compare(things(old), things(new))


def things(plan: Plan) -> Things:
    """Return the compared content of a plan."""
    return {
        "endpoints": tuple(_endpoints(plan)),
        "routes": tuple(_routes(plan)),
        "signals": tuple(_signals(plan)),
        "timers": tuple(_jobs(plan, HandlerKind.TIMER)),
        "schedules": tuple(_jobs(plan, HandlerKind.SCHEDULE)),
        "feeds": tuple(_feeds(plan)),
        "plugins": tuple(_plugins(plan)),
        "permissions": tuple(_permissions(plan)),
        "settings": tuple(_settings(plan.config)),
    }


def compare(old: Things, new: Things) -> Changes:
    """Return the changes from the old things to `new`; a missing kind counts as empty."""
    *names, settings = (each.name for each in fields(Changes))
    parts = {name: _compare(old.get(name, ()), new.get(name, ())) for name in names}
    return Changes(**parts, settings=_compare(old.get(settings, ()), new.get(settings, ())).changed)


def unchanged_jobs(old: Plan, new: Plan) -> frozenset[str]:
    """Return the names of the jobs that are the same in both plans; the source of their handlers may have changed."""
    before = {thing.name: thing.says for thing in _jobs(old, *HandlerKind)}
    after = {thing.name: thing.says for thing in _jobs(new, *HandlerKind)}
    return frozenset(name for name, says in after.items() if name in before and alike(before[name], says))


def unchanged_feeds(old: Plan, new: Plan) -> frozenset[str]:
    """Return the names of the feeds that are the same in both plans; the source of their handlers may have changed."""
    before = {thing.name: thing.says for thing in _feeds(old)}
    after = {thing.name: thing.says for thing in _feeds(new)}
    return frozenset(name for name, says in after.items() if name in before and alike(before[name], says))


def lasting(old: Plan, new: Plan) -> tuple[str, ...]:
    """Return which parts of the old plan remain on a server after a reload, and until when: a sentence each."""
    before = {endpoint.name: endpoint for endpoint in old.config.endpoints}
    pairs = [(before[each.name], each) for each in new.config.endpoints if each.name in before]
    notes = [
        f"endpoint {now.name}: compression is negotiated when a client connects; connected clients keep theirs"
        for then, now in pairs
        if now.scheme.websocket and now.compression != then.compression
    ]
    if old.config.limits.handshake != new.config.limits.handshake and any(
        then.scheme.secure and now.scheme.secure for then, now in pairs
    ):
        notes.append("limits.handshake: TLS handshakes keep the old limit until the server restarts")
    settings = _compare(_settings(old.config), _settings(new.config)).changed
    return (*notes, *lasting_settings(settings), *_resumed(old, new))


def lasting_settings(settings: Collection[str]) -> Iterator[str]:
    """Yield which of the changed settings remain on a server after a reload, and until when: a sentence each."""
    return (f"{key}: {what} until the server restarts" for key, what in _UNTIL_RESTART.items() if key in settings)


def _resumed(old: Plan, new: Plan) -> Iterator[str]:
    """Yield the jobs and feeds that plugins bind themselves again, since the file no longer names their handlers."""
    before: tuple[JobConfig | FeedConfig, ...] = (*old.config.jobs, *old.config.feeds)
    named = {each.handler for each in before} | {name for each in before for name in called(each.do)}
    named |= old.config.unbound
    parts: tuple[tuple[str, Sequence[Job | Feed], Sequence[JobConfig | FeedConfig]], ...] = (
        ("job", new.jobs, new.config.jobs),
        ("feed", new.feeds, new.config.feeds),
    )
    for what, made, configs in parts:
        declared = {each.name for each in configs}
        for each in made:
            if each.name not in declared and isinstance(each.action, Handler) and each.action.name in named:
                yield (
                    f'plugin {each.owner} runs the {what} "{each.name}" by itself again, as the file no longer names '
                    f"its handler; to stop that, write handlers: {{{each.name}: off}}"
                )


def _compare(old: Iterable[Thing], new: Iterable[Thing]) -> Part:
    """Match the things of both plans, and return which have no counterpart or a different one."""
    left = dict(enumerate(old))
    added: list[str] = []
    changed: list[str] = []
    counterparts = _counterparts(left, list(new))
    for thing, before in counterparts:
        if before is None:
            added.append(thing.name)
        elif not alike(before.says, thing.says):
            changed.append(thing.name)
    return Part(tuple(added), tuple(changed), tuple(thing.name for thing in left.values()))


def _counterparts(left: dict[int, Thing], new: list[Thing]) -> list[tuple[Thing, Thing | None]]:
    """Return each new thing with its old counterpart, or None; remove those from `left`."""
    found: list[Thing | None] = [None] * len(new)
    for level in range(max((len(thing.keys) for thing in new), default=0)):
        free: dict[Hashable, list[int]] = {}
        for number, thing in left.items():
            free.setdefault(thing.keys[level], []).append(number)
        for index, thing in enumerate(new):
            if found[index] is None and (numbers := free.get(thing.keys[level])):
                found[index] = left.pop(numbers.pop(0))
    return list(zip(new, found, strict=True))


# The contents of a plan


def _endpoints(plan: Plan) -> Iterator[Thing]:
    for endpoint in plan.config.endpoints:
        yield Thing(endpoint.name, (endpoint.name,), endpoint)


def _routes(plan: Plan) -> Iterator[Thing]:
    for rule in plan.routes:
        config = rule.config
        said: Any = (config, rule.templates)
        if not config.keys:
            said = (config.path.text, config.methods, _said_by(rule.handler, RouteBinding, config.path))
        identity = config.path.identity(ignore_case=False)
        keys = ((identity, config.methods, config.endpoints), (identity, config.methods), (identity,))
        yield Thing(f"{', '.join(config.methods)} {config.path}", keys, said)


def _signals(plan: Plan) -> Iterator[Thing]:
    for rule in plan.signals:
        config = rule.config
        path = config.path
        said: Any = config
        if not config.keys:
            binding = _said_by(rule.handler, SignalBinding, path)
            said = (path.text, config.parallel, rule.cancel_when_gone, config.timeout, binding)
        yield Thing(str(path), ((path.key, config.endpoints), (path.key,)), said)


def _jobs(plan: Plan, *kinds: HandlerKind) -> Iterator[Thing]:
    configs = {each.name: each for each in plan.config.jobs}
    for job in plan.jobs:
        if job.kind in kinds:
            yield Thing(job.name, (job.name,), configs.get(job.name) or _bound_to(job.action))


def _feeds(plan: Plan) -> Iterator[Thing]:
    configs = {each.name: each for each in plan.config.feeds}
    for feed in plan.feeds:
        yield Thing(feed.name, (feed.name,), (configs.get(feed.name) or _bound_to(feed.action), feed.largest))


def _plugins(plan: Plan) -> Iterator[Thing]:
    for plugin in plan.registry.plugins:
        says = (plugin.version, plugin.source, plugin.digest, plan.config.plugins.settings.get(plugin.name, {}))
        yield Thing(plugin.name, (plugin.name,), says)


def _permissions(plan: Plan) -> Iterator[Thing]:
    """Yield what people may do, also what cannot be proved that they may not."""
    if plan.config.auth is None:
        return
    for row in matrix(plan):
        what = " ".join(row.methods) or f"{row.verb.value} on"
        for name, found in row.rulings.items():
            answers = {each.answer for each in found}
            if answers != {False}:
                surely = answers == {True}
                said = f"{name} {'may' if surely else 'may perhaps'} {what} {row.path}"
                yield Thing(said, ((name, what, row.path),), surely)


# Bindings of decorators


def _said_by(handler: Handler | None, kind: type[RouteBinding | SignalBinding], path: PathPattern) -> Any:
    """Return a handler's name and plugin, and its bindings to a path."""
    if handler is None:
        return None
    bindings = (binding for binding in handler.bindings if isinstance(binding, kind))
    return handler.name, handler.plugin, tuple(each for each in bindings if PathPattern.parse(each.path) == path)


def _bound_to(handler: object) -> Any:
    """Return what a decorator says of a job or a feed."""
    if not isinstance(handler, Handler):
        return None
    return handler.name, handler.plugin, handler.bindings


# Everything else

_NAMES: Mapping[str, str] = {"undeclared_refused": "undeclared"}
_ELSEWHERE = frozenset(
    {"file", "folder", "endpoints", "plugins", "routes", "signals", "timers", "schedules", "feeds", "unbound", "bound"}
)
"""Fields that are compared above, by their results, or that do not describe the app."""


def _settings(config: ServerConfig) -> Iterator[Thing]:
    for field in fields(config):
        if not field.compare or field.name in _ELSEWHERE:
            continue
        name, value = _NAMES.get(field.name, field.name), getattr(config, field.name)
        if isinstance(value, LimitsConfig | MemoryConfig | StateConfig):
            parts = {f"{name}.{each.name}": getattr(value, each.name) for each in fields(value) if each.compare}
        else:
            parts = {name: value}
        yield from (Thing(key, (key,), part) for key, part in parts.items())


def alike(one: Any, other: Any) -> bool:
    """Return whether two values are the same. Unlike ``==`` this distinguishes 1, 1.0 and true, as JSON does."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if is_dataclass(one):
        return all(alike(getattr(one, each.name), getattr(other, each.name)) for each in fields(one) if each.compare)
    return bool(one == other)
