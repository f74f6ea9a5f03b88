"""The table of signals: which one serves a WebSocket path."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from signalpost.config.authmodel import Verb
from signalpost.config.model import HistoryConfig, LatestBy, PresenceConfig, ServerConfig, SignalConfig
from signalpost.paths import Apart, PathPattern, PathTable, Place, path_of, plain_path
from signalpost.signals.messagefilters import Filters
from signalpost.signals.rule import SignalRule

_NO_PARAMS: Mapping[str, str | int] = {}
_ANY_PATH = PathPattern.parse("/<path:path>")

OPEN_WARD = ""
"""The ward of all clients whose signals check nothing about messages from other paths."""


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """The signal that serves a path.

    Attributes:
        path: the text of the path in its canonical spelling: literals as declared, parameters as requested.
        params: the path's parameters; empty on a path that no signal declares.
        place: whose clients are one audience: the path, and what distinguishes a signal of some endpoints from what
            others have at that path.
        ward: whose clients have the same check for messages from elsewhere; None if no clients have one.
    """

    rule: SignalRule
    path: str
    params: Mapping[str, str | int]
    place: Place
    ward: str | None


class SignalTable:
    """Resolves WebSocket paths, ignoring the case of literals (Pode behaviour 17).

    Args:
        rules: of one plan; no two of one endpoint share a path.
        endpoints: names of all endpoints that serve signals.
        undeclared: those of them where paths that no signal declares are re-broadcast, as in Pode; elsewhere they are
            rejected.
        filters: of plugins, for messages on such paths.

    Attributes:
        bound: whether any signal exists at some endpoints only.
        keys: by which signals distinguish values of one path for slow clients.
        remembers: whether any signal has a history.
        wards: signals that check messages from other paths: that accept none, have a schema, or say who may.
        rules: all of them.
    """

    def __init__(
        self,
        rules: Iterable[SignalRule],
        endpoints: Iterable[str],
        *,
        undeclared: Iterable[str],
        filters: Filters | None = None,
    ) -> None:
        rules, endpoints = tuple(rules), tuple(endpoints)
        self.rules = rules
        self._undeclared = {name: _undeclared(name, filters) for name in undeclared}
        self._tables: dict[str, PathTable[SignalRule]] = {name: PathTable() for name in endpoints}
        self._all: PathTable[str] = PathTable()
        self._names = frozenset(endpoints)
        self.remembers = any(rule.config.history is not None for rule in rules)
        self.bound = any(rule.endpoints < self._names for rule in rules)
        self.wards = {_ward(rule): rule for rule in rules if _checks(rule)}
        policies = (rule.config.slow.policy for rule in rules)
        self.keys = frozenset(policy.key for policy in policies if isinstance(policy, LatestBy))
        seen: set[str] = set()
        for rule in rules:
            for name in rule.endpoints:
                self._tables[name].add(rule.config.path, rule)
            # Two endpoints may each have a signal on one path; the first one defines the spelling of targets.
            if rule.config.path.key not in seen:
                seen.add(rule.config.path.key)
                self._all.add(rule.config.path, rule.config.path.text)

    def resolve(self, endpoint: str, path: str) -> ResolvedPath | None:
        """Return the signal for the text of a path at an endpoint; None if there is none, or the path is invalid."""
        table = self._tables.get(endpoint)
        match = None if table is None else table.match(path)
        if match is not None:
            return self._resolved(match.value, match.path, match.params)
        rule = self._undeclared.get(endpoint)
        return self._resolved(rule, plain_path(path), _NO_PARAMS) if rule is not None and path.startswith("/") else None

    def _resolved(self, rule: SignalRule, path: str, params: Mapping[str, str | int]) -> ResolvedPath:
        apart = rule.declared and rule.endpoints < self._names
        return ResolvedPath(
            rule,
            path,
            params,
            place=Apart(path, tuple(sorted(rule.endpoints))) if apart else path,
            ward=None if not self.wards else ward if (ward := _ward(rule)) in self.wards else OPEN_WARD,
        )

    @property
    def takes_undeclared(self) -> bool:
        """Whether clients may be on paths that no signal declares."""
        return bool(self._undeclared)

    @property
    def guarded(self) -> bool:
        """Whether any signal checks messages from other paths."""
        return bool(self.wards)

    def place(self, endpoint: str, path: str) -> Place:
        """Return the place of a path at an endpoint; if the path is rejected there, a place without clients."""
        resolved = self.resolve(endpoint, path)
        return self.canonical_path(path) if resolved is None else resolved.place

    def places(self, path: str) -> tuple[Place, ...]:
        """Return the places of a path at every signal that declares it; if none does, that of the undeclared path."""
        found = (self.resolve(endpoint, path) for endpoint in self._tables)
        declared = dict.fromkeys(each.place for each in found if each is not None and each.rule.declared)
        return tuple(declared) or (self.canonical_path(path),)

    def history(self, place: Place) -> HistoryConfig | None:
        """Return how much is kept of what is sent to a place; None is nothing."""
        config = self._at(place)
        return None if config is None else config.history

    def presence(self, place: Place) -> PresenceConfig | None:
        """Return how the clients of a place are told who is there; None if they are not."""
        config = self._at(place)
        return None if config is None else config.presence

    def _at(self, place: Place) -> SignalConfig | None:
        rule = self.rule_at(place)
        return None if rule is None else rule.config

    def rule_at(self, place: Place) -> SignalRule | None:
        """Return the signal of a place; None if there is no such place."""
        names = place.endpoints if isinstance(place, Apart) else tuple(self._tables)
        resolved = self.resolve(names[0], path_of(place) or "") if names and names[0] in self._tables else None
        return None if resolved is None or resolved.place != place else resolved.rule

    def pattern_of(self, path: str) -> str | None:
        """Return the path of the signal that declares a path, as it stands in routes.yaml; None if none does."""
        match = self._all.match(path)
        return None if match is None else match.value

    def canonical_path(self, path: str) -> str:
        """Convert the path of a target to the spelling of clients' paths; text that is not a path is unchanged.

        No client is ever connected on text that is not a path, and an undeclared path never equals a declared one.
        """
        match = self._all.match(path)
        return match.path if match is not None else plain_path(path)


def served_at(config: ServerConfig) -> tuple[list[str], list[str]]:
    """Return the arguments `endpoints` and `undeclared` of an app's table."""
    endpoints = [endpoint for endpoint in config.endpoints if endpoint.signals]
    # Over plain HTTP only declared signals are served: else any address that nobody knows would be one.
    undeclared = [] if config.undeclared_refused else [each.name for each in endpoints if each.serves_sockets]
    return [each.name for each in endpoints], undeclared


def _checks(rule: SignalRule) -> bool:
    return rule.gate is not None or not rule.config.open_to_others or rule.asks(Verb.TARGET)


def _ward(rule: SignalRule) -> str:
    return sys.intern("\n".join((rule.config.path.key, *sorted(rule.endpoints))))  # each client keeps a reference to it


def _undeclared(endpoint: str, filters: Filters | None) -> SignalRule:
    """Return the rule of Pode for a path without a signal: re-broadcast to everyone, or to the requested target."""
    return SignalRule(SignalConfig((), _ANY_PATH), "undeclared", frozenset({endpoint}), filters=filters, declared=False)
