"""The built-in actions, by name: each module here declares one, its ``ACTION``, and has its name."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from signalpost.actions.declaration import BuiltIn
from signalpost.config.schema.definition import Part, compose_schema

# The order in the documentation; others follow by name.
_FIRST = ("broadcast", "reply", "respond", "close", "log", "set", "append", "let", "wait", "join", "leave", "call")


def _found() -> dict[str, BuiltIn]:
    names = {module.name for module in iter_modules(__path__)}
    ordered = (*_FIRST, *sorted(names.difference(_FIRST)))
    return {name: import_module(f"{__name__}.{name}").ACTION for name in ordered}


BUILT_IN = _found()

CHANGING = frozenset(name for name, action in BUILT_IN.items() if action.changes)


def routes_schema(
    actions: Mapping[str, Part] | None = None, settings: Mapping[str, Part] | None = None
) -> dict[str, Any]:
    """Return a fresh copy of the schema of routes.yaml; see `compose_schema`."""
    return compose_schema({name: each.schema for name, each in BUILT_IN.items()}, actions, settings)


def taken_names() -> frozenset[str]:
    """Return the names of steps, and of the keys beside them, that no plugin's action may have."""
    return frozenset(routes_schema()["$defs"]["step"]["properties"])
