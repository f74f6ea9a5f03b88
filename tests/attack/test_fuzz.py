"""Bytes by chance: Hypothesis against the reader and a real server, and the fuzzer with its corpus for a moment."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalpost.websocket.reader import FrameReader

FUZZER = Path(__file__).with_name("fuzz.py")
TEXT, BINARY = 1, 2
LIMIT = 300
reused = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

HEADER_FIELDS = st.builds(
    lambda name, colon, value: name + colon + value,
    st.sampled_from(
        [b"Host", b"Upgrade", b"Connection", b"Origin", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Cookie"]
        + [b"Sec-WebSocket-" + rest for rest in (b"Key", b"Version", b"Protocol", b"Extensions")]
    )
    | st.binary(max_size=8),
    st.sampled_from([b": ", b":", b" : ", b"", b"\n", b"\r\n "]),
    st.sampled_from([b"websocket", b"Upgrade", b"13", b"0", b"chunked", b"100-continue", b"close", b"null"])
    | st.binary(max_size=30),
)
FRAMES = st.builds(
    lambda first, second, rest: bytes((first, second)) + rest,
    st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1]) | st.integers(0, 255),
    st.sampled_from([0x80, 0x81, 0x84, 0xFE, 0xFF]) | st.integers(0, 255),
    st.binary(max_size=12) | st.sampled_from([bytes(4) + b'{"message":1}', bytes(3), b"\x00\x7e" + bytes(130)]),
)


@given(st.lists(FRAMES | st.binary(max_size=40), max_size=12), st.integers(1, 9))
@settings(max_examples=200)
def test_whatever_comes_as_frames_is_messages_within_the_limit_or_an_error(pieces, size):
    stream = b"".join(pieces)
    whole, cut = FrameReader(LIMIT), FrameReader(LIMIT)
    received = whole.feed(stream)
    assert received == [each for at in range(0, len(stream), size) for each in cut.feed(stream[at : at + size])]
    assert (whole.error and whole.error.code) == (cut.error and cut.error.code)
    assert whole.error is None or whole.error.code in {1002, 1007, 1009}
    assert all(len(payload) <= (LIMIT if opcode <= BINARY else 125) for opcode, payload in received)


@given(st.lists(HEADER_FIELDS, max_size=6), st.binary(max_size=60), st.integers(0, 3))
@reused
async def test_whatever_comes_as_a_handshake_is_answered_by_http_or_not_at_all(target, caplog, fields, behind, cut):
    head, end = target.handshake("/raw")[:-2], b"\r\n\r\n"[cut:]
    attacker = await target.attacker()
    await attacker.send(head + b"\r\n".join(fields) + end + behind)
    await target.nobody_noticed()
    attacker.end_of_sending()
    answer = await attacker.rest()
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


@given(st.lists(FRAMES | st.binary(max_size=40), max_size=12))
@reused
async def test_whatever_comes_as_frames_over_a_socket_ends_its_connection_at_most(target, caplog, pieces):
    attacker, side = await target.intruder("/raw")
    await attacker.send(b"".join(pieces))
    await target.nobody_noticed()
    attacker.end_of_sending()
    await attacker.rest()
    while side in target.hub.closing or side.id in target.hub.clients:
        await target.nobody_noticed()
    assert side.close_code
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rounds", "targets"),
    [
        (
            400,
            [
                "reader",
                "message",
                "conversing",
                "position",
                "feed",
                "handshake",
                "session",
                "server",
                "body",
                "forwarded",
                "token",
            ],
        ),
        (200, ["schema", "template", "request", "forwarded"]),
        (0, ["actions"]),
    ],
)
def test_the_fuzzer_breaks_no_rule_with_its_corpus_and_a_few_mutations(rounds, targets):
    chosen = [word for target in targets for word in ("--target", target)]
    command = [sys.executable, FUZZER, "--rounds", str(rounds), "--seed", "1", "--without-clock", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{rounds} inputs, no rule broken") == len(targets)
