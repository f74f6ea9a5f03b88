"""Makes a registry of imported plugins: checks their hooks, collects their handlers, refuses what clashes."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from signalpost.config.words import did_you_mean, listing
from signalpost.errors import PluginError
from signalpost.plugins import hookspecs
from signalpost.plugins.decorators import check_function, check_name, handlers_of, where_is
from signalpost.plugins.dropins import DropInPackage
from signalpost.plugins.faults import fault
from signalpost.plugins.handler import (
    Handler,
    HandlerKind,
    RouteBinding,
    ScheduleBinding,
    SignalBinding,
    TimerBinding,
)
from signalpost.plugins.registry import Implementation, Plugin, Registry

REGISTER = "register_handlers"

_BINDINGS: Mapping[HandlerKind, type] = {
    HandlerKind.SIGNAL: SignalBinding,
    HandlerKind.ROUTE: RouteBinding,
    HandlerKind.TIMER: TimerBinding,
    HandlerKind.SCHEDULE: ScheduleBinding,
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin whose module was imported; the fields are those of `signalpost.plugins.registry.Plugin`.

    Attributes:
        home: its file or the folder of its files, for placing what it raises.

    """

    name: str
    version: str
    source: str
    home: Path
    module: ModuleType
    digest: str = ""


def assemble(
    loaded: Sequence[Loaded],
    *,
    found: tuple[str, ...] = (),
    errors: Sequence[PluginError] = (),
    package: DropInPackage | None = None,
) -> Registry:
    """Make the registry of imported plugins.

    Args:
        loaded: in the order in which their hooks are called.
        found: names of all plugins there are; those of `loaded` when nothing is said.
        errors: what went wrong so far.
        package: what `Registry.unload` closes.

    """
    work = _Assembly(list(errors))
    for each in loaded:
        work.add(each)
    return Registry(
        plugins=tuple(work.plugins),
        handlers=work.handlers,
        implementations={hook: tuple(work.implementations(hook)) for hook in work.specs},
        found=found or tuple(each.name for each in loaded),
        errors=tuple(work.errors),
        notes=tuple(work.notes),
        _package=package,
    )


class _Assembly:
    """One registry in the making, with a pluggy manager of its own."""

    def __init__(self, errors: list[PluginError]) -> None:
        self.plugins: list[Plugin] = []
        self.handlers: dict[str, Handler] = {}
        self.errors = errors
        self.notes: list[str] = []
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.specs = {
            name: tuple(inspect.signature(function).parameters)
            for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
            if self.manager.parse_hookspec_opts(hookspecs, name) is not None
        }

    def add(self, loaded: Loaded) -> None:
        """Take a plugin in, or as much of it as is sound."""
        hooks = self._sound_hooks(loaded)
        self.manager.register(hooks, loaded.name)
        self.manager.check_pending()
        names = [handler.name for handler in self._handlers(loaded) if self._take(handler)]
        self.plugins.append(
            Plugin(
                loaded.name,
                loaded.version,
                loaded.source,
                loaded.module,
                self._implemented(hooks),
                tuple(names),
                loaded.digest,
            )
        )

    def implementations(self, hook: str) -> Iterator[Implementation]:
        """Yield who implements a hook: ``tryfirst`` ones, the rest in the order of plugins, ``trylast`` ones."""
        caller: pluggy.HookCaller = getattr(self.manager.hook, hook)
        order = [plugin.name for plugin in self.plugins]
        for found in sorted(
            caller.get_hookimpls(), key=lambda each: (not each.tryfirst, each.trylast, order.index(each.plugin_name))
        ):
            arguments = tuple(inspect.signature(found.function).parameters)
            yield Implementation(found.plugin_name, hook, found.function, arguments, where_is(found.function))

    def _implemented(self, hooks: ModuleType) -> tuple[str, ...]:
        return tuple(sorted(caller.name for caller in self.manager.get_hookcallers(hooks) or ()))

    def _sound_hooks(self, loaded: Loaded) -> ModuleType:
        """Return a module of only those hooks that a plugin defines itself and that pluggy can take.

        Left to itself pluggy would take a misspelt name in silence, stop at the first wrong argument, and call a
        hook twice when one plugin imports it from another.
        """
        sound = ModuleType(loaded.module.__name__)
        for attribute, function in _own_functions(loaded.module):
            options = self.manager.parse_hookimpl_opts(loaded.module, attribute)
            if options is None:
                if attribute in self.specs:
                    self.notes.append(
                        f"{where_is(function)}: plugin {loaded.name}: {attribute} is the name of a hook but is not "
                        "called; put @hookimpl above it, or rename it"
                    )
                continue
            hook = options.get("specname") or attribute
            text = self._judge(hook, function, wrapper=bool(options.get("wrapper") or options.get("hookwrapper")))
            if text:
                self.errors.append(PluginError(loaded.name, where_is(function), text))
            else:
                setattr(sound, attribute, function)
        return sound

    def _judge(self, hook: str, function: Callable[..., Any], *, wrapper: bool) -> str:
        """Say what is wrong with an implementation; nothing is wrong with the empty answer."""
        known = self.specs.get(hook)
        if known is None:
            return f'no hook named "{hook}"{nearest(hook, self.specs)}'
        if wrapper:
            return f"{hook}: a hook wrapper has nothing to wrap; each implementation is awaited on its own"
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            return f"{hook}: a hook must not yield"
        if hook == REGISTER and inspect.iscoroutinefunction(function):
            return f"{hook} is asked before a loop runs: make it a plain def"
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
                return f"{hook}: name the arguments plainly, without *{_takes(known)}"
            if name not in known:
                return f'{hook}: no argument named "{name}"{_takes(known)}'
        return ""

    def _handlers(self, loaded: Loaded) -> Iterator[Handler]:
        """Yield a plugin's handlers: its decorated functions, then what its `register_handlers` returns."""
        for _, function in _own_functions(loaded.module):
            yield from (replace(handler, plugin=loaded.name) for handler in handlers_of(function))
        for found in getattr(self.manager.hook, REGISTER).get_hookimpls():
            if found.plugin_name != loaded.name:
                continue
            try:
                returned = found.function()
            except Exception as error:  # noqa: BLE001 - a plugin's code may raise anything
                self.errors.append(fault(loaded.name, error, loaded.home, during=f"{REGISTER} failed"))
            else:
                yield from self._registered(loaded, where_is(found.function), returned)

    def _registered(self, loaded: Loaded, where: str, returned: object) -> Iterator[Handler]:
        """Yield the sound ones of the handlers that a plugin made by itself."""
        if not isinstance(returned, list | tuple):
            text = f"{REGISTER} returns a list of Handler, not {returned!r}"
            self.errors.append(PluginError(loaded.name, where, text))
            return
        for handler in returned:
            text = _fault_of(handler)
            if text:
                self.errors.append(PluginError(loaded.name, where, f"{REGISTER}: {text}"))
            else:
                yield replace(handler, plugin=loaded.name, where=handler.where or where_is(handler.function))

    def _take(self, handler: Handler) -> bool:
        """Put a handler under its name; a name that is taken is an error that names both places."""
        other = self.handlers.setdefault(handler.name, handler)
        if other is handler:
            return True
        text = f'the handler name "{handler.name}" is taken by plugin {other.plugin} ({other.where}); rename one'
        self.errors.append(PluginError(handler.plugin, handler.where, text))
        return False


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant and what there is: ``; did you mean "echo"? (known: clock, echo)``."""
    names = sorted(known)
    return f"{did_you_mean(name, names)} (known: {listing(names)})" if names else " (there are none)"


def _takes(known: Sequence[str]) -> str:
    return f" (it may take: {', '.join(known)})" if known else " (it takes none)"


def _own_functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the functions that a module, or for a package any module below it, defines, by name; each once.

    A function that was imported from another plugin is that plugin's.
    """
    seen: set[int] = set()
    inside = module.__name__ + "."
    for name, function in list(vars(module).items()):
        if not inspect.isfunction(function) or id(function) in seen:
            continue
        if function.__module__ == module.__name__ or function.__module__.startswith(inside):
            seen.add(id(function))
            yield name, function


def _fault_of(handler: object) -> str:
    """Say what is wrong with a handler that no decorator has checked; nothing is wrong with the empty answer."""
    if not isinstance(handler, Handler):
        return f"not a Handler: {handler!r}"
    kind: object = handler.kind
    if not isinstance(kind, HandlerKind):
        return f'handler "{handler.name}": its kind is a HandlerKind, not {kind!r}'
    wanted = _BINDINGS[kind]
    for binding in handler.bindings:
        if not isinstance(binding, wanted):
            return f'handler "{handler.name}": a {kind.value} is bound by {wanted.__name__}, not by {binding!r}'
    try:
        check_name(handler.name)
        check_function(handler.function)
    except ValueError as error:
        return f'handler "{handler.name}": {error}'
    return ""
