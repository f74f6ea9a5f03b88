"""A handler: a plugin's function, known by a name, with where it comes from and what it is bound to by default."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from signalpost.config.model import ScheduleTiming, TimerTiming
from signalpost.foreign import Code, Seat

HandlerFunction = Callable[[Any], Awaitable[Any]]


class HandlerKind(StrEnum):
    """What a handler can be bound to, named after its decorator. Timers and schedules both give a `TickEvent`."""

    SIGNAL = "signal"
    ROUTE = "route"
    TIMER = "timer"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class SignalBinding:
    """``@signal("shout", path="/shout")``; `parallel` and `timeout` are those of `SignalConfig`."""

    path: str
    schema: Mapping[str, Any] | bool | None = None
    parallel: int = 1
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class RouteBinding:
    """``@route("publish", path="/publish", methods=["POST"])``."""

    path: str
    methods: tuple[str, ...] = ("POST",)
    schema: Mapping[str, Any] | bool | None = None


@dataclass(frozen=True, slots=True)
class TimerBinding(TimerTiming):
    """``@timer("tick", every="5s")``."""


@dataclass(frozen=True, slots=True)
class ScheduleBinding(ScheduleTiming):
    """``@schedule("nightly", cron="0 0 * * *")``."""


Binding = SignalBinding | RouteBinding | TimerBinding | ScheduleBinding


@dataclass(frozen=True, slots=True)
class Handler:
    """A plugin's function under its name.

    Attributes:
        name: unique among all handlers of all plugins.
        kind: which decorator made it.
        function: ``async def`` taking one event.
        bindings: what it is bound to unless routes.yaml names it.
        plugin: the name of the plugin it comes from; empty until discovery has filled it in.
        where: ``file:line`` of the function.
        cancel_when_gone: whether it is cancelled when the client whose message it handles goes.
        seat: where the plugin's instance sits, likewise.

    """

    name: str
    kind: HandlerKind
    function: HandlerFunction = field(compare=False)
    bindings: tuple[Binding, ...] = ()
    plugin: str = ""
    where: str = ""
    cancel_when_gone: bool = False
    seat: Seat | None = field(default=None, compare=False, repr=False)

    @property
    def code(self) -> Code:
        """What the log calls it."""
        return Code(f'handler "{self.name}"', self.plugin, self.where, self.seat)
