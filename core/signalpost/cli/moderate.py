"""``signalpost kick``, ``unban``, ``revoke`` and ``clients``: commands about a running server's clients."""

from datetime import UTC, datetime
from typing import Any

import click

from signalpost.cli.controlsocket import ask_server
from signalpost.cli.output import show_table
from signalpost.units import format_size
from signalpost.words import printable


def kick(file: str, *, ban: float | None, **whom: Any) -> None:
    """Send clients away, or ban their user; print how many there were.

    Raises:
        OperatorError: no server runs, or it does not do it.
    """
    if ban is None:
        answer = ask_server(file, "kick", **whom)
        _show_closed(answer)
        if not answer["closed"] and "others" not in answer:
            click.echo("nobody matches; signalpost clients shows who is connected", err=True)
        _show_others(answer, "so clients of other nodes may stay")
    else:
        answer = ask_server(file, "ban", user=whom["user"], reason=whom["reason"], seconds=ban)
        _show_closed(answer)
        _show_others(answer)


def unban(file: str, user: str) -> None:
    """End a ban, and print whether there was one. It raises as `kick` does."""
    answer = ask_server(file, "unban", user=user)
    click.echo("not banned any more" if answer["lifted"] else "was not banned")
    _show_others(answer)


def revoke(file: str, *, lift: bool, before: float | None, seconds: float | None, **whose: str | None) -> None:
    """Revoke tokens, or end that, and print what it did. It raises as `kick` does."""
    if lift:
        answer = ask_server(file, "unrevoke", **whose)
        click.echo("not revoked any more" if answer["lifted"] else "was not revoked")
    else:
        answer = ask_server(file, "revoke", before=before, seconds=seconds, **whose)
        _show_closed(answer)
    _show_others(answer)


def show_clients(file: str, **whom: str | None) -> None:
    """Print the clients that match all that is given. It raises as `kick` does."""
    answer: Any = ask_server(file, "clients", **whom)
    found, count = answer["clients"], answer["count"]
    if not found:
        click.echo("nobody is connected" if not any(whom.values()) else "nobody matches")
        _show_whole(answer)
        return
    rows = [
        tuple(
            printable(str(text))
            for text in (
                each["id"],
                each["user"] or "-",
                each["path"],
                ", ".join(each["groups"]) or "-",
                each["endpoint"],
                each["protocol"] or "-",
                format_size(each["waiting"]) if each["waiting"] else "-",
            )
        )
        for each in found
    ]
    show_table(
        f"{count:,} {_clients(count)}", ("id", "user", "path", "groups", "endpoint", "protocol", "waiting"), rows
    )
    if count > len(found):
        click.echo(f"and {count - len(found):,} more; name a path, a user or a group")
    _show_whole(answer)


def _show_whole(answer: Any) -> None:
    """Print whether there may be others on other nodes."""
    if not answer["complete"]:
        click.echo("that is this node; each other one shows its own", err=True)


def show_revoked(file: str) -> None:
    """Print who is banned, and which tokens are revoked. It raises as `kick` does."""
    answer: Any = ask_server(file, "revoked")
    found, count = answer["revoked"], answer["count"]
    if not found:
        click.echo("nobody is banned, and nothing is revoked")
        return
    rows = [
        (
            {"ban": "ban", "user": "tokens of", "token": "token"}.get(each["kind"], each["kind"]),
            printable(each["name"]),
            _time(each["before"]) if each["kind"] == "user" else "-",
            _time(each["until"]),
        )
        for each in found
    ]
    show_table(f"{count:,} in all", ("what", "name", "issued before", "until"), rows)


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return "for ever"  # beyond what a calendar has


def moment(text: str) -> float:
    """Return a moment in Unix seconds: a number of them, or ISO 8601; without a zone, of UTC.

    Raises:
        ValueError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _show_closed(answer: Any) -> None:
    count = answer["closed"]
    click.echo(f"{count:,} {_clients(count)} closed{' here' if 'others' in answer else ''}")


def _show_others(answer: Any, otherwise: str = "so the other nodes learn of it when it is there again") -> None:
    """Print whether the other nodes have been told, if there are any."""
    match answer.get("others"):
        case True:
            click.echo("the other nodes are told")
        case False:
            click.echo(f"the backplane is away, {otherwise}", err=True)


def _clients(count: int) -> str:
    return "client" if count == 1 else "clients"
