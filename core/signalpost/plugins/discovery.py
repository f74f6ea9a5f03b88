"""Finds plugins and loads them into a registry: installed packages first, then the drop-in folder.

Nothing here stops at the first mistake. A plugin that does not load is an error in `Registry.errors`, the others are
loaded all the same, so that everything that is wrong is said at once.
"""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from signalpost.config.model import PluginsConfig
from signalpost.errors import PluginError
from signalpost.plugins.assembly import assemble
from signalpost.plugins.dropins import DropIn, DropInPackage, find_dropins
from signalpost.plugins.faults import fault
from signalpost.plugins.loaded import Loaded
from signalpost.plugins.registry import Registry

GROUP = "signalpost"
"""The entry point group in which an installed package names its plugins."""

NO_VERSION = "-"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plugin that exists, whether it is to be loaded or not.

    Attributes:
        source: for people: where it comes from.
        home: for finding the faulty line: the files of the plugin.
        origin: the entry point or the drop-in.

    """

    name: str
    source: str
    home: Path
    origin: EntryPoint | DropIn


def load_plugins(config: PluginsConfig, installed: Sequence[EntryPoint] | None = None) -> Registry:
    """Find, import and check all plugins that `config` allows.

    The drop-in folder is imported afresh at each call, so that an edited file counts at once; `Registry.unload`
    forgets it again. Names in `enable`, `disable` and `settings` that no plugin has are not judged here but against
    `Registry.found`, by whoever knows where they are written.

    Args:
        config: the folder, and which plugins to load; `disable` wins over `enable`.
        installed: the entry points to consider; those of the running Python when nothing is said.

    """
    entries = sorted(entry_points(group=GROUP), key=_entry_order) if installed is None else installed
    candidates = [*map(_of_entry, entries), *map(_of_dropin, find_dropins(config.folder))]
    errors: list[PluginError] = []
    package = DropInPackage(config.folder)
    package.open()
    loaded: list[Loaded] = []
    for candidate in _distinct(candidates, errors):
        if candidate.name in config.disable or (config.enable is not None and candidate.name not in config.enable):
            continue
        try:
            loaded.append(_load(candidate, package))
        except PluginError as error:
            errors.append(error)
    loaded = [replace(each, digest=package.digest(each.module)) for each in loaded]
    found = tuple(dict.fromkeys(candidate.name for candidate in candidates))
    return assemble(loaded, found=found, errors=errors, package=package)


def _entry_order(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, entry.value


def _of_entry(entry: EntryPoint) -> _Candidate:
    source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else f"entry point {entry.value}"
    return _Candidate(entry.name, source, _home_of(entry.module), entry)


def _of_dropin(dropin: DropIn) -> _Candidate:
    return _Candidate(dropin.name, str(dropin.file), _folder_of(dropin), dropin)


def _home_of(module: str) -> Path:
    """Return the folder of the top-level package that holds `module`, or the file of a lone module."""
    spec = find_spec(module.partition(".")[0])
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin if spec and spec.origin else module)


def _folder_of(dropin: DropIn) -> Path:
    """Return the drop-in folder: its helpers count as inside the plugin."""
    return dropin.file.parents[1] if dropin.file.name == "__init__.py" else dropin.file.parent


def _distinct(candidates: Sequence[_Candidate], errors: list[PluginError]) -> Iterator[_Candidate]:
    """Yield the first candidate of each name; the others are errors that name both."""
    first: dict[str, _Candidate] = {}
    for candidate in candidates:
        other = first.setdefault(candidate.name, candidate)
        if other is candidate:
            yield candidate
        else:
            text = f'the plugin name "{candidate.name}" is taken by {other.source}; rename one of the two'
            errors.append(PluginError(candidate.name, candidate.source, text))


def _load(candidate: _Candidate, package: DropInPackage) -> Loaded:
    """Import a plugin.

    Raises:
        PluginError: it does not import; with the plugin's file and line.

    """
    origin = candidate.origin
    if isinstance(origin, EntryPoint) and origin.attr:
        text = f'its entry point names "{origin.value}"; name the module alone: "{origin.module}"'
        raise PluginError(candidate.name, candidate.source, text)
    if isinstance(origin, DropIn) and "." in origin.name:
        raise PluginError(candidate.name, candidate.source, "a plugin's file has no dot in its name but that of .py")
    try:
        if isinstance(origin, EntryPoint):
            module = importlib.import_module(origin.module)
            version = origin.dist.version if origin.dist else NO_VERSION
        else:
            module = package.import_module(origin.name)
            version = _own_version(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything; its sys.exit() ends nothing
        raise fault(candidate.name, error, candidate.home, during="does not import") from None
    return Loaded(candidate.name, version, candidate.source, candidate.home, module)


def _own_version(module: ModuleType) -> str:
    version = getattr(module, "__version__", None)
    return version if isinstance(version, str) and version else NO_VERSION
