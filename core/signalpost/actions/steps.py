"""Compiled steps: what a list of actions is made of at run time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from signalpost.actions.run import Run
from signalpost.delivery.target import Receipt

Outcome = Receipt | Awaitable[Any] | None
Effect = Callable[[Run, Any], Outcome]
"""Does a step, given its rendered options; what it returns, if it is awaitable, is waited for."""


class Value(Protocol):
    """The options of a step: fixed, or made anew for each run."""

    def render(self, scope: Mapping[str, Any]) -> Any:
        """Give them."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A step that does one thing.

    Attributes:
        name: of the action.
        where: its place: ``routes.yaml:14:9``.
        options: given to `effect`.

    """

    name: str
    where: str
    options: Any
    effect: Effect


Step = Leaf
