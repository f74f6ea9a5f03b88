"""Durations, sizes and rates as in routes.yaml: ``5s``, ``250ms``, ``1.5h``; ``1MiB``, ``64KiB``; ``1000/s``.

A plain number means seconds, bytes, or a number per second. There is no space before a unit, and its case is ignored.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from signalpost.scalars import shorten
from signalpost.words import quoted, suggestion

MEBIBYTE = 1024 * 1024

DURATION_UNITS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
SIZE_UNITS: Mapping[str, int] = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
RATE_UNITS: Mapping[str, float] = {"/s": 1, "/m": 1 / 60, "/h": 1 / 3600}

# 100 years: anything longer is a mistake, and datetime arithmetic overflows not far beyond.
MAX_SECONDS = 100 * 365.25 * 86400
# Years that datetime can convert to any zone and back without leaving its range.
FIRST_YEAR = 1970
LAST_YEAR = 9998
MAX_BYTES = 2**40
# More than any connection carries; 0 means no limit.
MAX_RATE = 1e9

_QUANTITY = re.compile(r"(?P<number>-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?P<unit>.*)")


@dataclass(frozen=True, slots=True)
class _Kind:
    """Durations, sizes or rates.

    Attributes:
        units: the value of one unit, by unit in lower case.
        spellings: the units as written.
        nicknames: other names of units, and the unit that they mean, in lower case and without a final s.
    """

    noun: str
    examples: str
    units: Mapping[str, float]
    spellings: tuple[str, ...]
    nicknames: Mapping[str, str]

    def spelling(self, unit: str) -> str:
        """Return a unit as written."""
        return next(spelling for spelling in self.spellings if spelling.lower() == unit)


_DURATION = _Kind(
    "duration",
    "5s, 250ms, 2m, 1.5h, 1d, or a number of seconds",
    DURATION_UNITS,
    tuple(DURATION_UNITS),
    {
        "millisecond": "ms",
        "msec": "ms",
        "milli": "ms",
        "second": "s",
        "sec": "s",
        "minute": "m",
        "min": "m",
        "hour": "h",
        "hr": "h",
        "day": "d",
    },
)
_SIZE = _Kind(
    "size",
    "64KiB, 1MiB, 4MB, or a number of bytes",
    {unit.lower(): factor for unit, factor in SIZE_UNITS.items()},
    tuple(SIZE_UNITS),
    {"byte": "b", "k": "kib", "m": "mib", "g": "gib"},
)
_RATE = _Kind(
    "rate",
    "1000/s, 60/m, 3600/h, or 0 for no limit",
    RATE_UNITS,
    tuple(RATE_UNITS),
    {
        **dict.fromkeys(("/second", "/sec", "/ s", "per second", "per s", "s", "hz"), "/s"),
        **dict.fromkeys(("/minute", "/min", "/ m", "per minute", "m"), "/m"),
        **dict.fromkeys(("/hour", "/ h", "per hour", "h"), "/h"),
    },
)
_BYTE_RATE = _Kind(
    "rate",
    "8MiB/s, 64KiB/s, a number of bytes a second, or 0 for no limit",
    {f"{unit.lower()}/s": factor for unit, factor in SIZE_UNITS.items()},
    tuple(f"{unit}/s" for unit in SIZE_UNITS),
    {
        **{unit.lower(): f"{unit.lower()}/s" for unit in SIZE_UNITS},
        **{f"{unit.lower()}p": f"{unit.lower()}/s" for unit in SIZE_UNITS},  # MBps
        "k": "kib/s",
        "m": "mib/s",
        "g": "gib/s",
    },
)


def parse_duration(value: str | float) -> float:
    """Return the seconds of a duration; above 0, at most 100 years.

    Raises:
        ValueError: one line with what is allowed and, if known, what was meant.
    """
    seconds = _quantity(value, _DURATION)
    if seconds > MAX_SECONDS:
        raise ValueError(f"{_show(value)} is too long: a duration is at most 100 years")
    if seconds <= 0:
        raise ValueError(f"{_show(value)} is no duration: it must be above 0")
    return seconds


def parse_wait(value: str | float) -> float:
    """Return the seconds of a duration that may be 0: no wait at all.

    Raises:
        ValueError: as in `parse_duration`.
    """
    seconds = _quantity(value, _DURATION)
    if str(value).startswith("-"):  # the routes schema does not allow -0
        raise ValueError(f"{_show(value)} is no duration: it must be 0 or above")
    return 0.0 if seconds == 0 else parse_duration(value)


def parse_room(value: str | float) -> int:
    """Return the bytes of a size that may be 0.

    Raises:
        ValueError: as `parse_size`.
    """
    return 0 if str(value).lower().rstrip("kmgib ") == "0" else parse_size(value)


def parse_size(value: str | float) -> int:
    """Return the bytes of a size, rounded down; at least 1, at most 1 TiB.

    Raises:
        ValueError: one line with what is allowed and, if known, what was meant.
    """
    size = _quantity(value, _SIZE)
    if size > MAX_BYTES:
        raise ValueError(f"{_show(value)} is too large: a size is at most 1024GiB")
    if size < 1:
        raise ValueError(f"{_show(value)} is no size: it must be at least 1 byte")
    return int(size)


def parse_rate(value: str | float) -> float:
    """Return the number per second of a rate; 0 is no limit.

    Raises:
        ValueError: one line with what is allowed and, if known, what was meant.
    """
    return _rate(value, _RATE, MAX_RATE, "1000000000/s")


@dataclass(frozen=True, slots=True)
class Quota:
    """So many in so many seconds: all of them may be used at once, and they come back evenly.

    Attributes:
        count: above 0; fractions are allowed.
        seconds: in which it comes back.
    """

    count: float
    seconds: float

    @property
    def burst(self) -> float:
        """How many may be used at once: the count, and at least one."""
        return max(1.0, self.count)

    def __str__(self) -> str:
        for unit, factor in RATE_UNITS.items():
            if math.isclose(1 / factor, self.seconds):
                return f"{self.count:g}{unit}"
        return f"{3600 * self.count / self.seconds:g}/h"


def parse_quota(value: str | float) -> Quota | None:
    """Return the quota of a rate: ``5/m`` is 5 in 60 seconds; a plain number counts per second. 0 is None: no limit.

    Raises:
        ValueError: one line with what is allowed and, if known, what was meant.
    """
    rate = parse_rate(value)
    if not rate:
        return None
    unit = f"/{value.lower().rpartition('/')[2]}" if isinstance(value, str) and "/" in value else "/s"
    seconds = 1 / RATE_UNITS[unit]
    if rate * seconds < 1:  # half a request an hour is one in two hours
        return Quota(1.0, 1 / rate)
    return Quota(rate * seconds, seconds)


def parse_byte_rate(value: str | float) -> float:
    """Return the bytes per second of a rate; 0 is no limit.

    Raises:
        ValueError: one line with what is allowed and, if known, what was meant.
    """
    return _rate(value, _BYTE_RATE, MAX_BYTES, "1024GiB/s")


def _rate(value: str | float, kind: _Kind, most: float, top: str) -> float:
    rate = _quantity(value, kind)
    if rate > most:
        raise ValueError(f"{_show(value)} is too high: a rate is at most {top} (0 is no limit)")
    if rate < 0:
        raise ValueError(f"{_show(value)} is no rate: it must be 0, for no limit, or above")
    return rate


def format_duration(seconds: float) -> str:
    """Return a duration as text that `parse_duration` converts back to exactly these seconds: ``1.5h`` is ``90m``."""
    for unit in ("d", "h", "m", "s", "ms"):
        text = f"{seconds / DURATION_UNITS[unit]:.12g}{unit}"
        if text[: -len(unit)].isdecimal() and parse_duration(text) == seconds:
            return text
    return f"{seconds!r}s"


def format_size(size: int) -> str:
    """Return a size as text that `parse_size` converts back to exactly the same bytes: 65536 is ``64KiB``."""
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "KB"):
        if size % SIZE_UNITS[unit] == 0:
            return f"{size // SIZE_UNITS[unit]}{unit}"
    return f"{size}B"


def check_skip(every: float, skip: int) -> None:
    """Check that a timer reaches its first run.

    Raises:
        ValueError: it does not within `MAX_SECONDS`.
    """
    most = int(MAX_SECONDS // every) - 1
    if skip > most:
        raise ValueError(
            f"skip is at most {most} where every is {format_duration(every)}, not {skip}: the first run of a timer "
            "comes within 100 years"
        )


def _quantity(value: str | float, kind: _Kind) -> float:
    """Return seconds, bytes or a number per second; infinite if it is too large, but never NaN."""
    if not isinstance(value, str):
        try:
            number = float(value)
        except OverflowError:
            return math.inf
        if math.isnan(number):
            raise ValueError(f"{_show(value)} is not a {kind.noun} (allowed: {kind.examples})")
        return number
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise ValueError(f"{_show(value)} is not a {kind.noun} (allowed: {kind.examples})")
    unit = match["unit"]
    factor = kind.units.get(unit.lower()) if unit else 1
    if factor is None:
        word = unit.strip().lower()
        meant = word if word in kind.units else kind.nicknames.get(word.removesuffix("s"))
        hint = suggestion(meant and match["number"] + kind.spelling(meant))
        raise ValueError(f"{_show(value)} is not a {kind.noun}{hint} (allowed: {kind.examples})")
    return float(match["number"]) * factor


def _show(value: str | float) -> str:
    return quoted(value) if isinstance(value, str) else shorten(str(value))
