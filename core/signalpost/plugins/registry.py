"""The registry: the plugins of one plan, what they offer by name, and what implements which hook."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from signalpost.errors import PluginError
from signalpost.foreign import Code, Seat, is_the_task_s, original
from signalpost.handlers import Handler
from signalpost.plugins.action import Action, SettingsSchema
from signalpost.plugins.dropins import DropInPackage
from signalpost.plugins.loaded import Loaded

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Implementation:
    """A plugin's function for one hook.

    Attributes:
        plugin: the plugin's name.
        arguments: those of the hook that the function accepts, in its order.
        where: ``file:line`` of the function.
        seat: of the plugin's instance.
    """

    plugin: str
    hook: str
    function: Callable[..., Any] = field(compare=False)
    arguments: tuple[str, ...]
    where: str
    seat: Seat | None = field(default=None, compare=False, repr=False)

    @property
    def code(self) -> Code:
        """Its name in the log."""
        return Code(f"hook {self.hook}", self.plugin, self.where, self.seat)

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Call the function with those of the hook's arguments that it accepts."""
        return self.function(*[arguments[name] for name in self.arguments])


@dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded plugin.

    Attributes:
        name: of the entry point, or of the drop-in's file or folder.
        version: the distribution's, or the drop-in's ``__version__``, or ``-``.
        source: the distribution, or the drop-in's file.
        hooks: names of the hooks it implements, sorted.
        handlers: names of its handlers, in the order they were found; the same for `actions`, `template_globals` and
            `template_filters`.
        digest: of a drop-in's source and of the helpers beside it, when they were read; empty for an installed
            plugin, which is imported once.
        package: the distribution of an installed plugin, as in ``signalpost-departures``; empty for a drop-in.
        exclusive: whether only one instance of it may run (`signalpost.plugins.hookspecs.exclusive`).
        seat: of its instance.
    """

    name: str
    version: str
    source: str
    module: ModuleType = field(compare=False, repr=False)
    hooks: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    template_globals: tuple[str, ...] = ()
    template_filters: tuple[str, ...] = ()
    digest: str = ""
    package: str = ""
    exclusive: bool = False
    seat: Seat = field(default_factory=Seat, compare=False, repr=False)

    @property
    def origin(self) -> str:
        """Its origin: the distribution, if there is one, and the file of its module."""
        file = getattr(self.module, "__file__", None)
        return f"{self.source} ({file})" if self.package and file else self.source


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """The plugins of one plan.

    Attributes:
        plugins: the loaded ones, entry points first.
        handlers: by name; each has its plugin and place.
        actions: by name; each has its plugin and place.
        template_globals: names for all templates in addition to those of their place.
        template_filters: filters of all templates.
        settings_schemas: by plugin.
        faulty: names of handlers and actions that have problems.
        incomplete: names of plugins whose offers are unknown, because a hook failed.
        implementations: by hook, in the order of `plugins`.
        found: names of all existing plugins, whether loaded, left out or broken.
        packages: names of all installed packages with plugins, whether loaded, left out or broken.
        errors: all problems of plugins, in the order found.
        notes: what an author may not have intended.
        loaded: the plugins as imported, for the next plan to keep.
        package: the modules of the drop-in folder, for the next plan to keep.
    """

    plugins: tuple[Plugin, ...] = ()
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
    template_globals: Mapping[str, Any] = field(default_factory=dict)
    template_filters: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    settings_schemas: Mapping[str, SettingsSchema] = field(default_factory=dict)
    faulty: frozenset[str] = frozenset()
    incomplete: frozenset[str] = frozenset()
    implementations: Mapping[str, Sequence[Implementation]] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    errors: tuple[PluginError, ...] = ()
    notes: tuple[str, ...] = ()
    loaded: tuple[Loaded, ...] = field(default=(), repr=False)
    package: DropInPackage | None = field(default=None, repr=False)

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of plugins that did not load, or not completely, in the order of `errors`."""
        loaded = {plugin.name for plugin in self.plugins} - self.incomplete
        return tuple(dict.fromkeys(error.plugin for error in self.errors if error.plugin not in loaded))

    async def call(self, hook: str, **arguments: Any) -> None:
        """Call a hook's implementations one after the other; a failure is logged and does not stop the others."""
        for implementation in self.implementations.get(hook, ()):
            await run(implementation, arguments)

    def unload(self) -> None:
        """Remove the modules of the drop-in folder that no later plan has kept.

        Those of installed packages stay, as other servers may use them.
        """
        if self.package is not None:
            self.package.close()


async def run(implementation: Implementation, arguments: Mapping[str, Any]) -> BaseException | None:
    """Call one implementation, and await it if it is async; log and return what it raises."""
    try:
        await implementation.code.run(implementation, arguments)
    except BaseException as error:  # a plugin may raise anything
        if is_the_task_s(error):
            raise
        log_failure(implementation, error)
        return error
    return None


def log_failure(implementation: Implementation, error: BaseException) -> None:
    """Log what a hook raised, with plugin, hook and file."""
    plugin, hook, where = implementation.plugin, implementation.hook, implementation.where
    LOG.error("plugin %s: hook %s failed (%s)", plugin, hook, where, exc_info=original(error))
