"""The decorators: they mark a function as a handler, with an optional default binding, or as an action.

A decorator changes nothing: it returns the same function with a mark on it, so that a test can call it, and there is no
global registry. Discovery finds the mark in its module (`signalpost.plugins.marks`). A problem with a decorator or its
function is a mark too, with the function's file and line, so that all problems of a module are found.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, tzinfo
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from signalpost.config.backplanemodel import RunsOn
from signalpost.config.model import MAX_RUNS
from signalpost.events import FeedEvent, RouteEvent, SignalEvent, TickEvent
from signalpost.handlers import (
    Binding,
    FeedBinding,
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
FeedFunction = TypeVar("FeedFunction", bound=Callable[[FeedEvent], Coroutine[Any, Any, Any]])
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
    """Mark an ``async def`` with a `SignalEvent` parameter as the handler `name`.

    Args:
        name: unique among all handlers of all plugins.
        path: of its signal unless routes.yaml names the handler; e.g. ``/rooms/<room>``.
        schema: a JSON Schema of the client's whole message object; needs `path`.
        parallel: how many messages of one client it may handle at once; 1 preserves their order. Needs `path`.
        cancel_when_gone: cancel it when the client whose message it handles disconnects, and drop what the client still
            has waiting. Else it continues, and what waits is handled for 60 s at most.
        timeout: after which the handling of a message is cancelled, ``"5s"`` or seconds; None is never. Needs `path`.
    """

    def bind() -> SignalBinding | None:
        return _bound("path", path, SignalBinding(path or "", schema, parallel, cast("float | None", timeout)))

    return _handler_decorator(HandlerKind.SIGNAL, name, bind, cancel_when_gone=cancel_when_gone)


def route(
    name: str, *, path: str | None = None, methods: Sequence[str] | None = None, schema: Schema | None = None
) -> Callable[[RouteFunction], RouteFunction]:
    """Mark an ``async def`` with a `RouteEvent` parameter as the handler `name`.

    Its result is the response: a mapping or list is JSON, a str is text, a Sanic response is unchanged.

    Args:
        name: unique among all handlers of all plugins.
        path: of its HTTP route unless routes.yaml names the handler.
        methods: of the HTTP route; by default POST. Needs `path`.
        schema: a JSON Schema of the request's JSON body; needs `path`.
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
    on: str | None = None,
) -> Callable[[TickFunction], TickFunction]:
    """Mark an ``async def`` with a `TickEvent` parameter as the handler `name`, run at an interval.

    Args:
        name: unique among all handlers of all plugins; with `every` also the timer's name.
        every: the interval, ``"5s"`` or seconds; without it nothing runs until routes.yaml names the handler.
        limit: maximum number of runs; 0 is no limit.
        skip: how many of the first runs to skip.
        on_start: run once at once (counts towards the limit).
        arguments: available as `TickEvent.arguments`.
        timeout: after which a run is cancelled, ``"30s"`` or seconds; None is never.
        on: ``"every"`` runs it on each node, ``"one"``, the default, on one of those that a backplane joins.
    """

    def bind() -> TimerBinding | None:
        binding = TimerBinding(
            cast("float", every),
            limit=limit,
            skip=skip,
            on_start=on_start,
            arguments=_said(arguments),
            timeout=cast("float | None", timeout),
            on=cast("RunsOn | None", on),
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
    on: str | None = None,
) -> Callable[[TickFunction], TickFunction]:
    """Mark an ``async def`` with a `TickEvent` parameter as the handler `name`, run on a schedule.

    Args:
        name: unique among all handlers of all plugins; with `cron` also the schedule's name.
        cron: one or several expressions, each of which starts runs; without it nothing runs until routes.yaml names the
            handler.
        timezone: the zone of the expressions, ``"Europe/London"``; by default the system's. Of zones
            other than `ZoneInfo`, those with a name are accepted: ``datetime.UTC``, and pytz's.
        start: no run before this moment; a moment without a zone is in `timezone`.
        end: no run after this moment; a moment without a zone is in `timezone`.
        limit: maximum number of runs; 0 is no limit.
        on_start: run once at once (counts towards the limit).
        timeout: after which a run is cancelled, ``"30s"`` or seconds; None is never.
        max_runs: how many runs may be under way at once.
        arguments: available as `TickEvent.arguments`.
        on: ``"every"`` runs it on each node, ``"one"``, the default, on one of those that a backplane joins.
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
            on=cast("RunsOn | None", on),
        )
        return _bound("cron", cron, binding)

    return _handler_decorator(HandlerKind.SCHEDULE, name, bind)


def feed(
    name: str,
    *,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    send: Any = (),
    timeout: Duration | None = None,
    max_message: str | int | None = None,
) -> Callable[[FeedFunction], FeedFunction]:
    """Mark an ``async def`` with a `FeedEvent` parameter as the handler `name`, called for each message of a feed.

    Args:
        name: unique among all handlers of all plugins; with `url` also the feed's name.
        url: of the WebSocket server, ``"wss://…"``; without it nothing is connected until routes.yaml names the
            handler.
        headers: of the handshake.
        subprotocols: to offer, such as ``["signalpost.v1"]``.
        send: a message to send as soon as it is connected, or a list of them: a text as it is, anything else as JSON.
        timeout: after which the handling of a message is cancelled, ``"5s"`` or seconds; None is never.
        max_message: size of the largest message, ``"64KiB"`` or bytes; None is ``limits.message``.
    """

    def bind() -> FeedBinding | None:
        binding = FeedBinding(
            url or "",
            headers=cast("tuple[tuple[str, str], ...]", () if headers is None else headers),
            subprotocols=cast("tuple[str, ...]", subprotocols),
            send=send,
            timeout=cast("float | None", timeout),
            max_message=cast("int | None", max_message),
        )
        return _bound("url", url, binding)

    return _handler_decorator(HandlerKind.FEED, name, bind)


def action(name: str, *, schema: Schema = True) -> Callable[[ActionFunction], ActionFunction]:
    """Mark a ``def`` or ``async def`` with an event and options as the action `name`, a step of ``do`` lists.

    Args:
        name: unique among all actions of all plugins and the built-in ones.
        schema: a JSON Schema (draft 2020-12) of the options, which follow the name in routes.yaml; without one
            they may be anything.
    """

    def make(function: ActionFunction) -> None:
        check_name(name, "an action")
        check_action(function)
        mark_action(function, Action(name, function, schema, where=where_is(function)))

    return _decorator("action", name, make)


def _decorator(what: str, name: str, make: Callable[[Function], None]) -> Callable[[Function], Function]:
    """Return the decorator; arguments are checked once the function is known, so that a problem has a place."""
    bare: object = name  # `@signal` without parentheses passes the function as the name
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
    """Return a binding if its key has a value; else None: then no other argument of it may be given.

    Raises:
        ValueError: another argument was given.
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
