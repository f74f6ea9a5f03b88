"""Admission: whoever is not let in by a hook is answered by HTTP, and only that handshake is."""

import asyncio
import logging

import pytest

from signalpost.node import Seams
from signalpost.testing import serve
from signalpost.websocket.handshake import HandshakeRejection

APP = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals: [{path: /hall}, {path: /kitchen}]
"""
NOT_THERE = HandshakeRejection(403, "not in the kitchen")
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def at_once(request):
    return NOT_THERE if request.path == "/kitchen" else None


async def later(request):
    await asyncio.sleep(0)
    return at_once(request)


def broken(_request):
    raise RuntimeError("the list of guests is lost")


async def broken_later(_request):
    raise RuntimeError("the list of guests is lost")


def impatient(_request):
    raise NOT_THERE


async def ask(app, path):
    """Send a handshake on a connection of its own; return the status, and the body unless it is a 101."""
    host, port = app.url().removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(HANDSHAKE.format(path=path).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    body = (await reader.readexactly(length)).decode()
    writer.close()
    return int(head.split()[1]), body


@pytest.mark.parametrize("hook", [at_once, later])
async def test_whoever_is_rejected_reads_why_and_others_are_let_in(hook):
    async with serve(APP, seams=Seams(admission=[hook])) as app:
        status, body = await ask(app, "/kitchen")
        assert (status, "not in the kitchen" in body) == (403, True)
        assert (await ask(app, "/hall"))[0] == 101


@pytest.mark.parametrize("hook", [broken, broken_later])
async def test_a_hook_that_fails_is_logged_and_lets_nobody_in(hook, caplog):
    async with serve(APP, seams=Seams(admission=[hook])) as app:
        status, body = await ask(app, "/hall")
        assert (status, "guests" in body) == (500, False)
        assert app.server.inspect().clients == ()
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "admission hook" in record.getMessage()
    assert str(record.exc_info[1]) == "the list of guests is lost"


async def test_a_hook_may_raise_its_rejection_and_gathers_no_tracebacks(caplog):
    async with serve(APP, seams=Seams(admission=[impatient])) as app:
        depths = []
        for _ in range(3):
            assert (await ask(app, "/hall"))[0] == 403
            depths.append(depth_of(NOT_THERE.__traceback__))
    assert depths[0] == depths[-1]
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def depth_of(traceback):
    depth = 0
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    return depth


async def test_hooks_are_asked_in_order_until_one_says_no():
    asked = []

    def first(request):
        asked.append("first")

    async def second(request):
        asked.append("second")
        return at_once(request)

    def third(request):
        asked.append("third")

    async with serve(APP, seams=Seams(admission=[first, second, third])) as app:
        assert (await ask(app, "/kitchen"))[0] == 403
        assert asked == ["first", "second"]
        assert (await ask(app, "/hall"))[0] == 101
        assert asked == ["first", "second", "first", "second", "third"]
