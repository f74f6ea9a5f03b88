"""Cron expressions, held against a reference that steps through every minute and knows nothing of cronsim."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.cron import ALIASES, Cron, system_zone
from signalpost.errors import OperatorError

MINUTE = timedelta(minutes=1)
LONDON = ZoneInfo("Europe/London")

# A year, and the moments (UTC) in it at which clocks change.
YEARS = {
    "Europe/London": (2025, ["2025-03-30T01:00", "2025-10-26T01:00"]),
    "America/New_York": (2025, ["2025-03-09T07:00", "2025-11-02T06:00"]),
    "Australia/Lord_Howe": (2025, ["2025-04-05T15:00", "2025-10-04T15:30"]),  # by half an hour
    "Pacific/Apia": (2011, ["2011-04-02T14:00", "2011-09-24T14:00", "2011-12-30T10:00"]),  # leaves out 30 December
    "America/Havana": (2025, ["2025-03-09T05:00", "2025-11-02T05:00"]),  # skips and doubles the hour of midnight
    "Asia/Kolkata": (2025, []),
}
TRANSITIONS = [(zone, moment) for zone, (_, moments) in YEARS.items() for moment in moments]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def moments(text: str, after: datetime, zone: ZoneInfo | None = None) -> Iterator[datetime]:
    cron = Cron.parse(text)
    moment = cron.next(after, zone or ZoneInfo("UTC"))
    while moment is not None:
        yield moment
        moment = cron.next(moment, zone or ZoneInfo("UTC"))


def upcoming(text: str, after: str, count: int, zone: ZoneInfo | None = None) -> list[str]:
    """The next moments as the wall clock shows them, without their offset."""
    return [f"{each:%Y-%m-%d %H:%M:%S}" for each in islice(moments(text, at(after), zone), count)]


# The reference


@dataclass(frozen=True)
class Expression:
    """An expression with what it means: the values of minute, hour, day-of-month, month and day-of-week (0 to 6)."""

    texts: tuple[str, ...]
    values: tuple[frozenset[int], ...]

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def every_hour(self) -> bool:
        return self.texts[1].startswith("*") or self.values[1] == frozenset(range(24))

    @property
    def comes(self) -> bool:
        """Whether there is any day it names; one may be hidden by OR, so only plain impossibility counts."""
        longest = max({2: 29, 4: 30, 6: 30, 9: 30, 11: 30}.get(month, 31) for month in self.values[3])
        return self.either_day or min(self.values[2]) <= longest

    @property
    def either_day(self) -> bool:
        return not self.texts[2].startswith("*") and not self.texts[4].startswith("*")

    def matches(self, wall: datetime) -> bool:
        minutes, hours, days, months, weekdays = self.values
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        by_day, by_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        return (by_day or by_weekday) if self.either_day else (by_day and by_weekday)


@dataclass(frozen=True)
class Tick:
    """A minute of real time: its moment in UTC, what clocks show, in which pass, and what they jumped over to it."""

    moment: datetime
    wall: datetime
    fold: int
    skipped: tuple[datetime, ...]


@cache
def ticks(zone: str, begin: datetime, span: timedelta, step: timedelta = MINUTE) -> list[Tick]:
    found = []
    last = (begin - step).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    for number in range(span // step):
        moment = begin + number * step
        local = moment.astimezone(ZoneInfo(zone))
        wall = local.replace(tzinfo=None, fold=0)
        jump = (wall - last) // step
        found.append(Tick(moment, wall, local.fold, tuple(last + count * step for count in range(1, jump))))
        last = wall
    return found


def comes_at(expression: Expression, tick: Tick) -> bool:
    if expression.every_hour:
        return expression.matches(tick.wall)
    first_time = tick.fold == 0 and expression.matches(tick.wall)
    return first_time or any(expression.matches(wall) for wall in tick.skipped)


# Random expressions, made together with their meaning


@st.composite
def terms(draw: st.DrawFn, low: int, high: int, *, weekday: bool = False) -> tuple[str, frozenset[int]]:
    top = 6 if weekday else high
    kind = draw(st.sampled_from(["star", "one", "range", "step", "range step", "from"]))
    first = draw(st.integers(low, top))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, top - low))
    text, values = {
        "star": ("*", range(low, top + 1)),
        "one": (f"{last}", range(last, last + 1)),
        "range": (f"{first}-{last}", range(first, last + 1)),
        "step": (f"*/{step}", range(low, top + 1, step)),
        "range step": (f"{first}-{last}/{step}", range(first, last + 1, step)),
        "from": (f"{first}/{step}", range(first, top + 1, step)),
    }[kind]
    return text, frozenset(value % 7 if weekday else value for value in values)


def fields(low: int, high: int, *, weekday: bool = False) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    several = st.lists(terms(low, high, weekday=weekday), min_size=1, max_size=3)
    joined = several.map(lambda found: (",".join(text for text, _ in found), frozenset().union(*(v for _, v in found))))
    return st.just(("*", frozenset(range(low, (6 if weekday else high) + 1)))) | joined


expressions = (
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 7, weekday=True))
    .map(lambda found: Expression(tuple(text for text, _ in found), tuple(values for _, values in found)))
    .filter(lambda expression: expression.comes)
)
ALWAYS = (frozenset(range(1, 32)), frozenset(range(1, 13)), frozenset(range(7)))
hours_of_the_night = st.sets(st.integers(0, 3), min_size=1).map(lambda found: (",".join(map(str, found)), found))
hours_by_step = st.integers(1, 23).map(lambda step: (f"*/{step}", set(range(0, 24, step))))
# Expressions of all days, in the hours about which clocks change.
near_midnight = st.tuples(fields(0, 59), hours_of_the_night | hours_by_step).map(
    lambda found: Expression((found[0][0], found[1][0], "*", "*", "*"), (found[0][1], frozenset(found[1][1]), *ALWAYS))
)


@given(expressions, st.timedeltas(timedelta(0), timedelta(days=5 * 365)))
def test_without_clock_changes_every_moment_is_the_next_minute_that_matches(expression, since):
    after = datetime(2024, 1, 1, tzinfo=UTC) + since
    found = Cron.parse(expression.text).next(after, ZoneInfo("UTC"))
    begin = after.replace(second=0, microsecond=0) + MINUTE
    # What comes within two days is the first match there; what comes later leaves them without a match.
    matching = (tick.wall for tick in walk(begin, 2 * 24 * 60) if expression.matches(tick.wall))
    first = next(matching, None)
    assert found is not None
    assert expression.matches(found.replace(tzinfo=None))
    if first is None:
        assert found >= begin + timedelta(days=2)
    else:
        assert found == first.replace(tzinfo=UTC)


def walk(begin: datetime, minutes: int) -> Iterator[Tick]:
    for number in range(minutes):
        moment = begin + number * MINUTE
        yield Tick(moment, moment.replace(tzinfo=None), 0, ())


@pytest.mark.parametrize(("zone", "change"), TRANSITIONS)
@given(
    expression=near_midnight | expressions,
    begin=st.integers(-28 * 60, 3 * 60),
    seconds=st.integers(0, 59_999_999).map(lambda count: timedelta(microseconds=count)),
)
def test_around_a_clock_change_the_moments_are_those_of_the_reference(zone, change, expression, begin, seconds):
    window = ticks(zone, at(f"{change}+00:00") - timedelta(days=2), timedelta(days=4))
    start = 2 * 24 * 60 + begin
    coming = (tick.moment for tick in window[start + 1 :] if comes_at(expression, tick))
    expected = list(islice(coming, 12))
    found = moments(expression.text, window[start].moment + seconds, ZoneInfo(zone))
    assert [each.astimezone(UTC) for each in islice(found, len(expected))] == expected


@pytest.mark.slow
@pytest.mark.parametrize("zone", YEARS)
@pytest.mark.parametrize(
    ("text", "hours", "minutes"),
    [
        ("30 * * * *", range(24), {30}),
        ("15,45 0-3 * * *", range(4), {15, 45}),
        ("0 */2 * * *", range(0, 24, 2), {0}),
        ("40 1,2 * * *", {1, 2}, {40}),
    ],
)
def test_a_whole_year_with_its_clock_changes_has_the_moments_of_the_reference(zone, text, hours, minutes):
    year, _ = YEARS[zone]
    begin = datetime(year, 1, 1, tzinfo=UTC)
    expression = Expression(tuple(text.split()), (frozenset(minutes), frozenset(hours), *ALWAYS))
    year_of_ticks = ticks(zone, begin, timedelta(days=365), timedelta(minutes=5))  # no expression here needs more
    expected = [tick.moment for tick in year_of_ticks if comes_at(expression, tick)]
    found = moments(text, begin - timedelta(seconds=1), ZoneInfo(zone))
    assert [each.astimezone(UTC) for each in islice(found, len(expected))] == expected


@given(
    cron=st.sampled_from(["*/20 * * * * *", "5,35 30 1 * * *", "0 0,30 1-2 * * *", "10 */7 */2 * * *"]),
    offset=st.integers(-90 * 60, 90 * 60),
    transition=st.sampled_from(TRANSITIONS),
)
def test_with_seconds_the_next_moment_is_strictly_later_and_nothing_lies_between(cron, offset, transition):
    zone, change = transition
    after = at(f"{change}+00:00") + timedelta(seconds=offset)
    found = Cron.parse(cron).next(after, ZoneInfo(zone))
    assert found is not None
    assert found.astimezone(UTC) > after
    middle = after + (found.astimezone(UTC) - after) / 2
    assert Cron.parse(cron).next(middle, ZoneInfo(zone)) == found


# Single stories


def test_a_job_in_the_skipped_hour_comes_once_right_after_it():
    assert upcoming("0,30 1 * * *", "2025-03-29T12:00+00:00", 3, LONDON) == [
        "2025-03-30 02:00:00",
        "2025-03-31 01:00:00",
        "2025-03-31 01:30:00",
    ]


def test_a_job_in_the_doubled_hour_comes_in_its_first_pass_only():
    found = list(islice(moments("30 1 * * *", at("2025-10-25T12:00+00:00"), LONDON), 2))
    assert [each.isoformat() for each in found] == ["2025-10-26T01:30:00+01:00", "2025-10-27T01:30:00+00:00"]


def test_a_job_for_every_hour_keeps_real_time():
    spring = islice(moments("30 * * * *", at("2025-03-30T00:00+00:00"), LONDON), 2)
    autumn = islice(moments("30 * * * *", at("2025-10-26T00:00+00:00"), LONDON), 3)
    assert [each.isoformat() for each in spring] == ["2025-03-30T00:30:00+00:00", "2025-03-30T02:30:00+01:00"]
    assert [each.isoformat() for each in autumn] == [
        "2025-10-26T01:30:00+01:00",
        "2025-10-26T01:30:00+00:00",
        "2025-10-26T02:30:00+00:00",
    ]


def test_a_skipped_day_is_made_up_for_at_its_end():
    apia = ZoneInfo("Pacific/Apia")
    assert upcoming("0 12 * * *", "2011-12-29T12:00-10:00", 2, apia) == ["2011-12-31 00:00:00", "2011-12-31 12:00:00"]


def test_half_an_hour_of_daylight_saving_loses_no_minute():
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    assert upcoming("* * * * *", "2025-10-05T01:58+10:30", 3, lord_howe) == [
        "2025-10-05 01:59:00",
        "2025-10-05 02:30:00",
        "2025-10-05 02:31:00",
    ]


def test_day_of_month_or_day_of_week_suffices_when_both_are_restricted():
    assert upcoming("0 0 13 * fri", "2025-06-01T00:00+00:00", 3) == [
        "2025-06-06 00:00:00",
        "2025-06-13 00:00:00",
        "2025-06-20 00:00:00",
    ]
    assert upcoming("0 0 13 * *", "2025-06-01T00:00+00:00", 1) == ["2025-06-13 00:00:00"]


def test_a_day_field_that_begins_with_a_star_must_match_too():
    assert upcoming("0 0 */10 * mon", "2025-06-01T00:00+00:00", 2) == ["2025-07-21 00:00:00", "2025-08-11 00:00:00"]


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "SUN", "7-7", "*/6,0"])
def test_sunday_has_three_names(sunday):
    first = upcoming(f"0 0 * * {sunday}", "2025-06-07T12:00+00:00", 1)  # a Saturday
    assert first == ["2025-06-08 00:00:00"]


def test_a_week_may_end_with_sunday():
    assert upcoming("0 0 * * fri-sun", "2025-06-05T12:00+00:00", 4) == [
        "2025-06-06 00:00:00",
        "2025-06-07 00:00:00",
        "2025-06-08 00:00:00",
        "2025-06-13 00:00:00",
    ]


def test_months_have_names():
    assert upcoming("0 0 1 MAR,Jun-aug/2 *", "2025-01-01T00:00+00:00", 3) == [
        "2025-03-01 00:00:00",
        "2025-06-01 00:00:00",
        "2025-08-01 00:00:00",
    ]


def test_a_step_behind_a_single_value_goes_to_the_end_of_the_field_as_in_pode():
    minutes = upcoming("0/10 * * * *", "2025-06-01T00:00+00:00", 6)
    assert [each[14:16] for each in minutes] == ["10", "20", "30", "40", "50", "00"]
    weekdays = list(islice(moments("0 0 * * 1/2", at("2025-06-01T12:00+00:00")), 4))
    assert [f"{each:%a}" for each in weekdays] == ["Mon", "Wed", "Fri", "Mon"]


def test_a_sixth_field_in_front_is_for_seconds():
    assert upcoming("*/20 5 * * * *", "2025-06-01T00:05:30+00:00", 3) == [
        "2025-06-01 00:05:40",
        "2025-06-01 01:05:00",
        "2025-06-01 01:05:20",
    ]


def test_the_29th_of_february_waits_for_a_leap_year():
    assert upcoming("0 0 29 2 *", "2096-03-01T00:00+00:00", 1) == ["2104-02-29 00:00:00"]


@pytest.mark.parametrize(
    ("alias", "first"),
    [
        ("@minutely", "2025-05-14 10:21:00"),
        ("@hourly", "2025-05-14 11:00:00"),
        ("@daily", "2025-05-15 00:00:00"),
        ("@midnight", "2025-05-15 00:00:00"),
        ("@weekly", "2025-05-18 00:00:00"),
        ("@monthly", "2025-06-01 00:00:00"),
        ("@quarterly", "2025-07-01 00:00:00"),
        ("@semiannually", "2025-07-01 00:00:00"),
        ("@yearly", "2026-01-01 00:00:00"),
        ("@annually", "2026-01-01 00:00:00"),
        ("@twice-hourly", "2025-05-14 10:30:00"),
        ("@twice-daily", "2025-05-14 12:00:00"),
        ("@twice-weekly", "2025-05-15 00:00:00"),
        ("@twice-monthly", "2025-05-15 00:00:00"),
        ("@twice-yearly", "2025-06-01 00:00:00"),
        ("@twice-annually", "2025-06-01 00:00:00"),
    ],
)
def test_an_alias_comes_when_pode_says(alias, first):
    assert upcoming(alias, "2025-05-14T10:20+00:00", 1) == [first]  # a Wednesday
    assert upcoming(alias.upper(), "2025-05-14T10:20+00:00", 1) == [first]


def test_every_alias_is_tested():
    marks = [mark for mark in test_an_alias_comes_when_pode_says.pytestmark if mark.name == "parametrize"]
    assert {alias for alias, _ in marks[0].args[1]} == set(ALIASES)


def test_a_moment_keeps_the_zone_that_was_asked_for():
    found = Cron.parse("@daily").next(at("2025-06-01T00:00+00:00"), LONDON)
    assert found is not None
    assert found.tzinfo is LONDON


def test_the_end_of_the_calendar_ends_the_moments():
    assert Cron.parse("0 0 1 1 *").next(datetime(9999, 6, 1, tzinfo=UTC), ZoneInfo("UTC")) is None


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        Cron.parse("@daily").next(datetime(2025, 6, 1), LONDON)  # noqa: DTZ001 - the point


def test_equal_expressions_are_equal():
    assert Cron.parse("0 0 * * *") == Cron.parse("0 0 * * *")
    assert Cron.parse("0 0 * * *") != Cron.parse("0 1 * * *")
    assert Cron.parse(" @daily ").text == " @daily "


# Mistakes

SHAPES = '"*", "a-b", "*/n", "a-b/n" or a list with commas'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("61 * * * *", 'minute "61": must be 0 to 59'),
        ("60 * * * * *", 'second "60": must be 0 to 59'),
        ("* 24 * * *", 'hour "24": must be 0 to 23'),
        ("* * 0 * *", 'day-of-month "0": must be 1 to 31'),
        ("* * * 13 *", 'month "13": must be 1 to 12 or jan to dec'),
        ("* * * * 8", 'day-of-week "8": must be 0 to 7 or sun to sat'),
        ("* * * * mno", 'day-of-week "mno": must be 0 to 7 or sun to sat; did you mean "mon"?'),
        ("* * * January *", 'month "January": must be 1 to 12 or jan to dec; did you mean "jan"?'),
        ("* 22-6 * * *", 'hour "22-6": runs backwards; write "22-23,0-6"'),
        ("* * * * fri-mon", 'day-of-week "fri-mon": runs backwards; write "5-6,0-1"'),
        ("* * * * 7-2", 'day-of-week "7-2": runs backwards; write "0-2"'),
        ("*/0 * * * *", 'minute "*/0": the step behind the slash must be 1 to 59'),
        ("*/90 * * * *", 'minute "*/90": the step behind the slash must be 1 to 59'),
        ("1/ * * * *", 'minute "1/": the step behind the slash must be 1 to 59'),
        ("1,,2 * * * *", 'minute "1,,2": a value is missing beside a comma'),
        (
            "0 0 ? * *",
            f'day-of-month "?": is not understood; write 1 to 31, {SHAPES}; for any value write "*"',
        ),
        (
            "0 0 * * 5#2",
            f'day-of-week "5#2": is not understood; write 0 to 7 or sun to sat, {SHAPES}',
        ),
        ("0 0 30 2 *", 'day-of-month "30": never comes, since month "2" has at most 29 days'),
        ("0 0 31 apr,jun */2", 'day-of-month "31": never comes, since month "apr,jun" has at most 30 days'),
        ("@reboot", '"@reboot" is not a time; to run once at the start write on_start: true'),
        ("@every 5m", '"@every 5m" is an interval, not a time; use a timer with every: 5m'),
        ("1.5 s", '"1.5 s" is an interval, not a time; use a timer with every: 1.5s'),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(text, said):
    assert mistake(text) == said


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("", '"" has 0'),
        ("* * * *", '"* * * *" has 4'),
        ("* * * * * * *", '"* * * * * * *" has 7; there is no field for the year'),
        ("12:30", '"12:30" has 1; did you mean "30 12 * * *"?'),
        ("daily", '"daily" has 1; did you mean "@daily"?'),
    ],
)
def test_a_wrong_number_of_fields_says_which_are_needed(text, ending):
    assert mistake(text) == (
        "5 fields are needed (minute hour day-of-month month day-of-week), or 6 with second before them, " + ending
    )


def test_an_unknown_alias_names_the_nearest_and_all():
    with pytest.raises(ValueError, match=r'^"@dayly" is unknown; did you mean "@daily"\? \(known: @annually, @daily,'):
        Cron.parse("@dayly")


def mistake(text: str) -> str | None:
    try:
        Cron.parse(text)
    except ValueError as error:
        return str(error)
    return None


def test_what_or_makes_possible_is_no_mistake():
    assert upcoming("0 0 30 2 mon", "2025-01-31T00:00+00:00", 1) == ["2025-02-03 00:00:00"]


@given(st.text() | st.text("0123456789*/-,?#@LWsunjan \n", max_size=30) | st.just("9" * 5000 + " * * * *"))
def test_any_text_gives_an_expression_or_one_line(text):
    said = mistake(text)
    if said is None:
        assert Cron.parse(text).next(datetime(2025, 1, 1, tzinfo=UTC), LONDON) is not None
    else:
        assert said.splitlines() == [said]


# The system's zone


@pytest.mark.parametrize("name", ["Europe/London", ":Europe/London"])
def test_the_systems_zone_is_the_one_of_tz(monkeypatch, name):
    monkeypatch.setenv("TZ", name)
    assert system_zone().key == "Europe/London"
    assert upcoming("@daily", "2025-06-01T12:00+00:00", 1, system_zone()) == ["2025-06-02 00:00:00"]
    found = Cron.parse("@daily").next(at("2025-06-01T12:00+00:00"), None)
    assert found is not None
    assert found.isoformat() == "2025-06-02T00:00:00+01:00"


def test_an_empty_tz_is_utc(monkeypatch):
    monkeypatch.setenv("TZ", "")
    assert system_zone().key == "UTC"


@pytest.mark.parametrize("name", ["EST5EDT,M3.2.0,M11.1.0", "Europe/Londn", "../etc"])
def test_a_tz_that_names_no_zone_says_how_to_mend_it(monkeypatch, name):
    monkeypatch.setenv("TZ", name)
    with pytest.raises(OperatorError, match="names no time zone; set it to a name such as"):
        system_zone()


def test_the_link_of_localtime_tells_the_name(monkeypatch, tmp_path):
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/London")
    assert system_zone(link).key == "Europe/London"


def test_a_copied_zone_file_serves_without_a_name(monkeypatch, tmp_path):
    monkeypatch.delenv("TZ", raising=False)
    copy = tmp_path / "localtime"
    copy.write_bytes(london_rules())
    zone = system_zone(copy)
    assert at("2025-06-01T12:00+00:00").astimezone(zone).isoformat() == "2025-06-01T13:00:00+01:00"
    monkeypatch.setenv("TZ", str(copy))
    assert at("2025-06-01T12:00+00:00").astimezone(system_zone()).isoformat() == "2025-06-01T13:00:00+01:00"


def london_rules() -> bytes:
    import tzdata

    return (Path(tzdata.__file__).parent / "zoneinfo" / "Europe" / "London").read_bytes()


def test_without_any_localtime_the_zone_is_utc(monkeypatch, tmp_path):
    monkeypatch.delenv("TZ", raising=False)
    assert system_zone(tmp_path / "localtime").key == "UTC"


def test_a_localtime_that_is_no_zone_file_is_the_operators_to_mend(monkeypatch, tmp_path):
    monkeypatch.delenv("TZ", raising=False)
    (tmp_path / "localtime").write_text("Europe/London")
    with pytest.raises(OperatorError, match="is no time zone file"):
        system_zone(tmp_path / "localtime")
