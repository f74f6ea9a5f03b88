"""Proving who can do what: by the permissions of a plan, and by every way that a message may take through it.

A person can publish at a path if the person's own message arrives there. That nobody can be kept from that is proved
only if no other way leads there: a message from another path, to a group or to everyone, or a route whose actions send
what was requested. A plugin's code may send anything anywhere, and is not looked into: what it may be called by is
named beside the proof.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from signalpost.config.actions import all_steps
from signalpost.config.authmodel import Verb
from signalpost.config.model import (
    Breadth,
    MessageFormat,
    Rebroadcast,
    RequestedTarget,
    RouteConfig,
    ServerConfig,
    SignalConfig,
    StepConfig,
)
from signalpost.errors import OperatorError
from signalpost.paths import Parameter, PathPattern, join_segments, split_path
from signalpost.plan.plan import RouteRule
from signalpost.plan.precedence import answering, claims_of, contenders
from signalpost.plan.rulings import YES, Person, Ruling, data_of, requested, ruling
from signalpost.plan.stateways import is_rendered, meet, reached, read, stored
from signalpost.signals.levels import levels_of, narrowed
from signalpost.signals.permissions import Question
from signalpost.signals.rule import Call, Do, SignalRule
from signalpost.signals.table import ResolvedPath, SignalTable, served_at
from signalpost.templates.compiler import is_template

_TO_OTHERS = (Rebroadcast.EVERYONE, Rebroadcast.OTHERS, Rebroadcast.GROUP)
_TO_MANY = {
    Rebroadcast.EVERYONE: "to everyone",
    Rebroadcast.OTHERS: "to everyone but the sender",
    Rebroadcast.GROUP: "to its groups",
}
_BREADTHS = {
    RequestedTarget.PATH: Breadth.PATH,
    RequestedTarget.CLIENT_ID: Breadth.CLIENT,
    RequestedTarget.GROUP: Breadth.GROUP,
    RequestedTarget.USER: Breadth.CLIENT,
}
_FOR_MANY = (RequestedTarget.GROUP, RequestedTarget.USER)
_WISHES = {
    RequestedTarget.PATH: "to a path",
    RequestedTarget.CLIENT_ID: "to a client",
    RequestedTarget.GROUP: "to a group",
    RequestedTarget.USER: "to a user",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """A path at an endpoint, with the signal that serves it.

    Attributes:
        bare: whether the path is that of the declaration, with parameters that have no values.
    """

    endpoint: str
    resolved: ResolvedPath
    bare: bool = False

    @property
    def rule(self) -> SignalRule:
        """The signal."""
        return self.resolved.rule


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one question.

    Attributes:
        at: the endpoint, for people, where a path is served differently at several; else empty.
        code: plugins' handlers that the person may call, and that are not looked into.
    """

    ruling: Ruling
    at: str = ""
    code: tuple[str, ...] = ()


class Prover:
    """Answers what people can do by one plan.

    Args:
        config: of the app.
        routes: all of the plan.
        signals: all of the plan.
    """

    def __init__(self, config: ServerConfig, routes: Sequence[RouteRule], signals: Sequence[SignalRule]) -> None:
        self._config = config
        self._routes = routes
        self._signals = signals
        self._endpoints, _ = served_at(config)
        self._table = SignalTable(signals, self._endpoints, undeclared=())
        self._levels = levels_of(self._table, config.broadest)
        self._pages = [each.name for each in config.endpoints if not each.scheme.websocket]

    def find(
        self,
        person: Person,
        verb: Verb,
        path: PathPattern,
        method: str | None = None,
        message: dict[str, object] | None = None,
    ) -> list[Finding]:
        """Return what is known of a question, once for each of the different ways in which the path is served.

        Args:
            person: of whom it is asked.
            verb: that is asked about.
            path: see `signalpost.config.authmodel.ProofConfig`, also for `method` and `message`.
            method: of a request.
            message: that the person sends.

        Raises:
            OperatorError: nothing serves the path.
        """
        if verb is Verb.REQUEST:
            return self._requests(person, path, method)
        spots = self._spots(path)
        if not spots:
            raise OperatorError(f"no signal serves {path.text}")
        return [self._named(self.judge(person, verb, spot, message), spot, several=len(spots) > 1) for spot in spots]

    def judge(self, person: Person, verb: Verb, spot: Spot, message: dict[str, object] | None = None) -> Finding:
        """Return what is known of a question at one place; see `find`."""
        match verb:
            case Verb.CONNECT:
                return Finding(self._asked(person, Verb.CONNECT, spot))
            case Verb.PUBLISH:
                own = self._publishes(person, spot, message)
                if own.answer is True:
                    return Finding(own)
                ways = list(self._ways(person, spot, message))
                found = next((way for way in ways if way.answer is True), None)
                unknown = next((way for way in (own, *ways) if way.answer is None), None)
                return Finding(found or unknown or own, code=tuple(self._code(person, message)))
            case Verb.TARGET:
                return Finding(self._targets(person, spot, message))
            case _:
                return Finding(self._reads(person, verb, spot))

    @staticmethod
    def _named(finding: Finding, spot: Spot, *, several: bool) -> Finding:
        return replace(finding, at=f"at the endpoint {spot.endpoint}") if several else finding

    def spot_at(self, endpoint: str, path: str) -> Spot | None:
        """Return a path at an endpoint; None if no signal serves it there."""
        resolved = self._table.resolve(endpoint, path)
        return None if resolved is None else Spot(endpoint, resolved)

    # Paths

    def _spots(self, path: PathPattern) -> list[Spot]:
        """Return where a path is served, once for each signal."""
        found: dict[int, Spot] = {}
        for endpoint in self._endpoints:
            spot = self._spot(endpoint, path)
            if spot is not None:
                found.setdefault(id(spot.rule), spot)
        return list(found.values())

    def _spot(self, endpoint: str, path: PathPattern) -> Spot | None:
        if not path.parameters:
            return self.spot_at(endpoint, path.text)
        for rule in self._signals:
            if endpoint in rule.endpoints and rule.config.path.key == path.key:
                return _declared(endpoint, rule)
        return None

    def _asked(self, person: Person, verb: Verb, spot: Spot, message: dict[str, object] | None = None) -> Ruling:
        resolved = spot.resolved
        question = Question(person.identity, resolved.path, resolved.params, data=data_of(message))
        return ruling(spot.rule.permits, verb, question, bare=spot.bare)

    # Verbs of signals

    def _publishes(self, person: Person, spot: Spot, message: dict[str, object] | None) -> Ruling:
        """Return whether the person's messages are taken at a path."""
        return self._asked(person, Verb.CONNECT, spot) & self._asked(person, Verb.PUBLISH, spot, message)

    def _targets(self, person: Person, spot: Spot, message: dict[str, object] | None) -> Ruling:
        """Return whether the person can choose a target with messages at a path."""
        if not spot.rule.config.targets - {RequestedTarget.DIRECT}:
            return Ruling(False, f"targets ({spot.rule.owner}) lets no message choose one")
        return self._publishes(person, spot, message) & self._asked(person, Verb.TARGET, spot, message)

    def _reads(self, person: Person, verb: Verb, spot: Spot) -> Ruling:
        """Return whether the person can ask for the history of a path, or who is there: there, or from elsewhere."""
        config = spot.rule.config
        if (config.history if verb is Verb.HISTORY else config.presence) is None:
            return Ruling(False, f"the signal has no {verb.value} ({spot.rule.owner})")
        own = self._asked(person, Verb.CONNECT, spot) & self._asked(person, verb, spot)
        permits = spot.rule.permits
        if own.answer is True or permits is None or verb not in permits.rules:
            return own
        anywhere = self._somewhere(person, lambda other: other.endpoint == spot.endpoint)
        return own if anywhere is None else anywhere & self._asked(person, verb, spot)

    def _somewhere(self, person: Person, fits: Callable[[Spot], bool]) -> Ruling | None:
        """Return whether the person can connect anywhere; None if there is no such place."""
        rulings = [self._asked(person, Verb.CONNECT, spot) for spot in self._everywhere(person) if fits(spot)]
        return next((each for answer in (True, None, False) for each in rulings if each.answer is answer), None)

    # Ways of a message from elsewhere

    def _everywhere(self, person: Person) -> Iterator[Spot]:
        """Yield all paths of all signals that a person may choose to advantage: with the person's own words in them."""
        for rule in self._signals:
            for endpoint in sorted(rule.endpoints.intersection(self._endpoints))[:1]:
                pattern = rule.config.path
                yield _declared(endpoint, rule)
                for path in _filled(pattern, person.words) if pattern.parameters else ():
                    resolved = self._table.resolve(endpoint, path)
                    if resolved is not None and resolved.rule is rule:
                        yield Spot(endpoint, resolved)

    def _ways(self, person: Person, goal: Spot, message: dict[str, object] | None) -> Iterator[Ruling]:
        """Yield what can be proved of each way to a path but the direct one."""
        for spot in self._everywhere(person):
            yield from self._from_signal(person, spot, goal, message)
        for rule in self._routes:
            yield from self._from_route(person, rule, goal)
        yield from self._by_the_state(person, goal, message)

    def _by_the_state(self, person: Person, goal: Spot, message: dict[str, object] | None) -> Iterator[Ruling]:
        """Yield that something may arrive which the person has stored in the state, and any list broadcasts."""
        carriers = [(found, read(steps)) for steps in self._lists if (found := next(_sends_to(steps, goal), None))]
        carriers = [(step, keys) for step, keys in carriers if keys]
        for where, steps, allowed in self._own_lists(person, message) if carriers else ():
            keys = reached(stored(steps), self._lists)
            step = next((step for step, reads in carriers if meet(keys, reads)), None)
            if step is not None and allowed().answer is not False:
                yield Ruling(
                    None,
                    f"the actions of {where} store something in the state, which is broadcast at "
                    f"{self._config.source.place(step.keys)}",
                )

    @cached_property
    def _lists(self) -> list[tuple[StepConfig, ...]]:
        """All lists of actions."""
        found = [part.do for part in self._config.parts if not isinstance(part, SignalConfig)]
        for rule in self._signals:
            found += [rule.config.do, rule.config.connected, rule.config.disconnected]
        return [steps for steps in found if steps]

    def _own_lists(
        self, person: Person, message: dict[str, object] | None
    ) -> Iterator[tuple[str, tuple[StepConfig, ...], Callable[[], Ruling]]]:
        """Yield the lists that a person's messages and requests may run: where, what, and whether they may."""
        for spot in self._everywhere(person):
            config, where = spot.rule.config, _where(spot)
            yield where, config.do, partial(self._publishes, person, spot, message)
            for steps in (config.connected, config.disconnected):
                yield where, steps, partial(self._asked, person, Verb.CONNECT, spot)
        for rule in self._routes:
            where = f"{_methods(rule.config)} {rule.config.path} ({rule.owner})"
            yield where, rule.config.do, partial(self._best_request, person, rule)

    def _from_signal(
        self, person: Person, spot: Spot, goal: Spot, message: dict[str, object] | None
    ) -> Iterator[Ruling]:
        rule, sent = spot.rule, self._publishes(person, spot, message)
        if spot.bare or spot.resolved.path != goal.resolved.path or spot.rule is not goal.rule:
            yield from (
                _closable(
                    _way(
                        sent & self._relayed(person, spot, goal, wish, message), f"{_WISHES[wish]} from {_where(spot)}"
                    )
                )
                for wish in self._wishes_from(rule, goal.rule)
            )
            if not isinstance(rule.reaction, Call | Do) and rule.config.rebroadcast in _TO_OTHERS:
                how = f"from {_where(spot)}, which sends {_TO_MANY[rule.config.rebroadcast]}"
                yield _closable(_way(sent & self._arrives(person, goal, message, many=True), how))
        if any(_sends_to(rule.config.do, goal)):
            yield _way(sent, f"by the actions of {_where(spot)}")
        for steps in (rule.config.connected, rule.config.disconnected):
            if any(_sends_to(steps, goal)):
                yield _way(self._asked(person, Verb.CONNECT, spot), f"by the actions of {_where(spot)}")

    def _wishes_from(self, rule: SignalRule, goal: SignalRule) -> Iterator[RequestedTarget]:
        """Yield the targets that messages at one signal may request, and that may be at another one.

        A list of actions that calls no code passes nothing on but what it broadcasts, which is a way of its own. A path
        is the one of the sender's endpoint. Raw frames ask for nothing. And what is broader than `broadest` is refused.
        """
        listed = isinstance(rule.reaction, Do) and not rule.reaction.program.calls
        if listed or rule.config.format is MessageFormat.RAW:
            return
        for wish in _WISHES:
            if wish not in rule.config.targets or (
                wish is RequestedTarget.PATH and not rule.endpoints & goal.endpoints
            ):
                continue
            if self._levels is None or narrowed(_BREADTHS[wish], self._levels.of(goal)):
                yield wish

    def _relayed(
        self, person: Person, spot: Spot, goal: Spot, wish: RequestedTarget, message: dict[str, object] | None
    ) -> Ruling:
        """Return whether a message at one path arrives at another one that it asks for."""
        may = self._asked(person, Verb.TARGET, spot, message)
        if (code := _called(spot.rule)) and may.answer is not False:
            may = Ruling(None, f"{code} decides what becomes of it")
        return may & self._arrives(person, goal, message, many=wish in _FOR_MANY)

    def _arrives(self, person: Person, goal: Spot, message: dict[str, object] | None, *, many: bool) -> Ruling:
        """Return whether what comes from elsewhere arrives at a path; `many`: it is not meant for that path alone."""
        rule = goal.rule
        if not rule.config.open_to_others:
            return Ruling(False, f"{rule.owner} takes nothing from other paths")
        if many and rule.permits is not None and rule.permits.authorize is None:
            permission = rule.permits.rules.get(Verb.TARGET)
            if permission is not None and permission.names & {"params", "path"}:
                return Ruling(
                    False, f"may.target ({permission.where}) asks for the path, so what is for many is not taken"
                )
        return self._asked(person, Verb.TARGET, goal, message)

    def _from_route(self, person: Person, rule: RouteRule, goal: Spot) -> Iterator[Ruling]:
        if not any(_sends_to(rule.config.do, goal)):
            return
        yield _way(self._best_request(person, rule), f"by {_methods(rule.config)} {rule.config.path} ({rule.owner})")

    def _best_request(self, person: Person, rule: RouteRule) -> Ruling:
        """Return whether the person can request a route, at any of its paths."""
        pattern = rule.config.path
        rulings = [requested(rule.permits, person, pattern.text, {}, bare=bool(pattern.parameters))]
        for path in _filled(pattern, person.words) if pattern.parameters else ():
            params = pattern.match(split_path(path) or [], ignore_case=False)
            if params is not None:
                rulings.append(requested(rule.permits, person, path, params))
        return next(each for answer in (True, None, False) for each in rulings if each.answer is answer)

    def _code(self, person: Person, message: dict[str, object] | None) -> Iterator[str]:
        """Yield the plugins' handlers that a person may call."""
        for spot in self._everywhere(person):
            names = _called(spot.rule)
            if names and self._publishes(person, spot, message).answer is not False:
                yield f"{names} ({_where(spot)})"
        for rule in self._routes:
            names = _called(rule)
            if names and self._best_request(person, rule).answer is not False:
                yield f"{names} ({_methods(rule.config)} {rule.config.path})"

    # Requests

    def _requests(self, person: Person, path: PathPattern, method: str | None) -> list[Finding]:
        found: list[Finding] = []
        seen: set[int] = set()
        for endpoint in self._pages:
            for rule, text, params in self._taking(endpoint, path, method):
                if id(rule) not in seen:
                    seen.add(id(rule))
                    bare = bool(path.parameters)
                    asked = requested(rule.permits, person, text, params, bare=bare)
                    found.append(Finding(asked, f"by {_methods(rule.config)} {rule.config.path}"))
        if not found:
            raise OperatorError(f"no route answers {f'{method} ' if method else ''}{path.text}")
        return found if len(found) > 1 else [replace(found[0], at="")]

    def _taking(
        self, endpoint: str, path: PathPattern, method: str | None
    ) -> Iterator[tuple[RouteRule, str, dict[str, str | int]]]:
        rules = [rule for rule in self._routes if endpoint in rule.endpoints]
        if path.parameters:
            for rule in rules:
                same = rule.config.path.identity(ignore_case=False) == path.identity(ignore_case=False)
                if same and (method is None or method in rule.config.methods):
                    yield rule, rule.config.path.text, {}
            return
        takers = contenders(claims_of(rules), split_path(path.text) or [], ignore_case=False)
        for each in answering(takers, method) if takers else ():
            yield each.claim.rule, path.text, dict(each.params)


def _declared(endpoint: str, rule: SignalRule) -> Spot:
    """Return a signal at the path that it declares, whatever parameters that has."""
    pattern = rule.config.path
    return Spot(endpoint, ResolvedPath(rule, pattern.text, {}, pattern.text, None), bare=bool(pattern.parameters))


def _way(found: Ruling, how: str) -> Ruling:
    """Return what is known of a way, which names it if it may be open."""
    if found.answer is False:
        return found
    if found.answer is True:
        return Ruling(True, f"{how}: {found.why}" if found is not YES else how)
    return Ruling(None, f"{how}: {found.why}")


def _closable(way: Ruling) -> Ruling:
    """Return a way from another path, with what closes it."""
    if way.answer is False:
        return way
    return replace(way, why=f"{way.why}; from_elsewhere: false or may.target at the path closes this way")


def _where(spot: Spot) -> str:
    return f"{spot.resolved.path} ({spot.rule.owner})"


def _methods(config: RouteConfig) -> str:
    return ", ".join(config.methods)


def _filled(pattern: PathPattern, words: Iterable[str]) -> Iterator[str]:
    """Yield paths of a pattern with a word in place of each parameter."""
    for word in words:
        segments = [word if isinstance(segment, Parameter) else segment for segment in pattern.segments]
        if all(segments):
            yield join_segments(segments)


def _sends_to(steps: tuple[StepConfig, ...], goal: Spot) -> Iterator[StepConfig]:
    """Yield the broadcasts of a list that may bring something of their event to a path."""
    for step in all_steps(steps):
        options = step.options if step.name == "broadcast" and isinstance(step.options, dict) else None
        if options is None or not is_rendered(options.get("value")) or options.get("to") == "sender":
            continue
        path = options.get("path")
        if path is None or is_template(str(path)) or _is_at(str(path), goal):
            yield step


def _is_at(path: str, goal: Spot) -> bool:
    segments = split_path(path)
    if segments is None:
        return False
    if goal.bare:
        return goal.rule.config.path.match(segments) is not None
    return goal.rule.config.path.match(segments) == goal.resolved.params


def _called(rule: SignalRule | RouteRule) -> str:
    """Return the plugins' code that messages or requests run, for people; empty if there is none."""
    if rule.handler is not None:
        return f"handler {rule.handler.name} of plugin {rule.handler.plugin}"
    calls = sorted(rule.do.calls) if rule.do is not None else []
    return f"handler {', '.join(calls)}" if calls else ""
