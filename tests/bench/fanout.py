"""Measure signalpost against the C yardstick and stock Sanic: ``python tests/bench/fanout.py``.

Every case runs signalpost, the yardstick and stock Sanic one after the other, round for round, so that a
machine that slows down slows all of them. A ratio is taken within a round; what is printed is the median of
the rounds. Figures are printed, not judged: the exit status is 0 unless nothing could be measured.

README.md beside this file tells what each figure means.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from harness import (
    COALESCE,
    LOOP,
    SIGNALPOST,
    STOCK,
    BenchError,
    Cores,
    Message,
    Server,
    build,
    flaws,
    load,
    machine,
    raise_descriptor_limit,
    running,
)

BROADCAST = Message('{"text":"%s"}', 64)
ECHO = Message('{"message":"%s"}', 50, unwrapped=False)
SPARE_DESCRIPTORS = 100
BUSY = 0.95


@dataclass(frozen=True, slots=True)
class Case:
    """One load, put on several servers.

    Attributes:
        name: as given to ``--only``.
        connections: how many clients.
        arguments: for the load generator, beside connections, message and times.
        yardstick: what signalpost's figures are divided by.

    """

    name: str
    connections: int
    arguments: tuple[str, ...]
    yardstick: Server
    message: Message = BROADCAST

    @property
    def servers(self) -> tuple[Server, ...]:
        """Everyone who takes part, in the order of a round."""
        return (self.yardstick, SIGNALPOST, STOCK)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a case, to be printed.

    Attributes:
        title: ``{n}`` stands for the number of clients.
        key: of the load generator's report; the value is divided by `divisor` to give `unit`.
        lower: less is better. A ratio is always such that more is better.
        compare: whether a ratio to the yardstick means anything.
        wanted_ratio: the ratio to the yardstick that is to be reached.
        wanted_value: what is to be reached in `unit`.

    """

    case: str
    title: str
    unit: str
    key: str
    divisor: float = 1.0
    digits: int = 0
    lower: bool = False
    compare: bool = True
    wanted_ratio: float | None = None
    wanted_value: float | None = None


CPU = "server_cpu_us_per_delivery"
RATE = "deliveries_per_s"

FIGURES = (
    Figure("fanout-100", "CPU per delivery, 1 outstanding, N={n}", "us", CPU, digits=2, lower=True),
    Figure(
        "fanout-1000",
        "CPU per delivery, 1 outstanding, N={n}",
        "us",
        CPU,
        digits=2,
        lower=True,
        wanted_ratio=0.85,
    ),
    Figure("fanout-10000", "CPU per delivery, 1 outstanding, N={n}", "us", CPU, digits=2, lower=True),
    Figure("burst", "deliveries, 16 outstanding, N={n}", "1,000/s", RATE, 1e3, wanted_ratio=0.80),
    Figure("burst", "CPU per delivery of that", "us", CPU, digits=3, lower=True),
    Figure("publishers", "deliveries, 50 publishers, N={n}", "1,000/s", RATE, 1e3),
    Figure("publishers", "CPU per delivery of that", "us", CPU, digits=3, lower=True),
    Figure(
        "connect",
        "memory per idle connection, N={n}",
        "KB",
        "pss_per_conn_bytes",
        1e3,
        digits=1,
        lower=True,
        compare=False,
        wanted_value=5.0,
    ),
    Figure("connect", "handshakes, N={n}", "1/s", "connects_per_s", wanted_value=9000.0),
    Figure("connect", "CPU per handshake", "us", "server_cpu_per_connect_us", lower=True),
    Figure("echo", "echo of 50-byte JSON, N={n}", "1,000/s", RATE, 1e3),
    Figure("echo", "CPU per message of that", "us", CPU, digits=2, lower=True),
)


def cases(*, quick: bool) -> list[Case]:
    """List what is measured; the quick list leaves out what takes ten thousand connections."""
    ping_pong = ("--mode", "fanout", "--pipeline", "1")
    many = 1_000 if quick else 10_000
    return [
        Case("fanout-100", 100, ping_pong, LOOP),
        Case("fanout-1000", 1_000, ping_pong, LOOP),
        *([] if quick else [Case("fanout-10000", 10_000, ping_pong, LOOP)]),
        Case("burst", 1_000, ("--mode", "fanout", "--pipeline", "16"), COALESCE),
        Case("publishers", 1_000, ("--mode", "fanout", "--publishers", "50", "--pipeline", "50"), COALESCE),
        Case("connect", many, ("--mode", "connect"), LOOP),
        Case("echo", 100, ("--mode", "echo", "--path", "/echo", "--pipeline", "16"), LOOP, ECHO),
    ]


Report = dict[str, float]


@dataclass(slots=True)
class Results:
    """The load generator's reports: of every case, of every server, one a round; and what is to be said about them."""

    reports: dict[str, dict[str, list[Report]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, case: Case, server: Server, report: Report) -> None:
        """Keep a report, and note what makes it doubtful."""
        self.reports.setdefault(case.name, {}).setdefault(server.name, []).append(report)
        if wrong := flaws(report):
            self.note(f"{case.name}, {server.name}: {wrong}; its figures mean nothing")
        rated = any(figure.case == case.name and figure.key == RATE for figure in FIGURES)
        if rated and report["client_cpu_share"] > BUSY > report["server_cpu_share"]:
            self.note(f"{case.name}, {server.name}: the load generator was the bottleneck; the server can do more")

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)


def measure(chosen: Sequence[Case], rounds: int, times: tuple[str, ...], cores: Cores) -> Results:
    """Run all cases, round for round. Every measurement has a fresh server; every other round runs backwards."""
    results = Results()
    for number in range(rounds):
        for case in chosen:
            for server in case.servers if number % 2 == 0 else reversed(case.servers):
                print(f"round {number + 1} of {rounds}: {case.name}, {server.name}", file=sys.stderr)
                with running(server, cores) as target:
                    arguments = [*case.arguments, "--conns", str(case.connections), *times]
                    report = load(target, cores, [*arguments, *server.load_arguments(case.message)])
                results.add(case, server, report)
    return results


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of all rounds.

    Attributes:
        values: by server, the median of the rounds.
        ratios: of the yardstick, one a round; empty where it means nothing. More is better.
        times_stock: how many times better than stock Sanic; the median of the rounds.
        met: whether what is wanted was reached; None where nothing is.

    """

    figure: Figure
    title: str
    yardstick: str
    values: dict[str, float]
    ratios: tuple[float, ...]
    times_stock: float
    met: bool | None


def _ratios(figure: Figure, ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """How many times better ours is, round for round. A value of 0 was too short to be measured."""
    pairs = zip(theirs, ours, strict=True) if figure.lower else zip(ours, theirs, strict=True)
    return tuple(above / below for above, below in pairs if below)


def _met(figure: Figure, value: float, ratios: Sequence[float]) -> bool | None:
    if figure.wanted_ratio is not None:
        return bool(ratios) and median(ratios) >= figure.wanted_ratio
    if figure.wanted_value is not None:
        return value <= figure.wanted_value if figure.lower else value >= figure.wanted_value
    return None


def rows(chosen: Sequence[Case], results: Results) -> list[Row]:
    """Draw the figures from the reports."""
    made = []
    for case in chosen:
        for figure in (figure for figure in FIGURES if figure.case == case.name):
            by_server = {
                name: [report[figure.key] / figure.divisor for report in reports]
                for name, reports in results.reports[case.name].items()
            }
            values = {name: median(numbers) for name, numbers in by_server.items()}
            ours, stock = by_server[SIGNALPOST.name], by_server[STOCK.name]
            ratios = _ratios(figure, ours, by_server[case.yardstick.name]) if figure.compare else ()
            made.append(
                Row(
                    figure=figure,
                    title=figure.title.format(n=f"{case.connections:,}"),
                    yardstick=case.yardstick.name,
                    values=values,
                    ratios=ratios,
                    times_stock=median(_ratios(figure, ours, stock) or (0.0,)),
                    met=_met(figure, values[SIGNALPOST.name], ratios),
                )
            )
    return made


def _wanted(row: Row) -> str:
    figure = row.figure
    if figure.wanted_ratio is not None:
        text = f"ratio >= {figure.wanted_ratio:.2f}"
    elif figure.wanted_value is not None:
        text = f"{'<=' if figure.lower else '>='} {figure.wanted_value:,.0f} {figure.unit}"
    else:
        return ""
    return f"{text}: {'yes' if row.met else 'NO'}"


def _ratio(row: Row) -> str:
    if not row.ratios:
        return ""
    spread = f" ({min(row.ratios):.2f} to {max(row.ratios):.2f})" if len(row.ratios) > 1 else ""
    return f"{median(row.ratios):.2f}{spread}"


def _cells(row: Row) -> tuple[str, ...]:
    def number(name: str) -> str:
        return f"{row.values[name]:,.{row.figure.digits}f}"

    return (
        row.title,
        row.figure.unit,
        number(SIGNALPOST.name),
        f"{number(row.yardstick)} {row.yardstick}" if row.figure.compare else "",
        _ratio(row),
        _wanted(row),
        number(STOCK.name),
        f"{row.times_stock:.1f}",
    )


def table(made: Sequence[Row]) -> str:
    """Lay the rows out as a Markdown table that also reads well in a terminal."""
    head = ("figure", "unit", SIGNALPOST.name, "yardstick", "ratio", "wanted", STOCK.name, "times stock")
    lines = [head, *map(_cells, made)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = {0, 1, 5}

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 2) if index in left else "-" * (width + 1) + ":" for index, width in enumerate(widths)
    )
    return "\n".join([line(head), f"|{rule}|", *map(line, lines[1:])])


def _as_json(made: Sequence[Row], results: Results, where: dict[str, str]) -> str:
    figures = [
        {
            "case": row.figure.case,
            "title": row.title,
            "unit": row.figure.unit,
            "values": row.values,
            "yardstick": row.yardstick if row.figure.compare else None,
            "ratios": row.ratios,
            "times_stock": row.times_stock,
            "met": row.met,
        }
        for row in made
    ]
    return json.dumps(
        {"machine": where, "figures": figures, "notes": results.notes, "reports": results.reports}, indent=2
    )


def _choose(names: Sequence[str] | None, *, quick: bool) -> list[Case]:
    everything = cases(quick=quick)
    known = [case.name for case in everything]
    wanted: set[str] = set()
    for name in names or [""]:
        found = [name] if name in known else [other for other in known if other.startswith(name)]
        if not found:
            raise BenchError(f"no case begins with {name!r}; there are {', '.join(known)}")
        wanted.update(found)
    return [case for case in everything if case.name in wanted]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure signalpost against a C yardstick and stock Sanic.")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="short runs, at most 1,000 clients: a look, not a figure")
    parser.add_argument(
        "--only",
        action="append",
        metavar="CASE",
        help="a case, or all whose names begin so; may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of the table")
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
    times = ("--warmup", "0.3", "--duration", "0.7") if arguments.quick else ("--warmup", "1", "--duration", "3")
    try:
        build()
        chosen = _choose(arguments.only, quick=arguments.quick)
        possible = [case for case in chosen if case.connections + SPARE_DESCRIPTORS <= descriptors]
        results = measure(possible, arguments.rounds, times, cores)
    except BenchError as error:
        print(f"fanout: {error}", file=sys.stderr)
        return 1
    for case in (case for case in chosen if case not in possible):
        results.note(f"{case.name}: left out, it needs more than the {descriptors:,} files that ulimit -Hn allows")

    made, where = rows(possible, results), machine(cores)
    if arguments.json:
        print(_as_json(made, results, where))
        return 0
    print("\n".join(f"{key}: {value}" for key, value in where.items()))
    print(f"rounds: {arguments.rounds}{', quick: a look, not a figure' if arguments.quick else ''}")
    print(f"\n{table(made)}\n")
    print("\n".join(results.notes or ["Every connection opened; every delivery was right."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
