"""Sec-WebSocket-Extensions by RFC 6455 section 9.1, and permessage-deflate's negotiation by RFC 7692 section 7.1."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.headers import build_extension, parse_extension

from signalpost.websocket.deflate import RSV1, Agreement, Deflaters, Inflater
from signalpost.websocket.extensions import Extension, MalformedError, agree, read_extensions
from signalpost.websocket.frames import Opcode, encode_frame
from signalpost.websocket.reader import FrameReader

NAME = "permessage-deflate"
ALWAYS = "server_no_context_takeover"
NOISE = random.Random(7692).randbytes(3_000)  # found again in a window of 4 KiB, and not in one of 512 bytes
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
    ("other extensions are passed over", f'x-webkit-deflate-frame; a="b"; c, {NAME}', PLAIN),
    ("empty places in the list", f", ,{NAME},", PLAIN),
]
DECLINED = [
    ("another extension", "permessage-bzip2"),
    ("another extension's parameter", f"x; {NAME}"),
    ("its name in another case", "Permessage-Deflate"),
    ("7.1: a parameter that is unknown", f"{NAME}; unheard_of"),
    ("7.1: one whose name has another case", f"{NAME}; Client_no_context_takeover"),
    ("7.1: one that is given twice", f"{NAME}; client_no_context_takeover; client_no_context_takeover"),
    ("7.1: twice with different values", f"{NAME}; server_max_window_bits=10; server_max_window_bits=11"),
    ("7.1: an unknown one that is given twice", f"{NAME}; x; x"),
    ("7.1.1.1: a value where there is none", f"{NAME}; server_no_context_takeover=true"),
    ("7.1.1.2: a value where there is none", f'{NAME}; client_no_context_takeover="0"'),
    ("7.1.2.1: no value", f"{NAME}; server_max_window_bits"),
    ("7.1.2.1: what zlib does not have", f"{NAME}; server_max_window_bits=8"),
    *(
        (f"7.1.2: {name}={value}", f"{NAME}; {name}={value}")
        for name in ("server_max_window_bits", "client_max_window_bits")
        for value in ("7", "16", "08", "010", "+9", "-9", "9.0", "x", "100000000000000000000", '"0\\9"')
    ),
]
MALFORMED = [
    ("nothing at all", ""),
    ("only white space", " \t "),
    ("only empty places", ", ,"),
    ("no name behind the semicolon", f"{NAME};"),
    ("no name between semicolons", f"{NAME};; client_no_context_takeover"),
    ("no name before the semicolon", "; client_no_context_takeover"),
    ("no name before the sign", f"{NAME}; =10"),
    ("no value behind the sign", f"{NAME}; server_max_window_bits="),
    ("a value of an extension", f"{NAME}=10"),
    ("two words", f"{NAME} client_no_context_takeover"),
    ("two words of a value", f"{NAME}; server_max_window_bits=1 0"),
    ("two signs", f"{NAME}; server_max_window_bits=1=0"),
    ("a separator in a name", "per/message"),
    ("a separator in a parameter", f"{NAME}; a(b)"),
    ("a character that is not ASCII", f"{NAME}; server_max_window_bits=\u0661\u0660"),
    ("white space that is not ASCII", f"{NAME};\u00a0client_no_context_takeover"),
    ("a line break", f"{NAME};\n client_no_context_takeover"),
    ("a line break at the end", f"{NAME}\n"),
    ("quotes that do not begin", f'{NAME}; server_max_window_bits=10"'),
    ("quotes that do not end", f'{NAME}; server_max_window_bits="10'),
    ("quotes that end escaped", f'{NAME}; server_max_window_bits="10\\"'),
    ("quotes within a value", f'{NAME}; server_max_window_bits=1"0"'),
    ("quotes around no token: nothing", f'{NAME}; client_no_context_takeover=""'),
    ("quotes around no token: a space", f'{NAME}; server_max_window_bits=" 10"'),
    ("quotes around no token: a comma", f'x; a="b,c", {NAME}'),
    ("quotes around no token: a semicolon", 'x; a="b;c"'),
    ("quotes around no token: an escaped quote", 'x; a="b\\"c"'),
    ("quotes around a name", f'"{NAME}"'),
    ("a backslash outside of quotes", f"{NAME}; server_max_window_bits=1\\0"),
]


@pytest.mark.parametrize(("what", "header", "expected"), TAKEN)
def test_an_offer_is_taken_and_answered(what, header, expected):
    agreement, answer = agree(read_extensions([header]))
    assert agreement == expected[0]
    assert answer == f"{NAME}; server_no_context_takeover{expected[1]}"


@pytest.mark.parametrize(("what", "header"), DECLINED)
def test_an_offer_is_declined_without_an_error(what, header):
    assert agree(read_extensions([header])) is None
    assert agree(read_extensions([header, NAME]))[0] == Agreement()


@pytest.mark.parametrize(("what", "header"), MALFORMED, ids=[what for what, _ in MALFORMED])
def test_a_header_that_is_not_of_the_grammar_is_malformed_whatever_else_is_offered(what, header):
    with pytest.raises(MalformedError):
        read_extensions([header])
    if header.strip(", \t"):
        with pytest.raises(MalformedError):
            read_extensions([NAME, header])


def test_several_headers_are_one_list():
    assert agree(read_extensions([])) is None
    assert read_extensions(["x", f"{NAME}; unheard_of", "", NAME]) == read_extensions(
        [f"x, {NAME}; unheard_of, {NAME}"]
    )


def test_an_offer_is_read_with_its_parameters_in_their_order():
    assert read_extensions(['a; b=1 ;c,a;b="2"; b = "\\x\\y"']) == (
        Extension("a", (("b", "1"), ("c", None))),
        Extension("a", (("b", "2"), ("b", "xy"))),
    )


def test_a_malformed_header_is_quoted_where_it_is_malformed():
    with pytest.raises(MalformedError, match="'b; =1' where an extension is expected"):
        read_extensions(["a, b; =1"])


def test_of_3_500_offers_only_the_first_are_read():
    assert len(read_extensions(["a," * 3_500])) == 32
    assert len(read_extensions(["a"] * 100 + ["b," * 100])) == 32
    assert agree(read_extensions([f"{NAME}, " + "a," * 3_500])) == (Agreement(15, 15, True), f"{NAME}; {ALWAYS}")
    assert agree(read_extensions(["a," * 3_500 + NAME])) is None


def test_an_offer_of_more_parameters_than_there_are_is_malformed():
    assert len(read_extensions([NAME + ";a" * 16])[0].parameters) == 16
    with pytest.raises(MalformedError):
        read_extensions([NAME + ";a" * 17])


TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=5)
SPACE = st.sampled_from(["", " ", "\t", "  "])


@given(
    st.lists(
        st.builds(Extension, TOKENS, st.lists(st.tuples(TOKENS, st.none() | TOKENS), max_size=3).map(tuple)),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_however_a_list_is_written_it_is_read_as_it_was_meant(offers, data):
    def space():
        return data.draw(SPACE)

    def written(value):
        if data.draw(st.booleans()):
            return value
        return '"' + "".join(data.draw(st.sampled_from(["", "\\"])) + character for character in value) + '"'

    items = []
    for offer in offers:
        items += [""] * data.draw(st.integers(0, 1))
        items.append(space() + offer.name)
        for name, value in offer.parameters:
            items[-1] += f"{space()};{space()}{name}"
            items[-1] += "" if value is None else f"{space()}={space()}{written(value)}"
        items[-1] += space()
    cut = data.draw(st.integers(0, len(items) - 1))
    assert read_extensions([",".join(part) for part in (items[:cut], items[cut:]) if part]) == tuple(offers)


@given(st.text(alphabet='permsag-dflt;,="\\ 189_x\n', max_size=120) | st.text(max_size=60))
def test_no_header_at_all_is_another_error(header):
    for text in (header, f"{NAME}; {header}"):
        with contextlib.suppress(MalformedError):
            agree(read_extensions([text]))


@pytest.mark.parametrize(
    "evil", ['"', '\\"', '"\\', ";", ",", " ", "=", "a;", ";a", "; a=b ", ";a=", '";', '",', ' ; a="']
)
def test_a_long_header_is_read_in_one_go(evil):
    with contextlib.suppress(MalformedError):
        assert agree(read_extensions([f"{NAME}; " + evil * 4_000])) is None  # quadratic time would be seconds


@given(
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(9, 15),
    st.none() | st.just(True) | st.integers(9, 15),
)
def test_a_client_takes_every_answer(server_no_takeover, client_no_takeover, server_bits, client_bits):
    factory = ClientPerMessageDeflateFactory(server_no_takeover, client_no_takeover, server_bits, client_bits)
    agreement, answer = agree(read_extensions([build_extension([(factory.name, factory.get_request_params())])]))
    ((name, parameters),) = parse_extension(answer)
    assert name == NAME
    extension = factory.process_response_params(parameters, [])  # it raises where the answer is against the RFC
    assert extension.remote_no_context_takeover
    assert extension.local_no_context_takeover is (client_no_takeover or not agreement.client_takes_over)
    assert extension.remote_max_window_bits == agreement.server_window
    assert extension.local_max_window_bits == agreement.client_window


WIRE = [b"", b"short", b"the same again, " * 40, NOISE, NOISE, b"the same again, " * 40, b"\xff" * 70_000]


@pytest.mark.parametrize("client_bits", [None, True, 9, 12, 15])
@pytest.mark.parametrize("server_bits", [None, 9, 12, 15])
@pytest.mark.parametrize("client_no_takeover", [True, False])
@pytest.mark.parametrize("server_no_takeover", [True, False])
def test_whatever_is_agreed_on_both_sides_read_one_another(
    server_no_takeover, client_no_takeover, server_bits, client_bits
):
    factory = ClientPerMessageDeflateFactory(server_no_takeover, client_no_takeover, server_bits, client_bits)
    agreement, answer = agree(read_extensions([build_extension([(factory.name, factory.get_request_params())])]))
    assert agreement.server_window == (server_bits or 15)
    assert agreement.client_window == (
        15 if client_bits is None else 12 if client_bits is True else min(client_bits, 12)
    )
    assert agreement.client_takes_over is not client_no_takeover
    client = factory.process_response_params(parse_extension(answer)[0][1], [])
    reader = FrameReader(100_000, Inflater(agreement))
    deflate = Deflaters().of(6, 0, agreement.server_window)
    for payload in WIRE:
        sent = Frame(FrameOpcode.BINARY, payload).serialize(mask=True, extensions=[client])
        assert reader.feed(sent) == [(Opcode.BINARY, payload)]
        frame = deflate(encode_frame(Opcode.BINARY, payload))
        start = {126: 4, 127: 10}.get(frame[1], 2)
        got = client.decode(Frame(FrameOpcode.BINARY, frame[start:], rsv1=bool(frame[0] & RSV1)))
        assert bytes(got.data) == payload
