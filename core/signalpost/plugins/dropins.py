"""Imports the files of a drop-in folder, afresh for every plan.

The folder becomes a package of its own for the time of one plan, under a name that nothing else has::

    plugins/clock.py             signalpost_plugins_5f0c31d2.clock
    plugins/chess/__init__.py    signalpost_plugins_5f0c31d2.chess
    plugins/_rooms.py            signalpost_plugins_5f0c31d2._rooms      from ._rooms import join

So two servers in one process, or two plans of one server, never share or overwrite a module, relative imports find
helpers, and a dataclass finds its module in `sys.modules` while that is still being executed. A compiled file
(``__pycache__``) is neither read nor written: its freshness is judged by seconds and size, too coarse for a reload
right after an edit.
"""

import hashlib
import importlib
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from signalpost.config.presence import is_folder

Guard = Callable[[Path], None]

PACKAGE_PREFIX = "signalpost_plugins_"


@dataclass(frozen=True, slots=True)
class DropIn:
    """A plugin found in the folder, not yet imported.

    Attributes:
        name: the file's name without ``.py``, or the name of the folder that holds the ``__init__.py``.
        file: of the module.

    """

    name: str
    file: Path


def find_dropins(folder: Path) -> tuple[DropIn, ...]:
    """Return the plugins of a folder, by name; none if there is no such folder.

    Names that start with ``_`` are helpers, those that start with ``.`` belong to editors.
    """
    if not is_folder(folder):
        return ()
    found = [DropIn(file.stem, file) for file in folder.glob("*.py")]
    found += [DropIn(file.parent.name, file) for file in folder.glob("*/__init__.py")]
    return tuple(sorted((each for each in found if each.name[0] not in "_."), key=lambda each: (each.name, each.file)))


class DropInPackage:
    """The modules of one folder for one plan.

    Attributes:
        name: of the package that stands for the folder in `sys.modules`.
        folder: absolute.

    Args:
        folder: the folder.
        guard: called with each file before it is read; what it raises keeps the file from being imported.

    """

    def __init__(self, folder: Path, guard: Guard) -> None:
        self.folder = folder
        self.name = PACKAGE_PREFIX + uuid.uuid4().hex[:8]
        self._finder = _Finder(self.name + ".", guard)

    def open(self) -> None:
        """Make the folder importable."""
        package = ModuleType(self.name, "The drop-in folder of one plan.")
        package.__path__ = [str(self.folder)]
        sys.modules[self.name] = package
        sys.meta_path.insert(0, self._finder)

    def import_module(self, name: str) -> ModuleType:
        """Import a plugin; whatever its code raises comes through."""
        return importlib.import_module(f"{self.name}.{name}")

    def digest(self, module: ModuleType) -> str:
        """Give a digest of a plugin's source and of the helpers that have been imported; empty if it is not from here.

        Helpers are everybody's: nothing tells which plugin uses which.
        """
        home = module.__name__
        if not home.startswith(self.name + "."):
            return ""
        helpers = self.name + "._"
        parts = sorted(each for each in sys.modules if each == home or each.startswith((home + ".", helpers)))
        found = hashlib.sha256()
        for part in parts:
            found.update(
                f"{part.removeprefix(self.name)}\0{_source_digest(sys.modules[part])}\0".encode(errors="surrogatepass")
            )
        return found.hexdigest()

    def close(self) -> None:
        """Forget every module of the folder. Functions that are still running keep what they refer to."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        for module in [each for each in sys.modules if each == self.name or each.startswith(self.name + ".")]:
            del sys.modules[module]


def _source_digest(module: ModuleType) -> str:
    loader = getattr(module.__spec__, "loader", None)
    return loader.digest if isinstance(loader, _FreshLoader) else ""


class _Finder(MetaPathFinder):
    """Finds the modules below one package, always by looking into the folder as it is now."""

    def __init__(self, prefix: str, guard: Guard) -> None:
        self._prefix = prefix
        self._guard = guard

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the module stands, or None to let other finders try (`importlib.abc.MetaPathFinder`)."""
        if not fullname.startswith(self._prefix):
            return None
        for folder in path or ():
            # A new FileFinder each time: a kept one trusts the folder's time stamp and misses a file just written.
            spec = FileFinder(folder, (_FreshLoader, SOURCE_SUFFIXES)).find_spec(fullname, target)
            if spec is not None:
                if isinstance(spec.loader, _FreshLoader):
                    spec.loader.guard = self._guard
                return spec
        return None


class _FreshLoader(SourceFileLoader):
    """Compiles the source as it is now.

    Attributes:
        digest: of the source that was compiled.
        guard: called with the file before it is read.

    """

    digest = ""
    guard: Guard

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        self.guard(Path(path))
        source = self.get_data(path)
        self.digest = hashlib.sha256(source).hexdigest()
        code: CodeType = self.source_to_code(source, path)
        return code
