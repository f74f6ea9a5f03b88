"""From the load generator's reports to what a reader sees: medians, ratios within a round, tables, JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from figures import FIGURES, RATE, Case, Figure
from harness import flaws
from servers import SIGNALPOST, STOCK, Server

BUSY = 0.95

Report = Mapping[str, float]


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

    def rounds(self, case: str, figure: Figure) -> dict[str, list[float]]:
        """One figure of every server that took the case's load, a number a round."""
        return {
            name: [report[figure.key] / figure.divisor for report in reports]
            for name, reports in self.reports.get(case, {}).items()
        }


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of all rounds.

    Attributes:
        clients: how many there were.
        yardstick: what signalpost's ratio is taken to; empty where none is.
        yardstick_value: the median of its rounds.
        values: by server, the median of the rounds.
        ratios: to the yardstick, one a round; empty where it means nothing. More is better.
        times_stock: how many times better than stock Sanic, the median of the rounds; None where that took no part.
        met: whether what is wanted was reached; None where nothing is, or what it is measured by was left out.

    """

    figure: Figure
    clients: int
    title: str
    yardstick: str
    yardstick_value: float
    values: dict[str, float]
    ratios: tuple[float, ...]
    times_stock: float | None
    met: bool | None


def _ratios(figure: Figure, ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """How many times better ours is, round for round. A value of 0 was too short to be measured."""
    pairs = zip(theirs, ours, strict=True) if figure.lower else zip(ours, theirs, strict=True)
    return tuple(above / below for above, below in pairs if below)


def _met(figure: Figure, value: float, ratios: Sequence[float], times_stock: float | None) -> bool | None:
    if figure.wanted_ratio is not None:
        return median(ratios) >= figure.wanted_ratio if ratios else None
    if figure.wanted_times_stock is not None:
        return None if times_stock is None else times_stock >= figure.wanted_times_stock
    if figure.wanted_value is not None:
        return value <= figure.wanted_value if figure.lower else value >= figure.wanted_value
    return None


def _row(case: Case, figure: Figure, results: Results) -> Row:
    by_server = results.rounds(case.name, figure)
    ours, stock = by_server[SIGNALPOST.name], by_server.get(STOCK.name)
    yardstick, theirs = "", None
    if figure.against is not None:
        yardstick, theirs = figure.against, results.rounds(figure.against, figure).get(SIGNALPOST.name)
    elif figure.compare and case.yardstick is not None:
        yardstick, theirs = case.yardstick.name, by_server[case.yardstick.name]
    ratios = _ratios(figure, ours, theirs) if theirs else ()
    times_stock = median(_ratios(figure, ours, stock) or (0.0,)) if stock else None
    values = {name: median(numbers) for name, numbers in by_server.items()}
    return Row(
        figure=figure,
        clients=case.connections,
        title=figure.title.format(n=f"{case.connections:,}"),
        yardstick=yardstick if theirs else "",
        yardstick_value=median(theirs) if theirs else 0.0,
        values=values,
        ratios=ratios,
        times_stock=times_stock,
        met=_met(figure, values[SIGNALPOST.name], ratios, times_stock),
    )


def rows(chosen: Iterable[Case], results: Results) -> list[Row]:
    """Draw the figures from the reports."""
    return [_row(case, figure, results) for case in chosen for figure in FIGURES if figure.case == case.name]


def _wanted(row: Row) -> str:
    figure = row.figure
    if figure.wanted_ratio is not None:
        text = f"ratio >= {figure.wanted_ratio:.2f}"
    elif figure.wanted_times_stock is not None:
        text = f"times stock >= {figure.wanted_times_stock:.0f}"
    elif figure.wanted_value is not None:
        text = f"{'<=' if figure.lower else '>='} {figure.wanted_value:,g} {figure.unit}"
    else:
        return ""
    return text if row.met is None else f"{text}: {'yes' if row.met else 'NO'}"


def _ratio(row: Row) -> str:
    if not row.ratios:
        return ""
    spread = f" ({min(row.ratios):.2f} to {max(row.ratios):.2f})" if len(row.ratios) > 1 else ""
    return f"{median(row.ratios):.2f}{spread}"


def _cells(row: Row) -> tuple[str, ...]:
    def number(value: float) -> str:
        return f"{value:,.{row.figure.digits}f}"

    stock = row.values.get(STOCK.name)
    return (
        row.title,
        row.figure.unit,
        number(row.values[SIGNALPOST.name]),
        f"{number(row.yardstick_value)} {row.yardstick}" if row.yardstick else "",
        _ratio(row),
        _wanted(row),
        "" if stock is None else number(stock),
        "" if row.times_stock is None else f"{row.times_stock:.1f}",
    )


def _laid_out(lines: Sequence[Sequence[str]], left: set[int]) -> str:
    """Lay out a Markdown table that also reads well in a terminal; the first line is its head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 2) if index in left else "-" * (width + 1) + ":" for index, width in enumerate(widths)
    )
    return "\n".join([line(lines[0]), f"|{rule}|", *map(line, lines[1:])])


def table(made: Sequence[Row]) -> str:
    """All figures, a line each: signalpost beside the yardstick and stock Sanic."""
    head = ("figure", "unit", SIGNALPOST.name, "yardstick", "ratio", "wanted", STOCK.name, "times stock")
    return _laid_out([head, *map(_cells, made)], left={0, 1, 5})


def peers_table(made: Sequence[Row]) -> str:
    """CPU per delivery of everyone who took part, a line each, the cheapest first; empty without such rows.

    The number in brackets is the ratio of the medians to the yardstick's.
    """
    columns = [row for row in made if row.figure.case.startswith("fanout-")]
    if not columns:
        return ""
    names = sorted({name for row in columns for name in row.values}, key=lambda name: (_place(columns, name), name))

    def cell(row: Row, name: str) -> str:
        value = row.values.get(name)
        return f"{value:.2f} ({row.values[row.yardstick] / value:.2f})" if value else ""

    head = ("CPU per delivery, us (ratio)", *(f"N={row.clients:,}" for row in columns))
    return _laid_out([head, *((name, *(cell(row, name) for row in columns)) for name in names)], left={0})


def _place(columns: Sequence[Row], name: str) -> float:
    return median(row.values[name] / row.values[row.yardstick] for row in columns if row.values.get(name))


def as_json(made: Sequence[Row], results: Results, where: Mapping[str, str]) -> str:
    """Everything, for chart.py and other programs; a report takes one line."""
    figures = [
        {
            "case": row.figure.case,
            "title": row.title,
            "unit": row.figure.unit,
            "clients": row.clients,
            "values": {name: round(value, 4) for name, value in row.values.items()},
            "yardstick": row.yardstick or None,
            "ratios": [round(ratio, 4) for ratio in row.ratios],
            "times_stock": row.times_stock and round(row.times_stock, 4),
            "wanted": _wanted(row) or None,
            "met": row.met,
        }
        for row in made
    ]
    reports = [
        {"case": case, "server": server, "round": number, **report}
        for case, servers in results.reports.items()
        for server, of_rounds in servers.items()
        for number, report in enumerate(of_rounds, 1)
    ]

    def lines(items: Sequence[object]) -> str:
        return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in items) + "\n  ]" if items else "[]"

    head = json.dumps({"machine": where, "notes": results.notes}, indent=2).rstrip("}").rstrip()
    return f'{head},\n  "figures": {lines(figures)},\n  "reports": {lines(reports)}\n}}'
