"""Three of twenty clients stop reading, or read next to nothing: ``python tests/bench/slow_clients.py``.

1,000 messages of 8 KiB a second go to all twenty. Prints whether the other seventeen got every message, how
late, and how far the server's memory grew over what it took with everyone connected. The load is open loop
and latency counts from the intended time of sending, so a server that stalls for everyone shows it here.
"""

import argparse
import json
import sys
from collections.abc import Mapping

from harness import BenchError, Cores, build, flaws, load, machine, raise_descriptor_limit, running
from servers import SIGNALPOST, STOCK, Message, Server

CLIENTS, STALLED, RATE = 20, 3, 1_000
EIGHT_KIB = Message('{"text":"%s"}', 8192)
GROWTH_BOUND_MIB = 16.0
SLOW = {"stop reading": 0, "read 1 KiB/s": 1024}  # bytes a second

Report = Mapping[str, float]


def growth_mib(report: Report) -> float:
    """How far the server's resident memory rose above what it was once everyone had connected."""
    return (report["rss_max_kib"] - report["rss_connected_kib"]) / 1024


def measure(server: Server, seconds: float, cores: Cores, trickle: int = 0) -> dict[str, float]:
    """Run the load; without a warm-up, so that nothing of the growth is missed.

    Args:
        server: of which program.
        seconds: of load.
        cores: where both run.
        trickle: bytes a second that each of the three reads after all.

    """
    times = ("--warmup", "0", "--duration", str(seconds), "--drain", "5")
    shape = ("--conns", str(CLIENTS), "--stall", str(STALLED), "--trickle", str(trickle), "--rate", str(RATE))
    with running(server, cores) as target:
        return load(target, cores, [*shape, *times, *server.load_arguments(EIGHT_KIB)])


def describe(title: str, report: Report) -> str:
    """Word one report, a line each: who got what, how late, what became of the slow ones, what it took."""
    readers, growth = CLIENTS - STALLED, growth_mib(report)
    dropped = STALLED - int(report["stalled_still_open"])
    cut_off = int(report["closed_by_server"]) - dropped
    wrong = flaws(report) or (f"{cut_off} were cut off" if cut_off else "")
    lines = {
        "clients that read": f"NOT all: {wrong}"
        if wrong
        else f"all {readers} got all {report['published']:,} messages",
        "latency, ms": ", ".join(f"{name} {report[f'{name}_us'] / 1e3:,.1f}" for name in ("p50", "p99", "max"))
        + (" (of what arrived)" if wrong else ""),
        "slow clients": f"{dropped} of {STALLED} dropped",
        "memory growth": f"{growth:.1f} MiB, {'under' if growth < GROWTH_BOUND_MIB else 'NOT under'}"
        f" {GROWTH_BOUND_MIB:.0f}",
    }
    return "\n".join([title, *(f"  {name + ':':<20} {text}" for name, text in lines.items())])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Three of twenty clients stop reading.")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of load (10)")
    parser.add_argument("--stock", action="store_true", help="show stock Sanic under the same load, too")
    parser.add_argument("--json", action="store_true", help="print the load generator's reports as JSON")
    return parser.parse_args()


def main() -> int:
    """Measure and print; 0, or 1 when nothing could be measured."""
    arguments, cores = _arguments(), Cores.choose()
    raise_descriptor_limit()
    servers = (SIGNALPOST, STOCK) if arguments.stock else (SIGNALPOST,)
    try:
        build()
        reports = {
            f"{server.name}, {STALLED} of {CLIENTS} {what}": measure(server, arguments.duration, cores, trickle)
            for server in servers
            for what, trickle in SLOW.items()
        }
    except BenchError as error:
        print(f"slow_clients: {error}", file=sys.stderr)
        return 1
    where = machine(cores)
    if arguments.json:
        print(json.dumps({"machine": where, "reports": reports}, indent=2))
        return 0
    print("\n".join(f"{key}: {value}" for key, value in where.items()))
    for title, report in reports.items():
        print(f"\n{describe(title, report)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
