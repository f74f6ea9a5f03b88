"""The timers and schedules of routes.yaml."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from signalpost.config.actions import Place, StepReader
from signalpost.config.backplanemodel import RunsOn
from signalpost.config.model import MAX_RUNS, JobConfig, ScheduleTiming, TimerTiming
from signalpost.config.section import Section
from signalpost.cron import Cron
from signalpost.units import FIRST_YEAR, LAST_YEAR, check_skip, parse_duration
from signalpost.words import nearest, quoted, suggestion

_OFFSET = re.compile(r"(?:utc|gmt|z)?\s*(?P<sign>[+-]?)\s*0?(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?", re.IGNORECASE)
# A zone with a merely similar name is a different one, with a different clock.
_NEAR = 0.8
_ABBREVIATION = re.compile(r"[A-Z]{2,5}|[a-z]{2,4}")
# Of the letters on clocks, those that mean one place to most people; no IANA name is similar to them.
_ABBREVIATIONS: Mapping[str, str] = {
    **dict.fromkeys(("PST", "PDT", "PT"), "America/Los_Angeles"),
    **dict.fromkeys(("MDT", "MT"), "America/Denver"),
    **dict.fromkeys(("CDT", "CT"), "America/Chicago"),
    **dict.fromkeys(("EDT", "ET"), "America/New_York"),
    **dict.fromkeys(("AKST", "AKDT"), "America/Anchorage"),
    **dict.fromkeys(("BST",), "Europe/London"),
    **dict.fromkeys(("CEST", "MEZ", "MESZ"), "Europe/Berlin"),
    **dict.fromkeys(("EEST",), "Europe/Athens"),
    **dict.fromkeys(("WEST",), "Europe/Lisbon"),
    **dict.fromkeys(("MSK",), "Europe/Moscow"),
    **dict.fromkeys(("JST",), "Asia/Tokyo"),
    **dict.fromkeys(("KST",), "Asia/Seoul"),
    **dict.fromkeys(("HKT",), "Asia/Hong_Kong"),
    **dict.fromkeys(("SGT",), "Asia/Singapore"),
    **dict.fromkeys(("AEST", "AEDT"), "Australia/Sydney"),
    **dict.fromkeys(("NZST", "NZDT"), "Pacific/Auckland"),
}


def read_timers(root: Section, reader: StepReader) -> tuple[JobConfig, ...]:
    """Read the section ``timers``."""
    read = (_read_timer(section, reader) for section in root.sections("timers"))
    return tuple(timer for timer in read if timer is not None)


def read_schedules(root: Section, reader: StepReader) -> tuple[JobConfig, ...]:
    """Read the section ``schedules``."""
    read = (_read_schedule(section, reader) for section in root.sections("schedules"))
    return tuple(schedule for schedule in read if schedule is not None)


def _read_timer(section: Section, reader: StepReader) -> JobConfig | None:
    name = section.text("name")
    every = section.quantity("every", parse_duration)
    steps = reader.steps_or_broadcast(section, Place.JOB)
    if name is None or every is None:
        return None
    try:
        check_skip(every, section.whole("skip", 0))
    except ValueError as error:
        section.problem("skip", str(error))
        return None
    timing = TimerTiming(
        every,
        section.whole("limit", 0),
        section.whole("skip", 0),
        section.flag("on_start"),
        section.mapping("arguments"),
        section.quantity("timeout", parse_duration),
        _read_on(section),
    )
    return JobConfig(section.keys, name, timing, section.text("handler"), steps)


def _read_schedule(section: Section, reader: StepReader) -> JobConfig | None:
    name = section.text("name")
    crons = _read_crons(section)
    zone = section.parsed("timezone", parse_timezone)
    in_zone = _moments(zone)
    start = section.parsed("start", in_zone)
    end = section.parsed("end", in_zone)
    timeout = section.quantity("timeout", parse_duration)
    steps = reader.steps_or_broadcast(section, Place.JOB)
    if start is not None and end is not None and end <= start:
        section.problem("end", f"must be after start ({section.data['start']}), or the job never runs")
    if name is None:
        return None
    timing = ScheduleTiming(
        crons,
        zone,
        start,
        end,
        section.whole("limit", 0),
        section.flag("on_start"),
        timeout,
        section.whole("max_runs", MAX_RUNS),
        section.mapping("arguments"),
        _read_on(section),
    )
    return JobConfig(section.keys, name, timing, section.text("handler"), steps)


def _read_on(section: Section) -> RunsOn | None:
    return section.choice("on", RunsOn, RunsOn.ONE) if "on" in section else None


def _read_crons(section: Section) -> tuple[str, ...]:
    """Read the valid expressions, and report the others."""
    texts = section.texts("cron")
    sound = []
    for keys, text in texts:
        try:
            Cron.parse(text)
            sound.append(text)
        except ValueError as error:
            section.report.add(keys if len(texts) > 1 else (*section.keys, "cron"), str(error))
    return tuple(sound)


def parse_timezone(text: str) -> ZoneInfo:
    """Return the time zone of an IANA name.

    Raises:
        ValueError: one line with the most similar zone.
    """
    try:
        return ZoneInfo(text)
    except (LookupError, ValueError, OSError):
        # Not found; not a name at all (an absolute path, a null character); a folder of zones ("Europe").
        raise ValueError(
            f"no time zone {quoted(text)}{_zone_meant(text)} (allowed: IANA names like Europe/London, and UTC)"
        ) from None


def _zone_meant(text: str) -> str:
    """Return the zone that was probably meant by an unknown one; nothing if a similar name means something else."""
    word = text.strip()
    zones = sorted(available_timezones())
    if (offset := _OFFSET.fullmatch(word)) is not None:
        return _fixed_zone(offset, zones)
    # People know the city: "Berlin" finds Europe/Berlin.
    city = _city(word)
    same = [zone for zone in zones if zone.lower() == word.lower()] or [zone for zone in zones if _city(zone) == city]
    if same and city:
        return suggestion(same[0])
    if _ABBREVIATION.fullmatch(word):
        known = _ABBREVIATIONS.get(word.upper())
        return suggestion(known) or "; several zones may share such letters: name a city"
    names = {zone.lower() if "/" in word else _city(zone): zone for zone in zones}
    near = nearest(word, names, _NEAR)
    return suggestion(near and names[near])


def _fixed_zone(offset: re.Match[str], zones: Sequence[str]) -> str:
    """Return the zone meant by an offset such as ``GMT+2``: in the names of zones, signs are reversed."""
    fixed = f"Etc/GMT{'-' if offset['sign'] == '+' else '+'}{offset['hours']}"
    if offset["sign"] and int(offset["minutes"] or 0) == 0 and fixed in zones:
        return f'; did you mean "{fixed}"? Signs are reversed there; a city has its summer time, too'
    return "; name a city that has this time"


def _city(zone: str) -> str:
    return zone.rpartition("/")[2].lower().replace(" ", "_")


def _moments(zone: ZoneInfo | None) -> Callable[[str], datetime]:
    """Return what reads a moment, in `zone` (None is the system's) unless it says an offset."""

    def parse_moment(text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"{quoted(text)} is no date or time (allowed: ISO 8601, as in 2027-01-31, 2027-01-31T09:00:00 "
                "or 2027-01-31T09:00:00+01:00)"
            ) from None
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValueError(f"{quoted(text)} is out of range: years are {FIRST_YEAR} to {LAST_YEAR}")
        if moment.tzinfo is not None:
            return moment
        return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)

    return parse_moment
