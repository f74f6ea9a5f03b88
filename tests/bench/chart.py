"""Draw CPU per delivery by number of clients: ``python tests/bench/fanout.py --json | python tests/bench/chart.py``.

Reads the JSON of fanout.py from a file or from standard input and writes an SVG: both axes logarithmic, a line a
server with its name at its end, in colours that suit a light page and a dark one. Needs nothing but Python.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 820, 500
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 84, 96
LABEL_GAP = 19.0
TICKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100, 200, 300, 500, 1000)
OURS, YARDSTICK = "signalpost", "C loop"
YARDSTICK_LABEL = "C loop of send()"
VERSIONED = ("signalpost", "Python", "uvloop", "stock Sanic", "picows", "node ws", "aiohttp", "websockets")

STYLE = """\
  svg { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
    --page: #ffffff; --ink: #1f2328; --soft: #59636e; --rule: #d8dee4;
    --ours: #0b6bcb; --yardstick: #59636e;
    --c0: #b35900; --c1: #1a7f37; --c2: #8250df; --c3: #bf3989; --c4: #9a6700; --c5: #0e7c7b }
  @media (prefers-color-scheme: dark) { svg {
    --page: #0d1117; --ink: #f0f6fc; --soft: #9aa4af; --rule: #2d333b;
    --ours: #58a6ff; --yardstick: #9aa4af;
    --c0: #f0883e; --c1: #56d364; --c2: #bc8cff; --c3: #ff7bc0; --c4: #e3b341; --c5: #56d4dd } }
  .page { fill: var(--page) } text { fill: var(--soft) } .title { fill: var(--ink); font-size: 18px; font-weight: 600 }
  .grid { stroke: var(--rule) } .leader { stroke: var(--rule); fill: none }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .caption { font-size: 11.5px } .right { text-anchor: end } .centre { text-anchor: middle }
"""


class ChartError(Exception):
    """The input holds nothing that can be drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """One server: microseconds of CPU per delivery by number of clients, ascending."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """Its figure with most clients."""
        return self.points[-1][1]


def lines_of(results: Mapping[str, Any]) -> list[Line]:
    """Find the lines in what fanout.py printed, the cheapest last value first.

    Raises:
        ChartError: there are fewer than two numbers of clients.

    """
    points: dict[str, list[tuple[float, float]]] = {}
    for figure in results["figures"]:
        if figure["case"].startswith("fanout-"):
            for name, value in figure["values"].items():
                if value > 0:
                    points.setdefault(name, []).append((figure["clients"], value))
    lines = [Line(name, tuple(sorted(found))) for name, found in points.items() if len(found) > 1]
    if not lines:
        raise ChartError("no line has two points: run fanout.py --json with at least two of its fanout cases")
    return sorted(lines, key=lambda line: line.last)


def spread(wanted: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Move ascending positions apart to at least `gap`, none beyond `lowest`, each as near as it can be."""
    placed: list[float] = []
    for position in wanted:
        placed.append(max(position, placed[-1] + gap) if placed else position)
    for index in range(len(placed) - 1, -1, -1):
        limit = lowest if index == len(placed) - 1 else placed[index + 1] - gap
        placed[index] = min(placed[index], limit)
    return placed


@dataclass(frozen=True, slots=True)
class Axes:
    """Two logarithmic axes: the values at the edges of the plot."""

    clients: tuple[float, float]
    cost: tuple[float, float]

    @classmethod
    def around(cls, lines: Iterable[Line]) -> "Axes":
        """As wide as the numbers of clients, and as high as the figures with some air."""
        points = [point for line in lines for point in line.points]
        clients, costs = [point[0] for point in points], [point[1] for point in points]
        return cls((min(clients), max(clients)), (min(costs) / 1.25, max(costs) * 1.15))

    def x(self, clients: float) -> float:
        """From a number of clients to a place."""
        low, high = map(log10, self.clients)
        return LEFT + (log10(clients) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, cost: float) -> float:
        """From microseconds to a place."""
        low, high = map(log10, self.cost)
        return HEIGHT - BOTTOM - (log10(cost) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def grid(self, clients: Iterable[float]) -> list[str]:
        """Rules with their values."""
        made = []
        for tick in (tick for tick in TICKS if self.cost[0] <= tick <= self.cost[1]):
            y = self.y(tick)
            made.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            made.append(f'<text class="right" x="{LEFT - 10}" y="{y + 4.5:.1f}">{tick:,}</text>')
        for number in clients:
            x = self.x(number)
            made.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
            made.append(f'<text class="centre" x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}">{number:,.0f}</text>')
        return made


def _colours(lines: Iterable[Line]) -> dict[str, str]:
    """A colour for each line; by name, so that a line keeps its own when others come and go."""
    peers = sorted(line.name for line in lines if line.name not in (OURS, YARDSTICK))
    return {OURS: "ours", YARDSTICK: "yardstick"} | {name: f"c{index % 6}" for index, name in enumerate(peers)}


def _drawn(lines: Sequence[Line], axes: Axes) -> list[str]:
    colours, made = _colours(lines), []
    top_down = sorted(lines, key=lambda line: -line.last)
    places = spread([axes.y(line.last) for line in top_down], LABEL_GAP, HEIGHT - BOTTOM + 6)
    edge = WIDTH - RIGHT
    for line, place in zip(top_down, places, strict=True):
        colour = f"var(--{colours[line.name]})"
        style = f"stroke: {colour}" + ("; stroke-width: 3.5" if line.name == OURS else "")
        dashes = ' stroke-dasharray="5 4"' if line.name == YARDSTICK else ""
        path = " ".join(f"{axes.x(clients):.1f},{axes.y(cost):.1f}" for clients, cost in line.points)
        made.append(f'<polyline class="line" points="{path}" style="{style}"{dashes}/>')
        dot = f'r="{4 if line.name == OURS else 3}" style="fill: {colour}"'
        made.extend(f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" {dot}/>' for x, y in line.points)
        end = axes.y(line.last)
        made.append(f'<polyline class="leader" points="{edge + 6},{end:.1f} {edge + 16},{place:.1f}"/>')
        label = YARDSTICK_LABEL if line.name == YARDSTICK else line.name
        weight = "; font-weight: 600" if line.name == OURS else ""
        made.append(
            f'<text x="{edge + 20}" y="{place + 4.5:.1f}" style="fill: {colour}{weight}">'
            f"{escape(label)} {line.last:.1f}</text>"
        )
    return made


def _caption(machine: Mapping[str, str]) -> tuple[str, str]:
    programs = ", ".join(f"{name} {machine[name]}" for name in VERSIONED if name in machine)
    return f"{machine['date']} · {machine['processor']} · {machine['system']} · {machine['pinning']}", programs


def svg(results: Mapping[str, Any]) -> str:
    """Draw what fanout.py printed.

    Raises:
        ChartError: there is nothing to draw.

    """
    lines = lines_of(results)
    axes = Axes.around(lines)
    numbers = sorted({clients for line in lines for clients, _cost in line.points})
    where, programs = _caption(results["machine"])
    told = "; ".join(
        f"{line.name} " + ", ".join(f"{cost:.2f} at {clients:,.0f}" for clients, cost in line.points) for line in lines
    )
    rounds = max((report["round"] for report in results["reports"]), default=1)
    of_rounds = f"median of {rounds} rounds" if rounds > 1 else "one round"
    subtitle = f"Microseconds of CPU; lower is better. 64-byte messages, one under way, {of_rounds}."
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title told">',
        '<title id="title">CPU per delivery by number of clients</title>',
        f'<desc id="told">Microseconds of CPU per delivery: {escape(told)}</desc>',
        f"<style>\n{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        '<text class="title" x="24" y="36">What it costs to broadcast one message to one client</text>',
        f'<text x="24" y="58">{subtitle}</text>',
        *axes.grid(numbers),
        *_drawn(lines, axes),
        f'<text class="centre" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - BOTTOM + 42}">clients</text>',
        f'<text class="caption" x="24" y="{HEIGHT - 30}">{escape(where)}</text>',
        f'<text class="caption" x="24" y="{HEIGHT - 13}">{escape(programs)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw CPU per delivery by number of clients, as SVG.")
    parser.add_argument("results", nargs="?", type=Path, help="what fanout.py --json printed (standard input)")
    parser.add_argument("--output", type=Path, help="the SVG (standard output)")
    return parser.parse_args()


def main() -> int:
    """Draw; 0, or 1 when there is nothing to draw."""
    arguments = _arguments()
    try:
        text = arguments.results.read_text(encoding="utf-8") if arguments.results else sys.stdin.read()
        drawn = svg(json.loads(text))
    except (OSError, ValueError, KeyError, ChartError) as error:
        print(f"chart: {arguments.results or 'standard input'}: {error}", file=sys.stderr)
        return 1
    if arguments.output:
        arguments.output.write_text(drawn, encoding="utf-8")
    else:
        sys.stdout.write(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
