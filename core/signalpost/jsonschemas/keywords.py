"""Keywords of JSON Schema that take the engine too long, implemented in bounded time.

The engine hashes numbers as doubles and compares them as fractions of any length: ``uniqueItems`` is quadratic for
integers with the same double, and each comparison with a fraction, or with a number such as ``1e308``, takes up to 60
microseconds. A regular expression takes linear time in the text, but with a factor as large as the expression. Here:

* Equal values have equal keys in a set. Client data is hashed as text, which Python hashes with a secret, or
  as integers of 64 bits, few of which collide. So work is linear in the compared data.
* A `Meter` counts the work of one message in nanoseconds, and stops it at its limit. A message that reaches it is
  rejected, whatever else its schema says.
* Numbers are compared exactly; multiples of a fraction are decimal, as in the engine: 4.02 is a multiple of 0.01.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import jsonschema_rs

from signalpost.jsonschemas.cost import LIMITS, NOTHING, Cost, Schema
from signalpost.jsonschemas.rejection import WORDS
from signalpost.jsonschemas.unions import OWN
from signalpost.jsonschemas.walk import inside, pairs
from signalpost.words import cut

_CALL: Final = Cost(1_000)
"""The engine's cost of calling a keyword defined here."""

# Metered nanoseconds.
_SCALAR = 50
_PART = 2_000
_MULTIPLE = 3_500
_SLOW_FORMATS: Final = {"idn-hostname": 110, "idn-email": 20, "regex": 110}  # for each byte
_SLOW_FORMAT = 2_000

# The factors by which matching slows down with the size of an expression's program, for each byte of text.
_LEAST_PATTERN, _SMALL_PATTERN, _SMALL_WIDE_PATTERN = 10, 1_024, 512
_PATTERN, _WIDE_PATTERN = 0.25, 1.0
_NO_PROGRAM = 64
_DIGITS = 20  # more digits than a number has here
_SHOWN_OPTIONS = 3
_LARGEST_PROGRAM = 1 << 24
_WIDE = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[\^|\.", re.DOTALL)
_WIDE_ESCAPES = ("\\p", "\\P", "\\S", "\\W", "\\D")

_EXCLUSIVE = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}
_PLAIN_LIMIT = 1 << 53
_INTEGERS = float(1 << 64)  # orjson reads no larger integer
_TRUE, _FALSE = object(), object()
_IS_SCALAR = frozenset({str, int, float, bool, type(None)})
_IS_HASHED = frozenset({str, int, type(None)})

Validator = jsonschema_rs.Validator
Engine = Callable[[Schema], Validator]


class KeywordFailed(ValueError):  # noqa: N818 - what the engine calls a failed keyword; its text is for the client
    """A value does not match a keyword."""


class Meter:
    """Counts the work for one message.

    Attributes:
        left: nanoseconds that remain; below 0 if the message needed more.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.left = room

    def start(self) -> None:
        """Begin a message."""
        self.left = self._room

    def take(self, work: int) -> None:
        """Count work before it is done.

        Raises:
            KeywordFailed: less than that is left.
        """
        self.left -= work
        if self.left < 0:
            raise KeywordFailed(_SPENT)


_SPENT = "takes too long to check"
_TOO_DEEP = "is nested too deeply to be compared"


def key_of(value: Any, meter: Meter) -> Any:
    """Return a hashable key, equal for equal JSON values: 1 and 1.0 are equal, 1 and true are not.

    Raises:
        KeywordFailed: `meter` is spent.
    """
    match value:
        case bool():
            return _TRUE if value else _FALSE
        case str() | int() | None:
            return value
        case float():
            meter.take(_PART)
            return int(value) if -_INTEGERS < value < _INTEGERS and value.is_integer() else (repr(value),)
        case _:
            pieces: list[str] = []
            try:
                _write(value, pieces, meter)
            except RecursionError:
                raise KeywordFailed(_TOO_DEEP) from None
            return ("".join(pieces), None)


def _write(value: Any, pieces: list[str], meter: Meter) -> None:
    """Write a value as text, the same for equal values."""
    meter.take(_PART)
    match value:
        case dict():
            pieces.append("{")
            for name in sorted(value):
                pieces += (json.dumps(name), ":")
                _write(value[name], pieces, meter)
            pieces.append("}")
        case list():
            pieces.append("[")
            for item in value:
                _write(item, pieces, meter)
                pieces.append(",")
            pieces.append("]")
        case float() if -_INTEGERS < value < _INTEGERS and value.is_integer():
            pieces.append(str(int(value)))
        case float():
            pieces.append(repr(value))
        case _:
            pieces.append(json.dumps(value))


class UniqueItems:
    """``uniqueItems``, in linear time."""

    def __init__(self, meter: Meter, _parent: Schema, value: Any, _path: Sequence[str | int]) -> None:
        self._meter = meter
        self.validate = self._validate if value is True else _anything

    def _validate(self, instance: Any) -> None:
        if type(instance) is not list:
            return
        self._meter.take(_SCALAR * len(instance))
        if _IS_HASHED.issuperset(map(type, instance)):
            if len(set(instance)) < len(instance):
                raise KeywordFailed(WORDS["uniqueItems"])
            return
        seen = set()
        for item in instance:
            key = key_of(item, self._meter)
            if key in seen:
                raise KeywordFailed(WORDS["uniqueItems"])
            seen.add(key)


class OneOf:
    """``const`` and ``enum``, for any values."""

    def __init__(self, meter: Meter, options: Sequence[Any], words: str) -> None:
        self._meter = meter
        self._words = words
        free = Meter(1 << 62)
        self._keys = {key_of(option, free) for option in options}
        self._lengths = {len(option) for option in options if isinstance(option, dict | list)}

    def validate(self, instance: Any) -> None:
        """Raise unless the value is one of the options."""
        if type(instance) not in _IS_SCALAR and len(instance) not in self._lengths:
            raise KeywordFailed(self._words)
        if key_of(instance, self._meter) not in self._keys:
            raise KeywordFailed(self._words)


class Limit:
    """``minimum`` and similar keywords, exactly."""

    def __init__(self, keyword: str, limit: float) -> None:
        self._above, self._strict = keyword.lower().endswith("minimum"), keyword.startswith("exclusive")
        self._limit = limit
        self._words = WORDS[keyword].format(json.dumps(limit))

    def validate(self, instance: Any) -> None:
        """Raise unless the value is within the limit, or is not a number."""
        if type(instance) is not int and type(instance) is not float:
            return
        fits = not self._strict if instance == self._limit else (instance > self._limit) is self._above
        if not fits:
            raise KeywordFailed(self._words)


class MultipleOf:
    """``multipleOf``: exact for an integer, decimal for a fraction."""

    def __init__(self, meter: Meter, _parent: Schema, factor: float, _path: Sequence[str | int]) -> None:
        self._meter = meter
        self._whole = int(factor) if factor == int(factor) else None
        self._factor, self._exponent = _decimal(factor)
        self._words = WORDS["multipleOf"].format(json.dumps(factor))

    def validate(self, instance: Any) -> None:
        """Raise unless the value is a multiple, or is not a number."""
        if type(instance) is not int and type(instance) is not float:
            return
        if self._whole is None:
            fits = self._in_decimal(instance)
        elif type(instance) is int:
            fits = instance % self._whole == 0
        else:
            self._meter.take(_PART)
            fits = float(instance).is_integer() and int(instance) % self._whole == 0
        if not fits:
            raise KeywordFailed(self._words)

    def _in_decimal(self, instance: float) -> bool:
        self._meter.take(_MULTIPLE)
        digits, exponent = _decimal(instance)
        shift = exponent - self._exponent
        if shift >= 0:
            return int(digits * pow(10, shift, self._factor)) % self._factor == 0
        return digits == 0 if -shift > _DIGITS else digits % int(self._factor * 10**-shift) == 0


def _decimal(number: float) -> tuple[int, int]:
    """Return a number as digits and the power of ten that multiplies them."""
    if isinstance(number, int):
        return number, 0
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    return int(whole + fraction), int(exponent or 0) - len(fraction)


class Text:
    """A keyword for texts that the engine checks, if they are not too long for it."""

    def __init__(self, meter: Meter, parent: Schema, matches: Callable[[Any], bool], words: str, cost: Cost) -> None:
        self._meter, self._matches, self._cost = meter, matches, cost
        self._words = words
        longest = parent.get("maxLength")
        self._longest = longest if isinstance(longest, int) else 1 << 62
        self._too_long = f"expected at most {longest} characters, got more"

    def validate(self, instance: Any) -> None:
        """Raise unless the text matches, or the value is not a text."""
        if type(instance) is not str:
            return
        if len(instance) > self._longest:  # it is rejected anyway, and need not be matched
            raise KeywordFailed(self._too_long)
        size = len(instance) if instance.isascii() else 4 * len(instance)
        self._meter.take(self._cost.value + self._cost.byte * size)
        if not self._matches(instance):
            raise KeywordFailed(self._words)


def _anything(_instance: Any) -> None:
    """Accept every value."""


def factories(meter: Meter, engine: Engine, draft: str | None) -> dict[str, Any]:
    """Return the keywords by name, for the engine to call.

    Args:
        meter: counts their work.
        engine: compiles a schema, for texts.
        draft: the ``$schema`` of the document.
    """

    def compiled(keyword: str, value: Any) -> Callable[[Any], bool]:
        return engine({keyword: value} if draft is None else {"$schema": draft, keyword: value}).is_valid

    def const(_parent: Schema, value: Any, _path: Sequence[str | int]) -> OneOf:
        return OneOf(meter, [value], WORDS["const"].format(_excerpt(value)))

    def enum(_parent: Schema, value: Any, _path: Sequence[str | int]) -> OneOf:
        shown = ", ".join(map(_excerpt, value[:_SHOWN_OPTIONS])) + ", …" * (len(value) > _SHOWN_OPTIONS)
        return OneOf(meter, value, WORDS["enum"].format(shown))

    def pattern(parent: Schema, value: Any, _path: Sequence[str | int]) -> Text:
        words = WORDS["pattern"].format(_excerpt(value, 120))
        return Text(meter, parent, compiled("pattern", value), words, Cost(_SLOW_FORMAT, 0, pattern_cost(value)))

    def form(parent: Schema, value: Any, _path: Sequence[str | int]) -> Text:
        cost = Cost(_SLOW_FORMAT, 0, _SLOW_FORMATS[value])
        return Text(meter, parent, compiled("format", value), WORDS["format"].format(_excerpt(value)), cost)

    def limit(keyword: str, _parent: Schema, value: Any, _path: Sequence[str | int]) -> Limit:
        return Limit(keyword, value)

    return {
        "uniqueItems": partial(UniqueItems, meter),
        "multipleOf": partial(MultipleOf, meter),
        f"{OWN}const": const,
        f"{OWN}enum": enum,
        f"{OWN}pattern": pattern,
        f"{OWN}format": form,
        **{f"{OWN}{keyword}": partial(limit, keyword) for keyword in LIMITS},
    }


def _excerpt(value: Any, limit: int = 40) -> str:
    return cut(json.dumps(value, ensure_ascii=False), limit)


# Which keywords are defined here


@dataclass(frozen=True, slots=True)
class Draft:
    """Differences between drafts.

    Attributes:
        formats: whether it checks ``format``.
        const: whether it has ``const``.
    """

    formats: bool
    const: bool


_ANY_DRAFT = Draft(formats=True, const=True)


def own_keyword(key: str, value: Any, draft: Draft) -> tuple[str, Any] | None:
    """Return the name and value of a keyword as defined here; None if the engine does it well."""
    match key:
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if type(value) in (int, float):
            if -_PLAIN_LIMIT < value < _PLAIN_LIMIT and value == int(value):
                return key, int(value)
            return OWN + key, value
        case "const" if draft.const and not _is_quick([value]):
            return OWN + key, value
        case "enum" if isinstance(value, list) and not _is_quick(value):
            return OWN + key, value
        case "pattern" if isinstance(value, str) and pattern_cost(value) > _LEAST_PATTERN:
            return OWN + key, value
        case "format" if draft.formats and isinstance(value, str) and value in _SLOW_FORMATS:
            return OWN + key, value
        case _:
            return None


def with_own_keywords(schema: Schema, draft: Draft, *, root: bool = True) -> Schema:
    """Return an equivalent schema in which the keywords defined here have their names from here.

    Parts of another draft inside it are unchanged.
    """
    if isinstance(schema, list):
        return [with_own_keywords(part, draft, root=False) for part in schema]
    if not isinstance(schema, dict) or ("$schema" in schema and not root):
        return schema
    renamed: dict[str, Any] = {}
    for key, value in schema.items():
        if key.startswith(OWN) or _goes_with_a_limit(key, schema, draft):
            continue  # an app's own keyword means nothing in a schema
        if own := own_keyword(key, value, draft):
            renamed[_strict(own[0], schema)] = own[1]
        else:
            renamed[key] = inside(key, value, partial(with_own_keywords, draft=draft, root=False))
    return renamed


def _goes_with_a_limit(key: str, schema: Mapping[str, Any], draft: Draft) -> bool:
    """Return whether a keyword of draft 4 makes a limit exclusive, which is checked here."""
    limit = next((limit for limit, exclusive in _EXCLUSIVE.items() if exclusive == key), "")
    own = own_keyword(limit, schema.get(limit), draft)
    return isinstance(schema[key], bool) and own is not None and own[0] != limit


def _strict(name: str, schema: Mapping[str, Any]) -> str:
    """Return the name here of a limit that draft 4 makes exclusive by a second keyword."""
    exclusive = _EXCLUSIVE.get(name.removeprefix(OWN), "")
    return OWN + exclusive if name.startswith(OWN) and schema.get(exclusive) is True else name


def _is_quick(options: Iterable[Any]) -> bool:
    return all(isinstance(option, str | bool | None) for option in options)


def careful_cost(formats: bool, key: str, value: Any) -> Cost | None:
    """Return the cost of a keyword if those of this module are used, without what the meter counts."""
    if key in ("uniqueItems", "multipleOf") or key.startswith(OWN):
        return _CALL
    return plain_cost(formats, key, value)


def plain_cost(formats: bool, key: str, value: Any) -> Cost | None:
    """Return the engine's worst-case cost of a keyword, except ``uniqueItems``, which is quadratic.

    Args:
        formats: whether ``format`` is checked.
        key: its name.
        value: its value in the schema.
    """
    if key == "format" and not formats:
        return NOTHING
    own = own_keyword(key, value, _ANY_DRAFT)
    if own is not None and own[0] != key:
        if key == "pattern":
            return Cost(_SLOW_FORMAT, 0, pattern_cost(value))
        if key == "format":
            return Cost(_SLOW_FORMAT, 0, _SLOW_FORMATS[value])
        return Cost(40_000 + 30_000 * (len(value) if key == "enum" else 1))
    if key == "multipleOf":
        return Cost(60_000)
    if key == "pattern" and isinstance(value, str):
        return Cost(60, 0, pattern_cost(value))
    if key == "patternProperties" and isinstance(value, dict):
        return Cost(25, 0, sum(pattern_cost(pattern) for pattern in value))
    return None


def pattern_costs(schema: Schema) -> Iterator[int]:
    """Yield the cost per byte of each pattern that is matched here."""
    for key, value in pairs(schema):
        if key == f"{OWN}pattern" and isinstance(value, str):
            yield pattern_cost(value)


def pattern_cost(pattern: str) -> int:
    """Return the maximum time of matching a pattern, in nanoseconds per byte of text.

    It grows with the number of positions in the expression that a match can have at once. The size of the engine's
    program shows that number, except for classes of Unicode: these make a program large, but not slower.
    """
    size = _program_size(pattern)
    if size is None:
        return _LARGEST_PROGRAM
    if size <= _NO_PROGRAM:  # the engine turns it into a prefix, a list of texts or a class of characters
        return 2
    narrow = _WIDE.sub(_narrowed, pattern)
    wide = narrow != pattern
    if wide:
        size = _program_size(narrow) or size
    if size <= (_SMALL_WIDE_PATTERN if wide else _SMALL_PATTERN):
        return _LEAST_PATTERN
    return max(int(size * (_WIDE_PATTERN if wide else _PATTERN)), _LEAST_PATTERN)


def _narrowed(found: re.Match[str]) -> str:
    """Return a class of few characters in place of one of many."""
    text = found[0]
    if text == "[^":
        return "["
    return "a" if text == "." or text[:2] in _WIDE_ESCAPES else text


def _program_size(pattern: str) -> int | None:
    """Return the size of a pattern's program in bytes, as the next power of two; None if it does not compile."""
    size = 64
    while size <= _LARGEST_PROGRAM:
        try:
            jsonschema_rs.validator_for(
                {"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions(size_limit=size), offline=True
            )
        except ValueError:
            size *= 2
        else:
            return size
    return None
