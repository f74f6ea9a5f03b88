"""What it costs to be several nodes: ``python tests/bench/cluster.py``.

One table: the latency that the backplane adds; how many messages a second go through one Redis, and what each costs
the nodes and Redis; how the clients of a node that is killed come back to another one, and what Redis reads for that;
and, with ``--before CHECKOUT``, that an app without a backplane costs, and sends, what it did before. Where socket.io
and its Redis streams adapter are installed (``npm install`` in ``peers``), they do the same work in the same run. Talks
to nothing but 127.0.0.1; starts its own redis-server.

The exit status is 0 when all was right, 1 when nothing could be measured, 2 when a client or a server was wrong.
README.md beside this file tells what each figure means.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import compare
import figures
from carried import DESCRIBED, timed_here
from compare import of_checkout
from deaths import Death, Shape, outlive
from golden import differences
from harness import BenchError, Cores, build, flaws, machine, raise_descriptor_limit
from nodes import OURS, REDIS_PROGRAMS, SOCKET_IO, App, nodes_of, spread_over
from servers import SIGNALPOST, Message

import history
from history import SPARE_DESCRIPTORS, Line, Made, table

PARTS = ("latency", "rates", "call", "deaths", "before")
VALUE = Message('{"text":"%s"}', 64)
RATE = 1_000
READERS = 10
"""At each node, the publisher among them."""

BUSY = 0.95
MOST_DEATHS = 3
"""Rounds of the deaths, which take longest."""

Report = dict[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """A load.

    Attributes:
        name: in the table.
        app: that takes it.
        load: arguments of the load generator.
        kept: whether values are kept.
        alone: whether there is one node, and no backplane.
    """

    name: str
    app: App
    load: Sequence[str]
    kept: bool = False
    alone: bool = False

    def measure(self, cores: Cores, times: Sequence[str]) -> Report:
        """Put the load on fresh nodes, two of them or one.

        Raises:
            BenchError: a connection did not open, or a delivery was wrong.
        """
        with nodes_of(self.app, cores, 1 if self.alone else 2, alone=self.alone) as nodes:
            report = nodes.put_load(cores, [*times, *self.load, *self.app.load_arguments(VALUE, kept=self.kept)])
        if wrong := flaws(report):
            raise BenchError(f"{self.name}: {wrong}")
        return report


Reports = dict[str, list[Report]]


def measured(cases: Sequence[Case], cores: Cores, rounds: int, times: Sequence[str]) -> Reports:
    """Measure all cases, round for round; every other round runs backwards."""
    found: Reports = {case.name: [] for case in cases}
    for number in range(rounds):
        for case in cases if number % 2 == 0 else reversed(cases):
            found[case.name].append(case.measure(cores, times))
            print(f"round {number + 1} of {rounds}: {case.name}", file=sys.stderr)
    return found


def spread(values: Sequence[float], digits: int = 0, *, sign: bool = False) -> str:
    """Word the median, with the lowest and the highest behind it if there are several."""
    shape = f"{'+' if sign else ''},.{digits}f"
    middle, low, high = (format(each, shape) for each in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def _of(reports: Iterable[Report], key: str) -> list[float]:
    return [each[key] for each in reports]


def _per_message(reports: Iterable[Report], key: str) -> list[float]:
    """Return microseconds of CPU by published messages."""
    return [each[key] / each["published"] * 1e6 for each in reports]


def _more(values: Sequence[float], base: Sequence[float]) -> list[float]:
    return [after - before for after, before in zip(values, base, strict=True)]


# Latency


def _latency_cases(app: App) -> list[Case]:
    there = ("--mode", "fanout", "--rate", str(RATE), "--conns", str(2 * READERS), "--others", str(READERS))
    here = there[:-2]
    if app is SOCKET_IO:  # which keeps whatever it carries
        return [Case("socket.io, one node", app, here, alone=True), Case("socket.io, two nodes", app, there)]
    return [
        Case("one node, live", app, here, alone=True),
        Case("one node, kept", app, here, kept=True, alone=True),
        Case("two nodes, live", app, there),
        Case("two nodes, kept", app, there, kept=True),
    ]


def latency(cores: Cores, apps: Sequence[App], rounds: int, times: Sequence[str]) -> Made:
    """Measure how much later values come for the backplane, on the node of the publisher and on another."""
    found = measured([case for app in apps for case in _latency_cases(app)], cores, rounds, times)
    made = Made(raw={"reports": found})
    made.lines.append(Line(f"latency at {RATE:,} messages/s to {READERS} readers at each node, p50 and p99 in us", ""))
    for name, reports in found.items():
        base = found.get(name.replace("two nodes", "one node"), reports)
        made.lines += _latency_lines(name, reports, base)
    return made


def _latency_lines(name: str, reports: list[Report], base: list[Report]) -> list[Line]:
    if reports is base:
        return [Line(f"  {name}", _both(reports, ""), "")]
    lines = []
    for where, prefix in (("the publisher's node", ""), ("the other node", "other_")):
        adds = " and ".join(
            spread(_more(_of(reports, f"{prefix}{key}"), _of(base, key)), sign=True) for key in ("p50_us", "p99_us")
        )
        lines.append(Line(f"  {name}, readers at {where}", _both(reports, prefix), f"added: {adds}"))
    return lines


def _both(reports: list[Report], prefix: str) -> str:
    return ", ".join(f"{statistics.median(_of(reports, prefix + key)):,.0f}" for key in ("p50_us", "p99_us"))


# Rates, and CPU for a message


def _rate_cases(app: App) -> list[Case]:
    ours = app is OURS
    begin = "" if ours else "socket.io, "
    full = ("--mode", "fanout", "--pipeline", "256")
    one, two = (*full, "--conns", "1"), (*full, "--conns", "2")
    both = (*two, "--publishers", "2")
    cases = []
    for kind, kept in (("live", False), ("kept", True)) if ours else (("", True),):
        end = f", {kind}" if kind else ""
        cases += [
            Case(f"{begin}one node, 1 client{end}", app, one, kept=kept, alone=True),
            Case(f"{begin}one node, 2 clients{end}", app, two, kept=kept, alone=True),
            Case(f"{begin}from one node to another{end}", app, (*two, "--others", "1"), kept=kept),
            Case(f"{begin}from both nodes to both{end}", app, both, kept=kept),
        ]
    return cases


def rates(cores: Cores, apps: Sequence[App], rounds: int, times: Sequence[str]) -> Made:
    """Measure how many messages a second go through, and what each costs a node and Redis."""
    found = measured([case for app in apps for case in _rate_cases(app)], cores, rounds, times)
    made = Made(raw={"reports": found})
    made.lines.append(Line("messages a second, 256 under way", ""))
    made.lines += [
        Line(f"  {name}", spread(_of(reports, "published_per_s")), _shares(reports)) for name, reports in found.items()
    ]
    made.lines.append(Line("CPU for a message, us", ""))
    for name, reports in found.items():
        if "from one node" in name:
            made.lines += _cpu_lines(name, reports, found)
    return made


def _shares(reports: list[Report]) -> str:
    """Word how much of a core everyone took, and who was at its end."""
    shares = {"first node": statistics.median(_of(reports, "server_cpu_share"))}
    if "store_cpu_s" in reports[0]:
        for who, key in (("second node", "other_cpu_s"), ("Redis", "store_cpu_s")):
            shares[who] = statistics.median([each[key] / each["seconds"] for each in reports])
    shares["load"] = statistics.median(_of(reports, "client_cpu_share"))
    words = ", ".join(f"{who} {share:.0%}" for who, share in shares.items())
    at_end = [who for who, share in shares.items() if share > BUSY]
    return f"of a core: {words}" + (f"; stopped by: {' and '.join(at_end)}" if at_end else "")


def _cpu_lines(name: str, reports: list[Report], found: Reports) -> list[Line]:
    """Return what a message costs the node that publishes it, the one that hears it, and Redis."""
    one, two = (
        _per_message(found[name.replace("from one node to another", which)], "server_cpu_s")
        for which in ("one node, 1 client", "one node, 2 clients")
    )
    publishing, hearing, store = (_per_message(reports, key) for key in ("server_cpu_s", "other_cpu_s", "store_cpu_s"))
    delivery = spread(_more(two, one), 1, sign=True)
    most = 1e6 / statistics.median(store)
    return [
        Line(
            f"  {name}: the node that publishes",
            spread(publishing, 1),
            f"a node alone {spread(one, 1)}; {spread(_more(publishing, one), 1, sign=True)},"
            f" ratio {spread([a / b for a, b in zip(publishing, one, strict=True)], 2)}",
        ),
        Line(
            f"  {name}: the node that hears",
            spread(hearing, 1),
            f"with its one delivery, which costs a node alone {delivery}",
        ),
        Line(f"  {name}: Redis", spread(store, 1), f"a core of its own would carry {most:,.0f} a second"),
    ]


# The same in one process


def call(cores: Cores, batches: int, rounds: int) -> Made:
    """Measure what the backplane costs a node for a value, without sockets, clients and Redis."""
    raw: dict[str, list[float]] = history.elsewhere(cores, timed_here, batches, rounds)
    lines = [Line("the backplane at a node alone, in one process, us of CPU, the best round", "")]
    lines += [Line(f"  {name}", f"{min(values):.2f}", DESCRIBED[name]) for name, values in raw.items()]
    return Made(lines, raw)


# A node that dies


def deaths(cores: Cores, apps: Sequence[App], crowds: Sequence[Shape], rounds: int) -> Made:
    """Let the clients of a node come to another one: as it was killed, or as their connections were cut.

    Args:
        cores: see `Cores`.
        apps: that can be measured.
        crowds: of clients; the first one is for signalpost alone, each other one for all apps in the same rounds.
        rounds: every other one runs backwards.
    """
    made = Made()
    for number, crowd in enumerate(crowds):
        side_by_side = apps if number else (OURS,)
        if number and len(apps) == 1:
            continue
        found = _deaths_of(side_by_side, cores, crowd, rounds, made)
        clients = f"{crowd.rooms * crowd.each:,} clients on {crowd.rooms} paths"
        made.lines.append(Line(f"{clients} come to another node, {crowd.rate:g} values/s on each", ""))
        for name, those in found.items():
            made.raw[f"{clients}: {name}"] = [asdict(each) for each in those]
            made.lines += _death_lines(name, those) if those else [Line(f"  {name}", "not measured")]
    return made


def _deaths_of(apps: Sequence[App], cores: Cores, crowd: Shape, rounds: int, made: Made) -> dict[str, list[Death]]:
    kinds = [(app, kill) for app in apps for kill in (True, False)]
    found: dict[str, list[Death]] = {_death_name(app, kill=kill): [] for app, kill in kinds}
    for number in range(rounds):
        for app, kill in kinds if number % 2 == 0 else reversed(kinds):
            name = _death_name(app, kill=kill)
            try:
                death, trouble = outlive(app, cores, crowd, kill=kill)
            except BenchError as error:
                if app is OURS:
                    raise
                made.raw[f"{name}: why it was not measured"] = str(error)
                print(f"{name}: {error}", file=sys.stderr)
                continue
            found[name].append(death)
            print(f"{name}: {death} {dict(trouble)}", file=sys.stderr)
            if app is OURS:
                made.wrong += [f"{name}: {times:,} times: {what}" for what, times in trouble.items()]
                made.wrong += [f"{name}: {what}" for what in _wrong(death)]
    return found


def _death_name(app: App, *, kill: bool) -> str:
    begin = "" if app is OURS else f"{app.name}, "
    return f"{begin}{'killed with -9' if kill else 'connections cut'}"


def _wrong(death: Death) -> list[str]:
    words = {"missing": "values missing", "doubled": "values doubled", "unrecovered": "clients not recovered"}
    return [f"{getattr(death, key):,} {text}" for key, text in words.items() if getattr(death, key)]


def _death_lines(name: str, all_: Sequence[Death]) -> list[Line]:
    def of(key: str, digits: int = 0) -> str:
        return spread([getattr(each, key) for each in all_], digits)

    first = all_[0]
    shares = f"node {first.node_share:.0%} of a core, Redis {first.redis_share:.0%}, clients {first.load_share:.0%}"
    return [
        Line(f"  {name}: until all are live, s", of("seconds", 2), shares),
        Line("    from a client's handshake until it is live, ms", of("median_ms"), f"the last one {of('longest_ms')}"),
        Line("    CPU for each that comes, us", of("node_us"), f"Redis {of('redis_us')}"),
        Line(
            "    reads of streams",
            of("reads"),
            f"reads of sessions {of('sessions')}; scripts {of('scripts')}, values kept meanwhile {of('kept')}",
        ),
        Line("    values missed, and read then", of("missed"), f"clients not recovered {of('unrecovered')}"),
        Line("    values missing, doubled", f"{of('missing')}, {of('doubled')}", "wanted: 0, 0"),
    ]


# An app without a backplane


def before(cores: Cores, checkout: Path | None, pairs: int) -> Made:
    """Measure broadcasts of an app without a backplane beside another checkout, and compare what is sent."""
    if checkout is None:
        return Made([Line("without a backplane, beside before", "not measured", "--before CHECKOUT")])
    old = of_checkout(checkout.resolve())
    made = Made()
    for clients in (10, 100, 1_000):
        case = figures.Case(f"fanout-{clients}", clients, ("--mode", "fanout", "--pipeline", "1"), None)
        found: dict[str, list[float]] = {old.name: [], SIGNALPOST.name: []}
        for number in range(pairs):
            for server in (old, SIGNALPOST) if number % 2 == 0 else (SIGNALPOST, old):
                found[server.name].append(compare.measure(case, server, cores)[figures.CPU] * clients)
            print(f"before: {clients:,} clients, pair {number + 1} of {pairs}", file=sys.stderr)
        made.raw[f"{clients} clients"] = found
        made.lines.append(_before_line(clients, found[old.name], found[SIGNALPOST.name]))
    wrong = differences(checkout.resolve())
    made.lines.append(Line("  frames that differ from before", f"{len(wrong):,}", "wanted: 0"))
    made.wrong += wrong
    return made


def _before_line(clients: int, old: Sequence[float], now: Sequence[float]) -> Line:
    ratios = sorted(after / each for after, each in zip(now, old, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Line(
        f"without a backplane: a broadcast to {clients:,}, us of CPU",
        f"{statistics.median(now):,.1f}",
        f"before {statistics.median(old):,.1f}; ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f})",
    )


# The command


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What it costs to be several nodes, and what becomes of one that dies."
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be given several times")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="of before, with a .venv of its own")
    parser.add_argument("--alone", action="store_true", help="without socket.io, also where it is installed")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (5; quick: 1)")
    parser.add_argument("--pairs", type=int, help="how often both checkouts are measured (20; quick: 2)")
    parser.add_argument("--rate", type=float, default=2.0, help="values a second on each path of those who die (2)")
    parser.add_argument("--quick", action="store_true", help="few clients and short runs: a look, not a figure")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, the table on standard error")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 5)
    arguments.pairs = arguments.pairs or (2 if arguments.quick else 20)
    if min(arguments.pairs, arguments.rounds) < 1:
        parser.error("--pairs and --rounds are at least 1")
    return arguments


def _measure(part: str, arguments: argparse.Namespace, cores: Cores, apps: Sequence[App]) -> Made:
    quick, rounds = arguments.quick, arguments.rounds
    times = ("--warmup", "0.3", "--duration", "0.7") if quick else ("--warmup", "1", "--duration", "3")
    if part == "latency":
        return latency(cores, apps, rounds, times)
    if part == "rates":
        return rates(cores, apps, rounds, times)
    if part == "call":
        return call(cores, 10 if quick else 100, 2 * rounds + 1)
    if part == "deaths":
        shapes = ((10, 50), (10, 20)) if quick else ((100, 100), (100, 10))
        return deaths(cores, apps, [Shape(*each, arguments.rate) for each in shapes], min(rounds, MOST_DEATHS))
    return before(cores, arguments.before, arguments.pairs)


def _where(cores: Cores, apps: Sequence[App]) -> dict[str, str]:
    program = next(filter(None, map(shutil.which, REDIS_PROGRAMS)), None)
    if program is None:
        raise BenchError("redis-server is missing: apt-get install redis-server")
    store = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split(" sha=")[0]
    first, second, redis, third = (each.server for each in spread_over(cores))
    return {
        **machine(cores),
        "Redis": store,
        **{app.name: app.version for app in apps},
        "cores": f"first node {first}, second {second}, Redis {redis}, third node {third}, load {cores.load}",
        "load of the machine before": " ".join(f"{each:.1f}" for each in os.getloadavg()),
    }


def main() -> int:
    """Measure and print; 0, 1 when nothing could be measured, 2 when something was wrong."""
    arguments, cores = _arguments(), Cores.choose()
    apps = [app for app in (OURS, SOCKET_IO) if not app.missing and not (arguments.alone and app is not OURS)]
    parts = [part for part in PARTS if part in (arguments.only or PARTS)]
    most = 500 if arguments.quick else 10_000
    made: dict[str, Made] = {}
    if "deaths" in parts and raise_descriptor_limit() < most + SPARE_DESCRIPTORS:
        print(f"cluster: {most:,} clients need more files than ulimit -Hn allows; try --quick", file=sys.stderr)
        return 1
    try:
        where = _where(cores, apps)
        build()
        if cores.load is not None:
            os.sched_setaffinity(0, {cores.load})
    except BenchError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    for part in parts:
        try:
            made[part] = _measure(part, arguments, cores, apps)
        except BenchError as error:  # what the others find is printed nevertheless
            made[part] = Made([Line(part, "not measured")], wrong=[f"{part}: {error}"])
        print(table(made[part].lines), file=sys.stderr)
    where["load of the machine after"] = " ".join(f"{each:.1f}" for each in os.getloadavg())
    wrong = [what for each in made.values() for what in each.wrong]
    if arguments.json:
        found = {part: {"lines": [asdict(line) for line in each.lines], **each.raw} for part, each in made.items()}
        print(json.dumps({"machine": where, "wrong": wrong, **found}, indent=1))
    out = sys.stderr if arguments.json else sys.stdout
    print("\n".join(f"{key}: {value}" for key, value in where.items()), file=out)
    print(f"\n{table([line for each in made.values() for line in each.lines])}\n", file=out)
    right = "Nothing was wrong: every delivery was right, and the logs of the nodes that live are empty."
    print(*(wrong or [right]), sep="\n", file=out)
    if SOCKET_IO.missing:
        print(SOCKET_IO.missing, file=out)
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
