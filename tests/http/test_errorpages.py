"""What clients get when something is wrong: never a traceback, a path, a version or an exception's text."""

import asyncio
import logging
import re

import pytest
from sanic.compat import Header
from sanic.exceptions import SanicException, Unauthorized

from signalpost.errors import ClientError, ErrorCode
from signalpost.http.errorpages import STATUS_OF_CODE, shown
from signalpost.http.request import WebRequest

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


def raising(exception):
    async def broken(event):
        raise exception

    return broken


async def test_a_browser_gets_a_page_and_a_program_gets_json(serve, rule):
    site = await serve(rule("/a", handler=raising(ValueError())))
    page = await site.client.get("/nowhere", headers=BROWSER)
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<h1>Not Found</h1>" in page.text
    assert "prefers-color-scheme: dark" in page.text
    data = await site.client.get("/nowhere")
    assert data.status_code == 404
    assert data.json() == {"error": {"code": "not-found", "detail": "There is nothing at this address."}}
    for answer in (page, data):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "accept"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "alt-svc" not in answer.headers


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html", "text/html"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("application/json;q=0.9, text/html", "text/html"),
        ("text/html;q=0", "application/json"),
        ("text/html; q=x", "application/json"),
        ("TEXT/HTML", "text/html"),
        (";;;,,=/;q", "application/json"),
        ("", "application/json"),
    ],
)
async def test_what_the_client_prefers_decides(serve, rule, accept, kind):
    site = await serve(rule("/a", handler=raising(ValueError())))
    answer = await site.client.get("/nowhere", headers={"accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize("headers", [BROWSER, {}], ids=["browser", "program"])
async def test_a_failing_handler_leaks_nothing_and_is_logged_whole(serve, rule, caplog, headers):
    site = await serve(rule("/a", handler=raising(RuntimeError("password is hunter2"))))
    answer = await site.client.post("/a", headers=headers)
    assert answer.status_code == 500
    for secret in ("hunter2", "RuntimeError", "Traceback", "shop", "sanic", "Sanic", ".py"):
        assert secret not in answer.text
    [record] = caplog.records
    assert record.name == "signalpost.http.routes"
    assert record.getMessage() == "plugin shop: handler broken (plugins/shop.py:7) failed on POST /a"
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    ("exception", "status"),
    [
        (Unauthorized("who?", scheme="Basic", realm="x"), 401),
        (SanicException("secret", status_code=418), 418),
        (SanicException("secret", status_code=599), 599),
        (SanicException("secret", status_code=42), 500),
        (SanicException("secret", status_code=1000), 500),
        (SanicException("secret", status_code=503, headers={"retry-after": "7"}), 503),
    ],
)
async def test_an_exception_of_sanics_keeps_its_status_and_headers_but_not_its_text(serve, rule, exception, status):
    site = await serve(rule("/a", handler=raising(exception)))
    answer = await site.client.post("/a")
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert "who?" not in answer.text
    for name, value in exception.headers.items():
        assert answer.headers[name] == value


async def test_an_exception_with_a_status_below_400_has_no_body(serve, rule):
    moved = SanicException("moved", status_code=303, headers={"location": "/b"})
    site = await serve(rule("/a", handler=raising(moved)))
    answer = await site.client.post("/a")
    assert (answer.status_code, answer.headers["location"], answer.content) == (303, "/b", b"")


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_a_refusal_is_told_with_code_pointer_and_detail(serve, rule, code):
    site = await serve(rule("/a", handler=raising(ClientError(code, "Too <b>long</b>.", "/message"))))
    answer = await site.client.post("/a")
    assert answer.status_code == STATUS_OF_CODE[code]
    assert answer.json() == {"error": {"code": code.value, "pointer": "/message", "detail": "Too <b>long</b>."}}
    page = await site.client.post("/a", headers=BROWSER)
    assert "Too &lt;b&gt;long&lt;/b&gt;." in page.text


async def test_a_wrong_method_names_the_right_ones(serve, rule):
    async def answer(event):
        return "yes"

    site = await serve(rule("/a", "GET", handler=answer), rule("/a", "PUT", handler=answer))
    refused = await site.client.delete("/a")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, PUT")
    assert refused.json()["error"]["code"] == "method-not-allowed"


async def test_options_tells_the_methods_of_a_path(serve, rule):
    async def answer(event):
        return "yes"

    site = await serve(rule("/a", "GET", handler=answer), rule("/b", "OPTIONS", handler=answer))
    asked = await site.client.options("/a")
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, "GET, HEAD, OPTIONS", b"")
    assert (await site.client.options("/b")).text == "yes"
    assert (await site.client.options("/nowhere")).status_code == 404
    whole = await site.raw(b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert whole.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"GET, HEAD, OPTIONS" in whole


async def test_head_has_the_headers_of_an_error_and_no_body(serve, rule):
    site = await serve(rule("/a", handler=raising(ValueError())))
    answer = await site.raw(b"HEAD /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert re.search(rb"content-length: [1-9]", answer)


BROKEN = {
    "no request at all": b"\x00\x01\x02\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a version nobody speaks": b"GET / HTTP/9.9\r\n\r\n",
    "a space in the address": b"GET /a b HTTP/1.1\r\n\r\n",
    "a bad address": b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n",
    "no address": b"GET  HTTP/1.1\r\nhost: x\r\n\r\n",
    "only a query": b"GET ?a=1 HTTP/1.1\r\nhost: x\r\n\r\n",
    "an authority": b"CONNECT host:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a control character in the address": b"GET /\x01 HTTP/1.1\r\nhost: x\r\n\r\n",
    "an address that is not ASCII": b"GET /\xc3\xbc HTTP/1.1\r\nhost: x\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a length that is none": b"POST / HTTP/1.1\r\ncontent-length: one\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "chunks that are none": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_", BROKEN.values(), ids=BROKEN)
async def test_a_request_that_cannot_be_read_is_400_and_the_connection_ends(serve, rule, caplog, request_):
    caplog.set_level(logging.WARNING)
    site = await serve(rule("/", handler=raising(ValueError())))
    answer = await site.raw(request_)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in answer
    assert b'"code":"bad-request"' in answer
    for secret in (b"anic", b"Traceback", b".py", b"parse"):
        assert secret not in answer
    assert caplog.records == []


async def test_headers_without_end_are_refused(serve, rule):
    site = await serve(rule("/", handler=raising(ValueError())))
    answer = await site.raw(b"GET / HTTP/1.1\r\nx: " + b"a" * 17_000)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_an_address_of_another_host_without_a_path_means_the_root(serve, rule):
    async def answer(event):
        return event.path

    site = await serve(rule("/", "GET", handler=answer))
    said = await site.raw(b"GET http://example.org HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert said.endswith(b"\r\n\r\n/")


async def test_an_unknown_method_is_405(serve, rule):
    site = await serve(rule("/", handler=raising(ValueError())))
    answer = await site.raw(b"BREW / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"OPTIONS, POST" in answer


def test_control_characters_of_a_client_do_not_reach_the_log():
    request = WebRequest(b"/a%0Ab", Header({"host": "x"}), "1.1", "\x1b[31mG\u00e9T\n", None, None, b"head")
    assert shown(request) == r"\x1b[31mG\xe9T\n /a%0Ab"


async def test_a_slow_handler_is_answered_for_with_503(serve, rule, caplog):

    async def slow(event):
        await asyncio.Event().wait()

    site = await serve(rule("/", "GET", handler=slow))
    site.app.config.RESPONSE_TIMEOUT = 0.2
    answer = await site.raw(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"connection: close" in answer
    late = "the answer took longer than limits.response allows, and was given up"
    assert caplog.messages == [f"GET / was answered with 503: {late}"]
