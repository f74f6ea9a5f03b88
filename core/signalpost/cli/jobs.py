"""``signalpost jobs``: when timers and schedules ran and run next, how long they took, and what failed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from signalpost.cli.controlsocket import NoServerError, ask_server
from signalpost.cli.loading import load
from signalpost.cli.output import show_table
from signalpost.cli.wording import known_moments, next_moments, when
from signalpost.units import format_duration
from signalpost.words import cut

_NONE = "-"
_LONGEST_ERROR = 100
_MINUTE, _MILLISECOND = 60, 0.001
_COLUMNS = ("name", "when", "last run", "took", "longest", "runs", "failed", "next run", "from")


def show_jobs(file: str, *, as_json: bool) -> None:
    """Print the jobs of the server that runs from a file; without one, those of the file.

    Args:
        file: a routes.yaml.
        as_json: whether to print an object of JSON for each.

    Raises:
        OperatorError: a server is there, and does not answer.
        ConfigError: no server is there, and the file has problems.
    """
    answer = _asked(file)
    if isinstance(answer, NoServerError):
        _show_planned(file, answer, as_json=as_json)
        return
    jobs = answer["jobs"]
    if as_json:
        for job in jobs:
            click.echo(json.dumps(job))
        return
    if not jobs:
        click.echo("the server has no jobs")
        return
    show_table("", _COLUMNS, [_row(job) for job in jobs])
    for job in jobs:
        if job["failed"]:
            error = cut(job["last_error"] or "", _LONGEST_ERROR)
            click.echo(f"{job['name']}: failed last at {_moment(job['last_failed'])}: {error}")


def _asked(file: str) -> Mapping[str, Any] | NoServerError:
    try:
        return ask_server(file, "jobs")
    except NoServerError as error:
        return error


def _show_planned(file: str, why: NoServerError, *, as_json: bool) -> None:
    """Print what a file says of its jobs."""
    plan, now = load(file, proofs=False), datetime.now(UTC)
    if as_json:
        for job in plan.jobs:
            moments = known_moments(job, plan, now, 1)
            planned = {"name": job.name, "kind": job.kind.value, "when": when(job, plan), "owner": job.owner}
            click.echo(json.dumps({**planned, "next": moments[0].isoformat() if moments else None}))
    elif not plan.jobs:
        click.echo(f"{file} has no jobs")
    else:
        rows = [(job.name, when(job, plan), next_moments(job, plan, now, 1)[0], job.owner) for job in plan.jobs]
        show_table("", ("name", "when", "next run", "from"), rows)
    click.echo(f"note: {str(why).partition(', or it')[0]}: this is what the file says", err=True)


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    last = job["last"]
    following = "paused" if job["paused"] else _NONE if job["next"] is None else _moment(job["next"])
    return (
        job["name"],
        job["when"],
        _NONE if last is None else _moment(last["at"]) + _by(last),
        _took(job, last),
        _seconds(job["longest"]),
        f"{job['runs']:,}",
        f"{job['failed']:,}",
        following,
        job["owner"],
    )


def _by(last: Mapping[str, Any]) -> str:
    """Return which node ran, unless it is the one that is asked."""
    if not last["elsewhere"]:
        return ""
    return f" by node {last['node']}" if last["node"] else " by another node"


def _took(job: Mapping[str, Any], last: Mapping[str, Any] | None) -> str:
    if last is None or last["elsewhere"]:
        return _NONE
    if last["seconds"] is None:
        return "under way" if job["running"] else _NONE
    return f"{_seconds(last['seconds'])}, failed" if last["error"] else _seconds(last["seconds"])


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return _NONE
    if seconds >= _MINUTE:
        return format_duration(round(seconds))
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1_000:.0f} ms" if seconds >= _MILLISECOND else "< 1 ms"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S %Z}"
