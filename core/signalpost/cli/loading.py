"""Loads the plan that a command is about."""

from contextlib import nullcontext

from signalpost.cli.secrets import hide
from signalpost.cli.streams import plugins_print_to_stderr
from signalpost.config.endpoints import Listening
from signalpost.plan import Plan, load_plan


def load(file: str, listening: Listening | None = None, *, apart: bool = True) -> Plan:
    """Load a plan for the command that runs; its secrets are not shown from now on.

    Args:
        file: a routes.yaml.
        listening: where it is to listen instead.
        apart: whether what plugins print goes to stderr, since stdout is the command's.

    Raises:
        ConfigError: as `signalpost.plan.load_plan`.
        OperatorError: it cannot listen there.

    """
    with plugins_print_to_stderr() if apart else nullcontext():
        plan = load_plan(file, listening=listening)
    hide(plan.config.source)
    return plan
