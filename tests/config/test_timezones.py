"""Names of time zones: what was meant by one that there is not; never a zone whose clock shows another time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest

from signalpost.config.jobs import _ABBREVIATIONS, parse_timezone


def meant(text):
    with pytest.raises(ValueError, match="no time zone") as caught:
        parse_timezone(text)
    told = str(caught.value)
    return told.partition('did you mean "')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("GMT+2", "Etc/GMT-2"),
        ("UTC+02:00", "Etc/GMT-2"),
        ("gmt -5", "Etc/GMT+5"),
        ("+1", "Etc/GMT-1"),
        ("UTC+5:30", ""),
        ("GMT-13", ""),
        ("UTC2", ""),
        ("PST", "America/Los_Angeles"),
        ("CEST", "Europe/Berlin"),
        ("IST", ""),
        ("XYZ", ""),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("America/Berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("Londno", "Europe/London"),
        ("utc", "UTC"),
        ("Pacific Time", ""),
        ("Germany", ""),
        ("x" * 5_000, ""),
        ("", ""),
    ],
)
def test_a_zone_that_there_is_not_names_the_one_that_was_meant_or_none(text, zone):
    assert meant(text) == zone


@pytest.mark.parametrize("hours", range(-12, 15))
def test_an_offset_leads_to_the_zone_of_that_offset(hours):
    if hours:
        zone = parse_timezone(meant(f"GMT{hours:+}"))
        assert datetime(2026, 7, 1, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=hours)


def test_what_clocks_show_is_no_name_of_a_zone_and_leads_to_one():
    assert not _ABBREVIATIONS.keys() & available_timezones()
    assert set(_ABBREVIATIONS.values()) <= available_timezones()
