"""The jobs of a plan: timers and schedules of routes.yaml, then those of decorators."""

from collections.abc import Iterator

from signalpost.config.model import Keys, ScheduleConfig, TimerConfig
from signalpost.config.steps import Place
from signalpost.cron import Cron
from signalpost.plan.model import Action, Job, ScheduleJob, TimerJob
from signalpost.plan.resolver import JOB_KINDS, Resolver
from signalpost.plan.steps import StepCompiler
from signalpost.plugins.handler import Handler, ScheduleBinding, TimerBinding


def plan_jobs(resolver: Resolver, compiler: StepCompiler) -> Iterator[Job]:
    """Yield the sound jobs and report the others. A job's name is unique over routes.yaml and decorators."""
    declared: dict[str, Keys] = {}
    jobs: tuple[TimerConfig | ScheduleConfig, ...] = (*resolver.config.timers, *resolver.config.schedules)
    for config in jobs:
        _check_name(resolver, config, declared)
        program = compiler.program(config.do, Place.JOB)
        action = program or resolver.handler(config.handler, config.keys, *JOB_KINDS)
        owner = resolver.config.source.place(config.keys)
        crons = resolver.crons(config.crons, config.keys) if isinstance(config, ScheduleConfig) else ()
        if action is None:
            continue
        if isinstance(config, TimerConfig):
            yield _timer(config.name, action, owner, config)
        else:
            yield _schedule(config.name, action, owner, crons, config)
    bound: set[str] = set()
    for handler, interval in resolver.bindings(TimerBinding):
        if _free(resolver, handler, declared, bound):
            yield _timer(handler.name, handler, handler.plugin, interval)
    for handler, clock in resolver.bindings(ScheduleBinding):
        if _free(resolver, handler, declared, bound):
            yield _schedule(handler.name, handler, handler.plugin, _bound_crons(resolver, handler, clock), clock)


def _check_name(resolver: Resolver, config: TimerConfig | ScheduleConfig, declared: dict[str, Keys]) -> None:
    other = declared.setdefault(config.name, config.keys)
    if other is not config.keys:
        place = resolver.config.source.place(other)
        resolver.findings.problem((*config.keys, "name"), f'the job at {place} is named "{config.name}" too')


def _free(resolver: Resolver, handler: Handler, declared: dict[str, Keys], bound: set[str]) -> bool:
    """Tell whether the job that a decorator makes may have its handler's name."""
    name = handler.name
    if name in declared:
        # A job that is wrong elsewhere may have been meant to name the handler, and so to replace this one.
        if not resolver.doubts.bindings and not resolver.doubts.at(declared[name]):
            resolver.findings.problem(
                (*declared[name], "name"),
                f'plugin {handler.plugin} has a job named "{name}" too ({handler.where}); rename this one, or unbind '
                f"the other: handlers: {{{name}: off}}",
            )
        return False
    if name in bound:
        resolver.findings.fault(
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
            resolver.findings.fault(handler, f'handler "{handler.name}": cron: {error}')
    return tuple(crons)


def _timer(name: str, action: Action, owner: str, source: TimerConfig | TimerBinding) -> TimerJob:
    return TimerJob(
        name,
        action,
        owner,
        every=source.every,
        limit=source.limit,
        skip=source.skip,
        on_start=source.on_start,
        arguments=source.arguments,
    )


def _schedule(
    name: str, action: Action, owner: str, crons: tuple[Cron, ...], source: ScheduleConfig | ScheduleBinding
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
        arguments=source.arguments,
    )
