"""A program: a compiled list of actions, and the interpreter that does them."""

import inspect
from collections.abc import Awaitable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from signalpost.actions.run import Run
from signalpost.actions.steps import Step
from signalpost.config.model import StepConfig
from signalpost.errors import StepFailedError


@dataclass(frozen=True, slots=True)
class Program:
    """A list of actions, ready to run; two are equal when routes.yaml says the same in both.

    Attributes:
        config: what it was compiled from.
        steps: in order.
        waits: whether one of them must be awaited.

    """

    config: tuple[StepConfig, ...]
    steps: tuple[Step, ...] = field(compare=False, repr=False)
    waits: bool = False

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(step.name for step in self.config))

    def run(self, event: Any) -> Run:
        """Do all steps at once; for a program that does not wait.

        Raises:
            StepFailedError: a step failed, and the rest was not done.

        """
        run = Run(event)
        for _ in _walk(self.steps, run):
            raise RuntimeError("a step waits in a list that was compiled as one that does not")
        return run

    async def follow(self, event: Any) -> Run:
        """Do all steps, waiting where one waits.

        Raises:
            StepFailedError: a step failed, and the rest was not done.

        """
        run = Run(event)
        for waiting in _walk(self.steps, run):
            await waiting
        return run


def _walk(steps: Sequence[Step], run: Run) -> Generator[Awaitable[None], None, None]:
    """Do the steps, and yield what must be awaited before the next."""
    for step in steps:
        try:
            outcome = step.effect(run, step.options)
        except Exception as error:
            raise _failure(step, error) from error
        if outcome is not None and inspect.isawaitable(outcome):
            yield _awaited(step, outcome)


async def _awaited(step: Step, outcome: Awaitable[Any]) -> None:
    try:
        await outcome
    except Exception as error:
        raise _failure(step, error) from error


def _failure(step: Step, error: Exception) -> StepFailedError:
    return StepFailedError(step.where, step.name, str(error) or type(error).__name__)
