"""Notes on steps that send a value as it stands in the file, and ``sends`` of its readers' signal does not allow it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from signalpost.config.actions import all_steps
from signalpost.config.model import ServerConfig, SignalConfig, StepConfig
from signalpost.config.schema.judge import holds
from signalpost.plan.report import PlanReport
from signalpost.signals.rule import SignalRule
from signalpost.signals.sends import place_of_sends
from signalpost.signals.table import SignalTable, served_at
from signalpost.templates.compiler import is_template
from signalpost.words import cut, printable

_EXCERPT = 60  # characters of a value


def note_literals(config: ServerConfig, signals: Sequence[SignalRule], report: PlanReport) -> None:
    """Note each value without templates that a step sends to clients who, by ``sends``, read something else.

    Args:
        config: what routes.yaml says.
        signals: of the plan.
        report: receives the notes.
    """
    if not any(rule.sends for rule in signals):
        return
    names, undeclared = served_at(config)
    table = SignalTable(signals, names, undeclared=undeclared)
    own = {rule.config.keys: rule for rule in signals if rule.config.keys}
    for part in config.parts:
        sender = own.get(part.keys)
        lists = (part.do, part.connected, part.disconnected) if isinstance(part, SignalConfig) else (part.do,)
        for step in (each for steps in lists for each in all_steps(steps)):
            for rule in _readers(step, table, sender):
                _judge(step, rule, config, report)


def _readers(step: StepConfig, table: SignalTable, sender: SignalRule | None) -> Iterator[SignalRule]:
    """Yield the signals whose clients certainly read what a step sends, if it sends a value as it stands."""
    options = step.options
    if not isinstance(options, dict) or options.get("value") in (None, "") or holds(options["value"], is_template):
        return
    path = options.get("path")
    if step.name == "reply" or (step.name == "broadcast" and options.get("to") == "sender"):
        if sender is not None:
            yield sender
    elif step.name == "broadcast" and isinstance(path, str) and not is_template(path) and "client" not in options:
        found = (table.rule_at(place) for place in table.places(path))
        yield from (rule for rule in found if rule is not None)


def _judge(step: StepConfig, rule: SignalRule, config: ServerConfig, report: PlanReport) -> None:
    value: Any = step.options["value"]
    if rule.sends is None or rule.sends.accepts(value):
        return
    source = config.source
    at = source.problem((*step.keys, step.name, "value"), "")
    rejection = rule.sends.explain(value)
    inside = f"at {rejection.pointer}: " if rejection.pointer else ""
    shown = printable(cut(json.dumps(value, ensure_ascii=False, default=str), _EXCERPT))
    report.note(
        f"{at.file}:{at.line}:{at.column}: {step.name} sends {shown} to clients on {rule.config.path}, which is not "
        f"what sends says there ({place_of_sends(rule, source)}): {inside}{rejection.detail}"
    )
