"""Loads the plan for a command."""

from contextlib import nullcontext

from signalpost.cli.secrets import hide
from signalpost.cli.streams import plugins_print_to_stderr
from signalpost.config.endpoints import Listening
from signalpost.plan import Plan, load_plan


def load(file: str, listening: Listening | None = None, *, apart: bool = True, proofs: bool = True) -> Plan:
    """Load a plan for the running command, and hide its secrets from now on.

    Args:
        file: a routes.yaml.
        listening: replaces the addresses of the file.
        apart: whether plugins print to stderr, since the command uses stdout.
        proofs: whether those of ``auth`` must hold. Commands that show why one does not hold go on without.

    Raises:
        ConfigError: as `signalpost.plan.load_plan`.
        OperatorError: it cannot listen there.
    """
    with plugins_print_to_stderr() if apart else nullcontext():
        plan = load_plan(file, listening=listening, proofs=proofs)
    hide(plan.config.source)
    return plan
