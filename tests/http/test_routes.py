"""Handlers, broadcasts and the gate, through Sanic's own test client."""

import dataclasses
import math
from datetime import UTC, datetime

import pytest
from sanic import Sanic, response

from signalpost.http.app import build_app, discard_app
from signalpost.http.routes import response_of
from signalpost.jsonschemas.gate import SchemaGate

# sanic-testing imports the old client of websockets, which nothing here uses.
pytestmark = pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")


@pytest.fixture
def ask(services, monkeypatch):
    """Send one request to an app of the given rules; return the answer."""
    monkeypatch.setattr(Sanic, "test_mode", Sanic.test_mode)  # the test client sets it for the whole process

    async def run(rules, method, path, **request):
        app = build_app("test", rules if isinstance(rules, list) else [rules], services())
        try:
            _, answer = await app.asgi_client.request(method, path, **request)
        finally:
            discard_app(app)
        return answer

    return run


def returning(value):
    async def handler(event):
        return value

    return handler


async def test_a_handler_gets_an_event_with_all_that_it_says(ask, rule, services, air):
    events = []

    async def remember(event):
        events.append(event)
        event.state["seen"] = True
        event.broadcast(event.request.json["message"], path="/news")

    before = datetime.now(UTC)
    answer = await ask(
        rule("/Rooms/<room>/<number:int>/<rest:path>", handler=remember),
        "post",
        "/Rooms/b%20c/7/x/y%2Fz",
        json={"message": "hi"},
    )
    assert (answer.status, answer.body) == (204, b"")
    [event] = events
    assert event.path == "/Rooms/b c/7/x/y/z"
    assert event.params == {"room": "b c", "number": 7, "rest": "x/y/z"}
    assert event.route == "/Rooms/<room>/<number:int>/<rest:path>"
    assert event.endpoint.name == "web"
    assert event.request.method == "POST"
    assert before <= event.timestamp <= datetime.now(UTC)
    assert event.timestamp.tzinfo is UTC
    assert event.state == {"seen": True}
    assert event.lock is event.shared.lock
    assert air.sent == [("hi", {"to": None, "path": "/news", "group": None, "client": None})]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ({"a": [1, None]}, (200, "application/json", b'{"a":[1,null]}')),
        ([], (200, "application/json", b"[]")),
        ("Grüße", (200, "text/plain; charset=utf-8", "Grüße".encode())),
        ("", (200, "text/plain; charset=utf-8", b"")),
        (b"\x00\xff", (200, "application/octet-stream", b"\x00\xff")),
        (bytearray(b"ab"), (200, "application/octet-stream", b"ab")),
        (response.json({"made": 1}, status=201), (201, "application/json", b'{"made":1}')),
        (response.html("<p>"), (200, "text/html; charset=utf-8", b"<p>")),
    ],
)
async def test_what_a_handler_returns_is_the_answer(ask, rule, value, sent):
    answer = await ask(rule("/a", handler=returning(value)), "post", "/a")
    assert (answer.status, answer.content_type, answer.body) == sent
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_handler_may_answer_piece_by_piece(serve, rule):
    async def stream(event):
        answer = await event.request.respond(content_type="text/plain")
        await answer.send("one,")
        await answer.send("two")
        await answer.eof()

    async def old_stream(event):
        async def write(answer):
            await answer.write("three")

        return response.ResponseStream(write)

    site = await serve(rule("/a", "GET", handler=stream), rule("/b", "GET", handler=old_stream))
    streamed = await site.client.get("/a")
    assert (streamed.text, streamed.headers["x-content-type-options"]) == ("one,two", "nosniff")
    assert (await site.client.get("/b")).text == "three"


async def test_what_a_handler_does_to_its_parameters_no_other_request_sees(serve, rule):
    async def handler(event):
        event.params["name"] += "!"
        return event.params["name"]

    site = await serve(rule("/shout/<name>", "GET", handler=handler))
    assert [(await site.client.get("/shout/ann")).text for _ in range(3)] == ["ann!"] * 3


@pytest.mark.parametrize(
    "start",
    [b"GET /a\x01 HTTP/1.1", b"GE\x00T /a HTTP/1.1", b"GET /a HTTP/1.1\x0b", b"GET /\xc3\xa9 HTTP/1.1"],
)
async def test_a_request_line_is_judged_though_its_fields_were_fine_a_moment_ago(serve, rule, start):
    site = await serve(rule("/a", "GET", handler=returning("fine")))
    fields = b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await site.raw(b"GET /a HTTP/1.1" + fields)).startswith(b"HTTP/1.1 200")
    assert (await site.raw(start + fields)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "fields",
    [
        b"Host: localhost\r\nX : 1",
        b"Host: localhost\r\nX: 1\n",
        b"Host: a b",
        b"Host: a\r\nHost: a",
        b"X: 1",
        b"Host: a\r\nTransfer-Encoding: identity",
        b"Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked",
    ],
)
async def test_fields_that_are_wrong_are_wrong_each_time(serve, rule, fields):
    site = await serve(rule("/a", "GET", handler=returning("fine")))
    request = b"GET /a HTTP/1.1\r\n" + fields + b"\r\nConnection: close\r\n\r\n"
    for _ in range(3):
        assert (await site.raw(request)).startswith(b"HTTP/1.1 400")


async def test_cookies_of_a_handler_are_kept(serve, rule):
    async def handler(event):
        answer = response.text("crumbs")
        answer.add_cookie("a", "1")
        answer.add_cookie("b", "2")
        return answer

    site = await serve(rule("/a", "GET", handler=handler))
    answer = await site.client.get("/a")
    assert [cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]


@dataclasses.dataclass
class Order:
    """A value no route knows how to send."""

    number: int


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "this one returned int"),
        (True, "this one returned bool"),
        (({"a": 1}, 201), r"with a status as in sanic.response.json\(value, status=201\); this one returned tuple"),
        (Order(1), r"this one returned .*\.Order"),
        ({"a": object()}, "Type is not JSON serializable: object"),
        ({1: "a"}, "Dict key must be str"),
        ([2**64], "Integer exceeds 64-bit range"),
    ],
)
async def test_what_cannot_be_sent_is_500_and_told_to_the_author(ask, rule, caplog, value, reason):
    answer = await ask(rule("/a", handler=returning(value)), "post", "/a")
    assert answer.status == 500
    assert answer.json == {
        "error": {"code": "handler-failed", "detail": "Something went wrong on the server. It has been written down."}
    }
    [record] = [record for record in caplog.records if record.name == "signalpost.http.routes"]
    assert record.getMessage() == "plugin shop: handler handler (plugins/shop.py:7) failed on POST /a"
    with pytest.raises(TypeError, match=reason):
        response_of(value)


def test_what_json_has_no_word_for_is_null():
    assert response_of([math.nan]).body == b"[null]"


async def test_a_fixed_broadcast_is_sent_and_counted(ask, rule, air, sending):
    answer = await ask(rule("/news", do=sending({"n": 1}, path="/news", group="g")), "post", "/news")
    assert (answer.status, answer.json) == (202, {"sent": True, "matched": 3})
    assert air.sent == [({"n": 1}, {"to": None, "path": "/news", "group": "g", "client": None})]


async def test_asking_for_the_methods_of_a_broadcast_sends_nothing(ask, rule, air, sending):
    do = sending("x")
    answer = await ask(rule("/news", do=do), "options", "/news")
    assert answer.status == 204
    assert (await ask(rule("/news", do=do), "get", "/news")).status == 405
    assert air.sent == []


GATE = SchemaGate.compile(
    {"type": "object", "required": ["message"], "properties": {"message": {"type": "string", "maxLength": 3}}}
)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b'{"message": "abcd"}', (422, "schema-mismatch", "/message")),
        (b"{}", (422, "schema-mismatch", "")),
        (b"[]", (422, "schema-mismatch", "")),
        (b"null", (422, "schema-mismatch", "")),
        (b'{"message": ', (400, "bad-message", "")),
        (b"", (400, "bad-message", "")),
        (b'{"message": NaN}', (400, "bad-message", "")),
        (b'{"message": "\xff"}', (400, "bad-message", "")),
        (b"[" * 100_000, (400, "bad-message", "")),
    ],
)
async def test_a_body_that_the_schema_refuses_reaches_no_handler(ask, rule, body, refusal):
    calls = []

    async def handler(event):
        calls.append(event)

    answer = await ask(rule("/a", handler=handler, gate=GATE), "post", "/a", content=body)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["pointer"]) == refusal
    assert error["detail"]
    assert calls == []


async def test_a_body_that_the_schema_accepts_reaches_the_handler(ask, rule):
    async def handler(event):
        return event.request.json

    answer = await ask(rule("/a", handler=handler, gate=GATE), "post", "/a", content=b'{"message": "abc"}')
    assert answer.json == {"message": "abc"}


async def test_a_request_without_a_body_is_not_judged(ask, rule):
    answer = await ask(rule("/a", "GET", "POST", handler=returning("yes"), gate=GATE), "get", "/a")
    assert answer.text == "yes"


async def test_a_gate_stands_before_a_broadcast_too(ask, rule, air, sending):
    assert (await ask(rule("/a", do=sending("x"), gate=GATE), "post", "/a", content=b"{}")).status == 422
    assert air.sent == []


async def test_json_that_a_handler_reads_is_strict_and_its_failure_is_the_clients(ask, rule):
    async def handler(event):
        return {"got": event.request.json}

    assert (await ask(rule("/a", handler=handler), "post", "/a", content=b"NaN")).status == 400
    assert (await ask(rule("/a", handler=handler), "post", "/a")).json == {"got": None}


async def test_parameters_may_have_any_name(ask, rule):
    async def handler(event):
        return event.params

    rules = [
        rule("/a/<__x>/<request>/<self:path>", "GET", handler=handler),
        rule("/b/<__file_uri__>", "GET", handler=handler),
    ]
    assert (await ask(rules, "get", "/a/1/2/3/4")).json == {"__x": "1", "request": "2", "self": "3/4"}
    assert (await ask(rules, "get", "/b/1")).json == {"__file_uri__": "1"}


async def test_a_number_in_a_path_is_a_plain_number(ask, rule):
    rules = [rule("/n/<n:int>", "GET", handler=returning("int")), rule("/n/<s>", "GET", handler=returning("str"))]
    answers = {
        path: (await ask(rules, "get", path)).text for path in ("/n/-7", "/n/1_000", "/n/%37", "/n/1.0", "/n/+1")
    }
    assert answers == {"/n/-7": "int", "/n/1_000": "str", "/n/%37": "int", "/n/1.0": "str", "/n/+1": "str"}
