"""The group of commands: one place where mistakes become lines on the terminal and an exit code."""

import difflib
import sys
from typing import Any

import click

from signalpost.cli.hiding import hiding
from signalpost.cli.terminal import wants_colour
from signalpost.config.render import render_problems
from signalpost.errors import ConfigError, OperatorError, PluginError


class Commands(click.Group):
    """Commands whose `OperatorError` or `PluginError` is one line on stderr, with no traceback; the exit code is 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with hiding(ctx):
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(render_problems(error.problems, colour=wants_colour(sys.stderr)), err=True)
        except (OperatorError, PluginError) as error:
            click.echo(f"signalpost: {error}", err=True)
        return ctx.exit(1)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which was probably meant, and which there are."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = difflib.get_close_matches(name, self.commands, n=1)
            meant = f'; did you mean "{close[0]}"?' if close else ""
            ctx.fail(f'no command "{name}"{meant} (known: {", ".join(self.list_commands(ctx))})')
        return super().resolve_command(ctx, args)
