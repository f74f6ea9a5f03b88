"""Broadcast levels (Pode behaviour 34): how broad broadcasts may be that reach the clients of a signal.

A level belongs to those who receive, so it holds for whoever sends: handlers, actions, routes, jobs, feeds, and
clients. A target with a path is judged by the signal there. One without a path may reach clients of every signal, so
the strictest of all counts; for what clients say themselves, without those that take nothing from elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence

from signalpost.config.model import Breadth
from signalpost.delivery.target import Target
from signalpost.errors import ClientError, ErrorCode, SignalpostError
from signalpost.foreign import BlamingError
from signalpost.paths import Place, path_of
from signalpost.signals.rule import SignalRule
from signalpost.signals.table import SignalTable

_BREADTHS = tuple(Breadth)
_RANKS: Mapping[Breadth, int] = {breadth: rank for rank, breadth in enumerate(Breadth)}
WORDS: Mapping[Breadth, str] = {
    Breadth.EVERYONE: "everyone",
    Breadth.PATH: "a path",
    Breadth.GROUP: "a group",
    Breadth.CLIENT: "one client",
}
_KEYS: Mapping[Breadth, str] = {Breadth.PATH: "path", Breadth.GROUP: "group", Breadth.CLIENT: "client"}


class TooBroadError(SignalpostError, BlamingError, ValueError):
    """A broadcast was to reach more clients than ``broadest`` in routes.yaml allows; nothing was sent."""


def breadth_of(target: Target) -> Breadth:
    """Return how broad a target is; the narrowest of what it names counts."""
    if target.client is not None or target.user is not None:
        return Breadth.CLIENT  # all connections of one user are one person's
    if target.groups is not None:
        return Breadth.GROUP
    return Breadth.EVERYONE if target.path is None else Breadth.PATH


def narrowed(broad: Breadth, level: Breadth) -> bool:
    """Return whether a breadth is within a level."""
    return _RANKS[broad] >= _RANKS[level]


class Levels:
    """The levels of one plan. Create them with `levels_of`.

    Args:
        table: of the plan's signals.
        default: of the app, where a signal does not say otherwise.

    Attributes:
        loosest: the least strict of all: what is broader than that is an error wherever it goes.
    """

    __slots__ = ("_all", "_default", "_open", "_table", "loosest")

    def __init__(self, table: SignalTable, default: Breadth) -> None:
        self._table = table
        self._default = default
        others = [(default, "")] if table.takes_undeclared or not table.rules else []
        everywhere = [*others, *((self.of(rule), _named(rule)) for rule in table.rules)]
        self._all = _strictest(everywhere)
        self._open = _strictest(
            [*others, *((self.of(rule), _named(rule)) for rule in table.rules if rule.config.open_to_others)],
        )
        self.loosest = min((level for level, _ in everywhere), key=_RANKS.__getitem__)

    def of(self, rule: SignalRule) -> Breadth:
        """Return the level of a signal."""
        return rule.config.broadest or self._default

    def excess(self, target: Target) -> str:
        """Return why the app itself may not send to a target, for its authors; empty if it may."""
        if target.path is not None:
            return _excess(breadth_of(target), *self._at(target.path))
        text = _excess(breadth_of(target), *self._all)
        return f"{text}, or a path that allows more" if text and narrowed(Breadth.PATH, self.loosest) else text

    def excess_of_relay(self, broad: Breadth, rule: SignalRule, *, path: bool) -> str:
        """Return why what clients say may not go as far, without a remedy; empty if it may.

        Args:
            broad: how far it goes.
            rule: of the sender's signal.
            path: whether it goes to the sender's own path alone.
        """
        own = (self.of(rule), _named(rule))
        level, owner = own if path else _strictest([own, self._open])
        return "" if narrowed(broad, level) else _limit(level, owner)

    def excess_at(self, broad: Breadth, rule: SignalRule) -> str:
        """Return why nobody may send so broadly to a signal's own path; empty if it may be."""
        return _excess(broad, self.of(rule), _named(rule))

    def excess_anywhere(self, broad: Breadth) -> str:
        """Return why nothing may be sent so broadly, to whatever path; empty if it may be."""
        return _excess(broad, self.loosest, "")

    def excess_of_undeclared(self) -> str:
        """Return why messages on paths without a signal may not go to everyone; empty if they may."""
        level, owner = _strictest([(self._default, ""), self._open])
        return _limit(level, owner) if level is not Breadth.EVERYONE else ""

    def check(self, targets: Iterable[Target]) -> None:
        """Check that the app itself may send to targets.

        Raises:
            TooBroadError: it may not.
        """
        for target in targets:
            if text := self.excess(target):
                raise TooBroadError(text)

    def refusal(self, target: Target, rule: SignalRule) -> ClientError | None:
        """Return why a client's message may not go to the target that it requests; None if it may.

        Args:
            target: as requested.
            rule: of the sender's signal.
        """
        own = (self.of(rule), "")
        level, _ = self._at(target.path) if target.path is not None else _strictest([own, self._open])
        if narrowed(breadth_of(target), level):
            return None
        allowed = [f"its {_REQUESTED[each]}" for each in _BREADTHS if each in _REQUESTED and narrowed(each, level)]
        text = f"this is broader than what may be sent there; a message must name {' or '.join(allowed)}, or be direct"
        pointer = "/group" if target.groups is not None else "/path"
        return ClientError(ErrorCode.TARGET_NOT_ALLOWED, text, pointer)

    def _at(self, place: Place) -> tuple[Breadth, str]:
        rule = self._table.rule_at(place)
        if rule is None or not rule.declared:
            return self._default, path_of(place) or ""
        return self.of(rule), _named(rule)


_REQUESTED: Mapping[Breadth, str] = {Breadth.PATH: "path", Breadth.GROUP: "group", Breadth.CLIENT: "clientId"}


def levels_of(table: SignalTable, default: Breadth) -> Levels | None:
    """Return the levels of a plan; None if everything may go to everyone."""
    return Levels(table, default) if is_said(default, table.rules) else None


def is_said(default: Breadth, rules: Iterable[SignalRule]) -> bool:
    """Return whether anything is stricter than everyone."""
    return any(level not in (None, Breadth.EVERYONE) for level in (default, *(rule.config.broadest for rule in rules)))


def _named(rule: SignalRule) -> str:
    return f"{rule.config.path} ({rule.owner})"


def _strictest(levels: Sequence[tuple[Breadth, str]]) -> tuple[Breadth, str]:
    """Return the strictest level, and whose it is; the first of several."""
    return max(levels, key=lambda each: _RANKS[each[0]], default=(Breadth.EVERYONE, ""))


def _excess(broad: Breadth, level: Breadth, owner: str) -> str:
    if narrowed(broad, level):
        return ""
    keys = " or ".join(key for each, key in _KEYS.items() if narrowed(each, level))
    return f"this goes to {WORDS[broad]}, and {_limit(level, owner)}; name {keys}"


def _limit(level: Breadth, owner: str) -> str:
    where = f"what reaches clients of {owner}" if owner else "what is sent"
    return f"{where} goes to {WORDS[level]} at most (broadest: {level.value})"
