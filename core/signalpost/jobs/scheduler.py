"""APScheduler's AsyncIOScheduler, with its pitfalls removed.

It sorts the jobs and wakes the loop when the first of them is due. Its handling of a due job is replaced here, since by
itself it

- reads the time where it cannot be given another clock,
- drops a run that is a second late (`misfire_grace_time`),
- does not tell a job when it was due, and runs a plain function in a thread,
- sleeps until the next run however far that is, and so oversleeps when the system's clock is set,
- goes through all jobs for each one that is due, and looks at all of them again for each one that is put off: a second
  of the loop for a thousand that are due at once.

Its own triggers are not used: its cron counts Monday as 0 and stumbles over clock changes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from signalpost.jobs.library import AsyncIOScheduler, BaseTrigger

MOST_A_TURN = 20
"""Jobs that are called in one loop turn; each starts a task, and all of these run in the next turn."""

_STEP = 1.0  # seconds by which the wall clock must differ from the steady one to count as having been set


@dataclass(frozen=True, slots=True)
class Clock:
    """The source of the time.

    Attributes:
        wall: the time of day, in UTC. People and NTP may set it.
        steady: monotonic seconds from any start.
        glance: seconds after which the wall clock is checked again, to notice that it was set.
    """

    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    steady: Callable[[], float] = time.monotonic
    glance: float = 60.0


class _Trigger(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """Asks the job itself for its next moment."""

    __slots__ = ("_following",)

    def __init__(self, following: Callable[[datetime], datetime | None]) -> None:
        self._following = following

    def get_next_fire_time(self, previous_fire_time: datetime, now: datetime) -> datetime | None:
        """Return the first moment after both: one run replaces all that were missed at the same time."""
        return self._following(max(previous_fire_time, now))


class JobScheduler(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler ships no types
    """Calls each job at its moments, on the running loop. All moments are in UTC.

    Args:
        clock: the source of the time.
        on_step: called with the step by which the wall clock was set, before any job is called by the new time.
    """

    def __init__(self, clock: Clock, on_step: Callable[[timedelta], None]) -> None:
        super().__init__(timezone=UTC)
        self._clock = clock
        self._on_step = on_step
        self._seen: tuple[datetime, float] | None = None
        self._due: deque[Any] = deque()  # due jobs that have not been called yet
        self._woken = False

    def schedule(
        self,
        name: str,
        first: datetime,
        launch: Callable[[datetime], None],
        following: Callable[[datetime], datetime | None],
    ) -> None:
        """Call a job at `first` and from then on at its following moments, until there is none.

        Args:
            name: unique.
            first: the first moment.
            launch: called with the due moment; starts the run and returns.
            following: returns the first moment strictly after another, or None. Called after each launch.
        """
        # APScheduler checks the arguments; each call gets its own moment instead (`_call_if_due`).
        self.add_job(launch, _Trigger(following), args=(first,), id=name, name=name, next_run_time=first)

    def forget(self, name: str) -> None:
        """Stop calling a job; it is no error if the job is already over."""
        if self.get_job(name) is not None:
            self.remove_job(name)

    def due(self, name: str) -> datetime | None:
        """Return when a job is called next; None if never."""
        job = self.get_job(name)
        return None if job is None else job.next_run_time

    def put_off(self, name: str, due: datetime) -> None:
        """Call a job next at `due` instead."""
        self.modify_job(name, next_run_time=due)

    def _process_jobs(self) -> float | None:
        """Call what is due, and return the seconds until the next work: called by APScheduler's timer."""
        self._notice_step()
        now = self._clock.wall()
        store = self._lookup_jobstore("default")
        if not self._due:
            self._due.extend(store.get_due_jobs(now))  # the earliest first
        for _ in range(min(MOST_A_TURN, len(self._due))):
            self._call(self._due.popleft(), now, store)
        if self._due:
            return 0.0
        first = store.get_next_run_time()
        if first is None:
            return None
        ahead: timedelta = first - self._clock.wall()
        return min(max(ahead.total_seconds(), 0.0), self._clock.glance)

    @staticmethod
    def _call(job: Any, now: datetime, store: Any) -> None:
        due = job.next_run_time
        if due > now or store.lookup_job(job.id) is not job:
            return  # it was postponed or removed since it was found to be due
        job.func(due)
        following = job.trigger.get_next_fire_time(due, now)
        if following is None:
            store.remove_job(job.id)
        else:
            job.next_run_time = following
            store.update_job(job)

    def wakeup(self) -> None:
        """Check what is due in the next loop turn: once, however many jobs were added or postponed."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._woken = False
        if self._eventloop is not None:  # else it was shut down meanwhile
            self._stop_timer()
            self._start_timer(self._process_jobs())

    def _notice_step(self) -> None:
        wall, steady = self._clock.wall(), self._clock.steady()
        if self._seen is not None:
            step = (wall - self._seen[0]).total_seconds() - (steady - self._seen[1])
            if abs(step) >= _STEP:
                self._on_step(timedelta(seconds=step))
        self._seen = wall, steady
