"""Where a client's token stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.auth.sources import find_token
from signalpost.config.authmodel import AuthConfig, TokenPlace
from signalpost.errors import UnauthorizedError
from signalpost.events import HandshakeRequest

ALL = AuthConfig(places=tuple(TokenPlace), cookie="token")
BEARER = "signalpost.bearer."


def found(config=ALL, *, authorization=(), cookies=(), protocols=(), query=""):
    fields = {"Authorization": authorization, "Cookie": cookies, "Sec-WebSocket-Protocol": protocols}
    lines = [f"{name}: {value}" for name, values in fields.items() for value in values]
    head = "\r\n".join([f"GET /room?{query} HTTP/1.1", "Host: here", *lines])
    shown = find_token(HandshakeRequest(head.encode(), ("", 0)), config)
    return None if shown is None else shown.text


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER abc", "abc"),
        ("Bearer   abc  ", "abc"),
        ("Bearer a b", "a b"),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Basic abc", None),
        ("Bearerabc", None),
        ("", None),
        ("Token abc", None),
    ],
)
def test_a_header_holds_a_token_by_the_scheme_bearer(value, token):
    assert found(authorization=[value]) == token


def test_two_authorization_headers_are_refused_whatever_they_hold():
    for values in (["Bearer a", "Bearer a"], ["Basic a", "Bearer b"], ["Bearer a", ""]):
        with pytest.raises(UnauthorizedError, match="several Authorization headers"):
            found(authorization=values)


def test_they_are_not_looked_at_where_the_header_does_not_count():
    config = AuthConfig(places=(TokenPlace.PROTOCOL,))
    assert found(config, authorization=["Bearer a", "Bearer b"], protocols=[f"{BEARER}c"]) == "c"


@pytest.mark.parametrize(
    ("cookies", "token"),
    [
        (["token=abc"], "abc"),
        (["a=1; token=abc; b=2"], "abc"),
        (["a=1;token=abc"], "abc"),
        (['token="abc"'], "abc"),
        (['token="'], '"'),
        (["token=a=b"], "a=b"),
        (["token="], ""),
        (["token=first; token=second"], "first"),
        (["a=1", "token=abc"], "abc"),
        (["Token=abc"], None),
        (["xtoken=abc"], None),
        (["token"], None),
        (["a=token=abc"], None),
        (["; ;token=abc"], "abc"),
        ([""], None),
    ],
)
def test_a_cookie_holds_a_token_by_its_name_and_the_first_counts(cookies, token):
    assert found(cookies=cookies) == token


@pytest.mark.parametrize(
    ("query", "token"),
    [
        ("token=abc", "abc"),
        ("a=1&token=abc", "abc"),
        ("token=", ""),
        ("Token=abc", None),
        ("tok%65n=a%2Eb", "a.b"),
        ("", None),
    ],
)
def test_a_query_holds_a_token_where_the_file_says_so(query, token):
    assert found(query=query) == token
    assert found(AuthConfig(cookie="token"), query=query) is None


def test_several_tokens_at_one_place_are_refused():
    with pytest.raises(UnauthorizedError, match="several tokens"):
        found(query="token=a&token=a")
    with pytest.raises(UnauthorizedError, match="several tokens"):
        found(protocols=[f"{BEARER}a", f"{BEARER}b"])


def test_a_subprotocol_holds_a_token_among_those_that_a_client_offers():
    assert found(protocols=["signalpost.v1", f"{BEARER}a.b.c", "chat"]) == "a.b.c"
    assert found(protocols=[f"signalpost.v1, {BEARER}a.b.c ,chat"]) == "a.b.c"


def test_the_first_place_that_holds_a_token_counts_even_if_the_token_is_not_good():
    shown = {
        "authorization": ["Bearer bad"],
        "protocols": [f"{BEARER}p"],
        "cookies": ["token=c"],
        "query": "token=q",
    }
    expected = {"authorization": "bad", "protocols": "p", "cookies": "c", "query": "q"}
    for place in list(shown):
        assert found(**shown) == expected[place]
        del shown[place]
    assert found() is None
    assert found(authorization=["Bearer "], cookies=["token=c"]) == ""


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_request_breaks_the_search(authorization, cookie, query):
    token = found(authorization=[authorization], cookies=[cookie], query=query.replace("&", ""))
    assert token is None or isinstance(token, str)
