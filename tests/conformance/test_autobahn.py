"""The runner's own checks, and what its last run found: all of the suite takes half an hour."""

import asyncio
import base64
import hashlib
import importlib
from pathlib import Path

import pytest

from signalpost.testing import load_app

HERE = Path(__file__).parent
(RESULTS,) = (HERE / "results").iterdir()


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("autobahn")


def verdicts_of(runner, **cases):
    """Give verdicts; names are the cases' numbers, with underscores."""
    return {number[1:].replace("_", "."): runner.Verdict(*words) for number, words in cases.items()}


def test_the_last_run_is_of_all_517_cases_and_each_passed_strictly(runner):
    saved = RESULTS.read_text(encoding="utf-8")
    verdicts = runner.read_saved(saved)
    assert runner.written(runner.in_order(verdicts)) == saved
    text, fine = runner.table(verdicts, list(runner.GROUPS))
    assert fine
    assert "| all | | 517 | 517 | 3 |" in text
    assert text in (HERE / "README.md").read_text(encoding="utf-8")


def test_cases_stand_in_the_order_of_their_numbers(runner):
    ok = ("OK", "OK")
    assert list(runner.in_order(verdicts_of(runner, _10_1_1=ok, _7_10=ok, _7_9_1=ok))) == ["7.9.1", "7.10", "10.1.1"]


@pytest.mark.parametrize(
    ("behavior", "close", "strict", "words"),
    [
        ("OK", "OK", True, "OK"),
        ("INFORMATIONAL", "INFORMATIONAL", True, "INFORMATIONAL"),
        ("OK", "INFORMATIONAL", True, "OK, closed: INFORMATIONAL"),
        ("NON-STRICT", "OK", False, "NON-STRICT, closed: OK"),
        ("OK", "WRONG CODE", False, "OK, closed: WRONG CODE"),
        ("OK", "UNCLEAN", False, "OK, closed: UNCLEAN"),
        ("OK", "FAILED BY CLIENT", False, "OK, closed: FAILED BY CLIENT"),
        ("UNIMPLEMENTED", "OK", False, "UNIMPLEMENTED, closed: OK"),
        ("FAILED", "FAILED", False, "FAILED"),
        ("OK", "A word of the future", False, "OK, closed: A word of the future"),
    ],
)
def test_only_what_is_in_order_passes_and_the_rest_is_named(runner, behavior, close, strict, words):
    verdicts = verdicts_of(runner, _10_1_1=(behavior, close))
    text, fine = runner.table(verdicts, ["10"])
    assert fine is strict
    assert str(verdicts["10.1.1"]) == words
    assert (f"10.1.1: {words}" in text) is not strict


def test_cases_that_did_not_run_are_missed(runner):
    text, fine = runner.table(verdicts_of(runner, _3_1=("OK", "OK")), ["3"])
    assert not fine
    assert text.endswith("1 cases ran of 7")
    text, fine = runner.table({}, ["3"])
    assert not fine
    assert text.endswith("0 cases ran of 7")


def test_the_app_is_sound_and_listens_where_the_suite_is_sent(runner, tmp_path):
    plan = load_app(runner.ROUTES.read_text(encoding="utf-8"), tmp_path)
    urls = {each.name: f"{each.scheme.value}://{each.address}:{each.port}" for each in plan.config.endpoints}
    assert urls == runner.URLS


# The client that plays the cases, against servers that do as they should not


class Case1_1(object):  # noqa: N801, UP004 - what the suite's cases are like
    """Sends a text that is no UTF-8, and takes a close with 1007 for right."""

    def __init__(self, player):
        self.p = player
        self.behavior = self.behaviorClose = "FAILED"
        self.read = []

    def onOpen(self):  # noqa: N802
        self.p.sendFrame(opcode=1, payload="\xff", chopsize=1)

    def onMessage(self, message, binary):  # noqa: N802
        self.read.append((message, binary))
        self.p.sendClose(1000)

    def onConnectionLost(self, failed_by_me):  # noqa: N802
        self.behavior = "OK" if not self.read and not failed_by_me else "FAILED"
        if not self.p.closedByMe and self.p.remoteCloseCode == 1007 and self.p.wasClean and not self.p.droppedByMe:
            self.behaviorClose = "OK"


def answers(frame, *, drop=True):
    """Give a server that answers the first frame with these bytes, and then closes the connection, or not."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        first = await reader.readexactly(7)
        assert first[:2] == b"\x81\x81", "a final text frame of one byte, masked"
        assert first[2] ^ first[6] == 0xFF
        writer.write(frame)
        if not drop:
            await reader.read()
        writer.close()

    return serve


@pytest.mark.parametrize(
    ("server", "verdict"),
    [
        (answers(b"\x88\x02\x03\xef"), ("OK", "OK")),
        (answers(b""), ("OK", "FAILED")),  # without a close frame
        (answers(b"\x88\x02\x03\xea"), ("OK", "FAILED")),  # 1002
        (answers(b"\x88\x02\x03\xef", drop=False), ("OK", "FAILED")),  # it is for the server to go
        (answers(b"\x81\x01\xff"), ("FAILED", "FAILED")),  # an echo
        (answers(b"\xc1\x01\xff"), ("FAILED", "FAILED")),  # compressed, which nobody agreed on
        (answers(b"\x81\x81\x00\x00\x00\x00\xff"), ("FAILED", "FAILED")),  # masked
    ],
)
async def test_a_case_judges_by_what_a_server_sent_and_by_who_ended_the_connection(runner, server, verdict):
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        assert await runner.play(Case1_1, f"ws://127.0.0.1:{port}") == verdict


def test_the_few_lines_that_a_python_of_today_would_not_take_are_put_right(runner):
    cases = importlib.import_module("cases")
    old = "if x:\n   print 'x', x\nclass C(object, Case, ):\n   a = pickle.dumps(a) == pickle.dumps(b)\n"
    assert cases.repaired(old) == "if x:\n   pass\nclass C(Case, ):\n   a = a == b\n"
    assert runner.number_of(Case1_1) == "1.1"
