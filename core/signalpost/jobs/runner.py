"""Runs the jobs of a plan while the server runs."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache

from signalpost.config.backplanemodel import RunsOn
from signalpost.cron import system_zone
from signalpost.events import Broadcast, Shared
from signalpost.jobs.leases import Claims, Leases
from signalpost.jobs.moments import described, moments_of
from signalpost.jobs.scheduler import Clock, JobScheduler
from signalpost.jobs.series import Series
from signalpost.jobstatus import JobStatus
from signalpost.observe import Observer
from signalpost.plan import Job
from signalpost.signals.work import Work
from signalpost.words import did_you_mean

LOG = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds in which runs may finish when the server stops."""

_CANCEL_GRACE = 1.0  # seconds in which a cancelled run may clean up


class JobRunner:
    """Runs jobs, each at its moments, independently of each other.

    Args:
        jobs: of a plan; their names are unique.
        shared: by their events and those of signals and routes.
        broadcast: sends their broadcasts.
        work: counts their runs as under way.
        clock: the source of the time.
        observer: notified of runs; None for no observer.
        leases: by which nodes agree on the one that runs a job; None if there are no other nodes. With them, a job runs
            on one node unless it says ``on: every``.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        shared: Shared,
        broadcast: Broadcast,
        *,
        work: Work | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        leases: Leases | None = None,
    ) -> None:
        self._jobs = tuple(jobs)
        self._observer = observer
        self._work = work or Work()
        self._shared = shared
        self._broadcast = broadcast
        self._clock = clock or Clock()
        self._claims = None if leases is None else Claims(leases, self._clock.wall)
        self._started = False
        self._series: dict[str, Series] = {}
        self._paused: set[str] = set()
        self._left: list[Series] = []  # of removed jobs, while a run of theirs is under way
        self._scheduler: JobScheduler | None = None  # between start and stop

    def start(self) -> None:
        """Run the jobs that run on start, and start following the clock. Needs a running loop; only once.

        Raises:
            RuntimeError: it was started before.
            OperatorError: a schedule names no time zone and the system's cannot be determined.
        """
        if self._started:
            raise RuntimeError("jobs are started once; make another JobRunner")
        now = self._clock.wall()
        self._series = self._series_of(self._jobs, now, self._work)
        self._started = True
        self._scheduler = JobScheduler(self._clock, self._clock_was_set)
        self._scheduler.start()
        for series in self._series.values():
            self._begin(series, self._scheduler, now)

    def reload(self, jobs: Sequence[Job], unchanged: Collection[str], work: Work) -> None:
        """Run the jobs of another plan from now on.

        Unchanged jobs keep their moments and their count of runs, and run what the new plan defines. The others stop,
        and new ones start as at the start of the server. Runs under way finish.

        Args:
            jobs: all of the new plan.
            unchanged: names of the jobs that are the same in both.
            work: counts runs as under way from now on.

        Raises:
            RuntimeError: the server does not run.
            OperatorError: a schedule names no time zone and the system's cannot be determined. Nothing changes then.
        """
        if self._scheduler is None:
            raise RuntimeError("jobs run between start and stop only")
        now = self._clock.wall()
        fresh = self._series_of([job for job in jobs if job.name not in unchanged], now, work)
        left, self._series = self._series, {}
        for job in jobs:
            series = fresh.get(job.name) or left.pop(job.name)
            series.job, series.work = job, work
            self._series[job.name] = series
        for name in left:
            self._scheduler.forget(name)
        self._paused &= self._series.keys()
        self._left = [series for series in (*self._left, *left.values()) if series.running]
        for series in fresh.values():
            self._begin(series, self._scheduler, now)

    def _series_of(self, jobs: Sequence[Job], now: datetime, work: Work) -> dict[str, Series]:
        local = cache(system_zone)  # read from disk, once for all
        found = {}
        for job in jobs:
            claims = None if job.timing.on is RunsOn.EVERY else self._claims
            moments = moments_of(job, now, local, common=claims is not None)
            series = Series(job, moments, self._shared, self._broadcast, work, self._observer, claims)
            series.paused = job.name in self._paused
            found[job.name] = series
        return found

    @staticmethod
    def _begin(series: Series, scheduler: JobScheduler, now: datetime) -> None:
        if series.job.timing.on_start and series.moments.allows(now):
            series.start(now)
        first = series.after(now)
        if first is not None:
            scheduler.schedule(series.job.name, first, series.tick, series.after)

    async def stop(self, grace: float = GRACE) -> None:
        """Start no more runs, wait for those under way, and cancel those that are not done after `grace` seconds."""
        if self._scheduler is None:
            return
        scheduler, self._scheduler = self._scheduler, None
        scheduler.remove_all_jobs()
        scheduler.shutdown(wait=False)
        await asyncio.sleep(0)  # APScheduler ends itself in the next loop turn
        await self._finish(grace)

    def names(self) -> Sequence[str]:
        """Return the names of all jobs, in the order of the plan."""
        return tuple(self._series) or tuple(job.name for job in self._jobs)

    def pause(self, name: str) -> None:
        """Start no runs of a job automatically until `resume`; those under way finish, and `run` still works.

        A reload leaves it paused if the new plan has a job of that name.

        Raises:
            LookupError: there is no job of that name.
        """
        self._set_paused(name, True)

    def resume(self, name: str) -> None:
        """Continue a job at its next moment; runs that fell due meanwhile are skipped.

        Raises:
            LookupError: there is no job of that name.
        """
        self._set_paused(name, False)

    def _set_paused(self, name: str, paused: bool) -> None:
        if name not in self.names():
            raise LookupError(self._unknown(name))
        (self._paused.add if paused else self._paused.discard)(name)
        if name in self._series:
            self._series[name].paused = paused

    def status(self, name: str) -> JobStatus:
        """Return the status of a job.

        Raises:
            LookupError: there is no job of that name, or none has been started yet.
        """
        series = self._find(name)
        due = None if self._scheduler is None else self._scheduler.due(name)
        return JobStatus(
            name=name,
            kind=series.job.kind,
            when=described(series.job.timing, shared=self._claims is not None),
            owner=series.job.owner,
            runs=series.begun,
            running=len(series.running),
            failed=series.failed,
            longest=series.longest,
            last=series.last,
            next_run=None if due is None else series.moments.shown(due),
            last_error=series.last_error,
            last_failed=series.last_failed,
            paused=series.paused,
        )

    def observe(self, observer: Observer | None) -> None:
        """Notify another observer of runs from now on."""
        self._observer = observer
        for series in self._series.values():
            series.observer = observer

    def under_way(self) -> tuple[asyncio.Task[None], ...]:
        """Return the runs that are under way."""
        return tuple(task for series in self._series.values() for task in series.running)

    def wake(self) -> None:
        """Check what is due, at once: for a caller that has set the clock."""
        if self._scheduler is not None:
            self._scheduler.wakeup()

    def statuses(self) -> tuple[JobStatus, ...]:
        """Return the status of all jobs, in the order of the plan; empty before the start."""
        return tuple(map(self.status, self._series))

    async def run(self, name: str) -> bool:
        """Run a job now, and wait for the end of that run.

        The run counts neither towards the limit nor as a run of the series: its `TickEvent.run` is 0. It counts towards
        the runs that may be under way at once, like any other.

        Returns:
            Whether it ran; False if the maximum of runs was under way.

        Raises:
            LookupError: there is no job of that name.
            RuntimeError: the server does not run.
        """
        if self._scheduler is None:
            raise RuntimeError("jobs run between start and stop only: not yet while plugins start")
        task = self._find(name).invoke(self._clock.wall())
        if task is None:
            return False
        await asyncio.wait([task])  # a caller that stops waiting does not stop the run
        return True

    def _find(self, name: str) -> Series:
        series = self._series.get(name)
        if series is None:
            raise LookupError(self._unknown(name))
        return series

    def _unknown(self, name: str) -> str:
        if not isinstance(name, str):
            return f"a job's name is a text, not {name!r}"
        if name in self.names():
            return f'the job "{name}" has not begun yet: jobs run when all plugins have started'
        return f'no job is named "{name}"{did_you_mean(name, self.names())}'

    def _clock_was_set(self, step: timedelta) -> None:
        LOG.info("the system's clock was set by %+.3f s; timers keep their pace", step.total_seconds())
        now = self._clock.wall()
        for name, series in self._series.items():
            due = None if self._scheduler is None else self._scheduler.due(name)
            if self._scheduler is not None and due is not None:
                self._scheduler.put_off(name, series.follow_clock(step, due, now))

    async def _finish(self, grace: float) -> None:
        running = {task: series for series in (*self._series.values(), *self._left) for task in series.running}
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=grace)
        for task in late:
            LOG.warning("%s: a run was cancelled, since it was not over %g s after the stop", running[task], grace)
            task.cancel()
        if late:
            _, stuck = await asyncio.wait(late, timeout=_CANCEL_GRACE)
            for task in stuck:
                LOG.error("%s: a run ignores that it was cancelled, and is left behind", running[task])
