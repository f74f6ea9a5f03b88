"""Measure signalpost against a C yardstick, stock Sanic and other peers: ``python tests/bench/fanout.py``.

Every case runs on all its servers one after the other, round for round, so that a machine that slows down
slows all of them. A ratio is taken within a round; what is printed is the median of the rounds. Figures are
printed, not judged: the exit status is 0 unless nothing could be measured.

README.md beside this file tells what each figure means.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from figures import Case, choose
from harness import BenchError, Cores, build, load, machine, raise_descriptor_limit, running
from servers import MONITORED
from tables import Results, as_json, peers_table, rows, table

SPARE_DESCRIPTORS = 100


def measure(chosen: Sequence[Case], rounds: int, times: tuple[str, ...], cores: Cores) -> Results:
    """Run all cases, round for round. Every measurement has a fresh server; every other round runs backwards."""
    results = Results()
    for number in range(rounds):
        for case in chosen:
            for server in case.servers if number % 2 == 0 else reversed(case.servers):
                print(f"round {number + 1} of {rounds}: {case.name}, {server.name}", file=sys.stderr)
                with running(server, cores) as target:
                    arguments = [*times, *case.arguments, "--conns", str(case.connections)]
                    report = load(target, cores, [*arguments, *server.load_arguments(case.message)])
                results.add(case, server, report)
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure signalpost against a C yardstick and peers.")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="short runs, at most 1,000 clients: a look, not a figure")
    parser.add_argument(
        "--only",
        action="append",
        metavar="CASE",
        help="a case, or all whose names begin so; may be given several times",
    )
    parser.add_argument("--monitor", action="store_true", help="also signalpost with metrics, in turns with the others")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, the table on standard error")
    arguments = parser.parse_args()
    if arguments.rounds is None:
        arguments.rounds = 1 if arguments.quick else 3
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return arguments


def main() -> int:
    """Measure and print; 0, or 1 when nothing could be measured."""
    arguments = _arguments()
    cores, descriptors = Cores.choose(), raise_descriptor_limit()
    times = ("--warmup", "0.3", "--duration", "0.7") if arguments.quick else ("--warmup", "1", "--duration", "2")
    try:
        build()
        chosen = choose(arguments.only, quick=arguments.quick)
        if arguments.monitor:
            chosen = [replace(case, others=(MONITORED, *case.others)) for case in chosen]
        able = [case for case in chosen if case.yardstick is None or case.yardstick.installed]
        possible = [case for case in able if case.connections + SPARE_DESCRIPTORS <= descriptors]
        results = measure(possible, arguments.rounds, times, cores)
    except BenchError as error:
        print(f"fanout: {error}", file=sys.stderr)
        return 1
    for case in (case for case in chosen if case not in able):
        results.note(f"{case.name}: left out, its yardstick needs {case.yardstick.remedy}")
    for case in (case for case in able if case not in possible):
        results.note(f"{case.name}: left out, it needs more than the {descriptors:,} files that ulimit -Hn allows")
    for server in (server for case in possible for server in case.others if not server.installed):
        results.note(f"{server.name}: left out, it is not installed ({server.remedy})")

    made, where = rows(possible, results), machine(cores)
    if arguments.json:
        print(as_json(made, results, where))
    out = sys.stderr if arguments.json else sys.stdout
    print("\n".join(f"{key}: {value}" for key, value in where.items()), file=out)
    print(f"rounds: {arguments.rounds}{', quick: a look, not a figure' if arguments.quick else ''}", file=out)
    print(*(f"\n{part}" for part in (table(made), peers_table(made)) if part), sep="\n", file=out)
    print("", *(results.notes or ["Every connection opened; every delivery was right."]), sep="\n", file=out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
