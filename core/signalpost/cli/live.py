"""``signalpost live``: the operations of the API on a running server, over its control socket."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, pairwise, repeat
from time import sleep
from typing import TYPE_CHECKING, Any

import click

from signalpost.cli.controlsocket import ask_server
from signalpost.cli.output import show_table
from signalpost.errors import OperatorError
from signalpost.units import format_size
from signalpost.words import printable

if TYPE_CHECKING:
    from rich.table import Table

EVERYONE = "everyone"
"""In place of a path: a path begins with a slash."""

_COLUMNS = ("signal", "clients", "messages/s", "broadcasts/s", "deliveries/s", "waiting")


def publish(file: str, path: str, text: str, **more: str | None) -> None:
    """Publish a value, and print how many clients it reaches.

    Args:
        file: that the server runs from.
        path: of the clients, or `EVERYONE`.
        text: JSON, or else the value itself.
        more: a group, client or user, and once.

    Raises:
        OperatorError: no server runs, or it does not do it.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if value is None:
        raise OperatorError("null is not sent to clients: give another VALUE, or [null] for a list that holds it")
    if path == EVERYONE and any(more.get(name) for name in ("group", "client", "user")):
        raise click.UsageError("everyone stands alone: leave out --group, --client and --user, or name a path")
    where = {"to": EVERYONE} if path == EVERYONE else {"path": path}
    answer: Any = ask_server(file, "publish", value=value, **where, **more)
    matched = answer["matched"]
    at = f", at {answer['at']}" if "at" in answer else ""
    again = "; it was sent before" if answer.get("again") else ""
    click.echo(f"{matched:,} {'client' if matched == 1 else 'clients'}{at}{again}")


def history(file: str, path: str, *, after: str | None, limit: int, as_json: bool) -> None:
    """Print what is kept of a path, a line for each value, oldest first. It raises as `publish` does."""
    answer: Any = ask_server(file, "history", path=path, after=after, limit=limit)
    for each in answer["signals"]:
        click.echo(json.dumps(each) if as_json else f"{each['at']}  {json.dumps(each['value'])}")
    if not answer["signals"]:
        click.echo(f"nothing is kept of {printable(path)} at the moment", err=True)
    elif answer["more"]:
        click.echo("there is more; --limit shows more of it, --after what follows a position", err=True)


def presence(file: str, path: str) -> None:
    """Print who is on a path. It raises as `publish` does."""
    answer: Any = ask_server(file, "presence", path=path)
    if not answer["users"]:
        click.echo(f"nobody is on {printable(path)}")
        return
    rows = [
        (printable(each["user"]), f"{each['n']:,}", "-" if each["info"] is None else json.dumps(each["info"]))
        for each in answer["users"]
    ]
    show_table(f"{answer['count']:,} on {printable(path)}", ("user", "connections", "info"), rows)


def top(file: str, *, every: float, count: int, pause: Callable[[float], object] = sleep) -> None:
    """Show what each signal does, again and again; on a terminal in place, else one table below the other.

    Args:
        file: that the server runs from.
        every: seconds between two tables.
        count: tables until it ends; 0 is until Ctrl-C.
        pause: waits for some seconds.

    Raises:
        OperatorError: no server runs, or it has stopped.
    """

    def look() -> Iterator[Any]:
        for _ in range(count) if count else repeat(None):
            pause(every)
            yield ask_server(file, "signals")

    with suppress(KeyboardInterrupt):
        first = ask_server(file, "signals")
        if sys.stdout.isatty():
            _show_in_place(first, look(), screen=not count)
        else:
            _show_below(first, look())


def _show_below(first: Any, looks: Iterable[Any]) -> None:
    for before, now in pairwise(chain((first,), looks)):
        show_table(_title(now), _COLUMNS, rows_of(before, now))


def _show_in_place(first: Any, looks: Iterable[Any], *, screen: bool) -> None:
    from rich.live import Live

    with Live(_table(first, first), auto_refresh=False, screen=screen) as live:
        for before, now in pairwise(chain((first,), looks)):
            live.update(_table(before, now), refresh=True)


def _table(before: Any, now: Any) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=_title(now), title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
    )
    for name in _COLUMNS:
        table.add_column(Text(name), justify="left" if name == "signal" else "right")
    for row in rows_of(before, now):
        table.add_row(*map(Text, row))
    return table


def _title(now: Any) -> str:
    signals = now["signals"]
    clients, waiting = (sum(each[name] for each in signals) for name in ("clients", "waiting"))
    where = "" if now["complete"] else f" of node {now['node']}"
    waits = f", {format_size(waiting)} wait" if waiting else ""
    return f"{clients:,} {'client' if clients == 1 else 'clients'}{where}{waits}"


def rows_of(before: Any, now: Any) -> Sequence[Sequence[str]]:
    """Return a row for each signal, with what it did a second between two answers; the busiest come first."""
    known = {each["signal"]: each for each in before["signals"]}
    seconds = now["seconds"] - before["seconds"]

    def rates(each: Any) -> list[float]:
        old = known.get(each["signal"], {})
        names = ("messages", "broadcasts", "deliveries")
        # A reload may begin to count anew.
        return [max(0.0, each[name] - old.get(name, 0)) / seconds if seconds > 0 else 0.0 for name in names]

    busiest = sorted(now["signals"], key=lambda each: (-sum(rates(each)), -each["clients"]))
    return [
        (
            printable(each["signal"]),
            f"{each['clients']:,}",
            *(f"{rate:,.1f}" if rate else "-" for rate in rates(each)),
            format_size(each["waiting"]) if each["waiting"] else "-",
        )
        for each in busiest
    ]
