"""Descriptors that run out: who comes is refused in order, who is there notices nothing."""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys

import pytest

from signalpost.http.descriptors import REFUSAL, RESERVE, Descriptors, raise_limit
from signalpost.testing import serve

SPARE = 24
APP = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]"
SMALL_PROCESS = """
import logging, resource, sys
from signalpost.config.model import LimitsConfig
from signalpost.http.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
raise_limit(LimitsConfig().connections)
raise_limit(200)
"""


@pytest.fixture
def few():
    """Allow this process only a few descriptors more than it has, behind those that nobody gets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(lowest + SPARE, RESERVE) + RESERVE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_refusal_says_how_long_it_is():
    head, _, body = REFUSAL.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")


def test_a_lack_of_descriptors_is_said_once_a_second_with_how_many_were_refused(few, caplog):
    later = []
    descriptors = Descriptors(lambda _, tell: later.append(tell))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert descriptors.admit(limit - RESERVE - 1)
    assert not caplog.records
    for _ in range(4):
        assert not descriptors.admit(limit - RESERVE)
    assert [record.args for record in caplog.records] == [(1, limit)]
    later.pop()()
    assert [record.args for record in caplog.records] == [(1, limit), (3, limit)]


def test_where_hardly_any_are_allowed_connections_get_half_of_them(few):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * RESERVE - 10, hard))  # for new ones; those that are open stay
    descriptors = Descriptors(lambda *_: None)
    assert [descriptors.admit(number) for number in (RESERVE - 6, RESERVE - 5)] == [True, False]


async def test_who_comes_when_few_are_left_is_refused_until_some_are_back(few, caplog):
    async with serve(APP) as app, app.connect("/") as member, contextlib.AsyncExitStack() as stack:
        port = app.server.endpoints[0].port
        crowd = []
        while "refused" not in caplog.text:
            assert len(crowd) < 2 * SPARE + RESERVE
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            crowd.append(writer)
            await member.send("a round trip, so that it has been accepted")
            await member.receive()
        assert await reader.read() == REFUSAL
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        crowd.append(writer)
        assert await reader.read() == REFUSAL
        assert "descriptors are running out: 1 connections refused" in caplog.text
        await member.send("still here")
        assert await member.receive() == "still here"
        for writer in crowd:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await member.send("a round trip")
        assert await member.receive() == "a round trip"
        async with app.connect("/") as newcomer:
            await newcomer.send("welcome")
            assert await newcomer.receive() == "welcome"


def test_a_process_gets_all_that_it_may_have_and_is_told_if_that_is_too_little(few, caplog):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_limit(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    assert not caplog.records
    raise_limit(hard)
    assert f"limits.connections is {hard}, but {hard} descriptors are allowed" in caplog.text


def test_the_default_of_connections_is_nothing_to_warn_of():
    said = subprocess.run([sys.executable, "-c", SMALL_PROCESS], capture_output=True, text=True, check=True).stdout
    assert said == (
        "limits.connections is 200, but 100 descriptors are allowed: from about 50 connections on, further ones get "
        "503; allow more (ulimit -n), or lower limits.connections\n"
    )
