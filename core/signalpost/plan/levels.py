"""Broadcasts that are broader than ``broadest`` allows, as far as a plan shows them: of steps and of signals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from signalpost.config.actions import all_steps
from signalpost.config.model import Breadth, Rebroadcast, ServerConfig, SignalConfig, StepConfig
from signalpost.delivery.target import ClientId, Target
from signalpost.plan.report import PlanReport
from signalpost.signals.levels import WORDS, Levels, breadth_of, is_said, narrowed
from signalpost.signals.rule import RELAY, SignalRule
from signalpost.signals.table import SignalTable, served_at
from signalpost.templates.compiler import is_template

_OWN_PATH = "{{path}}"
_REBROADCASTS: Mapping[Rebroadcast, Breadth] = {
    Rebroadcast.EVERYONE: Breadth.EVERYONE,
    Rebroadcast.OTHERS: Breadth.EVERYONE,
    Rebroadcast.PATH: Breadth.PATH,
    Rebroadcast.GROUP: Breadth.GROUP,
}


def check_levels(config: ServerConfig, signals: Sequence[SignalRule], report: PlanReport) -> None:
    """Report broadcasts of steps and of signals that ``broadest`` does not allow, wherever they are sure to be made.

    Args:
        config: of the app.
        signals: of the plan.
        report: receives the problems.
    """
    if not is_said(config.broadest, signals):
        return
    names, undeclared = served_at(config)
    try:
        table = SignalTable(signals, names, undeclared=undeclared)
    except ValueError:  # two signals on one path, which is a problem already
        return
    levels = Levels(table, config.broadest)
    for rule in signals:
        _check_relay(rule, levels, report)
    _check_undeclared(config, table, levels, report)
    for own, step in _broadcasts(config, signals):
        text = _excess(step.options, own, table, levels)
        if text:
            report.problem((*step.keys, step.name), text, of_key=True)
    for rule in signals:
        signal = rule.config
        if signal.history is not None and not narrowed(Breadth.PATH, levels.of(rule)):
            text = (
                "history keeps what is sent to a path as a whole, and broadest lets nothing go further than to a "
                f"{levels.of(rule).value}: leave one of the two out"
            )
            report.problem((*signal.keys, "history"), text, of_key=True)


def _check_relay(rule: SignalRule, levels: Levels, report: PlanReport) -> None:
    signal = rule.config
    broad = _REBROADCASTS.get(signal.rebroadcast) if rule.reaction == RELAY else None
    if broad is None:
        return
    text = levels.excess_of_relay(broad, rule, path=signal.rebroadcast is Rebroadcast.PATH)
    if text:
        said = signal.rebroadcast is not Rebroadcast.EVERYONE  # else it may be the default
        keys = (*signal.keys, "rebroadcast") if said else signal.keys
        what = f"this goes to {WORDS[broad]}" if said else "messages go to everyone unless rebroadcast says otherwise"
        report.problem(keys, f"{what}, and {text}; write {_allowed(rule, levels)}")


def _allowed(rule: SignalRule, levels: Levels) -> str:
    """Return which values of ``rebroadcast`` a signal may have."""
    fitting = [
        each.value
        for each in Rebroadcast
        if (broad := _REBROADCASTS.get(each)) is None
        or not levels.excess_of_relay(broad, rule, path=each is Rebroadcast.PATH)
    ]
    return f"rebroadcast: {', '.join(fitting[:-1])} or {fitting[-1]}"


def _check_undeclared(config: ServerConfig, table: SignalTable, levels: Levels, report: PlanReport) -> None:
    """Report that paths without a signal re-broadcast to everyone, where a level forbids it."""
    if not table.takes_undeclared or not (text := levels.excess_of_undeclared()):
        return
    report.problem(
        _first_level(config),
        f"messages on paths that no signal declares go to everyone, and {text}; write undeclared: refuse",
    )


def _first_level(config: ServerConfig) -> tuple[str | int, ...]:
    for signal in config.signals:
        strict = signal.broadest not in (None, Breadth.EVERYONE) and signal.open_to_others
        if config.broadest is Breadth.EVERYONE and strict:
            return (*signal.keys, "broadest")
    return ("broadest",)


def _broadcasts(config: ServerConfig, signals: Sequence[SignalRule]) -> Iterator[tuple[SignalRule | None, StepConfig]]:
    """Yield all steps that broadcast, each with the signal whose list it is in."""
    lists: list[tuple[SignalRule | None, tuple[StepConfig, ...]]] = [
        (None, part.do) for part in config.parts if not isinstance(part, SignalConfig)
    ]
    for rule in signals:
        lists += [(rule, steps) for steps in (rule.config.do, rule.config.connected, rule.config.disconnected)]
    for own, steps in lists:
        for step in all_steps(steps):
            if step.name == "broadcast" and isinstance(step.options, dict):
                yield own, step


def _excess(options: Mapping[str, Any], own: SignalRule | None, table: SignalTable, levels: Levels) -> str:
    """Return why a step may not broadcast; empty if it may, or if only its templates decide that."""
    if options.get("to") == "sender":
        return ""
    path = options.get("path")
    target = Target(
        groups=frozenset({""}) if "group" in options else None,
        client=ClientId("") if "client" in options else None,
        user="" if "user" in options else None,
    )
    if not isinstance(path, str):
        return levels.excess(target)
    if own is not None and "".join(path.split()) == _OWN_PATH:
        return levels.excess_at(breadth_of(replace(target, path="")), own)
    if is_template(path):
        return levels.excess_anywhere(breadth_of(replace(target, path="")))
    found = (levels.excess(replace(target, path=place)) for place in table.places(path))
    return next(filter(None, found), "")
