"""Heads whose fields have come before: they mean what they meant when Sanic read them."""

import asyncio
import random
import re

import pytest

from signalpost.http.known import LONGEST, KnownHeads
from signalpost.testing import serve

APP = """
    endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http}]
    routes:
      - {path: /seen, method: [GET, POST, PUT], handler: seen}
"""
PLUGIN = """
    from signalpost import route

    @route("seen")
    async def seen(event):
        request = event.request
        view = [request.method, request.url, request.version, request.query_string, request.body.decode("latin-1")]
        headers = list(request.headers.items())
        request.headers["x-left"] = "by a handler"
        request.headers.popall("accept", None)
        return {"view": view, "headers": headers, "head": request.head.decode("latin-1")}
"""
FIELDS = (
    "Accept: */*",
    "accept:text/html",
    "Connection: close",
    "Connection: keep-alive",
    "connection:  Close , x",
    "Connection: x",
    "Content-Length: 2",
    "Content-Length: 0",
    "Content-Length: +2",
    "Content-Length: 2x",
    "Content-Type: application/json",
    "Cookie: a=b; c=d",
    "Expect: 100-continue",
    "Expect: tea",
    "Host: other",
    "Host: 127.0.0.1:1",
    "Transfer-Encoding: chunked",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "X-Blank:",
    "X-Colons: a:b:c",
    "X-Long: " + "x" * LONGEST,
    "X-Odd: \u00e9",
    "X-Tab:\ta\t",
)
LINES = (
    "GET /seen HTTP/1.1",
    "GET /seen?a=1&b=%20 HTTP/1.1",
    "HEAD /seen HTTP/1.1",
    "head /seen HTTP/1.1",
    "POST /seen HTTP/1.1",
    "PUT /seen HTTP/1.1",
    "GET /seen HTTP/1.0",
    "GET /seen HTTP/1.2",
    "GET  /seen HTTP/1.1",
    "GET /seen  HTTP/1.1",
    "GET /se\u00e9n HTTP/1.1",
    "GET /se\ten HTTP/1.1",
    "GET http://127.0.0.1/seen HTTP/1.1",
    "GET http:// HTTP/1.1",
    "GET HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "GET /nothing HTTP/1.1",
    " GET /seen HTTP/1.1",
)


@pytest.fixture(scope="module")
async def app():
    async with serve(APP, plugins={"seen": PLUGIN}) as app:
        yield app


async def ask(app, line, fields):
    """Give what comes back until the connection ends, without its Date; whoever keeps it open is asked once more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", app.server.endpoints[0].port)
    writer.write("\r\n".join([line, *fields, "", ""]).encode("latin-1") + b"{}")
    writer.write(b"GET /last HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return re.sub(rb"(?i)date: [^\r]*", b"", answer)


def made(seed):
    """Make some fields; most have a Host, which comes first as a rule."""
    if not seed:
        return ["Host: 127.0.0.1", "Content-Length: 2", "Expect: 100-continue"]
    chance = random.Random(seed)
    fields = chance.sample(FIELDS, chance.choice((0, 1, 1, 2, 2, 3, 5)))
    return ["Host: 127.0.0.1", *fields] if chance.random() < 0.9 else fields


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
async def test_a_head_is_read_alike_whether_its_fields_are_new_or_known(app, seed):
    known, fields = app.server._sockets.intake.known, made(seed)
    for line in LINES:
        known._known.clear()
        new = await ask(app, line, fields)
        assert new
        known._known.clear()
        await ask(app, LINES[0], fields)
        assert await ask(app, line, fields) == new


async def test_the_fields_of_a_usual_head_are_known_the_second_time(app):
    known = app.server._sockets.intake.known
    known._known.clear()
    fields = ["Host: 127.0.0.1", "Accept: */*"]
    await ask(app, LINES[0], fields)
    assert "\r\n".join(fields).encode() in known._known


async def test_what_a_handler_does_to_headers_is_gone_with_its_request(app):
    fields = ["Host: 127.0.0.1", "Accept: */*", "Connection: close"]
    answers = {await ask(app, LINES[0], fields) for _ in range(3)}
    assert len(answers) == 1
    assert b"*/*" in next(iter(answers))


def test_fields_of_many_clients_are_bounded():
    known = KnownHeads()
    for number in range(10_000):
        known.keep(b"Host: %d" % number, {}, None)
        assert len(known._known) <= 256
    assert known.find(b"Host: 9999") is not None
