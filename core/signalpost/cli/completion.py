"""Shell completion: the script for a shell, and what it proposes besides commands and options.

Proposals come from the text of routes.yaml alone: no plugin is imported, and nothing is checked. A file that cannot be
read proposes nothing, since a line of the shell is no place for its problems.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from signalpost.errors import ConfigError, OperatorError

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
        for item in _mappings(app.get(section)):
            path = item.get("path")
            if isinstance(path, str):
                yield CompletionItem(_PARAMETER.sub(_instance, path), help=f"{section.removesuffix('s')} {path}")


def _instance(parameter: re.Match[str]) -> str:
    """Return a value for a parameter: its name, or 1. Angle brackets would be redirections to a shell."""
    return "1" if parameter[2] else parameter[1]


def people(ctx: click.Context) -> Iterator[CompletionItem]:
    """Yield the imagined people of the file."""
    yield CompletionItem("guest", help="who says nothing of themselves")
    auth = _app(ctx).get("auth")
    known = auth.get("people") if isinstance(auth, dict) else None
    if isinstance(known, dict):
        yield from (CompletionItem(str(name)) for name in known)


def names(ctx: click.Context, *sections: str) -> Iterator[CompletionItem]:
    """Yield the names of endpoints, timers, schedules and the like."""
    for section in sections:
        for item in _mappings(_app(ctx).get(section)):
            if isinstance(name := item.get("name"), str):
                yield CompletionItem(name, help=section.removesuffix("s"))


def starters_of(_ctx: click.Context) -> Iterator[CompletionItem]:
    """Yield what `signalpost new` can begin with."""
    from signalpost.cli.new import starters

    yield from (CompletionItem(name, help=what) for name, what in starters().items())


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _app(ctx: click.Context) -> dict[str, Any]:
    """Return what the file says; nothing if it cannot be read."""
    from signalpost.yaml.disk import read_text
    from signalpost.yaml.nodes import plain
    from signalpost.yaml.surroundings import Surroundings
    from signalpost.yaml.tree import read_tree

    file = Path(ctx.params.get("file") or "routes.yaml")
    outside = Surroundings(file.absolute().parent, str(file), os.environ)
    try:
        root = read_tree(read_text(file, str(file)).removeprefix("\ufeff"), str(file), outside).root
    except (ConfigError, OSError):
        return {}
    data = None if root is None else plain(root)
    return data if isinstance(data, dict) else {}
