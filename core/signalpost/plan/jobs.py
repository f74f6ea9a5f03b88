"""The jobs of a plan: timers and schedules of routes.yaml, then those of decorators."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain

from signalpost.config.actions import Place
from signalpost.config.model import TimerTiming, Timing
from signalpost.errors import OperatorError
from signalpost.handlers import Handler, ScheduleBinding, TimerBinding
from signalpost.plan.actions import StepCompiler
from signalpost.plan.plan import Job
from signalpost.plan.resolver import JOB_KINDS, Resolver
from signalpost.state.frozen import fixed

_Bound = tuple[Handler, TimerBinding | ScheduleBinding]


def plan_jobs(resolver: Resolver, compiler: StepCompiler) -> Iterator[Job]:
    """Yield the valid jobs and report the others. A job's name is unique over routes.yaml and decorators."""
    declared = {config.name: config.keys for config in resolver.config.jobs}
    for config in resolver.config.jobs:
        program = compiler.program(config.do, Place.JOB)
        filled = compiler.arguments(config.timing.arguments, config.keys)
        action = program or resolver.handler(config.handler, config.keys, *JOB_KINDS)
        owner = resolver.config.source.place(config.keys)
        if action is None:
            continue
        timing = replace(config.timing, arguments=fixed(config.timing.arguments))
        _note_if_over(resolver, config.name, timing, owner)
        yield Job(config.name, action, owner, timing, filled)
    bound: set[str] = set()
    for handler, binding in chain[_Bound](resolver.bindings(TimerBinding), resolver.bindings(ScheduleBinding)):
        if resolver.may_name(handler, "job", declared, bound):
            _note_if_over(resolver, handler.name, binding, handler.where)
            yield Job(handler.name, handler, handler.plugin, binding)


def _note_if_over(resolver: Resolver, name: str, timing: Timing, place: str) -> None:
    """Note a schedule that has no runs any more, or never has: only its time is wrong."""
    now = datetime.now(UTC)
    if isinstance(timing, TimerTiming) or timing.end is None:
        return
    if timing.end < now:
        resolver.report.note(f'{place}: the schedule "{name}" does not run any more: its end, {timing.end}, is past')
        return
    begin = now if timing.start is None else max(now, timing.start - timedelta.resolution)
    if timing.on_start and begin == now:
        return
    try:
        coming = [cron.next(begin, timing.timezone) for cron in timing.expressions]
    except OperatorError:  # the system's time zone is unknown, which is reported at the start of the server
        return
    if all(moment is None or moment > timing.end for moment in coming):
        since = "now" if begin == now else timing.start
        resolver.report.note(
            f'{place}: the schedule "{name}" has no run before it ends: its cron never fires between {since} '
            f"and {timing.end}"
        )
