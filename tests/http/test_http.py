"""HTTP as clients know it: dates, forms, old clients, long answers, and what a schema makes of texts."""

import asyncio
import re
from urllib.parse import urlsplit

import httpx
import pytest

from signalpost.config.model import LimitsConfig
from signalpost.testing import serve

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http, hosts: [x]}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws, hosts: [x]}
    limits: {message: 64KiB}
    routes:
      - {path: /who, method: GET, handler: who}
      - {path: /search, method: GET, do: [{respond: {text: "[{{ request.query.q }}]"}}]}
      - {path: /named, method: GET, do: [{respond: {json: "{{ request.headers['x-name'] }}"}}]}
      - {path: /page, view: page.html}
      - {path: /file, file: page.html}
      - {path: /form, do: [{respond: {json: "{{ data }}"}}]}
      - path: /typed
        schema: &typed
          type: object
          properties:
            value: {type: number}
            count: {$ref: "#/$defs/count"}
            on: {type: boolean}
            tags: {type: array, items: {type: integer}}
            name: {type: string}
            gone: {type: [number, "null"]}
          $defs: {count: {type: integer, minimum: 1}}
        do: [{respond: {json: "{{ data }}"}}]
      - {path: /list, method: GET, query: *typed, do: [{respond: {json: "{{ request.query }}"}}]}
      - {path: /listed, method: GET, query: *typed, handler: query}
      - path: /heat/<celsius>
        method: GET
        params: {type: object, properties: {celsius: {type: number, maximum: 100}}}
        do: [{respond: {json: "{{ params.celsius + 0.5 }}"}}]
      - {path: /go, method: GET, do: [{respond: {redirect: "/a b?q={{ request.query.q }}"}}]}
      - {path: /cookies, method: GET, do: [{respond: {text: x, headers: {Set-Cookie: [a=1, "b={{ 1 + 1 }}"]}}}]}
      - {path: /bare, method: GET, handler: bare}
      - {path: /stream, method: GET, handler: stream}
      - {path: /broken, method: GET, handler: broken}
      - {path: /called, method: GET, do: [{call: broken}]}
      - {path: /changed, method: GET, handler: changed}
      - {path: /short, method: GET, handler: short}
      - {path: /begun, method: GET, handler: begun}
      - {path: /after, method: GET, handler: after}
    signals:
      - {path: /hello, connected: [{reply: {value: ["{{ request.headers['x-name'] }}", "{{ path }}"]}}]}
      - {path: /seen, handler: seen}
"""
PLUGIN = """
    from sanic.exceptions import NotFound
    from sanic.response import HTTPResponse

    from signalpost import route, signal

    @route("who")
    async def who(event):
        return {"path": event.path, "args": dict(event.request.args)}

    @route("query")
    async def query(event):
        return dict(event.query)

    @route("bare")
    async def bare(event):
        return HTTPResponse(b"abc")

    @route("stream")
    async def stream(event):
        answer = await event.request.respond(content_type="text/plain")
        for part in ("one,", "two,", "three"):
            await answer.send(part)
        await answer.eof()

    @route("broken")
    async def broken(event):
        answer = await event.request.respond(content_type="text/plain")
        await answer.send("one,")
        raise ValueError("no more")

    @route("changed")
    async def changed(event):
        answer = await event.request.respond(content_type="text/plain")
        await answer.send("one,")
        raise NotFound

    @route("short")
    async def short(event):
        answer = await event.request.respond(headers={"content-length": "10"})
        await answer.send("one,")

    @route("begun")
    async def begun(event):
        await event.request.respond(content_type="text/plain")
        raise ValueError("nothing")

    @route("after")
    async def after(event):
        answer = await event.request.respond(content_type="text/plain")
        await answer.send("all", True)
        raise ValueError("behind it")

    @signal("seen")
    async def seen(event):
        event.broadcast([event.request.path, event.request.target, event.request.headers["x-name"]])
"""
CLOSE = b"Host: localhost\r\nConnection: close\r\n"
UPGRADE = (
    b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
async def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "page.html").write_text("page {{ request.query.q }}")
    async with serve(APP, folder=folder, plugins={"shop": PLUGIN}) as app:
        yield app


@pytest.fixture
async def browser(app):
    async with httpx.AsyncClient(base_url=app.url("web")) as browser:
        yield browser


@pytest.fixture
def raw(app):
    """Send bytes, and return all that comes until the server closes."""

    async def ask(request, endpoint="web"):
        url = urlsplit(app.url(endpoint))
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    return ask


@pytest.mark.parametrize("path", ["/who", "/page", "/file", "/stream", "/bare", "/nowhere", "/go"])
async def test_every_answer_has_a_date(browser, path):
    date = (await browser.get(path)).headers.get_list("date")
    assert len(date) == 1
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date[0])


async def test_an_answer_whose_type_nobody_knows_has_no_content_type(browser):
    answer = await browser.get("/bare")
    assert (answer.content, "content-type" in answer.headers) == (b"abc", False)


async def test_an_answer_sets_several_cookies(browser):
    assert (await browser.get("/cookies")).headers.get_list("set-cookie") == ["a=1", "b=2"]


async def test_a_redirect_with_blanks_is_encoded(browser):
    answer = await browser.get("/go?q=%20u+v")
    assert (answer.status_code, answer.headers["location"]) == (303, "/a%20b?q=%20u%20v")


async def test_values_of_a_query_without_text_are_kept(browser):
    assert (await browser.get("/search?q=")).text == "[]"
    assert (await browser.get("/page?q=")).text == "page "
    assert (await browser.get("/who?q=&a")).json()["args"] == {"q": [""], "a": [""]}


async def test_a_form_in_parts_is_read_as_its_fields(browser):
    files = {"note": ("a.txt", b"hello", "text/plain"), "raw": ("b.bin", b"\xff", "application/x")}
    answer = await browser.post("/form", data={"value": "21.5", "empty": ""}, files=files)
    assert answer.json() == {
        "value": "21.5",
        "empty": "",
        "note": {"filename": "a.txt", "type": "text/plain", "size": 5, "text": "hello"},
        "raw": {"filename": "b.bin", "type": "application/x", "size": 1, "text": None},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"--B",
        b"--B\r\n\r\n",
        b"--B\r\nContent-Disposition: form-data; name=a\r\n--B--\r\n",
        b"--B\r\nno colon\r\n\r\nx\r\n--B--\r\n",
        b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--B--\r\n",
        b"--B\r\nContent-Disposition: form-data; name=a\r\nContent-Type: a; charset=none\r\n\r\nx\r\n--B--\r\n",
        b"--B\r\nContent-Disposition: form-data; name=a\r\nContent-Type: a; charset=unicode_escape\r\n\r\n"
        rb"\ud800" + b"\r\n--B--\r\n",
        b"--B\r\n\r\n\r\n" * 1_200 + b"--B--\r\n",
    ],
)
async def test_a_form_in_parts_that_is_none_is_refused(browser, body):
    for path in ("/form", "/typed"):
        answer = await browser.post(path, content=body, headers={"content-type": "multipart/form-data; boundary=B"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad-message")


async def test_fields_of_a_form_are_what_the_schema_says(browser):
    fields = {"value": "21.5", "count": " 7 ", "on": "on", "tags": ["1", "2"], "name": "08", "gone": "", "more": "9"}
    said = {"value": 21.5, "count": 7, "on": True, "tags": [1, 2], "name": "08", "gone": None, "more": "9"}
    assert (await browser.post("/typed", data=fields)).json() == said
    assert (await browser.post("/typed", data=fields, files={"more": ("", b"9")})).json()["value"] == 21.5
    assert (await browser.get("/list", params=fields)).json() == said
    assert (await browser.get("/listed", params=fields)).json() == said


@pytest.mark.parametrize("text", ["", "1,5", "0x10", "1e999", "nan", "∞", "9" * 70, "1 2"])
async def test_what_is_no_number_stays_a_text_and_is_refused(browser, text):
    answer = await browser.post("/typed", data={"value": text})
    assert (answer.status_code, answer.json()["error"]["pointer"]) == (422, "/value")
    answer = await browser.get("/list", params={"value": text})
    assert answer.status_code == 422
    assert "the query, at /value: expected a number" in answer.json()["error"]["detail"]


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**64 - 1, 1234567890123456789])
async def test_a_whole_number_of_64_bits_keeps_its_last_digit(browser, number):
    assert (await browser.post("/typed", data={"value": str(number)})).json() == {"value": number}
    assert (await browser.get("/list", params={"value": str(number)})).json() == {"value": number}


async def test_a_larger_number_is_read_as_in_json(browser):
    assert (await browser.post("/typed", data={"value": "9" * 20})).json() == {"value": 1e20}


async def test_a_number_that_json_cannot_say_is_not_taken_for_null(browser):
    assert (await browser.post("/typed", data={"gone": "1e999"})).json()["error"]["pointer"] == "/gone"


async def test_a_form_of_unchecked_boxes_is_an_empty_mapping(browser):
    form = {"content-type": "application/x-www-form-urlencoded"}
    for path in ("/typed", "/form"):
        assert (await browser.post(path, content=b"", headers=form)).json() == {}
    assert (await browser.post("/form")).json() is None
    assert (await browser.post("/typed")).status_code == 400


async def test_parameters_of_a_path_are_what_the_schema_says(browser):
    assert (await browser.get("/heat/-21.5")).json() == -21.0
    answer = await browser.get("/heat/101")
    assert answer.status_code == 422
    assert "the path, at /celsius" in answer.json()["error"]["detail"]


async def test_a_stream_for_http_1_0_ends_with_the_connection(raw):
    for more in (b"", b"Connection: keep-alive\r\n"):
        head, _, body = (await raw(b"GET /stream HTTP/1.0\r\n%b\r\n" % more)).partition(b"\r\n\r\n")
        assert body == b"one,two,three"
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head


@pytest.mark.parametrize("path", ["/broken", "/called", "/changed", "/short"])
async def test_an_answer_that_fails_in_the_middle_is_not_taken_for_a_whole_one(browser, path):
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await browser.get(path)


async def test_an_answer_that_fails_where_only_the_end_of_the_connection_would_end_it_is_reset(raw):
    with pytest.raises(ConnectionResetError):
        await raw(b"GET /broken HTTP/1.0\r\n\r\n")


async def test_an_answer_that_fails_before_anything_of_it_is_sent_is_500(browser):
    answer = await browser.get("/begun")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler-failed")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_fails_behind_a_whole_answer_takes_nothing_of_it_away(browser):
    for _ in range(2):
        assert (await browser.get("/after")).text == "all"


async def test_a_stream_that_is_asked_for_its_head_alone_does_not_fail(browser, caplog):
    assert (await browser.head("/stream")).status_code == 200
    assert (await browser.get("/stream")).text == "one,two,three"
    assert "HEAD /stream" not in caplog.text


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED"])
async def test_the_coding_of_a_body_has_no_case(raw, coding):
    body = b"2\r\n{}\r\n0\r\n\r\n"
    answer = await raw(b"POST /form HTTP/1.1\r\n%bTransfer-Encoding: %b\r\n\r\n%b" % (CLOSE, coding, body))
    assert answer.endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n"])
async def test_empty_lines_before_a_request_are_skipped(raw, before):
    request = b"GET /search?q=1 HTTP/1.1\r\n"
    answer = await raw(b"%b%bHost: localhost\r\n\r\n%b%b%b\r\n" % (before, request, before, request, CLOSE))
    assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_no_end_of_empty_lines_is_refused(raw):
    assert b" 400 " in await raw(b"\r\n" * 100 + b"GET /who HTTP/1.1\r\n%b\r\n" % CLOSE)


async def test_an_empty_line_that_comes_in_pieces_is_skipped(app):
    url = urlsplit(app.url("web"))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    for piece in (
        b"GET /search?q=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r",
        b"\n",
        b"GET /search?q=2 HTTP/1.1\r\n",
    ):
        writer.write(piece)
        if piece.endswith(b"\r\n\r\n"):
            await reader.readuntil(b"[1]")
        await asyncio.sleep(0)
    writer.write(CLOSE + b"\r\n")
    assert (await reader.read()).endswith(b"[2]")
    writer.close()


async def test_a_whole_url_is_asked_for_by_its_path(raw):
    answer = await raw(b"GET http://x/who?a=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b'{"path":"/who","args":{"a":["1"]}}' in answer


@pytest.mark.parametrize(("sent", "read"), [("Jürgen".encode(), "Jürgen"), ("Jürgen".encode("latin-1"), "Jürgen")])
async def test_header_fields_are_utf_8_or_else_latin_1(app, raw, sent, read):
    answer = await raw(b"GET /named HTTP/1.1\r\n%bX-Name: %b\r\n\r\n" % (CLOSE, sent))
    assert answer.endswith(f'"{read}"'.encode())
    url = urlsplit(app.url("live"))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(b"GET http://x/hello HTTP/1.1\r\n%bX-Name: %b\r\n\r\n" % (UPGRADE, sent))
    await reader.readuntil(b"\r\n\r\n")
    frame = await reader.readexactly(2)
    assert await reader.readexactly(frame[1]) == f'["{read}","/hello"]'.encode()
    writer.close()


async def test_a_handshake_with_a_whole_url_has_its_path(app):
    url = urlsplit(app.url("live"))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(b"GET http://x/seen?a HTTP/1.1\r\n%bX-Name: y\r\n\r\n" % UPGRADE)
    writer.write(b"\x81\x8d\0\0\0\0" + b'{"message":1}')
    await reader.readuntil(b"\r\n\r\n")
    frame = await reader.readexactly(2)
    assert await reader.readexactly(frame[1]) == b'["/seen","/seen?a","y"]'
    writer.close()


@pytest.mark.parametrize("wrong", [b"", UPGRADE.replace(b": 13", b": 12")])
async def test_who_has_to_upgrade_is_told_to_what(raw, wrong):
    answer = await raw(b"GET /hello HTTP/1.1\r\n%b%b\r\n" % (wrong or b"Host: x\r\n", b"Connection: close\r\n"), "live")
    assert b" 426 " in answer
    assert b"upgrade: websocket\r\n" in answer
    assert b"connection: upgrade, close\r\n" in answer


@pytest.mark.parametrize("options", [b"TE", b"Keep-Alive, TE", b"foo"])
async def test_a_connection_is_kept_unless_close_is_said(raw, options):
    request = b"GET /search?q=1 HTTP/1.1\r\nHost: localhost\r\nConnection: %b\r\n\r\n" % options
    last = b"GET /search?q=1 HTTP/1.1\r\nHost: localhost\r\nConnection: TE, close\r\n\r\n"
    assert (await raw(request + last)).count(b" 200 OK") == 2


@pytest.mark.parametrize("framing", [b"Content-Length: 4000000", b"Transfer-Encoding: chunked"])
async def test_the_answer_to_a_body_that_is_too_large_is_read_by_whoever_sends_all_of_it(app, framing):
    url = urlsplit(app.url("web"))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    chunk = b"%x\r\n%b\r\n" % (40_000, bytes(40_000)) if b"chunked" in framing else bytes(40_000)
    writer.write(b"POST /form HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % framing)
    for _ in range(100):
        writer.write(chunk)
        await writer.drain()
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"too large" in answer
    writer.close()


async def test_who_waits_for_100_is_answered_before_the_body(raw):
    request = b"POST /form HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4000000\r\n\r\n"
    assert (await raw(request)).startswith(b"HTTP/1.1 413 ")
    gone = request.replace(b"/form", b"/nowhere")
    assert (await raw(gone)).startswith(b"HTTP/1.1 404 ")


SLOW = """
    endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
    limits: {response: LIMIT}
    routes:
      - {path: /slow, method: GET, handler: slow}
      - {path: /stream, method: GET, handler: stream}
"""
WAITING = """
    import asyncio

    from signalpost import route

    @route("slow")
    async def slow(event):
        try:
            await event.state["_gate"].wait()
        except asyncio.CancelledError:
            event.state["_cancelled"].set()
            raise
        return "done"

    @route("stream")
    async def stream(event):
        answer = await event.request.respond(content_type="text/plain")
        event.state["_begun"].set()
        await event.state["_gate"].wait()
        await answer.send("done")
"""


@pytest.fixture
async def slow():
    async with serve(SLOW.replace("LIMIT", "100ms"), plugins={"slow": WAITING}) as app:
        for name in ("_gate", "_cancelled", "_begun"):
            app.server.node.shared.state[name] = asyncio.Event()
        async with httpx.AsyncClient(base_url=app.url("web"), timeout=30) as browser:
            yield app.server.node.shared.state, browser


async def test_a_handler_that_takes_longer_than_the_limit_is_cancelled_and_the_log_says_so(slow, caplog):
    state, browser = slow
    answer = await browser.get("/slow")
    assert answer.status_code == 503
    await state["_cancelled"].wait()
    assert "GET /slow was answered with 503: the answer took longer than limits.response allows" in caplog.text


async def test_an_answer_that_has_begun_has_no_limit(slow):
    state, browser = slow
    streaming = asyncio.create_task(browser.get("/stream"))
    await state["_begun"].wait()
    assert (await browser.get("/slow")).status_code == 503  # a limit is over meanwhile
    state["_gate"].set()
    assert (await streaming).text == "done"


def test_a_handler_of_seventy_seconds_has_its_time():
    assert LimitsConfig().response > 70
