"""How a built-in action is declared: what it takes, where it may stand, what is wrong with it, and what it does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from signalpost.actions.execution import Run
from signalpost.actions.steps import Effect, Options, Step
from signalpost.config.actions import ActionRule
from signalpost.config.model import StepConfig
from signalpost.handlers import Handler


class Draft(Protocol):
    """A step that is being compiled; `signalpost.plan.actions` makes it."""

    @property
    def config(self) -> StepConfig:
        """What routes.yaml says."""

    def options(self, value: Any, *below: str | int, markup: bool = False, of_key: bool = False) -> Options:
        """Compile the options of the step, or what stands at the keys `below` them.

        Args:
            value: plain data with templates in it.
            below: where it stands in the options.
            markup: whether what templates give is escaped for HTML.
            of_key: whether it is the key that stands there.

        """

    def leaf(self, options: Options, effect: Effect | None = None, *, code: str = "") -> Step:
        """Make the step.

        Args:
            options: compiled.
            effect: does it; None is what the action declares.
            code: of whom that is, if it is a plugin's.

        """

    def handler(self) -> Handler | None:
        """Find the handler that the options name; None if there is none, which is reported."""

    def problem(self, text: str, *below: str | int, of_key: bool = False) -> None:
        """Report a mistake in the step, or at the keys `below` its options."""


def compile_options(draft: Draft) -> Step | None:
    """Compile a step whose options are what they look like."""
    return draft.leaf(draft.options(draft.config.options))


def option(title: str, description: str, type: str | Sequence[str] = (), **rules: Any) -> dict[str, Any]:  # noqa: A002 - JSON Schema's word
    """Return the JSON Schema of an action's options, or of one of them.

    Args:
        title: what an editor calls it.
        description: what it means, for editors and the reference.
        type: of its value; any, if none is named.
        rules: further keywords of JSON Schema.

    """
    kind = {"type": type} if type else {}
    return {"title": title, "description": description, **kind, **rules}


def _do_nothing(_run: Run, _options: Any) -> None:
    """Do nothing: the effect of an action whose `compile` has another for each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn(ActionRule):
    """A built-in action.

    Attributes:
        effect: does it, given its rendered options. Everything goes through the event. It raises ValueError or
            TypeError, in words for whoever wrote the step, if a template gave what does not fit.
        compile: makes a step of it.
        waits: whether the effect is to be awaited.
        changes: whether it changes something for others than who has it done.
        refuses: whether it may keep a client out that arrives.
        binds: whether the keys of its options are names, which templates of the steps behind it know.

    """

    effect: Effect = _do_nothing
    compile: Callable[[Draft], Step | None] = compile_options
    waits: bool = False
    changes: bool = False
    refuses: bool = False
    binds: bool = False
