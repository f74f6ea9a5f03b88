"""The group of commands: one place where errors become lines on the terminal and an exit code."""

from pathlib import Path
from typing import Any

import click

from signalpost.cli.help import EXAMPLES, FIRST_STEPS, sections
from signalpost.cli.saying import say_failure
from signalpost.cli.secrets import hiding
from signalpost.errors import ConfigError, OperatorError, PluginError
from signalpost.words import nearest, suggestion

_ALIASES = {
    "run": ("serve", "server", "start", "up", "dev", "launch"),
    "new": ("init", "create", "scaffold", "generate"),
    "check": ("validate", "lint", "test", "verify", "doctor"),
    "routes": ("list", "ls", "show", "signals"),
    "plan": ("diff", "preview"),
    "explain": ("why", "match"),
    "listen": ("subscribe", "tail", "follow", "connect", "wscat"),
    "send": ("publish", "emit", "post", "push"),
    "token": ("jwt", "login", "sign", "auth"),
    "kick": ("ban", "disconnect", "close", "drop"),
    "clients": ("who", "connections", "sessions", "users"),
    "jobs": ("timers", "schedules", "cron", "crontab", "tasks"),
    "types": ("typescript", "ts", "codegen", "typegen"),
    "asyncapi": ("openapi", "spec"),
    "completion": ("completions", "autocomplete", "complete"),
    "reference": ("docs", "doc", "man", "manual"),
    "--help": ("help",),
    "--version": ("version",),
}
"""Names that other programs use for the commands."""

_MEANT = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
_INTERRUPTED = 130  # as shells report that Ctrl-C has ended a program


class Command(click.Command):
    """A command with a help that ends with its examples."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        examples = EXAMPLES.get(self.name or "", ())
        if examples:
            with formatter.section("Examples"):
                indent = " " * formatter.current_indent
                for text, what in examples:
                    formatter.write(f"{indent}# {what}\n{indent}{ctx.find_root().info_name} {text}\n")
        super().format_epilog(ctx, formatter)


class Commands(click.Group):
    """Commands whose `OperatorError` or `PluginError` is one line on stderr, with no traceback; the exit code is 1."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first steps, the commands in sections, and the options last: hardly anybody needs these."""
        with formatter.section("First steps"):
            formatter.write_dl(FIRST_STEPS)
        width = max(map(len, self.commands))
        for title, names in sections(self.list_commands(ctx)).items():
            helps = [(f"{name:<{width}}", self.commands[name].get_short_help_str(formatter.width)) for name in names]
            with formatter.section(title):
                formatter.write_dl(helps)
        click.Command.format_options(self, ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with hiding(ctx):
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, OperatorError, PluginError) as error:
            say_failure(error)
        except KeyboardInterrupt:  # before `run` handles Ctrl-C, or in a command that has nothing to finish
            return ctx.exit(_INTERRUPTED)
        return ctx.exit(1)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or report which one was probably meant, and which exist."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            meant = self._meant(name)
            ctx.fail(f'no command "{name}"{suggestion(meant)} (known: {", ".join(self.list_commands(ctx))})')
        return super().resolve_command(ctx, args)

    def _meant(self, name: str) -> str | None:
        if Path(name).suffix in (".yaml", ".yml"):
            return f"run {name}"
        return _MEANT.get(name.lower()) or nearest(name, self.commands)


class NewCommand(Command):
    """``signalpost new``, with a help that lists the starters."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each."""
        from signalpost.cli.new import starters

        super().format_epilog(ctx, formatter)
        with formatter.section("Starters"):
            formatter.write_dl(list(starters().items()))
