"""From a file's name to its plan, or to every problem on the terminal."""

import sys

import click

from signalpost.cli.terminal import wants_colour
from signalpost.config import load_config, render_problems
from signalpost.errors import ConfigError
from signalpost.plan import Plan, build_plan
from signalpost.plugins.discovery import load_plugins


def load_plan(file: str) -> Plan:
    """Read a routes.yaml and its plugins: all that comes before `Server.start`.

    Raises:
        ConfigError: with every problem.

    """
    config = load_config(file)
    return build_plan(config, load_plugins(config.plugins))


def plan_or_exit(file: str) -> Plan:
    """Load a plan; show its problems and exit with 1 if there are any."""
    try:
        return load_plan(file)
    except ConfigError as error:
        click.echo(render_problems(error.problems, colour=wants_colour(sys.stderr)), err=True)
        sys.exit(1)
