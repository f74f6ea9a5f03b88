"""A program: a compiled list of actions, and its interpreter."""

import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from signalpost.actions.execution import Run, Trace, WebRequest
from signalpost.actions.given import OptionError, items_of
from signalpost.actions.steps import Branch, Leaf, Loop, Step, Stop
from signalpost.config.actions import all_steps
from signalpost.config.model import StepConfig
from signalpost.errors import ClientError, SignalpostError, StepFailedError
from signalpost.foreign import is_the_task_s, original
from signalpost.templates.value import TemplateFailedError

_Walk = Generator[Awaitable[None], None, bool]


@dataclass(frozen=True, slots=True)
class Program:
    """A list of actions, ready to run; two are equal if their configurations are equal.

    Its text names its steps: ``if, broadcast``.

    Attributes:
        config: from which it was compiled.
        steps: in order.
        waits: whether it must be awaited.
        foreign: whether it may run plugins' code.
        calls: the handlers that it may call.
        names: that its templates use.
        constants: of routes.yaml, if its templates use any: with others, it is another program.
    """

    config: tuple[StepConfig, ...]
    steps: tuple[Step, ...] = field(compare=False, repr=False)
    waits: bool = field(default=False, compare=False)
    foreign: bool = field(default=False, compare=False)
    calls: frozenset[str] = frozenset()
    names: frozenset[str] = field(default=frozenset(), compare=False)
    constants: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(step.name for step in all_steps(self.config)))

    def run(self, event: Any, *, request: WebRequest | None = None, trace: Trace | None = None) -> Run:
        """Run all steps at once; for a program that does not wait.

        Args:
            event: what happened.
            request: of a route.
            trace: called for every step.

        Raises:
            StepFailedError: a step failed, and the rest did not run.
        """
        run = Run(event, request, trace)
        for _ in _walk(self.steps, run):
            raise RuntimeError("a step waits in a list that was compiled as one that does not")
        return run

    async def run_async(
        self,
        event: Any,
        *,
        request: WebRequest | None = None,
        trace: Trace | None = None,
        charge: Callable[[float], None] | None = None,
    ) -> Run:
        """Run all steps, awaiting those that wait; see `run`.

        Args:
            event: what happened.
            request: of a route.
            trace: called for every step.
            charge: called with the seconds that the steps worked, each time before one waits, and at the end.
        """
        run = Run(event, request, trace)
        walk = _walk(self.steps, run)
        waiting: Awaitable[None] | None
        while True:
            begun = perf_counter()
            try:
                waiting = next(walk, None)
            finally:
                if charge is not None:
                    charge(perf_counter() - begun)
            if waiting is None:
                return run
            await waiting


def _walk(steps: Sequence[Step], run: Run) -> _Walk:
    """Run the steps, and yield what must be awaited before the next; return whether a ``stop`` was reached."""
    for step in steps:
        try:
            run.tick()
            options = step.options.of(run)
            outcome = step.effect(run, options) if isinstance(step, Leaf) else None
        except BaseException as error:  # from a plugin's action SystemExit, too: it would end the event loop
            raise _failure(step, error) from error
        if isinstance(step, Leaf):
            if step.waits:
                yield _awaited(step, outcome)
                run.rest()
                outcome = None
                if run.deserted:
                    return True
            if run.trace is not None:
                run.trace(step.name, step.where, options, outcome)
        elif (yield from _inside(step, options, run)):
            return True
    return False


def _inside(step: Branch | Loop | Stop, options: Any, run: Run) -> _Walk:
    """Run the steps inside a step; see `_walk`."""
    trace = run.trace or _no_trace
    match step:
        case Stop():
            trace(step.name, step.where, options, None)
            return True
        case Branch():
            trace(step.name, step.where, bool(options), "then" if options else "else")
            return (yield from _walk(step.then if options else step.otherwise, run))
        case Loop():
            items = _items(step, options, run)
            trace(step.name, step.where, items, None)
            for number, item in enumerate(items):
                _turn(step, run)
                run.variables[step.variable] = item
                if step.index is not None:
                    run.variables[step.index] = number
                if (yield from _walk(step.body, run)):
                    return True
            return False


def _items(step: Loop, options: Any, run: Run) -> Sequence[Any]:
    try:
        items = items_of(options)
        run.spend(len(items))
    except OptionError as error:
        raise _failure(step, error) from error
    return items


def _turn(step: Loop, run: Run) -> None:
    try:
        run.turn()
    except OptionError as error:
        raise _failure(step, error) from error


def _no_trace(_step: str, _where: str, _values: Any, _outcome: Any) -> None:
    """Record nothing."""


async def _awaited(step: Leaf, outcome: Any) -> None:
    try:
        if inspect.isawaitable(outcome):
            await outcome
    except BaseException as error:
        if is_the_task_s(error):
            raise
        raise _failure(step, error) from error


def _failure(step: Step, error: BaseException) -> StepFailedError:
    """Return the error for a failure: template values are one line; an exception of code keeps its traceback."""
    if isinstance(error, TemplateFailedError):
        return StepFailedError(error.where, step.name, error.text)
    if isinstance(step, Leaf) and step.code and not isinstance(error, OptionError):
        return StepFailedError(step.where, step.name, f"{step.code} failed", cause=original(error))
    if isinstance(error, ClientError):  # a request that should have come from a connected client
        return StepFailedError(step.where, step.name, str(error), cause=error)
    if isinstance(error, ValueError | TypeError | SignalpostError):
        return StepFailedError(step.where, step.name, str(error))
    return StepFailedError(step.where, step.name, f"failed: {type(error).__name__}", cause=error)
