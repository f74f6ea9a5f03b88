"""Measure this checkout against another: ``python tests/bench/compare.py --before OTHER_CHECKOUT``.

With ``--monitor`` it is measured against itself: before is without metrics, after is with them.

Both run in turns, pair for pair, so that a machine that slows down slows both; every other pair runs backwards. What
is printed is after divided by before: the median of the pairs' ratios with its quartiles, and the ratio of the best.
Each checkout is run by the Python of its own ``.venv``, with the routes of its own ``tests/bench/servers.py``.
"""

import argparse
import runpy
import statistics
import sys
from pathlib import Path

from figures import FIGURES, Case, choose
from harness import BenchError, Cores, build, flaws, load, raise_descriptor_limit, running
from servers import MONITORED, SIGNALPOST, Server

TIMES = ("--warmup", "0.5", "--duration", "1")


def of_checkout(checkout: Path) -> Server:
    """Return signalpost as it stands in another checkout."""
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        raise BenchError(f"{python} is missing: make it with python3 -m venv .venv && .venv/bin/pip install -e .")
    text: str = runpy.run_path(str(checkout / "tests" / "bench" / "servers.py"))["ROUTES"]

    def command(port: int, folder: Path) -> list[str]:
        routes = folder / "routes.yaml"
        routes.write_text(text.format(port=port), encoding="utf-8")
        return [str(python), "-m", "signalpost", "run", str(routes)]

    return Server("before", command, envelope=SIGNALPOST.envelope)


def measure(case: Case, server: Server, cores: Cores) -> dict[str, float]:
    """Put a case's load on a fresh server and return the report.

    Raises:
        BenchError: a connection did not open, or a delivery was wrong.

    """
    with running(server, cores) as target:
        arguments = [*TIMES, *case.arguments, "--conns", str(case.connections)]
        report = load(target, cores, [*arguments, *server.load_arguments(case.message)])
    if wrong := flaws(report):
        raise BenchError(f"{case.name}, {server.name}: {wrong}")
    return report


def compared(case: Case, pairs: list[tuple[dict[str, float], dict[str, float]]]) -> list[str]:
    """Return a line for each figure of a case."""
    lines = []
    for figure in (each for each in FIGURES if each.case == case.name):
        before, after = ([pair[number][figure.key] / figure.divisor for pair in pairs] for number in (0, 1))
        ratios = [new / old for old, new in zip(before, after, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        best = min if figure.lower else max
        title = figure.title.format(n=f"{case.connections:,}")
        old, new = (f"{statistics.median(each):.{figure.digits + 1}f}" for each in (before, after))
        lines.append(
            f"{title}: {old} -> {new} {figure.unit}, after/before {middle:.3f} ({low:.3f} to {high:.3f}), of the best"
            f" {best(after) / best(before):.3f}; {'less' if figure.lower else 'more'} is better"
        )
    return lines


def main() -> int:
    """Measure and print; 0, or 1 when nothing could be measured."""
    parser = argparse.ArgumentParser(description="Measure this checkout against another, interleaved.")
    against = parser.add_mutually_exclusive_group(required=True)
    against.add_argument("--before", type=Path, metavar="CHECKOUT", help="with a .venv of its own")
    against.add_argument("--monitor", action="store_true", help="this one without metrics, and with them")
    parser.add_argument("--only", action="append", metavar="CASE", help="as fanout.py has it; may be given often")
    parser.add_argument("--pairs", type=int, default=20, help="how often both are measured (20, at least 2)")
    arguments = parser.parse_args()
    try:
        before, after = (SIGNALPOST, MONITORED) if arguments.monitor else (None, SIGNALPOST)
        before = before or of_checkout(arguments.before.resolve())
        cores = Cores.choose()
        raise_descriptor_limit()
        build()
        for case in choose(arguments.only or ["fanout-100", "fanout-1000", "echo"], quick=False):
            pairs = []
            for number in range(max(2, arguments.pairs)):
                order = (before, after) if number % 2 == 0 else (after, before)
                reports = {server.name: measure(case, server, cores) for server in order}
                pairs.append((reports[before.name], reports[after.name]))
                print(f"{case.name}: pair {number + 1}", file=sys.stderr)
            print(*compared(case, pairs), sep="\n", flush=True)
    except BenchError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
