"""Which signal a WebSocket path belongs to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from signalpost.config.model import MessageFormat, Rebroadcast, SlowConfig, Wish
from signalpost.config.paths import PathPattern, PathTable, plain_path
from signalpost.signals.rule import SignalRule

_NO_PARAMS: Mapping[str, str | int] = {}
_ANY_PATH = PathPattern.parse("/<path:path>")


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """The signal that takes a path.

    Attributes:
        path: the text of the path in its one spelling: literals as declared, parameters as given.
        params: the path's parameters; empty on a path that no signal declares.

    """

    rule: SignalRule
    path: str
    params: Mapping[str, str | int]


class SignalTable:
    """Resolves WebSocket paths, literals without case (Pode behaviour 17).

    Args:
        rules: of one plan; no two of one endpoint share a path.
        endpoints: names of all WebSocket endpoints.
        refuse_undeclared: whether paths that no signal declares are refused, rather than re-broadcast as in Pode.

    """

    def __init__(self, rules: Iterable[SignalRule], endpoints: Iterable[str], *, refuse_undeclared: bool) -> None:
        rules, endpoints = tuple(rules), tuple(endpoints)
        self._undeclared = {} if refuse_undeclared else {name: _undeclared(name) for name in endpoints}
        self._tables: dict[str, PathTable[SignalRule]] = {name: PathTable() for name in endpoints}
        self._all: PathTable[None] = PathTable()
        seen: set[str] = set()
        for rule in rules:
            for name in rule.endpoints:
                self._tables[name].add(rule.pattern, rule)
            # Two endpoints may each have a signal on one path; for the spelling of targets the first one counts.
            if rule.pattern.key not in seen:
                seen.add(rule.pattern.key)
                self._all.add(rule.pattern, None)

    def resolve(self, endpoint: str, path: str) -> ResolvedPath | None:
        """Find the signal for the text of a path at an endpoint; None when it is refused, or no path."""
        match = self._tables[endpoint].match(path)
        if match is not None:
            return ResolvedPath(match.value, match.path, match.params)
        rule = self._undeclared.get(endpoint)
        return ResolvedPath(rule, plain_path(path), _NO_PARAMS) if rule is not None and path.startswith("/") else None

    def spelling(self, path: str) -> str:
        """Bring the path of a target to the spelling that clients' paths have; what is no path stays as it is.

        Nobody is ever connected on what is no path, nor is what is undeclared ever the path of a declared signal.
        """
        match = self._all.match(path)
        return match.path if match is not None else plain_path(path)


def _undeclared(endpoint: str) -> SignalRule:
    """Say what Pode does on a path without a signal: re-broadcast, to everyone or where the client asks."""
    return SignalRule(
        pattern=_ANY_PATH,
        owner="undeclared",
        endpoints=frozenset({endpoint}),
        handler=None,
        handler_name="",
        handler_plugin="",
        gate=None,
        rebroadcast=Rebroadcast.EVERYONE,
        targets=frozenset(Wish),
        format=MessageFormat.JSON,
        slow=SlowConfig(),
        declared=False,
    )
