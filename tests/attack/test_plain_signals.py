"""Attacks by plain HTTP on signals: texts that would forge events, bodies that never end, floods of messages.

Nothing that a client sends ends, slows or reads a connection that is not its own.
"""

import asyncio
import itertools

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from signalpost.delivery.eventstream import EVENT_STREAM, EVENT_STREAM_V1
from signalpost.delivery.publication import Publication, RawPublication
from signalpost.testing import serve

FEWEST_TURNS = 5
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
APP = """
    endpoints:
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: '/rooms/<room>', rebroadcast: path}
      - {path: '/kept/<room>', rebroadcast: path, history: 10}
      - {path: /join, do: [{join: "{{ message }}"}]}
      - {path: /raw, rebroadcast: path, format: raw}
    limits: {rate: 0, message: 256KiB, outbox: 256KiB, connections: 4000, handshake: 2s}
"""

reused = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
# What a text may be made of to be taken for something else.
FIELDS = ["data:", "data: x", "id: 6", "id", "event: close", "retry: 1", ":", " ", "{", '"']
ENDS = ["\r", "\n", "\r\n", "\n\n", "\0", "\ufeff", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\U0001f600"]
PARTS = st.sampled_from(FIELDS + ENDS)
TEXTS = st.lists(PARTS | st.text(max_size=8), max_size=12).map("".join)


@pytest.fixture(scope="module")
async def served():
    """One server, and one bystander who stays (see the fixture `target`)."""
    async with serve(APP) as app, app.connect("/echo") as bystander:
        yield app, bystander


def as_read(text):
    """Return a text as an event stream can carry it: each end of a line is one character."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def post(path, message, *headers):
    body = orjson.dumps({"message": message})
    lines = "".join(f"{each}\r\n" for each in headers)
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def stream_of(target, path, **options):
    attacker = await target.attacker("web", **options)
    await attacker.send(GET % path.encode())
    assert await attacker.status() == 200
    return attacker


async def answers_of(attacker, count, status):
    """Read answers, which have one status each."""
    for _ in range(count):
        head = await attacker.until(b"\r\n\r\n")
        assert int(head.split()[1]) == status, head
        (length,) = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await attacker.exactly(int(length.split(b":")[1]))


# Texts


@given(texts=st.lists(TEXTS, max_size=6), cuts=st.lists(st.integers(1, 9), max_size=40))
@example(texts=["\r", "\n", "", "a\rid: 6\r\rdata: b", "\r\n\r\n"], cuts=[1])
@settings(max_examples=400)
def test_any_text_comes_to_a_strict_reader_as_it_was_sent(make_event_parser, texts, cuts):
    wire = b"".join(EVENT_STREAM.encode(RawPublication(1, text.encode(), "/a")) for text in texts)
    parser, found, sizes = make_event_parser(), [], itertools.chain(itertools.cycle(cuts) if cuts else [len(wire) or 1])
    while wire:
        size = next(sizes, len(wire))
        piece, wire = wire[:size], wire[size:]
        found += parser.feed(piece)
    assert found == [("message", as_read(text), "") for text in texts]
    assert (parser.retry, parser.comments, parser.unknown) == (None, 0, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON, path=TEXTS)
@settings(max_examples=200)
def test_any_value_comes_to_a_client_of_v1_as_it_was_sent(make_event_parser, value, path):
    parser = make_event_parser()
    ((name, data, at),) = parser.feed(EVENT_STREAM_V1.encode(Publication(value, path or "/")))
    assert (name, orjson.loads(data), at) == ("message", {"signal": {"path": path or "/", "value": value}}, "")


@given(reason=TEXTS, code=st.sampled_from([1000, 1008, 4000, 4999]), retry=st.none() | st.integers(0, 10**7))
@settings(max_examples=200)
def test_whatever_the_reason_a_close_is_one_event(make_event_parser, reason, code, retry):
    for encoding, read in ((EVENT_STREAM, lambda found: found), (EVENT_STREAM_V1, lambda found: found["close"])):
        parser = make_event_parser()
        *_, (name, data, at) = parser.feed(encoding.codec.goodbye(code, reason, retry))
        assert name == ("close" if encoding is EVENT_STREAM else "message")
        assert read(orjson.loads(data)) == {"code": code, "reason": reason}
        assert (at, parser.retry, parser.unknown) == ("", retry, [])


@given(texts=st.lists(TEXTS.filter(bool), min_size=1, max_size=5))
@settings(reused, max_examples=60)
async def test_any_text_comes_through_a_real_server_as_it_was_sent(target, make_event_parser, texts):
    reader, writer = await stream_of(target, "/raw"), await target.attacker("web")
    for text in texts:
        body = text.encode()
        await writer.send(b"POST /raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await answers_of(writer, 1, 202)
    parser, found = make_event_parser(), []
    while len(found) < len(texts):
        found += parser.feed(await reader.until(b"\n\n"))
    assert [data for _, data, _ in found] == [as_read(text) for text in texts]
    reader.vanish()
    writer.vanish()


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Last-Event-ID", "Signalpost-Session", "Accept", "Content-Type", "Origin", "X", "Expect"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    ),
    max_size=4,
)


REQUESTS = st.builds(
    lambda method, path, headers, body: (
        (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in headers)
            + ("" if method == "OPTIONS" else f"Content-Length: {len(body)}\r\n")
            + "\r\n"
        ).encode("latin-1")
        + (b"" if method == "OPTIONS" else body)
    ),
    st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"]),
    st.sampled_from(["/rooms/a", "/kept/a?at=x", "/raw?v=1", "/kept/%ff", "/rooms/a?v=1&v=2", "/ROOMS/%0d%0a"]),
    HEADERS,
    st.binary(max_size=60),
)


@given(request_=REQUESTS)
@settings(reused, max_examples=60)
async def test_whatever_is_asked_it_ends_no_connection_but_its_own(target, caplog, request_):
    attacker = await target.attacker("web")
    await attacker.send(request_)
    answer = await attacker.until(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 500")
    await target.nobody_noticed()
    attacker.vanish(reset=True)
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


# Bodies and requests that never end


@pytest.mark.slow
async def test_bodies_that_come_byte_by_byte_keep_nobody_waiting_and_end(target):
    slow = [await target.attacker("web") for _ in range(100)]
    for number, attacker in enumerate(slow):
        framing = b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" if number % 2 else b"Content-Length: 200000\r\n\r\n"
        await attacker.send(b"POST /rooms/a HTTP/1.1\r\nHost: localhost\r\n" + framing + b"{")
    honest = await target.attacker("web")
    for _ in range(20):
        await honest.send(post("/rooms/a", "hi"))
        await answers_of(honest, 1, 202)
        await target.nobody_noticed()
    assert len(target.hub.clients) == 1, "no client is there before its message is"
    for attacker in slow:
        assert b" 408 " in (await attacker.rest()).partition(b"\r\n")[0]


@pytest.mark.slow
async def test_two_thousand_streams_that_are_never_read_and_half_closed_ones_slow_nobody(target):
    silent = [await target.attacker("web", receive_buffer=4_096) for _ in range(2_000)]
    for attacker in silent:
        await attacker.send(GET % b"/rooms/silent")
    while len(target.hub.clients) < 2_001:
        await target.nobody_noticed()
    for _ in range(20):
        target.app.server.node.broadcaster("x" * 30_000, path="/rooms/silent")
        await target.nobody_noticed()
    for attacker in silent[::2]:
        attacker.end_of_sending()
    for attacker in silent[1::2]:
        attacker.vanish(reset=True)
    await target.nobody_noticed()
    for attacker in silent[::2]:
        attacker.vanish()


@pytest.mark.slow
async def test_requests_that_never_become_whole_leave_room_for_others(target):
    halves = [await target.attacker("web") for _ in range(2_000)]
    for number, attacker in enumerate(halves):
        whole = GET % b"/rooms/a" if number % 2 else post("/rooms/a", "x")
        await attacker.send(whole[: -1 - number % 20])
    for _ in range(10):
        honest = await target.attacker("web")
        await honest.send(post("/echo", "hi"))
        await answers_of(honest, 1, 202)
        honest.vanish()
        await target.nobody_noticed()
    assert len(target.hub.clients) == 1
    for attacker in halves:
        attacker.vanish(reset=True)


# Floods


@pytest.mark.parametrize(
    ("path", "count", "status"), [("/echo", 3_000, 202), ("/join", 3_000, 202), ("/kept/a", 3_000, 202)]
)
async def test_others_have_their_turns_while_one_posts_thousands_of_messages_at_once(target, path, count, status):
    attacker = await target.attacker("web")
    flood = asyncio.ensure_future(attacker.send(post(path, "x") * count))
    ended = asyncio.ensure_future(answers_of(attacker, count, status))
    turns = 0
    while not ended.done():
        await target.nobody_noticed()
        turns += 1
    await ended
    await flood
    assert turns >= count // 20, "the bystander has a turn for every few messages"


async def test_others_have_their_turns_while_many_connections_post(target):
    attackers = [await target.attacker("web") for _ in range(50)]
    for attacker in attackers:
        await attacker.send(post("/rooms/a", "x") * 100)
    ended = asyncio.gather(*(answers_of(attacker, 100, 202) for attacker in attackers))
    turns = 0
    while not ended.done():
        await target.nobody_noticed()
        turns += 1
    await ended
    assert turns >= FEWEST_TURNS


async def test_who_posts_and_reads_no_answer_is_held_back_and_not_remembered(target):
    attacker = await target.attacker("web", receive_buffer=4_096)
    data = post("/echo", "x" * 2_000) * 20_000
    flood = asyncio.ensure_future(attacker.send(data))
    most = 0
    for _ in range(300):
        await target.nobody_noticed()
        most = max(most, len(target.hub.clients))
    assert not flood.done(), "the server reads no further than it can answer"
    assert most <= 2
    flood.cancel()
    await asyncio.wait([flood])
    attacker.vanish(reset=True)


async def test_a_stream_flooded_by_posts_of_others_is_dropped_within_bounds_and_they_are_not(target):
    reader = await stream_of(target, "/rooms/a", receive_buffer=4_096)
    (client,) = (each for each in target.hub.clients.values() if each.id != target.bystander.id)
    writer, most = await target.attacker("web"), 0
    while not client.closing:
        await writer.send(post("/rooms/a", "x" * 60_000))
        await answers_of(writer, 1, 202)
        most = max(most, client.waiting)
        await target.nobody_noticed()
    assert client.close_code == 4008
    assert most <= 256 * 1024 + 65_536 + 100_000
    reader.vanish()


# What is another's


async def test_a_guessed_session_or_the_id_of_a_client_opens_nothing(target):
    reader = await target.attacker("web")
    await reader.send(GET % b"/rooms/a?v=1")
    assert await reader.status() == 200
    welcome = (await reader.until(b"\n\n")).partition(b"data: ")[2]
    welcome = orjson.loads(welcome)["welcome"]
    session, writer = welcome["session"], await target.attacker("web")
    for guess in (welcome["clientId"], session[:-1], session + "x", session.swapcase(), f" {session[1:]}", ""):
        await writer.send(post("/rooms/a", "guess", f"Signalpost-Session: {guess}"))
        await answers_of(writer, 1, 202)
        thief = await target.attacker("web")
        await thief.send(
            b"GET /rooms/a?v=1 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            b"Signalpost-Session: %b\r\n\r\n" % guess.encode()
        )
        assert await thief.status() == 200
        assert session.encode() not in await thief.until(b"\n\n")
        thief.vanish()
        assert b"guess" in await reader.until(b"\n\n")
    reader.vanish()


async def test_sessions_that_streams_leave_behind_are_bounded(target):
    sessions = target.app.server.node.memory.sessions
    sessions.most, most = 50, sessions.most
    try:
        for _ in range(200):
            stream = await stream_of(target, "/rooms/a?v=1")
            stream.vanish(reset=True)
            await target.nobody_noticed()
        while len(target.hub.clients) > 1 or target.hub.closing:
            await target.nobody_noticed()
        assert len(sessions) <= 50
    finally:
        sessions.most = most
