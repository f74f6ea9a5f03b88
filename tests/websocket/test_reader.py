"""Frames from client to server, against RFC 6455: what is read, what is refused, and how early."""

import tracemalloc
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame

from signalpost.websocket.frames import Opcode
from signalpost.websocket.reader import FrameReader

LIMIT = 70_000
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"  # of the examples in RFC 6455 section 5.7
EURO, SMILE = "€".encode(), "😀".encode()


def frame(opcode, payload=b"", *, fin=True, rsv=0, masked=True, key=KEY, length=None, form=None):
    """Encode a client's frame.

    Args:
        opcode: even if it is reserved.
        payload: before masking.
        fin: whether the message ends here.
        rsv: the three reserved bits.
        masked: whether the payload is masked.
        key: to mask with.
        length: announced, where that is not the payload's.
        form: bytes of the extended length (0, 2 or 8), where that is not the shortest form.

    """
    length = len(payload) if length is None else length
    if form is None:
        form = 0 if length < 126 else 2 if length < 65_536 else 8
    short = {0: length, 2: 126, 8: 127}[form]
    header = bytes((fin << 7 | rsv << 4 | opcode, masked << 7 | short)) + (
        length.to_bytes(form, "big") if form else b""
    )
    if not masked:
        return header + payload
    return header + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def long_frame(opcode, payload, **options):
    """Do the same for long payloads, fast."""
    return (
        frame(opcode, length=len(payload), **options) + frame(0, payload)[-len(payload) :] if payload else frame(opcode)
    )


def header_of(opcode, length, **options):
    """Encode a frame's header up to its length: not even the mask has come."""
    return frame(opcode, length=length, **options)[:-4]


def close_body(code, reason=b""):
    return code.to_bytes(2, "big") + reason


def read(data, *, limit=LIMIT, cuts=()):
    """Feed a stream cut into pieces; give what was received, and the error's code or None."""
    reader = FrameReader(limit)
    received, start = [], 0
    for stop in [*cuts, len(data)]:
        received += reader.feed(data[start:stop])
        start = stop
    return received, reader.error and reader.error.code


def read_bytewise(data, *, limit=LIMIT):
    """Feed byte by byte until an error; give what was received, the error's code, and how many bytes it took."""
    reader = FrameReader(limit)
    received = []
    for index in range(len(data)):
        received += reader.feed(data[index : index + 1])
        if reader.error is not None:
            return received, reader.error.code, index + 1
    return received, None, len(data)


# What is read

SIZES = st.one_of(
    st.integers(0, 140),
    st.sampled_from([125, 126, 127, 65_535, 65_536, LIMIT - 1, LIMIT]),
)


@st.composite
def payloads(draw, *, text):
    size = draw(SIZES)
    if not text:
        return (draw(st.binary(min_size=1, max_size=8)) * (size + 1))[:size]
    pattern = draw(st.text(min_size=1, max_size=6))
    characters = (pattern * size).encode()[:size].decode(errors="ignore").encode()
    return characters.ljust(size, b".")


@st.composite
def control_frames(draw):
    """Give a ping or a pong as bytes, with what is to be received."""
    opcode, payload = draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125))
    return frame(opcode, payload, key=draw(KEYS)), (opcode, payload)


KEYS = st.binary(min_size=4, max_size=4)


@st.composite
def conversations(draw):
    """Give a stream of valid messages, in fragments and with control frames between them, and what it means."""
    stream, meaning = bytearray(), []
    for _ in range(draw(st.integers(1, 4))):
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        payload = draw(payloads(text=opcode == TEXT))
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        bounds = [0, *cuts, len(payload)]
        for index in range(len(bounds) - 1):
            for data, received in draw(st.lists(control_frames(), max_size=2)):
                stream += data
                meaning.append(received)
            part = payload[bounds[index] : bounds[index + 1]]
            stream += Frame(
                Opcode(opcode if index == 0 else CONTINUATION), part, fin=index == len(bounds) - 2
            ).serialize(mask=True)
        meaning.append((opcode, payload))
    if draw(st.booleans()):
        body = draw(st.sampled_from([b"", close_body(1000), close_body(4999, EURO)]))
        stream += frame(CLOSE, body)
        meaning.append((CLOSE, body))
    return bytes(stream), meaning


@given(conversations(), st.data())
@settings(max_examples=80)
def test_however_the_stream_is_cut_the_messages_are_the_same(conversation, data):
    stream, meaning = conversation
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    assert read(stream) == (meaning, None)
    assert read(stream, cuts=cuts) == (meaning, None)


@given(conversations().filter(lambda conversation: len(conversation[0]) < 3_000))
@settings(max_examples=40)
def test_byte_by_byte_the_messages_are_the_same(conversation):
    stream, meaning = conversation
    assert read_bytewise(stream) == (meaning, None, len(stream))


def test_the_examples_of_the_rfc_are_read():
    # RFC 6455 section 5.7: a masked "Hello", a masked pong; and its fragments, masked.
    assert read(bytes.fromhex("818537fa213d7f9f4d5158")) == ([(TEXT, b"Hello")], None)
    assert read(bytes.fromhex("8a8537fa213d7f9f4d5158")) == ([(PONG, b"Hello")], None)
    fragments = frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo")
    assert read(fragments) == ([(TEXT, b"Hello")], None)


# What is refused: the rules of RFC 6455


@dataclass(frozen=True)
class Rule:
    """A sentence of the RFC, and a stream that breaks it.

    Attributes:
        stream: its last byte is the first that can tell.
        before: what is received all the same.

    """

    section: str
    sentence: str
    stream: bytes
    code: int
    before: tuple = ()
    limit: int = LIMIT


def text_rules():
    """Give texts that are not UTF-8, each cut behind the first byte that shows it (RFC 3629 section 4)."""
    bad = {
        "a byte that never occurs (FF)": b"\xff",
        "a continuation byte alone": b"\x80",
        "an overlong form of two bytes (C0)": b"\xc0",
        "an overlong form of two bytes (C1)": b"\xc1",
        "an overlong form of three bytes": b"\xe0\x80",
        "an overlong form of four bytes": b"\xf0\x80",
        "the first surrogate": b"\xed\xa0",
        "the last surrogate": b"\xed\xbf",
        "the first above U+10FFFF": b"\xf4\x90",
        "a lead byte above U+10FFFF (F5)": b"\xf5",
        "a lead byte of the five-byte form": b"\xf8",
        "a character that another follows too early": b"\xe2\x82A",
        "a character of four bytes broken off": b"\xf0\x9f\x98A",
    }
    sentence = "must _Fail the WebSocket Connection_ where a byte stream is not valid UTF-8"
    for what, data in bad.items():
        good = b"fine " + SMILE
        whole = frame(TEXT, good + data, length=len(good + data) + 50)
        yield Rule("8.1", f"{sentence}: {what}, in a frame that is not complete", whole, 1007)
        stream = frame(TEXT, good + data[:1], fin=False)
        if data[1:]:
            stream += frame(CONTINUATION, data[1:], fin=False)
        yield Rule("8.1", f"{sentence}: {what}, over fragments", stream, 1007)
    for cut, data in (("two", SMILE[:2]), ("three", SMILE[:3]), ("one", EURO[:1])):
        yield Rule("8.1", f"{sentence}: a text ends after {cut} bytes of a character", frame(TEXT, data), 1007)
        stream = frame(TEXT, b"x", fin=False) + frame(CONTINUATION, data, fin=False) + frame(CONTINUATION)
        yield Rule("8.1", f"{sentence}: the last fragment, an empty one, ends after {cut}", stream, 1007)


OPEN_TEXT = frame(TEXT, b"begun", fin=False)
RULES = [
    Rule("5.1", "a client MUST mask all frames that it sends: text", frame(TEXT, b"", masked=False, length=5), 1002),
    Rule("5.1", "a client MUST mask all frames that it sends: empty", frame(TEXT, masked=False), 1002),
    Rule("5.1", "a client MUST mask all frames that it sends: ping", frame(PING, masked=False), 1002),
    Rule("5.1", "a client MUST mask all frames that it sends: close", frame(CLOSE, masked=False), 1002),
    *(
        Rule("5.2", f"RSV1, RSV2, RSV3 MUST be 0 unless an extension is negotiated: {rsv:03b}", stream[:1], 1002)
        for rsv in range(1, 8)
        for stream in (frame(TEXT, rsv=rsv), frame(PING, rsv=rsv))
    ),
    *(
        Rule("5.2", f"if an unknown opcode is received, the endpoint MUST fail: {opcode}", frame(opcode)[:1], 1002)
        for opcode in (*range(3, 8), *range(11, 16))
    ),
    *(
        Rule("5.5", f"control frames MUST NOT be fragmented: {opcode}", frame(opcode, fin=False)[:1], 1002)
        for opcode in (CLOSE, PING, PONG)
    ),
    *(
        Rule("5.5", f"control frames MUST have 125 bytes or less: {opcode}, {size}", header_of(opcode, size)[:2], 1002)
        for opcode in (CLOSE, PING, PONG)
        for size in (126, 65_536)
    ),
    *(
        Rule("5.4", f"fragments MUST NOT be interleaved with another message: {opcode}", OPEN_TEXT + head, 1002)
        for opcode in (TEXT, BINARY)
        for head in (frame(opcode)[:1], frame(opcode, fin=False)[:1])
    ),
    Rule("5.4", "a continuation continues a message", frame(CONTINUATION, b"x")[:1], 1002),
    Rule(
        "5.4",
        "a continuation continues a message, and that may have ended",
        OPEN_TEXT + frame(CONTINUATION) + frame(CONTINUATION)[:1],
        1002,
        before=((TEXT, b"begun"),),
    ),
    *(
        Rule(
            "5.2",
            f"the minimal number of bytes MUST encode the length: {size} in {form}",
            header_of(BINARY, size, form=form),
            1002,
        )
        for size, form in [(0, 2), (125, 2), (0, 8), (126, 8), (65_535, 8)]
    ),
    *(
        Rule("5.2", f"the most significant bit of a length MUST be 0: {length:x}", header_of(TEXT, length), 1002)
        for length in (1 << 63, (1 << 64) - 1)
    ),
    Rule("10.4", "a message over the limit is refused before its payload comes", header_of(TEXT, LIMIT + 1), 1009),
    Rule("10.4", "the largest length there is is over the limit", header_of(BINARY, (1 << 63) - 1), 1009),
    Rule("10.4", "a short message may be over the limit, too", header_of(TEXT, 6), 1009, limit=5),
    Rule(
        "10.4",
        "the limit holds for the fragments together",
        frame(BINARY, b"12345", fin=False) + frame(PING) + header_of(CONTINUATION, 6),
        1009,
        before=((PING, b""),),
        limit=10,
    ),
    Rule("5.5.1", "if there is a body, its first two bytes are a code: one byte", frame(CLOSE, b"\x03"), 1002),
    *(
        Rule("7.4", f"codes that MUST NOT be set in a close frame: {code}", frame(CLOSE, close_body(code)), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    ),
    Rule("5.5.1", "the reason is UTF-8", frame(CLOSE, close_body(1000, b"\xff")), 1007),
    Rule("5.5.1", "the reason is UTF-8, whole characters", frame(CLOSE, close_body(1000, EURO[:2])), 1007),
    *text_rules(),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.section}: {rule.sentence}")
def test_a_broken_rule_fails_the_connection_at_the_first_byte_that_breaks_it(rule):
    before = frame(TEXT, b"ok")
    fine = [(TEXT, b"ok"), *rule.before]
    assert read_bytewise(before + rule.stream + b"more", limit=rule.limit) == (
        fine,
        rule.code,
        len(before + rule.stream),
    )
    assert read(before + rule.stream, limit=rule.limit) == (fine, rule.code)


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_close_codes_that_may_be_sent_are_read(code):
    body = close_body(code, b"why " + SMILE)
    assert read(frame(CLOSE, body)) == ([(CLOSE, body)], None)


@pytest.mark.parametrize(
    "text", ["\0", "\x7f\x80", "\u07ff\u0800", "\ud7ff\ue000", "\ufffe\uffff", "\U00010000\U0010ffff", "\ufeffBOM"]
)
def test_the_corners_of_utf8_are_read_however_they_are_cut(text):
    data = text.encode()
    assert read(frame(TEXT, data)) == ([(TEXT, data)], None)
    bytewise = b"".join(
        frame(TEXT if index == 0 else CONTINUATION, data[index : index + 1], fin=index == len(data) - 1)
        for index in range(len(data))
    )
    assert read(bytewise) == ([(TEXT, data)], None)
    assert read_bytewise(bytewise) == ([(TEXT, data)], None, len(bytewise))


def test_binary_may_hold_anything():
    assert read(frame(BINARY, b"\xff\xc0\xed\xa0")) == ([(BINARY, b"\xff\xc0\xed\xa0")], None)


def test_a_message_of_just_the_limit_is_read_and_the_limit_is_fresh_for_the_next():
    whole = frame(BINARY, b"1234567890")
    parts = frame(BINARY, b"12345", fin=False) + frame(CONTINUATION, b"67890")
    assert read(whole + parts + whole, limit=10) == ([(BINARY, b"1234567890")] * 3, None)


def test_a_short_message_over_the_limit_is_refused_when_it_comes_whole_too():
    assert read(frame(TEXT, b"12345") + frame(TEXT, b"123456"), limit=5) == ([(TEXT, b"12345")], 1009)


def test_control_frames_do_not_count_towards_the_limit():
    assert read(frame(PING, b"x" * 125), limit=10) == ([(PING, b"x" * 125)], None)


def test_after_an_error_the_reader_is_spent():
    reader = FrameReader(LIMIT)
    assert reader.feed(frame(TEXT, b"a") + frame(3) + frame(TEXT, b"b")) == [(TEXT, b"a")]
    error = reader.error
    assert reader.feed(frame(TEXT, b"c")) == []
    assert reader.error is error


def test_an_error_says_which_rule_was_broken():
    reader = FrameReader(1_000)
    reader.feed(frame(TEXT, b"x" * 1_001))
    assert str(reader.error) == "1009 messages may have at most 1000 bytes"


# Anything at all


@st.composite
def almost_frames(draw):
    """Give one frame that may break any rule."""
    payload = draw(st.binary(max_size=130) | st.text(max_size=20).map(str.encode))
    length = draw(st.none() | st.sampled_from([0, 1, 125, 126, 65_536, LIMIT, 1 << 63]))
    odd = draw(st.integers(0, 9)) == 0
    return frame(
        draw(st.integers(0, 15) if odd else st.sampled_from([CONTINUATION, TEXT, BINARY, CLOSE, PING])),
        payload,
        fin=draw(st.booleans()),
        rsv=draw(st.integers(0, 7)) if odd else 0,
        masked=not odd,
        key=draw(KEYS),
        length=length,
        form=8 if odd and draw(st.booleans()) else None,
    )


ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.lists(almost_frames(), max_size=8).map(b"".join),
    st.tuples(st.lists(almost_frames(), max_size=4).map(b"".join), st.binary(max_size=20)).map(b"".join),
)


@given(ANYTHING, st.data())
@example(b"", None)
@example(b"\x81\xfe\x00", None)
@settings(max_examples=300)
def test_any_bytes_at_all_give_valid_messages_or_an_error_wherever_they_are_cut(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6))) if data else []
    received, code = read(stream, limit=200)
    assert read(stream, limit=200, cuts=cuts) == (received, code)
    assert read_bytewise(stream, limit=200)[:2] == (received, code)
    for opcode, payload in received:
        assert opcode in {TEXT, BINARY, CLOSE, PING, PONG}
        assert len(payload) <= (200 if opcode in {TEXT, BINARY} else 125)
        if opcode == TEXT:
            payload.decode()
    assert code in {None, 1002, 1007, 1009}


class Slow(FrameReader):
    """A reader without the short way of a short text that comes whole."""

    def read_text(self, _data):
        return None


SHORT_TEXTS = st.builds(frame, st.just(TEXT), st.text(max_size=130).map(str.encode), key=KEYS)


@given(st.lists(SHORT_TEXTS | almost_frames() | st.binary(max_size=9), max_size=5), st.integers(0, 200))
@example([frame(TEXT, b"x" * 125)], 125)
@example([frame(TEXT, b"x" * 125)], 124)
@example([frame(TEXT, fin=False), frame(TEXT, b"x")], 200)
@example([frame(TEXT, b"\xff")], 200)
@example([b"\x81", frame(TEXT, b"x")], 200)
def test_a_short_text_that_comes_whole_is_read_no_differently(pieces, limit):
    quick, slow = FrameReader(limit), Slow(limit)
    for piece in pieces:
        assert quick.feed(piece) == slow.feed(piece)
        assert (quick.error and quick.error.code, quick.unfinished) == (slow.error and slow.error.code, slow.unfinished)


def test_the_short_way_is_taken_at_all():
    assert FrameReader(LIMIT).read_text(frame(TEXT, b"x" * 125)) == b"x" * 125


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "stream"),
    [
        ("one frame", lambda limit: long_frame(BINARY, bytes(limit))),
        ("text", lambda limit: long_frame(TEXT, EURO * (limit // 3))),
        ("fragments of two bytes", lambda limit: frame(BINARY, fin=False) + frame(0, b"xy", fin=False) * (limit // 2)),
        ("empty fragments", lambda limit: frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * (limit // 10)),
        ("pings", lambda limit: frame(PING, b"x" * 125) * (limit // 50)),
        ("a length that never ends", lambda limit: frame(BINARY, fin=False) + header_of(CONTINUATION, limit)),
    ],
)
def test_a_reader_keeps_no_more_than_its_limit_and_a_quarter(what, stream):
    limit = 200_000
    data = stream(limit)
    reader = FrameReader(limit)
    tracemalloc.start()
    try:
        for start in range(0, len(data) - 1, 1_000):  # all but the last byte: a whole message would be given away
            reader.feed(data[start : min(start + 1_000, len(data) - 1)])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.error is None
    assert kept < limit * 1.25 + 10_000
