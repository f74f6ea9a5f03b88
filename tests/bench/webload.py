"""Requests a second and CPU time per request, server beside server, on every kind of route; ``http.py`` runs it."""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness import BenchError, Cores, Running, machine, pinned, running
from servers import PEERS_FOLDER, SIGNALPOST, STOCK, Server, of_package

ROUTES = """
endpoints: [{{name: web, address: 127.0.0.1, port: {port}, protocol: http}}]
routes:
  - {{path: /view/<name>, view: hello.html}}
  - {{path: /do/<name>, method: GET, do: [{{respond: {{json: {{hello: "{{{{ params.name }}}}"}}}}}}]}}
  - {{path: /handler/<name>, method: GET, handler: hello}}
  - {{path: /post, handler: post}}
  - {{path: /public, static: public}}
"""
PLUGIN = """
from signalpost import route


@route("hello")
async def hello(event):
    return {"hello": event.params["name"]}


@route("post")
async def post(event):
    return {"got": event.request.json["value"]}
"""
PAGE = "<!doctype html>\n<title>Hello</title>\n<p>Hello {{ params.name }}, you asked with {{ request.method }}.</p>\n"
BODY = b'{"value":"a text of some length, as forms and programs send it"}'

CONNECTIONS = 32
WARM_UP = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of route, and the request for it."""

    name: str
    path: str
    body: bytes = b""

    def request(self, port: int) -> bytes:
        """Return the request as it goes over the wire: as wrk sends it."""
        method = "POST" if self.body else "GET"
        lines = [f"{method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


CASES = (
    Case("view", "/view/ada"),
    Case("do", "/do/ada"),
    Case("handler", "/handler/ada"),
    Case("post", "/post", BODY),
    Case("file", "/public/small.txt"),
)


def _fill(folder: Path) -> None:
    (folder / "plugins").mkdir()
    (folder / "public").mkdir()
    (folder / "plugins" / "hello.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "hello.html").write_text(PAGE, encoding="utf-8")
    (folder / "public" / "small.txt").write_text("x" * 1_000, encoding="utf-8")


def _signalpost(port: int, folder: Path) -> list[str]:
    _fill(folder)
    (folder / "routes.yaml").write_text(ROUTES.format(port=port), encoding="utf-8")
    return [sys.executable, "-m", "signalpost", "run", str(folder / "routes.yaml")]


def _peer(program: str) -> Callable[[int, Path], list[str]]:
    def start(port: int, folder: Path) -> list[str]:
        _fill(folder)
        return [sys.executable, str(PEERS_FOLDER / program), str(port)]

    return start


OURS = replace(SIGNALPOST, command=_signalpost)
SANIC = replace(STOCK, command=_peer("stock_sanic_http.py"))
STARLETTE = Server("starlette", _peer("with_starlette.py"), version=of_package("starlette"))


@dataclass(frozen=True, slots=True)
class Figure:
    """What one measurement gave.

    Attributes:
        rate: requests a second.
        cpu: microseconds of the server's CPU time a request.

    """

    rate: float
    cpu: float


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class _Asker(asyncio.Protocol):
    """One connection of the generator of our own: asks again when it has its answer."""

    def __init__(self, request: bytes, count: Callable[[], None]) -> None:
        self._request = request
        self._count = count
        self._length = 0  # of an answer, as the first one says
        self._got = 0
        self.fault = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count an answer that is whole, and ask again."""
        if not self._length:
            head, end, _ = data.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: *([0-9]+)", head)
            if not data.startswith(b"HTTP/1.1 200") or not end or not found:
                self.fault = f"no whole answer with 200: {data[:200]!r}"
                self._transport.close()
                return
            self._length = len(head) + len(end) + int(found[1])
        self._got += len(data)
        if self._got >= self._length:
            self._got -= self._length
            self._count()
            self._transport.write(self._request)


async def _ask(target: Running, case: Case, seconds: float) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    total = 0

    def count() -> None:
        nonlocal total
        total += 1

    askers = []
    for _ in range(CONNECTIONS):
        transport, asker = await loop.create_connection(
            lambda: _Asker(case.request(target.port), count), "127.0.0.1", target.port
        )
        askers.append((transport, asker))
    await asyncio.sleep(WARM_UP)
    total, began, cpu = 0, time.monotonic(), _cpu_seconds(target.pid)
    await asyncio.sleep(seconds)
    done, took, cpu = total, time.monotonic() - began, _cpu_seconds(target.pid) - cpu
    for transport, asker in askers:
        transport.close()
        if asker.fault:
            raise BenchError(f"{target.server.name}, {case.name}: {asker.fault}")
    if not done:
        raise BenchError(f"{target.server.name}, {case.name}: no answer came")
    return done, cpu / done if took else 0.0


def _own(target: Running, cores: Cores, case: Case, seconds: float) -> Figure:
    command = [sys.executable, str(Path(__file__)), "--ask", str(target.port), str(target.pid), case.name, str(seconds)]
    result = subprocess.run(pinned(cores.load, command), capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchError(result.stderr.strip().splitlines()[-1] if result.stderr else "the load failed")
    done, cpu = json.loads(result.stdout)
    return Figure(done / seconds, cpu * 1e6)


def _wrk(target: Running, cores: Cores, case: Case, seconds: float) -> Figure:
    arguments = ["-t1", "--timeout", "30s", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
    if case.body:
        script = f"wrk.method = 'POST'\nwrk.body = [[{case.body.decode()}]]\n"
        path = Path(os.environ.get("TMPDIR", "/tmp")) / f"signalpost-bench-{os.getpid()}.lua"
        path.write_text(f"{script}wrk.headers['Content-Type'] = 'application/json'\n", encoding="utf-8")
        arguments += ["-s", str(path)]
    before = _cpu_seconds(target.pid)
    command = ["wrk", *arguments, f"http://127.0.0.1:{target.port}{case.path}"]
    result = subprocess.run(pinned(cores.load, command), capture_output=True, text=True, check=False)
    cpu = _cpu_seconds(target.pid) - before
    found = re.search(r"([0-9]+) requests in ([0-9.]+)s", result.stdout)
    wrong = re.search(r"Non-2xx[^\n]*|Socket errors[^\n]*", result.stdout)
    if found is None or wrong is not None:
        raise BenchError(f"{target.server.name}, {case.name}: {wrong[0] if wrong else result.stderr.strip()}")
    return Figure(int(found[1]) / float(found[2]), cpu / int(found[1]) * 1e6)


def measure(
    servers: Sequence[Server], cases: Sequence[Case], rounds: int, seconds: float, *, with_wrk: bool
) -> dict[str, dict[str, list[Figure]]]:
    """Measure every case of every server, in turn; each server is started once, and all wait while one is asked."""
    cores, ask = Cores.choose(), _wrk if with_wrk else _own
    figures: dict[str, dict[str, list[Figure]]] = {case.name: {each.name: [] for each in servers} for case in cases}
    with ExitStack() as stack:
        targets = [stack.enter_context(running(server, cores)) for server in servers]
        for number in range(rounds):
            for case in cases:
                for target in targets if number % 2 == 0 else reversed(targets):
                    figures[case.name][target.server.name].append(ask(target, cores, case, seconds))
    return figures


def _spread(values: Iterable[float], digits: int) -> str:
    found = sorted(values)
    middle = f"{statistics.median(found):,.{digits}f}"
    return middle if len(found) == 1 else f"{middle} [{found[0]:,.{digits}f}, {found[-1]:,.{digits}f}]"


def _table(figures: dict[str, dict[str, list[Figure]]], servers: Sequence[Server]) -> str:
    names = [server.name for server in servers]
    lines = [f"{'route':8} {'server':12} {'requests/s':>26} {'us of CPU':>22} {'of stock, by CPU':>24} {'by rate':>24}"]
    for case, found in figures.items():
        for name in names:
            pairs = list(zip(found[name], found.get(STOCK.name, ()), strict=False))
            by_cpu = _spread((stock.cpu / mine.cpu for mine, stock in pairs), 2) if pairs else ""
            by_rate = _spread((mine.rate / stock.rate for mine, stock in pairs), 2) if pairs else ""
            rates = _spread((each.rate for each in found[name]), 0)
            cpu = _spread((each.cpu for each in found[name]), 1)
            lines.append(f"{case:8} {name:12} {rates:>26} {cpu:>22} {by_cpu:>24} {by_rate:>24}")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table."""
    if sys.argv[1:2] == ["--ask"]:
        port, pid, name, seconds = sys.argv[2:]
        case = next(each for each in CASES if each.name == name)
        print(json.dumps(asyncio.run(_ask(Running(OURS, int(port), int(pid)), case, float(seconds)))))
        return
    parser = argparse.ArgumentParser(prog="http.py", description=__doc__)
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one kind of route")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--own-load", action="store_true", help="the generator of our own, though wrk is here")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in (None, case.name)]
    servers = [server for server in (OURS, SANIC, STARLETTE) if server.installed]
    with_wrk = shutil.which("wrk") is not None and not options.own_load
    try:
        figures = measure(servers, cases, options.rounds, options.seconds, with_wrk=with_wrk)
    except BenchError as error:
        sys.exit(f"http.py: {error}")
    for name, value in machine(Cores.choose()).items():
        print(f"{name}: {value}")
    print(f"load: {'wrk' if with_wrk else 'our own'}, {CONNECTIONS} connections\n")
    print(_table(figures, servers))
    if not STARLETTE.installed:
        print(f"\nnot installed: starlette with uvicorn ({STARLETTE.remedy})")


if __name__ == "__main__":
    main()
