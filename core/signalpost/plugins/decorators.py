"""The decorators: they mark an ``async def`` as a handler, and may bind it where routes.yaml says nothing.

A decorator changes nothing: the function it returns is the one it got, with its handlers written on an attribute, so
that a test can call it and nothing global knows of it. Discovery finds it in its module (`handlers_of`).

What is wrong with a decorator or its function is a `PluginError` at the function's file and line. The plugin's name
is not known here, the module's stands in for it until discovery puts that right.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from signalpost.config.paths import PathPattern
from signalpost.config.units import parse_duration
from signalpost.cron import Cron
from signalpost.errors import PluginError
from signalpost.plugins.handler import (
    Binding,
    Handler,
    HandlerKind,
    RouteBinding,
    ScheduleBinding,
    SignalBinding,
    TimerBinding,
)
from signalpost.signals.event import RouteEvent, SignalEvent, TickEvent

Schema = Mapping[str, Any] | bool
Duration = str | float

SignalFunction = TypeVar("SignalFunction", bound=Callable[[SignalEvent], Coroutine[Any, Any, Any]])
RouteFunction = TypeVar("RouteFunction", bound=Callable[[RouteEvent], Coroutine[Any, Any, Any]])
TickFunction = TypeVar("TickFunction", bound=Callable[[TickEvent], Coroutine[Any, Any, Any]])
Function = TypeVar("Function", bound=Callable[[Any], Coroutine[Any, Any, Any]])

ATTRIBUTE = "__signalpost_handlers__"


def signal(
    name: str, *, path: str | None = None, schema: Schema | None = None, parallel: int = 1
) -> Callable[[SignalFunction], SignalFunction]:
    """Make an ``async def`` that takes a `SignalEvent` the handler `name`.

    Args:
        name: unique among all handlers of all plugins.
        path: the signal it is bound to unless routes.yaml names it; e.g. ``/rooms/<room>``.
        schema: a JSON Schema that judges the client's whole message object; needs `path`.
        parallel: how many messages of one client it may have at once; 1 keeps their order. Needs `path`.

    """

    def bind() -> SignalBinding | None:
        if path is None:
            _refuse_without("path", schema=schema, parallel=parallel != 1)
            return None
        PathPattern.parse(path)
        return SignalBinding(path, schema, _count("parallel", parallel, least=1))

    return _decorator(HandlerKind.SIGNAL, name, bind)


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
        if path is None:
            _refuse_without("path", methods=methods, schema=schema)
            return None
        PathPattern.parse(path)
        return RouteBinding(path, schema=schema) if methods is None else RouteBinding(path, _methods(methods), schema)

    return _decorator(HandlerKind.ROUTE, name, bind)


def timer(
    name: str,
    *,
    every: Duration | None = None,
    limit: int = 0,
    skip: int = 0,
    on_start: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> Callable[[TickFunction], TickFunction]:
    """Make an ``async def`` that takes a `TickEvent` the handler `name`, by interval.

    Args:
        name: unique among all handlers of all plugins; with `every` also the timer's name.
        every: the interval, ``"5s"`` or seconds; without it nothing runs until routes.yaml names the handler.
        limit: how many runs at most; 0 is for ever.
        skip: how many of the first runs to leave out.
        on_start: run once at once (counts towards the limit).
        arguments: handed over as `TickEvent.arguments`.

    """

    def bind() -> TimerBinding | None:
        if every is None:
            _refuse_without("every", limit=limit, skip=skip, on_start=on_start, arguments=arguments)
            return None
        return TimerBinding(
            _duration("every", every),
            limit=_count("limit", limit),
            skip=_count("skip", skip),
            on_start=on_start,
            arguments=dict(arguments or {}),
        )

    return _decorator(HandlerKind.TIMER, name, bind)


def schedule(
    name: str,
    *,
    cron: str | Sequence[str] | None = None,
    timezone: str | ZoneInfo | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 0,
    on_start: bool = False,
    timeout: Duration | None = None,
    max_runs: int = 10,
    arguments: Mapping[str, Any] | None = None,
) -> Callable[[TickFunction], TickFunction]:
    """Make an ``async def`` that takes a `TickEvent` the handler `name`, by the clock.

    Args:
        name: unique among all handlers of all plugins; with `cron` also the schedule's name.
        cron: one or several expressions, any of them fires; without it nothing runs until routes.yaml names the
            handler.
        timezone: the zone the expressions are read in, ``"Europe/London"``; the system's when nothing is said.
        start: no run before this moment; without a zone of its own it is read in `timezone`.
        end: no run after this moment; likewise.
        limit: how many runs at most; 0 is for ever.
        on_start: run once at once (counts towards the limit).
        timeout: after which a run is cancelled, ``"30s"`` or seconds; None is never.
        max_runs: how many runs may be under way at once.
        arguments: handed over as `TickEvent.arguments`.

    """

    def bind() -> ScheduleBinding | None:
        if cron is None:
            _refuse_without(
                "cron",
                timezone=timezone,
                start=start,
                end=end,
                limit=limit,
                on_start=on_start,
                timeout=timeout,
                arguments=arguments,
            )
            return None
        zone = ZoneInfo(timezone) if isinstance(timezone, str) else timezone
        return ScheduleBinding(
            _crons(cron),
            timezone=zone,
            start=_moment(start, zone),
            end=_moment(end, zone),
            limit=_count("limit", limit),
            on_start=on_start,
            timeout=None if timeout is None else _duration("timeout", timeout),
            max_runs=_count("max_runs", max_runs, least=1),
            arguments=dict(arguments or {}),
        )

    return _decorator(HandlerKind.SCHEDULE, name, bind)


def handlers_of(candidate: object) -> tuple[Handler, ...]:
    """Return the handlers that decorators made of an object: one a name, none if it is not decorated."""
    if not inspect.isfunction(candidate):
        return ()
    return cast("tuple[Handler, ...]", vars(candidate).get(ATTRIBUTE, ()))


def where_is(function: Callable[..., Any]) -> str:
    """Name where a function begins (its first decorator, if it has one): ``/app/plugins/clock.py:12``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def check_name(name: object) -> None:
    """Check that `name` can be a handler's.

    Raises:
        ValueError: it is no text, empty, or has control characters or spaces at its ends.

    """
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise ValueError(f"a handler's name is a word or several, not {name!r}")


def check_function(function: object) -> None:
    """Check that `function` can be a handler.

    Raises:
        ValueError: it is no ``async def``, or cannot be called with one event.

    """
    if inspect.isasyncgenfunction(function):
        raise ValueError("a handler must not yield: it broadcasts with event.broadcast(…)")
    if not inspect.iscoroutinefunction(function):
        what = f"{function.__name__} is a plain def" if inspect.isfunction(function) else f"{function!r} is none"
        raise ValueError(f"a handler is an async def taking one event; {what}")
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        shown = f"{function.__name__}{inspect.signature(function)}"
        raise ValueError(f"a handler takes one argument, the event; this one is {shown}") from None


def _decorator(kind: HandlerKind, name: str, bind: Callable[[], Binding | None]) -> Callable[[Function], Function]:
    """Make the decorator; arguments are judged once the function is there, so that an error can name its place."""
    bare: object = name  # `@signal` without parentheses hands the function over as the name
    if inspect.isfunction(bare):
        text = f'@{kind.value} needs a name: @{kind.value}("{bare.__name__}")'
        raise PluginError(bare.__module__, where_is(bare), text)

    def decorate(function: Function) -> Function:
        try:
            check_name(name)
            check_function(function)
            binding = bind()
        except (ValueError, TypeError, LookupError) as error:
            module = getattr(function, "__module__", "?")
            raise PluginError(module, where_is(function), f'@{kind.value}("{name}"): {_text_of(error)}') from None
        made = Handler(name, kind, function, (binding,) if binding else (), where=where_is(function))
        setattr(function, ATTRIBUTE, _merge(made, handlers_of(function)))
        return function

    return decorate


def _merge(made: Handler, others: tuple[Handler, ...]) -> tuple[Handler, ...]:
    """Put a handler before those of the decorators below it; the same name and kind again is a further binding."""
    for index, other in enumerate(others):
        if (other.name, other.kind) == (made.name, made.kind):
            both = replace(other, bindings=made.bindings + other.bindings)
            return (*others[:index], both, *others[index + 1 :])
    return (made, *others)


def _text_of(error: Exception) -> str:
    # KeyError's own text is the repr of its argument; ZoneInfoNotFoundError is one.
    return str(error.args[0]) if error.args else type(error).__name__


def _refuse_without(key: str, **given: object) -> None:
    lost = [name for name, value in given.items() if value]
    if lost:
        raise ValueError(f"{' and '.join(lost)} says nothing without {key}")


def _methods(methods: Sequence[str]) -> tuple[str, ...]:
    if isinstance(methods, str) or not methods or not all(isinstance(method, str) for method in methods):
        raise ValueError(f'methods is a list of words, as in methods=["GET", "POST"], not {methods!r}')
    return tuple(dict.fromkeys(method.upper() for method in methods))


def _duration(key: str, value: object) -> float:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise TypeError(f'{key} is a duration, as in {key}="5s", or a number of seconds, not {value!r}')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _count(key: str, value: object, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key} is a whole number from {least}, not {value!r}")
    return value


def _crons(cron: str | Sequence[str]) -> tuple[str, ...]:
    crons = (cron,) if isinstance(cron, str) else tuple(cron)
    if not crons:
        raise ValueError('cron is at least one expression, as in cron="0 0 * * *"')
    for expression in crons:
        Cron.parse(expression)
    return crons


def _moment(value: datetime | None, zone: tzinfo | None) -> datetime | None:
    if value is None or value.tzinfo is not None:
        return value
    if zone is None:
        raise ValueError(f"{value.isoformat()} belongs to no time zone: give it one, or give the schedule a timezone")
    return value.replace(tzinfo=zone)
