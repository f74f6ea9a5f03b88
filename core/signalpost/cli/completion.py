"""Shell completion: the script for a shell, and what it proposes besides commands and options.

Proposals come from the text of routes.yaml alone: no plugin is imported, and nothing is checked. A file that cannot be
read proposes nothing, since a line of the shell is no place for its problems.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from signalpost.cli.appfile import AppFile
from signalpost.errors import OperatorError

SHELLS = ("bash", "zsh", "fish")
_PARAMETER = re.compile(r"<([^:>]+)(:int)?(?::[^>]*)?>")


def shell_of(environment: dict[str, str]) -> str:
    """Return the shell of a user.

    Raises:
        OperatorError: it is unknown, or none that can be served.
    """
    name = Path(environment.get("SHELL", "")).name
    if name not in SHELLS:
        raise OperatorError(f"which shell? say {', '.join(SHELLS[:-1])} or {SHELLS[-1]}")
    return name


def script(shell: str, group: click.Command, program: str) -> str:
    """Return the script that a shell reads at its start."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows all of `SHELLS`
    return kind(group, {}, program, f"_{program.upper()}_COMPLETE").source()


def paths(ctx: click.Context, what: Iterable[str]) -> Iterator[CompletionItem]:
    """Yield paths of the file that a command line names, as a client may ask for them.

    Args:
        ctx: of the command line.
        what: ``signals``, ``routes`` or both.
    """
    app = _app(ctx)
    for section in what:
        for item in app.items(section):
            path = item.get("path")
            if isinstance(path, str):
                yield CompletionItem(_PARAMETER.sub(_instance, path), help=f"{section.removesuffix('s')} {path}")


def _instance(parameter: re.Match[str]) -> str:
    """Return a value for a parameter: its name, or 1. Angle brackets would be redirections to a shell."""
    return "1" if parameter[2] else parameter[1]


def people(ctx: click.Context) -> Iterator[CompletionItem]:
    """Yield the imagined people of the file."""
    yield CompletionItem("guest", help="who says nothing of themselves")
    yield from map(CompletionItem, _app(ctx).people())


def names(ctx: click.Context, *sections: str) -> Iterator[CompletionItem]:
    """Yield the names of endpoints, timers, schedules and the like."""
    for section in sections:
        for item in _app(ctx).items(section):
            if isinstance(name := item.get("name"), str):
                yield CompletionItem(name, help=section.removesuffix("s"))


def starters_of(_ctx: click.Context) -> Iterator[CompletionItem]:
    """Yield what `signalpost new` can begin with."""
    from signalpost.cli.new import starters

    yield from (CompletionItem(name, help=what) for name, what in starters().items())


def _app(ctx: click.Context) -> AppFile:
    return AppFile.read(ctx.params.get("file") or "routes.yaml")
