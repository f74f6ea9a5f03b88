"""Tokens that end: another one is shown on the connection that there is, and what happens to one that is refused."""

import sys
from pathlib import Path

import pytest
from drivers import FailedError

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from test_events import reach_events
from test_events import welcomed as stream_welcomed
from test_reconnects import chosen_wait, welcomed
from tokenapp import AUTH, ROOMS, Time, TokenApp

from signalpost.node import Seams
from signalpost.testing import serve


@pytest.fixture
async def opened(driver, scripted):
    """Open a path with tokens and a clock, and welcome it."""

    async def open_with(*tokens):
        await driver.clock(random=0.5)
        await driver.open("r", url=scripted.url, path="/p", tokens=list(tokens))
        return await welcomed(driver, scripted, user="ann", expires=70)

    return open_with


async def shown(socket):
    """Return the token that the client shows next, and its ref."""
    request = await socket.read()
    assert request.keys() == {"signalpost", "ref"}
    return request["signalpost"]["token"], request["ref"]


async def test_who_somebody_is_and_for_how_long_is_told_with_the_welcome(driver, scripted):
    await driver.clock()
    await driver.open("r", url=scripted.url, path="/p")
    await (await scripted.accept()).welcome(user="ann", expires=70)
    welcome = await driver.next("welcome")
    assert (welcome["user"], welcome["expires"]) == ("ann", 70)
    assert (await driver.present("r"))["user"] == "ann"


async def test_another_token_is_shown_on_the_same_connection(driver, opened, scripted):
    socket = await opened("first", "second")
    await socket.say(expiring={"in": 60})
    assert (await driver.next("expiring"))["in"] == 60
    token, ref = await shown(socket)
    assert token == "second"
    await socket.say(signal={"path": "/p", "value": "before"})
    await socket.say(ack={"ref": ref, "expires": 900})
    await socket.say(signal={"path": "/p", "value": "after"})
    await driver.next("signal", value="after")
    asking = driver.begin("ask", "r", message={"message": "hi"})
    await socket.say(ack={"ref": (await socket.read())["ref"]})
    assert (await asking)["kind"] == "ack"
    assert [each["value"] for each in driver.events("signal")] == ["before", "after"]
    assert [each["name"] for each in driver.events("state")] == ["connecting", "connected"]
    assert driver.events("close", "error") == []
    assert len(driver.events("token")) == 2
    assert scripted.arrived.empty()


async def test_another_token_is_shown_each_time_that_one_ends(driver, opened):
    socket = await opened("first", "second", "third")
    for wanted in ("second", "third"):
        await socket.say(expiring={"in": 60})
        token, ref = await shown(socket)
        await socket.say(ack={"ref": ref, "expires": 900})
        assert token == wanted


@pytest.mark.parametrize("code", ["unauthorized", "forbidden"])
async def test_a_refused_renewal_is_told_and_the_present_token_serves_until_its_end(driver, opened, scripted, code):
    socket = await opened("first", "bad", "good")
    await socket.say(expiring={"in": 60})
    token, ref = await shown(socket)
    assert token == "bad"
    await socket.say(error={"code": code, "pointer": "/signalpost/token", "detail": "no", "ref": ref})
    assert (await driver.next("error"))["code"] == code
    await driver.advance(seconds=14)
    assert len(driver.events("token")) == 2  # it is not tried again
    assert driver.events("state")[-1]["name"] == "connected"
    await socket.say(signal={"path": "/p", "value": "still here"})
    await driver.next("signal", value="still here")
    await socket.close(4401, "the token has expired")
    assert (await driver.next("close"))["code"] == 4401
    assert (await scripted.accept()).bearer == "good"


async def test_a_renewal_that_nobody_can_judge_yet_is_tried_again(driver, opened):
    socket = await opened("first", "second", "third")
    await socket.say(expiring={"in": 60})
    _, ref = await shown(socket)
    await socket.say(error={"code": "unavailable", "detail": "no keys yet", "ref": ref})
    await socket.say(signal={"path": "/p", "value": "behind it"})
    await driver.next("signal", value="behind it")
    await driver.advance(seconds=6)
    token, ref = await shown(socket)
    assert token == "third"
    await socket.say(ack={"ref": ref, "expires": 900})
    await socket.say(signal={"path": "/p", "value": "on"})
    await driver.next("signal", value="on")
    assert driver.events("close") == []


async def test_a_token_that_cannot_be_had_now_is_asked_for_again(driver, opened):
    socket = await opened("first", None, "third")
    await socket.say(expiring={"in": 60})
    await driver.next("expiring")
    await driver.next("token")
    await driver.next("token")
    await driver.advance(seconds=6)
    assert (await shown(socket))[0] == "third"


async def test_a_connection_that_ends_while_a_token_is_judged_shows_it_no_more(driver, opened, scripted):
    socket = await opened("first", "second", "third")
    await socket.say(expiring={"in": 60})
    await shown(socket)
    await socket.drop()
    await chosen_wait(driver)
    socket = await welcomed(driver, scripted)
    assert socket.bearer == "third"
    asking = driver.begin("ask", "r", message={"message": "hi"})
    request = await socket.read()
    assert request["message"] == "hi"
    await socket.say(ack={"ref": request["ref"]})
    await asking


async def test_a_token_that_is_refused_twice_is_not_tried_without_a_pause(driver, scripted):
    await driver.clock(random=0.5)
    await driver.open("r", url=scripted.url, path="/p", tokens=["bad"])
    for _ in range(2):
        await (await scripted.accept()).close(4401, "bad")
        closed = await driver.next("close")
    for _ in range(3):
        assert await chosen_wait(driver, closed) >= 1.25
        await (await scripted.accept()).close(4401, "bad")
        closed = await driver.next("close")
    assert len(driver.events("token")) == 5


# By server-sent events, which send by requests of their own


async def test_by_events_another_token_is_posted_and_used_from_then_on(driver, web):
    stream = await reach_events(driver, web, tokens=["a", "b", "first", "second"])
    assert stream.headers["authorization"] == "Bearer first"
    await stream_welcomed(driver, stream, user="ann", expires=70)
    await stream.event(expiring={"in": 60})
    post = await web.request("POST")
    assert (post.headers["authorization"], post.headers["signalpost-session"]) == ("Bearer first", "abc")
    assert post.body["signalpost"] == {"token": "second"}
    await post.answer(202, {"ack": {"expires": 900}})
    await driver.next("ack", expires=900)
    asking = driver.begin("ask", "r", message={"message": "hi"})
    post = await web.request("POST")
    assert post.headers["authorization"] == "Bearer second"
    await post.answer(202, {"ack": {}})
    await asking
    assert driver.events("state")[-1]["name"] == "connected"


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden")])
async def test_by_events_a_refused_renewal_is_told_and_the_stream_goes_on(driver, web, status, code):
    stream = await reach_events(driver, web, tokens=["a", "b", "first", "bad"])
    await stream_welcomed(driver, stream, user="ann", expires=70)
    await stream.event(expiring={"in": 60})
    error = {"code": code, "pointer": "/signalpost/token", "detail": "no"}
    await (await web.request("POST")).answer(status, {"error": error})
    assert (await driver.next("error"))["code"] == code
    asking = driver.begin("ask", "r", message={"message": "hi"})
    post = await web.request("POST")
    assert post.headers["authorization"] == "Bearer first"
    await post.answer(202, {"ack": {}})
    await asking
    assert driver.events("state")[-1]["name"] == "connected"


async def test_by_events_a_refusal_for_what_somebody_may_is_final(script, web):
    await (await reach_events(script, web, tokens=["t"])).answer(403, {"error": {"code": "forbidden", "detail": "no"}})
    await script.next("state", name="closed")


# A real server


@pytest.fixture
async def server(app):
    """Serve rooms to those who show tokens, by a clock of the test."""
    time = Time()
    async with app("undeclared: refuse\n" + AUTH + ROOMS, seams=Seams(clock=time)) as running:
        yield TokenApp(running, time)


async def enter(driver, server, *tokens):
    await driver.clock(random=0.5)
    await driver.open("r", url=server.app.url("live"), path="/rooms/blue", tokens=list(tokens))
    return await driver.next("welcome")


async def test_a_real_server_keeps_who_shows_another_token(driver, server):
    async with server.client(server.token("bob")) as bob:
        welcome = await enter(driver, server, server.token(lasts=30), server.token(lasts=900))
        assert (welcome["user"], welcome["expires"]) == ("ann", 30)
        for number in range(20):
            await bob.send(number)
        assert (await driver.next("expiring"))["in"] == 30
        assert (await driver.next("ack", expires=900))["expires"] == 900
        server.pass_by(100)
        for number in range(20, 40):
            await bob.send(number)
        # Two senders have no order between them: what bob sent must have come before ann asks.
        await driver.next("signal", value=39)
        assert (await driver.ask("r", message={"message": "last"}))["kind"] == "ack"
        await driver.next("signal", value="last")
        bob.socket.transport.abort()
    assert [each["value"] for each in driver.events("signal")] == [*range(40), "last"]
    assert [each["name"] for each in driver.events("state")] == ["connecting", "connected"]
    assert [each["clientId"] for each in driver.events("welcome")] == [welcome["clientId"]]


async def test_a_real_server_refuses_another_users_token_and_takes_a_better_one_after_the_end(driver, server):
    first = await enter(driver, server, server.token(lasts=30), server.token("bob"), server.token(lasts=900))
    assert (await driver.next("error"))["code"] == "forbidden"
    assert driver.events("state")[-1]["name"] == "connected"
    server.pass_by(35)
    assert (await driver.next("close"))["code"] == 4401
    second = await driver.next("welcome")
    assert (second["user"], second["expires"], second["recovered"]) == ("ann", 865, True)
    assert second["session"] == first["session"]


async def test_a_real_server_says_at_the_door_that_another_token_is_needed(driver, server):
    welcome = await enter(driver, server, "bad", server.token())
    assert welcome["user"] == "ann"
    assert [each["code"] for each in driver.events("close")] == [4401]


async def test_a_real_server_says_at_the_door_that_somebody_may_not(driver, server):
    await driver.clock(random=0.5)
    tokens = [server.token(rooms=["red"])]
    await driver.open("r", url=server.app.url("live"), path="/rooms/blue", tokens=tokens)
    assert (await driver.next("close"))["code"] == 4403
    assert (await driver.next("state", name="closed"))["reason"]
    with pytest.raises(FailedError) as failed:
        await driver.ask("r", message={"message": "hi"})
    assert failed.value.code == "closed"


async def test_a_real_server_sends_away_who_shows_that_it_may_no_more(driver, server):
    await enter(driver, server, server.token(lasts=30), server.token(rooms=["red"]))
    assert (await driver.next("close"))["code"] == 4403
    await driver.next("state", name="closed")
    assert len(driver.events("token")) == 2


EVENTS = "endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]\n"


# A page would be of another origin here.
@pytest.mark.parametrize("kind", ["node", "python"])
async def test_a_real_server_without_websockets_keeps_who_shows_another_token(make_driver, kind):
    driver, time = await make_driver(kind), Time()
    async with serve(EVENTS + AUTH + ROOMS, seams=Seams(clock=time)) as running:
        server = TokenApp(running, time)
        await driver.clock(random=0.5)
        tokens = [server.token(), server.token(), server.token(lasts=30), server.token(lasts=900)]
        await driver.open("r", url=running.url("web"), path="/rooms/blue", tokens=tokens)
        for _ in range(2):
            await chosen_wait(driver)
        welcome = await driver.next("welcome")
        assert (welcome["user"], welcome["expires"]) == ("ann", 30)
        await driver.next("ack", expires=900)
        server.pass_by(100)
        assert (await driver.ask("r", message={"message": "on"}))["kind"] == "ack"
        await driver.next("signal", value="on")
    assert len(driver.events("welcome")) == 1
