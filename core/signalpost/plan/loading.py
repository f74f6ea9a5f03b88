"""From a file's name to its plan: everything before `Server.start`."""

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


def load_plan(file: str | Path, listening: Listening | None = None, *, proofs: bool = True) -> Plan:
    """Load a routes.yaml and its plugins. Call ``plan.registry.unload()`` when the plan is no longer needed.

    Args:
        file: routes.yaml.
        listening: replaces the addresses of the file.
        proofs: whether those of ``auth`` must hold.

    Raises:
        ConfigError: with every problem of the file and of the plugins; nothing remains loaded then.
        OperatorError: it cannot listen there; nothing is loaded then.
    """
    with _reading(file):
        config, gaps = _config(file, listening)
        registry = _plugins(config, gaps)
        try:
            return build_plan(config, registry, gaps, proofs=proofs)
        except (ConfigError, OSError):
            registry.unload()
            raise


async def load_beside(file: str | Path, before: Plan, listening: Listening | None = None) -> Plan:
    """Load a routes.yaml and its plugins while a server runs; see `load_plan`.

    Files are read, and the plan is built, in a thread. Plugins are imported in the current thread, like those of the
    start: their objects often belong to a thread (sqlite3, signal.signal). The loop runs between two imports, so
    clients wait for at most one; unchanged plugins are not imported.

    Raises:
        ConfigError: with every problem of the file and of the plugins; nothing remains loaded then.
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
    """Hide the running loop from an import, as at the start, so that ``asyncio.run`` is possible."""
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)  # noqa: SLF001 - the way of asyncio's own run_forever
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001


def load_offers(file: str | Path) -> Registry:
    """Load the plugins of a routes.yaml, whatever other problems it has; none if they are unknown.

    Call ``unload()`` when they are no longer needed.
    """
    try:
        config, gaps = read_config(file, BUILT_IN)
    except ConfigError:
        return Registry()
    return Registry() if config is None else _plugins(config, gaps)


@contextmanager
def _reading(file: str | Path) -> Iterator[None]:
    """Report as a problem that a file changed while it was read, or an error at an unforeseen place."""
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
    # The set of plugins must be certain before any code runs.
    return Registry() if gaps.plugins else load_plugins(config.plugins)
