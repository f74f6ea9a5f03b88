"""The benchmark's own checks: that its programs build and run, and that it sees what a server does wrong.

Nothing here is timed: loads end by count, and only what was delivered is looked at.
"""

import importlib
import json
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from websockets.asyncio.server import serve

BENCH = Path(__file__).parent

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The load generator and the yardstick, compiled with every warning an error."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("wsload", "limit"):
        command = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(folder / name), str(BENCH / f"{name}.c")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def fanout(monkeypatch):
    """The program fanout.py as a module; it finds harness.py beside itself, as when it is run."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("fanout")


async def load(programs, port, *arguments):
    """Put a load on a server; returns the load generator's exit status and report."""
    command = [str(programs / "wsload"), "--port", str(port), "--conns", "5", "--warmup", "0", *arguments]
    result = await anyio.run_process(command, check=False)
    return result.returncode, json.loads(result.stdout)


@asynccontextmanager
async def yardstick(programs, mode):
    """Run limit; gives its port."""
    async with await anyio.open_process([str(programs / "limit"), "0", mode], stderr=None) as process:
        yield int(await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 10))
        process.terminate()


@asynccontextmanager
async def broadcaster(deliver):
    """Run a server that asks `deliver(index, number)` how often client `index` gets message `number`."""
    clients = []

    async def on_client(client):
        clients.append(client)
        async for text in client:
            number = int(text.partition("~")[2].partition(".")[2].partition(":")[0])
            for index, other in enumerate(clients):
                for _ in range(deliver(index, number)):
                    await other.send(text)

    async with serve(on_client, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@needs_cc
@pytest.mark.parametrize("mode", ["loop", "coalesce"])
async def test_the_yardstick_delivers_every_message_to_everyone(programs, mode):
    async with yardstick(programs, mode) as port:
        status, report = await load(programs, port, "--publishers", "3", "--pipeline", "8", "--count", "60")
    assert status == 0
    assert report["deliveries"] == 5 * 60
    assert (report["missing"], report["duplicate_or_late"], report["clean_closes"]) == (0, 0, 5)


@needs_cc
@pytest.mark.parametrize("size", ["64", "200", "70000"])
async def test_the_yardstick_echoes_frames_of_every_length_form(programs, size):
    async with yardstick(programs, "loop") as port:
        arguments = ("--mode", "echo", "--path", "/echo", "--pipeline", "4", "--count", "100", "--size", size)
        status, report = await load(programs, port, *arguments)
    assert status == 0
    assert report["deliveries"] >= 100


@needs_cc
async def test_a_server_that_delivers_everything_is_found_right(programs):
    async with broadcaster(lambda _index, _number: 1) as port:
        status, report = await load(programs, port, "--count", "20")
    assert (status, report["missing"], report["duplicate_or_late"]) == (0, 0, 0)


@needs_cc
async def test_a_message_that_one_client_misses_is_found_missing(programs):
    async with broadcaster(lambda index, number: 0 if (index, number) == (3, 5) else 1) as port:
        status, report = await load(programs, port, "--pipeline", "16", "--duration", "0.5", "--drain", "0")
    assert status == 2
    assert report["missing"] >= 1


@needs_cc
async def test_a_message_that_one_client_gets_twice_is_found_duplicate(programs):
    async with broadcaster(lambda index, number: 2 if (index, number) == (3, 5) else 1) as port:
        status, report = await load(programs, port, "--count", "20")
    assert status == 2
    assert (report["missing"], report["duplicate_or_late"]) == (0, 1)


def test_ratios_are_taken_within_a_round_and_are_such_that_more_is_better(fanout):
    case = next(case for case in fanout.cases(quick=True) if case.name == "fanout-1000")
    results = fanout.Results()
    fine = dict.fromkeys(("failed", "missing", "duplicate_or_late", "bad_frames", "unstamped", "skipped"), 0)
    rounds = {"C loop": (2.0, 4.0, 9.0), "signalpost": (2.5, 4.0, 10.0), "stock Sanic": (10.0, 8.0, 30.0)}
    for server in case.servers:
        for cpu in rounds[server.name]:
            shares = {"client_cpu_share": 0.5, "server_cpu_share": 0.9}
            results.add(case, server, {fanout.CPU: cpu, **fine, **shares})
    (row,) = fanout.rows([case], results)
    assert row.values == {"C loop": 4.0, "signalpost": 4.0, "stock Sanic": 10.0}
    assert row.ratios == (0.8, 1.0, 0.9)
    assert row.times_stock == 3.0
    assert row.met is True
    assert "0.90 (0.80 to 1.00)" in fanout.table([row])
    assert results.notes == []


def test_a_run_with_a_wrong_delivery_is_said_to_mean_nothing(fanout):
    case = fanout.cases(quick=True)[0]
    results = fanout.Results()
    keys = ("failed", "duplicate_or_late", "bad_frames", "unstamped", "skipped", "client_cpu_share", "server_cpu_share")
    results.add(case, case.servers[0], {**dict.fromkeys(keys, 0), "missing": 7})
    assert results.notes == ["fanout-100, C loop: 7 missing deliveries; its figures mean nothing"]


def test_every_figure_belongs_to_a_case_and_every_case_has_a_figure(fanout):
    assert {figure.case for figure in fanout.FIGURES} == {case.name for case in fanout.cases(quick=False)}


def test_a_server_that_ends_at_once_is_quoted(fanout):
    harness = sys.modules["harness"]
    broken = harness.Server("broken", lambda _port, _folder: [sys.executable, "-c", "raise SystemExit('no luck')"])
    with (
        pytest.raises(harness.BenchError, match=r"broken ended with status 1; it said:\nno luck"),
        harness.running(broken, harness.Cores(None, None)),
    ):
        pass


def test_receivers_get_the_same_bytes_from_every_server(fanout):
    harness = sys.modules["harness"]
    assert harness.LOOP.load_arguments(fanout.BROADCAST) == ["--template", '{"text":"%s"}', "--size", "64"]
    assert harness.SIGNALPOST.load_arguments(fanout.BROADCAST) == [
        "--template",
        '{"message":{"text":"%s"}}',
        "--size",
        str(64 + len('{"message":}')),
    ]
