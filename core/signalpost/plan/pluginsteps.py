"""Compiles the steps that are plugins' actions: their options are held against what the plugin says they may be."""

import copy
import inspect
from collections.abc import Iterator
from typing import Any

from signalpost.actions.given import UnfitError
from signalpost.actions.run import Run
from signalpost.actions.steps import Effect
from signalpost.config.model import StepConfig
from signalpost.config.schema.judge import Misfit, judge_shape
from signalpost.events import given_to
from signalpost.plugins.action import Action
from signalpost.templates.compiler import is_template


def misfits_of(config: StepConfig, action: Action) -> Iterator[Misfit]:
    """Yield what is wrong with a step's options, as far as that can be told before their templates are rendered."""
    yield from judge_shape(config.options, action.schema, is_template)


def effect_of(action: Action, options: Any) -> Effect:
    """Make what does the step.

    Args:
        action: sound, with a gate.
        options: as routes.yaml has them; if templates are in them, they are judged anew whenever they are rendered.

    Returns:
        an ``async def`` if the action is one.

    """
    rendered, code = _has_templates(options), action.code

    def ready(given: Any) -> Any:
        # Options without templates are judged already; but the function may take them apart, so it has its own.
        return _judged(action, given) if rendered else copy.deepcopy(given)

    async def handle(run: Run, given: Any) -> None:
        await code.run(action.function, given_to(run.event, code.seat), ready(given))

    def do(run: Run, given: Any) -> None:
        if inspect.isawaitable(outcome := code.call(action.function, given_to(run.event, code.seat), ready(given))):
            if inspect.iscoroutine(outcome):
                outcome.close()
            raise UnfitError(f"{action.where} is no async def, so what it returns is not awaited: make it one")

    return handle if action.waits else do


def _judged(action: Action, options: Any) -> Any:
    if action.gate is not None and not action.gate.accepts(options):
        mismatch = action.gate.explain(options)
        place = f" at {mismatch.pointer}" if mismatch.pointer else ""
        raise UnfitError(f"its options{place}: {mismatch.detail}")
    return options


def _has_templates(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_templates(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_has_templates(part) for part in value)
    return isinstance(value, str) and is_template(value)
