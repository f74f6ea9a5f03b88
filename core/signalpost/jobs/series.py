"""The runs of one job: their number, those under way, and what a run does."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter

from signalpost.actions.steps import fill
from signalpost.config.model import TimerTiming
from signalpost.errors import StepFailedError
from signalpost.events import Broadcast, Shared, TickEvent
from signalpost.foreign import is_cancelled, named, original, overran
from signalpost.handlers import Handler, HandlerKind
from signalpost.jobs.moments import Moments, TimerMoments
from signalpost.observe import Observer
from signalpost.plan import Job
from signalpost.signals.work import Work

LOG = logging.getLogger(__name__)

_HUNG = timedelta(seconds=60)  # seconds after which a warning says once that a timer's run is not over
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_CORRECTION = timedelta(hours=3)  # as in cron(8): a clock set back by more was wrong before


class Series:
    """The runs of one job.

    A timer's runs never overlap: while one is under way, those that fall due are skipped (and logged at debug level;
    once with a warning, when it has been under way for a minute). A schedule has up to `max_runs` at once; further ones
    are skipped with a warning. A skipped run does not count towards the limit.

    Attributes:
        job: to run.
        moments: of the runs.
        begun: how many runs of the series have begun, without those started by hand.
        running: the runs under way, including those started by hand.
        last_error: the error of the last failed run; one line.
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
    ) -> None:
        self.job = job
        self._observer = observer
        self.work = work
        self.moments = moments
        self.begun = 0
        self.paused = False
        self.running: set[asyncio.Task[None]] = set()
        self.last_error: str | None = None
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
        limit = self.job.timing.limit
        if limit and self.begun >= limit:
            return None
        return self.moments.after(moment)

    def tick(self, due: datetime) -> None:
        """Start the run that is due, unless the series is paused or full."""
        if self.paused:
            return
        if self.full:
            hung = due - self._began >= _HUNG and not self._is_told
            self._is_told = self._is_told or hung
            level = logging.WARNING if hung or self.job.kind is not HandlerKind.TIMER else logging.DEBUG
            moment = self.moments.shown(due)
            LOG.log(level, "%s: left out the run of %s, %d still under way", self, moment, len(self.running))
            return
        self.begun += 1
        self._began, self._is_told = due, False
        self._begin(self.begun, due)

    def invoke(self, now: datetime) -> asyncio.Task[None] | None:
        """Start a run outside of the series; return None if the series is full."""
        return None if self.full else self._begin(0, now)

    def follow_clock(self, step: timedelta, due: datetime, now: datetime) -> datetime:
        """Return the next moment instead of `due` after the wall clock was set by `step`.

        A timer keeps its interval. A schedule runs what the step jumped over once, and nothing twice, unless the clock
        was set back so far that it must have been wrong before.
        """
        if isinstance(self.moments, TimerMoments):
            self.moments = self.moments.shifted(step)
            return due + step
        if step <= -_CORRECTION:
            return self.after(now) or due
        return due

    def _begin(self, run: int, due: datetime) -> asyncio.Task[None]:
        event = TickEvent(
            name=self.job.name,
            run=run,
            due=self.moments.shown(due),
            arguments=self.job.timing.arguments,
            shared=self._shared,
            broadcast=self._broadcast,
            _seat=self.job.action.seat if isinstance(self.job.action, Handler) else None,
        )
        task = asyncio.get_running_loop().create_task(self._run(event), name=str(self))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        self.work.begin()
        task.add_done_callback(self.work.end)
        return task

    async def _run(self, event: TickEvent) -> None:
        if self._observer is None:
            await self._attempt(event)
            return
        begun = perf_counter()
        failed = not await self._attempt(event)
        self._observer.job_ran(self.job.name, perf_counter() - begun, failed=failed)

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
