"""Descriptions of the parts of a plan, shared by all commands."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import cast

from signalpost.config.backplanemodel import RunsOn
from signalpost.config.model import MessageFormat, StepConfig, TimerTiming
from signalpost.handlers import Handler
from signalpost.jobs.moments import described, next_runs
from signalpost.plan import Job, Plan, RouteRule
from signalpost.signals.rule import RELAY, SignalRule
from signalpost.units import format_duration


def signal_does(rule: SignalRule) -> str:
    """Return what happens to a message: ``handler shout (chat)``, ``re-broadcast to everyone; connected: reply``."""
    lists = (("connected", rule.connected), ("disconnected", rule.disconnected))
    return "; ".join([_message_does(rule), *(f"{name}: {do}" for name, do in lists if do is not None)])


def signal_keeps(rule: SignalRule) -> str:
    """Return what is kept of what is sent to a signal's paths; empty if nothing is."""
    history = rule.config.history
    if history is None:
        return ""
    replayed = f"; newcomers read {history.replay:,}" if history.replay else ""
    return f"the newest {history.keep:,} of the last {format_duration(history.seconds)}{replayed}"


def _message_does(rule: SignalRule) -> str:
    if rule.reaction != RELAY:
        return action_does(rule.handler or rule.do)
    verb = "relays frames" if rule.config.format is MessageFormat.RAW else "re-broadcast"
    return f"{verb} to {rule.config.rebroadcast.value}"


def route_does(plan: Plan, rule: RouteRule) -> str:
    """Return what answers a request: ``file web/index.html``, ``handler publish (publish)``."""
    for kind, path in (("file", rule.config.file), ("static", rule.config.static), ("view", rule.config.view)):
        if path is not None:
            return f"{kind} {shown_file(plan, str(path))}"
    return "the client for browsers" if rule.config.client else action_does(rule.handler or rule.do)


def action_does(action: object) -> str:
    """Return what a job or a route without a page runs: ``handler tick (clock)``, ``if, broadcast``."""
    return f"handler {action.name} ({action.plugin})" if isinstance(action, Handler) else str(action)


def outline(steps: Iterable[StepConfig], depth: int = 0) -> Iterator[str]:
    """Return a list of actions as in the file, one line each: ``if: "{{ message }}"``."""
    indent = "  " * depth
    for step in steps:
        yield f"{indent}{step.name}: {json.dumps(step.options, ensure_ascii=False, default=str)}"
        for word, inside in (("then", step.then), ("else", step.otherwise), ("do", step.body)):
            if inside:
                yield f"{indent}{word}:"
                yield from outline(inside, depth + 1)


def shown_file(plan: Plan, name: str) -> str:
    """Return the name of a file of the app relative to its folder, as in routes.yaml."""
    return name.removeprefix(f"{plan.config.folder}/")


def installed_plugins(plan: Plan) -> Iterator[str]:
    """Return from where each installed plugin was loaded; drop-in plugins are files of the app."""
    for plugin in plan.registry.plugins:
        if plugin.package:
            yield f"installed plugin {plugin.name}: {plugin.origin}"


def when(job: Job, plan: Plan) -> str:
    """Return when a job runs: ``every 5 s``, ``0 0 * * * Europe/London``, and where if nodes share it."""
    return described(job.timing, shared=plan.config.backplane is not None)


def next_moments(job: Job, plan: Plan, now: datetime, count: int) -> tuple[str, ...]:
    """Return the next `count` runs of a job: moments of a schedule in its zone; for a timer, its first delay.

    A timer of which all nodes have the moments shows these, in UTC.

    Raises:
        OperatorError: the system's time zone is needed and unknown.
    """
    moments = known_moments(job, plan, now, count)
    if moments is None:
        timing = cast("TimerTiming", job.timing)
        return ("at the start" if timing.on_start else f"first {timing.every * (timing.skip + 1):g} s after the start",)
    return tuple(f"{moment:%Y-%m-%d %H:%M:%S %Z}" for moment in moments) or ("never again",)


def known_moments(job: Job, plan: Plan, now: datetime, count: int) -> tuple[datetime, ...] | None:
    """Return the next `count` runs of a job; None if they depend on when a server starts. It raises as above."""
    timing = job.timing
    common = plan.config.backplane is not None and timing.on is not RunsOn.EVERY
    if isinstance(timing, TimerTiming) and not common:
        return None  # a timer counts from the start of the server, which is unknown yet
    return tuple(next_runs(job, now, count, common=common))
