"""Finds plugins and loads them into a registry: installed packages first, then the drop-in folder.

Nothing here stops at the first problem. A plugin that does not load is an error in `Registry.errors`, and the others
are still loaded, so that all problems are reported at once.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from types import ModuleType

from signalpost.config.model import PluginsConfig
from signalpost.errors import PluginError
from signalpost.foreign import interruptible
from signalpost.plugins.assembly import assemble
from signalpost.plugins.dropins import DropIn, DropInPackage, find_dropins
from signalpost.plugins.entries import installed_entries, package_name, package_version
from signalpost.plugins.loaded import Loaded
from signalpost.plugins.problems import problem_of
from signalpost.plugins.registry import Registry
from signalpost.plugins.trust import Exposed, Trust, is_root, owner_of

GROUP = "signalpost"
"""The entry point group in which an installed package names its plugins."""

NO_VERSION = "-"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plugin that exists, whether it will be loaded or not.

    Attributes:
        source: its origin, for people.
        home: the files of the plugin, to find a faulty line.
        origin: the entry point or the drop-in.
        package: the distribution that an entry point belongs to; empty for a drop-in.
    """

    name: str
    source: str
    home: Path
    origin: EntryPoint | DropIn
    package: str = ""


def load_plugins(
    config: PluginsConfig, installed: Sequence[EntryPoint] | None = None, before: Registry | None = None
) -> Registry:
    """Find, import and check all plugins that `config` allows.

    New and changed plugins are imported again from the drop-in folder, so that an edited file applies at once;
    `Registry.unload` removes them again. Unknown names in `enable`, `disable`, `installed` and `settings` are not
    reported here, but checked against `Registry.found` and `Registry.packages` by code that knows their places.

    Args:
        config: the folder, and which plugins to load; `disable` takes precedence. Plugins that are not loaded are not
            imported.
        installed: the entry points to consider; by default those of the running Python.
        before: the current plugins; unchanged ones are neither imported nor queried again.
    """
    loading = Loading(config, installed, before)
    for step in loading.steps():
        step()
    return loading.registry()


class Loading:
    """The loading of one plan's plugins into a registry; the arguments are those of `load_plugins`.

    Creating one reads files, and runs no plugins' code. `steps` and `registry` do, so they must run in the plugins'
    thread: objects that plugins create are often bound to it.
    """

    def __init__(
        self, config: PluginsConfig, installed: Sequence[EntryPoint] | None = None, before: Registry | None = None
    ) -> None:
        self._errors: list[PluginError] = []
        self._notes: list[str] = []
        entries = sorted(installed_entries(GROUP, self._notes), key=_entry_order) if installed is None else installed
        self._candidates = [*map(_of_entry, entries), *map(_of_dropin, find_dropins(config.folder))]
        self._package = DropInPackage(config.folder, _guard(config.folder, self._notes))
        self._loaded: list[Loaded] = []
        self._chosen = list(_distinct(_chosen(self._candidates, config), self._errors))
        self._kept = dict(_unchanged(self._chosen, config, before)) if before is not None else {}
        self._before = before

    def steps(self) -> Iterator[Callable[[], None]]:
        """Yield once for each plugin to load; those that are kept first, as others may import from them."""
        self._package.open()
        for candidate in sorted(self._chosen, key=lambda each: each.name not in self._kept):
            yield partial(self._step, candidate)

    def _step(self, candidate: _Candidate) -> None:
        try:
            kept = self._kept.get(candidate.name)
            self._loaded.append(_load(candidate, self._package, self._notes) if kept is None else self._keep(kept))
        except PluginError as error:
            self._errors.append(error)

    def _keep(self, kept: Loaded) -> Loaded:
        before = None if self._before is None else self._before.package
        if not kept.package and before is not None:
            self._package.keep(before, kept.name)
        return kept

    def registry(self) -> Registry:
        """Return the registry, once all steps are done."""
        order = [candidate.name for candidate in self._chosen]
        loaded = sorted(self._loaded, key=lambda each: order.index(each.name))
        return assemble(
            [replace(each, digest=self._digest(each)) for each in loaded],
            found=tuple(dict.fromkeys(candidate.name for candidate in self._candidates)),
            packages=tuple(dict.fromkeys(each.package for each in self._candidates if each.package)),
            errors=self._errors,
            notes=self._notes,
            package=self._package,
        )

    def _digest(self, loaded: Loaded) -> str:
        """Return a plugin's digest: for a kept plugin the earlier one, whatever it has imported since.

        A plugin that is imported again because of later imports has a different digest.
        """
        if loaded.name in self._kept:
            return loaded.digest
        digest = self._package.digest(loaded.module)
        before = () if self._before is None else self._before.loaded
        return f"{digest}+" if digest and digest in {each.digest for each in before} else digest

    def give_up(self) -> None:
        """Remove what was imported."""
        self._package.close()


def _unchanged(
    candidates: Iterable[_Candidate], config: PluginsConfig, before: Registry
) -> Iterator[tuple[str, Loaded]]:
    """Yield the unchanged plugins of before, by name. An installed package is imported once, so it is unchanged."""
    known = {each.name: each for each in before.loaded}
    for candidate in candidates:
        loaded = known.get(candidate.name)
        if loaded is None or (loaded.package, loaded.source) != (candidate.package, candidate.source):
            continue
        if isinstance(candidate.origin, EntryPoint):
            if loaded.module.__name__ == _module_of(candidate.origin):
                yield candidate.name, loaded
        elif (
            before.package is not None
            and before.package.folder == config.folder
            and before.package.is_unchanged(candidate.name)
        ):
            yield candidate.name, loaded


def _chosen(candidates: Sequence[_Candidate], config: PluginsConfig) -> list[_Candidate]:
    """Return the candidates to load, before any of them is imported."""
    names = {candidate.name for candidate in candidates}

    def named(candidate: _Candidate, given: Sequence[str]) -> bool:
        # A name is that of a plugin, if there is one; else of a package.
        return candidate.name in given or (
            bool(candidate.package)
            and normalized(candidate.package) in {normalized(name) for name in given if name not in names}
        )

    return [
        each
        for each in candidates
        if not named(each, config.disable)
        and (config.enable is None or named(each, config.enable))
        and (config.installed is None or isinstance(each.origin, DropIn) or named(each, config.installed))
    ]


def normalized(package: str) -> str:
    """Return the canonical spelling of a distribution's name, as in PyPA's "Names and normalization"."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _guard(folder: Path, notes: list[str]) -> Callable[[Path], None]:
    """Return the check that runs before a file of the drop-in folder is read as code."""
    trust = Trust(owner_of(folder.parent))

    def guard(file: Path) -> None:
        _refuse_exposed(file.name, str(file), [*trust.exposed(folder), *trust.exposed(file)], notes)

    return guard


def _refuse_exposed(plugin: str, source: str, found: Iterable[Exposed], notes: list[str]) -> None:
    """Note by what other users may change a plugin; as root, such a plugin is not loaded.

    Raises:
        PluginError: the server runs as root.
    """
    for exposed in found:
        if is_root():
            text = f"{exposed.text}; a server that runs as root does not load it"
            raise PluginError(plugin, source, text)
        note = f"{exposed.text}; a server that runs as root would not load it"
        if note not in notes:
            notes.append(note)


def _entry_order(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, entry.value


def _of_entry(entry: EntryPoint) -> _Candidate:
    package = package_name(entry.dist) if entry.dist else ""
    source = f"{package} {package_version(entry.dist)}" if entry.dist else f"entry point {entry.value}"
    return _Candidate(entry.name, source, _home_of(_module_of(entry)), entry, package or entry.value)


def _module_of(entry: EntryPoint) -> str:
    """Return the module that an entry point names; nothing if the name is invalid."""
    match = EntryPoint.pattern.match(entry.value)
    return match.group("module") if match else ""


def _of_dropin(dropin: DropIn) -> _Candidate:
    return _Candidate(dropin.name, str(dropin.file), _folder_of(dropin), dropin)


def _home_of(module: str) -> Path:
    """Return the folder of the top-level package that holds `module`, or the file of a lone module."""
    try:
        spec = find_spec(module.partition(".")[0])
    except ValueError:  # not the name of a module, or of a module created by hand
        spec = None
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin if spec and spec.origin else module)


def _folder_of(dropin: DropIn) -> Path:
    """Return the drop-in folder: its helpers count as inside the plugin."""
    return dropin.file.parents[1] if dropin.file.name == "__init__.py" else dropin.file.parent


def _distinct(candidates: Sequence[_Candidate], errors: list[PluginError]) -> Iterator[_Candidate]:
    """Yield the first candidate of each name; for the others, add errors that name both."""
    first: dict[str, _Candidate] = {}
    for candidate in candidates:
        other = first.setdefault(candidate.name, candidate)
        if other is candidate:
            yield candidate
        else:
            text = f'the plugin name "{candidate.name}" is taken by {other.source}; rename one of the two'
            errors.append(PluginError(candidate.name, candidate.source, text))


def _load(candidate: _Candidate, package: DropInPackage, notes: list[str]) -> Loaded:
    """Import a plugin.

    Raises:
        PluginError: it does not import; with the plugin's file and line.
    """
    origin = candidate.origin
    if isinstance(origin, EntryPoint):
        _check_entry(candidate, origin, notes)
    elif "." in origin.name:
        raise PluginError(candidate.name, candidate.source, "a plugin's file has no dot in its name but that of .py")
    elif not _is_text(origin.name):
        raise PluginError(candidate.name, candidate.source, "a plugin's file has a name that is UTF-8: rename it")
    elif text := _no_file(origin.file):
        raise PluginError(candidate.name, candidate.source, text)
    with interruptible() as is_interrupted:
        try:
            if isinstance(origin, EntryPoint):
                module = importlib.import_module(_module_of(origin))
                version = package_version(origin.dist) if origin.dist else NO_VERSION
            else:
                module = package.import_module(origin.name)
                version = _own_version(module)
        except BaseException as error:  # a plugin may raise anything, which must not end the loading
            if is_interrupted():
                raise
            file = origin.file if isinstance(origin, DropIn) else None
            raise problem_of(candidate.name, error, candidate.home, during="does not import", file=file) from None
    return Loaded(candidate.name, version, candidate.source, candidate.home, module, package=candidate.package)


def _is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8: the system returns other names with lone surrogates."""
    return name.isprintable() or not any("\ud800" <= char <= "\udfff" for char in name)


def _no_file(file: Path) -> str:
    """Return why something with the name of a plugin's file is not one; nothing if it is one."""
    if file.is_file():
        return ""
    if file.is_dir():
        return "this is a folder: a plugin that is one has a name without .py, and an __init__.py in it"
    return "this link leads nowhere" if file.is_symlink() else "this is no file that can be imported"


def _check_entry(candidate: _Candidate, entry: EntryPoint, notes: list[str]) -> None:
    """Check what an installed package names, and who may change it, before it is imported.

    Raises:
        PluginError: it must not be imported.
    """
    module = _module_of(entry)
    if not module:
        text = f'its entry point names "{entry.value}", which is no module'
        raise PluginError(candidate.name, candidate.source, text)
    if module != entry.value:
        text = f'its entry point names "{entry.value}"; name the module alone: "{module}"'
        raise PluginError(candidate.name, candidate.source, text)
    trust = Trust(owner_of(candidate.home.parent))
    found = trust.exposed_tree(candidate.home) if candidate.home.is_dir() else _of_lone(candidate.home, trust)
    _refuse_exposed(candidate.name, candidate.source, found, notes)


def _of_lone(file: Path, trust: Trust) -> Iterator[Exposed]:
    yield from trust.exposed(file)
    if file.suffix == ".py":
        yield from trust.exposed(Path(cache_from_source(str(file))))


def _own_version(module: ModuleType) -> str:
    version = getattr(module, "__version__", None)
    return version if isinstance(version, str) and version else NO_VERSION
