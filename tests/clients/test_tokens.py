"""Tokens that end: another one is shown on the connection that there is, and what happens to one that is refused."""

import pytest
from test_events import reach_events
from test_events import welcomed as stream_welcomed
from test_reconnects import chosen_wait, welcomed


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
    socket = await scripted.accept()
    assert socket.bearer == "good"
    assert driver.events("close")[-1]["code"] == 4401


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
