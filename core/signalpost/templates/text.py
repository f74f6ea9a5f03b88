"""Conversion of a template's values: to text inside a text, to plain data where a value is alone."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import is_dataclass
from datetime import date, time
from typing import Any

import orjson
from markupsafe import Markup, escape

from signalpost.state.frozen import FrozenDict, FrozenList
from signalpost.state.weight import Weigher
from signalpost.templates.attributes import kind, visible
from signalpost.templates.failures import StoppedError
from signalpost.templates.value import FailureKind

# Dataclasses show what `attributes` defines, not all their fields.
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
_FROZEN = frozenset({FrozenDict, FrozenList})
_JSON = frozenset({str, int, float, bool, type(None), dict, list}) | _FROZEN

Tick = Callable[[], None]
"""Checks the clock of a rendering; raises `StoppedError` when the time is over."""


def as_text(value: Any, tick: Tick | None = None) -> str:
    """Return the text for a value inside a text: itself, or compact JSON, as clients receive it.

    ``5`` is ``5``, ``True`` is ``true``, ``None`` is ``null``; a date and time is its ISO 8601 form, without quotes.

    Args:
        value: any.
        tick: called for everything in it that needs a conversion for JSON.

    Raises:
        StoppedError: JSON cannot represent it.
        UndefinedError: it is undefined.
    """
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return as_json(value, tick)


def as_markup(value: Any, tick: Tick | None = None) -> str:
    """Return the text for a value inside HTML: that of `as_text`, escaped unless it is HTML already.

    Raises:
        StoppedError: JSON cannot represent it.
        UndefinedError: it is undefined.
    """
    return value if isinstance(value, Markup) else escape(as_text(value, tick))


def as_json(value: Any, tick: Tick | None = None) -> str:
    """Return compact JSON; see `as_text`.

    Raises:
        StoppedError: JSON cannot represent it.
        UndefinedError: it is undefined.
    """

    def nearer(part: Any) -> Any:
        if type(part) in _FROZEN:
            return orjson.Fragment(orjson.dumps(part))
        if tick is not None:
            tick()
        return _flat(part)

    try:
        return orjson.dumps(value, nearer, _OPTIONS).decode()
    except TypeError as error:
        cause, error.__cause__, error.__context__ = error.__cause__, None, None
        try:
            if isinstance(cause, Exception):
                raise cause from None
            raise StoppedError(FailureKind.VALUE, f"it is no JSON: {error}") from None
        finally:
            del cause  # it, its context and this frame would form a reference cycle with the whole rendering


def as_data(value: Any, weigher: Weigher, tick: Tick) -> Any:
    """Return the value of a whole expression as plain data (`Weigher.measure`).

    Plain values are passed on as they are; so are the plain parts of other values.

    Raises:
        StoppedError: JSON cannot represent something in it.
        UndefinedError: something in it is undefined.
    """
    if weigher.measure(value)[1]:
        return value
    tick()
    if type(value) is list:
        return [as_data(each, weigher, tick) for each in value]
    if type(value) is dict:
        return {as_text(key, tick): as_data(each, weigher, tick) for key, each in value.items()}
    return as_data(_flat(value), weigher, tick)


def is_data(value: Any) -> bool:
    """Return whether a value is plain data; lists and mappings must be known to contain only that.

    A client's data and values of the state are passed on as they are, without a traversal.
    """
    return type(value) in _JSON


def _flat(value: Any) -> Any:
    """Convert a value one step towards JSON."""
    if isinstance(value, str):  # an enum's, say
        return str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list | range):
        return list(value)
    if isinstance(value, AbstractSet):
        return sorted(value, key=as_text)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        return dict(visible(value))
    raise StoppedError(FailureKind.VALUE, f"it gives {kind(value)}, which is no JSON")
