"""The settings of plugins: validated by each plugin's schema, with its defaults filled in."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from signalpost.config.gaps import Gaps
from signalpost.config.model import ServerConfig
from signalpost.config.schema.judge import judge_shape
from signalpost.places import Keys
from signalpost.plan.report import PlanReport
from signalpost.plugins.registry import Registry
from signalpost.state.frozen import fixed


def fill_settings(config: ServerConfig, registry: Registry, report: PlanReport, gaps: Gaps) -> ServerConfig:
    """Return the configuration with complete settings of all plugins; report their problems.

    They must not be changed in place: all events share them, and `diff` compares them.
    """
    said = config.plugins.settings
    settings = dict(said)
    misnamed = any(name not in registry.found for name in said)
    for plugin, schema in registry.settings_schemas.items():
        place: Keys = ("plugins", "settings", plugin)
        # Settings that could not be read, or that may be under another name, are not treated as missing.
        if {place, place[:2], place[:1]} & gaps.faulty or (misnamed and plugin not in said):
            continue
        given = said.get(plugin, {})
        for misfit in judge_shape(given, schema.document):
            text = f"{misfit.text} (says plugin {plugin}, {schema.where})"
            report.problem((*place, *misfit.keys), text, of_key=misfit.of_key)
        settings[plugin] = filled(given, schema.document)
    return replace(config, plugins=replace(config.plugins, settings=fixed(settings)))


def filled(value: Any, schema: Any) -> Any:
    """Return a value with the defaults of a schema's ``properties`` for missing keys, at any depth.

    A missing mapping is created if it contains a default.
    """
    if not isinstance(schema, Mapping) or not isinstance(value, Mapping):
        return value
    made = dict(value)
    for name, below in schema.get("properties", {}).items():
        if not isinstance(below, Mapping):
            continue
        if name in made:
            made[name] = filled(made[name], below)
        elif "default" in below:
            made[name] = filled(below["default"], below)
        elif inner := filled({}, below):
            made[name] = inner
    return made
