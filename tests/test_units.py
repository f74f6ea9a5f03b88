"""Durations and sizes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.actions.builtin import routes_schema
from signalpost.units import (
    MAX_BYTES,
    format_duration,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
    parse_wait,
)

PATTERNS = {
    name: re.compile(routes_schema()["$defs"][name]["pattern"]) for name in ("duration", "size", "wait", "rate")
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("250ms", 0.25), ("1.5h", 5400), ("2m", 120), ("1d", 86400), (3, 3), (0.5, 0.5), ("7", 7), ("5S", 5)],
)
def test_a_duration_is_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), (0, 0), ("0", 0), ("30s", 30), (0.5, 0.5)])
def test_a_wait_may_be_nothing_at_all(text, seconds):
    assert parse_wait(text) == seconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-1s", "must be 0 or above"),
        ("-0", "must be 0 or above"),
        ("30 s", 'did you mean "30s"?'),
        ("1e999", "at most 100 years"),
        ("soon", "not a"),
    ],
)
def test_what_is_no_wait_is_told_what_is(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_wait(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1MiB", 2**20), ("64KiB", 65536), ("4MB", 4_000_000), ("1.5KiB", 1536), (12, 12), ("12", 12), ("1mib", 2**20)],
)
def test_a_size_is_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5 sec", 'did you mean "5s"?'),
        ("5 s", 'did you mean "5s"?'),
        ("5minutes", 'did you mean "5m"?'),
        ("-1s", "must be above 0"),
        ("0s", "must be above 0"),
        (0, "must be above 0"),
        ("1e999", "at most 100 years"),
        (10**400, "at most 100 years"),
        (float("nan"), "not a duration"),
        ("nan", "(allowed: 5s, 250ms"),
        ("", "not a duration"),
        ("s", "not a duration"),
        ("1_0s", "not a duration"),
        ("٣s", "not a duration"),
        ("5s\n", "not a duration"),
    ],
)
def test_what_is_no_duration_is_told_what_is(text, says):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_duration(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1M", 'did you mean "1MiB"?'),
        ("1 MB", 'did you mean "1MB"?'),
        ("5 bytes", 'did you mean "5B"?'),
        ("0", "at least 1 byte"),
        ("-1KiB", "at least 1 byte"),
        ("1e99", "at most 1024GiB"),
        ("lots", "(allowed: 64KiB"),
    ],
)
def test_what_is_no_size_is_told_what_is(text, says):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_size(text)
    assert says in str(caught.value)


@given(st.floats(1e-6, 1e9))
def test_a_written_duration_is_read_back(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


def test_a_duration_is_written_in_the_unit_that_makes_it_whole():
    assert [format_duration(each) for each in (5, 0.25, 90, 5400, 86400, 0.0001)] == [
        "5s", "250ms", "90s", "90m", "1d", "0.0001s",
    ]  # fmt: skip


@given(st.integers(1, MAX_BYTES))
def test_a_written_size_is_read_back(size):
    assert parse_size(format_size(size)) == size


quantities = st.from_regex(r"-?[0-9]{0,3}(\.[0-9]{0,2})?(e[0-9])?( ?[a-zA-Z]{0,3})?", fullmatch=True)


@given(quantities)
def test_the_routes_schema_shows_editors_the_same_forms(text):
    for name, parse in (("duration", parse_duration), ("size", parse_size), ("wait", parse_wait)):
        refusal = ""
        try:
            parse(text)
        except ValueError as error:
            refusal = str(error)
        # A form with a number out of range is still the form; what the parser does not read, editors mark too.
        readable = "must be" in refusal or "is at most" in refusal or not refusal
        assert readable or not PATTERNS[name].fullmatch(text)
        assert refusal or PATTERNS[name].fullmatch(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("1000/s", 1000), ("60/m", 1), ("1800/h", 0.5), ("0", 0), (0, 0), (5, 5), ("2.5/S", 2.5)]
)
def test_a_rate_is_how_many_a_second(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10/sec", 'did you mean "10/s"?'),
        ("10 per second", 'did you mean "10/s"?'),
        ("60/minutes", 'did you mean "60/m"?'),
        ("-1/s", "must be 0, for no limit, or above"),
        ("1e10/s", "at most 1000000000/s"),
        ("10/d", "(allowed: 1000/s"),
        ("fast", "not a rate"),
    ],
)
def test_what_is_no_rate_is_told_what_is(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_rate(text)
