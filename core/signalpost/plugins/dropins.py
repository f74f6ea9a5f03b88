"""Imports the files of a drop-in folder, again for every plan, except unchanged ones.

The folder becomes a separate package for the time of one plan, under a unique name::

    plugins/clock.py             signalpost.plugins.folders.f5f0c31d2.clock
    plugins/chess/__init__.py    signalpost.plugins.folders.f5f0c31d2.chess
    plugins/_rooms.py            signalpost.plugins.folders.f5f0c31d2._rooms      from ._rooms import join

The name is the same after a restart, and in spawned processes (`signalpost.plugins.folders`). So two servers in one
process, or two plans of one server, never share or overwrite a module, relative imports find helpers, and a dataclass
finds its module in `sys.modules` while that is still being executed. A compiled file (``__pycache__``) is neither read
nor written: its freshness is judged by seconds and size, too coarse for a reload right after an edit.

An unchanged plugin, with unchanged imports from beside it, is kept by the next plan (`DropInPackage.keep`): the next
package contains the same module objects under their new names.
"""

import ast
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType

from signalpost.existence import is_folder
from signalpost.plugins.datafiles import Stamp, is_own, read_from, stamp_of
from signalpost.plugins.folders import DEPTH, PREFIX, below, name_for, open_package

Guard = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class DropIn:
    """A plugin found in the folder, not yet imported.

    Attributes:
        name: the file's name without ``.py``, or the name of the folder of the ``__init__.py``.
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
        name: of the folder's package in `sys.modules`; empty until it is open.
        folder: absolute.
        is_closed: whether it exists only for packages that have kept its modules.

    Args:
        folder: the folder.
        guard: called with each file before it is read; an exception prevents the import.
    """

    def __init__(self, folder: Path, guard: Guard) -> None:
        self.folder = folder
        self.name = ""
        self._guard = guard
        self._finder = _Finder(self, guard)
        self._lenders: set[DropInPackage] = set()
        self._users = 1  # itself, until it is closed, and packages that have kept modules of it
        self.is_closed = False
        self.importing: list[_FreshLoader] = []

    def open(self) -> None:
        """Make the folder importable."""
        self.name = name_for(self.folder)
        package = ModuleType(self.name, "The drop-in folder of one plan.")
        package.__path__ = [str(self.folder)]
        # For data files beside a single-file plugin: importlib.resources, pkgutil.get_data.
        package.__file__ = str(self.folder / "__init__.py")
        package.__spec__ = spec_from_file_location(
            self.name, package.__file__, submodule_search_locations=package.__path__
        )
        package.is_open = True  # type: ignore[attr-defined]  # for `signalpost.plugins.folders`
        sys.modules[self.name] = package
        sys.meta_path.insert(0, self._finder)

    def import_module(self, name: str) -> ModuleType:
        """Import a plugin; exceptions of its code are passed on."""
        return importlib.import_module(f"{self.name}.{name}")

    def digest(self, module: ModuleType) -> str:
        """Return a digest of a plugin's source and of its imports from beside it; empty if it is not from here."""
        if not isinstance(_loader_of(module), _FreshLoader):
            return ""
        found = hashlib.sha256()
        for part, each in sorted(self._parts(_own_name(module)).items()):
            loader = _loader_of(each)
            found.update(f".{part}\0{loader.digest if loader else ''}\0".encode(errors="surrogatepass"))
        return found.hexdigest()

    def is_unchanged(self, name: str) -> bool:
        """Return whether all files that a plugin was imported from, and those it read then, have the same content."""
        parts = self._parts(name)
        return bool(parts) and all(map(_is_unchanged, parts.values()))

    def data(self) -> frozenset[Path]:
        """Return the files, other than code, that the modules have read during their import."""
        modules = [module for name, module in list(sys.modules.items()) if name.startswith(f"{self.name}.")]
        loaders = filter(None, map(_loader_of, modules))
        return frozenset(Path(file) for loader in loaders for file in loader.data if not is_own(file))

    def keep(self, before: "DropInPackage", name: str) -> None:
        """Reuse the modules of a plugin from the package of an earlier plan.

        Raises:
            PluginError: the guard rejects one of its files now.
        """
        for part, module in before._parts(name).items():  # noqa: SLF001 - another one of its kind
            loader = _loader_of(module)
            if loader is None:
                continue
            self._guard(Path(loader.path))
            sys.modules[f"{self.name}.{part}"] = module
            if "." not in part:
                setattr(sys.modules[self.name], part, module)
            if loader.package not in self._lenders:
                self._lenders.add(loader.package)
                loader.package._users += 1  # noqa: SLF001 - likewise

    def close(self) -> None:
        """Remove every module that no later plan has kept. Functions that are still running keep what they refer to."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.name in sys.modules:
            sys.modules[self.name].is_open = False  # type: ignore[attr-defined]
        for module in [each for each in sys.modules if each.startswith(self.name + ".")]:
            if not sys.modules[module].__name__.startswith(self.name + "."):
                del sys.modules[module]
        self._release()
        for lender in self._lenders:
            lender._release()  # noqa: SLF001 - another one of its kind
        self._lenders.clear()

    def _release(self) -> None:
        self._users -= 1
        if not self.is_closed:
            return
        mine = [each for each in sys.modules if each.startswith(self.name + ".")]
        if self._users:
            kept = {
                id(module)
                for name, module in sys.modules.items()
                if name.startswith(PREFIX) and not f"{name}.".startswith(self.name + ".")
            }
            mine = [each for each in mine if id(sys.modules[each]) not in kept]
        else:
            mine.append(self.name)
            if self._finder in sys.meta_path:
                sys.meta_path.remove(self._finder)
        gone = [sys.modules.pop(each, None) for each in mine]
        ours = {id(module) for module in gone if module is not None}
        for name in [each for each in sys.modules if each.startswith(PREFIX)]:  # other names of the same module
            if id(sys.modules[name]) in ours and sys.modules[name].__name__ != name:
                del sys.modules[name]

    def _parts(self, name: str) -> dict[str, ModuleType]:
        """Return the modules of a plugin, its own and its imports, by name below the folder."""
        found: dict[str, ModuleType] = {}
        names = [name]
        while names:
            part = names.pop()
            if part in found or (module := sys.modules.get(f"{self.name}.{part}")) is None:
                continue
            found[part] = module
            if "." in part:
                names.append(part.rpartition(".")[0])
            home = f"{self.name}.{part}."
            names += [each.removeprefix(self.name + ".") for each in sys.modules if each.startswith(home)]
            if (loader := _loader_of(module)) is not None:
                names += loader.imports
        return found


def _own_name(module: ModuleType) -> str:
    return below(module.__name__)


def _loader_of(module: ModuleType) -> "_FreshLoader | None":
    loader = getattr(module.__spec__, "loader", None)
    return loader if isinstance(loader, _FreshLoader) else None


def _is_unchanged(module: ModuleType) -> bool:
    loader = _loader_of(module)
    if loader is None:
        return True
    if loader.beside != _beside(loader) or any(
        stamp_of(file) != stamp and not is_own(file) for file, stamp in loader.data.items()
    ):
        return False
    try:
        return hashlib.sha256(Path(loader.path).read_bytes()).hexdigest() == loader.digest
    except OSError:
        return False


def _beside(loader: "_FreshLoader") -> frozenset[str] | None:
    """Return the names of the modules in a package's own folder; None if it is no package, or has no folder now."""
    file = Path(loader.path)
    if file.name != "__init__.py":
        return None
    try:
        names = [each.name for each in file.parent.iterdir()]
    except OSError:
        return None
    return frozenset(name for name in names if name.endswith(SOURCE_SUFFIXES[0]) and name[0] not in ".#")


class _Finder(MetaPathFinder):
    """Finds the modules below one package, always in the current contents of the folder."""

    def __init__(self, package: DropInPackage, guard: Guard) -> None:
        self._package = package
        self._guard = guard

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the module, or None to try other finders (`importlib.abc.MetaPathFinder`)."""
        if not self._package.name or not fullname.startswith(self._package.name + "."):
            return None
        if self._package.is_closed and open_package(fullname):
            return None  # modules kept by others continue, and share their further imports with those
        for folder in path or ():
            # A new FileFinder each time: an old one trusts the folder's time stamp and misses a file just written.
            spec = FileFinder(folder, (_FreshLoader, SOURCE_SUFFIXES)).find_spec(fullname, target)
            if spec is not None:
                if isinstance(spec.loader, _FreshLoader):
                    spec.loader.guard = self._guard
                    spec.loader.package = self._package
                return spec
        return None


class _FreshLoader(SourceFileLoader):
    """Compiles the current source.

    Attributes:
        digest: of the source that was compiled.
        imports: names below the folder that the source imports from there, or may import.
        guard: called with the file before it is read.
        package: of the module.
        data: the files of the app, other than code, that the module has read during its import.
        beside: for a package, the names of the modules in its folder then: it may import any of them.
    """

    digest = ""
    data: Mapping[str, Stamp] = MappingProxyType({})
    beside: frozenset[str] | None = None
    imports: tuple[str, ...] = ()
    guard: Guard
    package: DropInPackage

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        self.guard(Path(path))
        source = self.get_data(path)
        self.digest = hashlib.sha256(source).hexdigest()
        code: CodeType = self.source_to_code(source, path)
        self.imports += tuple(_imports(source, fullname, is_package=self.is_package(fullname)))
        return code

    def exec_module(self, module: ModuleType) -> None:
        stack = self.package.importing
        if stack:  # through importlib, which its source does not show
            stack[-1].imports += (_own_name(module),)
        stack.append(self)
        self.beside = _beside(self)
        try:
            with read_from(self.package.folder.parent) as data:
                super().exec_module(module)
            self.data = data
        finally:
            stack.pop()


def _imports(source: bytes, fullname: str, *, is_package: bool) -> Iterator[str]:
    """Yield the names below the folder that a module's source imports relatively, also names that are not modules."""
    home = fullname.split(".") if is_package else fullname.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(home):
            base = [*home[: len(home) - node.level + 1], *(node.module or "").split(".")][DEPTH:]
            found = ".".join(part for part in base if part)
            yield from (
                name for name in (found, *(f"{found}.{alias.name}".lstrip(".") for alias in node.names)) if name
            )
