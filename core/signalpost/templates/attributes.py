"""What a template sees of a value: data, never the methods of Python.

====================  ============================================================================================= a
value               shows ====================
============================================================================================= a mapping             its
keys, whatever they are called: ``data.items`` is what the client sent as ``items`` a list, a text        its items, by
number or slice a text                besides, the methods of `TEXT`: ``message.startswith("/nick ")`` a date and time
the fields and methods of `MOMENT`: ``now.hour``, ``now.strftime("%H:%M")`` a dataclass           its fields and
properties, but for those that begin with ``_`` a named tuple         its fields: those of what `groupby` gives `loop`
what Jinja2 documents anything else         nothing ====================
=============================================================================================

None of these leads to a class, a module or a method that changes something. A missing value is an `Absent`: it can be
tested and given a default, and ends the rendering if it is used in any other way.
"""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from functools import partial
from itertools import islice
from typing import Any

from jinja2 import StrictUndefined, Undefined
from jinja2.runtime import LoopContext
from jinja2.utils import missing

from signalpost.scalars import key_of
from signalpost.templates.failures import StoppedError
from signalpost.templates.value import FailureKind
from signalpost.words import given, listing, quoted, unknown

# None of them makes more than a few times its input; those that could are filters, which check the room first.
TEXT = frozenset(
    {
        *("capitalize", "casefold", "lower", "swapcase", "title", "upper"),
        *("lstrip", "removeprefix", "removesuffix", "rstrip", "strip"),
        *("partition", "rpartition", "rsplit", "split", "splitlines"),
        *("count", "endswith", "find", "rfind", "startswith"),
        *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "isupper"),
    }
)
# These take time proportional to the product of two lengths, so the searched text must be short.
SEARCHES = frozenset({"lstrip", "rfind", "rpartition", "rsplit", "rstrip", "strip"})
LONGEST_SEARCH = 100

MOMENT = frozenset(
    {
        *("year", "month", "day", "hour", "minute", "second", "microsecond"),
        *("date", "isoformat", "isoweekday", "strftime", "time", "timestamp", "weekday"),
    }
)
LOOP = frozenset(
    {
        *("changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length"),
        *("nextitem", "previtem", "revindex", "revindex0"),
    }
)

_SHOWN_KEYS = 50
_LONGEST_FORMAT = 100
# A directive of strftime, with the flags, widths and modifiers of the C library.
_DIRECTIVE = re.compile(r"%[-_0^#]*[0-9]*[EO]?([a-zA-Z%])")


class Absent(StrictUndefined):
    """A template's name without a value. `default` and ``is defined`` accept it; an attribute of it is itself."""

    __slots__ = ()

    __abs__ = __round__ = StrictUndefined.__bool__  # raises, as all of them do

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        if self._undefined_obj is missing:
            return f"no name {quoted(str(self._undefined_name))} is set here"
        return _absent(self._undefined_obj, self._undefined_name)


def attribute(value: Any, name: str) -> Any:
    """Return ``value.name``, or an `Absent`.

    Raises:
        StoppedError: the name is one of Python's own, or a method that templates may not call.
    """
    if type(value) is dict or isinstance(value, Mapping):
        try:
            return value[name]
        except KeyError:
            return Absent(obj=value, name=name)
    if isinstance(value, Undefined):
        return value
    if _shows(value, name):
        if name == "strftime":
            return partial(strftime, value)
        return getattr(value, name)
    if name.startswith("_"):
        raise StoppedError(FailureKind.FORBIDDEN, f"{quoted(name)} is Python's own, and not for templates")
    if isinstance(value, str) and hasattr(str, name):
        text = f"{quoted(name)} of a text is not for templates; most methods of texts have a filter, {{{{ … | … }}}}"
        raise StoppedError(FailureKind.FORBIDDEN, f"{text} (known: {listing(sorted(TEXT))})")
    return Absent(obj=value, name=name)


def item(value: Any, key: Any) -> Any:
    """Return ``value[key]``, or an `Absent`; a text as key of a value that is not a mapping names an attribute.

    Raises:
        StoppedError: as in `attribute`.
    """
    if isinstance(value, Mapping):
        try:
            return value[key]
        except (KeyError, TypeError):  # a list cannot be a key
            text = key_of(key)
            return Absent(obj=value, name=key) if text is None or text not in value else value[text]
    if isinstance(key, str):
        return attribute(value, key)
    if isinstance(value, str | list | tuple):
        try:
            return value[key]
        except (IndexError, TypeError):
            return Absent(obj=value, name=key)
    return value if isinstance(value, Undefined) else Absent(obj=value, name=key)


def contains(value: Any, key: Any) -> bool:
    """Return whether ``key in value``; a number is looked up in a mapping as its text.

    Raises:
        TypeError: these two types do not support it.
    """
    if key in value:
        return True
    text = key_of(key) if isinstance(value, Mapping) else None
    return text is not None and text in value


def strftime(moment: date | time, form: str) -> str:
    """Format a date or time as the C library does: ``%H:%M``. ``%s`` is in Unix seconds, whatever the server's zone.

    Raises:
        ValueError: the format is too long, or requests the Unix seconds of a value without a zone.
    """
    if len(form) > _LONGEST_FORMAT:
        raise ValueError(f"a format of a time has at most {_LONGEST_FORMAT} characters")
    return moment.strftime(_DIRECTIVE.sub(lambda found: _seconds(moment) if found[1] == "s" else found[0], form))


def _seconds(moment: date | time) -> str:
    # The C library reads the fields as those of the server's own zone, and needs a day even for a time.
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError("%s is of a date and time with a zone")
    return str(math.floor(moment.timestamp()))


def visible(value: Any) -> Mapping[str, Any]:
    """Return the visible parts of a dataclass: its fields and properties by name."""
    return {name: getattr(value, name) for name in _shown(value)}


def kind(value: Any) -> str:
    """Return the name of a template's value for a message: ``the text "x"``, ``a mapping``, ``a Lock``.

    Raises:
        UndefinedError: it is undefined, which is the problem to report.
    """
    if isinstance(value, Undefined):
        bool(value)
    if value is None or isinstance(value, str | int | float | list | Mapping):
        return given(value)
    if callable(value):
        return "a function"
    return "a list" if isinstance(value, tuple) else f"a {type(value).__name__}"


def _shows(value: Any, name: str) -> bool:
    """Return whether a value that is not a mapping shows an attribute."""
    if isinstance(value, str):
        return name in TEXT
    if isinstance(value, date | time):
        return name in MOMENT and hasattr(value, name)
    if isinstance(value, LoopContext):
        return name in LOOP
    if name.startswith("_"):
        return False
    if isinstance(value, tuple):
        return name in getattr(value, "_fields", ())
    declared = getattr(type(value), "__dataclass_fields__", None)
    return declared is not None and (name in declared or isinstance(getattr(type(value), name, None), property))


def _shown(value: Any) -> list[str]:
    """Return the names of all attributes that a value shows."""
    return [name for name in dir(value) if _shows(value, name)]


def _absent(value: Any, name: Any) -> str:
    if isinstance(value, Mapping):
        # A client may have sent very many.
        known = [key for key in islice(value, _SHOWN_KEYS) if isinstance(key, str)]
        if not isinstance(name, str):
            return f"no key that is {kind(name)}"
        return unknown("key", name, known) + ("; a mapping shows no methods" if hasattr(dict, name) else "")
    if isinstance(name, str):
        shown = _shown(value)
        return f"{kind(value)} has no {quoted(name)}" + (f" (known: {listing(shown)})" if shown else "")
    if isinstance(value, str | list | tuple):
        wanted = name if isinstance(name, int) else kind(name)
        return f"no item {wanted}: the {'text' if isinstance(value, str) else 'list'} has {len(value)}"
    return f"{kind(value)} has no items"
