"""Attacks on what a server remembers: floods of paths, of repeats, of requests, of sessions; clients that stall.

Others are served meanwhile: whoever is honest reads each value of its path once, and in order.
"""

import asyncio
import base64
import json
from types import SimpleNamespace

import orjson
import pytest

from signalpost.history.stream import STREAM
from signalpost.signals.answers import MOST_KNOWN, MOST_KNOWN_BYTES, SHARE
from signalpost.signals.ledger import LONGEST_INFO, MOST_NAMED, Ledger
from signalpost.signals.sessions import PREFIX, Sessions
from signalpost.testing import serve

TEXT, PING, PONG = 1, 9, 10
LIMIT = 1024 * 1024
OUTBOX = 256 * 1024
CHUNK = 65_536
LARGEST_ANSWER = 1_200_000  # a request's: 1 MiB of values, and what stands around them
FEWEST_TURNS = 5
LINE = f"Sec-WebSocket-Protocol: signalpost.v1, {PREFIX}"
V1 = ["signalpost.v1"]
APP = """
    endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
    signals:
      - {path: /echo, rebroadcast: sender}
      - {path: /topics/<name>, rebroadcast: path, targets: [path], history: {keep: 100, replay: 5}}
      - {path: /full, rebroadcast: path, history: {keep: 1000}}
      - {path: /kept, rebroadcast: path, history: {keep: 10000, replay: 100}, slow: {policy: catch_up, buffer: 64KiB}}
      - {path: /once, do: [{reply: {value: "{{ message }}"}}]}
      - {path: /join, do: [{join: "{{ message }}"}, {broadcast: {value: joined, group: "{{ message }}"}}]}
      - {path: /here, presence: {info: {name: "{{ request.query.name }}"}, every: 10ms, grace: 0}, rebroadcast: path}
    history: {limit: 1MiB}
    limits: {rate: 0, message: 256KiB, outbox: 256KiB}
"""


@pytest.fixture(scope="module")
async def served():
    """One server, and one bystander who stays (see the fixture `target`)."""
    async with serve(APP) as app, app.connect("/echo") as bystander:
        yield app, bystander


@pytest.fixture
def memory(target):
    return target.app.server.node.memory


class Peer:
    """A bare socket that speaks signalpost.v1."""

    def __init__(self, attacker, frame):
        self.attacker = attacker
        self._frame = frame

    async def send(self, **document):
        await self.attacker.send(self._frame(TEXT, orjson.dumps(document)))

    async def read(self):
        opcode, payload = await self.attacker.frame()
        assert opcode == TEXT, (opcode, payload)
        return orjson.loads(payload)

    async def until_pong(self, mark):
        """Read everything that was sent before now."""
        await self.attacker.send(self._frame(PING, mark))
        read = []
        while (one := await self.attacker.frame()) != (PONG, mark):
            read.append(orjson.loads(one[1]))
        return read


async def peer_of(target, frame, path, session="", *, receive_buffer=0):
    """Connect a peer; give also its welcome and its client at the server."""
    attacker = await target.attacker(receive_buffer=receive_buffer)
    line = LINE + session if session else "Sec-WebSocket-Protocol: signalpost.v1"
    await attacker.send(target.handshake(path, line))
    assert await attacker.status() == 101
    peer = Peer(attacker, frame)
    welcome = (await peer.read())["welcome"]
    return peer, welcome, target.hub.clients[welcome["clientId"]]


def values_in(frames):
    return [each["signal"]["value"] for each in frames if "signal" in each]


# Paths


async def test_a_flood_of_new_paths_stays_within_the_limit_and_takes_nothing_from_a_path_with_a_client(
    target, frame, memory
):
    honest, welcome, _ = await peer_of(target, frame, "/topics/honest")
    flooder, _, _ = await peer_of(target, frame, "/topics/flood")
    for number in range(20):
        await honest.send(message=f"{number} {'h' * 100}")
    value = "f" * 200
    for start in range(0, 20_000, 1_000):
        some = (
            frame(TEXT, b'{"message":"%b","path":"/topics/%d"}' % (value.encode(), number))
            for number in range(start, start + 1_000)
        )
        await flooder.attacker.send(b"".join(some))
        assert not await flooder.until_pong(b"%d" % start)
        assert memory.streams.size <= LIMIT
        assert len(memory.streams) <= LIMIT // STREAM
        await target.nobody_noticed()
        await honest.send(message=f"{20 + start // 1_000} {'h' * 100}")
    assert memory.streams.size == sum(each.size for each in memory.streams)
    sent = [f"{number} {'h' * 100}" for number in range(40)]
    assert values_in(await honest.until_pong(b"end")) == sent
    again, told, _ = await peer_of(target, frame, f"/topics/honest?at={welcome['at']}")
    assert (told.get("welcome", told))["recovered"] is True
    assert values_in(await again.until_pong(b"end")) == sent


async def test_a_flood_of_connections_by_new_paths_stays_within_the_limit(target, frame, memory):
    honest, welcome, _ = await peer_of(target, frame, "/topics/honest2")
    await honest.send(message="kept")
    name = "p" * 1_000  # each path takes room too
    for start in range(0, 2_000, 100):
        some = [await peer_of(target, frame, f"/topics/{name}{number}") for number in range(start, start + 100)]
        for peer, _, _ in some:
            peer.attacker.vanish(reset=True)
        while len(target.hub.clients) > 2:
            await target.nobody_noticed()
        assert memory.streams.size <= LIMIT
    again, told, _ = await peer_of(target, frame, f"/topics/honest2?at={welcome['at']}")
    assert told["recovered"] is True
    assert values_in(await again.until_pong(b"end")) == ["kept"]
    assert values_in(await honest.until_pong(b"end")) == ["kept"]


# Answers


async def test_a_flood_of_once_makes_only_its_own_session_forgotten(target, frame, memory):
    honest, _, _ = await peer_of(target, frame, "/once")
    await honest.send(message="first", ref=1, once="o")
    assert await honest.read() == {"reply": {"ref": 1, "value": "first"}}
    flooder, welcome, _ = await peer_of(target, frame, "/once")
    session = memory.sessions.open(welcome["session"], "/once", "")[0]
    session.guest = next(
        each.conversation for each in target.app.server._sockets.connections if each.client.id == welcome["clientId"]
    )
    for start in range(0, 10_000, 1_000):
        some = (frame(TEXT, b'{"message":1,"once":"%d","ref":1}' % number) for number in range(start, start + 1_000))
        await flooder.attacker.send(b"".join(some))
        assert len(await flooder.until_pong(b"%d" % start)) == 1_000
        assert len(session.repeats) <= MOST_KNOWN // SHARE
        await target.nobody_noticed()
    large = "l" * 60_000
    for number in range(80):  # 4.8 MB of answers
        await flooder.send(message=large, once=f"large {number}", ref=number)
        assert (await flooder.read())["reply"]["ref"] == number
        assert session.repeats_size <= MOST_KNOWN_BYTES // SHARE
    await honest.send(message="not done again", ref=2, once="o")
    assert await honest.read() == {"reply": {"ref": 2, "value": "first", "again": True}}


async def test_refs_whose_answers_are_not_read_end_the_connection_within_bounds(target, frame):
    flooder, _, side = await peer_of(target, frame, "/once", receive_buffer=4_096)
    most = 0
    data = frame(TEXT, b'{"message":"%b","ref":1,"once":"x"}' % (b"m" * 100)) * 1_000
    while not side.close_code:
        flooder.attacker.send_what_fits(data)
        await target.nobody_noticed()
        most = max(most, side.waiting)
    assert side.close_code == 4008
    assert most <= OUTBOX + CHUNK + 1_024


# Requests


async def fill(target, frame, path, count, size):
    honest, _, _ = await peer_of(target, frame, path)
    for number in range(count):
        await honest.send(message=f"{number} {'v' * size}")
    assert len(await honest.until_pong(b"filled")) == count
    return honest


ASK = b'{"signalpost":{"history":{"limit":1000}},"ref":1}'


async def test_others_have_their_turns_while_one_asks_300_times_for_a_thousand_values(target, frame):
    honest = await fill(target, frame, "/full", 1_000, 100)
    asker, _, _ = await peer_of(target, frame, "/full")

    async def ask():
        for _ in range(150):
            await asker.attacker.send(frame(TEXT, ASK) * 2)
            for _ in range(2):
                while "history" not in (read := await asker.read()):
                    pass
                assert len(read["history"]["signals"]) == 1_000

    asking = asyncio.ensure_future(ask())
    turns = 0
    while not asking.done():
        await target.nobody_noticed()
        await honest.send(message=turns)
        assert (await honest.read())["signal"]["value"] == turns
        turns += 1
    await asking
    assert turns >= 150


async def test_who_asks_300_times_at_once_and_reads_as_fast_as_it_can_is_served_or_closed_and_others_are_served(
    target, frame
):
    honest = await fill(target, frame, "/full", 1_000, 100)
    asker, _, side = await peer_of(target, frame, "/full")
    await asker.attacker.send(frame(TEXT, ASK) * 300)
    rest = asyncio.ensure_future(asker.attacker.rest())
    for number in range(50):
        await target.nobody_noticed()
        await honest.send(message=number)
        assert (await honest.read())["signal"]["value"] == number
        assert side.waiting <= OUTBOX + LARGEST_ANSWER
    rest.cancel()
    assert side.close_code in {0, 4008}


async def test_who_asks_and_does_not_read_is_closed_within_bounds(target, frame):
    honest = await fill(target, frame, "/full", 1_000, 100)
    asker, _, side = await peer_of(target, frame, "/full", receive_buffer=4_096)
    most, turns = 0, 0
    while not side.close_code:
        asker.attacker.send_what_fits(frame(TEXT, ASK) * 100)
        await target.nobody_noticed()
        await honest.send(message="x")
        assert (await honest.read())["signal"]["value"] == "x"
        most = max(most, side.waiting)
        turns += 1
        assert turns < 1_000
    assert side.close_code == 4008
    assert most <= OUTBOX + LARGEST_ANSWER


async def test_who_asks_for_much_pays_for_the_work_by_its_rate():
    app = """
        endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
        signals: [{path: /full, rebroadcast: path, history: 1000}]
    """
    async with serve(app) as running, running.connect("/full", subprotocols=V1) as client:
        await client.receive()
        for number in range(1_000):
            running.server.node.broadcaster(f"{number} {'v' * 900}", path="/full")
        for _ in range(1_000):
            await client.receive()
        (connection,) = running.server._sockets.connections
        before = connection._allowance.seconds
        await client.send_raw(ASK.decode())
        assert len((await client.receive_json())["history"]["signals"]) == 1_000
        assert connection._allowance.seconds < before


# Sessions


def guest(sessions, session, groups=frozenset()):
    client = SimpleNamespace(groups=groups, close_code=1000, session=session.key)
    return SimpleNamespace(client=client, session=session)


def test_who_comes_and_goes_100_000_times_leaves_no_more_sessions_than_there_may_be_connections(make_clock):
    clock = make_clock()
    sessions = Sessions(clock, 1_000)
    texts = []
    for number in range(100_000):
        session, before = sessions.open("" if number % 3 else f"unknown {number}", "/", str(number))
        assert before is None
        session.guest = guest(sessions, session, frozenset({f"group {number}"}))
        sessions.leave(session, session.guest, sent_away=False)
        assert len(sessions) <= 1_000
        texts.append(session.id)
        clock.now += 0.001
    assert len(set(texts)) == 100_000
    kept, _ = sessions.open(texts[-1], "/", "again")
    assert (kept.id, kept.user, kept.groups) == (texts[-1], "99999", frozenset({"group 99999"}))
    assert sessions.open(texts[0], "/", "again")[0].id != texts[0]
    clock.now += 601
    sessions.forget_old()
    assert len(sessions) == 2  # those that are connected


async def test_1_000_connections_that_come_and_go_leave_their_sessions_alone(target, frame, memory):
    for _ in range(20):
        some = [await peer_of(target, frame, "/echo") for _ in range(50)]
        for number, (peer, _, _) in enumerate(some):
            peer.attacker.vanish(reset=bool(number % 2))
        await target.is_alone_again()
        assert not memory.sessions._connected
    assert len(memory.sessions) <= memory.sessions.most


async def test_two_who_take_one_session_from_each_other_are_one_user_and_one_client(target, frame, memory):
    watcher, _, _ = await peer_of(target, frame, "/here?name=watcher")
    peer, welcome, _ = await peer_of(target, frame, "/here?name=twin")
    session, user = welcome["session"], welcome["user"]
    for number in range(200):
        taker, told, _ = await peer_of(target, frame, "/here?name=twin", session)
        assert (told["session"], told["user"]) == (session, user)
        while (last := await peer.attacker.frame())[0] == TEXT:
            pass
        assert last[0] == 8
        assert int.from_bytes(last[1][:2], "big") == 4410
        peer.attacker.vanish(reset=bool(number % 2))
        peer = taker
        await target.nobody_noticed()
    assert {each.user: each.n for each in memory.present("/here")}[user] == 1
    assert len(memory.present("/here")) == 2
    assert len(memory.sessions._connected) == 2
    await watcher.send(message="both")
    while "signal" not in (read := await peer.read()):
        pass
    assert read["signal"]["value"] == "both"


async def test_many_who_bring_one_session_at_once_leave_one_that_has_it(target, frame, memory):
    first, welcome, _ = await peer_of(target, frame, "/join")
    await first.send(message="g")
    assert values_in(await first.until_pong(b"in")) == ["joined"]
    session = welcome["session"]
    line = LINE + session
    attackers = [await target.attacker() for _ in range(50)]
    for attacker in attackers:
        await attacker.send(target.handshake("/join", line))
    ids = {welcome["clientId"]}
    for attacker in attackers:
        assert await attacker.status() == 101
        told = (await Peer(attacker, frame).read())["welcome"]
        assert told["session"] == session
        ids.add(told["clientId"])
    (winner,) = (each for each in target.hub.clients.values() if each.path == "/join")
    assert winner.id in ids
    assert winner.groups == {"g"}
    assert list(memory.sessions._connected) == [session]
    assert len(ids) == 51
    for attacker in (first.attacker, *attackers):
        attacker.vanish()
    await target.is_alone_again()
    assert not memory.sessions._connected


# Handshakes

POSITIONS = [
    *("x" * 10_000, "6bvws1:" + "9" * 10_000 + ":0000", ":" * 10_000, "%00" * 3_000, "%ff%fe", "%", "%zz", "+", ""),
    *("6bvws1:-1:0000", "6bvws1:1:00", "6bvws1:01:0000", "6bvws1:999999999999999999:0000", "6BVWS1:0:0000"),
    *(
        "6bvws1:%D9%A1:0000",
        "6bvws1:1:0000%0A",
        "6bvws1:1:0000&at=6bvws1:2:0000",
        "{{ 1 }}",
        "\u00e9",
        "a;b",
        "at=at=at=",
    ),
]
SESSIONS = [
    *("x" * 10_000, "", ".", "!#$%&'*+-.^_`|~", "None", "signalpost.session.", "0" * 22, "bUIND5QlDQDhQ8h-peUL9Q"),
    *(
        "a,b",
        '"quoted"',
        "a b",
        "\u00e9",
        "a\tb",
        "a;b=c",
        "a/b",
        "x, signalpost.session.y",
        "\x7f",
        "{}",
        "(",
        "\u00ff" * 9_000,
    ),
]


@pytest.mark.parametrize("text", POSITIONS, ids=lambda text: ascii(text[:20]))
@pytest.mark.parametrize("path", ["/kept", "/echo"])
async def test_no_position_of_a_stranger_is_believed_or_harms(target, frame, caplog, path, text):
    attacker = await target.attacker()
    await attacker.send(
        target.handshake(f"{path}?at={text}".replace(" ", "%20"), "Sec-WebSocket-Protocol: signalpost.v1")
    )
    status = await attacker.status()
    await target.nobody_noticed()
    assert status in {101, 400, 404, 414, 431}
    if status == 101:
        welcome = (await Peer(attacker, frame).read())["welcome"]
        assert len(json.dumps(welcome)) < 300
        assert welcome.get("recovered", False) is False
        assert ("at" in welcome) is (path == "/kept")
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


@pytest.mark.parametrize("text", SESSIONS, ids=lambda text: ascii(text[:20]))
async def test_no_session_of_a_stranger_is_known_or_comes_back(target, frame, caplog, memory, text):
    known = len(memory.sessions)
    attacker = await target.attacker()
    await attacker.send(target.handshake("/kept", LINE + text))
    head = await attacker.until(b"\r\n\r\n")
    await target.nobody_noticed()
    status = int(head.split()[1])
    assert status in {101, 400, 431}
    assert b"session" not in head
    if status == 101 and b"signalpost.v1" in head:
        welcome = (await Peer(attacker, frame).read())["welcome"]
        assert len(welcome["session"]) == 22
        assert welcome["session"] != text
        assert len(base64.urlsafe_b64decode(welcome["session"] + "==")) == 16
        assert len(memory.sessions) <= known + 1
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


# Presence


def size_of(body):
    return len(orjson.dumps(body))


@pytest.mark.parametrize(("users", "info"), [(1_000, "i" * (LONGEST_INFO - 2)), (10_000, None)])
def test_no_frame_of_presence_is_larger_than_what_may_be_named(users, info):
    ledger = Ledger(100_000)
    most = 2 * MOST_NAMED
    for number in range(users):
        ledger.enter(f"{number:032}", info)
        if not number % 50:
            assert size_of(ledger.difference()) <= most
        if not number % 500:
            assert size_of(ledger.whole()) <= most
    for number in range(users):
        ledger.leave(f"{number:032}", number)
        if not number % 50:
            ledger.expire(number)
            assert size_of(ledger.difference() or {}) <= most
    assert size_of(ledger.whole()) <= most
    ledger.expire(users)
    ledger.difference()
    assert size_of(ledger.whole()) < 100


def test_users_who_come_and_go_between_two_differences_leave_nothing_to_tell():
    ledger = Ledger(1_000)
    ledger.enter("here", None)
    ledger.difference()
    for number in range(20_000):
        ledger.enter(f"{number:032}", None)
        ledger.leave(f"{number:032}", number)
        ledger.expire(number)
    assert size_of(ledger.difference() or {}) <= MOST_NAMED


async def test_400_users_with_the_largest_info_are_told_in_small_frames_and_harm_nobody(target, frame):
    watcher, _, _ = await peer_of(target, frame, "/here?name=watcher")
    name = "n" * (LONGEST_INFO - 20)
    crowd = [await peer_of(target, frame, f"/here?name={name}") for _ in range(400)]
    await target.nobody_noticed()
    largest, count = 0, 0
    while count < 401:
        opcode, payload = await watcher.attacker.frame()
        assert opcode == TEXT
        largest = max(largest, len(payload))
        count = orjson.loads(payload)["presence"]["count"]
    assert largest <= MOST_NAMED + 60 * 401
    await watcher.send(signalpost={"presence": {}}, ref=1)
    while (body := (await watcher.read())["presence"]).get("ref") != 1:
        pass
    assert set(body) == {"ref", "path", "version", "count"}
    for peer, _, _ in crowd:
        peer.attacker.vanish()


# Stalling


def judge(frames, last):
    """Hold what a client of /kept read against what was sent: 0, 1, 2, …, without a hole that is not told of."""
    expected = None
    told = 0
    for each in frames:
        if "gap" in each:
            expected = int(each["gap"]["at"].split(":")[1]) + 1
            told += 1
            continue
        if "signal" not in each:
            continue
        offset = int(each["signal"]["at"].split(":")[1])
        assert expected is None or offset == expected, f"{offset} comes in place of {expected}"
        expected = offset + 1
    assert expected == last + 1
    return told


@pytest.mark.parametrize("dribbles", [False, True], ids=["stalls", "dribbles"])
async def test_who_stalls_while_10_000_values_pass_costs_a_buffer_and_misses_nothing_untold(
    target, frame, memory, dribbles
):
    honest, _, _ = await peer_of(target, frame, "/kept")
    stalls, _, side = await peer_of(target, frame, "/kept", receive_buffer=4_096)
    stream = side.stream
    await honest.until_pong(b"replayed")
    begins, most, read = stream.top, 0, []
    for number in range(100):
        value = orjson.dumps({"message": [number, "v" * 1_000]})
        await honest.attacker.send(frame(TEXT, value) * 100)
        own = await honest.until_pong(b"%d" % number)
        assert [each["signal"]["value"][0] for each in own] == [number] * 100
        most = max(most, side.waiting)
        if dribbles:
            read.append(await stalls.read())
        assert memory.streams.size <= LIMIT
    assert stream.top == begins + 10_000
    assert most <= 2 * CHUNK + 64 * 1024
    assert not side.close_code
    read += await stalls.until_pong(b"end")  # a pong is no value of the path, and overtakes them
    while not read or not any(("signal" in each) and each["signal"]["at"] == str(stream.at) for each in read[-1:]):
        read.append(await stalls.read())
    assert judge(read, stream.top) >= 1  # 10 MB do not fit into the limit
    assert stream.readers == 2


async def test_who_writes_byte_by_byte_is_heard_and_keeps_nobody_waiting(target, frame):
    attacker = await target.attacker()
    for byte in target.handshake("/kept?at=6bvws1:1:0000", "Sec-WebSocket-Protocol: signalpost.v1"):
        await attacker.send(bytes((byte,)))
    assert await attacker.status() == 101
    peer = Peer(attacker, frame)
    assert (await peer.read())["welcome"]["recovered"] is False
    while "gap" not in await peer.read():
        pass
    await peer.until_pong(b"before")
    for number in range(5):
        for byte in frame(TEXT, b'{"message":%d,"ref":%d,"once":"%d"}' % (number, number, number)):
            await attacker.send(bytes((byte,)))
        await target.nobody_noticed()
        read = await peer.until_pong(b"%d" % number)
        assert [next(iter(each)) for each in read] == ["signal", "ack"]
        assert read[1]["ack"]["at"] == read[0]["signal"]["at"]
