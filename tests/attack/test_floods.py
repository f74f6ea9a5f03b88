"""Floods: clients that send without end and do not read, or come and go, while others are served."""

import asyncio
import contextlib
import json
import zlib

import pytest

CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10
OUTBOX = 256 * 1024
CHUNK = 65_536  # what a congested transport is given at once
FEWEST_TURNS = 5  # 600 KB are 19 mouthfuls
LARGEST = 1_024  # bytes of an answer in these tests, at most


@contextlib.asynccontextmanager
async def flooding(attacker, data, times):
    """Send something over and over while the block runs, until it is done or the server ends the connection."""

    async def flood():
        with contextlib.suppress(ConnectionError):
            for _ in range(times):
                await attacker.send(data)

    task = asyncio.ensure_future(flood())
    try:
        yield task
    finally:
        await task


UNREAD = [
    ("pings", "/echo", PING, b"p" * 125),
    ("messages that are echoed", "/echo", TEXT, b'{"message":"%b"}' % (b"m" * 100)),
    ("messages that are none", "/echo", TEXT, b"no JSON"),
    ("binary where text is meant", "/echo", BINARY, b"x"),
    ("messages to a path", "/rooms/a", TEXT, b'{"message":"%b"}' % (b"m" * 100)),
    ("raw frames", "/raw", BINARY, b"r" * 125),
]


@pytest.mark.parametrize("attack", UNREAD, ids=lambda attack: attack[0])
async def test_who_floods_and_does_not_read_the_answers_is_dropped_within_bounds(target, frame, attack):
    _, path, opcode, payload = attack
    attacker, side = await target.intruder(path, receive_buffer=4_096)
    most = 0
    async with flooding(attacker, frame(opcode, payload) * 1_000, 5_000) as flood:
        while not side.close_code:
            assert not flood.done(), "millions of answers have gone where nobody reads"
            await target.nobody_noticed()
            most = max(most, side.waiting)
    assert side.close_code == 4008
    assert side.waiting == 0
    assert most <= OUTBOX + CHUNK + LARGEST


async def test_100_000_pings_whose_pongs_are_read_are_answered_in_order(target, frame):
    attacker, side = await target.intruder()
    pings = [frame(PING, f"{number:0125}".encode()) for number in range(1_000)]
    pongs = b"".join(b"\x8a\x7d" + f"{number:0125}".encode() for number in range(1_000))
    async with flooding(attacker, b"".join(pings), 100):
        for _ in range(100):
            assert await attacker.exactly(len(pongs)) == pongs
            await target.nobody_noticed()
    assert not side.close_code


TINY = [
    ("pongs", "/echo", b"\x8a\x80\0\0\0\0" * 100_000, b'{"message":"end"}', b""),
    (
        "empty fragments",
        "/raw",
        b"\x02\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 100_000 + b"\x80\x80\0\0\0\0",
        b"end",
        b"\x82\x00",
    ),
    ("empty frames", "/raw", b"\x82\x80\0\0\0\0" * 100_000, b"end", b"\x82\x00" * 100_000),
]


@pytest.mark.parametrize("attack", TINY, ids=lambda attack: attack[0])
async def test_others_have_their_turns_while_one_sends_100_000_tiny_frames(target, frame, attack):
    _, path, flood, last, answers = attack
    attacker, _ = await target.intruder(path)
    end = b"\x81\x03end"
    ended = asyncio.ensure_future(attacker.until(end))
    async with flooding(attacker, flood + frame(TEXT, last), 1):
        turns = 0
        while not ended.done():
            await target.nobody_noticed()
            turns += 1
    assert await ended == answers + end
    assert turns >= FEWEST_TURNS


async def test_others_have_their_turns_while_one_sends_little_that_inflates_to_much(target, frame):
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = (deflater.compress(bytes(200_000)) + deflater.flush(zlib.Z_FULL_FLUSH))[:-4]
    attacker = await target.attacker("packed")
    await attacker.send(target.handshake("/raw", "Sec-WebSocket-Extensions: permessage-deflate"))
    assert await attacker.status() == 101

    async def all_answers():
        while (await attacker.frame())[0] != PONG:
            pass

    ended = asyncio.ensure_future(all_answers())
    async with flooding(attacker, frame(0x40 | BINARY, packed) * (60_000 // len(packed)) + frame(PING), 1):
        turns = 0
        while not ended.done():
            await target.nobody_noticed()
            turns += 1
    await ended
    assert turns >= FEWEST_TURNS


async def test_all_of_a_flood_is_read_in_order_though_it_is_read_by_mouthfuls(target, frame):
    attacker, _ = await target.intruder()
    texts = [frame(TEXT, b'{"message":%d}' % number, mask=b"\x05\x06\x07\x08") for number in range(30_000)]
    async with flooding(attacker, b"".join(texts), 1):
        for number in range(30_000):
            assert await attacker.frame() == (TEXT, b"%d" % number)


async def test_who_comes_and_goes_by_500_paths_leaves_none_of_them(target, frame):
    for start in range(0, 500, 50):
        some = await asyncio.gather(*(target.intruder(f"/rooms/{number}") for number in range(start, start + 50)))
        assert len(target.hub._paths) == 51
        for number, (attacker, _) in enumerate(some):
            if number % 2:
                await attacker.send(frame(8))
                assert await attacker.closed() == 0
            attacker.vanish(reset=not number % 3)
        await target.is_alone_again()


async def test_who_joins_10_000_groups_and_goes_leaves_none_of_them(target, frame):
    for start in range(0, 10_000, 2_500):
        some = await asyncio.gather(*(target.intruder("/join") for _ in range(25)))
        for number, (attacker, _) in enumerate(some):
            names = (f"{start + number * 100 + each}" for each in range(100))
            await attacker.send(b"".join(frame(TEXT, json.dumps({"message": name}).encode()) for name in names))
        for attacker, _ in some:
            assert await attacker.exactly(100 * 8) == b"\x81\x06joined" * 100
        assert len(target.hub._groups) == 2_500
        for number, (attacker, _) in enumerate(some):
            attacker.vanish(reset=bool(number % 2))
        await target.is_alone_again()


async def test_connections_that_say_nothing_keep_nobody_out(target):
    silent = [await target.attacker() for _ in range(200)]
    late = await target.attacker()
    await late.send(target.handshake())
    assert await late.status() == 101
    for attacker in silent:
        attacker.vanish()
