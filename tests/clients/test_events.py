"""Server-sent events, where WebSockets do not get through: when they are tried, and what goes over them.

The server is a script, which refuses every WebSocket, and answers requests as the test says; and once a real one that
has no WebSockets.
"""

import pytest
from drivers import FailedError

from signalpost.testing import serve

WITHOUT_SOCKETS = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]
signals: [{path: "/rooms/<room>", rebroadcast: path, history: 10, presence: {every: 0.1s}}]
"""


async def chosen_wait(driver):
    closed = await driver.next("close")
    return (await driver.advance(seconds=1000, until="connecting"))["now"] - closed["now"]


async def reach_events(driver, web, **options):
    """Open a path; let WebSockets fail twice; return the request for events."""
    await driver.clock(random=0.5)
    await driver.open("r", url=options.pop("url", web.url.replace("http", "ws")), path="/p", **options)
    for _ in range(2):
        await chosen_wait(driver)
    return await web.request("GET")


async def welcomed(driver, stream, **more):
    await stream.stream()
    await stream.event(welcome={"clientId": "c", "path": "/p", "session": "abc", **more})
    await driver.next("state", name="connected")
    await driver.next("welcome")


async def test_events_are_asked_for_when_websockets_have_failed_twice(driver, web):
    stream = await reach_events(driver, web, query={"name": "Ada"})
    assert web.refused == 2
    assert (stream.path, set(stream.query.split("&"))) == ("/p", {"name=Ada", "v=1"})
    assert stream.headers["accept"] == "text/event-stream"
    assert "signalpost-session" not in stream.headers
    await welcomed(driver, stream)
    await stream.event(signal={"path": "/p", "value": 1})
    assert (await driver.next("signal"))["value"] == 1


async def test_who_comes_back_brings_position_session_and_token(driver, web):
    stream = await reach_events(driver, web, tokens=["t"])
    assert stream.headers["authorization"] == "Bearer t"
    await welcomed(driver, stream, at="e:1:1", missed=0)
    await stream.event(signal={"path": "/p", "value": 1, "at": "e:2:2"})
    await driver.next("signal")
    await stream.end()
    await chosen_wait(driver)
    again = await web.request("GET")  # what works is stayed with
    assert web.refused == 2
    assert set(again.query.split("&")) == {"v=1", "at=e%3A2%3A2"}
    assert again.headers["signalpost-session"] == "abc"


# A program whose very first try is refused with 404 is told so, and does not try on.
async def test_after_events_have_failed_too_websockets_are_tried_twice_again(script, web):
    await (await reach_events(script, web)).answer(404, {"error": "not found"})
    for _ in range(3):
        await chosen_wait(script)
    await web.request("GET")
    assert web.refused == 4


async def test_a_server_that_says_that_it_has_no_events_is_not_asked_for_them(script, web):
    web.known = {"url": web.url.replace("http", "ws"), "endpoints": {}}
    await script.clock(random=0.5)
    await script.open("r", url=web.url, path="/p")
    for _ in range(4):
        await chosen_wait(script)
    await script.next("close")
    assert web.refused == 5


@pytest.mark.parametrize("known", ["said", "unsaid"])
async def test_a_server_that_is_asked_first_tells_where_events_are(driver, web, known):
    web.known = {"url": None, "endpoints": {}, "sse": None} if known == "said" else None
    stream = await reach_events(driver, web, url=web.url)
    assert stream.path == "/p"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_an_event_stream_is_read_as_browsers_read_it(driver, web, end):
    stream = await reach_events(driver, web)
    await welcomed(driver, stream)
    lines = [
        ": a comment",
        "event: whatever",
        "id: e:1:1",
        'data:{"signal":',
        'data: {"path": "/p", "value": "ü"}}',
        "",
        "",
        'data: {"signal": {"path": "/p", "value": 2}}',
        "",
        "data: no JSON",
        "",
        'data: {"signal": {"path": "/p", "value": 3}}',
        "",
        ": the end",
        "",
    ]
    for character in end.join(lines):
        await stream.send(character)
    values = [(await driver.next("signal"))["value"]]
    while values[-1] != 3:
        values.append((await driver.next("signal"))["value"])
    # What is no JSON is of a signal of `format: raw`: a program has it, and a page does not.
    assert [value for value in values if value != "no JSON"] == ["ü", 2, 3]


async def test_an_end_of_a_line_may_come_in_two_pieces(driver, web):
    stream = await reach_events(driver, web)
    await welcomed(driver, stream)
    await stream.send('data: {"signal": {"path": "/p", "value": 1}}\r\n\r\ndata: {"signal":\r')
    await driver.next("signal", value=1)
    await stream.send('\ndata: {"path": "/p", "value": 2}}\r\n\r\n')
    await driver.next("signal", value=2)


async def test_a_message_goes_by_a_request_of_its_own_and_its_answer_answers(driver, web):
    stream = await reach_events(driver, web, tokens=["t"], query={"name": "Ada"})
    await welcomed(driver, stream)
    asking = driver.begin("ask", "r", message={"message": "hi"})
    post = await web.request("POST")
    assert (post.path, post.query) == ("/p", "name=Ada")
    assert (post.headers["signalpost-session"], post.headers["authorization"]) == ("abc", "Bearer t")
    assert post.headers["content-type"].startswith("application/json")
    assert post.body["message"] == "hi"
    assert post.body["once"]
    await post.answer(202, {"ack": {"at": "e:1:1"}})
    answer = await asking
    assert (answer["kind"], answer["at"]) == ("ack", "e:1:1")


async def test_a_reply_and_values_for_the_poster_alone_come_with_the_answer(driver, web):
    await welcomed(driver, await reach_events(driver, web))
    asking = driver.begin("ask", "r", message={"message": "hi"})
    signals = [{"path": None, "value": "for you"}]
    await (await web.request("POST")).answer(200, {"signals": signals, "reply": {"value": 5}})
    assert (await asking)["value"] == 5
    assert (await driver.next("signal"))["value"] == "for you"


async def test_history_is_asked_for_by_a_request(driver, web):
    await welcomed(driver, await reach_events(driver, web))
    asking = driver.begin("history", "r", limit=1)
    post = await web.request("POST")
    assert post.body["signalpost"] == {"history": {"limit": 1}}
    signals = [{"path": "/p", "value": 1, "at": "e:1:1"}]
    await post.answer(200, {"history": {"path": "/p", "signals": signals, "at": "e:1:1", "more": False}})
    assert (await asking)["signals"] == signals


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (422, {"error": {"code": "schema-mismatch", "pointer": "/message", "detail": "no"}}, "schema-mismatch"),
        (500, None, None),
    ],
)
async def test_a_refused_message_fails(driver, web, status, body, code):
    await welcomed(driver, await reach_events(driver, web))
    asking = driver.begin("ask", "r", message={"message": "hi"})
    await (await web.request("POST")).answer(status, body)
    with pytest.raises(FailedError) as failed:
        await asking
    assert code is None or failed.value.code == code


@pytest.mark.parametrize("status", [429, 503])
async def test_a_message_that_came_too_early_is_sent_again_with_the_same_once(driver, web, status):
    await welcomed(driver, await reach_events(driver, web))
    asking = driver.begin("ask", "r", message={"message": "hi"}, timeout=600)
    post = await web.request("POST")
    await post.answer(status, {"error": {"detail": "later"}}, Retry_After="7")
    again = None
    while again is None:  # the wait begins when the answer was read, of which nothing tells
        await driver.advance(seconds=2)
        again = next(iter(web.waiting("POST")), None)
    assert again.body == post.body
    await again.answer(202, {"ack": {}})
    assert (await asking)["kind"] == "ack"


async def test_messages_are_sent_one_after_the_other(script, web):
    stream = await reach_events(script, web)
    await welcomed(script, stream)
    for number in (1, 2):
        assert await script.send("r", message={"message": number}) is True
    first = await web.request("POST")
    await stream.event(signal={"path": "/p", "value": 1})
    await script.next("signal")
    assert web.waiting("POST") == []
    await first.answer(202, {"ack": {}})
    assert [first.body["message"], (await web.request("POST")).body["message"]] == [1, 2]


async def test_a_question_is_repeated_with_the_same_once_when_the_stream_is_back(driver, web):
    stream = await reach_events(driver, web)
    await welcomed(driver, stream)
    asking = driver.begin("ask", "r", message={"message": "hi"})
    post = await web.request("POST")
    await stream.end()
    await chosen_wait(driver)
    await welcomed(driver, await web.request("GET"))
    again = await web.request("POST")
    assert again.body["once"] == post.body["once"]
    await again.answer(202, {"ack": {"again": True}})
    assert (await asking)["again"] is True


async def test_a_stream_that_ends_on_purpose_says_why(driver, web):
    stream = await reach_events(driver, web)
    await welcomed(driver, stream)
    await stream.event(close={"code": 4009, "reason": "sent away"})
    await stream.end()
    assert (await driver.next("close"))["code"] == 4009
    assert (await driver.next("state", name="closed"))["reason"] == "sent away"


async def test_a_bye_is_a_floor_for_events_too(driver, web):
    stream = await reach_events(driver, web)
    await welcomed(driver, stream)
    await stream.event(bye={"retry_ms": 30_000})
    await stream.event(close={"code": 1012, "reason": "restart"})
    await stream.end()
    assert await chosen_wait(driver) == 45


async def test_a_refusal_for_now_says_when_to_come_back(driver, web):
    await (await reach_events(driver, web)).answer(503, {"error": {}}, Retry_After="30")
    assert await chosen_wait(driver) == 45


async def test_a_refused_token_is_replaced_at_once(driver, web):
    stream = await reach_events(driver, web, tokens=["a", "b", "c", "d"])
    await welcomed(driver, stream)
    await stream.event(close={"code": 4401, "reason": ""})
    await stream.end()
    assert (await web.request("GET")).headers["authorization"] == "Bearer d"


async def test_a_quiet_stream_is_given_up_and_comments_keep_it(driver, web):
    stream = await reach_events(driver, web)
    await welcomed(driver, stream)
    for number in range(4):
        await driver.advance(seconds=20)
        await stream.send(": still here\n\n")
        await stream.event(signal={"path": "/p", "value": number})
        await driver.next("signal", value=number)
    before = len(driver.events("close"))
    await driver.advance(seconds=60, until="connecting")
    assert len(driver.events("close")) == before + 1


# A page would be of another origin here; pages and events are tried in tests/e2e.
@pytest.mark.parametrize("kind", ["node", "python"])
async def test_a_real_server_without_websockets_is_read_and_sent_to(make_driver, kind):
    driver = await make_driver(kind)
    await driver.clock(random=0.5)
    async with serve(WITHOUT_SOCKETS) as app:
        await driver.open("r", url=app.url("web"), path="/rooms/blue")
        for _ in range(2):
            await chosen_wait(driver)
        welcome = await driver.next("welcome")
        answer = await driver.ask("r", message={"message": "hi"})
        signal = await driver.next("signal")
        kept = await driver.history("r", limit=5)
        await driver.next("presence")
        known = await driver.present("r")
    assert (welcome["path"], signal["value"]) == ("/rooms/blue", "hi")
    assert (answer["kind"], answer["at"]) == ("ack", signal["at"])
    assert [each["value"] for each in kept["signals"]] == ["hi"]
    assert list(known["present"]) == [known["user"]]
