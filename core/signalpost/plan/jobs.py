"""The jobs of a plan: timers and schedules of routes.yaml, then those of decorators."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from signalpost.actions.steps import Options
from signalpost.config.actions import Place
from signalpost.config.model import ScheduleConfig, TimerConfig
from signalpost.cron import Cron
from signalpost.errors import OperatorError
from signalpost.handlers import Handler, ScheduleBinding, TimerBinding
from signalpost.places import Keys
from signalpost.plan.actions import StepCompiler
from signalpost.plan.plan import Action, Job, ScheduleJob, TimerJob
from signalpost.plan.resolver import JOB_KINDS, Resolver
from signalpost.state.frozen import fixed


def plan_jobs(resolver: Resolver, compiler: StepCompiler) -> Iterator[Job]:
    """Yield the sound jobs and report the others. A job's name is unique over routes.yaml and decorators."""
    declared: dict[str, Keys] = {}
    jobs: tuple[TimerConfig | ScheduleConfig, ...] = (*resolver.config.timers, *resolver.config.schedules)
    for config in jobs:
        _check_name(resolver, config, declared)
        program = compiler.program(config.do, Place.JOB)
        filled = compiler.arguments(config.arguments, config.keys)
        action = program or resolver.handler(config.handler, config.keys, *JOB_KINDS)
        owner = resolver.config.source.place(config.keys)
        crons = resolver.crons(config.crons, config.keys) if isinstance(config, ScheduleConfig) else ()
        if action is None:
            continue
        if isinstance(config, TimerConfig):
            yield _timer(config.name, action, owner, config, filled=filled)
        else:
            job = _schedule(config.name, action, owner, crons, config, filled=filled)
            _note_if_over(resolver, job, owner)
            yield job
    bound: set[str] = set()
    for handler, interval in resolver.bindings(TimerBinding):
        if _free(resolver, handler, declared, bound):
            yield _timer(handler.name, handler, handler.plugin, interval)
    for handler, clock in resolver.bindings(ScheduleBinding):
        if _free(resolver, handler, declared, bound):
            job = _schedule(handler.name, handler, handler.plugin, _bound_crons(resolver, handler, clock), clock)
            _note_if_over(resolver, job, handler.where)
            yield job


def _check_name(resolver: Resolver, config: TimerConfig | ScheduleConfig, declared: dict[str, Keys]) -> None:
    other = declared.setdefault(config.name, config.keys)
    if other is not config.keys:
        place = resolver.config.source.place(other)
        resolver.report.problem((*config.keys, "name"), f'the job at {place} is named "{config.name}" too')


def _free(resolver: Resolver, handler: Handler, declared: dict[str, Keys], bound: set[str]) -> bool:
    """Tell whether the job that a decorator makes may have its handler's name."""
    name = handler.name
    if name in declared:
        # A job that is wrong elsewhere may have been meant to name the handler, and so to replace this one.
        if not resolver.gaps.bindings and not resolver.gaps.at(declared[name]):
            resolver.report.problem(
                (*declared[name], "name"),
                f'plugin {handler.plugin} has a job named "{name}" too ({handler.where}); rename this one, or unbind '
                f"the other: handlers: {{{name}: off}}",
            )
        return False
    if name in bound:
        resolver.report.fault(
            handler, f'handler "{name}" is bound more than once; its job is named after it, so write it once'
        )
        return False
    bound.add(name)
    return True


def _bound_crons(resolver: Resolver, handler: Handler, binding: ScheduleBinding) -> tuple[Cron, ...]:
    """Read the expressions that a handler is bound to."""
    crons: list[Cron] = []
    for text in binding.crons:
        try:
            crons.append(Cron.parse(text))
        except ValueError as error:
            resolver.report.fault(handler, f'handler "{handler.name}": cron: {error}')
    return tuple(crons)


def _note_if_over(resolver: Resolver, job: ScheduleJob, place: str) -> None:
    """Note a schedule that does not run any more, or never does: nothing is wrong with it but its time."""
    now = datetime.now(UTC)
    if job.end is None or not job.crons:
        return
    if job.end < now:
        resolver.report.note(f'{place}: the schedule "{job.name}" does not run any more: its end, {job.end}, is past')
        return
    begin = now if job.start is None else max(now, job.start - timedelta.resolution)
    if job.on_start and begin == now:
        return
    try:
        coming = [cron.next(begin, job.timezone) for cron in job.crons]
    except OperatorError:  # the system's time zone is unknown, which whoever starts the server is told
        return
    if all(moment is None or moment > job.end for moment in coming):
        since = "now" if begin == now else job.start
        resolver.report.note(
            f'{place}: the schedule "{job.name}" has no run before it ends: its cron gives no moment between {since} '
            f"and {job.end}"
        )


def _timer(
    name: str, action: Action, owner: str, source: TimerConfig | TimerBinding, *, filled: Options | None = None
) -> TimerJob:
    return TimerJob(
        name,
        action,
        owner,
        every=source.every,
        limit=source.limit,
        skip=source.skip,
        on_start=source.on_start,
        arguments=fixed(source.arguments),
        filled=filled,
        timeout=source.timeout,
    )


def _schedule(
    name: str,
    action: Action,
    owner: str,
    crons: tuple[Cron, ...],
    source: ScheduleConfig | ScheduleBinding,
    *,
    filled: Options | None = None,
) -> ScheduleJob:
    return ScheduleJob(
        name,
        action,
        owner,
        crons=crons,
        timezone=source.timezone,
        start=source.start,
        end=source.end,
        limit=source.limit,
        on_start=source.on_start,
        timeout=source.timeout,
        max_runs=source.max_runs,
        arguments=fixed(source.arguments),
        filled=filled,
    )
