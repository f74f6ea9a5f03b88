"""Cron expressions: checked when they are parsed; compute their next moment. No clock, no loop.

As in Vixie cron (crontab(5)): minute, hour, day-of-month, month, day-of-week, and before them, optionally, second. In
every field: ``*``, ``a``, ``a-b``, ``*/n``, ``a-b/n``, lists of these with commas, and Pode's ``a/n`` (from a to the
end of the field, so ``0/10`` is 0, 10, … 50). Months and days have names; Sunday is 0 and 7. If day-of-month and
day-of-week are both restricted, either of them suffices; a field that begins with ``*`` counts as unrestricted, even
``*/2``.

Daylight saving: an expression with fixed hours follows the wall clock. A moment in a skipped hour happens once, right
after it; a moment in a doubled hour happens in its first pass only. An expression for every hour (``*``, ``*/n``,
``0-23``) keeps real time: the skipped hour is not made up for, the doubled one counts twice.

cronsim iterates over the calendar, in wall-clock time without a zone. The zone is applied here, because cronsim's own
iteration in a zone loses minutes where clocks move by half an hour (Australia/Lord_Howe).
"""

import os
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim

from signalpost.errors import OperatorError
from signalpost.words import nearest, quoted, suggestion

# Those of Pode's documentation, plus crontab(5)'s @midnight and systemd.time(7)'s @semiannually.
ALIASES = {
    "@minutely": "* * * * *",
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 1,4,7,10 *",
    "@semiannually": "0 0 1 1,7 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@twice-hourly": "0,30 * * * *",
    "@twice-daily": "0 0,12 * * *",
    "@twice-weekly": "0 0 * * 0,4",
    "@twice-monthly": "0 0 1,15 * *",
    "@twice-yearly": "0 0 1 1,6 *",
    "@twice-annually": "0 0 1 1,6 *",
}

_DURATION = re.compile(r"(?:@?every\s+)?(\d+(?:\.\d+)?\s?(?:ms|s|m|h|d))", re.IGNORECASE)
_CLOCK_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_WHOLE_DAY = 24


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an expression.

    Attributes:
        low: the smallest value; `high` is the largest that may be written.
        top: where steps end: `high`, except for day-of-week, where 7 is 0 again.
        names: of the values from `low` on.
    """

    name: str
    low: int
    high: int
    top: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        span = f"{self.low} to {self.high}"
        return f"{span} or {self.names[0]} to {self.names[-1]}" if self.names else span


_SECOND = _Field("second", 0, 59, 59)
_MINUTE = _Field("minute", 0, 59, 59)
_HOUR = _Field("hour", 0, 23, 23)
_DAY = _Field("day-of-month", 1, 31, 31)
_MONTH = _Field("month", 1, 12, 12, tuple("jan feb mar apr may jun jul aug sep oct nov dec".split()))  # noqa: SIM905
_WEEKDAY = _Field("day-of-week", 0, 7, 6, tuple("sun mon tue wed thu fri sat".split()))  # noqa: SIM905
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
_SHAPE = " ".join(each.name for each in _FIELDS[1:])


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked cron expression; `parse` creates one.

    Attributes:
        text: as written.
        expression: six fields for cronsim: aliases, names and Pode's steps are resolved, e.g. ``0 0,30 * * * *``.
        wall: whether it names hours, so that it follows the wall clock; else it keeps real time.
    """

    text: str
    expression: str = field(repr=False)
    wall: bool = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Check an expression.

        Raises:
            ValueError: one line with the field, the given value, what is allowed and what was probably meant.
        """
        written = _split(text)
        parsed = [_parse_field(each, item) for each, item in zip(_FIELDS, written, strict=True)]
        _refuse_what_never_comes(written, [values for values, _ in parsed])
        hours = parsed[_FIELDS.index(_HOUR)][0]
        return cls(
            text=text,
            expression=" ".join(canonical for _, canonical in parsed),
            wall=not written[_FIELDS.index(_HOUR)].startswith("*") and len(hours) < _WHOLE_DAY,
        )

    def next(self, after: datetime, zone: ZoneInfo | None) -> datetime | None:
        """Return the first moment strictly after `after`.

        Args:
            after: aware.
            zone: of the expression; None is the system's.

        Returns:
            A moment in `zone`, on a whole second; None if the calendar ends (year 9999) before it comes.

        Raises:
            ValueError: `after` is naive.
            OperatorError: the system's zone is needed and cannot be determined.
        """
        if after.tzinfo is None:
            raise ValueError(f"the moment {after} has no time zone")
        zone = zone or system_zone()
        try:
            found = self._next_on_wall(after, zone) if self.wall else self._next_in_real_time(after, zone)
        except (StopIteration, OverflowError):
            return None
        return found.astimezone(zone)

    def _walk(self, wall: datetime) -> Iterator[datetime]:
        """Yield the matches on a calendar without a zone, strictly after `wall`, in order."""
        return CronSim(self.expression, wall)

    def _next_on_wall(self, after: datetime, zone: ZoneInfo) -> datetime:
        for wall in self._walk(after.astimezone(zone).replace(tzinfo=None, fold=0)):
            passes = _passes(wall, zone)
            moment = passes[0] if passes else _gap_end(wall, zone)
            if moment > after:
                return moment
        raise StopIteration

    def _next_in_real_time(self, after: datetime, zone: ZoneInfo) -> datetime:
        now = after.astimezone(zone)
        here = now.replace(tzinfo=None, fold=0)
        wall, moment = self._first_pass_after(here, after, zone)
        around = _passes(here, zone)
        if len(around) == 1 or now.fold:
            return moment
        # `after` is in the first pass of a doubled hour. If that has nothing more to give, the second pass shows
        # again what lies behind on the wall.
        doubled = around[1] - around[0]
        if wall - here < doubled and len(_passes(wall, zone)) > 1:
            return moment
        for again in self._walk(here - doubled - timedelta(seconds=1)):
            if again > here:
                break
            passes = _passes(again, zone)
            if len(passes) > 1:
                return passes[1]
        return moment

    def _first_pass_after(self, here: datetime, after: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Return the next match on the wall after `here` that exists and is later than `after`: wall and moment."""
        walk = self._walk(here)
        while True:
            wall = next(walk)
            passes = _passes(wall, zone)
            for moment in passes:
                if moment > after:
                    return wall, moment
            if not passes:  # skipped: continue after the gap, not second by second through it
                behind = _gap_end(wall, zone).astimezone(zone).replace(tzinfo=None, fold=0)
                walk = self._walk(behind - timedelta(seconds=1))


def system_zone(localtime: Path = Path("/etc/localtime")) -> ZoneInfo:
    """Return the system's time zone, from the same places as the C library: ``TZ``, then /etc/localtime, else UTC.

    Raises:
        OperatorError: ``TZ`` is not the name of a zone (but a POSIX rule such as ``EST5EDT,M3.2.0,M11.1.0``).
    """
    name = os.environ.get("TZ")
    if name is not None:
        path = Path(name.removeprefix(":"))
        if path.is_absolute():
            localtime = path
        else:
            try:
                return ZoneInfo(str(path) if path.name else "UTC")
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise OperatorError(
                    f"the environment variable TZ is {quoted(name)}, which names no time zone; "
                    'set it to a name such as "Europe/London", or give each schedule its timezone'
                ) from error
    # The link's target contains the zone's name; a copied file has the same rules, but no name.
    _, found, key = str(localtime.resolve()).rpartition("/zoneinfo/")
    try:
        if found:
            return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key=key if found else None)
    except FileNotFoundError:
        return ZoneInfo("UTC")
    except (OSError, ValueError) as error:
        raise OperatorError(f"{localtime} is no time zone file: {error}") from error


def _passes(wall: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return the moments (in UTC) at which clocks in `zone` show `wall`: none, one or two (PEP 495)."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first == second:
        return (first,)
    return (first, second) if first < second else ()


def _gap_end(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment (in UTC) at which clocks in `zone` jump over `wall`, which they never show."""
    before = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    behind = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    offset = datetime.fromtimestamp(behind, zone).utcoffset()
    seconds = range(before, behind + 1)
    jump = bisect_left(seconds, True, key=lambda second: datetime.fromtimestamp(second, zone).utcoffset() == offset)
    return datetime.fromtimestamp(seconds[jump], UTC)


def _split(text: str) -> list[str]:
    """Resolve aliases and return the six fields."""
    words = text.split()
    whole = " ".join(words)
    alias = ALIASES.get(whole.lower())
    if alias is not None:
        words = alias.split()
    if len(words) == len(_FIELDS) - 1:
        words.insert(0, "0")
    if len(words) == len(_FIELDS):
        return words
    if whole.lower() == "@reboot":
        raise ValueError(f"{quoted(whole)} is not a time; to run once at the start write on_start: true")
    if duration := _DURATION.fullmatch(whole):
        raise ValueError(
            f"{quoted(whole)} is an interval, not a time; use a timer with every: {duration[1].replace(' ', '')}"
        )
    if whole.startswith("@"):
        guess = _guess(whole, list(ALIASES))
        raise ValueError(f"{quoted(whole)} is unknown{guess} (known: {', '.join(sorted(ALIASES))})")
    needed = f"5 fields are needed ({_SHAPE}), or 6 with second before them"
    hint = ""
    if clock := _CLOCK_TIME.fullmatch(whole):
        hint = suggestion(f"{int(clock[2])} {int(clock[1])} * * *")
    elif len(words) == 1:
        hint = _guess(f"@{whole}", list(ALIASES))
    elif len(words) == len(_FIELDS) + 1:
        hint = "; there is no field for the year"
    raise ValueError(f"{needed}, {quoted(whole)} has {len(words)}{hint}")


def _parse_field(spec: _Field, text: str) -> tuple[frozenset[int], str]:
    """Return a field's values and its text for cronsim, which keeps the stars: unrestricted fields decide the "or"."""
    values: set[int] = set()
    canonical = []
    for term in text.split(","):
        if not term:
            raise _refusal(spec, text, "a value is missing beside a comma")
        found = _parse_term(spec, term)
        values.update(found)
        canonical.append(term if term.startswith("*") else ",".join(map(str, sorted(found))))
    return frozenset(values), ",".join(canonical)


def _parse_term(spec: _Field, term: str) -> set[int]:
    """Return the values of one term: ``*``, ``a``, ``a-b``, each with or without ``/n``."""
    span, slash, step_text = term.partition("/")
    low_text, dash, high_text = span.partition("-")
    if span == "*":
        low, high = spec.low, spec.top
    else:
        low = _parse_value(spec, term, low_text)
        high = low
        if dash:
            high = _parse_range_end(spec, term, low, high_text)
        elif slash:
            low %= spec.top + 1
            high = spec.top
    step = _parse_step(spec, term, step_text) if slash else 1
    return {value if value <= spec.top else spec.low for value in range(low, high + 1, step)}


def _parse_range_end(spec: _Field, term: str, low: int, text: str) -> int:
    high = _parse_value(spec, term, text)
    if spec is _WEEKDAY and text.lower() == "sun" and low > high:
        return spec.high  # mon-sun: the Sunday at the end of the week
    if low > high:
        parts = ((spec.low, high),) if low > spec.top else ((low, spec.top), (spec.low, high))
        forwards = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
        raise _refusal(spec, term, f'runs backwards; write "{forwards}"')
    return high


def _parse_value(spec: _Field, term: str, text: str) -> int:
    if text.lower() in spec.names:
        return spec.names.index(text.lower()) + spec.low
    if text.isascii() and text.isdigit():
        # Text longer than any value is not converted: Python rejects numbers of thousands of digits.
        value = int(text) if len(text.lstrip("0")) <= len(str(spec.high)) else spec.high + 1
        if spec.low <= value <= spec.high:
            return value
        raise _refusal(spec, term, f"must be {spec.allowed}")
    if text.isalpha() and spec.names:
        raise _refusal(spec, term, f"must be {spec.allowed}{_guess(text, list(spec.names))}")
    hint = '; for any value write "*"' if text == "?" else ""
    raise _refusal(
        spec, term, f'is not understood; write {spec.allowed}, "*", "a-b", "*/n", "a-b/n" or a list with commas{hint}'
    )


def _parse_step(spec: _Field, term: str, text: str) -> int:
    """Return the step; a step that occurs only once in its range is rejected, since it has no effect."""
    largest = spec.top - spec.low
    step = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(largest)) else 0
    if 1 <= step <= largest:
        return step
    raise _refusal(spec, term, f"the step behind the slash must be 1 to {largest}")


def _refuse_what_never_comes(written: list[str], values: list[frozenset[int]]) -> None:
    """Reject days that none of the months has, unless the day of the week suffices by itself."""
    *_, day_text, month_text, weekday_text = written
    *_, days, months, _ = values
    either = not day_text.startswith("*") and not weekday_text.startswith("*")
    longest = max(_LONGEST_MONTH.get(month, 31) for month in months)
    if not either and min(days) > longest:
        raise _refusal(_DAY, day_text, f"never comes, since month {quoted(month_text)} has at most {longest} days")


def _refusal(spec: _Field, given: str, text: str) -> ValueError:
    return ValueError(f"{spec.name} {quoted(given)}: {text}")


def _guess(word: str, known: list[str]) -> str:
    word = word.lower()
    return suggestion(nearest(word, known) or next((each for each in known if word.startswith(each)), None))
