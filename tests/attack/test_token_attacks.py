"""Those who show tokens of all kinds, and those who were refused and do not go."""

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from tokenapp import AUTH, ROOMS, V1, renewal, show, token_app

from signalpost.sockets import refused

HANDSHAKE = (
    b"GET /rooms/blue HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: signalpost.v1\r\n\r\n"
)


async def until(reached):
    """Wait for something of which nothing tells."""
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def bystander(server):
    """Have a client that talks meanwhile, and must not notice."""
    async with server.client(server.token("bob"), "/open") as bob:
        await bob.send("before", ref=1)
        assert {(await bob.receive_json()).popitem()[0] for _ in range(2)} == {"signal", "ack"}
        yield bob
        await bob.send("after", ref=2)
        came = [(await bob.receive_json()).popitem()[0] for _ in range(2)]
        assert set(came) == {"signal", "ack"}


# Renewals


@pytest.mark.parametrize("seed", range(4))
async def test_renewals_among_closes_repeats_and_reloads_get_one_answer_each(seed):
    dice = random.Random(seed)
    async with token_app() as server:
        text = (server.app.folder / "routes.yaml").read_text()
        good, other = server.token(lasts=900), server.token("eve")
        async with bystander(server), server.client(server.token(lasts=60)) as ann:
            asked, answers = {}, {}
            for ref in range(120):
                what = dice.choice(["good", "other", "bad", "say", "once", "reload", "time"])
                if what == "reload":
                    await server.app.reload(text.replace("leeway: 5s", f"leeway: {dice.randrange(3, 9)}s"))
                elif what == "time":
                    server.pass_by(0.1)
                elif what in ("say", "once"):
                    asked[ref] = {"ack"}
                    await ann.send(ref, ref=ref, **({"once": f"o{dice.randrange(5)}"} if what == "once" else {}))
                else:
                    asked[ref] = {"ack"} if what == "good" else {"error"}
                    await ann.send_raw(renewal({"good": good, "other": other, "bad": "x.y.z"}[what], ref))
            await ann.send("over", ref="last")
            while "last" not in answers:
                (kind, body), *_ = (await ann.receive_json()).items()
                if kind in ("ack", "error"):
                    assert body["ref"] not in answers
                    answers[body["ref"]] = {kind}
            answers.pop("last")
            assert answers == asked
            assert len(server.expiries) == 2


@pytest.mark.parametrize("seed", range(3))
async def test_who_shows_tokens_and_closes_leaves_nothing_behind(seed):
    dice = random.Random(seed)
    async with token_app() as server, bystander(server):
        for _ in range(30):
            async with server.client(server.token(lasts=dice.randrange(1, 90))) as ann:
                for _ in range(dice.randrange(4)):
                    rooms = dice.choice([["blue"], ["blue"], []])
                    await ann.send_raw(renewal(server.token(lasts=dice.randrange(1, 90), rooms=rooms)))
                if dice.random() < 0.5:
                    ann.socket.transport.abort()
                if dice.random() < 0.3:
                    server.pass_by(dice.random())
        hub = server.app.server.node.hub
        await until(lambda: len(hub.clients) == 1 and not hub.closing)
        assert len(server.expiries) == 1
        assert server.expiries._told == set()


HUGE = [
    "x" * 1_000_000,
    "a." * 400_000,
    "." * 8_192,
    "eyJhbGciOiJub25lIn0..",
    "\0" * 1000,
    "😀" * 2000,
    "eyJhbGciOiJIUzI1NiJ9." + "A" * 8_000 + ".A",
    "e30.e30.e30",
    " ",
]


async def test_huge_and_malformed_tokens_are_refused_and_not_repeated():
    async with token_app() as server, bystander(server), server.client(server.token()) as ann:
        for text in HUGE:
            error = (await show(ann, text))["error"]
            assert error["code"] == "unauthorized"
            assert len(error["detail"]) < 300
        for value in (None, 1, 1e308, ["a"] * 10_000, {"token": "x"}, True):
            assert (await show(ann, value))["error"]["code"] == "bad-message"
        for raw in ('{"signalpost":{"token":"\\ud800"},"ref":1}', '{"signalpost":{"token":"a","token":"b"},"ref":1}'):
            await ann.send_raw(raw)
            assert "error" in await ann.receive_json()
        assert "ack" in await show(ann, server.token())


async def test_who_floods_tokens_keeps_no_one_else_from_being_told_and_closed():
    text = AUTH + ROOMS + "limits: {rate: {frames: 200}}\n"
    async with token_app(text) as server, bystander(server), server.client(server.token()) as ann:
        async with server.client(server.token("eve", lasts=60)) as eve:
            assert "expiring" in await eve.receive_json()
            flood = asyncio.ensure_future(_flood(ann, [renewal(server.token(jti=str(n))) for n in range(500)]))
            server.pass_by(65)
            with pytest.raises(ConnectionClosed) as caught:
                await eve.receive()
            assert caught.value.rcvd.code == 4401
            flood.cancel()
        ann.socket.transport.abort()


async def _flood(client, texts):
    while True:
        for text in texts:
            await client.send_raw(text)


GATE = """
import asyncio
from signalpost import action

GO, BEGUN = asyncio.Event(), asyncio.Event()

@action("gate")
async def gate(event, options):
    BEGUN.set()
    await GO.wait()
"""


@pytest.mark.parametrize("ends", [True, False])
async def test_a_token_may_end_while_its_client_still_arrives(ends):
    text = (
        AUTH
        + "signals: [{path: /rooms/blue, rebroadcast: path, history: 5, endpoint: live, connected: [{gate: {}}]}]\n"
    )
    async with token_app(text, plugins={"gate": GATE}) as server:
        module = next(each.module for each in server.app.server.plan.registry.plugins if each.name == "gate")
        async with server.client(server.token(lasts=30)) as ann:
            await module.BEGUN.wait()
            assert await ann.receive_json() == {"expiring": {"in": 30}}
            await ann.send_raw(renewal(server.token(lasts=900)))  # it is read when the client is in
            if ends:
                server.pass_by(35)
                with pytest.raises(ConnectionClosed) as caught:
                    await ann.receive()
                assert caught.value.rcvd.code == 4401
                module.GO.set()
            else:
                server.pass_by(29)
                module.GO.set()
                assert (await ann.receive_json())["ack"] == {"ref": 1, "expires": 871}
        await until(lambda: not server.app.server.node.hub.clients and not server.app.server.node.hub.closing)
        assert len(server.expiries) == 0


# Those who were refused


@pytest.fixture
def patience(monkeypatch):
    """Set how long a refused client may take to go."""
    return lambda seconds: monkeypatch.setattr(refused, "PATIENCE", seconds)


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the one of the listing is among them, always


async def knock(server):
    port = server.app.server.endpoints[0].port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head
    error = await frame(reader)
    assert error[0] == 0x81
    assert orjson.loads(error[2])["error"]["code"] == "unauthorized"
    close = await frame(reader)
    assert close[0] == 0x88
    assert int.from_bytes(close[2][:2]) == 4401
    return reader, writer


async def frame(reader):
    first, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    return first, length, await reader.readexactly(length)


def left(server):
    return server.app.server._sockets.refused


async def test_who_was_refused_and_never_answers_is_let_go(patience):
    patience(0.05)
    async with token_app() as server, bystander(server):
        before = descriptors()
        reader, writer = await knock(server)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert not left(server)
        await until(lambda: descriptors() == before)


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(b"\x81\xfe\xff\xff\0\0\0\0" + b"x" * 65_536, id="text"),
        pytest.param(b"\x00" * 1_000_000, id="nonsense"),
        pytest.param(b"\x89\x80\0\0\0\0" * 20_000, id="pings"),
        pytest.param(b"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00\0\0\0\0" + b"x" * 200_000, id="a gigabyte"),
    ],
)
async def test_who_was_refused_and_sends_much_is_let_go(patience, what):
    patience(3600)
    async with token_app() as server, bystander(server):
        reader, writer = await knock(server)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(what)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await until(lambda: not left(server))


@pytest.mark.parametrize("part", [b"\x88", b"\x88\x82\0\0", b"\x81\x85abcd12", b"\x01\x80abcd"])
async def test_who_was_refused_and_sends_half_a_frame_is_let_go(patience, part):
    patience(0.05)
    async with token_app() as server, bystander(server):
        reader, writer = await knock(server)
        writer.write(part)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await until(lambda: not left(server))


@pytest.mark.parametrize("how", ["half-closed", "reset", "answered"])
async def test_who_was_refused_and_goes_leaves_nothing(how):
    async with token_app() as server, bystander(server):
        before = descriptors()
        for _ in range(50):
            reader, writer = await knock(server)
            if how == "half-closed":
                writer.write_eof()
                await reader.read()
            elif how == "answered":
                writer.write(b"\x88\x82\0\0\0\0\x11\x31")
                await reader.read()
            else:
                writer.transport.abort()
            writer.close()
        await until(lambda: not left(server))
        await until(lambda: descriptors() == before)


async def test_those_who_were_refused_count_and_give_way_to_whoever_comes():
    async with token_app(AUTH + ROOMS + "limits: {connections: 40}\n") as server, bystander(server):
        before = descriptors()
        staying = [await knock(server) for _ in range(60)]
        assert len(left(server)) == 39
        for reader, writer in staying[:21]:  # the oldest
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(39):
                await stack.enter_async_context(server.client(server.token()))
            assert len(left(server)) == 0
            reader, writer = await asyncio.open_connection("127.0.0.1", server.app.server.endpoints[0].port)
            writer.write(HANDSHAKE)
            assert b" 503 " in await reader.readline()
            writer.close()
        for _, writer in staying:
            writer.close()
        await until(lambda: descriptors() == before)


@pytest.mark.slow
async def test_ten_thousand_who_are_refused_come_and_go():
    async with token_app() as server, bystander(server):
        before = descriptors()
        for _ in range(500):
            for reader, writer in await asyncio.gather(*(knock(server) for _ in range(20))):
                writer.transport.abort()
                del reader
        await until(lambda: not left(server))
        await until(lambda: descriptors() == before)


async def test_a_server_that_stops_does_not_wait_for_those_who_were_refused():
    async with token_app() as server:
        kept = [await knock(server) for _ in range(5)]
        assert len(left(server)) == 5
    assert not left(server)
    for reader, writer in kept:
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_a_reload_keeps_those_who_were_refused_apart():
    async with token_app() as server, bystander(server):
        _, writer = await knock(server)
        text = (server.app.folder / "routes.yaml").read_text()
        await server.app.reload(text.replace("leeway: 5s", "leeway: 6s"))
        assert len(left(server)) == 1
        writer.close()
        await until(lambda: not left(server))


async def test_a_client_of_v1_reads_why_by_the_library_too():
    async with token_app() as server, server.app.connect("/rooms/blue", subprotocols=[V1]) as client:
        assert (await client.receive_json())["error"]["code"] == "unauthorized"
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert caught.value.rcvd.code == 4401
