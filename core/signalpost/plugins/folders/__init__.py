"""Where the modules of drop-in folders have their names: ``signalpost.plugins.folders.f5f0c31d2.clock``.

The number is that of the folder's path, so a name is the same after a restart, and what was pickled under it is read.
A package of signalpost's own can be imported in any process: so a process pool that is spawned finds a plugin's
functions, by the environment variable that says where the folder is.

A plan whose folder another plan in this process has open gets a name of its own, ``f5f0c31d2_2`` (a reload, mostly).
That is one name more for the same modules: what is asked for by one that nobody has is looked for in a plan that is
open.
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
    """Return a name that no plan has for the package of a folder, and let processes that are spawned know it."""
    number = "f" + hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    os.environ[_VARIABLE + number] = str(folder)
    name, count = PREFIX + number, 1
    while name in sys.modules:
        count += 1
        name = f"{PREFIX}{number}_{count}"
    return name


def below(name: str) -> str:
    """Return the name of a module below its folder's package: ``chess.moves``; empty if it is no drop-in's."""
    match = _NAME.fullmatch(name)
    return "" if match is None else match["below"].removeprefix(".")


def open_package(name: str) -> str:
    """Return the name of a package that a plan has open for the folder of a module; empty if there is none."""
    match = _NAME.fullmatch(name)
    base = PREFIX + match["folder"] if match else ""
    for each in [each for each in sys.modules if base and each.startswith(base)]:
        if getattr(sys.modules.get(each), "is_open", False) and sys.modules[each].__name__ == each:
            return each
    return ""


class _Other(Loader):
    """Gives a module that is there under another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> None:  # noqa: ARG002
        """Leave it to importlib to make one, which is thrown away: it would write its spec upon what is returned."""
        return

    def exec_module(self, module: ModuleType) -> None:
        """Put the module under this name, too; importlib looks there for what it returns."""
        assert module.__spec__ is not None  # noqa: S101 - importlib has written it
        sys.modules[module.__spec__.name] = importlib.import_module(self._name)


class _Source(SourceFileLoader):
    """Compiles the source as it is, and leaves no compiled file behind."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Finder(MetaPathFinder):
    """Finds what no plan in this process has under that name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the module stands, or None to let other finders try (`importlib.abc.MetaPathFinder`)."""
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
    """Look for a module in a process that has loaded no plan."""
    for folder in path or ():
        spec = FileFinder(folder, (_Source, SOURCE_SUFFIXES)).find_spec(fullname, target)
        if spec is not None:
            return spec
    return None


# First: Python's own would leave compiled files beside the plugins, and these plans' own finders come before.
sys.meta_path.insert(0, _Finder())
