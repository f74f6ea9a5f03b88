"""Tokens by plain HTTP: where they stand, how a refusal looks, and what happens to a stream whose token ends."""

import sys
from pathlib import Path

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from tokenapp import AUTH, ROOMS, Time, TokenApp

from signalpost.node import Seams

AUTH_BY_COOKIE = AUTH.replace("leeway: 5s}", "leeway: 5s}, from: [header, cookie], cookie: access")


@pytest.fixture
async def server(sse):
    """Serve rooms to those who show tokens, by a clock of the test."""
    time = Time()
    async with sse("undeclared: refuse\n" + AUTH_BY_COOKIE + ROOMS, seams=Seams(clock=time)) as app:
        yield TokenApp(app, time)


def bearer(token):
    return f"Authorization: Bearer {token}"


async def refused(plain, server, *headers, method="GET", path="/rooms/blue"):
    body = b'{"message":"hi"}' if method == "POST" else None
    accept = (plain.accept,) if method == "GET" else ()
    answer = await plain.ask(server.app, method, path, *accept, *headers, body=body)
    error = answer.json["error"]
    return answer.status, error["code"], answer.headers.get("www-authenticate")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_shows_no_good_token_is_refused_with_401_and_how_to_show_one(server, plain, method):
    assert await refused(plain, server, method=method) == (401, "unauthorized", "Bearer")
    for bad in ("x.y.z", server.token(lasts=-6), ""):
        assert await refused(plain, server, bearer(bad), method=method) == (401, "unauthorized", "Bearer")
    by_cookie = f"Cookie: access={server.token(lasts=-6)}"
    assert await refused(plain, server, by_cookie, method=method) == (401, "unauthorized", "Bearer")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_may_not_is_refused_with_403(server, plain, method):
    token = bearer(server.token(rooms=["red"]))
    assert await refused(plain, server, token, method=method) == (403, "forbidden", None)


@pytest.mark.parametrize("how", ["Authorization: Bearer {}", "Cookie: access={}"])
async def test_a_token_stands_in_a_header_or_a_cookie(server, plain, how):
    shown = how.format(server.token())
    stream = await plain.stream(server.app, "/rooms/blue?v=1", shown)
    welcome = (await stream.object())["welcome"]
    assert (welcome["user"], welcome["expires"]) == ("ann", 900)
    assert (await plain.post(server.app, "/rooms/blue", "hi", shown)).status == 202
    assert (await stream.object())["signal"]["value"] == "hi"


async def test_a_token_in_the_address_is_not_looked_at_unless_the_file_says_so(server, plain):
    assert (await refused(plain, server, path=f"/rooms/blue?token={server.token()}"))[0] == 401


async def test_a_plain_stream_is_closed_at_the_end_and_comes_back_to_a_401(server, plain):
    """So an EventSource, which comes back by itself, stops (HTML, section 9.2.3)."""
    token = bearer(server.token(lasts=30))
    stream = await plain.stream(server.app, "/rooms/blue", token)
    server.pass_by(34)
    await plain.post(server.app, "/rooms/blue", "still here", token)
    assert (await stream.until("still here"))[-1:] in ([], [""])
    server.pass_by(1)
    name, data, _ = (await stream.rest())[-1]
    assert (name, orjson.loads(data)) == ("close", {"code": 4401, "reason": "the token has expired"})
    assert (await refused(plain, server, token))[0] == 401
    assert len(server.expiries) == 0


async def renewed(plain, server, session, header, token):
    raw = orjson.dumps({"signalpost": {"token": token}, "ref": 1})
    return await plain.post(server.app, "/rooms/blue", None, bearer(header), raw=raw, session=session)


@pytest.fixture
async def reading(server, plain):
    """Read a stream whose token ends; return it, its session and the token."""
    token = server.token(lasts=30)
    stream = await plain.stream(server.app, "/rooms/blue?v=1", bearer(token))
    session = (await stream.object())["welcome"]["session"]
    assert await stream.object() == {"expiring": {"in": 30}}
    return stream, session, token


async def test_another_token_for_a_stream_comes_by_post_with_its_session(server, plain, reading):
    stream, session, token = reading
    answer = await renewed(plain, server, session, token, server.token(lasts=900))
    assert (answer.status, answer.json) == (202, {"ack": {"expires": 900}})
    assert len(server.expiries) == 1  # of the stream; who posts is gone
    server.pass_by(100)
    await plain.post(server.app, "/rooms/blue", "on", bearer(server.token()))
    assert (await stream.object())["signal"]["value"] == "on"
    server.pass_by(805)
    assert orjson.loads((await stream.rest())[-1][1])["close"]["code"] == 4401


async def test_another_token_by_post_is_refused_as_by_a_websocket(server, plain, reading):
    stream, session, token = reading
    answer = await renewed(plain, server, session, token, "x.y.z")
    assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    answer = await renewed(plain, server, session, token, server.token("bob"))
    assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")
    answer = await renewed(plain, server, session, server.token("bob"), server.token("bob"))
    assert answer.json["error"]["code"] == "unknown-request"  # the session is ann's
    answer = await renewed(plain, server, "", token, server.token())
    assert answer.json["error"]["code"] == "unknown-request"
    server.pass_by(35)
    assert orjson.loads((await stream.rest())[-1][1])["close"]["code"] == 4401


async def test_another_token_by_post_that_may_no_more_ends_the_stream_for_good(server, plain, reading):
    stream, session, token = reading
    answer = await renewed(plain, server, session, token, server.token(rooms=["red"]))
    assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")
    assert orjson.loads((await stream.rest())[-1][1])["close"]["code"] == 4403
