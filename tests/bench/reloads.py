"""Reloads under load, and a thousand of them: ``python tests/bench/reloads.py``.

First `signalpost run` is measured as its users run it: a thousand clients on one signal, ten of whom send two hundred
messages a second to all, while the app is saved now and then, so that the signal is re-broadcast, handled by a plugin
and done by a list of actions in turn. The load generator checks every delivery: nothing may be missing, doubled or out
of order. Then a server is reloaded a thousand times, as fast as it goes, while fifty clients stay connected: neither
memory nor open files, modules, Sanic's apps or tasks may grow. Talks to nothing but 127.0.0.1.

The exit status is 0 when all was right, 1 when nothing could be measured, 2 when something was wrong.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event

import uvloop
from harness import BenchError, Cores, build, flaws, load, machine, raise_descriptor_limit, running
from sanic import Sanic
from servers import SIGNALPOST, Message, Server

from signalpost.testing import App, serve

CLIENTS, PUBLISHERS, RATE = 1_000, 10, 200
BROADCAST = Message('{"text":"%s"}', 64)
PAUSE = 2.0  # what takes a signal away counts when nothing has been saved for a second
STAYING = 50
FLAT_MIB = 2.0

APP = """\
limits: {{rate: 0}}
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http}}
  - {{name: live, address: 127.0.0.1, port: {port}, protocol: ws}}
routes: [{{path: /, view: page.html}}, {{path: /told, handler: tell}}]
signals:
  - {{path: /, {way}}}
  - {{path: /number/{number}}}
timers:
  - {{name: kept, every: 1h, broadcast: {{value: x}}}}
  - {{name: changed, every: {number}h, handler: tick}}
"""
WAYS = (
    "schema: {type: object, required: [message]}",
    "handler: pass",
    'do: [{broadcast: {value: "{{ message }}"}}]',
)
PLUGIN = """\
import asyncio
from signalpost import hookimpl, route, signal, timer

@signal("pass")
async def pass_on(event):
    await asyncio.sleep(0.002)
    event.broadcast(event.data.message)

@route("tell")
async def tell(event):
    return {number}

@timer("tick")
async def tick(event): ...

@hookimpl
def startup(context):
    context.create_task(asyncio.sleep(3600))
"""


def write(folder: Path, number: int, port: int = 0) -> str:
    """Save the app's files as they are for the time of one plan; return the text of routes.yaml."""
    (folder / "plugins").mkdir(exist_ok=True)
    text = APP.format(port=port, way=WAYS[number % len(WAYS)], number=number)
    _save(folder, "page.html", "hello")
    _save(folder, "plugins/p.py", PLUGIN.replace("{number}", str(number)))
    _save(folder, "routes.yaml", text)
    return text


def _save(folder: Path, name: str, text: str) -> None:
    """Put a file in place whole, as editors do: a server that reloads at that moment reads no half of it."""
    new = folder / ".saved.new"
    new.write_text(text, encoding="utf-8")
    new.replace(folder / name)


# Under load


def _command(port: int, folder: Path) -> list[str]:
    write(folder, 1, port)
    return [sys.executable, "-m", "signalpost", "run", str(folder / "routes.yaml")]


class Saver:
    """Saves the app's files now and then, and reads what the server says about it."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._enough = Event()

    def run(self) -> int:
        """Save until it is enough; give how often."""
        for number in count(2):
            if self._enough.wait(PAUSE):
                return number - 2
            write(self._folder, number, self._port)
        return 0

    def stop(self) -> None:
        """Save no more."""
        self._enough.set()


@dataclass(frozen=True, slots=True)
class UnderLoad:
    """What became of the load."""

    report: dict[str, float]
    saves: int
    said: list[str]

    @property
    def wrong(self) -> list[str]:
        """Say in words what was wrong; nothing when all was right."""
        found = [flaws(self.report)] if flaws(self.report) else []
        if self.report["closed_by_server"]:
            found.append(f"{self.report['closed_by_server']:,.0f} clients were cut off")
        found += [line for line in self.said if not line.startswith("reloaded: ")]
        if not self.said:
            found.append("nothing was reloaded")
        return found


async def under_load(cores: Cores, seconds: float) -> UnderLoad:
    """Put the load on a server whose files are saved meanwhile."""
    folders: list[Path] = []

    def command(port: int, folder: Path) -> list[str]:
        folders.append(folder)
        return _command(port, folder)

    server = Server("signalpost", command, envelope=SIGNALPOST.envelope)
    arguments = ["--conns", str(CLIENTS), "--publishers", str(PUBLISHERS), "--rate", str(RATE), "--warmup", "0"]
    arguments += ["--duration", str(seconds), *server.load_arguments(BROADCAST)]
    with running(server, cores) as target:
        saver = Saver(folders[0], target.port)
        saving = asyncio.create_task(asyncio.to_thread(saver.run))
        try:
            report = await asyncio.to_thread(load, target, cores, arguments)
        finally:
            saver.stop()
        saves = await saving
        output = (folders[0] / "output.txt").read_text(encoding="utf-8")
    return UnderLoad(report, saves, output.partition("Ctrl-C stops\n")[2].splitlines())


# A thousand


@dataclass(frozen=True, slots=True)
class Holdings:
    """What this process holds."""

    memory_mib: float
    files: int
    modules: int
    finders: int
    apps: int
    tasks: int
    objects: int

    @classmethod
    def now(cls) -> "Holdings":
        """Look, after everything that nobody needs is freed."""
        gc.collect()
        status = Path("/proc/self/status").read_text(encoding="ascii")
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        return cls(
            kib / 1024,
            sum(1 for _ in Path("/proc/self/fd").iterdir()),
            len(sys.modules),
            len(sys.meta_path),
            len(Sanic._app_registry),
            len(asyncio.all_tasks()),
            len(gc.get_objects()),
        )


@dataclass(frozen=True, slots=True)
class Thousand:
    """What became of many reloads: holdings by how many there had been, and seconds for one."""

    holdings: dict[int, Holdings]
    seconds: float
    wrong: list[str]


async def many(reloads: int) -> Thousand:
    """Reload as fast as it goes, with clients that stay."""
    held: dict[int, Holdings] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="signalpost-bench-") as name:
        folder = Path(name)
        text = write(folder, 1)
        async with serve(text, folder=folder) as app, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(app.connect("/")) for _ in range(STAYING)]
            begun = time.perf_counter()
            for number in range(1, reloads + 1):
                await _once(app, folder, number + 1, wrong)
                if number in {reloads // 10, reloads // 2, reloads}:
                    held[number] = Holdings.now()
            spent = time.perf_counter() - begun
            await clients[0].send("still")
            wrong += [f"client {client.id} has not heard it" for client in clients if await client.receive() != "still"]
    wrong += _growth(held[reloads // 2], held[reloads])
    return Thousand(held, spent / reloads, wrong)


async def _once(app: App, folder: Path, number: int, wrong: list[str]) -> None:
    done = await app.reload(write(folder, number))
    if done.closed or done.kept != STAYING or not done.changes:
        wrong.append(f"reload {number}: {done}")


def _growth(half: Holdings, end: Holdings) -> list[str]:
    """Say what has grown in the second half, when everything that is kept for later use has long been kept."""
    found = []
    if end.memory_mib - half.memory_mib >= FLAT_MIB:
        found.append(f"memory rose by {end.memory_mib - half.memory_mib:.1f} MiB in the second half")
    for name in ("files", "modules", "finders", "apps", "tasks"):
        before, after = getattr(half, name), getattr(end, name)
        if after > before:
            found.append(f"{name}: {before} half way, {after} at the end")
    return found


def describe(load_made: UnderLoad, made: Thousand) -> str:
    """Word what became of both, a line each."""
    report = load_made.report
    lines = [
        f"under load: {report['published']:,.0f} messages, {report['deliveries']:,.0f} deliveries",
        f"meanwhile: {load_made.saves} saves, {len(load_made.said)} reloads",
        f"latency, ms: p50 {report['p50_us'] / 1e3:,.1f}, p99 {report['p99_us'] / 1e3:,.1f}",
        f"the server: {report['server_cpu_share']:.0%} of a core",
        f"one reload of an app as small as this, {STAYING} clients connected: {made.seconds * 1e3:.1f} ms",
    ]
    for number, held in made.holdings.items():
        lines.append(
            f"after {number:,} reloads: {held.memory_mib:.1f} MiB, {held.files} files, {held.modules} modules,"
            f" {held.finders} finders, {held.apps} apps of Sanic, {held.tasks} tasks, {held.objects:,} objects"
        )
    wrong = [*load_made.wrong, *made.wrong]
    return "\n".join([*lines, *(f"WRONG: {each}" for each in wrong)])


def main() -> int:
    """Measure both and print; 0, 1 when nothing could be measured, 2 when something was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--duration", type=float, default=30.0, help="seconds under load (30)")
    parser.add_argument("--reloads", type=int, default=1_000, help="how many as fast as it goes (1,000)")
    arguments = parser.parse_args()
    cores = Cores.choose()
    where = machine(cores)
    raise_descriptor_limit()
    try:
        build()
        load_made = uvloop.run(under_load(cores, arguments.duration))
        made = uvloop.run(many(arguments.reloads))
    except BenchError as error:
        print(f"reloads: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"{key}: {value}" for key, value in where.items()))
    print(f"\n{describe(load_made, made)}")
    return 2 if load_made.wrong or made.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
