"""Frames from server to client, read back by the `websockets` library."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.streams import StreamReader

from signalpost.websocket.frames import (
    MAX_CONTROL_PAYLOAD,
    CloseCode,
    Opcode,
    encode_close,
    encode_frame,
    may_be_sent,
)

FORBIDDEN_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]
ALLOWED_CODES = [*range(1000, 1004), *range(1007, 1015), 3000, 4008, 4999]


def read_back(data):
    """Read one frame that is neither masked nor fragmented, and nothing behind it."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as stop:
        next(parsing)
    frame = stop.value.value
    assert not reader.buffer
    assert frame.fin
    assert (frame.rsv1, frame.rsv2, frame.rsv3) == (False, False, False)
    return frame.opcode, bytes(frame.data)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_a_frame_of_any_size_is_read_back_whole(opcode, size):
    payload = bytes(range(256)) * (size // 256 + 1)
    assert read_back(encode_frame(opcode, payload[:size])) == (opcode, payload[:size])


@pytest.mark.parametrize(("size", "header"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_a_length_takes_its_shortest_form(size, header):
    assert len(encode_frame(Opcode.BINARY, bytes(size))) == header + size


def test_the_documented_example_is_true():
    assert encode_frame(Opcode.TEXT, b"hi") == bytes.fromhex("81 02 68 69")


class TestCloseCodes:
    @pytest.mark.parametrize("code", ALLOWED_CODES)
    def test_a_code_that_may_be_sent_is_sent(self, code):
        assert may_be_sent(code)
        assert read_back(encode_close(code, "why")) == (Opcode.CLOSE, code.to_bytes(2, "big") + b"why")

    @pytest.mark.parametrize("code", FORBIDDEN_CODES)
    def test_a_code_that_must_not_be_sent_is_known(self, code):
        assert not may_be_sent(code)

    @pytest.mark.parametrize("code", [*(set(FORBIDDEN_CODES) - {CloseCode.NO_STATUS}), -1, 100_000])
    def test_a_code_that_must_not_be_sent_is_refused_with_those_that_may(self, code):
        with pytest.raises(ValueError, match=rf"close code {code} must not be sent \(allowed: 1000 to 1014"):
            encode_close(code)

    def test_no_status_is_a_close_frame_without_a_body(self):
        assert read_back(encode_close(CloseCode.NO_STATUS, "not sent")) == (Opcode.CLOSE, b"")

    def test_the_servers_own_codes_may_be_sent(self):
        assert may_be_sent(CloseCode.TOO_SLOW)
        assert may_be_sent(CloseCode.KICKED)


@given(st.text(max_size=200))
@example("é" * 61 + "xé")
@example("😀" * 31)
def test_a_reason_is_cut_at_a_character_and_never_more_than_needed(reason):
    opcode, body = read_back(encode_close(1000, reason))
    sent = body[2:].decode()
    assert opcode == Opcode.CLOSE
    assert len(body) <= MAX_CONTROL_PAYLOAD
    assert reason.startswith(sent)
    if sent != reason:
        following = reason[len(sent)].encode()
        assert len(body) + len(following) > MAX_CONTROL_PAYLOAD
