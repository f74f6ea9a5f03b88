"""The result of a trial, as `signalpost try` shows it."""

from collections.abc import Sequence
from pathlib import Path

import click

from signalpost.cli.output import show_facts, show_table
from signalpost.cli.trial import Taken, Trial
from signalpost.delivery.client import Client
from signalpost.delivery.target import Receipt
from signalpost.plan.ways import as_json


def show_outcome(trial: Trial, clients: Sequence[Client], folder: Path) -> None:
    """Print the steps that ran, what each client received, what is kept, and the contents of the state.

    Args:
        trial: that has handled a message or a request.
        clients: that were connected before.
        folder: of the app; names of files are relative to it.
    """
    outcome = trial.outcome
    if outcome.steps:
        click.echo()
        rows = [(step.where, step.name, _values(step), _outcome(step)) for step in outcome.steps]
        show_table("steps", ("where", "action", "values", "outcome"), rows)
    left_out = dict.fromkeys(each.replace(f"{folder}/", "") for each in outcome.left_out)
    besides = [*(("log", line) for line in outcome.log), *(("not called", code) for code in left_out)]
    if besides:
        click.echo()
        show_facts("besides", besides)
    _show_received(trial, clients)
    show_unexpected(trial)
    if trial.kept:
        click.echo()
        kept = [(path, str(number), as_json(value)) for path, number, value in trial.kept]
        show_table("history", ("path", "number", "value"), kept)
    if trial.state:
        click.echo()
        show_facts("state", [(key, as_json(value)) for key, value in trial.state.items()])


def show_unexpected(trial: Trial) -> None:
    """Print what clients received, also when they connected, that ``sends`` of their signal does not allow."""
    if trial.unexpected:
        click.echo()
        rows = [(each.path, each.value, each.place, each.what) for each in trial.unexpected]
        show_table("not what sends says", ("path", "value", "sends", "what is wrong"), rows)


def _show_received(trial: Trial, clients: Sequence[Client]) -> None:
    if not clients:
        return
    click.echo()
    received = [
        (_named(client), client.path, ", ".join(sorted(client.groups)) or "-", text)
        for client in clients
        for text in trial.received(client.id) or ["-"]
    ]
    show_table("who receives what", ("client", "path", "groups", "receives"), received)


def _named(client: Client) -> str:
    """Return how a client was named: ``phone``, or of a user ``phone@ann``."""
    return client.id if client.user is None else f"{client.id}@{client.user}"


def _values(step: Taken) -> str:
    values = step.values
    if step.name == "set":
        values = {".".join(map(str, parts)): value for parts, value in values}
    return as_json(values)


def _outcome(step: Taken) -> str:
    if isinstance(step.outcome, Receipt):
        matched = step.outcome.matched
        return f"reaches {matched} client{'' if matched == 1 else 's'}"
    return "" if step.outcome is None else str(step.outcome)
