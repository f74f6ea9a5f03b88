"""Notes on signals that guard their messages, although clients on other paths can send to their clients."""

from collections.abc import Iterator, Sequence

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.actions import GRAMMAR, all_steps
from signalpost.config.model import MessageFormat, Rebroadcast, RequestedTarget, ServerConfig, SignalConfig
from signalpost.plan.report import PlanReport
from signalpost.signals.rule import RELAY, SignalRule

_BEYOND = frozenset({Rebroadcast.EVERYONE, Rebroadcast.OTHERS, Rebroadcast.GROUP})


def note_strangers(config: ServerConfig, signals: Sequence[SignalRule], report: PlanReport) -> None:
    """Note the signals of routes.yaml that strangers can reach although something in them suggests otherwise.

    Args:
        config: what routes.yaml says.
        signals: of the plan.
        report: receives the notes.
    """
    for rule in signals:
        signal = rule.config
        guarded = _guarded(signal) if signal.keys else ""
        speakers = list(_speakers(config, signals, rule)) if guarded else []
        if speakers:
            report.note(
                f"{config.source.place(signal.keys)}: {guarded} on {signal.path}, but clients on other paths "
                f"({_shown(speakers)}) can send to its clients; from_elsewhere: false prevents that, "
                "from_elsewhere: true confirms it"
            )


def _shown(speakers: Sequence[str]) -> str:
    return ", ".join([*speakers[:2], *(["…"] if speakers[2:] else [])])


def _guarded(signal: SignalConfig) -> str:
    """Return what in a signal suggests that strangers must not send there; empty if nothing does.

    A schema alone does not: messages from elsewhere are validated by it.
    """
    if signal.from_elsewhere is not None or not signal.open_to_others:
        return ""
    if any(_may_refuse(step.name) for step in all_steps(signal.connected)):
        return "connected decides who is let in"
    if signal.format is MessageFormat.JSON and not signal.targets & {
        RequestedTarget.PATH,
        RequestedTarget.CLIENT_ID,
        RequestedTarget.GROUP,
        RequestedTarget.USER,
    }:
        return "targets lets nobody choose where a message goes"
    return ""


def _may_refuse(name: str) -> bool:
    """Return whether a step may reject a client; unknown for a plugin's action."""
    action = BUILT_IN.get(name)
    return name not in GRAMMAR if action is None else action.refuses


def _speakers(config: ServerConfig, signals: Sequence[SignalRule], there: SignalRule) -> Iterator[str]:
    """Yield the paths from which clients can send to those of a signal."""
    if not config.undeclared_refused:
        yield "any path that no signal declares"
    for rule in signals:
        if rule is not there and _reaches(rule, there):
            yield str(rule.config.path)


def _reaches(rule: SignalRule, there: SignalRule) -> bool:
    if rule.config.format is MessageFormat.JSON and (
        rule.config.targets & {RequestedTarget.CLIENT_ID, RequestedTarget.GROUP, RequestedTarget.USER}
        or (RequestedTarget.PATH in rule.config.targets and not rule.endpoints.isdisjoint(there.endpoints))
    ):
        return True
    return rule.reaction == RELAY and rule.config.rebroadcast in _BEYOND
