"""The head of a plain request, and all that is left to Sanic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.websocket.head import LARGEST_HEAD, MOST_FIELDS, read_head

HEAD = b"GET /rooms/blue?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"


def test_a_whole_head_is_read_with_what_comes_behind_it():
    head = read_head(HEAD + b"early")
    assert head is not None
    assert head.text == HEAD[:-4]
    assert head.path == "/rooms/blue"
    assert head.fields == {"host": ["a"], "upgrade": ["websocket"]}
    assert head.early == b"early"


def test_names_are_read_without_case_and_values_without_the_blanks_before_them():
    head = read_head(b"GET / HTTP/1.1\r\nX-One: a\r\nx-ONE:\tb: c\r\nEmpty:\r\n\r\n")
    assert head is not None
    assert head.fields.getall("x-one", []) == ["a", "b: c"]
    assert head.fields.getall("empty", []) == [""]
    assert head.fields.getall("none", ["no"]) == ["no"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD[:-1], id="not yet whole"),
        pytest.param(HEAD.replace(b"GET", b"get"), id="a method in lower case"),
        pytest.param(HEAD.replace(b"GET", b"POST"), id="another method"),
        pytest.param(HEAD.replace(b"1.1", b"1.0"), id="another version"),
        pytest.param(HEAD.replace(b"/rooms", b"//rooms"), id="a path that begins with two slashes"),
        pytest.param(HEAD.replace(b"/rooms", b"http://a/rooms"), id="absolute form"),
        pytest.param(HEAD.replace(b"/rooms/blue", b"*"), id="asterisk form"),
        pytest.param(HEAD.replace(b"x=1", b"#x"), id="a fragment"),
        pytest.param(HEAD.replace(b"blue", b"bl ue"), id="a blank in the path"),
        pytest.param(HEAD.replace(b"blue", b"bl\xc3\xbce"), id="a path beyond ASCII"),
        pytest.param(HEAD.replace(b": a", b": \xe9"), id="a value beyond ASCII"),
        pytest.param(HEAD.replace(b": a", b" : a"), id="a blank before the colon"),
        pytest.param(HEAD.replace(b": a", b": a\r\n b"), id="a folded line"),
        pytest.param(HEAD.replace(b": a", b": a\nb: c"), id="a bare line feed"),
        pytest.param(HEAD.replace(b": a", b": a\rb: c"), id="a bare carriage return"),
        pytest.param(HEAD.replace(b": a", b": a\0"), id="a null"),
        pytest.param(HEAD.replace(b": a", b""), id="a line without a colon"),
        pytest.param(HEAD.replace(b"Host", b"Content-Length"), id="a length"),
        pytest.param(HEAD.replace(b"Host", b"Transfer-encoding"), id="a coding"),
        pytest.param(HEAD.replace(b"Host", b"EXPECT"), id="an expectation"),
        pytest.param(HEAD.replace(b": a", b": " + b"a" * LARGEST_HEAD), id="too large"),
        pytest.param(HEAD.replace(b": a", b": a" + b"\r\nx:" * MOST_FIELDS), id="too many fields"),
    ],
)
def test_what_is_not_plain_is_left_to_sanic(data):
    assert read_head(data) is None


@given(st.binary(max_size=200))
def test_bytes_that_were_made_up_are_never_an_error(data):
    assert read_head(data) is None or data.startswith(b"GET /")


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z-]{1,9}", fullmatch=True),
            st.from_regex(r"([!-~]|[!-~][ -~]*[!-~])?", fullmatch=True),
        )
    )
)
def test_what_was_written_is_what_is_read(pairs):
    lines = "".join(f"\r\nX-{name}: {value}" for name, value in pairs)
    head = read_head(f"GET /a HTTP/1.1{lines}\r\n\r\n".encode())
    assert head is not None
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        expected.setdefault(f"x-{name.lower()}", []).append(value)
    assert head.fields == expected
