"""The settings of plugins: held against what each plugin says they may be, with its defaults filled in."""

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
    """Return the configuration with the settings of all plugins whole; what is wrong with them is reported.

    Nobody changes them in place: they are the same for all events, and what `diff` compares.
    """
    said = config.plugins.settings
    settings = dict(said)
    misnamed = any(name not in registry.found for name in said)
    for plugin, schema in registry.settings_schemas.items():
        place: Keys = ("plugins", "settings", plugin)
        # Settings that could not be read, or that may stand under another name, are not judged as if there were none.
        if {place, place[:2], place[:1]} & gaps.faulty or (misnamed and plugin not in said):
            continue
        given = said.get(plugin, {})
        for misfit in judge_shape(given, schema.document):
            text = f"{misfit.text} (says plugin {plugin}, {schema.where})"
            report.problem((*place, *misfit.keys), text, of_key=misfit.of_key)
        settings[plugin] = filled(given, schema.document)
    return replace(config, plugins=replace(config.plugins, settings=fixed(settings)))


def filled(value: Any, schema: Any) -> Any:
    """Return a value with the defaults of a schema's ``properties`` where it says nothing, at any depth.

    A mapping that is not given is made if a default stands in it.
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
