"""The negotiation of permessage-deflate, rule by rule of RFC 7692 section 7.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from signalpost.delivery.deflate import Agreement
from signalpost.serving.extensions import agree

NAME = "permessage-deflate"
PLAIN = (Agreement(15, 15, True), "")
TAKEN = [
    ("no parameters", NAME, PLAIN),
    ("7.1.1.1: the server does so anyway", f"{NAME}; server_no_context_takeover", PLAIN),
    (
        "7.1.1.2: the client gives its context up",
        f"{NAME}; client_no_context_takeover",
        (Agreement(15, 15, False), "; client_no_context_takeover"),
    ),
    (
        "7.1.2.1: the server's window",
        f"{NAME}; server_max_window_bits=10",
        (Agreement(10, 15, True), "; server_max_window_bits=10"),
    ),
    (
        "7.1.2.1: the largest",
        f"{NAME}; server_max_window_bits=15",
        (Agreement(15, 15, True), "; server_max_window_bits=15"),
    ),
    (
        "7.1.2.2: the client may be asked for any window",
        f"{NAME}; client_max_window_bits",
        (Agreement(15, 12, True), "; client_max_window_bits=12"),
    ),
    (
        "7.1.2.2: or for one up to a size above ours",
        f"{NAME}; client_max_window_bits=15",
        (Agreement(15, 12, True), "; client_max_window_bits=12"),
    ),
    (
        "7.1.2.2: or below",
        f"{NAME}; client_max_window_bits=8",
        (Agreement(15, 8, True), "; client_max_window_bits=8"),
    ),
    (
        "all together, in another order",
        f"{NAME}; client_max_window_bits=9; server_max_window_bits=9; client_no_context_takeover",
        (Agreement(9, 9, False), "; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9"),
    ),
    (
        "RFC 6455, 9.1: quotes",
        f'{NAME}; server_max_window_bits="1\\0"',
        (Agreement(10, 15, True), "; server_max_window_bits=10"),
    ),
    (
        "RFC 6455, 9.1: white space, or none",
        f"  {NAME};server_max_window_bits = 10;client_no_context_takeover  ",
        (Agreement(10, 15, False), "; client_no_context_takeover; server_max_window_bits=10"),
    ),
    ("5.1: the first of several", f"{NAME}, {NAME}; server_max_window_bits=10", PLAIN),
    (
        "5.1: the second, where the first is declined",
        f"{NAME}; unheard_of, {NAME}; server_max_window_bits=10",
        (Agreement(10, 15, True), "; server_max_window_bits=10"),
    ),
    ("other extensions are passed over", f'x-webkit-deflate-frame; a="b, {NAME}", {NAME}', PLAIN),
    ("empty places in the list", f", ,{NAME},", PLAIN),
]
DECLINED = [
    ("another extension", "permessage-bzip2"),
    ("another extension's parameter", f"x; {NAME}"),
    ("nothing", ""),
    ("only a comma", ","),
    ("7.1: a parameter that is unknown", f"{NAME}; unheard_of"),
    ("7.1: one that is given twice", f"{NAME}; client_no_context_takeover; client_no_context_takeover"),
    ("7.1: twice with different values", f"{NAME}; server_max_window_bits=10; server_max_window_bits=11"),
    ("7.1.1.1: a value where there is none", f"{NAME}; server_no_context_takeover=true"),
    ("7.1.1.2: an empty value", f'{NAME}; client_no_context_takeover=""'),
    ("7.1.2.1: no value", f"{NAME}; server_max_window_bits"),
    ("7.1.2.1: what zlib does not have", f"{NAME}; server_max_window_bits=8"),
    *(
        (f"7.1.2: {name}={value}", f"{NAME}; {name}={value}")
        for name in ("server_max_window_bits", "client_max_window_bits")
        for value in ("7", "16", "08", "010", "+9", "-9", "9.0", "x", '""', "100000000000000000000", "\u0661\u0660")
    ),
    ("no name behind the semicolon", f"{NAME};"),
    ("no name between semicolons", f"{NAME};; client_no_context_takeover"),
    ("no value behind the sign", f"{NAME}; server_max_window_bits="),
    ("two words", f"{NAME} client_no_context_takeover"),
    ("quotes that do not end", f'{NAME}; server_max_window_bits="10'),
    ("quotes that swallow the next offer", f'{NAME}; server_max_window_bits="10, {NAME}'),
    ("quotes around nothing known", f'"{NAME}"'),
]


@pytest.mark.parametrize(("what", "header", "expected"), TAKEN)
def test_an_offer_is_taken_and_answered(what, header, expected):
    agreement, answer = agree([header])
    assert agreement == expected[0]
    assert answer == f"{NAME}; server_no_context_takeover{expected[1]}"


@pytest.mark.parametrize(("what", "header"), DECLINED)
def test_an_offer_is_declined_without_an_error(what, header):
    assert agree([header]) is None
    assert agree([header, NAME])[0] == Agreement() if '"10' not in header else True


def test_several_headers_are_one_list():
    assert agree([]) is None
    assert agree(["x", f"{NAME}; unheard_of", NAME]) == agree([NAME])


@given(st.text(alphabet='permsag-dflt;,="\\ 189_x\n', max_size=120) | st.text(max_size=60))
def test_no_header_at_all_is_an_error(header):
    agree([header])
    agree([f"{NAME}; {header}"])


@pytest.mark.parametrize("evil", ['"', '\\"', '"\\', ";", ",", " ", "=", "a;", '";', '",'])
def test_a_long_header_is_read_in_one_go(evil):
    assert agree([f"{NAME}; " + evil * 4_000]) is None  # quadratic time would be seconds


@given(
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(9, 15),
    st.none() | st.just(True) | st.integers(9, 15),
)
def test_a_client_takes_every_answer(server_no_takeover, client_no_takeover, server_bits, client_bits):
    factory = ClientPerMessageDeflateFactory(server_no_takeover, client_no_takeover, server_bits, client_bits)
    agreement, answer = agree([build_extension([(factory.name, factory.get_request_params())])])
    ((name, parameters),) = parse_extension(answer)
    assert name == NAME
    extension = factory.process_response_params(parameters, [])  # it raises where the answer is against the RFC
    assert extension.remote_no_context_takeover
    assert extension.local_no_context_takeover is (client_no_takeover or not agreement.client_takes_over)
    assert extension.remote_max_window_bits == agreement.server_window
    assert extension.local_max_window_bits == agreement.client_window
