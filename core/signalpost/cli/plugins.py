"""``signalpost plugins``: what each plugin offers, and what uses it, as a table."""

from collections.abc import Iterator, Sequence

import click

from signalpost.cli.output import show_notes, show_table
from signalpost.cli.wording import shown_file
from signalpost.plan import Plan
from signalpost.plugins.registry import Plugin

_NONE = "-"


def show_plugins(plan: Plan) -> None:
    """Print each plugin with name, version, source, hooks, and what it offers with where each is used."""
    if not plan.registry.plugins:
        click.echo(f"no plugins in {plan.config.plugins.folder.name}/, and none installed")
        return
    rows: list[Sequence[str]] = []
    for plugin in plan.registry.plugins:
        cells = [plugin.name, plugin.version, shown_file(plan, plugin.origin), ", ".join(plugin.hooks) or _NONE]
        for offer in list(_offers(plan, plugin)) or [(_NONE, _NONE, _NONE)]:
            rows.append([*cells, *offer])
            cells = [""] * len(cells)
    show_table("", ("plugin", "version", "source", "hooks", "offers", "name", "used by"), rows)
    show_notes(plan.plugin_notes)


def _offers(plan: Plan, plugin: Plugin) -> Iterator[tuple[str, str, str]]:
    """Yield what a plugin offers: its kind, its name, and its uses, if known."""
    for name in plugin.handlers:
        yield "handler", name, ", ".join(plan.bound_to(name)) or "nothing"
    for name in plugin.actions:
        yield "action", name, ", ".join(plan.taken_by(name)) or "nothing"
    for kind, names in (("template name", plugin.template_globals), ("filter", plugin.template_filters)):
        for name in names:
            yield kind, name, _NONE
