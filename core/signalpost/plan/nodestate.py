"""A note on the state where a backplane joins several nodes: each has its own."""

from collections.abc import Iterator

from signalpost.config.actions import all_steps
from signalpost.config.model import RouteConfig, ServerConfig, SignalConfig
from signalpost.places import Keys
from signalpost.plan.report import PlanReport
from signalpost.plan.stateways import asks

_WRITING = ("set", "append")


def note_state(config: ServerConfig, report: PlanReport) -> None:
    """Note the first place that changes the state, or else the first that reads it, if there are several nodes.

    Args:
        config: what routes.yaml says.
        report: receives the note.
    """
    if config.backplane is None:
        return
    uses = sorted(_uses(config), key=lambda use: not use[1])
    if not uses:
        return
    keys, changes = uses[0]
    does = "changes that of one node" if changes else "reads that of one node"
    more = f" (and {len(uses) - 1} more)" if uses[1:] else ""
    report.note(
        f"{config.source.place(keys)}: state is each node's own, and backplane "
        f"({config.source.place(config.backplane.keys)}) joins several: this {does}{more}; keep in a database, or in "
        "the history of a path, what all must know"
    )


def _uses(config: ServerConfig) -> Iterator[tuple[Keys, bool]]:
    """Yield where the state is used, and whether it is changed there."""
    for part in config.parts:
        lists = (part.do, part.connected, part.disconnected) if isinstance(part, SignalConfig) else (part.do,)
        for step in (step for steps in lists for step in all_steps(steps)):
            changes = step.name in _WRITING
            if changes or asks(step.options):
                yield (*step.keys, step.name), changes
        if isinstance(part, SignalConfig):
            permissions = list(part.may.values())
        else:
            permissions = [part.may] if isinstance(part, RouteConfig) and part.may is not None else []
        for choice in (choice for permission in permissions for choice in permission.choices):
            if asks(choice.expression):
                yield choice.keys, False
