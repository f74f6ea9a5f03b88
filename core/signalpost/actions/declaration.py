"""The declaration of a built-in action: its options, where it may be used, its checks, and its effect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from signalpost.actions.execution import Run
from signalpost.actions.steps import Effect, Options, Step
from signalpost.config.actions import ActionRule
from signalpost.config.model import StepConfig
from signalpost.handlers import Handler


class Draft(Protocol):
    """A step under compilation; created by `signalpost.plan.actions`."""

    @property
    def config(self) -> StepConfig:
        """The step's configuration from routes.yaml."""

    @property
    def where(self) -> str:
        """The step's place: ``routes.yaml:14:9``."""

    def options(self, value: Any, *below: str | int, markup: bool = False, of_key: bool = False) -> Options:
        """Compile the options of the step, or the value at the keys `below` them.

        Args:
            value: plain data with templates in it.
            below: its path in the options.
            markup: whether the output of templates is escaped for HTML.
            of_key: whether it is the key at that path.
        """

    def leaf(self, options: Options, effect: Effect | None = None, *, code: str = "") -> Step:
        """Create the step.

        Args:
            options: compiled.
            effect: of the step; None is that of the action.
            code: of the plugin that defines the effect, if one does.
        """

    def handler(self) -> Handler | None:
        """Find the handler that the options name; if there is none, report that and return None."""

    def problem(self, text: str, *below: str | int, of_key: bool = False) -> None:
        """Report a problem of the step, or at the keys `below` its options."""


def compile_options(draft: Draft) -> Step | None:
    """Compile a step whose options are used as they are."""
    return draft.leaf(draft.options(draft.config.options))


def option(title: str, description: str, type: str | Sequence[str] = (), **rules: Any) -> dict[str, Any]:  # noqa: A002 - JSON Schema's word
    """Return the JSON Schema of an action's options, or of one of them.

    Args:
        title: for editors.
        description: for editors and the reference.
        type: of its value; by default any.
        rules: additional keywords of JSON Schema.
    """
    kind = {"type": type} if type else {}
    return {"title": title, "description": description, **kind, **rules}


def _do_nothing(_run: Run, _options: Any) -> None:
    """Do nothing: the effect of an action whose `compile` sets another one for each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn(ActionRule):
    """A built-in action.

    Attributes:
        counted: as `effect`, and awaited, where a list asks how many clients all nodes have; None is `effect`.
        effect: called with the rendered options. It acts only through the event. It raises ValueError or
            TypeError, with words for the author of the step, if the value of a template is invalid.
        compile: creates a step of it.
        waits: whether the effect must be awaited.
        changes: whether it changes something for others than the sender.
        refuses: whether it may reject an arriving client.
        binds: whether the keys of its options are names for the templates of later steps.
    """

    effect: Effect = _do_nothing
    counted: Effect | None = None
    compile: Callable[[Draft], Step | None] = compile_options
    waits: bool = False
    changes: bool = False
    refuses: bool = False
    binds: bool = False
