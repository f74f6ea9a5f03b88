"""What becomes of clients that take their time with a request, over real sockets to a real server."""

import asyncio
import contextlib
import logging

import pytest

from signalpost.testing import serve

APP = """
    endpoints:
      - {name: web, address: 127.0.0.1, port: 0, protocol: http}
      - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
      - {name: safe, address: 127.0.0.1, port: 0, protocol: wss, self_signed: true}
    routes:
      - {path: /bell, broadcast: {value: ding}}
    limits: {handshake: 250ms}  # long enough that the first look comes too early
"""
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
BODY = b"Content-Length: 30\r\n\r\nabc"


@contextlib.asynccontextmanager
async def opened(app, endpoint):
    port = int(app.url(endpoint).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("endpoint", ["web", "live", "safe"])
async def test_a_client_that_says_nothing_at_all_is_gone_after_the_handshakes_time(endpoint):
    async with serve(APP) as app, opened(app, endpoint) as (reader, _), asyncio.timeout(10):
        assert await reader.read() == b""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endpoint", "request_"),
    [
        pytest.param("web", b"GET / HT", id="half a head"),
        pytest.param("web", b"POST /bell HTTP/1.1\r\nHost: localhost\r\n" + BODY, id="half a body"),
        pytest.param(
            "web", b"POST /bell HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", id="no chunk"
        ),
        pytest.param("web", b"GET / HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + BODY, id="an upgrade, half its body"),
        pytest.param(
            "live", b"GET / HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + BODY, id="a handshake, half its body"
        ),
        pytest.param("live", b"POST / HTTP/1.1\r\nHost: localhost\r\n" + BODY, id="no handshake, half its body"),
    ],
)
async def test_a_request_whose_rest_does_not_come_is_answered_with_408_and_closed(endpoint, request_, caplog):
    async with serve(APP) as app, opened(app, endpoint) as (reader, writer), asyncio.timeout(10):
        writer.write(request_)
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()  # returns only when the server closes
    assert not caplog.records


async def test_the_rest_of_a_body_that_is_answered_already_is_not_awaited_for_ever():
    async with serve(APP) as app, opened(app, "web") as (reader, writer), asyncio.timeout(10):
        writer.write(b"POST /nobody HTTP/1.1\r\nHost: localhost\r\n" + BODY)
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()


async def test_a_head_that_comes_byte_by_byte_gets_no_more_time():
    async with serve(APP) as app, opened(app, "live") as (reader, writer), asyncio.timeout(10):

        async def drip():
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.01)

        dripping = asyncio.ensure_future(drip())
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()


async def test_between_two_requests_a_connection_may_rest():
    async with serve(APP) as app, opened(app, "web") as (reader, writer), asyncio.timeout(10):
        async with opened(app, "web") as (other, _):
            writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
            assert await other.read() == b""  # this one said nothing, and its time is over
        writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")


async def test_a_stop_waits_for_no_request_whose_head_is_not_whole():
    patient = APP.replace("handshake: 250ms", "handshake: 10m, drain: 10m")
    async with serve(patient) as app, opened(app, "web") as (reader, writer), opened(app, "web") as (ends, other):
        other.write(b"GET / HTTP/1.1\r\nHo")
        await other.drain()
        writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await app.server.stop()
        with contextlib.suppress(ConnectionResetError):
            assert await ends.read() == b""


async def test_a_stop_in_the_middle_of_a_request_is_nothing_to_log(caplog):
    async with serve(APP) as app, opened(app, "web") as (reader, writer), opened(app, "web") as (_, other):
        other.write(b"GET / HTTP/1.1\r\nHo")
        await other.drain()
        writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")  # by then the server has read the other's half, too
        await app.server.stop()
        assert await reader.read() == b""
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
