"""What becomes of a value at the edge of a template: text inside a text, plain data where it stands alone."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import is_dataclass
from datetime import date, time
from typing import Any

import orjson
from markupsafe import Markup, escape

from signalpost.actions.attributes import kind, visible
from signalpost.actions.failures import StoppedError
from signalpost.actions.value import Failure

# Dataclasses show what `attributes` says, not all that is in them.
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
_JSON = frozenset({str, int, float, bool, type(None), dict, list})


def as_text(value: Any) -> str:
    """Return the text that a value is inside a text: itself, or compact JSON, as clients are sent it.

    ``5`` is ``5``, ``True`` is ``true``, ``None`` is ``null``; a date and time is its ISO 8601 form, without quotes.

    Raises:
        StoppedError: it is no value that JSON has.
        UndefinedError: it is undefined.

    """
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return as_json(value)


def as_markup(value: Any) -> str:
    """Return the text that a value is inside HTML: that of `as_text`, escaped unless it is HTML already.

    Raises:
        StoppedError: it is no value that JSON has.
        UndefinedError: it is undefined.

    """
    return value if isinstance(value, Markup) else escape(as_text(value))


def as_json(value: Any) -> str:
    """Return compact JSON.

    Raises:
        StoppedError: it is no value that JSON has.
        UndefinedError: it is undefined.

    """
    try:
        return orjson.dumps(value, _flat, _OPTIONS).decode()
    except TypeError as error:
        if isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        raise StoppedError(Failure.VALUE, f"it is no JSON: {error}") from None


def as_data(value: Any) -> Any:
    """Return what a whole expression gives as plain data: `_JSON` types all the way down.

    Raises:
        StoppedError: something in it is no value that JSON has.
        UndefinedError: something in it is undefined.

    """
    if type(value) is list:
        return [as_data(each) for each in value]
    if type(value) is dict:
        return {as_text(key): as_data(each) for key, each in value.items()}
    return value if type(value) in _JSON else as_data(_flat(value))


def shallow_data(value: Any) -> Any:
    """Do what `as_data` does, for a value that is known to hold nothing but JSON if it is a list or mapping.

    What a client sent is passed on as it is, without going through it.
    """
    return value if type(value) in _JSON else as_data(value)


def _flat(value: Any) -> Any:
    """Bring a value one step nearer to JSON."""
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
    raise StoppedError(Failure.VALUE, f"it gives {kind(value)}, which is no JSON")
