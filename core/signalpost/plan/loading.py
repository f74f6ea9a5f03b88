"""From a file's name to its plan: all that comes before `Server.start`."""

from pathlib import Path

from signalpost.config.doubts import Doubts
from signalpost.config.load import read_config
from signalpost.config.model import ServerConfig
from signalpost.config.words import printable
from signalpost.errors import ConfigError, Problem
from signalpost.plan.builder import build_plan
from signalpost.plan.model import Plan
from signalpost.plugins.discovery import load_plugins
from signalpost.plugins.registry import Registry


def load_plan(file: str | Path) -> Plan:
    """Read a routes.yaml and its plugins. Whoever is done with the plan calls ``plan.registry.unload()``.

    Raises:
        ConfigError: with every problem of the file and of the plugins; nothing stays loaded then.

    """
    try:
        return _load(file)
    except OSError as error:  # of a file that changed while it was read, or whose place nobody could foresee
        named = printable(str(error.filename)) if error.filename else "a file that it needs"
        text = f"{named} cannot be read: {(error.strerror or type(error).__name__).lower()}"
        raise ConfigError((Problem(str(file), 0, 0, "", text),)) from None


def _load(file: str | Path) -> Plan:
    config, doubts = read_config(file)
    if config is None:
        raise ConfigError(doubts.problems)
    registry = _plugins(config, doubts)
    try:
        return build_plan(config, registry, doubts)
    except (ConfigError, OSError):
        registry.unload()
        raise


def load_offers(file: str | Path) -> Registry:
    """Load the plugins that a routes.yaml uses, whatever else is wrong with it; none if there is no telling which.

    Whoever is done with them calls ``unload()``.
    """
    try:
        config, doubts = read_config(file)
    except ConfigError:
        return Registry()
    return Registry() if config is None else _plugins(config, doubts)


def _plugins(config: ServerConfig, doubts: Doubts) -> Registry:
    # Which plugins are meant must be certain before any code is run.
    return Registry() if doubts.plugins else load_plugins(config.plugins)
