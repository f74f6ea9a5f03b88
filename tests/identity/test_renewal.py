"""Another token on the connection that there is: on real sockets, by a clock of the test."""

import asyncio
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from websockets.exceptions import ConnectionClosed

sys.path.insert(0, str(Path(__file__).parent))

from tokenapp import AUTH, ENDPOINTS, ROOMS, SECRET, renewal, show, token_app


async def closed(client):
    """Return the code and the reason of a connection that ends, and what came before."""
    came = []
    try:
        while True:
            came.append(await client.receive_json())
    except ConnectionClosed as end:
        return end.rcvd.code, end.rcvd.reason, came


async def test_a_client_is_told_a_minute_before_and_closed_after_the_leeway():
    async with token_app() as server, server.client(server.token(lasts=900)) as ann:
        assert (ann.welcome["user"], ann.welcome["expires"]) == ("ann", 900)
        server.pass_by(839)
        await ann.send("still here")
        assert (await ann.receive_json())["signal"]["value"] == "still here"
        server.pass_by(1)
        assert await ann.receive_json() == {"expiring": {"in": 60}}
        server.pass_by(60)  # it has ended, and the clocks of others may be slow
        server.pass_by(4)
        await ann.send("nothing more was told")
        assert (await ann.receive_json())["signal"]["value"] == "nothing more was told"
        server.pass_by(1)
        assert await closed(ann) == (4401, "the token has expired", [])
        assert len(server.expiries) == 0


async def test_a_client_whose_token_ends_soon_is_told_at_once():
    async with token_app() as server, server.client(server.token(lasts=20)) as ann:
        assert ann.welcome["expires"] == 20
        assert await ann.receive_json() == {"expiring": {"in": 20}}


async def test_a_client_without_v1_is_closed_without_a_notice():
    async with token_app() as server, server.client(server.token(lasts=20), v1=False) as ann:
        server.pass_by(10)
        await ann.send("hi")
        assert await ann.receive() == "hi"
        server.pass_by(15)
        with pytest.raises(ConnectionClosed) as caught:
            await ann.receive()
        assert caught.value.rcvd.code == 4401


async def test_a_renewal_keeps_the_connection_and_the_order_while_messages_are_under_way():
    async with (
        token_app() as server,
        server.client(server.token(lasts=60)) as ann,
        server.client(server.token("bob")) as bob,
    ):
        assert (await ann.receive_json())["expiring"] == {"in": 60}
        for number in range(50):
            await ann.send(number, ref=number)
            await bob.send(f"bob {number}")
            if number == 25:
                await ann.send_raw(renewal(server.token(lasts=900), "token"))
        came = [await ann.receive_json() for _ in range(151)]
        answers = [each["ack"] for each in came if "ack" in each]
        refs = [each["ref"] for each in answers]
        assert refs == [*range(26), "token", *range(26, 50)]
        assert answers[26] == {"ref": "token", "expires": 900}
        values = [each["signal"]["value"] for each in came if "signal" in each]
        assert [each for each in values if isinstance(each, int)] == list(range(50))
        assert [each for each in values if isinstance(each, str)] == [f"bob {number}" for number in range(50)]
        assert [client.id for client in server.app.server.node.hub.clients.values()] == [ann.id, bob.id]
        server.pass_by(100)  # the first token would have ended
        await ann.send("on")
        assert (await ann.receive_json())["signal"]["value"] == "on"
        server.pass_by(740)
        assert await ann.receive_json() == {"expiring": {"in": 60}}
        bob.socket.transport.abort()  # what it has not read would keep it from closing


async def test_from_a_renewal_on_the_claims_of_the_new_token_count():
    text = AUTH + 'signals: [{path: /s, rebroadcast: path, may: {publish: "{{ claims.level > 1 }}"}}]\n'
    async with token_app(text) as server, server.client(server.token(level=1), "/s") as ann:
        await ann.send("one", ref=1)
        assert (await ann.receive_json())["error"]["code"] == "forbidden"
        assert "ack" in await show(ann, server.token(level=2))
        await ann.send("two", ref=2)
        assert {(await ann.receive_json()).popitem()[0] for _ in range(2)} == {"signal", "ack"}


async def test_another_users_token_is_refused_and_changes_nothing():
    async with token_app() as server, server.client(server.token()) as ann:
        error = (await show(ann, server.token("bob")))["error"]
        assert (error["code"], error["pointer"], error["ref"]) == ("forbidden", "/signalpost/token", 1)
        assert server.app.server.node.hub.clients[ann.id].identity.user == "ann"
        server.pass_by(840)
        assert "expiring" in await ann.receive_json()


async def test_a_guest_becomes_nobody_by_a_token():
    async with token_app() as server, server.client(path="/open") as guest:
        assert (await show(guest, server.token()))["error"]["code"] == "forbidden"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(lambda server: server.token(key="another secret, which is as long as the right one"), id="forged"),
        pytest.param(lambda server: server.token(lasts=-6), id="expired"),
        pytest.param(lambda _: "x" * 8193, id="too long"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "a.b.c", id="no token"),
        pytest.param(lambda _: "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), id="no text"),
    ],
)
async def test_a_token_that_is_not_good_is_refused_and_not_repeated(bad):
    async with token_app() as server, server.client(server.token()) as ann:
        text = bad(server)
        answer = await show(ann, text)
        assert (answer["error"]["code"], answer["error"]["ref"]) == ("unauthorized", 1)
        assert len(text) < 10 or text not in answer["error"]["detail"]
        assert "ack" in await show(ann, server.token())


@pytest.mark.parametrize("token", [None, 5, [], {}, True])
async def test_a_token_that_is_no_text_is_a_bad_message(token):
    async with token_app() as server, server.client(server.token()) as ann:
        assert (await show(ann, token))["error"]["code"] == "bad-message"


async def test_who_may_not_be_there_any_more_is_sent_away_for_good():
    async with token_app() as server, server.client(server.token()) as ann:
        await ann.send_raw(renewal(server.token(rooms=["red"]), 5))
        code, _, came = await closed(ann)
        assert code == 4403
        assert [(each["error"]["code"], each["error"]["ref"]) for each in came] == [("forbidden", 5)]
        assert len(server.expiries) == 0


async def test_whoever_has_no_better_token_shows_the_same_one_only_now_and_then():
    async with token_app() as server, server.client(token := server.token(lasts=40)) as ann:
        renewals = 0
        for _ in range(44):
            await ann.send_raw("")
            while "alive" not in (told := await ann.receive_json()):
                if "expiring" in told:
                    renewals += 1
                    await ann.send_raw(renewal(token))
            server.pass_by(1)
        assert 2 < renewals < 9
        server.pass_by(1)
        assert (await closed(ann))[0] == 4401


async def test_ten_thousand_renewals_of_one_client_are_held_by_its_rate():
    text = AUTH + ROOMS + "limits: {rate: {frames: 50}}\n"
    async with (
        token_app(text) as server,
        server.client(server.token()) as ann,
        server.client(server.token("bob")) as bob,
    ):
        token = renewal(server.token())
        sending = asyncio.ensure_future(_flood(ann, token))
        for number in range(20):
            await bob.send(number, ref=number)
            while "ack" not in (said := await bob.receive_json()):
                assert said["signal"]["value"] == number
        assert len(server.app.server.node.hub.clients) == 2
        assert len(server.expiries) == 2
        sending.cancel()
        ann.socket.transport.abort()  # the server reads nothing of its close for a while


async def _flood(client, text):
    for _ in range(10_000):
        await client.send_raw(text)


# Keys that have to be fetched


class KeyServer:
    """Serves a JWK Set, once it is let go."""

    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.kids = ["old"]
        self.asked = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                keys.asked.release()
                keys.go.wait(20)
                body = orjson.dumps({"keys": [keys.jwk(kid) for kid in keys.kids]})
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def jwk(self, kid):
        return {**ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True), "kid": kid, "alg": "ES256"}

    def token(self, server, kid, user="ann"):
        claims = {"sub": user, "exp": int(server.time.now + 900)}
        return jwt.encode(claims, self.private, "ES256", {"kid": kid})

    async def begun(self):
        """Wait until the keys are asked for."""
        await asyncio.get_running_loop().run_in_executor(None, lambda: self.asked.acquire(timeout=20))


@pytest.fixture
def keys(monkeypatch):
    from signalpost.auth import jwks

    monkeypatch.setattr(jwks, "PAUSE", 0.0)
    keys = KeyServer()
    yield keys
    keys.go.set()
    keys.server.shutdown()
    keys.server.server_close()


FETCHED = """
auth: {tokens: {keys: "URL", algorithms: [ES256]}}
signals: [{path: /rooms/blue, rebroadcast: path}]
"""


async def until(reached):
    """Wait for something of which nothing tells."""
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def ready(server):
    await until(lambda: server.app.server.node.generation.authority.ready)


async def test_with_a_key_that_is_fetched_first_the_answer_comes_later_and_nothing_waits_for_it(keys):
    async with token_app(FETCHED.replace("URL", keys.url)) as server:
        await ready(server)
        await keys.begun()
        async with server.client(keys.token(server, "old")) as ann:
            keys.go.clear()
            keys.kids = ["old", "new"]
            await ann.send_raw(renewal(keys.token(server, "new"), "token"))
            await keys.begun()
            await ann.send("behind it", ref=2)
            came = [await ann.receive_json() for _ in range(2)]
            assert sorted(next(iter(each)) for each in came) == ["ack", "signal"]
            # One at a time: what is looked at is kept in memory.
            await ann.send_raw(renewal(keys.token(server, "new"), 3))
            assert (await ann.receive_json())["error"]["code"] == "unavailable"
            keys.go.set()
            assert (await ann.receive_json())["ack"] == {"ref": "token", "expires": 900}
            assert "ack" in await show(ann, keys.token(server, "new"))


async def test_who_has_gone_when_the_key_comes_is_watched_no_more(keys):
    async with token_app(FETCHED.replace("URL", keys.url)) as server:
        await ready(server)
        await keys.begun()
        async with server.client(keys.token(server, "old")) as ann:
            keys.go.clear()
            await ann.send_raw(renewal(keys.token(server, "new"), "token"))
            await keys.begun()
        await until(lambda: not server.app.server.node.hub.clients)
        keys.kids = ["old", "new"]
        keys.go.set()
        await until(lambda: server.app.server.node.generation.authority._keyring.find("new"))
        async with server.client(keys.token(server, "new")):
            assert len(server.expiries) == 1


async def test_a_handshake_that_waits_for_its_key_is_judged_and_charged_once(keys):
    limited = FETCHED.replace("URL", keys.url) + "limits: {per_address: {handshakes: 1/h}}\n"
    async with token_app(limited) as server:
        await ready(server)
        await keys.begun()
        keys.go.clear()
        keys.kids = ["old", "new"]
        waiting = asyncio.create_task(server.client(keys.token(server, "new")).__aenter__())
        await keys.begun()
        assert server.app.server.inspect().asking == 1
        keys.go.set()
        client = await waiting  # and the one handshake that there is was enough
        await client.send("hello")
        assert (await client.receive_json())["signal"]["value"] == "hello"
        await client.socket.close()


async def test_a_reload_without_the_key_of_a_token_closes_who_has_shown_it_and_nobody_else():
    other = "another secret of the tests that is long enough"
    async with (
        token_app() as server,
        server.client(server.token()) as ann,
        server.client(server.token("bob"), "/open") as bob,
        server.client(None, "/open") as guest,
    ):
        await server.app.reload(ENDPOINTS + AUTH.replace("leeway: 5s", "leeway: 6s") + ROOMS)  # the key is the same
        await ann.send("still here")
        assert (await ann.receive_json())["signal"]["value"] == "still here"
        await server.app.reload(ENDPOINTS + AUTH.replace(SECRET, other) + ROOMS)
        for client in (ann, bob):
            assert (await closed(client))[:2] == (
                4401,
                "The key of this token is not taken any more: show another token.",
            )
        async with server.client(server.token(key=other)) as again:
            assert again.welcome["user"] == "ann"
        await guest.send("a guest has none")
        assert (await guest.receive_json())["signal"]["value"] == "a guest has none"
