"""When a feed that is away is tried again."""

from datetime import UTC, datetime

import pytest

from signalpost.feeds.pace import Backoff, seconds_asked

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("chance", "waits"),
    [
        (0.0, [0.5] * 8),
        (1.0, [2, 4, 8, 16, 32, 60, 60, 60]),
        (0.5, [1.25, 2.25, 4.25, 8.25, 16.25, 30.25, 30.25, 30.25]),
    ],
)
def test_a_wait_is_anywhere_up_to_a_bound_that_doubles(chance, waits):
    backoff = Backoff(lambda: chance)
    assert [backoff.next() for _ in waits] == waits
    backoff.reset()
    assert backoff.next() == waits[0]


def test_what_a_server_asks_for_comes_first_and_is_an_hour_at_most():
    assert Backoff(lambda: 1.0).next(30) == 32
    assert Backoff(lambda: 0.0).next(10**9) == 3600.5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 400, 999_999_999),
        ("Tue, 01 Jan 2030 12:00:30 GMT", 30),
        ("Tue, 01 Jan 2030 12:00:30 -0000", 30),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("", 0),
        ("٣", 0),
        (f"Tue, {'1' * 25} Jan 2030 12:00:30 GMT", 0),
        ("Tue, 01 Jan 99999 12:00:30 GMT", 0),
    ],
)
def test_the_header_retry_after_is_seconds_or_a_date(header, seconds):
    assert seconds_asked(header, NOW) == seconds
