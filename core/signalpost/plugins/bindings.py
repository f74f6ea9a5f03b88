"""Checks the bindings of handlers, from decorators or created by plugins themselves.

One function checks every kind of binding: `checked`. Its result has a canonical form, whatever the plugin wrote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from signalpost.config.backplanemodel import RunsOn
from signalpost.config.feedurl import NO_TOKEN, message_text, parse_url
from signalpost.config.model import METHODS
from signalpost.cron import Cron
from signalpost.handlers import (
    Binding,
    FeedBinding,
    HandlerKind,
    RouteBinding,
    ScheduleBinding,
    SignalBinding,
    TimerBinding,
)
from signalpost.paths import PathPattern
from signalpost.state.frozen import fixed
from signalpost.units import FIRST_YEAR, LAST_YEAR, check_skip, parse_duration, parse_size
from signalpost.words import listing

_ZONES = 'timezone is an IANA name, as in timezone="Europe/London", or a ZoneInfo'
_HOUR = timedelta(hours=1)
_OFFSETS = range(-12, 15)  # hours of the zones Etc/GMT+12 to Etc/GMT-14, whose names count westwards

BINDINGS: Mapping[HandlerKind, type[Binding]] = {
    HandlerKind.SIGNAL: SignalBinding,
    HandlerKind.ROUTE: RouteBinding,
    HandlerKind.TIMER: TimerBinding,
    HandlerKind.SCHEDULE: ScheduleBinding,
    HandlerKind.FEED: FeedBinding,
}
"""The bindings of each kind of handler."""


def checked(binding: Binding) -> Binding:
    """Return a binding in canonical form: durations in seconds, methods in upper case, zones as `ZoneInfo`.

    Raises:
        ValueError: a value of it is invalid; the text names the field.
        TypeError: the same.
        LookupError: the same.
    """
    match binding:
        case SignalBinding():
            _check_path(binding.path)
            _check_schema(binding.schema)
            parallel = _count("parallel", binding.parallel, least=1)
            return replace(binding, parallel=parallel, timeout=_timeout(binding.timeout))
        case RouteBinding():
            _check_path(binding.path)
            _check_schema(binding.schema)
            return replace(binding, methods=_methods(binding.methods))
        case TimerBinding():
            return _timer(binding)
        case ScheduleBinding():
            return _schedule(binding)
        case FeedBinding():
            return _feed(binding)


def checked_all(kind: HandlerKind, bindings: object) -> tuple[Binding, ...]:
    """Return the bindings of a handler of `kind` in canonical form.

    Raises:
        ValueError: one of them is invalid.
        TypeError: the same.
        LookupError: the same.
    """
    wanted = BINDINGS[kind]
    if not isinstance(bindings, list | tuple):
        raise TypeError(f"bindings is a tuple, as in bindings=({wanted.__name__}(…),), not {bindings!r}")
    made = []
    for binding in bindings:
        if not isinstance(binding, wanted):
            raise TypeError(f"a {kind.value} is bound by {wanted.__name__}, not by {binding!r}")
        made.append(_with_its_name(binding))
    return tuple(made)


def _with_its_name(binding: Binding) -> Binding:
    try:
        return checked(binding)
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{type(binding).__name__}: {text_of(error)}") from None


def text_of(error: Exception) -> str:
    """Return an exception's own text; that of a KeyError would be quoted."""
    return str(error.args[0]) if error.args else type(error).__name__


def _timer(binding: TimerBinding) -> TimerBinding:
    every = _duration("every", binding.every)
    skip = _count("skip", binding.skip)
    check_skip(every, skip)
    return TimerBinding(
        every,
        limit=_count("limit", binding.limit),
        skip=skip,
        on_start=_flag("on_start", binding.on_start),
        arguments=_arguments(binding.arguments),
        timeout=_timeout(binding.timeout),
        on=_runs_on(binding.on),
    )


def _schedule(binding: ScheduleBinding) -> ScheduleBinding:
    zone = _zone(binding.timezone)
    start, end = _moment("start", binding.start, zone), _moment("end", binding.end, zone)
    if start is not None and end is not None and end <= start:
        raise ValueError(f"end, {end}, must be after start, {start}, or the job never runs")
    return ScheduleBinding(
        _crons(binding.crons),
        timezone=zone,
        start=start,
        end=end,
        limit=_count("limit", binding.limit),
        on_start=_flag("on_start", binding.on_start),
        timeout=_timeout(binding.timeout),
        max_runs=_count("max_runs", binding.max_runs, least=1),
        arguments=_arguments(binding.arguments),
        on=_runs_on(binding.on),
    )


def _runs_on(word: object) -> RunsOn | None:
    if word is None:
        return None
    if not isinstance(word, str) or word not in set(RunsOn):
        raise ValueError(f'on is "one" or "every", not {word!r}')
    return RunsOn(word)


def _feed(binding: FeedBinding) -> FeedBinding:
    if not isinstance(binding.url, str):
        raise TypeError(f'url is a text, as in url="wss://feed.example.com/ticker", not {binding.url!r}')
    try:
        url = parse_url(binding.url)
    except ValueError as error:
        raise ValueError(f"url: {error}") from None
    if binding.ca is not None:
        raise ValueError("ca: certificates are named in routes.yaml, in a feed with this handler")
    return FeedBinding(
        url,
        headers=_headers(binding.headers),
        subprotocols=_subprotocols(binding.subprotocols),
        send=_sent(binding.send),
        timeout=_timeout(binding.timeout),
        max_message=_size("max_message", binding.max_message),
    )


def _headers(headers: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(headers, Mapping | tuple):
        raise TypeError(f'headers is a mapping, as in headers={{"x-client": "shop"}}, not {headers!r}')
    pairs: Sequence[Any] = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    if not all(isinstance(name, str) and isinstance(text, str) for name, text in pairs):
        raise TypeError(f'headers is a mapping of texts, as in headers={{"x-client": "shop"}}, not {headers!r}')
    made: dict[str, str] = {}
    if pairs:
        from signalpost.config.headers import header_fault  # imports the YAML reader

        for name, text in pairs:
            fault = "the url names the host" if name.lower() == "host" else header_fault(name, text, made)
            if fault:
                raise ValueError(f"headers: {name}: {fault}")
            made[name.lower()] = text
    return tuple(made.items())


def _subprotocols(subprotocols: object) -> tuple[str, ...]:
    names = (subprotocols,) if isinstance(subprotocols, str) else subprotocols
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f'subprotocols is a list of texts, as in subprotocols=["signalpost.v1"], not {subprotocols!r}')
    for name in names:
        if not name or NO_TOKEN.search(name) is not None:
            raise ValueError(f"subprotocols: {name!r} is no subprotocol name")
    return tuple(dict.fromkeys(names))


def _sent(send: object) -> tuple[Any, ...]:
    values = tuple(send) if isinstance(send, list | tuple) else (send,)
    for value in values:
        try:
            message_text(value)
        except TypeError as error:
            raise TypeError(f"send: {value!r} is not JSON: {error}") from None
    return tuple(map(fixed, values))


def _size(key: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError(f'{key} is a size, as in {key}="64KiB", or a number of bytes, not {value!r}')
    try:
        return parse_size(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_path(path: object) -> None:
    if not isinstance(path, str):
        raise TypeError(f'path is a text, as in path="/rooms/<room>", not {path!r}')
    PathPattern.parse(path)


def _check_schema(schema: object) -> None:
    if schema is not None and not isinstance(schema, Mapping | bool):
        raise TypeError(f'schema is a JSON Schema, as in schema={{"type": "object"}}, not {schema!r}')


def _methods(methods: object) -> tuple[str, ...]:
    if (
        isinstance(methods, str)
        or not isinstance(methods, Sequence | set | frozenset)
        or not methods
        or not all(isinstance(method, str) for method in methods)
    ):
        raise ValueError(f'methods is a list of words, as in methods=["GET", "POST"], not {methods!r}')
    words = tuple(dict.fromkeys(method.upper() for method in methods))
    for word in words:
        if word not in METHODS:
            raise ValueError(f"methods: there is no method {word!r} (allowed: {listing(METHODS)})")
    return words


def _duration(key: str, value: object) -> float:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise TypeError(f'{key} is a duration, as in {key}="5s", or a number of seconds, not {value!r}')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _timeout(value: object) -> float | None:
    return None if value is None else _duration("timeout", value)


def _count(key: str, value: object, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key} is a whole number from {least}, not {value!r}")
    return value


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{key} is True or False, not {value!r}")
    return value


def _arguments(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f'arguments is a mapping, as in arguments={{"text": "hi"}}, not {value!r}')
    made: Mapping[str, Any] = fixed(dict(value))
    return made


def _crons(crons: object) -> tuple[str, ...]:
    texts = (crons,) if isinstance(crons, str) else crons
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'cron is at least one expression, as in cron="0 0 * * *", not {crons!r}')
    for text in texts:
        Cron.parse(text)
    return tuple(texts)


def _zone(zone: object) -> ZoneInfo | None:
    """Return a time zone as `ZoneInfo`: no other kind converts wall clock times correctly.

    pytz's, for example, are off by minutes after `datetime.replace`; but they, and those of most other packages, have
    the name of their zone.
    """
    if zone is None or isinstance(zone, ZoneInfo):
        return zone
    if zone is UTC:
        return ZoneInfo("UTC")
    name = zone if isinstance(zone, str) else getattr(zone, "key", None) or getattr(zone, "zone", None)
    if isinstance(name, str):
        return _zone_of(name)
    hint = _offset_hint(zone) if isinstance(zone, timezone) else ""
    raise TypeError(f"{_ZONES}, not {zone!r}{hint}")


def _zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        from signalpost.config.jobs import parse_timezone  # imports the YAML reader

        return parse_timezone(name)


def _offset_hint(zone: timezone) -> str:
    """Return how to write a fixed offset as a zone, if it is one."""
    hours, rest = divmod(zone.utcoffset(None), _HOUR)
    if rest or hours not in _OFFSETS:
        return ""
    name = "UTC" if not hours else f"Etc/GMT{-hours:+d}"
    return f'; for this offset all year write timezone="{name}"'


def _moment(key: str, value: object, zone: tzinfo | None) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{key} is a datetime, as in {key}=datetime(2027, 1, 31, 9), not {value!r}")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"{key}, {value.isoformat()}, is out of range: years are {FIRST_YEAR} to {LAST_YEAR}")
    if value.utcoffset() is not None:
        return value
    if zone is None:
        raise ValueError(f"{value.isoformat()} belongs to no time zone: give it one, or give the schedule a timezone")
    return value.replace(tzinfo=zone)
