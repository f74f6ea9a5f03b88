"""permessage-deflate, against the examples of RFC 7692 and a client's zlib: what comes in and goes out."""

import random
import tracemalloc
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalpost.websocket.deflate import Agreement, Deflater, Deflaters, InflateError, Inflater, TooLargeError
from signalpost.websocket.frames import Opcode, encode_frame
from signalpost.websocket.reader import FrameReader

LIMIT = 100_000
TAIL = b"\x00\x00\xff\xff"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SMILE = "😀".encode()
NOISE = random.Random(7692).randbytes(8_000)  # what no compressor makes shorter
NO_TAKEOVER = Agreement(client_takes_over=False)


def frame(opcode, payload=b"", *, fin=True, rsv=0):
    """Encode a client's frame, with a mask that changes nothing."""
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65_536 else b"\x7f" + size.to_bytes(8, "big")
    return bytes((fin << 7 | rsv << 4 | opcode, 0x80 | length[0])) + length[1:] + bytes(4) + payload


def compressed(payload, opcode=TEXT, *, fin=True):
    """Encode the first frame of a compressed message."""
    return frame(opcode, payload, fin=fin, rsv=4)


def read(*frames, agreement=NO_TAKEOVER, limit=LIMIT, cuts=()):
    """Feed frames, cut into pieces; give what was received, and the error's code or None."""
    data = b"".join(frames)
    reader = FrameReader(limit, Inflater(agreement))
    received, start = [], 0
    for stop in [*cuts, len(data)]:
        received += reader.feed(data[start:stop])
        start = stop
    return received, reader.error and reader.error.code


class Sender:
    """A client's side: zlib as the agreement says."""

    def __init__(self, agreement, level=6):
        self._agreement = agreement
        self._level = level
        self._begin()

    def _begin(self):
        self._zlib = zlib.compressobj(self._level, zlib.DEFLATED, -self._agreement.client_window)

    def compress(self, payload, *, final_block=False):
        """Compress one message (RFC 7692 section 7.2.1); with `final_block`, as section 7.2.3.4 has it."""
        if final_block:
            data = self._zlib.compress(payload) + self._zlib.flush(zlib.Z_FINISH) + b"\x00"
            self._begin()
            return data
        data = self._zlib.compress(payload) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        assert data.endswith(TAIL)
        if not self._agreement.client_takes_over:
            self._begin()
        return data[:-4]


def once(payload):
    """Compress a message for itself."""
    return Sender(NO_TAKEOVER).compress(payload)


def inflated(frame_bytes):
    """Read a server's frame as a client with an empty window does; give whether it was compressed, and the payload."""
    length = frame_bytes[1]
    payload = frame_bytes[{126: 4, 127: 10}.get(length, 2) :]
    announced = int.from_bytes(frame_bytes[2 : -len(payload)], "big") if length > 125 else length
    assert announced == len(payload)
    if not frame_bytes[0] & 0x40:
        return False, payload
    return True, zlib.decompressobj(-15).decompress(payload + TAIL)


# What comes in: the examples of the RFC

HELLO = bytes.fromhex("f248cdc9c90700")
EXAMPLES = [
    ("7.2.3.1", "one block", [compressed(HELLO)], ["Hello"]),
    (
        "7.2.3.1",
        "two fragments",
        [compressed(HELLO[:3], fin=False), frame(CONTINUATION, HELLO[3:])],
        ["Hello"],
    ),
    ("7.2.3.2", "sharing the window", [compressed(HELLO), compressed(bytes.fromhex("f200110000"))], ["Hello", "Hello"]),
    ("7.2.3.2", "the same message again, whole", [compressed(HELLO), compressed(HELLO)], ["Hello", "Hello"]),
    ("7.2.3.3", "a block without compression", [compressed(bytes.fromhex("000500faff48656c6c6f00"))], ["Hello"]),
    ("7.2.3.4", "a block with BFINAL", [compressed(bytes.fromhex("f348cdc9c9070000"))], ["Hello"]),
    (
        "7.2.3.5",
        "two blocks in one message",
        [compressed(bytes.fromhex("f24805000000ffffcac9c90700"))],
        ["Hello"],
    ),
    ("7.2.3.6", "an empty message", [compressed(b"\x00")], [""]),
    ("7.2.1", "a message that is not compressed", [frame(TEXT, b"Hello"), compressed(HELLO)], ["Hello", "Hello"]),
    (
        "6.1",
        "control frames between fragments are never compressed",
        [compressed(HELLO[:3], fin=False), frame(PING, HELLO), frame(CONTINUATION, HELLO[3:])],
        [HELLO, "Hello"],
    ),
    (
        "6.1",
        "fragments of no bytes",
        [compressed(b"", fin=False), frame(CONTINUATION, HELLO, fin=False), frame(CONTINUATION)],
        ["Hello"],
    ),
]


@pytest.mark.parametrize(("section", "what", "frames", "expected"), EXAMPLES, ids=lambda part: str(part)[:40])
def test_the_examples_of_the_rfc_are_read_however_they_are_cut(section, what, frames, expected):
    meaning = [(TEXT, each.encode()) if isinstance(each, str) else (PING, each) for each in expected]
    agreement = Agreement() if section == "7.2.3.2" else NO_TAKEOVER
    size = len(b"".join(frames))
    assert read(*frames, agreement=agreement) == (meaning, None)
    assert read(*frames, agreement=agreement, cuts=range(1, size)) == (meaning, None)


# What comes in: what is refused

FAULTS = [
    ("7.2.3", "RSV1 on a continuation", [compressed(HELLO, fin=False), frame(CONTINUATION, rsv=4)], 1002),
    ("6.1", "RSV1 on a continuation of a plain message", [frame(TEXT, fin=False), frame(CONTINUATION, rsv=4)], 1002),
    ("6.1", "RSV1 on a ping", [frame(PING, rsv=4)], 1002),
    ("6.1", "RSV1 on a close", [frame(CLOSE, rsv=4)], 1002),
    ("6.1", "RSV2 is nobody's", [frame(TEXT, rsv=2)], 1002),
    ("6.1", "RSV3 is nobody's, beside RSV1 either", [frame(TEXT, HELLO, rsv=5)], 1002),
    ("7.2.2", "a block type that there is not", [compressed(b"\x06\x00")], 1007),
    ("7.2.2", "a stored block whose lengths disagree", [compressed(b"\x00\x05\x00\x00\x00Hello")], 1007),
    ("7.2.2", "nothing at all, not even an empty block", [compressed(b"")], 1007),
    ("7.2.2", "a block that is broken off", [compressed(HELLO[:4])], 1007),
    ("7.2.2", "a stored block that is broken off", [compressed(bytes.fromhex("000500faff48"))], 1007),
    ("7.2.2", "a distance behind the window of a message", [compressed(bytes.fromhex("f200110000"))], 1007),
    ("7.2.2", "more bits behind the last block", [compressed(HELLO + b"\x01")], 1007),
    (
        "7.1.1.2",
        "the context of the last message, where that is not taken over",
        [compressed(HELLO), compressed(bytes.fromhex("f200110000"))],
        1007,
    ),
    (
        "8.1 of RFC 6455",
        "text that is not UTF-8 once it is inflated",
        [compressed(once(b"ok\xff"))],
        1007,
    ),
    ("8.1 of RFC 6455", "a character broken off", [compressed(once(SMILE[:3]))], 1007),
    ("5.4 of RFC 6455", "a message within another", [compressed(HELLO, fin=False), compressed(HELLO)], 1002),
]


@pytest.mark.parametrize(("section", "what", "frames", "code"), FAULTS, ids=lambda part: str(part)[:40])
def test_what_breaks_a_rule_fails_the_connection(section, what, frames, code):
    before = frame(TEXT, b"before")
    received, error = read(before, *frames)
    assert (received[0], error) == ((TEXT, b"before"), code)
    assert len(received) == (2 if section == "7.1.1.2" else 1)
    assert read(before, *frames, cuts=range(1, len(b"".join(frames)) + 12)) == (received, code)


@pytest.mark.parametrize("takes_over", [True, False])
def test_a_message_that_is_broken_off_is_found_out_with_and_without_takeover(takes_over):
    agreement = Agreement(client_takes_over=takes_over)
    whole = Sender(agreement).compress(b"a text that says much, and says it more than once: much, much")
    for size in range(len(whole)):
        assert read(compressed(whole[:size]), agreement=agreement) == ([], 1007), size


def test_text_is_judged_before_its_message_has_ended():
    half = once(b"x" * 500 + b"\xff" + b"y" * 500)
    assert read(compressed(half, fin=False)) == ([], 1007)
    assert read(compressed(half, BINARY, fin=False)) == ([], None)


def test_without_negotiation_a_compressed_message_is_refused():
    reader = FrameReader(LIMIT)
    assert reader.feed(compressed(HELLO)) == []
    assert reader.error.code == 1002


def test_a_window_of_8_bits_is_enough_for_who_asks_zlib_for_9():
    # zlib knows no 8; with 9 it looks back 250 bytes at most, as its MAX_DIST has it.
    noise, sender = NOISE[:200], Sender(Agreement(client_window=9))
    twice = [compressed(sender.compress(noise), BINARY) for _ in range(2)]
    assert len(twice[1]) < 20
    assert read(*twice, agreement=Agreement(client_window=8)) == ([(BINARY, noise)] * 2, None)


def test_a_window_that_the_client_does_not_keep_to_is_an_error():
    # 12 bits are 4,096 bytes; with 15 the second message refers to the first, 5,000 bytes before.
    noise, sender = NOISE[:5_000], Sender(Agreement(client_window=15))
    twice = [compressed(sender.compress(noise), BINARY) for _ in range(2)]
    assert read(*twice, agreement=Agreement(client_window=15)) == ([(BINARY, noise)] * 2, None)
    assert read(*twice, agreement=Agreement(client_window=12)) == ([(BINARY, noise)], 1007)


# What comes in: anything

MESSAGES = st.tuples(
    st.sampled_from([TEXT, BINARY]),
    st.one_of(
        st.text(max_size=300),
        st.tuples(st.text(min_size=1, max_size=9), st.integers(1, 2_000)).map(lambda pair: pair[0] * pair[1]),
    ).map(str.encode),
    st.sampled_from(["compressed", "compressed", "final block", "plain"]),
)


@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=6),
    window=st.integers(9, 15),
    takes_over=st.booleans(),
    level=st.integers(0, 9),
    data=st.data(),
)
@settings(max_examples=120)
def test_whatever_a_client_compresses_is_read_in_any_fragments_and_any_cuts(messages, window, takes_over, level, data):
    agreement = Agreement(client_window=window, client_takes_over=takes_over)
    sender = Sender(agreement, level)
    stream, meaning = bytearray(), []
    for opcode, payload, how in messages:
        wire = payload if how == "plain" else sender.compress(payload, final_block=how == "final block")
        cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=3)))
        bounds = [0, *cuts, len(wire)]
        for index in range(len(bounds) - 1):
            part, fin = wire[bounds[index] : bounds[index + 1]], index == len(bounds) - 2
            rsv = 4 if index == 0 and how != "plain" else 0
            stream += frame(opcode if index == 0 else CONTINUATION, part, fin=fin, rsv=rsv)
            if data.draw(st.booleans()):
                stream += frame(PONG, b"between")
                meaning.append((PONG, b"between"))
        # A control frame behind the last fragment comes behind the message.
        last = meaning.pop() if stream.endswith(frame(PONG, b"between")) else None
        meaning.append((opcode, payload))
        meaning += [last] if last else []
    assert read(bytes(stream), agreement=agreement, limit=1 << 20) == (meaning, None)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    assert read(bytes(stream), agreement=agreement, limit=1 << 20, cuts=cuts) == (meaning, None)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=5), st.booleans(), st.data())
@example([(True, b"\x03\x00" * 200)], False, None)
@settings(max_examples=300)
def test_any_bytes_at_all_inflate_to_a_message_or_an_error_wherever_they_are_cut(parts, takes_over, data):
    stream = b"".join(frame(BINARY if rsv else TEXT, part, rsv=4 if rsv else 0) for rsv, part in parts)
    agreement = Agreement(client_takes_over=takes_over)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6))) if data else [3, 9]
    received, code = read(stream, agreement=agreement, limit=200)
    assert read(stream, agreement=agreement, limit=200, cuts=cuts) == (received, code)
    assert all(len(payload) <= 200 for _, payload in received)
    assert code in {None, 1007, 1009}


# What comes in: how much of it


def test_the_limit_holds_for_what_a_message_inflates_to():
    sender = Sender(NO_TAKEOVER)
    fits, beyond = compressed(sender.compress(b"x" * 1_000)), compressed(sender.compress(b"x" * 1_001))
    assert read(fits, fits, limit=1_000) == ([(TEXT, b"x" * 1_000)] * 2, None)
    assert read(fits, beyond, limit=1_000) == ([(TEXT, b"x" * 1_000)], 1009)


def test_compressed_bytes_may_be_more_than_the_limit_if_they_inflate_to_less():
    noise = NOISE[:1_000]
    wire = Sender(NO_TAKEOVER, level=0).compress(noise)
    assert len(wire) > 1_000
    assert read(compressed(wire, BINARY), limit=1_000) == ([(BINARY, noise)], None)


def test_the_limit_holds_for_the_fragments_together_and_is_fresh_for_the_next_message():
    wire = once(b"x" * 600) + TAIL + once(b"y" * 600)
    parts = [compressed(wire[:5], fin=False), frame(CONTINUATION, wire[5:])]
    assert read(*parts, *parts, frame(TEXT, b"z" * 1_200), limit=1_200)[1] is None
    assert read(*parts, limit=1_199) == ([], 1009)
    assert read(*parts[:1], frame(CONTINUATION, wire[5:], fin=False), limit=1_199) == ([], 1009)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1_000, 1 << 18])
def test_a_decompression_bomb_ends_before_its_memory_is_used(chunk):
    limit = 1 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush(zlib.Z_SYNC_FLUSH)
    data = compressed(bomb, BINARY)
    assert len(data) < 220_000
    reader = FrameReader(limit, Inflater(Agreement()))
    tracemalloc.start()
    try:
        for start in range(0, len(data), chunk):
            assert reader.feed(data[start : start + chunk]) == []
            if reader.error is not None:
                break
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.error.code == 1009
    assert peak < 3 * limit, "of 200 MiB"
    assert kept < 10_000


def test_a_message_of_nothing_but_ends_is_refused():
    assert read(compressed(b"\x03\x00" * 64 + b"\x00", BINARY)) == ([(BINARY, b"")], None)
    assert read(compressed(b"\x03\x00" * 65 + b"\x00", BINARY)) == ([], 1007)
    several = [compressed(b"\x03\x00" * 33 + b"\x00", BINARY) for _ in range(3)]
    assert read(*several) == ([(BINARY, b"")] * 3, None)


@pytest.mark.parametrize(
    ("agreement", "most"), [(Agreement(client_window=12), 13_000), (Agreement(client_window=15), 42_000)]
)
def test_a_context_costs_what_is_documented_from_the_first_compressed_message_on(agreement, most):
    # Memory of zlib's own is Python's too: it allocates through PyMem.
    data = compressed(Sender(agreement).compress(b"0123456789" * 6_000), BINARY)

    def cost(reader, data):
        tracemalloc.start()
        try:
            assert len(reader.feed(data)) == 1
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    readers = [FrameReader(LIMIT, Inflater(each)) for each in (agreement, NO_TAKEOVER)]
    for reader in readers:
        assert cost(reader, frame(BINARY, b"plain")) < 500
    assert 1 << agreement.client_window < cost(readers[0], data) < most
    assert cost(readers[1], data) < 500


# What goes out


@pytest.mark.parametrize("size", [0, 1, 99, 100, 125, 126, 127, 200, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_frames_from_the_threshold_on_are_compressed_and_others_are_the_very_same(opcode, size):
    plain = encode_frame(opcode, b"x" * size)
    out = Deflater(6, 100, 15)(plain)
    assert (out is plain) == (size < 100)
    assert out[0] & 0x0F == opcode
    assert out[0] & 0x80
    assert inflated(out) == (size >= 100, b"x" * size)


def test_what_does_not_become_shorter_goes_as_it_is():
    plain = encode_frame(Opcode.BINARY, NOISE)
    assert Deflater(9, 1, 15)(plain) is plain


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=30), st.integers(1, 3_000)), min_size=1, max_size=8),
    st.integers(9, 15),
    st.integers(1, 9),
)
@settings(max_examples=80)
def test_every_frame_stands_for_itself_and_keeps_to_its_window(texts, window, level):
    deflater = Deflater(level, 1, window)
    for text, times in texts:
        payload = (text * times).encode()
        out = deflater(encode_frame(Opcode.TEXT, payload))
        assert inflated(out)[1] == payload
        if out[0] & 0x40:  # with a window of just these bits, too
            wire = out[{126: 4, 127: 10}.get(out[1], 2) :]
            assert zlib.decompressobj(-window).decompress(wire + TAIL) == payload


def test_equal_parameters_share_a_deflater():
    deflaters = Deflaters()
    assert deflaters.of(6, 1024, 15) is deflaters.of(6, 1024, 15)
    assert deflaters.of(6, 1024, 15) is not deflaters.of(6, 1024, 12)
    assert deflaters.of(6, 1024, 15) is not deflaters.of(1, 1024, 15)


def test_an_inflater_names_what_is_wrong():
    inflater = Inflater(Agreement())
    with pytest.raises(InflateError, match="the compressed data is broken"):
        inflater.inflate(b"\x06\x00", 10)
    with pytest.raises(TooLargeError):
        Inflater(Agreement()).inflate(HELLO + TAIL, 4)
    assert Inflater(Agreement()).inflate(HELLO + TAIL, 5) == b"Hello"
