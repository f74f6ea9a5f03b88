"""The benchmark's own checks: that its programs build and run, and that it sees what a server does wrong.

Nothing here is timed: loads end by count, and only what was delivered is looked at.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import serve

from signalpost.delivery.ring import Ring, open_writer

BENCH = Path(__file__).parent


@pytest.fixture
def redis_server(modules):
    """Nothing but the certainty that a redis-server can be started."""
    if not any(map(shutil.which, modules.nodes.REDIS_PROGRAMS)):
        reason = "redis-server is missing: apt-get install redis-server"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


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
def modules(monkeypatch):
    """The benchmark's own modules, by name; they find one another beside themselves, as when fanout.py is run."""
    monkeypatch.syspath_prepend(BENCH)
    names = ("servers", "harness", "figures", "tables", "fanout", "chart", "soak", "visitors", "reloads", "history")
    of_nodes = ("nodes", "deaths", "golden", "carried", "cluster", "startup")
    return SimpleNamespace(**{name: importlib.import_module(name) for name in names + of_nodes})


@pytest.fixture
def report():
    """A flawless report of the load generator, with what else it is to say."""
    faults = ("failed", "missing", "duplicate_or_late", "bad_frames", "unstamped", "strays", "skipped")
    return lambda **others: {**dict.fromkeys(faults, 0), "client_cpu_share": 0.5, "server_cpu_share": 0.9, **others}


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


IN_ROOMS = ("--mode", "rooms", "--path", "/rooms", "--rooms", "5", "--conns", "10")


def with_a_ring(mode):
    """Give a mode of limit that needs io_uring, which not every system has."""
    writer = open_writer()
    writer.close()
    return pytest.param(mode, marks=pytest.mark.skipif(not isinstance(writer, Ring), reason="needs io_uring"))


@asynccontextmanager
async def rooms(deliver):
    """Run a server with rooms that asks `deliver(index, number)` how often client `index` gets message `number`."""
    clients = []

    async def on_client(client):
        clients.append(client)
        async for text in client:
            number = int(text.partition("~")[2].partition(".")[2].partition(":")[0])
            for other in [each for each in clients if each.request.path == client.request.path]:
                index = int(client.request.path.rpartition("/")[2]) + (5 if other is not client else 0)
                for _ in range(deliver(index, number)):
                    await other.send(text)

    async with serve(on_client, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


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
@pytest.mark.parametrize("mode", ["loop", "coalesce", *map(with_a_ring, ("uring", "turn"))])
async def test_the_yardstick_delivers_every_message_to_everyone(programs, mode):
    async with yardstick(programs, mode) as port:
        status, report = await load(programs, port, "--publishers", "3", "--pipeline", "8", "--count", "60")
    assert status == 0
    assert report["deliveries"] == 5 * 60
    assert (report["missing"], report["duplicate_or_late"], report["clean_closes"]) == (0, 0, 5)


@needs_cc
@pytest.mark.parametrize("mode", [with_a_ring("rooms")])
async def test_the_yardstick_delivers_every_message_to_its_room(programs, mode):
    async with yardstick(programs, mode) as port:
        status, report = await load(programs, port, *IN_ROOMS, "--pipeline", "8", "--count", "60")
    assert status == 0
    assert report["deliveries"] == 2 * 60
    assert (report["missing"], report["strays"], report["clean_closes"]) == (0, 0, 10)


@needs_cc
async def test_a_message_that_leaves_its_room_is_found_stray(programs):
    async with yardstick(programs, "loop") as port:
        status, report = await load(programs, port, *IN_ROOMS, "--count", "20", "--drain", "0")
    assert status == 2
    assert report["strays"] > 0


@needs_cc
async def test_a_message_that_one_client_of_a_room_misses_is_found_missing(programs):
    async with rooms(lambda index, number: 0 if (index, number) == (7, 3) else 1) as port:
        status, report = await load(programs, port, *IN_ROOMS, "--count", "40", "--drain", "0.2")
    assert status == 2
    assert (report["missing"], report["duplicate_or_late"], report["strays"]) == (1, 0, 0)


@pytest.mark.slow
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


@needs_cc
async def test_a_message_that_goes_to_a_bystander_is_found_stray(programs):
    async with broadcaster(lambda index, _number: 1 if index < 4 else 0) as port:
        status, report = await load(programs, port, "--count", "20", "--bystanders", "1")
    assert (status, report["missing"], report["strays"]) == (0, 0, 0)
    async with broadcaster(lambda index, number: 1 if index < 4 or number == 7 else 0) as port:
        status, report = await load(programs, port, "--count", "20", "--bystanders", "1")
    assert (status, report["missing"], report["strays"]) == (2, 0, 1)


def test_ratios_are_taken_within_a_round_and_are_such_that_more_is_better(modules, report):
    figures, tables, servers = modules.figures, modules.tables, modules.servers
    case = next(case for case in figures.cases(quick=True) if case.name == "fanout-1000")
    results = tables.Results()
    rounds = {"C loop": (2.0, 4.0, 9.0), "signalpost": (2.5, 4.0, 10.0), "stock Sanic": (10.0, 8.0, 30.0)}
    for server in (servers.LOOP, servers.SIGNALPOST, servers.STOCK):
        for cpu in rounds[server.name]:
            results.add(case, server, report(**{figures.CPU: cpu}))
    (row,) = tables.rows([case], results)
    assert row.values == {"C loop": 4.0, "signalpost": 4.0, "stock Sanic": 10.0}
    assert row.ratios == (0.8, 1.0, 0.9)
    assert row.times_stock == 3.0
    assert row.met is True
    assert "0.90 (0.80 to 1.00)" in tables.table([row])
    assert [line.split("|")[1].strip() for line in tables.peers_table([row]).splitlines()[2:]] == [
        "C loop",
        "signalpost",
        "stock Sanic",
    ]
    assert results.notes == []


def test_a_figure_can_stand_beside_signalposts_own_of_another_case(modules, report):
    figures, tables, servers = modules.figures, modules.tables, modules.servers
    calm, full = (case for case in figures.cases(quick=True) if case.name.startswith("open-"))
    results = tables.Results()
    for case, latencies in ((calm, (1_000.0, 2_000.0, 1_000.0)), (full, (5_000.0, 6_000.0, 3_000.0))):
        for server in (servers.COALESCE, servers.SIGNALPOST):
            for p99 in latencies:
                results.add(case, server, report(p99_us=p99, deliveries_per_s=998_000.0))
    _calm, row, rate = tables.rows([calm, full], results)
    assert row.ratios == pytest.approx((1 / 5, 1 / 3, 1 / 3))
    assert (row.yardstick, row.yardstick_value, row.met) == ("open-200k", 1.0, True)
    assert (rate.values["signalpost"], rate.met, rate.times_stock) == (998.0, True, None)


def test_what_a_figure_is_measured_by_may_have_been_left_out(modules, report):
    figures, tables, servers = modules.figures, modules.tables, modules.servers
    case = next(case for case in figures.cases(quick=True) if case.name == "path-among")
    results = tables.Results()
    results.add(case, servers.SIGNALPOST, report(**{figures.CPU: 2.0}))
    (row,) = tables.rows([case], results)
    assert (row.yardstick, row.ratios, row.met) == ("", (), None)
    assert "| ratio >= 0.90 |" in tables.table([row])
    assert tables.peers_table([row]) == ""


def test_the_json_holds_every_figure_and_every_report(modules, report):
    figures, tables, servers = modules.figures, modules.tables, modules.servers
    case = figures.cases(quick=True)[0]
    results = tables.Results()
    results.note("a note")
    for server in (servers.LOOP, servers.SIGNALPOST):
        results.add(case, server, report(**{figures.CPU: 2.0}))
    told = json.loads(tables.as_json(tables.rows([case], results), results, {"date": "today"}))
    assert (told["machine"], told["notes"]) == ({"date": "today"}, ["a note"])
    assert told["figures"][0]["values"] == {"C loop": 2.0, "signalpost": 2.0}
    assert [(each["server"], each["round"], each[figures.CPU]) for each in told["reports"]] == [
        ("C loop", 1, 2.0),
        ("signalpost", 1, 2.0),
    ]


def test_a_run_with_a_wrong_delivery_is_said_to_mean_nothing(modules, report):
    case = modules.figures.cases(quick=True)[0]
    results = modules.tables.Results()
    results.add(case, case.servers[0], report(missing=7))
    assert results.notes == ["fanout-100, C loop: 7 missing deliveries; its figures mean nothing"]


def test_every_figure_belongs_to_a_case_and_every_case_has_a_figure(modules):
    figures = modules.figures
    names = {case.name for case in figures.cases(quick=False)}
    assert {figure.case for figure in figures.FIGURES} == names
    assert {figure.against for figure in figures.FIGURES if figure.against} <= names


def test_a_peer_that_is_not_installed_takes_no_part(modules):
    server = modules.servers.Server("absent", lambda _port, _folder: [], version=lambda: "")
    case = modules.figures.Case("some", 10, (), modules.servers.LOOP, others=(server, modules.servers.STOCK))
    assert [each.name for each in case.servers] == ["C loop", "signalpost", "stock Sanic"]


def test_a_server_that_ends_at_once_is_quoted(modules):
    command = [sys.executable, "-c", "raise SystemExit('no luck')"]
    broken = modules.servers.Server("broken", lambda _port, _folder: command)
    with (
        pytest.raises(modules.harness.BenchError, match=r"broken ended with status 1; it said:\nno luck"),
        modules.harness.running(broken, modules.harness.Cores(None, None)),
    ):
        pass


@pytest.mark.slow
@needs_cc
@pytest.mark.parametrize("name", ["signalpost", "stock Sanic", "picows", "node ws", "aiohttp", "websockets"])
def test_every_server_delivers_every_message_to_everyone(modules, programs, monkeypatch, name):
    servers, harness = modules.servers, modules.harness
    server = next(each for each in (servers.SIGNALPOST, servers.STOCK, *servers.PEERS) if each.name == name)
    if not server.installed:
        pytest.skip(f"not installed: {server.remedy}")
    monkeypatch.setattr(harness, "BUILD", programs)
    anywhere = harness.Cores(None, None)
    with harness.running(server, anywhere) as target:
        arguments = ["--conns", "5", "--warmup", "0", "--settle", "0", "--pipeline", "4", "--count", "50"]
        report = harness.load(target, anywhere, [*arguments, *server.load_arguments(modules.figures.BROADCAST)])
    assert harness.flaws(report) == ""
    assert report["deliveries"] == 5 * 50


def test_receivers_get_the_same_bytes_from_every_server(modules):
    servers, broadcast = modules.servers, modules.figures.BROADCAST
    assert servers.LOOP.load_arguments(broadcast) == ["--template", '{"text":"%s"}', "--size", "64"]
    assert servers.SIGNALPOST.load_arguments(broadcast) == [
        "--template",
        '{"message":{"text":"%s"}}',
        "--size",
        str(64 + len('{"message":}')),
    ]


def results_of(*series):
    """What fanout.py prints for ping-pong: for each server its figures with 100, 1,000 and 10,000 clients."""
    figures = [
        {"case": f"fanout-{clients}", "clients": clients, "values": {name: costs[at] for name, costs in series}}
        for at, clients in enumerate((100, 1_000, 10_000))
    ]
    machine = {"date": "2026-01-02", "processor": "P & Q", "system": "Linux", "pinning": "server on core 0"}
    return {"machine": machine, "figures": figures, "reports": [{"round": 1}, {"round": 3}]}


def test_the_chart_names_every_line_and_where_its_figures_come_from(modules):
    results = results_of(("C loop", (2, 2, 4)), ("signalpost", (2.2, 2.3, 4.4)), ("some <peer>", (5, 6, 12)))
    drawn = ET.fromstring(modules.chart.svg(results))
    texts = ["".join(each.itertext()) for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"signalpost 4.4", "some <peer> 12.0", "C loop of send() 4.0"} <= set(texts)
    assert any("2026-01-02 · P & Q · Linux" in text for text in texts)
    assert any("median of 3 rounds" in text for text in texts)
    assert "prefers-color-scheme: dark" in drawn.find("{http://www.w3.org/2000/svg}style").text


def test_both_axes_of_the_chart_are_logarithmic(modules):
    axes = modules.chart.Axes.around(modules.chart.lines_of(results_of(("signalpost", (2, 4, 8)))))
    assert axes.x(1_000) - axes.x(100) == pytest.approx(axes.x(10_000) - axes.x(1_000))
    assert axes.y(2) - axes.y(4) == pytest.approx(axes.y(4) - axes.y(8))


def test_a_chart_of_one_number_of_clients_is_refused(modules):
    results = results_of(("signalpost", (2, 4, 8)))
    with pytest.raises(modules.chart.ChartError, match="at least two of its fanout cases"):
        modules.chart.svg({**results, "figures": results["figures"][:1]})


@given(wanted=st.lists(st.floats(0, 300), min_size=1, max_size=10).map(sorted))
def test_labels_never_overlap_nor_change_places(wanted):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        placed = importlib.import_module("chart").spread(wanted, 19.0, 400.0)
    assert all(below - above >= 19.0 - 1e-9 for above, below in pairwise(placed))
    assert placed[-1] <= 400.0


def test_the_committed_picture_is_drawn_from_the_committed_figures(modules):
    newest = max((BENCH / "results").glob("20*.json"))
    picture = BENCH.parent.parent / ".github" / "fanout.svg"
    drawn = modules.chart.svg(json.loads(newest.read_text(encoding="utf-8")))
    assert picture.read_text(encoding="utf-8") == drawn


@pytest.mark.slow
@needs_cc
async def test_a_soak_finds_nothing_wrong_and_says_what_came_of_everybody(modules, programs, monkeypatch):
    soak, harness = modules.soak, modules.harness
    monkeypatch.setattr(harness, "BUILD", programs)
    monkeypatch.setattr(soak, "SLACK_SECONDS", 1.0)
    anywhere = harness.Cores(None, None)
    with harness.running(modules.servers.SIGNALPOST, anywhere) as target:
        made = await soak.soak(target, anywhere, seconds=1.0, a_second=64)
    assert made.wrong == []
    assert len(made.left) == 4
    assert made.vitals["all gone"].files == made.vitals["nobody"].files
    assert made.visitors_messages > 0
    assert "nothing: no gap" in soak.describe(made, 1.0)


@pytest.mark.slow
@needs_cc
async def test_reloads_under_load_lose_nothing_and_leave_nothing_behind(modules, programs, monkeypatch):
    reloads, harness = modules.reloads, modules.harness
    monkeypatch.setattr(harness, "BUILD", programs)
    monkeypatch.setattr(reloads, "CLIENTS", 20)
    monkeypatch.setattr(reloads, "PAUSE", 1.5)
    loaded = await reloads.under_load(harness.Cores(None, None), 4.0)
    assert loaded.wrong == []
    made = await reloads.many(10)
    assert made.wrong == []
    assert list(made.holdings) == [1, 5, 10]
    assert "WRONG" not in reloads.describe(loaded, made)


def test_the_files_of_a_reload_are_put_in_place_whole(modules, tmp_path):
    modules.reloads.write(tmp_path, 1)
    held = {name: (tmp_path / name).open(encoding="utf-8") for name in ("routes.yaml", "plugins/p.py", "page.html")}
    before = {name: (tmp_path / name).read_text(encoding="utf-8") for name in held}
    modules.reloads.write(tmp_path, 2)
    with ExitStack() as stack:
        texts = {name: stack.enter_context(file).read() for name, file in held.items()}
    assert texts == before  # whoever has one open reads the old one to its end
    assert (tmp_path / "plugins/p.py").read_text(encoding="utf-8") != before["plugins/p.py"]


def test_what_grows_over_many_reloads_is_found(modules):
    reloads = modules.reloads
    half = reloads.Holdings(50.0, 20, 300, 5, 2, 3, 1_000)
    assert reloads._growth(half, replace(half, memory_mib=51.0, objects=2_000)) == []
    worse = replace(half, memory_mib=53.0, files=21, modules=301, finders=6, apps=3, tasks=4)
    assert len(reloads._growth(half, worse)) == 6


@pytest.mark.slow
def test_a_storm_loses_nothing_where_there_is_a_history_and_is_told_what_is_lost_where_there_is_none(
    modules, monkeypatch
):
    history, anywhere = modules.history, modules.harness.Cores(None, None)
    for seconds in ("BEFORE_SECONDS", "AWAY_SECONDS", "AFTER_SECONDS"):
        monkeypatch.setattr(history, seconds, 0.3)
    made = history.storm(anywhere, rooms=2, each=3, rate=40.0, rounds=1)
    (kept,), (without,) = made.raw["with"], made.raw["without"]
    assert made.wrong == []
    assert (kept["missing"], kept["doubled"], without["doubled"]) == (0, 0, 0)
    assert kept["missed"] > 0
    assert without["missing"] > 0
    assert "values missing" in history.table(made.lines)


@pytest.mark.slow
@needs_cc
@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize("name", ["signalpost", "socket.io"])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "live"])
def test_clients_of_two_nodes_get_every_message_of_both(modules, programs, monkeypatch, name, kept):
    nodes, harness = modules.nodes, modules.harness
    app = next(each for each in (nodes.OURS, nodes.SOCKET_IO) if each.name == name)
    if not app.version:
        pytest.skip(app.missing)
    monkeypatch.setattr(harness, "BUILD", programs)
    anywhere = harness.Cores(None, None)
    with nodes.nodes_of(app, anywhere, 2) as running:
        shape = ("--conns", "6", "--publishers", "2", "--pipeline", "8")  # every second one is at the other node
        arguments = [*shape, "--count", "60", *app.load_arguments(modules.cluster.VALUE, kept=kept)]
        report = running.put_load(anywhere, ["--warmup", "0", *arguments])
    assert harness.flaws(report) == ""
    assert report["deliveries"] == 6 * 60
    assert report["other_p50_us"] > 0


@needs_cc
async def test_what_clients_of_another_server_miss_is_found(programs):
    async with yardstick(programs, "loop") as port, yardstick(programs, "loop") as other:
        arguments = ("--other-port", str(other), "--others", "2", "--count", "3", "--drain", "0.1", "--duration", "0.5")
        status, report = await load(programs, port, *arguments)
    assert status == 2
    assert report["missing"] == 2  # the first message never reaches those two, so no other one is sent


@pytest.mark.slow
@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize("kill", [True, False], ids=["killed", "cut"])
def test_clients_of_a_node_that_dies_miss_nothing_and_each_path_is_read_once(modules, monkeypatch, kill):
    for seconds in ("BEFORE_SECONDS", "AWAY_SECONDS", "AFTER_SECONDS"):
        monkeypatch.setattr(modules.history, seconds, 0.3)
    deaths, anywhere = modules.deaths, modules.harness.Cores(None, None)
    found, trouble = deaths.outlive(modules.nodes.OURS, anywhere, deaths.Shape(rooms=2, each=3, rate=40.0), kill=kill)
    assert not trouble
    assert (found.clients, found.missing, found.doubled, found.unrecovered) == (6, 0, 0, 0)
    assert found.reads == 2
    assert found.missed > 0
    assert modules.cluster._wrong(found) == []


def test_a_client_of_socket_io_that_is_not_recovered_or_misses_a_value_is_found(modules):
    deaths = modules.deaths
    crowd = deaths.SocketIoSurvivors(0, 0, deaths.Shape(rooms=1, each=1, rate=1.0))
    (guest,) = crowd.guests

    def read(*texts):
        guest.accepted = True
        for text in texts:
            crowd._on_frame(guest, 1, text)

    read(b'0{"sid":"x"}', b'40{"sid":"y","pid":"p"}', b'42["m","3@1 x","1-0"]', b'42["m","5@1 x","1-2"]')
    assert (crowd.missing, guest.position, guest.session) == (1, "1-2", "p")
    crowd.published[0] = 7
    read(b'0{"sid":"x"}', b'42["m","6@1 x","1-3"]', b'42["m","6@1 x","1-3"]', b'40{"sid":"y","pid":"p"}')
    assert (crowd.missing, crowd.doubled, crowd.missed, crowd.trouble) == (1, 1, 1, {})
    read(b'0{"sid":"x"}', b'40{"sid":"y","pid":"q"}')
    assert crowd.trouble == {deaths.NOT_RECOVERED: 1}
    crowd.close()


@pytest.mark.slow
def test_two_servers_of_one_checkout_send_the_same_frames(modules):
    first, second = (modules.golden.sent_by(sys.executable) for _ in range(2))
    assert first == second
    assert b'{"signal":{"path":"/kept/x","at":"#:2:#","value":{"kept":"too"}}}' in first["/kept/x signalpost.v1"]


@pytest.mark.slow
async def test_what_the_backplane_costs_a_node_is_timed_for_every_kind_of_value(modules, monkeypatch):
    monkeypatch.setattr(modules.carried, "BATCH", 5)
    found = await modules.carried.timed(batches=2, rounds=2)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(modules.carried.DESCRIBED, 2)


@pytest.mark.slow
async def test_kept_values_are_counted_and_deliveries_timed_of_every_kind(modules, monkeypatch):
    history = modules.history
    monkeypatch.setattr(history, "BATCH", 10)
    found = await history.timed_calls(calls=20, rounds=2)
    assert {name: len(values) for name, values in found.items()} == {
        history.NOWHERE: 2,
        history.ELSEWHERE: 2,
        history.HERE: 2,
    }
    assert (await history.filled(entries=30, paths=3))["entries"] == 30


def test_a_value_that_a_client_of_the_storm_misses_or_reads_twice_is_found(modules):
    crowd = modules.history.Crowd(port=0, rooms=1, each=1)
    (guest,) = crowd.guests
    guest.accepted, guest.position, guest.expected = True, "abcdef:3:zzzz", 3
    for number in (3, 5, 5, 6):
        text = b'{"signal":{"path":"/rooms/0","at":"abcdef:%d:zzzz","value":"%d@1 x"}}' % (number + 1, number)
        crowd._read(guest, b"\x81" + bytes([len(text)]) + text)
    crowd.published[0] = 9
    assert (crowd.missing, crowd.doubled, crowd._behind(guest)) == (1, 1, 2)
    assert guest.position == "abcdef:7:zzzz"
    crowd.close()


async def test_a_message_that_a_visitor_misses_is_found(modules):
    async def on_client(client):
        for number in (0, 1, 3):
            await client.send(f"~0.{number}:1:")
        await client.wait_closed()

    async with serve(on_client, "127.0.0.1", 0) as server:
        visits = modules.visitors.Visits(server.sockets[0].getsockname()[1], 1_000)
        await visits.go_on(0.05)
        await visits.end()
    assert visits.trouble["a message was missing, doubled or out of order for a visitor"] > 0


async def test_a_visitor_that_is_refused_is_told_of(modules):
    async with serve(lambda _client: None, "127.0.0.1", 0, process_request=refuse) as server:
        visits = modules.visitors.Visits(server.sockets[0].getsockname()[1], 1_000)
        await visits.go_on(0.05)
        await visits.end()
    assert any("HTTP/1.1 503" in what for what in visits.trouble)


def refuse(connection, _request):
    return connection.respond(503, "full")


@pytest.mark.slow
def test_every_command_is_timed_until_it_ends_or_serves(modules):
    figures = modules.startup.measure(1)
    assert figures.keys() == modules.startup.CASES.keys()
    assert all(cpu > 0 and wall > 0 for [(wall, cpu)] in figures.values())
    assert modules.startup.table(figures).count("\n") == len(figures)


def test_a_command_that_takes_longer_than_it_may_is_named(modules):
    quick = {name: [(0.1, 0.1)] for name in modules.startup.CASES}
    assert modules.startup.too_slow(quick) == []
    assert modules.startup.too_slow(quick | {"check": [(0.7, 0.1)]}) == ["check took 0.70 s, and may take 0.6 s"]
