"""A plugin whose module was imported, before it is known what it offers."""

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from signalpost.foreign import Seat


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin whose module was imported; the fields are those of `signalpost.plugins.registry.Plugin`.

    Attributes:
        home: its file or the folder of its files, for the places of exceptions.
        package: the distribution, as in ``signalpost-departures``; empty for a drop-in.
        seat: of the plugin's instance; a reload that keeps the module keeps it, too.
        answers: results of its hooks without arguments, which are called once per module.
    """

    name: str
    version: str
    source: str
    home: Path
    module: ModuleType
    digest: str = ""
    package: str = ""
    seat: Seat = field(default_factory=Seat, compare=False, repr=False)
    answers: dict[str, list[Any]] = field(default_factory=dict, compare=False, repr=False)


def is_function(candidate: object) -> TypeGuard[Callable[..., Any]]:
    """Return whether an object of a module is a function.

    A proxy (werkzeug's LocalProxy, as Flask's ``request``) forwards the test of its class, and may raise if it has no
    object.
    """
    try:
        return inspect.isfunction(candidate)
    except BaseException:  # noqa: BLE001 - it is whatever its module wants it to be
        return False


def parts_of(module: ModuleType) -> list[ModuleType]:
    """Return a module and, for a package, its imported submodules."""
    inside = module.__name__ + "."
    return [module, *(part for name, part in list(sys.modules.items()) if name.startswith(inside))]


def own_functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the functions that a module, or for a package any module below it, defines, by name; each once.

    A function imported from another plugin belongs to that plugin.
    """
    seen: set[int] = set()
    inside = module.__name__ + "."
    for name, function in list(vars(module).items()):
        if not is_function(function) or id(function) in seen:
            continue
        home = str(function.__module__)
        if home == module.__name__ or home.startswith(inside):
            seen.add(id(function))
            yield name, function
