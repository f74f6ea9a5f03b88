"""``signalpost plan``: what a reload would change, when jobs would run, where feeds come from, which paths overlap."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from signalpost.cli.loading import load
from signalpost.cli.output import show_notes, show_table
from signalpost.cli.record import read_record
from signalpost.cli.wording import next_moments
from signalpost.config.model import TimerTiming
from signalpost.cron import system_zone
from signalpost.plan import Changes, Plan, diff
from signalpost.plan.diff import NOTHING, compare, lasting_settings
from signalpost.plan.precedence import Claim, Overlap, R, overlaps, route_claims, signal_claims
from signalpost.plan.snapshot import snapshot

_NEXT_RUNS = 5
_COLOURS = {"+": "green", "~": "yellow", "-": "red"}

Row = Sequence[str]


def show_plan(file: str, against: str | None) -> None:
    """Print what a file changes.

    Args:
        file: the routes.yaml that would be served.
        against: another file to compare with; None is the server that runs from `file`.

    Raises:
        ConfigError: one of the files has problems.
        OperatorError: the running server cannot be compared, or the system's time zone is needed and unknown.
    """
    plan = load(file)
    if against is None:
        changes = _since_running(plan)
    else:
        changes = diff(load(against), plan)
        click.echo(f"from {against} to {file}")
    _show_changes(plan, changes)
    _show_jobs(plan)
    _show_feeds(plan)
    _show_overlaps(plan)
    show_notes((*lasting_settings(changes.settings), *plan.notes))


def _since_running(plan: Plan) -> Changes:
    file = plan.config.file
    record = read_record(str(plan.config.folder / Path(file).name))  # a plugin may have changed the working folder
    if record is None:
        click.echo(f"no server runs from {file} here: all is new")
        return compare({}, snapshot(plan))
    since = f"{record.since.astimezone():%Y-%m-%d %H:%M:%S}"
    click.echo(f"from what process {record.process} serves since {since} to {file}")
    return compare(record.things, snapshot(plan))


def _show_changes(plan: Plan, changes: Changes) -> None:
    owners = _owners(plan)
    rows: list[Row] = [
        (sign, kind, name, owners.get((kind, name), ""))
        for kind, part in changes.parts().items()
        for sign, names in (("+", part.added), ("~", part.changed), ("-", part.removed))
        for name in names
    ]
    rows += [("~", "setting", key, "") for key in changes.settings]
    if rows:
        show_table("", ("", "what", "name", "from"), rows, [_COLOURS[row[0]] for row in rows])
    click.echo(str(changes) if changes else NOTHING.replace("changed", "would change"))


def _owners(plan: Plan) -> Mapping[tuple[str, str], str]:
    """Return who declares each part of a plan, by the names in `Changes`."""
    source = plan.config.source
    return {
        **{("endpoint", each.name): source.place(each.keys) for each in plan.config.endpoints},
        **{("route", f"{', '.join(rule.config.methods)} {rule.config.path}"): rule.owner for rule in plan.routes},
        **{("signal", str(rule.config.path)): rule.owner for rule in plan.signals},
        **{(job.kind.value, job.name): job.owner for job in plan.jobs},
        **{("feed", feed.name): feed.owner for feed in plan.feeds},
    }


def _show_jobs(plan: Plan) -> None:
    if not plan.jobs:
        return
    now = datetime.now(UTC)
    rows: list[Row] = []
    for job in plan.jobs:
        timing = job.timing
        zone = "" if isinstance(timing, TimerTiming) else (timing.timezone or system_zone()).key or "the system's"
        moments = next_moments(job, plan, now, _NEXT_RUNS)
        # For people each run has its own line; for grep and similar tools a job has one.
        first, *more = moments if sys.stdout.isatty() else (", ".join(moments),)
        rows += [(job.name, zone, first), *(("", "", each) for each in more)]
    click.echo()
    show_table("next runs", ("job", "zone", "runs"), rows)


def _show_feeds(plan: Plan) -> None:
    if plan.feeds:
        click.echo()
        show_table("feeds", ("feed", "url"), [(feed.name, feed.shown) for feed in plan.feeds])


def _show_overlaps(plan: Plan) -> None:
    rows = list(dict.fromkeys(_meetings(plan)))
    if rows:
        click.echo()
        show_table("paths that two want", ("path", "goes to", "from", "not to", "from"), rows)


def _meetings(plan: Plan) -> Iterator[tuple[str, ...]]:
    for endpoint in plan.config.endpoints:
        if endpoint.scheme.websocket:
            yield from map(_row, overlaps(signal_claims(plan, endpoint.name), ignore_case=True))
        else:
            yield from map(_row, overlaps(route_claims(plan, endpoint.name), ignore_case=False))


def _row(overlap: Overlap[R]) -> tuple[str, ...]:
    return overlap.paths, *_claim(overlap.taker), *_claim(overlap.other)


def _claim(claim: Claim[R]) -> tuple[str, str]:
    return f"{' '.join(claim.methods)} {claim.pattern}".strip(), claim.rule.owner
