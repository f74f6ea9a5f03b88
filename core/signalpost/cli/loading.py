"""From a file's name to its plan, or to every problem on the terminal."""

import sys

import click

from signalpost.cli.terminal import wants_colour
from signalpost.config import render_problems
from signalpost.errors import ConfigError
from signalpost.plan import Plan, load_plan


def plan_or_exit(file: str) -> Plan:
    """Load a plan; show its problems and exit with 1 if there are any."""
    try:
        return load_plan(file)
    except ConfigError as error:
        click.echo(render_problems(error.problems, colour=wants_colour(sys.stderr)), err=True)
        sys.exit(1)
