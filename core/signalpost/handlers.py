"""A handler: a named function of a plugin, with its origin and its default bindings."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from signalpost.config.model import FeedSource, ScheduleTiming, TimerTiming
from signalpost.foreign import Code, Seat

HandlerFunction = Callable[[Any], Awaitable[Any]]


class HandlerKind(StrEnum):
    """What a handler can be bound to, named after its decorator. Timers and schedules both have a `TickEvent`."""

    SIGNAL = "signal"
    ROUTE = "route"
    TIMER = "timer"
    SCHEDULE = "schedule"
    FEED = "feed"


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


@dataclass(frozen=True, slots=True)
class FeedBinding(FeedSource):
    """``@feed("prices", url="wss://feed.example.com/ticker")``."""


Binding = SignalBinding | RouteBinding | TimerBinding | ScheduleBinding | FeedBinding


@dataclass(frozen=True, slots=True)
class Handler:
    """A plugin's function with its name.

    Attributes:
        name: unique among all handlers of all plugins.
        kind: of its decorator.
        function: ``async def`` with one event as parameter.
        bindings: used unless routes.yaml names the handler.
        plugin: the name of its plugin; empty until discovery sets it.
        where: ``file:line`` of the function.
        cancel_when_gone: whether it is cancelled when the client whose message it handles disconnects.
        seat: of the plugin's instance; set by discovery, too.
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
        """Its name in the log."""
        return Code(f'handler "{self.name}"', self.plugin, self.where, self.seat)
