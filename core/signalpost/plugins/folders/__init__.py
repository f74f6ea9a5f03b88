"""The namespace of the modules of drop-in folders: ``signalpost.plugins.folders.f5f0c31d2.clock``.

The number is derived from the folder's path, so a name is the same after a restart, and pickled references to it stay
valid. This package can be imported in any process: so a spawned process pool finds a plugin's functions, with the
environment variable that contains the folder.

If another plan in this process has the folder open (usually during a reload), a plan has a separate name,
``f5f0c31d2_2``. That is another name for the same modules: an unknown name is resolved in a plan that is open.
"""

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

PREFIX = f"{__name__}."
DEPTH = PREFIX.count(".") + 1
"""Parts of the name of a folder's package."""

_NAME = re.compile(rf"{re.escape(PREFIX)}(?P<folder>f[0-9a-f]{{8}})(?P<number>_\d+)?(?P<below>(\.\w+)*)")
_VARIABLE = "SIGNALPOST_PLUGINS_"


def name_for(folder: Path) -> str:
    """Return an unused name for the package of a folder, and publish it to spawned processes."""
    number = "f" + hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    os.environ[_VARIABLE + number] = str(folder)
    name, count = PREFIX + number, 1
    while name in sys.modules:
        count += 1
        name = f"{PREFIX}{number}_{count}"
    return name


def below(name: str) -> str:
    """Return the name of a module below its folder's package: ``chess.moves``; empty if it is not a drop-in's."""
    match = _NAME.fullmatch(name)
    return "" if match is None else match["below"].removeprefix(".")


def open_package(name: str) -> str:
    """Return the name of an open package for the folder of a module; empty if there is none."""
    match = _NAME.fullmatch(name)
    base = PREFIX + match["folder"] if match else ""
    for each in [each for each in sys.modules if base and each.startswith(base)]:
        if getattr(sys.modules.get(each), "is_open", False) and sys.modules[each].__name__ == each:
            return each
    return ""


class _Other(Loader):
    """Loads a module that exists under another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> None:  # noqa: ARG002
        """Return None: importlib creates a module to discard, as it would overwrite the spec of an existing one."""
        return

    def exec_module(self, module: ModuleType) -> None:
        """Store the module under this name, too; importlib returns what it finds there."""
        assert module.__spec__ is not None  # noqa: S101 - importlib has written it
        sys.modules[module.__spec__.name] = importlib.import_module(self._name)


class _Source(SourceFileLoader):
    """Compiles the source as it is, without a compiled file."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Finder(MetaPathFinder):
    """Finds modules whose name no plan in this process has."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the module, or None to try other finders (`importlib.abc.MetaPathFinder`)."""
        match = _NAME.fullmatch(fullname)
        if match is None:
            return None
        base = PREFIX + match["folder"]
        package = sys.modules.get(base + (match["number"] or ""))
        if package is not None and package.__name__ != base + (match["number"] or ""):
            package = None
        if package is not None and getattr(package, "is_open", False):
            return None
        if other := open_package(fullname):
            return ModuleSpec(fullname, _Other(other + match["below"]), is_package=not match["below"])
        if package is not None:
            return _found(fullname, path, target)
        folder = os.environ.get(_VARIABLE + match["folder"])
        if folder is None or match["below"]:
            return None
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [folder]
        return spec


def _found(fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """Return a module in a process that has loaded no plan."""
    for folder in path or ():
        spec = FileFinder(folder, (_Source, SOURCE_SUFFIXES)).find_spec(fullname, target)
        if spec is not None:
            return spec
    return None


# First: Python's own finder would write compiled files beside the plugins, and the finders of plans come before.
sys.meta_path.insert(0, _Finder())
