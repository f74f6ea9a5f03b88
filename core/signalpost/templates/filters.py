"""The filters of templates: those of Jinja2 that fit JSON values, each within a rendering's limits, and some more.

Left out are those that create HTML (`safe`, `forceescape`, `striptags`, `tojson`, `urlize`, `xmlattr`) or lay out pages
(`batch`, `indent`, `slice`, `wordwrap`), those with access to Python (`attr`, `format`), and `pprint`.
"""

import hashlib
import hmac
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from contextlib import suppress
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from jinja2 import UndefinedError, pass_context
from jinja2 import filters as jinja

from signalpost.foreign import named
from signalpost.jsontext import TooManyValuesError, load
from signalpost.state.weight import VALUE
from signalpost.templates.attributes import LONGEST_SEARCH, kind, strftime
from signalpost.templates.failures import StoppedError
from signalpost.templates.operators import binary, number
from signalpost.templates.scope import Each, Scope
from signalpost.templates.text import as_json, as_markup
from signalpost.templates.value import FailureKind

Filter = Callable[..., Any]

_PLACES = 15
_LONGEST_NUMBER = 100
_LONGEST_ARGUMENT = 1000
_LONGEST_MOMENT = 100
_LONGEST_MARK = 10
# As in Jinja2's `title`.
_WORD = re.compile(r"[^-\s({\[<]+")
# Comparisons of two values in a sort without a clock check: about 20 ms.
_QUICK_SORT = 2**20


class Group(NamedTuple):
    """One group of the result of `groupby`; with Jinja2's names."""

    grouper: Any
    list: list[Any]


def all_filters(more: Mapping[str, Filter]) -> dict[str, Filter]:
    """Return all filters by name: the built-in ones, and `more`, of plugins."""
    return {
        **{name: _of_plugin(name, function) for name, function in more.items()},
        **{name: _of_text(function) for name, function in _TEXT.items()},
        **{name: _of_items(name, function) for name, function in _ITEMS.items()},
        **{name: _one_of(function) for name, function in _ONE.items()},
        **{name: pass_context(function) for name, function in _OWN.items()},
        **_SIMPLE,
    }


def _of_text(function: Filter) -> Filter:
    """Turn a function of a text into a filter."""

    @pass_context
    def run(scope: Scope, value: Any, *args: Any, **kwargs: Any) -> Any:
        scope.tick()
        text = scope.text(value)
        scope.check(len(text))
        return scope.keep(function(text, *args, **kwargs))

    return run


def _of_items(name: str, function: Filter) -> Filter:
    """Turn a function of a scope and items that returns items into a filter."""

    @pass_context
    def run(scope: Scope, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return scope.collect(function(scope, _items(scope, name, value, *args, *kwargs.values()), *args, **kwargs))

    return run


def _one_of(function: Filter) -> Filter:
    """Turn a function of an environment and items that returns one of them into a filter."""

    @pass_context
    def run(scope: Scope, value: Any, *args: Any, **kwargs: Any) -> Any:
        scope.tick()
        return function(scope.environment, value, *args, **kwargs)

    return run


def _of_plugin(name: str, function: Filter) -> Filter:
    """Turn a plugin's function into a filter; its failures name it."""

    @pass_context
    def run(scope: Scope, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return scope.call(function, value, *args, **kwargs)
        except (StoppedError, UndefinedError):
            raise
        except BaseException as error:
            text = f'the filter "{name}" failed: {named(error)}'
            raise StoppedError(FailureKind.VALUE, text) from error

    return run


def _items(scope: Scope, name: str, value: Any, *arguments: Any) -> Each:
    """Return the items for a filter, if they are not too many; the clock is checked for each.

    Arguments may name attributes of attributes, and may come from a client: they must be short.
    """
    if any(isinstance(each, str) and len(each) > _LONGEST_ARGUMENT for each in arguments):
        raise StoppedError(FailureKind.SIZE, f"an argument of {name} has at most {_LONGEST_ARGUMENT} characters")
    if not isinstance(value, Iterable) or not isinstance(value, Sized):
        raise StoppedError(FailureKind.VALUE, f"{name} takes a list, not {kind(value)}")
    scope.room_for_items(len(value))
    return Each(scope, value)


def _pairs(scope: Scope, value: Any) -> list[Any]:
    pairs: list[Any] = scope.weigh(list(_mapping(scope, "items", value).items()))
    return pairs


def _dictsort(
    scope: Scope, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[Any]:
    if by not in ("key", "value"):
        raise StoppedError(FailureKind.VALUE, f'dictsort sorts by "key" or "value", not {kind(by)}')
    fold = _fold(case_sensitive=case_sensitive) or (lambda each: each)
    pairs = _mapping(scope, "dictsort", value).items()
    keyed = _sorted(scope, [(fold(pair[by == "value"]), pair) for pair in pairs], reverse=reverse)
    ordered: list[Any] = scope.weigh([pair for _, pair in keyed])
    return ordered


def _mapping(scope: Scope, name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise StoppedError(FailureKind.VALUE, f"{name} takes a mapping, not {kind(value)}")
    scope.tick()
    scope.room_for_items(len(value))
    return value


def _sort(
    scope: Scope,
    items: Iterable[Any],
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: str | int | None = None,
) -> list[Any]:
    get = jinja.make_multi_attrgetter(scope.environment, attribute, _fold(case_sensitive=case_sensitive))
    # Not by `key=get`, as in Jinja2, since that would not check the clock.
    keyed = _sorted(scope, [(get(item), item) for item in items], reverse=reverse)
    return [item for _, item in keyed]


def _groupby(
    scope: Scope, items: Iterable[Any], attribute: str | int, default: Any = None, case_sensitive: bool = False
) -> list[Group]:
    fold = _fold(case_sensitive=case_sensitive) or (lambda value: value)
    get = jinja.make_attrgetter(scope.environment, attribute, default=default)
    keyed = _sorted(scope, [(fold(key), key, item) for item in items for key in (get(item),)])
    groups = [list(members) for _, members in itertools.groupby(keyed, _key)]
    return [Group(members[0][1], [item for _, _, item in members]) for members in groups]


def _sorted(scope: Scope, keyed: list[Any], *, reverse: bool = False) -> list[Any]:
    """Sort by the first of each; if that may take long, the clock is checked in every comparison."""
    keys = [key for key, *_ in keyed]
    values = scope.weights.measure(keys)[0] // VALUE
    slow = values * len(keys).bit_length() > _QUICK_SORT
    keyed.sort(key=(lambda each: _Clocked(each[0], scope.tick)) if slow else _key, reverse=reverse)
    return keyed


class _Clocked:
    """A sort key that checks the clock."""

    __slots__ = ("_key", "_tick")

    def __init__(self, key: Any, tick: Callable[[], None]) -> None:
        self._key = key
        self._tick = tick

    def __lt__(self, other: "_Clocked") -> bool:
        self._tick()
        return bool(self._key < other._key)


def _key(keyed: tuple[Any, ...]) -> Any:
    return keyed[0]


def _fold(*, case_sensitive: bool) -> Callable[[Any], Any] | None:
    return None if case_sensitive else jinja.ignore_case


def _extreme(name: str, function: Filter) -> Filter:
    def run(scope: Scope, value: Any, *args: Any, **kwargs: Any) -> Any:
        items = _items(scope, name, value, *args, *kwargs.values())
        return function(scope.environment, items, *args, **kwargs)

    return run


def _reverse(scope: Scope, value: Any) -> Any:
    return scope.keep(value[::-1] if isinstance(value, str) else list(_items(scope, "reverse", value))[::-1])


def _join(scope: Scope, value: Any, separator: Any = "", attribute: str | int | None = None) -> str:
    """Join items as text; ``a ~ b`` is ``[a, b] | join``."""
    get = None if attribute is None else jinja.make_attrgetter(scope.environment, attribute)
    between = scope.text(separator)
    pieces: list[str] = []
    length = 0
    for item in _items(scope, "join", value, attribute):
        piece = scope.text(item if get is None else get(item))
        length += len(piece) + len(between)
        scope.check(length)
        pieces.append(piece)
    return str(scope.keep(between.join(pieces)))


def _replace(scope: Scope, value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, old, new = scope.text(value), scope.text(old), scope.text(new)
    times = text.count(old) if count is None else min(count, text.count(old))
    scope.room(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new, times)


def _center(scope: Scope, value: Any, width: int = 80) -> str:
    text = scope.text(value)
    scope.room(max(len(text), width))
    return text.center(width)


def _truncate(scope: Scope, value: Any, *args: Any, **kwargs: Any) -> Any:
    scope.tick()
    return scope.keep(jinja.do_truncate(scope.environment, scope.text(value), *args, **kwargs))


def _title(scope: Scope, value: Any) -> str:
    """Do the same as Jinja2's own, with clock checks."""

    def titled(word: re.Match[str]) -> str:
        scope.tick()
        return word[0][0].upper() + word[0][1:].lower()

    text = scope.text(value)
    scope.check(len(text))
    return str(scope.keep(_WORD.sub(titled, text)))


def _trim(text: str, chars: str | None = None) -> str:
    if chars is not None and len(chars) > LONGEST_SEARCH:
        raise StoppedError(FailureKind.SIZE, f"trim looks for at most {LONGEST_SEARCH} characters")
    return text.strip(chars)


def _text(scope: Scope, value: Any) -> Any:
    return scope.keep(scope.text(value))


def _escape(scope: Scope, value: Any) -> Any:
    escaped = as_markup(value, scope.tick)
    # If texts are escaped anyway, this must not be done twice; otherwise it is a text like any other.
    return scope.keep(escaped if scope.eval_ctx.autoescape else str(escaped))


def _urlencode(scope: Scope, value: Any) -> Any:
    # For a value that is not text it uses the repr, and that of everything in it.
    scope.check(scope.weights.measure(value)[0])
    return scope.keep(jinja.do_urlencode(dict(value) if isinstance(value, Mapping) else value))


def _json(scope: Scope, value: Any) -> Any:
    return scope.keep(as_json(value, scope.tick))


def _sum(scope: Scope, value: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    get = None if attribute is None else jinja.make_attrgetter(scope.environment, attribute)
    total = start
    for item in _items(scope, "sum", value, attribute):
        total = binary(scope, "+", total, item if get is None else get(item))
    return total


def _datetime(_scope: Scope, value: Any, format: str | None = None, timezone: str | None = None) -> str:  # noqa: A002
    """Format a moment: a date and time, Unix seconds, or ISO 8601 text; without a zone it is UTC.

    ``{{ now | datetime("%H:%M", "Europe/London") }}``; without a format it is ISO 8601 to the second.
    """
    moment = _moment(value)
    if timezone is not None:
        try:
            moment = moment.astimezone(ZoneInfo(timezone))
        except (LookupError, ValueError, OSError):
            text = f"no time zone {kind(timezone)} (allowed: IANA names like Europe/London, and UTC)"
            raise StoppedError(FailureKind.VALUE, text) from None
    return moment.isoformat(timespec="seconds") if format is None else strftime(moment, format)


def _moment(value: Any, name: str = "datetime") -> datetime:
    if isinstance(value, str) and len(value) <= _LONGEST_MOMENT:
        with suppress(ValueError):  # reported below
            value = datetime.fromisoformat(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError, OSError):  # reported below
            return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, datetime):
        text = f"{name} takes a date and time, ISO 8601 text or Unix seconds, not {kind(value)}"
        raise StoppedError(FailureKind.VALUE, text)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _timestamp(_scope: Scope, value: Any) -> float:
    """Return a moment in Unix seconds; it is given in the same forms as for `_datetime`."""
    seconds = round(_moment(value, "timestamp").timestamp(), 6)
    return int(seconds) if seconds == int(seconds) else seconds


_PAPER = Context(prec=400, rounding=ROUND_HALF_UP)


def _number(scope: Scope, value: Any, places: Any = 0, separator: str = ",", point: str = ".") -> str:
    """Format a number with a number of decimals and separated thousands: ``{{ 1234.5 | number(2) }}`` is 1,234.50."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StoppedError(FailureKind.VALUE, f"number takes a number, not {kind(value)}")
    if isinstance(places, bool) or not isinstance(places, int) or not 0 <= places <= _PLACES:
        raise StoppedError(FailureKind.VALUE, f"number takes up to {_PLACES} places, not {kind(places)}")
    marks = {",": scope.text(separator), ".": scope.text(point)}
    if any(len(mark) > _LONGEST_MARK for mark in marks.values()):
        raise StoppedError(FailureKind.SIZE, f"what parts the thousands has at most {_LONGEST_MARK} characters")
    # By the digits in JSON, half away from zero, as on paper: 2.675 is 2.68, and a large whole number itself.
    exact = _PAPER.quantize(_PAPER.create_decimal(repr(value)), Decimal(1).scaleb(-places))
    return "".join(marks.get(char, char) for char in f"{abs(exact) if exact.is_zero() else exact:,f}")


def _hash(scope: Scope, value: Any, key: Any = None) -> str:
    """Return the SHA-256 of a text in hexadecimal digits; with a key, the HMAC of both."""
    data = scope.text(value)
    scope.check(len(data))
    if key is None:
        return hashlib.sha256(data.encode()).hexdigest()
    secret = scope.text(key)
    scope.check(len(secret))
    if not secret:
        raise StoppedError(FailureKind.VALUE, "the key of hash must not be empty")
    return hmac.digest(secret.encode(), data.encode(), "sha256").hex()


def _from_json(scope: Scope, value: Any) -> Any:
    """Return the value of a JSON text."""
    text = scope.text(value)
    scope.check(len(text))
    try:
        return scope.weigh(load(text.encode()))
    except orjson.JSONDecodeError as error:
        where = f"{error.msg.split(':')[0]} at character {error.pos}"
        raise StoppedError(FailureKind.VALUE, f"from_json takes a text of JSON: {where}") from None
    except TooManyValuesError as error:
        raise StoppedError(FailureKind.SIZE, f"from_json: {error}") from None


def _int(value: Any, default: Any = 0, base: int = 10) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_NUMBER:
        return default
    whole: Any = jinja.do_int(value, default, base)
    return number(whole) if isinstance(whole, int) else whole


def _float(value: Any, default: Any = 0.0) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_NUMBER:
        return default
    result: Any = jinja.do_float(value, default)
    return default if isinstance(result, float) and not math.isfinite(result) else result


def _round(value: Any, precision: int = 0, method: Any = "common") -> float:
    if not -_PLACES <= precision <= _PLACES:
        raise StoppedError(FailureKind.VALUE, f"round takes up to {_PLACES} places, not {precision}")
    return jinja.do_round(value, precision, method)


_TEXT: Mapping[str, Filter] = {
    "capitalize": jinja.do_capitalize,
    "lower": jinja.do_lower,
    "trim": _trim,
    "upper": jinja.do_upper,
    "wordcount": jinja.do_wordcount,
}
_ITEMS: Mapping[str, Filter] = {
    "groupby": _groupby,
    "list": lambda _scope, value: value,
    "map": jinja.sync_do_map,
    "reject": jinja.sync_do_reject,
    "rejectattr": jinja.sync_do_rejectattr,
    "select": jinja.sync_do_select,
    "selectattr": jinja.sync_do_selectattr,
    "sort": _sort,
    "unique": lambda scope, value, *args, **kwargs: jinja.sync_do_unique(scope.environment, value, *args, **kwargs),
}
_ONE: Mapping[str, Filter] = {"first": jinja.sync_do_first, "last": jinja.do_last}
_OWN: Mapping[str, Filter] = {
    "center": _center,
    "datetime": _datetime,
    "dictsort": _dictsort,
    "e": _escape,
    "escape": _escape,
    "from_json": _from_json,
    "hash": _hash,
    "items": _pairs,
    "join": _join,
    "json": _json,
    "max": _extreme("max", jinja.do_max),
    "min": _extreme("min", jinja.do_min),
    "number": _number,
    "random": jinja.do_random,
    "replace": _replace,
    "reverse": _reverse,
    "string": _text,
    "sum": _sum,
    "timestamp": _timestamp,
    "title": _title,
    "truncate": _truncate,
    "urlencode": _urlencode,
}
# These need no limits.
_SIMPLE: Mapping[str, Filter] = {
    "abs": jinja.FILTERS["abs"],
    "count": len,
    "d": jinja.do_default,
    "default": jinja.do_default,
    "filesizeformat": jinja.do_filesizeformat,
    "float": _float,
    "int": _int,
    "length": len,
    "round": _round,
}
