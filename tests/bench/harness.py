"""Building, pinning, starting and loading what the benchmarks measure.

Needs cc, Linux and Python's standard library beside signalpost. Servers and load run as processes of their
own: the server on one core, the load on another (where there is one), talking over loopback.
"""

import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from servers import BUILD, HERE, PEERS, SIGNALPOST, STOCK, Server

PROGRAMS = ("wsload", "limit")

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOAD_SECONDS = 180.0


class BenchError(Exception):
    """Nothing can be measured: a program does not build, a server does not start, the load finds no connection."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where server and load run; None leaves both to the scheduler."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls) -> "Cores":
        """One core for the server and another for the load, as far as this machine has them."""
        mine = sorted(os.sched_getaffinity(0))
        if len(mine) < 2 or shutil.which("taskset") is None:
            return cls(None, None)
        return cls(mine[0], mine[1])

    def __str__(self) -> str:
        if self.server is None:
            return "not pinned (one core, or no taskset): server and load disturb each other"
        return f"server on core {self.server}, load on core {self.load}"


def pinned(core: int | None, command: Sequence[str]) -> list[str]:
    """Bind a command to a core. taskset becomes the command, so the process id stays."""
    return list(command) if core is None else ["taskset", "-c", str(core), *command]


def build() -> None:
    """Compile the load generator and the yardstick where they are older than their sources."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchError("no C compiler: install cc (Debian: apt install gcc libc6-dev)")
    BUILD.mkdir(exist_ok=True)
    for name in PROGRAMS:
        source, program = HERE / f"{name}.c", BUILD / name
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            continue
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise BenchError(f"{name}.c does not compile:\n{result.stderr.strip()}")


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, for us and what we start; returns it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until_it_listens(process: subprocess.Popen[bytes], server: Server, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        code = process.poll()
        if code is None and time.monotonic() < deadline:
            time.sleep(0.02)
            continue
        why = f"listens on no port after {START_SECONDS:.0f} s" if code is None else f"ended with status {code}"
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise BenchError(f"{server.name} {why}" + (f"; it said:\n{said[-2000:]}" if said else ""))


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens on 127.0.0.1."""

    server: Server
    port: int
    pid: int


@contextmanager
def running(server: Server, cores: Cores) -> Iterator[Running]:
    """Start a server in an empty folder of its own, wait until it listens, and stop it in the end.

    Raises:
        BenchError: it ended, or did not listen in time.

    """
    with tempfile.TemporaryDirectory(prefix="signalpost-bench-") as name:
        folder, port = Path(name), _free_port()
        log = folder / "output.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                pinned(cores.server, server.command(port, folder)),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_it_listens(process, server, port, log)
            yield Running(server, port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def load(target: Running, cores: Cores, arguments: Sequence[str]) -> dict[str, float]:
    """Put one load on a server and return what the load generator reports (see wsload.c), numbers only.

    Raises:
        BenchError: no connection could be opened, or the arguments are wrong.

    """
    command = [str(BUILD / "wsload"), "--port", str(target.port), "--server-pid", str(target.pid), *arguments]
    result = subprocess.run(
        pinned(cores.load, command), capture_output=True, text=True, check=False, timeout=LOAD_SECONDS
    )
    if not result.stdout:
        raise BenchError(f"the load on {target.server.name} failed: {result.stderr.strip()}")
    report: dict[str, float] = json.loads(result.stdout)
    return {key: value for key, value in report.items() if not isinstance(value, str)}


def flaws(report: Mapping[str, float]) -> str:
    """Say what was wrong with a run, in words; empty when every connection opened and every delivery was right."""
    words = {
        "failed": "refused connections",
        "missing": "missing deliveries",
        "duplicate_or_late": "duplicate or late deliveries",
        "bad_frames": "broken frames",
        "unstamped": "unexpected messages",
        "strays": "deliveries to clients that were to get none",
        "skipped": "messages the load gave up on",
    }
    return ", ".join(f"{report[key]:,.0f} {text}" for key, text in words.items() if report[key])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(cores: Cores) -> dict[str, str]:
    """Describe where the figures come from."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "pinning": str(cores),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "uvloop": version("uvloop"),
        **{each.name: each.version() for each in (SIGNALPOST, STOCK, *PEERS) if each.version and each.installed},
    }
