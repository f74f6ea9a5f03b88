"""From a file's name to its plan: all that comes before `Server.start`."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.endpoints import Listening
from signalpost.config.gaps import Gaps
from signalpost.config.load import read_config
from signalpost.config.model import ServerConfig
from signalpost.errors import ConfigError, Problem
from signalpost.plan.builder import build_plan
from signalpost.plan.plan import Plan
from signalpost.plugins.discovery import Loading, load_plugins
from signalpost.plugins.registry import Registry
from signalpost.words import printable


def load_plan(file: str | Path, listening: Listening | None = None) -> Plan:
    """Read a routes.yaml and its plugins. Whoever is done with the plan calls ``plan.registry.unload()``.

    Args:
        file: routes.yaml.
        listening: where the app is to listen instead of where the file says.

    Raises:
        ConfigError: with every problem of the file and of the plugins; nothing stays loaded then.
        OperatorError: it cannot listen there; nothing is loaded then.

    """
    with _reading(file):
        config, gaps = _config(file, listening)
        registry = _plugins(config, gaps)
        try:
            return build_plan(config, registry, gaps)
        except (ConfigError, OSError):
            registry.unload()
            raise


async def load_beside(file: str | Path, before: Plan, listening: Listening | None = None) -> Plan:
    """Read a routes.yaml and its plugins while a server is at work; see `load_plan`.

    Files are read, and the plan is made, in a thread. Plugins are imported in this one, where those of the start were:
    what they make often belongs to a thread (sqlite3, signal.signal). The loop goes on between two of them, so clients
    wait for one import at most; what has not changed is not imported.

    Raises:
        ConfigError: with every problem of the file and of the plugins; nothing stays loaded then.

    """
    with _reading(file):
        config, gaps = await asyncio.to_thread(_config, file, listening, before.config.folder)
        loading = None if gaps.plugins else await asyncio.to_thread(Loading, config.plugins, None, before.registry)
        registry = Registry()
        try:
            if loading is not None:
                for step in loading.steps():
                    with _no_running_loop():
                        step()
                    await asyncio.sleep(0)
                registry = loading.registry()
            return await asyncio.to_thread(build_plan, config, registry, gaps)
        except BaseException:
            if loading is not None:
                loading.give_up()
            raise


@contextmanager
def _no_running_loop() -> Iterator[None]:
    """Let an import find what it finds at the start: no loop that runs, so that ``asyncio.run`` is possible."""
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)  # noqa: SLF001 - the way of asyncio's own run_forever
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001


def load_offers(file: str | Path) -> Registry:
    """Load the plugins that a routes.yaml uses, whatever else is wrong with it; none if there is no telling which.

    Whoever is done with them calls ``unload()``.
    """
    try:
        config, gaps = read_config(file, BUILT_IN)
    except ConfigError:
        return Registry()
    return Registry() if config is None else _plugins(config, gaps)


@contextmanager
def _reading(file: str | Path) -> Iterator[None]:
    """Report as a problem that a file changed while it was read, or that its place is one that nobody could foresee."""
    try:
        yield
    except OSError as error:
        named = printable(str(error.filename)) if error.filename else "a file that it needs"
        text = f"{named} cannot be read: {(error.strerror or type(error).__name__).lower()}"
        raise ConfigError((Problem(str(file), 0, 0, "", text),)) from None


def _config(file: str | Path, listening: Listening | None, folder: Path | None = None) -> tuple[ServerConfig, Gaps]:
    config, gaps = read_config(file, BUILT_IN, folder=folder)
    if config is None:
        raise ConfigError(gaps.problems)
    if listening is not None and not gaps.problems:
        config = listening.applied(config)
    return config, gaps


def _plugins(config: ServerConfig, gaps: Gaps) -> Registry:
    # Which plugins are meant must be certain before any code is run.
    return Registry() if gaps.plugins else load_plugins(config.plugins)
