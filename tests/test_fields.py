"""Header fields and queries as handlers and templates see them."""

import pytest

from signalpost.events import HandshakeRequest
from signalpost.fields import join_fields, read_query


def test_a_field_that_stands_several_times_is_one_list_in_its_order():
    fields = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("Host", "x"),
        ("x-forwarded-for", " 10.0.0.7\t"),
        ("X-FORWARDED-FOR", ""),
    ]
    assert join_fields(fields) == {"x-forwarded-for": "6.6.6.6, 10.0.0.7, ", "host": "x"}


def test_cookies_are_one_line():
    assert join_fields([("Cookie", "a=1"), ("cookie", "b=2; c=3")]) == {"cookie": "a=1; b=2; c=3"}


def test_the_snapshot_of_a_handshake_shows_all_values():
    head = b"GET /a?x=1&x=2&y HTTP/1.1\r\nVia: 1.1 a\r\nHost: x\r\nvia:1.1 b"
    request = HandshakeRequest(head, ("", 0))
    assert request.headers == {"via": "1.1 a, 1.1 b", "host": "x"}
    assert request.query == {"x": "1", "y": ""}


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", {}),
        ("q=", {"q": ""}),
        ("a=1&b=%20+&a=2", {"a": "1", "b": "  "}),
        ("&&a&", {"a": ""}),
        ("&".join(f"p{number}=x" for number in range(5_000)), {f"p{number}": "x" for number in range(100)}),
    ],
)
def test_of_a_query_the_first_value_of_each_of_the_first_parameters_is_read(text, query):
    assert read_query(text) == query
