"""Builds a registry from imported plugins: checks their hooks, collects what they offer, rejects conflicts."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from types import ModuleType
from typing import Any

import pluggy

from signalpost.errors import PluginError
from signalpost.plugins import hookspecs
from signalpost.plugins.authorization import AUTHORIZE
from signalpost.plugins.dropins import DropInPackage
from signalpost.plugins.loaded import Loaded, is_function, own_functions, parts_of
from signalpost.plugins.marks import marked_in, where_is
from signalpost.plugins.messagefilters import FILTERS
from signalpost.plugins.offers import ASKED, Offers
from signalpost.plugins.problems import problem_of
from signalpost.plugins.registry import Implementation, Plugin, Registry
from signalpost.plugins.returns import WITH_RESULT, hook_with_told_returns
from signalpost.plugins.unfound import notes_on_unfound
from signalpost.words import among

_MARK = f"{hookspecs.PROJECT}_impl"  # pluggy's

AT_ONCE = (*FILTERS, AUTHORIZE)
"""The hooks that decide at once: plain functions."""


def assemble(
    loaded: Sequence[Loaded],
    *,
    found: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    errors: Sequence[PluginError] = (),
    notes: Sequence[str] = (),
    package: DropInPackage | None = None,
) -> Registry:
    """Build the registry of imported plugins.

    Args:
        loaded: in the order in which their hooks are called.
        found: names of all existing plugins; by default those of `loaded`.
        packages: names of all installed packages that have plugins.
        errors: found so far.
        notes: found so far.
        package: closed by `Registry.unload`.
    """
    work = _Assembly(list(errors), list(notes))
    for each in loaded:
        try:
            work.add(each)
        except BaseException as error:  # noqa: BLE001 - what it offers are objects of its own, which may raise anything
            work.manager.unregister(name=each.name)
            work.errors.append(problem_of(each.name, error, each.home, during="what it offers cannot be used"))
    implementations = {hook: tuple(work.implementations(hook)) for hook in work.specs}
    known = work.places(implementations.values())
    work.notes += dict.fromkeys(notes_on_unfound(loaded, package, known, _MARK))
    return Registry(
        plugins=tuple(work.plugins),
        handlers=work.offers.handlers,
        actions=work.offers.actions,
        template_globals=work.offers.template_globals,
        template_filters=work.offers.template_filters,
        settings_schemas=work.offers.settings_schemas,
        faulty=frozenset(work.offers.faulty),
        incomplete=frozenset(work.offers.incomplete),
        implementations=implementations,
        found=found or tuple(each.name for each in loaded),
        packages=packages,
        errors=tuple(work.errors),
        notes=tuple(work.notes),
        loaded=tuple(loaded),
        package=package,
    )


class _Assembly:
    """A registry under construction, with its own pluggy manager."""

    def __init__(self, errors: list[PluginError], notes: list[str]) -> None:
        self.plugins: list[Plugin] = []
        self.errors = errors
        self.offers = Offers(errors)
        self.notes = notes
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.specs = {
            name: tuple(inspect.signature(function).parameters)
            for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
            if self.manager.parse_hookspec_opts(hookspecs, name) is not None
        }

    def add(self, loaded: Loaded) -> None:
        """Add a plugin, or its valid parts."""
        hooks = self._sound_hooks(loaded)
        self.manager.register(hooks, loaded.name)
        self.manager.check_pending()
        asked = {hook: list(self._of_plugin(hook, loaded.name)) for hook in ASKED}
        self.plugins.append(self.offers.take(loaded, asked, self._implemented(hooks)))

    def implementations(self, hook: str) -> Iterator[Implementation]:
        """Yield implementations of a hook: ``tryfirst`` ones, the rest in the order of plugins, ``trylast`` ones."""
        caller: pluggy.HookCaller = getattr(self.manager.hook, hook)
        seats = {plugin.name: plugin.seat for plugin in self.plugins}
        order = list(seats)
        for found in sorted(
            caller.get_hookimpls(), key=lambda each: (not each.tryfirst, each.trylast, order.index(each.plugin_name))
        ):
            arguments = tuple(inspect.signature(found.function).parameters)
            plugin, where, function = found.plugin_name, where_is(found.function), found.function
            if hook not in ASKED and hook not in WITH_RESULT:
                what = f"hook {hook} of plugin {plugin} ({where})"
                function = hook_with_told_returns(function, what, hook, seats.get(plugin))
            yield Implementation(plugin, hook, function, arguments, where, seats.get(plugin))

    def places(self, implementations: Iterable[Sequence[Implementation]]) -> set[str]:
        """Return the places of everything that was found, and of all problems."""
        return {
            *(each.where for each in self.offers.handlers.values()),
            *(each.where for each in self.offers.actions.values()),
            *(each.where for each in chain.from_iterable(implementations)),
            *(error.where for error in self.errors),
        }

    def _of_plugin(self, hook: str, plugin: str) -> Iterator[Callable[[], Any]]:
        for found in getattr(self.manager.hook, hook).get_hookimpls():
            if found.plugin_name == plugin:
                yield found.function

    def _implemented(self, hooks: ModuleType) -> tuple[str, ...]:
        return tuple(sorted(caller.name for caller in self.manager.get_hookcallers(hooks) or ()))

    def _sound_hooks(self, loaded: Loaded) -> ModuleType:
        """Return a module with only those hooks that a plugin defines itself and that pluggy accepts.

        pluggy alone would silently accept a misspelt name, stop at the first wrong argument, and call a hook twice if
        one plugin imports it from another.
        """
        sound = ModuleType(loaded.module.__name__)
        for attribute, function in self._functions(loaded):
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

    def _functions(self, loaded: Loaded) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield a plugin's own functions, and the results of other decorators on hooks.

        A hook without a function in the module is an error: a decorator above it, or a class around it, hides it.
        """
        parts = parts_of(loaded.module)
        hooks = {id(_mark_of(each)): each for part in parts for each in marked_in(part) if _mark_of(each)}
        own = dict(own_functions(loaded.module))
        seen = set(map(id, own.values()))
        for attribute, candidate in list(vars(loaded.module).items()):
            if id(candidate) not in seen and is_function(candidate) and id(_mark_of(candidate)) in hooks:
                seen.add(id(candidate))
                own[attribute] = candidate
        yield from own.items()
        found = {id(_mark_of(each)) for part in parts for each in vars(part).values() if is_function(each)}
        for mark, function in hooks.items():
            if mark not in found:
                self.errors.append(PluginError(loaded.name, where_is(function), _hidden(function)))

    def _judge(self, hook: str, function: Callable[..., Any], *, wrapper: bool) -> str:
        """Return what is wrong with an implementation; empty if nothing is."""
        known = self.specs.get(hook)
        if known is None:
            return f'no hook named "{hook}"{among(hook, sorted(self.specs))}'
        if wrapper:
            return f"{hook}: a hook wrapper has nothing to wrap; each implementation is awaited on its own"
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            return f"{hook}: a hook must not yield"
        if hook in ASKED and inspect.iscoroutinefunction(function):
            return f"{hook} is asked before a loop runs: make it a plain def"
        if hook in AT_ONCE and inspect.iscoroutinefunction(function):
            return f"{hook} decides at once, while everybody waits: make it a plain def"
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
                return f"{hook}: name the arguments plainly, without *{_takes(known)}"
            if name not in known:
                return f'{hook}: no argument named "{name}"{_takes(known)}'
        return ""


def _mark_of(candidate: object) -> object:
    """Return the mark of `hookimpl` on an object, also if functools.wraps copied it there."""
    return getattr(candidate, "__dict__", {}).get(_MARK)


def _hidden(function: object) -> str:
    name = getattr(function, "__name__", "?")
    return (
        f'hook "{name}" is never called: its module has it under no name, or not as a function. A decorator above '
        "@hookimpl hides it: put @hookimpl above it, or have that decorator give a function, with functools.wraps. "
        "One in a class, or whose name is defined again, is not found either"
    )


def _takes(known: Sequence[str]) -> str:
    return f" (it may take: {', '.join(known)})" if known else " (it takes none)"
