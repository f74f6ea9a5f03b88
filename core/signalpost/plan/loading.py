"""From a file's name to its plan: all that comes before `Server.start`."""

from pathlib import Path

from signalpost.config.load import read_config
from signalpost.errors import ConfigError
from signalpost.plan.builder import build_plan
from signalpost.plan.model import Plan
from signalpost.plugins.discovery import load_plugins
from signalpost.plugins.registry import Registry


def load_plan(file: str | Path) -> Plan:
    """Read a routes.yaml and its plugins. Whoever is done with the plan calls ``plan.registry.unload()``.

    Raises:
        ConfigError: with every problem of the file and of the plugins; nothing stays loaded then.

    """
    config, doubts = read_config(file)
    if config is None:
        raise ConfigError(doubts.problems)
    # Which plugins are meant must be certain before any code is run.
    registry = Registry() if doubts.plugins else load_plugins(config.plugins)
    try:
        return build_plan(config, registry, doubts)
    except ConfigError:
        registry.unload()
        raise
