"""When jobs are due: pure, without clock, loop or APScheduler.

Moments are in UTC: Python compares and subtracts two datetimes of one zone by their wall clocks, which is wrong across
a clock change.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from signalpost.config.backplanemodel import RunsOn
from signalpost.config.model import TimerTiming, Timing
from signalpost.cron import Cron, system_zone
from signalpost.plan.plan import Job

_INSTANT = timedelta.resolution
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def described(timing: Timing, *, shared: bool) -> str:
    """Return when a job runs: ``every 5 s``, ``0 0 * * * Europe/London``; and where, if nodes share it."""
    where = f", on {(timing.on or RunsOn.ONE).value} node" if shared else ""
    if isinstance(timing, TimerTiming):
        return f"every {timing.every:g} s{where}"
    return ", ".join(timing.crons) + (f" {timing.timezone.key}" if timing.timezone is not None else "") + where


@dataclass(frozen=True, slots=True)
class TimerMoments:
    """The moments of a timer: whole multiples of its interval since it was started, so that no run shifts another.

    Attributes:
        anchor: when it was started; UTC.
        every: the interval, at least a microsecond.
        skip: how many of the first moments are left out.
        common: whether all nodes have these moments: then they follow the wall clock, and `anchor` is one of them.
    """

    anchor: datetime
    every: timedelta
    skip: int
    common: bool = False

    def after(self, moment: datetime) -> datetime | None:
        """Return the first moment strictly after `moment`, in UTC; None if the calendar ends (year 9999) before it."""
        passed = (moment.astimezone(UTC) - self.anchor) // self.every
        try:
            return self.anchor + self.every * max(passed + 1, self.skip + 1)
        except OverflowError:
            return None

    def allows(self, moment: datetime) -> bool:  # noqa: ARG002 - schedules look at it
        """Return whether the job may run at `moment`: always for a timer."""
        return True

    def shown(self, moment: datetime) -> datetime:
        """Return `moment` in the zone for display: UTC, since a timer has none."""
        return moment.astimezone(UTC)

    @classmethod
    def common_to_all(cls, started: datetime, every: timedelta, skip: int = 0) -> "TimerMoments":
        """Return the moments that all nodes have, whenever they start: whole multiples of the interval since 1970."""
        passed = (started.astimezone(UTC) - _EPOCH) // every
        return cls(_EPOCH + every * passed, every, skip, common=True)

    def shifted(self, step: timedelta) -> "TimerMoments":
        """Return the same timer after the clock was set by `step`."""
        return replace(self, anchor=self.anchor + step)


@dataclass(frozen=True, slots=True)
class ScheduleMoments:
    """The moments of a schedule: those of all its expressions, each moment once.

    Attributes:
        zone: the expressions are read in.
        start: nothing before this moment.
        end: nothing after this moment.
    """

    crons: tuple[Cron, ...]
    zone: ZoneInfo
    start: datetime | None
    end: datetime | None

    def after(self, moment: datetime) -> datetime | None:
        """Return the first moment strictly after `moment`, in UTC; None if there is none."""
        if self.start is not None:
            moment = max(moment.astimezone(UTC), self.start.astimezone(UTC) - _INSTANT)
        coming = (cron.next(moment, self.zone) for cron in self.crons)
        first = min((each.astimezone(UTC) for each in coming if each is not None), default=None)
        return first if first is not None and self.allows(first) else None

    def allows(self, moment: datetime) -> bool:
        """Return whether the job may run at `moment`: not before its start and not after its end."""
        moment = moment.astimezone(UTC)
        early = self.start is not None and moment < self.start.astimezone(UTC)
        late = self.end is not None and moment > self.end.astimezone(UTC)
        return not early and not late

    def shown(self, moment: datetime) -> datetime:
        """Return `moment` in the zone for display: the schedule's."""
        return moment.astimezone(self.zone)


Moments = TimerMoments | ScheduleMoments


def moments_of(
    job: Job, started: datetime, local: Callable[[], ZoneInfo] = system_zone, *, common: bool = False
) -> Moments:
    """Return the moments of a job that is started at `started`.

    Args:
        job: of a plan.
        started: aware.
        local: returns the system's time zone; a caller with many jobs looks it up once.
        common: whether other nodes must have the same moments; those of schedules are the same anyway.

    Raises:
        OperatorError: a schedule names no time zone and the system's cannot be determined.
    """
    timing = job.timing
    if isinstance(timing, TimerTiming):
        every = max(timedelta(seconds=timing.every), _INSTANT)
        if common:
            return TimerMoments.common_to_all(started, every, timing.skip)
        return TimerMoments(started.astimezone(UTC), every, timing.skip)
    return ScheduleMoments(timing.expressions, timing.timezone or local(), timing.start, timing.end)


def next_runs(job: Job, after: datetime, count: int, *, common: bool = False) -> list[datetime]:
    """Return when a job will run if it is started at `after`, for display.

    Args:
        job: of a plan.
        after: aware; a run on start is at this moment.
        count: maximum number of runs to return.
        common: see `moments_of`.

    Returns:
        Fewer than `count` if the job's limit or its end comes first; in a schedule's time zone, for a timer in UTC.

    Raises:
        OperatorError: a schedule names no time zone and the system's cannot be determined.
    """
    moments = moments_of(job, after, common=common)
    wanted = min(count, job.timing.limit) if job.timing.limit else count
    runs = [after] if job.timing.on_start and moments.allows(after) else []
    moment = moments.after(after)
    while moment is not None and len(runs) < wanted:
        runs.append(moment)
        moment = moments.after(moment)
    return [moments.shown(run) for run in runs[:wanted]]
