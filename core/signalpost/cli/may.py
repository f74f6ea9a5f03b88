"""``signalpost routes --may``: who may do what, as a table of people."""

import click

from signalpost.cli.output import show_table
from signalpost.plan import Plan
from signalpost.plan.matrix import matrix
from signalpost.plan.rulings import Ruling

_WORDS = {True: "yes", False: "no", None: "?"}
_NOBODY = (
    "There is nobody but the guest to ask for: imagine people in auth, as in people: {ann: {roles: [editor]}}, and "
    "each has a column here."
)


def show_may(plan: Plan) -> None:
    """Print what each imagined person may do at each path, and what cannot be proved."""
    rows: list[tuple[str, ...]] = []
    unproved: dict[str, dict[tuple[str, str], list[str]]] = {}
    people: list[str] = []
    for row in matrix(plan):
        people = list(row.rulings)
        what = " ".join(row.methods) or row.verb.value
        rows.append((what, row.path, *(_cell(found) for found in row.rulings.values())))
        for name, found in row.rulings.items():
            for each in found:
                if each.answer is None:
                    unproved.setdefault(each.why, {}).setdefault((what, row.path), []).append(name)
    show_table("who may", ("what", "path", *people), rows)
    for why, asked in unproved.items():
        (what, path), names = next(iter(asked.items()))
        click.echo(f"?  {', '.join(dict.fromkeys(names))}: {what} {path}: {why}")
    if len(people) == 1:
        click.echo(_NOBODY)


def _cell(found: tuple[Ruling, ...]) -> str:
    return "/".join(dict.fromkeys(_WORDS[each.answer] for each in found))
