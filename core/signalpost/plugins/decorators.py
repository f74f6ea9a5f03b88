"""The decorators: they mark a function as a handler, and may bind it where routes.yaml says nothing; or as an action.

A decorator changes nothing: the function it returns is the one it got, with a mark on it, so that a test can call it
and nothing global knows of it. Discovery finds the mark in its module (`signalpost.plugins.marks`). What is wrong with
a decorator or its function is a mark too, at the function's file and line, so that all mistakes of a module are found.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, tzinfo
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from signalpost.config.model import MAX_RUNS
from signalpost.events import RouteEvent, SignalEvent, TickEvent
from signalpost.handlers import (
    Binding,
    Handler,
    HandlerKind,
    RouteBinding,
    ScheduleBinding,
    SignalBinding,
    TimerBinding,
)
from signalpost.plugins.action import Action, Schema
from signalpost.plugins.bindings import checked, text_of
from signalpost.plugins.marks import (
    check_action,
    check_handler,
    check_name,
    mark_action,
    mark_fault,
    mark_handler,
    where_is,
)

Duration = str | float

SignalFunction = TypeVar("SignalFunction", bound=Callable[[SignalEvent], Coroutine[Any, Any, Any]])
RouteFunction = TypeVar("RouteFunction", bound=Callable[[RouteEvent], Coroutine[Any, Any, Any]])
TickFunction = TypeVar("TickFunction", bound=Callable[[TickEvent], Coroutine[Any, Any, Any]])
ActionFunction = TypeVar("ActionFunction", bound=Callable[[Any, Any], Any])
Function = TypeVar("Function", bound=Callable[..., Any])
B = TypeVar("B", bound=Binding)


def signal(
    name: str,
    *,
    path: str | None = None,
    schema: Schema | None = None,
    parallel: int = 1,
    timeout: Duration | None = None,
    cancel_when_gone: bool = False,
) -> Callable[[SignalFunction], SignalFunction]:
    """Make an ``async def`` that takes a `SignalEvent` the handler `name`.

    Args:
        name: unique among all handlers of all plugins.
        path: the signal it is bound to unless routes.yaml names it; e.g. ``/rooms/<room>``.
        schema: a JSON Schema that judges the client's whole message object; needs `path`.
        parallel: how many messages of one client it may have at once; 1 keeps their order. Needs `path`.
        cancel_when_gone: cancel it when the client whose message it handles goes, and let go of what that client still
            has waiting. Else it runs on, and what waits is handled for 60 s at most.
        timeout: after which the handling of a message is cancelled, ``"5s"`` or seconds; None is never. Needs `path`.

    """

    def bind() -> SignalBinding | None:
        return _bound("path", path, SignalBinding(path or "", schema, parallel, cast("float | None", timeout)))

    return _handler_decorator(HandlerKind.SIGNAL, name, bind, cancel_when_gone=cancel_when_gone)


def route(
    name: str, *, path: str | None = None, methods: Sequence[str] | None = None, schema: Schema | None = None
) -> Callable[[RouteFunction], RouteFunction]:
    """Make an ``async def`` that takes a `RouteEvent` the handler `name`.

    It answers with what it returns: a mapping or list is JSON, a str is text, a Sanic response goes as it is.

    Args:
        name: unique among all handlers of all plugins.
        path: the HTTP route it is bound to unless routes.yaml names it.
        methods: of the HTTP route; POST when nothing is said. Needs `path`.
        schema: a JSON Schema that judges the request's JSON body; needs `path`.

    """

    def bind() -> RouteBinding | None:
        said = {} if methods is None else {"methods": cast("tuple[str, ...]", methods)}
        return _bound("path", path, RouteBinding(path or "", schema=schema, **said))

    return _handler_decorator(HandlerKind.ROUTE, name, bind)


def timer(
    name: str,
    *,
    every: Duration | None = None,
    limit: int = 0,
    skip: int = 0,
    on_start: bool = False,
    arguments: Mapping[str, Any] | None = None,
    timeout: Duration | None = None,
) -> Callable[[TickFunction], TickFunction]:
    """Make an ``async def`` that takes a `TickEvent` the handler `name`, by interval.

    Args:
        name: unique among all handlers of all plugins; with `every` also the timer's name.
        every: the interval, ``"5s"`` or seconds; without it nothing runs until routes.yaml names the handler.
        limit: how many runs at most; 0 is for ever.
        skip: how many of the first runs to leave out.
        on_start: run once at once (counts towards the limit).
        arguments: handed over as `TickEvent.arguments`.
        timeout: after which a run is cancelled, ``"30s"`` or seconds; None is never.

    """

    def bind() -> TimerBinding | None:
        binding = TimerBinding(
            cast("float", every),
            limit=limit,
            skip=skip,
            on_start=on_start,
            arguments=_said(arguments),
            timeout=cast("float | None", timeout),
        )
        return _bound("every", every, binding)

    return _handler_decorator(HandlerKind.TIMER, name, bind)


def schedule(
    name: str,
    *,
    cron: str | Sequence[str] | None = None,
    timezone: str | tzinfo | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 0,
    on_start: bool = False,
    timeout: Duration | None = None,
    max_runs: int = MAX_RUNS,
    arguments: Mapping[str, Any] | None = None,
) -> Callable[[TickFunction], TickFunction]:
    """Make an ``async def`` that takes a `TickEvent` the handler `name`, by the clock.

    Args:
        name: unique among all handlers of all plugins; with `cron` also the schedule's name.
        cron: one or several expressions, any of them fires; without it nothing runs until routes.yaml names the
            handler.
        timezone: the zone the expressions are read in, ``"Europe/London"``; the system's when nothing is said. Of zones
            that are no `ZoneInfo`, those that tell their name are taken: ``datetime.UTC``, and pytz's.
        start: no run before this moment; without a zone of its own it is read in `timezone`.
        end: no run after this moment; likewise.
        limit: how many runs at most; 0 is for ever.
        on_start: run once at once (counts towards the limit).
        timeout: after which a run is cancelled, ``"30s"`` or seconds; None is never.
        max_runs: how many runs may be under way at once.
        arguments: handed over as `TickEvent.arguments`.

    """

    def bind() -> ScheduleBinding | None:
        binding = ScheduleBinding(
            cast("tuple[str, ...]", cron),
            timezone=cast("ZoneInfo | None", timezone),
            start=start,
            end=end,
            limit=limit,
            on_start=on_start,
            timeout=cast("float | None", timeout),
            max_runs=max_runs,
            arguments=_said(arguments),
        )
        return _bound("cron", cron, binding)

    return _handler_decorator(HandlerKind.SCHEDULE, name, bind)


def action(name: str, *, schema: Schema = True) -> Callable[[ActionFunction], ActionFunction]:
    """Make a ``def`` or ``async def`` that takes an event and options the action `name`, a step of ``do`` lists.

    Args:
        name: unique among all actions of all plugins, and none of the built-in ones.
        schema: a JSON Schema (draft 2020-12) of the options, which stand behind the name in routes.yaml; without one
            they may be anything.

    """

    def make(function: ActionFunction) -> None:
        check_name(name, "an action")
        check_action(function)
        mark_action(function, Action(name, function, schema, where=where_is(function)))

    return _decorator("action", name, make)


def _decorator(what: str, name: str, make: Callable[[Function], None]) -> Callable[[Function], Function]:
    """Make the decorator; arguments are judged once the function is there, so that a mistake has its place."""
    bare: object = name  # `@signal` without parentheses hands the function over as the name
    if inspect.isfunction(bare):
        mark_fault(bare, bare.__name__, f'@{what} needs a name: @{what}("{bare.__name__}")')
        return cast("Callable[[Function], Function]", bare)

    def decorate(function: Function) -> Function:
        try:
            make(function)
        except (ValueError, TypeError, LookupError) as error:
            mark_fault(function, name, f'@{what}("{name}"): {text_of(error)}')
        return function

    return decorate


def _handler_decorator(
    kind: HandlerKind, name: str, bind: Callable[[], Binding | None], *, cancel_when_gone: bool = False
) -> Callable[[Function], Function]:
    def make(function: Function) -> None:
        check_name(name, "a handler")
        check_handler(function)
        binding = bind()
        if not isinstance(cancel_when_gone, bool):
            raise TypeError(f"cancel_when_gone is True or False, not {cancel_when_gone!r}")
        bindings = (checked(binding),) if binding else ()
        mark_handler(
            function,
            Handler(name, kind, function, bindings, where=where_is(function), cancel_when_gone=cancel_when_gone),
        )

    return _decorator(kind.value, name, make)


def _bound(key: str, value: object, binding: B) -> B | None:
    """Return a binding if its key has a value; else None, and then nothing else of it may have been given.

    Raises:
        ValueError: something was.

    """
    if value is not None:
        return binding
    first, *others = fields(binding)
    blank = type(binding)(getattr(binding, first.name))
    lost = [each.name for each in others if getattr(binding, each.name) != getattr(blank, each.name)]
    if lost:
        raise ValueError(f"{' and '.join(lost)} says nothing without {key}")
    return None


def _said(arguments: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if arguments is None else arguments
