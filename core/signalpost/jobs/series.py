"""The runs of one job: their number, those under way, and what a run does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Any

from signalpost.actions.steps import fill
from signalpost.config.model import TimerTiming
from signalpost.errors import StepFailedError
from signalpost.events import Broadcast, Shared, TickEvent
from signalpost.foreign import is_cancelled, named, original, overran
from signalpost.handlers import Handler, HandlerKind
from signalpost.jobs.leases import SKEW, Claims
from signalpost.jobs.moments import Moments, TimerMoments
from signalpost.jobstatus import LastRun, Taken
from signalpost.observe import Observer
from signalpost.plan import Job
from signalpost.signals.work import Work

LOG = logging.getLogger(__name__)

_HUNG = timedelta(seconds=60)  # seconds after which a warning says once that a timer's run is not over
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_CORRECTION = timedelta(hours=3)  # as in cron(8): a clock set back by more was wrong before
_COMMON_CORRECTION = timedelta(seconds=SKEW)  # of a timer that all nodes have: more than that is wrong anyway


class Series:
    """The runs of one job.

    A timer's runs never overlap: while one is under way, those that fall due are skipped (and logged at debug level;
    once with a warning, when it has been under way for a minute). A schedule has up to `max_runs` at once; further ones
    are skipped with a warning. A skipped run does not count towards the limit.

    A job that runs on one of several nodes claims each run first. A run of another node counts towards the limit, too.

    Attributes:
        job: to run.
        moments: of the runs.
        begun: how many runs of the series have begun here, without those started by hand.
        elsewhere: how many other nodes have begun while the series was here.
        running: the runs under way, including those started by hand.
        last: the last run that has begun, here or elsewhere.
        longest: seconds of the longest run that has ended.
        failed: how many have failed.
        last_error: the error of the last failed run; one line.
        last_failed: when that run fell due.
        work: of the job's plan.
        paused: whether runs that fall due are skipped.
    """

    def __init__(  # noqa: PLR0917 - all of it is the runner's
        self,
        job: Job,
        moments: Moments,
        shared: Shared,
        broadcast: Broadcast,
        work: Work,
        observer: Observer | None = None,
        claims: Claims | None = None,
    ) -> None:
        self.job = job
        self._claims = claims
        self.observer = observer
        self.work = work
        self.moments = moments
        self.begun = 0
        self.elsewhere = 0
        self._claiming = 0  # runs of which it is not known yet whose they are
        self.paused = False
        self.running: set[asyncio.Task[None]] = set()
        self.last: LastRun | None = None
        self.longest: float | None = None
        self.failed = 0
        self.last_error: str | None = None
        self.last_failed: datetime | None = None
        self._began = _LONG_AGO  # when the last run fell due
        self._is_told = False  # whether the warning was logged
        self._shared = shared
        self._broadcast = broadcast

    def __str__(self) -> str:
        return f'{self.job.kind.value} "{self.job.name}" ({self.job.owner})'

    @property
    def full(self) -> bool:
        """Whether the maximum of runs is under way."""
        return len(self.running) >= (1 if isinstance(self.job.timing, TimerTiming) else self.job.timing.max_runs)

    def after(self, moment: datetime) -> datetime | None:
        """Return the next moment of the series strictly after `moment`; None if it is over."""
        return None if self._is_over else self.moments.after(moment)

    @property
    def _is_over(self) -> bool:
        limit = self.job.timing.limit
        return bool(limit) and self.begun + self.elsewhere >= limit

    @property
    def _may_be_over(self) -> bool:
        limit = self.job.timing.limit
        return bool(limit) and self.begun + self.elsewhere + self._claiming >= limit

    def start(self, now: datetime) -> None:
        """Start the run at the start of the server."""
        if self._claims is None:
            self.tick(now)
        else:
            self._claim(now, partial(self._claims.first_run, self.job.name, str(self)))

    def tick(self, due: datetime) -> None:
        """Start the run that is due, unless the series is paused or full."""
        if self.paused or self._may_be_over:  # over since it was scheduled: a claim was answered, or will be
            return
        if self.full:
            hung = due - self._began >= _HUNG and not self._is_told
            self._is_told = self._is_told or hung
            level = logging.WARNING if hung or self.job.kind is not HandlerKind.TIMER else logging.DEBUG
            moment = self.moments.shown(due)
            LOG.log(level, "%s: left out the run of %s, %d still under way", self, moment, len(self.running))
            return
        if self._claims is not None:
            self._claim(due, partial(self._claims.run, self.job.name, str(self), due))
            return
        self._note_begin(due)
        self._begin(self.begun, due)

    def _note_begin(self, due: datetime) -> None:
        self.begun += 1
        self._began, self._is_told = due, False

    def _claim(self, due: datetime, claim: Callable[[], Awaitable[Taken | None]]) -> None:
        """Start the run if the claim is granted; until then it counts as under way, so that a stop waits for it."""
        self._claiming += 1
        self._spawn(self._run_if_ours(due, claim))

    async def _run_if_ours(self, due: datetime, claim: Callable[[], Awaitable[Taken | None]]) -> None:
        try:
            taken = await claim()
        finally:
            self._claiming -= 1
        if taken is None:
            return
        if taken.ours:
            self._note_begin(due)
            await self._run(self._event(self.begun + self.elsewhere, due))
        else:
            self.elsewhere += 1
            self.last = LastRun(self.moments.shown(due), elsewhere=True, node=taken.holder)

    def invoke(self, now: datetime) -> asyncio.Task[None] | None:
        """Start a run outside of the series; return None if the series is full."""
        return None if self.full else self._begin(0, now)

    def follow_clock(self, step: timedelta, due: datetime, now: datetime) -> datetime:
        """Return the next moment instead of `due` after the wall clock was set by `step`.

        A timer keeps its interval. A schedule runs what the step jumped over once, and nothing twice, unless the clock
        was set back so far that it must have been wrong before. So does a timer whose moments all nodes have.
        """
        if isinstance(self.moments, TimerMoments):
            if not self.moments.common:
                self.moments = self.moments.shifted(step)
                return due + step
            if step < -_COMMON_CORRECTION:
                self.moments = TimerMoments.common_to_all(now, self.moments.every)
                return self.after(now) or due
            return due
        if step <= -_CORRECTION:
            return self.after(now) or due
        return due

    def _begin(self, run: int, due: datetime) -> asyncio.Task[None]:
        return self._spawn(self._run(self._event(run, due)))

    def _event(self, run: int, due: datetime) -> TickEvent:
        return TickEvent(
            name=self.job.name,
            run=run,
            due=self.moments.shown(due),
            arguments=self.job.timing.arguments,
            shared=self._shared,
            broadcast=self._broadcast,
            _seat=self.job.action.seat if isinstance(self.job.action, Handler) else None,
        )

    def _spawn(self, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(run, name=str(self))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        self.work.begin()
        task.add_done_callback(self.work.end)
        return task

    async def _run(self, event: TickEvent) -> None:
        run = self.last = LastRun(event.due)
        begun = perf_counter()
        failed = not await self._attempt(event)
        seconds = perf_counter() - begun
        self.longest = max(seconds, self.longest or 0.0)
        if failed:
            self.failed += 1
            self.last_failed = event.due
        if self.last is run:  # else a later one has begun
            self.last = replace(run, seconds=seconds, error=self.last_error if failed else None)
        if self.observer is not None:
            self.observer.job_ran(self.job.name, seconds, failed=failed)

    async def _attempt(self, event: TickEvent) -> bool:
        """Execute a run; return whether it ended without a failure, and report a failure."""
        timeout = self.job.timing.timeout
        try:
            async with asyncio.timeout(timeout) as scope:
                await self._act(event)
            if scope.expired():  # the handler caught its cancellation and ran to its end
                self._report_timeout(timeout, None)
        except TimeoutError as error:
            if scope.expired():
                self._report_timeout(timeout, error)
            else:
                self._report(error)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise  # the server stops
            self._report(error)  # the handler awaited something that was cancelled
        except StepFailedError as error:
            self.last_error = str(error)
            LOG.error("%s: %s", self, error, exc_info=error.cause)  # noqa: TRY400 - of the cause alone
        except Exception as error:  # noqa: BLE001 - a handler may raise whatever it likes
            self._report(error)
        else:
            return not scope.expired()
        return False

    async def _act(self, event: TickEvent) -> None:
        action = self.job.action
        if self.job.filled is not None:
            event = replace(event, arguments=fill(self.job.filled, "arguments", event))
        if isinstance(action, Handler):
            await action.code.run(action.function, event)
        else:
            await action.run_async(event)

    def _report(self, error: BaseException) -> None:
        self.last_error = named(error).splitlines()[0]
        LOG.error("%s: %s failed", self, self._actor, exc_info=original(error))

    def _report_timeout(self, timeout: float | None, error: TimeoutError | None) -> None:
        self.last_error = f"took longer than {timeout:g} s"
        action = self.job.action
        if error is not None:
            overran(error, self.last_error)
        elif isinstance(action, Handler):
            action.code.overran(self.last_error)
        LOG.warning("%s: %s took longer than %g s and was cancelled", self, self._actor, timeout)

    @property
    def _actor(self) -> str:
        action = self.job.action
        if isinstance(action, Handler):
            return f'handler "{action.name}" of plugin {action.plugin} ({action.where})'
        return "its list of actions"
