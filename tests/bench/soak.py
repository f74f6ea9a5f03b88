"""A minute of coming and going: ``python tests/bench/soak.py``.

A hundred clients stay, and check every message that they get; a thousand others a second come, stay for half a
second, and leave: one in four by the closing handshake, one by hanging up, one by a reset in the middle of a
frame, one in the middle of its opening handshake. Says whether anybody missed a message, got one twice or out
of order; and what the server's memory and open files did. Talks to nothing but 127.0.0.1.

The exit status is 0 when all was right, 1 when nothing could be measured, 2 when something was wrong.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop
from harness import BenchError, Cores, Running, build, flaws, load, machine, raise_descriptor_limit, running
from servers import SIGNALPOST, Message
from visitors import Visits

STAYING, RATE, MESSAGES = 100, 1_000, 50
BROADCAST = Message('{"text":"%s"}', 64)
SLACK_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
LISTENING = "0A"
FLAT_MIB, FLAT_SECONDS = 2.0, 60.0  # Python takes half a minute to have all the memory that it keeps


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process holds: resident memory in MiB, and open files."""

    memory_mib: float
    files: int

    @classmethod
    def of(cls, pid: int) -> "Vitals":
        """Look at a process now."""
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        return cls(kib / 1024, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))


@dataclass(slots=True)
class Soak:
    """What became of one soak.

    Attributes:
        vitals: of the server: before anybody came, at the start of the visits, half way, at their end, and when
            only the hundred were left; and after everybody had gone.
        wrong: in words; empty when all was right.

    """

    vitals: dict[str, Vitals] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    visitors_messages: int = 0
    report: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def growth_mib(self) -> float:
        """How far memory rose in the second half, when everything that is kept for later use has long been kept."""
        return self.vitals["end"].memory_mib - self.vitals["half way"].memory_mib


def _is_held(port: int) -> bool:
    """Whether a process still holds a connection to `port` (proc_pid_net(5): those that none holds have inode 0)."""
    connections = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = (line.split() for line in connections)
    return any(each[1].endswith(f":{port:04X}") and each[3] != LISTENING and each[9] != "0" for each in fields)


async def _until(holds: Callable[[], bool]) -> bool:
    """Wait until something holds, but not for ever; whether it did."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def soak(target: Running, cores: Cores, seconds: float, a_second: int) -> Soak:
    """Send the hundred who stay, and all the others; see what becomes of them and of the server."""
    made, visits = Soak(), Visits(target.port, a_second)

    def look(moment: str) -> Vitals:
        return made.vitals.setdefault(moment, Vitals.of(target.pid))

    def files() -> int:
        return Vitals.of(target.pid).files

    await Visits(target.port, a_second).visit(0)  # it listens before it has all that it opens
    await _until(lambda: not _is_held(target.port))
    nobody = look("nobody").files
    arguments = ["--conns", str(STAYING), "--rate", str(MESSAGES), "--warmup", "0", "--settle", "0"]
    arguments += ["--duration", str(seconds + SLACK_SECONDS), *target.server.load_arguments(BROADCAST)]
    staying = asyncio.create_task(asyncio.to_thread(load, target, cores, arguments))
    if not await _until(lambda: staying.done() or files() == nobody + STAYING) or staying.done():
        made.report = await staying  # it raises what kept them out
        raise BenchError(f"{STAYING} clients were to stay, and the server has {files() - nobody} more open files")

    look("start")
    await visits.go_on(seconds / 2)
    look("half way")
    await visits.go_on(seconds / 2)
    look("end")
    await visits.end()
    if not await _until(lambda: files() <= nobody + STAYING):
        made.wrong.append(f"{files() - nobody - STAYING} files of visitors that have gone are still open")
    if not staying.done():  # it is, where visitors were let in late
        look("the hundred")
    made.report = await staying
    if not await _until(lambda: files() <= nobody):
        made.wrong.append(f"{files() - nobody} files more are open than before anybody came")
    look("all gone")

    made.left = {how.value: number for how, number in visits.left.items()}
    made.visitors_messages = visits.messages
    made.wrong += [f"{number:,} times: {what}" for what, number in visits.trouble.items()]
    if seconds >= FLAT_SECONDS and made.growth_mib >= FLAT_MIB:
        made.wrong.append(f"memory rose by {made.growth_mib:.1f} MiB in the second half")
    if found := flaws(made.report):
        made.wrong.append(f"those who stayed: {found}")
    if cut_off := made.report["closed_by_server"]:
        made.wrong.append(f"{cut_off:,.0f} of those who stayed were cut off")
    return made


def describe(made: Soak, seconds: float) -> str:
    """Word what became of it, a line each."""
    visitors, report = sum(made.left.values()), made.report
    ways = ", ".join(f"{number:,} {how}" for how, number in sorted(made.left.items()))
    memory = ", ".join(f"{moment} {vitals.memory_mib:.1f}" for moment, vitals in made.vitals.items())
    judged = "" if seconds >= FLAT_SECONDS else f" (judged from {FLAT_SECONDS:.0f} s on)"
    files = ", ".join(f"{moment} {vitals.files:,}" for moment, vitals in made.vitals.items())
    lines = {
        "those who stayed": f"{STAYING}, {report['published']:,.0f} messages each,"
        f" p99 {report['p99_us'] / 1e3:,.1f} ms; the server took {report['server_cpu_share']:.0%} of a core",
        "visitors": f"{visitors:,} in {seconds:.0f} s, {visitors / seconds:,.0f} a second; they got"
        f" {made.visitors_messages:,} messages",
        "they left": ways,
        "memory, MiB": memory,
        "memory, 2nd half": f"{made.growth_mib:+.1f} MiB{judged}",
        "open files": files,
        "wrong": "; ".join(made.wrong) or "nothing: no gap, no duplicate, nothing out of order, no file left open",
    }
    return "\n".join(f"{name + ':':<18} {text}" for name, text in lines.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Clients come and go while others check that they miss nothing.")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds of coming and going (60; at most 150)")
    parser.add_argument("--rate", type=int, default=RATE, help=f"visitors a second ({RATE:,})")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    arguments = parser.parse_args()
    if not 1 <= arguments.duration <= 150 or not 1 <= arguments.rate <= 5_000:
        parser.error("--duration is 1 to 150 seconds, and --rate 1 to 5,000 a second")
    return arguments


def main() -> int:
    """Soak and print; 0, 1 when nothing could be measured, 2 when something was wrong."""
    arguments, cores = _arguments(), Cores.choose()
    where = machine(cores)
    raise_descriptor_limit()
    try:
        build()
        with running(SIGNALPOST, cores) as target:
            if cores.load is not None:
                os.sched_setaffinity(0, {cores.load})
            made = uvloop.run(soak(target, cores, arguments.duration, arguments.rate))
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"machine": where, **asdict(made)}, indent=2))
    else:
        print("\n".join(f"{key}: {value}" for key, value in where.items()))
        print(f"\n{describe(made, arguments.duration)}")
    return 2 if made.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
