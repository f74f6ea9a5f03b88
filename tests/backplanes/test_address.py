"""Addresses of a Redis: what is read of them, what is said about wrong ones, and that no password is shown."""

import pytest

from signalpost.backplanes.backoff import FIRST, LAST, STEADY, Backoff
from signalpost.backplanes.backplane import RefusedError
from signalpost.backplanes.redis import RedisBackplane
from signalpost.backplanes.redisaddress import read_address

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "shown", "options"),
    [
        ("redis://localhost", "redis://localhost:6379/0", {"host": "localhost", "port": 6379}),
        ("redis://10.0.0.5:7000/3", "redis://10.0.0.5:7000/3", {"host": "10.0.0.5", "port": 7000}),
        ("redis://[::1]:7000", "redis://[::1]:7000/0", {"host": "::1", "port": 7000}),
        (f"redis://:{SECRET}@h", "redis://h:6379/0", {"password": SECRET, "host": "h", "port": 6379}),
        (
            "redis://us%40er:p%2F%23%40%3F@h",
            "redis://h:6379/0",
            {"username": "us@er", "password": "p/#@?", "host": "h", "port": 6379},
        ),
        (
            "rediss://h/2?ssl_ca_certs=/ca.pem&ssl_check_hostname=no",
            "rediss://h:6379/2",
            {"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False, "host": "h", "port": 6379},
        ),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=0", {"path": "/run/redis.sock"}),
        (f"unix://:{SECRET}@/r.sock?db=4", "unix:///r.sock?db=4", {"password": SECRET, "path": "/r.sock"}),
    ],
)
def test_an_address_is_read_and_shown_without_user_and_password(url, shown, options):
    address = read_address(url)
    assert str(address) == shown
    assert address.options == options
    assert address.database == int(shown[-1])
    assert SECRET not in repr(address) + repr(RedisBackplane(url, "app"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"http://:{SECRET}@h", 'unknown scheme "http"'),
        (f"redis://:{SECRET}@", "there is no host"),
        (f"redis://:{SECRET}@h:port", "the host or the port cannot be read"),
        (f"redis://:{SECRET}/x@h", "%2F"),
        (f"redis://:x/{SECRET}@h", "%2F"),
        (f"redis://:x#{SECRET}@h", "%23"),
        (f"redis://:x?{SECRET}=1@h", "%3F"),
        (f"redis://user:1?{SECRET}=1@h", "%3F"),
        (f"redis://h?x={SECRET}", 'unknown option "x"'),
        ("rediss://h?ssl_ca_cert=x", 'did you mean "ssl_ca_certs"?'),
        ("rediss://h?ssl_cert_reqs=maybe", "none, optional or required"),
        (f"redis://{SECRET}@h", "there is a user and no password"),
        ("redis://h/x", "the database is a number"),
        ("unix://run/redis.sock", "begins behind unix://, with a /"),
        ("unix:///r?db=x", "the database is a number"),
    ],
)
def test_a_wrong_address_is_told_with_what_is_allowed_and_without_a_secret(url, told):
    with pytest.raises(RefusedError) as raised:
        read_address(url)
    assert told in str(raised.value)
    assert SECRET not in str(raised.value)
    assert "redis://[user:password@]host[:port][/database]" in str(raised.value)


def test_a_server_that_is_away_is_tried_after_random_seconds_whose_bound_grows_until_it_was_steady(make_clock):
    clock = make_clock()
    chances = iter([1.0, 0.0] * 10)
    backoff = Backoff(lambda: next(chances), clock)
    waits = [backoff.next() for _ in range(8)]
    assert waits[:4] == [FIRST, FIRST, 4 * FIRST, 4 * FIRST]
    assert waits[6:] == [LAST, LAST / 2]
    backoff.connected()
    clock.advance(STEADY - 1)
    assert backoff.next() == LAST
    backoff.connected()
    clock.advance(STEADY)
    assert backoff.next() == FIRST / 2
