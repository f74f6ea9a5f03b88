"""Jobs in virtual time: a real asyncio loop, and the real APScheduler on it, that jump from timer to timer."""

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signalpost.actions.builtin.broadcast import broadcast
from signalpost.actions.program import Program
from signalpost.actions.steps import Leaf, Options
from signalpost.config.model import ScheduleTiming, TimerTiming
from signalpost.delivery.target import Receipt
from signalpost.events import Shared, TickEvent
from signalpost.handlers import Handler, HandlerKind
from signalpost.jobs.leases import Leases
from signalpost.jobs.runner import JobRunner
from signalpost.jobs.scheduler import Clock
from signalpost.plan import Job
from signalpost.state.state import State


class VirtualSelector(selectors.DefaultSelector):
    """Where a loop would wait for I/O or a timer, time passes instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            # A hair beyond: after months of virtual time asyncio's own tolerance is less than a float can tell.
            self.now = math.nextafter(self.now + timeout, math.inf)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.virtual = VirtualSelector()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now


@dataclass
class World:
    """A server's surroundings: a clock that starts at `base`, handlers that note their runs, and all broadcasts.

    Attributes:
        base: what the wall clock shows when the loop's time is 0; to set the clock, change it.
        glance: seconds after which that would be noticed.
        runs: of all handlers, each as its event and when it began.
        sent: all broadcasts, as value, path, group and client.
        leases: by which this node agrees with others on who runs a job.

    """

    base: datetime = datetime(2025, 6, 1, tzinfo=UTC)
    glance: float = 60
    runs: list[tuple[TickEvent, datetime]] = field(default_factory=list)
    sent: list[tuple[Any, str | None, str | None, str | None]] = field(default_factory=list)
    leases: Leases | None = None

    def now(self) -> datetime:
        return self.base + timedelta(seconds=asyncio.get_running_loop().time())

    @property
    def clock(self) -> Clock:
        return Clock(self.now, steady=lambda: asyncio.get_running_loop().time(), glance=self.glance)

    def broadcast(self, value: Any, *, path: Any = None, group: Any = None, client: Any = None) -> Receipt:
        self.sent.append((value, path, group, client))
        return Receipt(0, 0, 0)

    def runner(self, *jobs: Job) -> JobRunner:
        shared = Shared(asyncio.Lock(), State())
        return JobRunner(jobs, shared, self.broadcast, clock=self.clock, leases=self.leases)

    def sending(self, value: Any, **target: str) -> Program:
        """Give a list of actions that only broadcasts."""
        return Program((), (Leaf("broadcast", "routes.yaml:16:9", Options({"value": value, **target}), broadcast),))

    def handler(self, then: Callable[[TickEvent], Awaitable[Any]] | None = None, name: str = "work") -> Handler:
        async def work(event: TickEvent) -> None:
            self.runs.append((event, self.now()))
            if then is not None:
                await then(event)

        return Handler(name, HandlerKind.TIMER, work, plugin="clock", where="plugins/clock.py:7")

    def timer(self, every: float, then: Any = None, name: str = "tick", **options: Any) -> Job:
        action = then if isinstance(then, Handler | Program) else self.handler(then)
        return Job(name, action, "routes.yaml:14", TimerTiming(every, **options))

    def schedule(self, *crons: str, then: Any = None, name: str = "nightly", **options: Any) -> Job:
        action = then if isinstance(then, Handler | Program) else self.handler(then)
        return Job(name, action, "routes.yaml:20", ScheduleTiming(crons, **options))

    async def live(self, seconds: float, *jobs: Job) -> JobRunner:
        """Start jobs and let time pass."""
        runner = self.runner(*jobs)
        runner.start()
        await asyncio.sleep(seconds)
        return runner

    def began(self, name: str | None = None) -> list[float]:
        """When runs began, in seconds since the loop's time was 0."""
        return [
            round((began - self.base).total_seconds(), 4)
            for event, began in self.runs
            if name is None or event.name == name
        ]

    @property
    def numbers(self) -> list[int]:
        return [event.run for event, _ in self.runs]

    @property
    def dues(self) -> list[datetime]:
        return [event.due for event, _ in self.runs]


@pytest.fixture(scope="session")
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualLoop})


@pytest.fixture
def world():
    return World()


@pytest.fixture(scope="session")
def new_world():
    """Make worlds by hand, each to be lived in by `run_virtually`."""
    return World


@pytest.fixture(scope="session")
def run_virtually():
    """Run a coroutine function to its end on a virtual loop of its own."""

    def run(main: Callable[[], Awaitable[Any]]) -> Any:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main())

    return run
