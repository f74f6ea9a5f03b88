"""Attacks by frames: lengths that lie, crumbs, texts that are dear to read (RFC 6455 sections 5.2, 5.4 and 10.4)."""

import json
import tracemalloc

import pytest

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MANY = 100_000
LIMIT = 256 * 1024
CHUNK = 65_536
CRUMB = b"\x00\x81\x00\x00\x00\x00x"  # a fragment of one byte
EMPTY = b"\x00\x80\x00\x00\x00\x00"


def announced(first, length):
    """Encode a header that announces eight bytes' worth of length, and a mask."""
    return bytes((first, 0xFF)) + length.to_bytes(8, "big") + bytes(4)


@pytest.mark.parametrize(
    ("length", "code"),
    [(2**64 - 1, 1002), (2**63, 1002), (2**63 - 1, 1009), (2**32, 1009), (LIMIT + 1, 1009)],
    ids=["2^64-1", "2^63", "2^63-1", "2^32", "limit+1"],
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_a_length_that_nobody_can_send_is_refused_before_its_bytes_come(target, opcode, length, code):
    attacker, _ = await target.intruder("/raw")
    tracemalloc.start()
    try:
        await attacker.send(announced(0x80 | opcode, length))
        assert await attacker.closed() == code
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < LIMIT


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
async def test_a_control_frame_that_announces_2_to_the_63_is_refused(target, opcode):
    attacker, _ = await target.intruder()
    await attacker.send(announced(0x80 | opcode, 2**63 - 1))
    assert await attacker.closed() == 1002


async def test_lengths_that_only_together_are_too_long_are_refused_at_the_header_that_makes_them_so(target, frame):
    attacker, _ = await target.intruder("/raw")
    await attacker.send(frame(BINARY, bytes(LIMIT - 1), fin=False) + b"\x00\x82\x00\x00\x00\x00")
    assert await attacker.closed() == 1009


async def test_a_frame_in_packets_of_one_byte_is_read(target, frame):
    attacker, _ = await target.intruder()
    for byte in frame(TEXT, b'{"message":"byte by byte"}', mask=b"\x01\x02\x03\x04"):
        await attacker.send(bytes((byte,)))
        await target.nobody_noticed()
    assert await attacker.frame() == (TEXT, b"byte by byte")


async def test_a_message_in_100_000_fragments_of_one_byte_is_read(target, frame):
    attacker, _ = await target.intruder("/raw")
    await attacker.send(frame(BINARY, b"x", fin=False) + CRUMB * (MANY - 2) + frame(CONTINUATION, b"x"))
    assert await attacker.frame() == (BINARY, b"x" * MANY)


async def test_a_message_in_100_000_empty_fragments_is_read(target, frame):
    attacker, _ = await target.intruder()
    text = b'{"message":1}'
    await attacker.send(frame(TEXT, text[:5], fin=False) + EMPTY * MANY + frame(CONTINUATION, text[5:]))
    assert await attacker.frame() == (TEXT, b"1")


async def test_fragments_that_never_end_hold_no_more_than_a_message(target, frame):
    attacker, _ = await target.intruder("/raw")
    await attacker.send(frame(BINARY, b"x", fin=False) + frame(CONTINUATION, bytes(1_000), fin=False) * 1_000)
    assert await attacker.closed() == 1009


DEAR = [
    ("nested 100,000 deep", b'{"message":' + b"[" * MANY + b"]" * MANY + b"}", b"bad-message"),
    ("objects nested 20,000 deep", b'{"message":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}", b"bad-message"),
    ("nested as deep as it is read, not written", b'{"message":' + b"[" * 1_000 + b"]" * 1_000 + b"}", b"bad-message"),
    ("brackets that never close", b"[" * 200_000, b"bad-message"),
    ("a number of 200,000 digits", b'{"message":' + b"9" * 200_000 + b"}", b"bad-message"),
    ("an infinite number", b'{"message":1e999}', b"bad-message"),
    ("not a number", b'{"message":NaN}', b"bad-message"),
    ("half a surrogate pair", b'{"message":"\\ud800"}', b"bad-message"),
    ("a byte order mark", b'\xef\xbb\xbf{"message":1}', b"bad-message"),
    ("two values", b'{"message":1}{"message":2}', b"bad-message"),
    ("a reference that is huge", b'{"message":1,"ref":"%b"}' % (b"r" * 200_000), b"bad-message"),
    ("a path that is a list", b'{"message":1,"path":["/echo"]}', b"bad-message"),
]


@pytest.mark.parametrize(("what", "text", "code"), DEAR, ids=[what for what, *_ in DEAR])
async def test_a_text_that_is_no_message_is_answered_briefly(target, frame, what, text, code):
    attacker, _ = await target.intruder()
    await attacker.send(frame(TEXT, text))
    opcode, answer = await attacker.frame()
    assert opcode == TEXT
    assert json.loads(answer)["error"]["code"].encode() == code
    assert len(answer) < 500
    await attacker.send(frame(TEXT, b'{"message":"still here"}'))
    assert await attacker.frame() == (TEXT, b"still here")


async def test_a_message_of_10_000_keys_is_read_for_those_it_knows(target, frame):
    attacker, _ = await target.intruder()
    keys = {f"Key{number}": number for number in range(10_000)}
    await attacker.send(frame(TEXT, json.dumps({**keys, "MESSAGE": "found"}).encode()))
    assert await attacker.frame() == (TEXT, b"found")


class TestEnds:
    @pytest.mark.parametrize("size", [0, 1, 2, 6, 7])
    async def test_a_peer_that_sends_half_a_frame_and_no_more_is_let_go(self, target, frame, size):
        attacker, side = await target.intruder()
        await attacker.send(frame(TEXT, b'{"message":1}')[:size])
        attacker.end_of_sending()
        assert await attacker.rest() == b""
        assert side.close_code == 1006

    async def test_a_peer_that_closes_its_side_without_reading_is_let_go(self, target, frame):
        attacker, side = await target.intruder("/raw", receive_buffer=4_096)
        while not side.waiting and not side.close_code:
            await attacker.send(frame(BINARY, bytes(8_192)) * 8)
            await target.nobody_noticed()
        attacker.end_of_sending()
        while not side.close_code:
            await target.nobody_noticed()
        assert side.id not in target.hub.clients
        assert side.waiting <= CHUNK  # what waited in the outbox is gone; the transport may still have its last
        await attacker.rest()

    async def test_what_comes_behind_a_close_frame_is_for_nobody(self, target, frame):
        watcher, _ = await target.intruder("/rooms/a")
        attacker, _ = await target.intruder("/rooms/a")
        await attacker.send(frame(CLOSE) + frame(TEXT, b'{"message":1}') * 1_000)
        assert await attacker.closed() == 0
        await watcher.send(frame(TEXT, b'{"message":2}'))
        assert await watcher.frame() == (TEXT, b"2")

    async def test_a_close_frame_in_every_packet_is_answered_once(self, target, frame):
        attacker, _ = await target.intruder()
        await attacker.send(frame(CLOSE, b"\x03\xe8") * 1_000)
        assert await attacker.closed() == 1000
        assert await attacker.rest() == b""


class TestTargets:
    async def test_the_id_of_a_client_that_has_gone_reaches_nobody(self, target, frame):
        gone, side = await target.intruder("/rooms/a")
        await gone.send(frame(CLOSE))
        assert await gone.closed() == 0
        while side in target.hub.closing:
            await target.nobody_noticed()
        attacker, _ = await target.intruder("/rooms/a")
        wish = json.dumps({"message": "who?", "clientId": side.id}).encode()
        await attacker.send(frame(TEXT, wish) * 100 + frame(TEXT, b'{"message":"me"}'))
        assert await attacker.frame() == (TEXT, b"me")

    async def test_the_id_of_a_client_that_is_closing_reaches_nobody(self, target, frame):
        closing, side = await target.intruder("/rooms/a")
        side.close(4000)
        attacker, _ = await target.intruder("/rooms/a")
        await attacker.send(
            frame(TEXT, json.dumps({"message": "who?", "clientId": side.id}).encode())
            + frame(TEXT, b'{"message":"me"}')
        )
        assert await attacker.frame() == (TEXT, b"me")
        assert await closing.closed() == 4000

    @pytest.mark.parametrize("key", ["path", "clientId", "group"])
    async def test_10_000_targets_that_nobody_is_at_leave_nothing(self, target, frame, key):
        attacker, _ = await target.intruder("/rooms/a")
        before = len(target.hub._paths), len(target.hub._groups)
        for start in range(0, 10_000, 1_000):
            wishes = (json.dumps({"message": 1, key: f"/rooms/x{start + number}"}) for number in range(1_000))
            await attacker.send(b"".join(frame(TEXT, wish.encode()) for wish in wishes))
        await attacker.send(frame(TEXT, b'{"message":"done"}'))
        assert await attacker.frame() == (TEXT, b"done")
        assert (len(target.hub._paths), len(target.hub._groups)) == before
