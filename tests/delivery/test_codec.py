"""The encodings of a server: which subprotocol goes first, and who reads what."""

import pytest

from signalpost.delivery.codec import PLAIN, V1, Codec, Encodings
from signalpost.delivery.publication import Publication, RawPublication
from signalpost.websocket.frames import CloseCode, Opcode, encode_frame


class Shouting(Codec):
    name = "shouting"


@pytest.mark.parametrize(
    ("protocols", "preferred"),
    [
        ((), ("signalpost.v1", "shouting")),
        (("bearer",), ("signalpost.v1", "shouting", "bearer")),
        (("bearer", "signalpost.v1"), ("shouting", "bearer", "signalpost.v1")),
    ],
)
def test_subprotocols_with_a_codec_go_first_unless_a_signal_says_otherwise(protocols, preferred):
    assert Encodings([Shouting()]).preferred(protocols) == preferred


def test_a_subprotocol_without_a_codec_is_a_plain_clients():
    encodings = Encodings()
    assert (encodings.of(""), encodings.of("bearer"), encodings.of("signalpost.v1")) == (PLAIN, PLAIN, V1)


def test_clients_of_equal_parameters_have_one_encoding():
    encodings, deflate = Encodings(), bytes.upper
    assert encodings.of("signalpost.v1", deflate) is encodings.of("signalpost.v1", deflate)
    assert encodings.of("", deflate) is not encodings.of("signalpost.v1", deflate)
    assert encodings.of("", deflate).codec is PLAIN.codec


def test_a_value_is_bare_for_the_one_and_in_an_envelope_for_the_other():
    publication = Publication("hi", "/chat")
    assert publication.encoded(PLAIN) == encode_frame(Opcode.TEXT, b"hi")
    assert publication.encoded(V1) == encode_frame(Opcode.TEXT, b'{"signal":{"path":"/chat","value":"hi"}}')


def test_a_raw_frame_is_the_same_bytes_for_all():
    publication = RawPublication(Opcode.BINARY, b"hi", "/chat")
    assert publication.encoded(V1) is publication.encoded(PLAIN)
    assert publication.encoded(PLAIN) == encode_frame(Opcode.BINARY, b"hi")


@pytest.mark.parametrize(
    ("code", "plain"),
    [
        (CloseCode.RESTART, CloseCode.GOING_AWAY),
        (CloseCode.TRY_AGAIN_LATER, CloseCode.SERVER_ERROR),
        (CloseCode.TOO_BIG, CloseCode.TOO_BIG),
    ],
)
def test_a_plain_client_is_closed_with_codes_of_the_rfc(code, plain):
    assert (PLAIN.codec.close_code(code), V1.codec.close_code(code)) == (plain, code)
