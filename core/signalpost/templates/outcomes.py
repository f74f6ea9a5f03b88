"""What an expression can give when some of its names are not known: for proofs.

Parts without unknown names are rendered as they serve. Parts with one may give anything, unless what stands beside them
decides: ``{{ params.room in claims.rooms }}`` fails for everybody without that claim, whatever the room is.
"""

from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import Any

from jinja2 import nodes

from signalpost.templates.value import TemplateFailedError

Render = Callable[[nodes.Expr, Mapping[str, Any]], Any]
"""Renders a part of an expression; raises `TemplateFailedError`."""


class Outcome(Enum):
    """What an expression may give."""

    TRUE = auto()
    FALSE = auto()
    TRUTHY = auto()
    FALSY = auto()
    FAILURE = auto()


Outcomes = frozenset[Outcome]

ANY: Outcomes = frozenset(Outcome)
_FAILURE: Outcomes = frozenset({Outcome.FAILURE})
_OF_COMPARISON: Outcomes = frozenset({Outcome.TRUE, Outcome.FALSE, Outcome.FAILURE})
_NAMING = (nodes.Name, nodes.Filter, nodes.Const)
_YES = (Outcome.TRUE, Outcome.TRUTHY)


class Imagination:
    """Finds out what an expression can give.

    Args:
        render: of parts.
        names: that are known, with their values.
        unknown: names, functions and filters that may give anything.
    """

    def __init__(self, render: Render, names: Mapping[str, Any], unknown: Collection[str]) -> None:
        self._render = render
        self._names = names
        self._unknown = frozenset(unknown)

    def of(self, node: nodes.Expr) -> Outcomes:
        """Return what a node may give."""
        if not self._depends(node):
            return self._rendered(node)
        match node:
            case nodes.And(left=left, right=right):
                return self._either(left, right, goes_on=True)
            case nodes.Or(left=left, right=right):
                return self._either(left, right, goes_on=False)
            case nodes.Not(node=inner):
                return frozenset(map(_opposite, self.of(inner)))
            case nodes.CondExpr(test=test, expr1=then, expr2=otherwise) if otherwise is not None:
                return self._chosen(self.of(test), then, otherwise)
            case nodes.Compare(expr=first, ops=others):
                sides = (first, others[0].expr)  # of a chain, the rest is looked at only if the first pair holds
                fails = any(not self._depends(side) and self._rendered(side) == _FAILURE for side in sides)
                return _FAILURE if fails else _OF_COMPARISON
        return ANY

    def _either(self, left: nodes.Expr, right: nodes.Expr, *, goes_on: bool) -> Outcomes:
        """Return the outcomes of ``and`` (`goes_on` after a yes) or ``or``."""
        found: set[Outcome] = set()
        for outcome in self.of(left):
            if outcome is not Outcome.FAILURE and (outcome in _YES) is goes_on:
                found |= self.of(right)
            else:
                found.add(outcome)
        return frozenset(found)

    def _chosen(self, test: Outcomes, then: nodes.Expr, otherwise: nodes.Expr) -> Outcomes:
        found: set[Outcome] = set()
        for outcome in test:
            if outcome is Outcome.FAILURE:
                found.add(outcome)
            else:
                found |= self.of(then if outcome in _YES else otherwise)
        return frozenset(found)

    def _depends(self, node: nodes.Node) -> bool:
        """Return whether a node has an unknown name in it, or a text that may be one: ``map('random')``."""
        return self._is_unknown(node) or any(map(self._is_unknown, node.find_all(_NAMING)))

    def _is_unknown(self, node: nodes.Node) -> bool:
        match node:
            case nodes.Name(name=name) | nodes.Filter(name=name):
                return name in self._unknown
            case nodes.Const(value=str(text)):
                return text in self._unknown
        return False

    def _rendered(self, node: nodes.Expr) -> Outcomes:
        try:
            value = self._render(node, self._names)
        except TemplateFailedError:
            return _FAILURE
        if value is True or value is False:
            return frozenset({Outcome.TRUE if value else Outcome.FALSE})
        return frozenset({Outcome.TRUTHY if value else Outcome.FALSY})


def _opposite(outcome: Outcome) -> Outcome:
    if outcome is Outcome.FAILURE:
        return outcome
    return Outcome.FALSE if outcome in _YES else Outcome.TRUE
